"""/v1/embeddings: experts' vectors and the built-in ones, as numbers and as base64."""

import base64
import math
import struct

import openai
import pytest

from harness import config, embedding, expert, scripts

TEXTS = ["the sea", "two and two"]


def vector(text):
    return [round(number, 3) for number in scripts.hashed_vector(text)]


def client(gateway):
    return openai.OpenAI(base_url=f"http://127.0.0.1:{gateway.port}/v1", api_key="sk-any", max_retries=0, timeout=60)


def front(run, script=None, price=2.0, **more):
    upstream = run.expert(embeddings=script or scripts.embed(vector, tokens=50))
    return upstream, run.gateway(config({
        "small": expert(run.expert(scripts.answer())),
        "vectors": expert(upstream, generator=False, embedding=embedding(price=price), **more)}))


def test_an_experts_vectors(run):
    upstream, gateway = front(run)
    answer = client(gateway).embeddings.create(model="vectors", input=TEXTS)
    assert [item.embedding for item in answer.data] == [pytest.approx(vector(text), rel=1e-6) for text in TEXTS]
    assert answer.usage.prompt_tokens == 50
    assert answer.usage.model_extra["cost"] == pytest.approx(100e-6)
    assert upstream.call(path="/embeddings").json()["model"] == "embed-scripted"


def test_what_is_sent_arrives_as_it_was(run):
    one = {"object": "list", "model": "m", "data": [{"object": "embedding", "index": 0, "embedding": [1.5]}],
           "usage": {"prompt_tokens": 3, "total_tokens": 3}}
    upstream, gateway = front(run, lambda call: call.answer(one))
    assert gateway.post("/v1/embeddings", b'{ "model":"vectors", "input": [1, 2,3],"user" :"u\\u0031"}').status == 200
    assert upstream.call(path="/embeddings").body == b'{ "model":"embed-scripted", "input": [1, 2,3],"user" :"u\\u0031"}'


@pytest.mark.parametrize("given", ["float", "base64"])
@pytest.mark.parametrize("wanted", ["float", "base64"])
def test_the_client_gets_the_form_that_it_asked_for(run, given, wanted):
    def script(call):
        values = vector("the sea")
        packed = base64.b64encode(struct.pack(f"<{len(values)}f", *values)).decode()
        call.answer({"object": "list", "model": "m", "data": [
            {"object": "embedding", "index": 0, "embedding": values if given == "float" else packed}],
            "usage": {"prompt_tokens": 5, "total_tokens": 5}})

    _, gateway = front(run, script)
    answer = gateway.post("/v1/embeddings", {"model": "vectors", "input": "the sea", "encoding_format": wanted}).json()
    got = answer["data"][0]["embedding"]
    if wanted == "base64":
        got = struct.unpack(f"<{len(got) * 3 // 4 // 4}f", base64.b64decode(got))
    assert list(got) == pytest.approx(vector("the sea"), rel=1e-6)
    assert answer["usage"]["cost"] == pytest.approx(10e-6)


def test_it_is_accounted(run):
    _, gateway = front(run)
    answer = gateway.post("/v1/embeddings", {"model": "vectors", "input": TEXTS})
    line = gateway.log.wait(event="request")
    assert (line["expert"], line["reason"], float(line["cost_usd"])) == ("vectors", "direct", pytest.approx(100e-6))
    assert float(answer["x-frugal-cost-usd"]) == pytest.approx(100e-6)
    assert gateway.metrics().value("frugal_requests_total", route="embeddings", result="ok") == 1


def test_a_ceiling_holds(run):
    upstream, gateway = front(run, price=1000.0)
    answer = gateway.post("/v1/embeddings", {"model": "vectors", "input": TEXTS}, {"x-frugal-budget-usd": "0.0001"})
    assert answer.status == 402 and not upstream.calls()
    answer = gateway.post("/v1/embeddings", {"model": "vectors", "input": TEXTS}, {"x-frugal-budget-usd": "1"})
    assert answer.status == 200


def test_another_endpoint_takes_over(run):
    upstream = run.expert(embeddings=scripts.embed(vector))
    gateway = run.gateway(config({
        "small": expert(run.expert(scripts.answer())),
        "vectors": {**expert(upstream, generator=False, embedding=embedding()),
                    "endpoints": ["http://127.0.0.1:1/v1", upstream.url]}}))
    assert all(gateway.post("/v1/embeddings", {"model": "vectors", "input": "x"}).status == 200 for _ in range(2))


@pytest.mark.parametrize("body, status, param", [
    ({"model": "auto", "input": "x"}, 400, "model"), ({"model": "small", "input": "x"}, 400, "model"),
    ({"model": "nobody", "input": "x"}, 404, "model"), ({"model": "surface", "input": "x"}, 404, "model"),
    ({"model": "vectors"}, 400, "input"), ({"model": "vectors", "input": []}, 400, "input"),
    ({"model": "vectors", "input": {}}, 400, "input")])
def test_what_is_wrong_is_named(run, body, status, param):
    upstream, gateway = front(run)
    answer = gateway.post("/v1/embeddings", body)
    assert (answer.status, answer.json()["error"]["param"]) == (status, param)
    assert not upstream.calls()


def test_an_answer_without_vectors_is_no_answer(run):
    _, gateway = front(run, lambda call: call.answer({"object": "list", "data": []}))
    assert gateway.post("/v1/embeddings", {"model": "vectors", "input": "x"}).status == 502


@pytest.mark.parametrize("name", ["surface", "lexical"])
def test_the_built_in_vectors(run, router, name):
    gateway = run.gateway(router.config({"mathy": expert(run.expert(scripts.answer()))}))
    first, second = client(gateway).embeddings.create(
        model=name, input=["Write a joyful haiku about the sea.", "Compute 12 plus 30 minus 4."]).data
    assert math.hypot(*first.embedding) == pytest.approx(1, abs=1e-5)
    assert first.embedding != second.embedding
    again = gateway.post("/v1/embeddings", {"model": name, "input": "Write a joyful haiku about the sea."}).json()
    assert again["data"][0]["embedding"] == pytest.approx(first.embedding, rel=1e-6)
    assert again["usage"]["cost"] == 0


@pytest.mark.parametrize("more, param", [({"input": ["x"] * 129}, "input"), ({"input": [1, 2]}, "input"),
                                         ({"dimensions": 3}, "dimensions"), ({"encoding_format": "hex"}, "encoding_format")])
def test_what_a_built_in_embedder_cannot_do_is_named(run, router, more, param):
    gateway = run.gateway(router.config({"mathy": expert(run.expert(scripts.answer()))}))
    answer = gateway.post("/v1/embeddings", {"model": "lexical", "input": "x", **more})
    assert (answer.status, answer.json()["error"]["param"]) == (400, param)
