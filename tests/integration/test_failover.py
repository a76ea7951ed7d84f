"""Before the commit point a failed expert costs the client nothing; after it the client hears the truth."""

import json
import socket

import pytest

from harness import Gate, config, expert, scripts


def two(run, first, second=None, **more):
    """A gateway whose policy prefers `bad` and has `good` behind it."""
    bad = run.expert(first)
    good = run.expert(second or scripts.answer("from the second"))
    gateway = run.gateway(config({"bad": expert(bad), "good": expert(good)}, **more))
    return gateway, bad, good


def unused_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


FAILURES = {
    "status 500": scripts.refuse(500),
    "status 503": scripts.refuse(503, headers={"Retry-After": "30"}),
    "status 429": scripts.refuse(429, kind="rate_limit_error"),
    "its key is wrong": scripts.refuse(401, kind="invalid_request_error"),
    "cut before the answer": scripts.cut,
    "not HTTP": lambda call: (call.raw_bytes(b"\x00\x01\x02 what\r\n\r\n"), call.cut()),
    "cut inside the head": lambda call: (call.raw_bytes(b"HTTP/1.1 200 OK\r\nContent-"), call.cut()),
}
WHOLE_ONLY = {
    "cut inside the body": lambda call: (call.head(length=1000), call.raw_bytes(b'{"id":"x"'), call.cut()),
    "an error with status 200": lambda call: call.answer({"error": {"message": "no", "type": "server_error"}}),
    "not JSON": lambda call: call.answer(b"<html>busy</html>"),
}
STREAM_ONLY = {
    "cut after the head": lambda call: (call.head(stream=True), call.cut()),
    "cut after a role": scripts.stream_then_cut(),
    "reset after a role": scripts.stream_then_cut(reset=True),
    "cut after an empty delta": lambda call: (call.head(stream=True), call.chunk(""), call.cut()),
    "ended after a role, without DONE": lambda call: (call.head(stream=True), call.chunk("", role="assistant"),
                                                      call.end()),
    "an error event first": lambda call: (
        call.head(stream=True), call.chunk("", role="assistant"),
        call.event({"error": {"message": "no room", "type": "server_error", "code": 503}}), call.done()),
    "nonsense first": lambda call: (call.head(stream=True), call.event("{nonsense"), call.done()),
}


@pytest.mark.parametrize("failure", FAILURES | WHOLE_ONLY)
def test_a_failed_expert_is_followed_by_the_next(run, failure):
    gateway, bad, good = two(run, (FAILURES | WHOLE_ONLY)[failure])
    answer = gateway.chat()
    assert answer.status == 200, answer
    assert answer.json()["choices"][0]["message"]["content"] == "from the second"
    assert (answer["x-frugal-expert"], answer["x-frugal-reason"]) == ("good", "failover")
    assert bad.call().json()["messages"] == good.call().json()["messages"]


@pytest.mark.parametrize("failure", FAILURES | STREAM_ONLY)
def test_a_stream_that_fails_before_content_starts_anew_at_the_next(run, failure):
    gateway, _, _ = two(run, (FAILURES | STREAM_ONLY)[failure])
    with gateway.stream() as stream:
        assert stream.status == 200
        assert stream["x-frugal-expert"] == "good"
        assert stream.text() == "from the second"
        assert stream.done and not stream.cut


def test_an_expert_that_cannot_be_reached_is_followed_by_the_next(run):
    good = run.expert(scripts.answer("from the second"))
    gateway = run.gateway(config({"bad": expert(f"http://127.0.0.1:{unused_port()}/v1"), "good": expert(good)}))
    answer = gateway.chat()
    assert (answer.status, answer["x-frugal-expert"]) == (200, "good")
    metrics = gateway.metrics()
    assert metrics.value("frugal_attempts_total", expert="bad", result="connect") == 1
    assert metrics.value("frugal_attempts_total", expert="good", result="ok") == 1
    assert metrics.value("frugal_failovers_total", expert="bad") == 1


@pytest.mark.parametrize("cut", [scripts.stream_then_cut("some ", "words"),
                                 scripts.stream_then_cut("some ", "words", reset=True),
                                 lambda call: (call.head(stream=True), call.chunk("some "), call.chunk("words"),
                                               call.end())],
                         ids=["cut", "reset", "ended without DONE"])
def test_a_stream_that_breaks_after_content_ends_in_an_honest_error(run, cut):
    gateway, _, good = two(run, cut)
    with gateway.stream() as stream:
        said = list(stream)
    assert "".join(json.loads(event)["choices"][0]["delta"]["content"] for event in said[:-1]) == "some words"
    error = json.loads(said[-1])["error"]
    assert isinstance(error["message"], str) and error["type"] == "server_error"
    assert "[DONE]" not in said
    assert good.asked == 0
    line = gateway.log.wait(event="request")
    assert line["result"] != "ok"
    assert gateway.metrics().value("frugal_streams_cut_total", expert="bad") == 1


def test_a_cut_stream_is_paid_for_by_estimate(run):
    gateway, _, _ = two(run, scripts.stream_then_cut("word " * 50))
    with gateway.stream() as stream:
        list(stream)
    line = gateway.log.wait(event="request")
    assert line["estimated"] == "true" and float(line["cost_usd"]) > 0


@pytest.mark.parametrize("content", [
    {"reasoning_content": "hm"}, {"tool_calls": [{"index": 0, "id": "c", "function": {"name": "f"}}]},
    {"refusal": "no"}, {"x_unknown": {"a": 1}}], ids=lambda content: next(iter(content)))
def test_reasoning_tool_calls_and_unknown_fields_are_content_too(run, content):
    def script(call):
        call.head(stream=True)
        call.event({"choices": [{"index": 0, "delta": content}]})
        call.cut()

    gateway, _, good = two(run, script)
    with gateway.stream() as stream:
        assert stream["x-frugal-expert"] == "bad"
        assert "error" in json.loads(list(stream)[-1])
    assert good.asked == 0


def test_a_request_that_the_expert_refuses_is_not_tried_elsewhere(run):
    gateway, _, good = two(run, scripts.refuse(400, kind="invalid_request_error"))
    assert gateway.chat().status == 400
    assert good.asked == 0


def test_a_named_expert_that_fails_is_not_replaced(run):
    gateway, bad, good = two(run, scripts.refuse(500, message="it is broken"))
    answer = gateway.chat(model="bad")
    assert answer.status >= 500 and answer.error["type"] == "server_error"
    assert answer["x-frugal-error-source"] == "expert"
    assert good.asked == 0


def test_when_every_expert_fails_the_client_hears_it_in_openais_shape(run):
    gateway, bad, good = two(run, scripts.cut, scripts.refuse(500))
    answer = gateway.chat()
    assert answer.status in (502, 503)
    assert answer.error["type"] == "server_error"
    assert answer["x-frugal-error-source"] == "expert"
    assert (bad.asked, good.asked) == (1, 1)


def test_a_busy_experts_retry_after_reaches_the_client(run):
    gateway = run.gateway(run.expert(scripts.refuse(429, headers={"Retry-After": "17"}, kind="rate_limit_error")))
    answer = gateway.chat()
    assert answer.status in (429, 503)
    assert answer["Retry-After"] == "17"


def test_the_number_of_attempts_is_limited(run):
    experts = {f"expert{n}": run.expert(scripts.refuse(500)) for n in range(6)}
    gateway = run.gateway(config({name: expert(upstream) for name, upstream in experts.items()},
                                 limits={"attempts": 2}))
    assert gateway.chat().status >= 500
    assert sum(upstream.asked for upstream in experts.values()) == 2


@pytest.mark.parametrize("limits, held", [({"hold_chunks": 3}, 5), ({"hold_bytes": 1024}, 30)])
def test_empty_events_are_held_up_to_a_limit(run, limits, held):
    gate = Gate()

    def script(call):
        call.head(stream=True)
        for _ in range(held):
            call.chunk("", role="assistant")
        call.wait(gate)
        call.chunk("at last")
        call.done()

    gateway, _, _ = two(run, script, limits={"hold_ms": 60_000, **limits})
    with gateway.stream() as stream:
        assert json.loads(next(stream))["choices"][0]["delta"]["role"] == "assistant"
        gate.open()
        assert stream.text() == "at last"


def test_empty_events_are_held_up_to_a_time(run):
    gate = Gate()

    def script(call):
        call.head(stream=True)
        call.chunk("", role="assistant")
        call.wait(gate)
        call.chunk("at last")
        call.done()

    gateway, _, _ = two(run, script, limits={"hold_ms": 100})
    with gateway.stream() as stream:
        assert json.loads(next(stream))["choices"][0]["delta"]["role"] == "assistant"
        gate.open()
        assert stream.text() == "at last"


def test_after_the_hold_limit_a_failure_is_an_error_event(run):
    gate = Gate()

    def script(call):
        call.head(stream=True)
        call.chunk("", role="assistant")
        call.wait(gate)
        call.cut()

    gateway, _, good = two(run, script, limits={"hold_ms": 50})
    with gateway.stream() as stream:
        next(stream)
        gate.open()
        assert "error" in json.loads(list(stream)[-1])
        assert not stream.done
    assert good.asked == 0
