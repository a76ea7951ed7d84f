"""Clients that pipeline, speak HTTP/1.0, trace, forward, or come in crowds."""

import concurrent.futures
import json

import pytest

from harness import SLOW, Response, config, eventually, expert, scripts
from harness.routers import PRICES, held_out
from harness.wire import request_bytes

ASK = json.dumps({"model": "auto", "messages": [{"role": "user", "content": "x"}]}).encode()


def test_pipelined_requests_are_answered_in_order(run):
    small = run.expert([scripts.answer("one"), scripts.answer("two"), scripts.answer("three")])
    gateway = run.gateway(config({"small": expert(small)}, workers=1))
    with gateway.connect() as wire:
        wire.send(request_bytes("POST", "/v1/chat/completions", body=ASK) * 3)
        said = [Response(wire).json()["choices"][0]["message"]["content"] for _ in range(3)]
    assert said == ["one", "two", "three"]


def test_a_client_of_http_1_0_is_served_and_the_connection_closed(run):
    gateway = run.gateway(run.expert(scripts.answer()))
    with gateway.connect() as wire:
        wire.send(request_bytes("POST", "/v1/chat/completions", body=ASK).replace(b"HTTP/1.1", b"HTTP/1.0", 1))
        assert Response(wire).status == 200
        assert wire.wait_gone()


def test_a_client_that_wants_to_close_is_obeyed(run):
    gateway = run.gateway(run.expert(scripts.answer()))
    with gateway.connect() as wire:
        wire.send(request_bytes("POST", "/v1/chat/completions", {"Connection": "close"}, ASK))
        assert Response(wire).status == 200
        assert wire.wait_gone()


def test_an_idle_connection_is_closed_after_its_time(run):
    gateway = run.gateway(config({"small": expert(run.expert(scripts.answer()))}, limits={"keep_alive_ms": 1000}))
    with gateway.connect() as wire:
        assert gateway.request("GET", "/v1/models", wire=wire).status == 200
        assert wire.wait_gone()


@pytest.mark.parametrize("kept", [False, True])
def test_a_head_that_drips_in_is_given_up(run, kept):
    """Each byte comes soon after the last: only the whole head has a limit. Another client is served meanwhile."""
    gateway = run.gateway(config({"small": expert(run.expert(scripts.answer()))},
                                 limits={"request_timeout_ms": 300, "keep_alive_ms": 1000}))
    with gateway.connect() as wire:
        if kept:
            assert gateway.request("GET", "/healthz", wire=wire).status == 200
        sent = 0

        def ended():
            nonlocal sent
            try:
                wire.send(b"GET /v1/models HTTP/1.1\r\nX-Slow: "[sent:sent + 1] or b"a")
            except OSError:
                return True
            sent += 1
            return wire.wait_gone(patience=0.02)

        eventually(ended, "the connection of the slow client is closed")
        assert sent > 1
        assert gateway.chat().status == 200


@pytest.mark.parametrize("framing", ["Content-Length: 1000", "Transfer-Encoding: chunked"])
def test_a_body_that_drips_in_is_given_up_and_nobody_is_asked(run, framing):
    small = run.expert(scripts.answer())
    gateway = run.gateway(config({"small": expert(small)}, limits={"request_timeout_ms": 300}))
    with gateway.connect() as wire:
        wire.send(f"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\n{framing}\r\n\r\n".encode())

        def ended():
            try:
                wire.send(b"1\r\n \r\n" if "chunked" in framing else b" ")
            except OSError:
                return True
            return wire.wait_gone(patience=0.02)

        eventually(ended, "the connection of the slow client is closed")
    assert gateway.log.wait(event="request")["result"] == "client_slow" and small.asked == 0


def test_an_idle_connection_that_was_never_used_is_given_up(run):
    gateway = run.gateway(config({"small": expert(run.expert(scripts.answer()))}, limits={"request_timeout_ms": 300}))
    with gateway.connect() as wire:
        assert wire.wait_gone()


def test_a_trace_and_forwarded_headers_reach_the_expert(run):
    small = run.expert(scripts.answer())
    gateway = run.gateway(small)
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    assert gateway.chat(headers={"traceparent": trace, "x-frugal-fwd-x-tenant": "blue"}).status == 200
    request = small.call().request
    assert request["traceparent"].split("-")[1] == trace.split("-")[1]
    assert request["x-tenant"] == "blue"


@pytest.mark.parametrize("name", ["authorization", "host", "content-length", "transfer-encoding", "connection",
                                  "content-type"])
def test_what_is_forwarded_cannot_replace_what_we_send(run, name):
    small = run.expert(scripts.answer())
    gateway = run.gateway(config({"small": expert(small, key={"env": "SMALL_KEY"})}, workers=1),
                          env={"SMALL_KEY": "sk-for-the-expert"})
    answer = gateway.chat(headers={f"x-frugal-fwd-{name}": "17"})
    assert answer.status in (200, 400)
    if answer.status == 200:
        call = small.call()
        assert call.request["Authorization"] == "Bearer sk-for-the-expert"
        assert call.request["Host"] == f"127.0.0.1:{small.port}"
        assert call.json()["model"] == "scripted"


def test_a_decision_is_explained_when_asked_for(run, router):
    gateway = run.gateway(router.config({name: expert(run.expert(scripts.answer()), price=PRICES[name])
                                         for name in PRICES}))
    answer = gateway.chat(held_out("poems", 1)[0], headers={"x-frugal-explain": "true"})
    assert "poet" in json.dumps(answer.json()["usage"]["cost_details"]["decision"])
    assert "decision" not in gateway.chat(held_out("poems", 1)[0]).json()["usage"]["cost_details"]


def test_a_crowd_is_served_while_configurations_come_and_go(run, router):
    whole = router.config({name: expert(run.expert(scripts.answer(f"by {name}")), price=PRICES[name])
                           for name in PRICES})
    gateway = run.gateway(whole)
    prompts = held_out("sums", 100) + held_out("poems", 100)

    def ask(n):
        with gateway.connect() as wire:
            body = {"model": "auto", "messages": [{"role": "user", "content": prompts[n]}]}
            if n % 2:
                return gateway.request("POST", "/v1/route", body, wire=wire)["x-frugal-expert"]
            return gateway.request("POST", "/v1/chat/completions", body, wire=wire)["x-frugal-expert"]

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        answers = pool.map(ask, range(200))
        for n in range(10):
            gateway.reload()
            gateway.log.wait(event="reloaded", count=n + 1)
            gateway.metrics()
        chosen = list(answers)
    assert chosen[:100].count("mathy") >= 95 and chosen[100:].count("poet") >= 95


@pytest.mark.skipif(SLOW > 1, reason="a sanitizer keeps memory of its own")
def test_memory_does_not_grow_with_the_number_of_requests(run):
    small = run.expert(scripts.answer("x" * 1000))
    gateway = run.gateway(small)

    def some():
        with gateway.connect() as wire:
            for n in range(400):
                gateway.request("POST", "/v1/chat/completions", wire=wire, body={
                    "model": "auto", "stream": n % 3 == 0, "messages": [{"role": "user", "content": "y" * (n * 50)}]})
        return gateway.resident_bytes()

    warm = some()
    after = [some() for _ in range(3)]
    assert min(after) - warm < 2 << 20, (warm, after)


def test_connections_beyond_the_limit_do_not_starve_those_within(run):
    gateway = run.gateway(config({"small": expert(run.expert(scripts.answer()))}, limits={"connections": 16}))
    with gateway.connect() as first:
        assert gateway.request("GET", "/v1/models", wire=first).status == 200
        crowd = [gateway.connect() for _ in range(60)]
        assert gateway.request("POST", "/v1/chat/completions", wire=first, body=ASK).status == 200
        for wire in crowd:
            wire.close()
    assert gateway.chat().status == 200
