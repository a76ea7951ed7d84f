"""Experts that are odd, greedy or wrong: the gateway stays honest, bounded and alive."""

import base64
import gzip
import json
import socket
import struct

import pytest

from harness import Response, config, expert, scripts
from harness.routers import PRICES, held_out
from harness.wire import Wire, request_bytes


def behind(run, script, **more):
    """A gateway whose policy prefers the expert with this script and has a good one behind it."""
    odd, good = run.expert(script), run.expert(scripts.answer("from the second"))
    return run.gateway(config({"odd": expert(odd), "good": expert(good)}, **more)), odd, good


def test_a_redirect_is_not_followed(run):
    gateway, odd, _ = behind(run, lambda call: call.answer(b"", status=302, headers={"Location": "http://127.0.0.1:1/"}))
    assert gateway.chat()["x-frugal-expert"] == "good"
    assert odd.asked == 1


def test_an_informational_answer_is_skipped(run):
    def script(call):
        call.raw_bytes(b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n")
        call.answer(scripts.completion("after the hint"))

    gateway, _, _ = behind(run, script)
    assert gateway.chat().json()["choices"][0]["message"]["content"] == "after the hint"


@pytest.mark.parametrize("headers", [
    {"X-Big": "y" * 60_000}, {f"X-{n}": "y" * 500 for n in range(200)}], ids=["one huge header", "many headers"])
def test_a_huge_head_is_an_experts_failure_or_cut_down_but_no_harm(run, headers):
    gateway, _, _ = behind(run, lambda call: call.answer(scripts.completion("fine"), headers=headers))
    answer = gateway.chat()
    assert answer.status == 200
    assert len(answer.head.raw) < 8192


def test_headers_of_an_expert_cannot_forge_ours(run):
    forged = {"x-frugal-expert": "forged", "x-frugal-cost-usd": "0", "x-request-id": "forged",
              "Set-Cookie": "session=1", "Connection": "X-Hop", "X-Hop": "1", "Content-Encoding": "identity"}
    gateway, _, _ = behind(run, scripts.answer(headers=forged))
    answer = gateway.chat()
    assert answer["x-frugal-expert"] == "odd"
    assert float(answer["x-frugal-cost-usd"]) > 0
    assert answer["x-request-id"] != "forged"
    assert "Set-Cookie" not in answer and "X-Hop" not in answer


def test_an_answer_beyond_the_limit_is_an_experts_failure(run):
    gateway, _, _ = behind(run, lambda call: call.answer(scripts.completion("x" * 300_000)),
                           limits={"answer_bytes": 100_000})
    assert gateway.chat()["x-frugal-expert"] == "good"
    assert gateway.chat(model="odd").status == 502


def test_an_event_beyond_the_limit_is_an_experts_failure(run):
    def script(call):
        call.head(stream=True)
        call.chunk("x" * 300_000)
        call.done()

    gateway, _, _ = behind(run, script, limits={"event_bytes": 100_000})
    with gateway.stream() as stream:
        assert stream["x-frugal-expert"] == "good" and stream.text() == "from the second"


def test_an_event_that_never_ends_is_cut_off(run):
    def script(call):
        call.head(stream=True)
        call.chunk("some")
        while not call.expert.closing.is_set():
            call.piece(b"data: " + b"x" * 65536)

    gateway, odd, _ = behind(run, script)
    before = gateway.resident_bytes()
    with gateway.stream() as stream:
        said = list(stream)
    assert "error" in json.loads(said[-1]) and not stream.done
    assert gateway.resident_bytes() - before < 16 << 20
    odd.call().wait_ended()


def test_nonsense_in_mid_stream_never_ends_cleanly(run):
    def script(call):
        call.head(stream=True)
        call.chunk("some")
        call.event("{nonsense")
        call.chunk(" more")
        call.done()

    gateway, _, _ = behind(run, script)
    with gateway.stream() as stream:
        said = list(stream)
    assert "some" in said[0]
    assert "[DONE]" not in said or "{nonsense" in said


def test_a_whole_answer_to_a_stream_is_an_experts_failure(run):
    gateway, _, _ = behind(run, lambda call: call.answer(scripts.completion("whole")))
    with gateway.stream() as stream:
        assert stream["x-frugal-expert"] == "good" and stream.text() == "from the second"


def test_an_empty_stream_is_an_experts_failure(run):
    def script(call):
        call.head(stream=True)
        call.done()

    gateway, _, _ = behind(run, script)
    with gateway.stream() as stream:
        assert stream.text() == "from the second" and stream.done


def test_bytes_after_done_are_not_waited_for(run):
    def script(call):
        call.head(stream=True)
        call.chunk("fine")
        call.piece(b"data: [DONE]\n\n")
        call.stall()

    gateway, odd, _ = behind(run, script)
    with gateway.stream() as stream:
        assert stream.text() == "fine"
        assert stream.done and not stream.cut
    assert gateway.log.wait(event="request")["result"] == "ok"


def test_a_compressed_answer_is_passed_with_its_encoding_or_refused(run):
    body = gzip.compress(json.dumps(scripts.completion("packed")).encode())
    gateway, odd, _ = behind(run, lambda call: call.answer(body, headers={"Content-Encoding": "gzip"}))
    answer = gateway.chat()
    if answer["x-frugal-expert"] == "odd":
        assert answer["Content-Encoding"] == "gzip"
        assert json.loads(gzip.decompress(answer.body))["choices"][0]["message"]["content"] == "packed"
    assert "Accept-Encoding" not in odd.call().request


@pytest.mark.parametrize("usage", [
    None, 5, [], "many", {}, {"prompt_tokens": "10", "completion_tokens": 5}, {"prompt_tokens": -1, "completion_tokens": 5},
    {"prompt_tokens": 1e300, "completion_tokens": 5}, {"prompt_tokens": 10**30, "completion_tokens": 5},
    {"prompt_tokens": None, "completion_tokens": None}], ids=repr)
def test_usage_that_makes_no_sense_is_estimated(run, usage):
    body = {**scripts.completion("a b c d"), "usage": usage}
    gateway, _, _ = behind(run, lambda call: call.answer(body))
    answer = gateway.chat()
    assert answer.status == 200 and answer["x-frugal-expert"] == "odd"
    line = gateway.log.wait(event="request")
    assert line["estimated"] == "true"
    assert 0 < float(line["cost_usd"]) < 0.01


@pytest.mark.parametrize("endpoint", ["bare", "with a path"])
def test_an_endpoint_may_have_any_path(run, endpoint):
    small = run.expert(scripts.answer())
    base = f"http://127.0.0.1:{small.port}" + ("" if endpoint == "bare" else "/some/prefix/v1/")
    gateway = run.gateway(config({"small": expert(base)}))
    assert gateway.chat().status == 200
    assert small.call().target == ("" if endpoint == "bare" else "/some/prefix/v1") + "/chat/completions"


def test_several_endpoints_are_used_in_turn(run):
    first, second = run.expert(scripts.answer()), run.expert(scripts.answer())
    entry = expert(first)
    entry["endpoints"].append(second.url)
    gateway = run.gateway(config({"small": entry}))
    for _ in range(10):
        assert gateway.chat().status == 200
    assert (first.asked, second.asked) == (5, 5)


def test_a_name_is_resolved(run):
    small = run.expert(scripts.answer())
    gateway = run.gateway(config({"small": expert(f"http://localhost:{small.port}/v1")}))
    assert gateway.chat().status == 200
    assert small.call().request["Host"] == f"localhost:{small.port}"


def test_a_name_that_does_not_exist_is_an_experts_failure(run):
    gateway = run.gateway(config({"odd": expert("http://nowhere.invalid/v1"),
                                  "good": expert(run.expert(scripts.answer()))}))
    assert gateway.chat()["x-frugal-expert"] == "good"
    assert gateway.chat(model="odd").status in (502, 504)


def test_an_embedding_in_base64_is_understood(run, router):
    def script(call):
        asked = call.json()
        inputs = asked["input"] if isinstance(asked["input"], list) else [asked["input"]]
        packed = [base64.b64encode(struct.pack("<16f", *scripts.hashed_vector(text))).decode() for text in inputs]
        call.answer({"data": [{"index": n, "embedding": text} for n, text in enumerate(packed)],
                     "usage": {"prompt_tokens": 5, "total_tokens": 5}})

    experts = {name: expert(run.expert(scripts.answer()), price=PRICES[name]) for name in PRICES}
    experts["embedder"] = expert(run.expert(embeddings=script), generator=False,
                                 embedding={"model": "embed-scripted", "dim": router.dim, "price": 0.0})
    gateway = run.gateway(router.config(experts, "remote"))
    assert gateway.wait_probed()["state"] == "ready"
    answer = gateway.chat(held_out("poems", 1)[0])
    assert (answer["x-frugal-expert"], answer["x-frugal-queried"]) == ("poet", "embedder")


def test_an_expert_that_takes_its_request_slowly_gets_all_of_it_and_holds_up_nobody(run):
    """The gateway's memory of the body is what is sent, as fast as the expert reads: other requests pass by meanwhile."""
    good = run.expert(scripts.answer("fast"))
    text = "x" * 8_000_000
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        gateway = run.gateway(config({"slow": expert(f"http://127.0.0.1:{listener.getsockname()[1]}/v1"), "good": expert(good)},
                                     workers=1))
        with gateway.connect() as wire:
            body = json.dumps({"model": "slow", "messages": [{"role": "user", "content": text}]}).encode()
            wire.send(request_bytes("POST", "/v1/chat/completions", body=body))
            sock, _ = listener.accept()
            with Wire(sock) as theirs:
                head = theirs.read_head()
                taken = bytearray()
                for piece in theirs.pieces(head, is_answer=False):
                    if len(taken) < 1_000_000:
                        assert gateway.chat(model="good").status == 200
                    taken += piece
                assert bytes(taken) == body.replace(b'"slow"', b'"scripted"', 1)
                said = json.dumps(scripts.completion("slow")).encode()
                theirs.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(said), said))
                answer = Response(wire)
    assert answer.status == 200 and answer.json()["choices"][0]["message"]["content"] == "slow"
