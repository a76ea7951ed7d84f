"""An expert's 400 that says more of the expert than of the request is no client error while others are left."""

import json
import pathlib

import pytest

from harness import config, expert, scripts
from harness.keys import Key, key_file

CASES = pathlib.Path(__file__).resolve().parents[1] / "cases/refusal"
UNSUPPORTED = (CASES / "openai_parameter/input").read_bytes()
TOO_LONG = (CASES / "llama_context/input").read_bytes()
OTHER = (CASES / "openai_bad_value/input").read_bytes()
WANTED = {
    "chat": ("/v1/chat/completions", {"messages": [{"role": "user", "content": "hello"}]}),
    "completions": ("/v1/completions", {"prompt": "hello"}),
    "responses": ("/v1/responses", {"input": "hello"}),
    "messages": ("/v1/messages", {"messages": [{"role": "user", "content": "hello"}], "max_tokens": 50}),
}


def refusing(run, body, status=400):
    script = lambda call: call.answer(body, status=status)
    return run.expert(script, completions=script, embeddings=script)


def good(run):
    return run.expert(scripts.answer("fine"), completions=scripts.complete("fine"))


def asks(gateway, api="chat", headers=(), **more):
    path, body = WANTED[api]
    return gateway.post(path, {"model": "auto", **body, **more}, headers)


@pytest.mark.parametrize("case", sorted(path.name for path in CASES.iterdir()))
def test_what_servers_are_known_to_write_is_followed_by_the_next_or_not(run, case):
    body, kind = (CASES / case / "input").read_bytes(), (CASES / case / "expect").read_text().strip()
    gateway = run.gateway(config({"first": expert(refusing(run, body)), "second": expert(good(run))}))
    answer = asks(gateway)
    if kind == "other":
        assert (answer.status, answer["x-frugal-expert"]) == (400, "first")
    else:
        assert (answer.status, answer["x-frugal-expert"], answer["x-frugal-reason"]) == (200, "second", "failover")
        assert gateway.log.wait(event="attempt_failed")["end"] == kind


@pytest.mark.parametrize("api", WANTED)
@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("status", [400, 422])
def test_the_next_expert_answers_on_every_api(run, api, streamed, status):
    first, second = refusing(run, UNSUPPORTED, status), good(run)
    gateway = run.gateway(config({"first": expert(first), "second": expert(second)}))
    answer = asks(gateway, api, stream=streamed)
    assert answer.status == 200 and b"fine" in answer.body
    assert len(first.calls()) == len(second.calls()) == 1


@pytest.mark.parametrize("api", WANTED)
def test_the_last_one_refuses_in_its_own_words(run, api):
    gateway = run.gateway(config({"first": expert(refusing(run, UNSUPPORTED)), "second": expert(refusing(run, TOO_LONG))}))
    answer = asks(gateway, api)
    assert answer.status == 400 and answer["x-frugal-error-source"] == "expert"
    assert json.loads(TOO_LONG)["error"]["message"] in answer.json()["error"]["message"]
    if api in ("chat", "completions"):
        assert answer.body == TOO_LONG


def in_band(whole=TOO_LONG, after=()):
    """llama.cpp sends its 200 first, and says then that a prompt is too long."""
    def script(call):
        if not call.json().get("stream"):
            call.answer(whole)
            return
        call.head(stream=True)
        for role in after:
            call.chunk("", role=role)
        call.event(whole.decode())
        call.end()

    return script


@pytest.mark.parametrize("streamed", [False, True])
def test_a_refusal_behind_a_status_of_200_is_one(run, streamed, tmp_path):
    first, second = run.expert(in_band()), good(run)
    gateway = run.gateway(config({"first": expert(first), "second": expert(second)}, store=str(tmp_path / "frugal.db")))
    answer = asks(gateway, stream=streamed, headers={"x-frugal-budget-usd": "0.01"}, max_tokens=50)
    assert answer.status == 200 and b"fine" in answer.body
    record = gateway.get(f"/v1/decisions/{answer['x-frugal-decision-id']}", admin=True).json()
    assert [(a["end"], a["spent_usd"]) for a in record["attempts"]] == [("too_long", 0), ("answered", pytest.approx(50e-6))]
    assert record["cost"]["bound_usd"] == pytest.approx(50e-6)


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("api", ["chat", "messages", "responses"])
def test_a_refusal_behind_a_status_of_200_is_shown_as_one(run, api, streamed):
    gateway = run.gateway(run.expert(in_band(after=["assistant"])))
    answer = asks(gateway, api, stream=streamed)
    assert answer.status == 400 and answer["content-type"] == "application/json"
    assert json.loads(TOO_LONG)["error"]["message"] in answer.json()["error"]["message"]


def test_a_refusal_after_content_is_none(run):
    def script(call):
        call.head(stream=True)
        call.chunk("some")
        call.event(TOO_LONG.decode())
        call.end()

    second = good(run)
    gateway = run.gateway(config({"first": expert(run.expert(script)), "second": expert(second)}))
    with gateway.stream() as stream:
        datas = list(stream)
    assert "some" in datas[0] and "error" in datas[-1] and stream.cut and not second.calls()


@pytest.mark.parametrize("case, end", [("llama_context", "too_long"), ("llama_images", "unsupported")])
def test_a_failure_that_says_it_is_a_refusal_is_one(run, case, end):
    """llama.cpp refuses an image with a 500; that is free, and no reason to leave the expert alone."""
    first, second = refusing(run, (CASES / case / "input").read_bytes(), status=500), good(run)
    gateway = run.gateway(config({"first": expert(first), "second": expert(second)}))
    for _ in range(12):
        answer = asks(gateway, headers={"x-frugal-budget-usd": "0.01"}, max_tokens=50)
        assert answer["x-frugal-expert"] == "second" and float(answer["x-frugal-cost-usd"]) == pytest.approx(50e-6)
    assert len(first.calls()) == 12
    assert gateway.log.lines(event="attempt_failed", end=end)


def test_a_failure_in_other_words_is_one(run):
    first = refusing(run, b'{"error":{"message":"the maximum context length is a mystery to me","type":"server_error"}}', status=500)
    gateway = run.gateway(config({"first": expert(first), "second": expert(good(run))}))
    assert asks(gateway)["x-frugal-expert"] == "second"
    assert gateway.log.wait(event="attempt_failed")["end"] == "failed"


def test_an_expert_by_name_refuses_at_once(run):
    first, second = refusing(run, UNSUPPORTED), good(run)
    gateway = run.gateway(config({"first": expert(first), "second": expert(second)}))
    answer = asks(gateway, model="first")
    assert (answer.status, answer.body) == (400, UNSUPPORTED) and not second.calls()


def test_another_refusal_after_it_goes_to_the_client(run):
    third = good(run)
    gateway = run.gateway(config({"first": expert(refusing(run, TOO_LONG)), "second": expert(refusing(run, OTHER)),
                                  "third": expert(third)}))
    answer = asks(gateway)
    assert (answer.status, answer.body) == (400, OTHER) and not third.calls()


def test_nothing_is_paid_for_a_refusal(run, tmp_path):
    key = Key(total_usd=1)
    gateway = run.gateway(config({"first": expert(refusing(run, UNSUPPORTED)), "second": expert(good(run))},
                                 store=str(tmp_path / "frugal.db"), keys={"file": "keys.json"}),
                          files={"keys.json": key_file(key)})
    answer = asks(gateway, headers=[*key.headers, ("x-frugal-budget-usd", "0.01")])
    assert answer.status == 200 and float(answer["x-frugal-cost-usd"]) == pytest.approx(50e-6)
    record = gateway.get(f"/v1/decisions/{answer['x-frugal-decision-id']}", admin=True).json()
    assert [(a["expert"], a["end"], a["status"], a["spent_usd"]) for a in record["attempts"]] == [
        ("first", "unsupported", 400, 0), ("second", "answered", 200, pytest.approx(50e-6))]
    assert [(c["expert"], c["fate"], c["bound_usd"]) for c in record["charges"]] == [
        ("first", "free", 0), ("second", "reported", pytest.approx(50e-6))]
    assert record["cost"]["bound_usd"] == pytest.approx(50e-6)


def test_a_refusal_of_all_costs_a_ceiling_and_a_budget_nothing(run):
    key = Key(total_usd=0.002)
    ups = [refusing(run, UNSUPPORTED), refusing(run, TOO_LONG)]
    gateway = run.gateway(config({"first": expert(ups[0]), "second": expert(ups[1])}, keys={"file": "keys.json"}),
                          files={"keys.json": key_file(key)})
    for _ in range(20):
        answer = asks(gateway, headers=key.headers, max_tokens=500)
        assert answer.status == 400 and float(answer["x-frugal-cost-usd"]) == 0
    assert len(ups[0].calls()) == len(ups[1].calls()) == 20
