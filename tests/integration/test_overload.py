"""More requests than may be under way: some wait for a place, the rest is refused before anything is spent."""

import pytest

from harness import Gate, config, eventually, expert, scripts
from harness.keys import Key, key_file

LIMITS = {"in_flight": 1, "queue": 8, "queue_ms": 60000}


@pytest.fixture
def busy(run):
    """A gateway whose only place is taken until the gate opens. Gives the gateway, the expert, the gate, and the
    connection of who has the place."""
    def make(limits=(), headers=(), files=(), **more):
        gate = Gate()
        small = run.expert(lambda call: (call.wait(gate), call.answer(scripts.completion("small"))))
        gateway = run.gateway(config({"small": expert(small)}, limits={**LIMITS, **dict(limits)}, **more), files=files)
        first = gateway.start("first", headers=headers)
        small.call()
        return gateway, small, gate, first
    return make


def waits(gateway, n):
    eventually(lambda: gateway.metrics().value("frugal_requests_waiting") == n, f"{n} wait")


def status(wire):
    return int(wire.read_head().start.split()[1])


def test_a_request_beyond_the_limit_waits_and_is_answered(busy):
    gateway, small, gate, first = busy()
    second = gateway.start("second")
    waits(gateway, 1)
    assert small.asked == 1
    gate.open()
    assert (status(first), status(second)) == (200, 200)
    line = gateway.log.wait(event="request", count=2)
    assert [float(line["queued_ms"]) >= 0 for line in gateway.log.lines(event="request") if "queued_ms" in line] == [True]
    assert gateway.metrics().value("frugal_queue_wait_seconds_count") == 1


def test_who_gets_no_place_in_time_is_refused_and_nothing_was_spent(busy):
    gateway, small, gate, first = busy({"queue_ms": 30})
    refused = gateway.chat()
    assert (refused.status, refused.error["code"]) == (503, "overloaded")
    assert 1 <= int(refused["Retry-After"]) <= 3 and "x-should-retry" not in refused
    assert small.asked == 1
    metrics = gateway.metrics()
    assert metrics.value("frugal_requests_shed_total", why="late") == 1
    assert metrics.value("frugal_reservations") == 1  # of who has the place
    gate.open()
    assert status(first) == 200


def test_beyond_the_queue_a_request_is_refused_at_once(busy):
    gateway, small, gate, first = busy({"queue": 1})
    second = gateway.start()
    waits(gateway, 1)
    assert gateway.chat().status == 503
    assert gateway.get("/healthz").status == gateway.get("/v1/models").status == 200
    assert gateway.metrics().value("frugal_requests_shed_total", why="full") == 1
    gate.open()
    assert (status(first), status(second)) == (200, 200)


def test_a_client_that_leaves_while_it_waits_asks_nobody_anything(busy):
    gateway, small, gate, first = busy()
    second = gateway.start()
    waits(gateway, 1)
    second.close()
    waits(gateway, 0)
    gate.open()
    assert status(first) == 200
    assert small.asked == 1


def test_a_deadline_that_passes_in_the_queue_is_said_so(busy):
    gateway, small, gate, first = busy()
    late = gateway.chat(headers={"x-frugal-deadline-ms": "50"})
    assert (late.status, late.error["code"]) == (504, "deadline_exceeded")
    gate.open()
    assert status(first) == 200
    assert small.asked == 1


def test_who_waits_is_answered_before_the_gateway_ends(busy):
    gateway, small, gate, first = busy()
    second = gateway.start()
    waits(gateway, 1)
    gateway.terminate()
    gateway.log.wait(event="draining")
    gate.open()
    assert (status(first), status(second)) == (200, 200)
    assert gateway.wait_exit() == 0


def test_a_client_that_sends_slowly_holds_no_place(run):
    small = run.expert(scripts.answer("small"))
    gateway = run.gateway(config({"small": expert(small)}, limits={**LIMITS, "queue": 0}))
    slow = [gateway.connect() for _ in range(3)]
    for wire in slow:
        wire.send(b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: 500\r\n\r\n{")
    assert gateway.chat().status == 200
    assert gateway.metrics().value("frugal_requests_in_flight") == 0


def test_bodies_of_all_requests_together_are_bounded(run):
    small = run.expert(scripts.answer("small"))
    gateway = run.gateway(config({"small": expert(small)}, limits={"bodies_bytes": 1 << 20}))
    half = gateway.connect()
    half.send(b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: 1000000\r\n\r\n{" + b" " * 899999)
    eventually(lambda: gateway.metrics().value("frugal_body_bytes") > 800_000, "the first is there")
    assert gateway.chat("x" * 300_000).status == 503
    assert gateway.metrics().value("frugal_requests_shed_total", why="memory") == 1
    assert gateway.chat("hello").status == 200
    half.close()
    eventually(lambda: gateway.chat("x" * 300_000).status == 200, "what it took is given back")


def test_a_key_that_floods_does_not_starve_another(run, busy):
    greedy, modest = Key("greedy"), Key("modest")
    gateway, small, gate, first = busy(headers=greedy.headers, keys={"file": "keys.json"}, workers=1,
                                       files={"keys.json": key_file(greedy, modest)})
    crowd = [gateway.start(f"greedy {i}", headers=greedy.headers) for i in range(4)]
    waits(gateway, 4)
    refused = gateway.chat(headers=greedy.headers)
    assert refused.status == 503 and "this key" in refused.error["message"]
    other = gateway.start("modest", headers=modest.headers)
    waits(gateway, 5)
    gate.open()
    assert [status(wire) for wire in [first, other, *crowd]] == [200] * 6
    asked = [call.json()["messages"][0]["content"] for call in small.calls()]
    assert asked[:3] == ["first", "greedy 0", "modest"]
    assert [name for name in asked if name.startswith("greedy")] == [f"greedy {i}" for i in range(4)]


def test_silent_connections_keep_nobody_out(run):
    """As many as there may be, some with half a head; one has a request under way and is left alone."""
    gate = Gate()
    small = run.expert(lambda call: (call.wait(gate), call.answer(scripts.completion("small"))))
    gateway = run.gateway(config({"small": expert(small)}, workers=1, limits={"connections": 24, "request_timeout_ms": 600000}))
    busy = gateway.start("busy")
    small.call()
    silent = [gateway.connect() for _ in range(40)]
    for wire in silent[::2]:
        wire.send(b"POST /v1/chat/completions HTTP/1.1\r\nhost:")
    asked = [gateway.start(f"number {i}") for i in range(10)]
    small.call(11)
    gate.open()
    assert [status(wire) for wire in [busy, *asked]] == [200] * 11
    assert gateway.metrics().value("frugal_idle_connections_closed_total") >= 20


def test_kept_connections_stay_as_long_as_there_is_room(run):
    gateway = run.gateway(config({"small": expert(run.expert(scripts.answer()))}, workers=1, limits={"connections": 24}))
    kept = [gateway.connect() for _ in range(20)]
    for _ in range(2):
        assert [gateway.request("GET", "/healthz", wire=wire).status for wire in kept] == [200] * 20
    assert gateway.metrics().value("frugal_idle_connections_closed_total") == 0
