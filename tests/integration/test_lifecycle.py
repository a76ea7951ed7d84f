"""Signals: SIGTERM drains, SIGHUP reloads, and neither loses a request."""

import copy
import json
import signal
import socket

import pytest

from harness import SLOW, Gate, config, eventually, expert, scripts


def held_stream(gate):
    def script(call):
        call.head(stream=True)
        call.chunk("first")
        call.wait(gate)
        call.chunk(" last")
        call.usage()
        call.done()

    return script


def refuses_connections(port):
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) != 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
def test_a_drain_finishes_what_is_in_flight_and_takes_nothing_new(run, number):
    gate = Gate()
    gateway = run.gateway(run.expert(held_stream(gate)))
    stream = gateway.stream()
    next(stream)
    gateway.signal(number)
    eventually(lambda: refuses_connections(gateway.port), "no new connection is taken")
    gate.open()
    assert stream.text() == " last"
    assert stream.done and not stream.cut
    stream.close()
    assert gateway.wait_exit() == 0
    assert gateway.log.wait(event="request")["result"] == "ok"


def test_a_request_that_waits_for_its_first_byte_is_finished_too(run):
    gate = Gate()
    small = run.expert(lambda call: (call.wait(gate), call.answer(scripts.completion("late"))))
    gateway = run.gateway(small)
    wire = gateway.start()
    small.call()
    gateway.terminate()
    eventually(lambda: refuses_connections(gateway.port), "no new connection is taken")
    gate.open()
    assert b"late" in wire.read_body(wire.read_head(), is_answer=True)
    wire.close()
    assert gateway.wait_exit() == 0


def test_an_idle_gateway_ends_at_once_even_with_idle_connections(run):
    gateway = run.gateway(run.expert(scripts.answer()))
    with gateway.connect() as used, gateway.connect(), gateway.connect() as half:
        gateway.request("GET", "/v1/models", wire=used)
        half.send(b"GET /v1/mod")
        gateway.terminate()
        assert gateway.wait_exit() == 0


def test_a_drain_has_an_end(run):
    small = run.expert(scripts.stream_then_silent("x"))
    gateway = run.gateway(config({"small": expert(small)}, limits={"drain_ms": int(300 * SLOW)}))
    stream = gateway.stream()
    next(stream)
    gateway.terminate()
    assert gateway.wait_exit() == 0
    small.call().wait_gone()
    events = list(stream)
    assert "[DONE]" not in events and json.loads(events[-1])["error"]["code"] == "shutting_down"


def test_a_second_signal_ends_a_drain_at_once(run):
    small = run.expert(scripts.stream_then_silent("x"))
    gateway = run.gateway(small)
    stream = gateway.stream()
    next(stream)
    gateway.terminate()
    eventually(lambda: refuses_connections(gateway.port), "the drain has begun")
    gateway.terminate()
    assert gateway.wait_exit() == 0
    stream.close()


def test_a_reload_takes_over_a_new_configuration(run):
    small, large = run.expert(scripts.answer("small")), run.expert(scripts.answer("large"))
    whole = config({"small": expert(small)})
    gateway = run.gateway(whole)
    assert gateway.chat(model="large").status == 404
    whole["experts"]["large"] = expert(large)
    whole["policies"]["auto"]["default"] = "large"
    gateway.write_config(whole)
    gateway.reload()
    gateway.log.wait(event="reloaded")
    assert gateway.chat(model="large").status == 200
    assert gateway.chat()["x-frugal-expert"] == "large"
    assert gateway.metrics().value("frugal_reloads_total") == 1


@pytest.mark.parametrize("broken", ["{", '{"experts": {}}', None], ids=["not JSON", "no experts", "a typo"])
def test_a_broken_configuration_keeps_the_old_one(run, broken):
    whole = config({"small": expert(run.expert(scripts.answer()))})
    gateway = run.gateway(whole)
    typo = copy.deepcopy(whole)
    typo["experts"]["small"]["endpiont"] = []
    gateway.write_config(broken or typo)
    gateway.reload()
    line = gateway.log.wait(event="reload_failed")
    assert line["level"] == "error" and "config.json" in line.raw
    assert gateway.chat().status == 200
    metrics = gateway.metrics()
    assert (metrics.value("frugal_reloads_total"), metrics.value("frugal_reloads_failed_total")) == (0, 1)


def test_a_broken_bundle_keeps_the_old_one(run, router):
    small = run.expert(scripts.answer())
    whole = router.config({"mathy": expert(small), "poet": expert(small)}, "lexical")
    good = router.bundle("lexical").read_bytes()
    whole["bundle"] = "live.frugal"
    gateway = run.gateway(whole, files={"live.frugal": good})
    (gateway.folder / "live.frugal").write_bytes(good[:-100])
    gateway.reload()
    assert "live.frugal" in gateway.log.wait(event="reload_failed").raw
    assert gateway.chat("Write a tender haiku about the sea.")["x-frugal-expert"] == "poet"
    assert gateway.metrics().value("frugal_bundle_loaded") == 1


def test_a_first_bundle_is_taken_over_by_a_reload(run, router):
    small = run.expert(scripts.answer())
    whole = router.config({"mathy": expert(small), "poet": expert(small)}, "lexical")
    bundle = whole.pop("bundle")
    gateway = run.gateway(whole)
    assert gateway.chat("Compute 2 plus 3 minus 4.")["x-frugal-reason"] == "no_bundle"
    gateway.write_config({**whole, "bundle": bundle})
    gateway.reload()
    gateway.log.wait(event="reloaded")
    answer = gateway.chat("Compute 2 plus 3 minus 4.")
    assert (answer["x-frugal-expert"], answer["x-frugal-reason"]) == ("mathy", "routed")


def test_a_request_in_flight_outlives_the_configuration_it_began_with(run):
    gate = Gate()
    small, large = run.expert(held_stream(gate)), run.expert(scripts.answer("large"))
    gateway = run.gateway(config({"small": expert(small)}))
    stream = gateway.stream()
    next(stream)
    for n in range(3):
        gateway.write_config(config({"large": expert(large)}))
        gateway.reload()
        gateway.log.wait(event="reloaded", count=n + 1)
    assert gateway.chat()["x-frugal-expert"] == "large"
    gate.open()
    assert stream.text() == " last" and stream.done
    stream.close()
    lines = [gateway.log.wait(event="request", count=n) for n in (1, 2)]
    assert {line["expert"] for line in lines} == {"small", "large"}


def test_reloads_under_load_lose_nothing(run):
    small = run.expert(scripts.answer())
    whole = config({"small": expert(small)})
    gateway = run.gateway(whole)
    statuses = []
    for n in range(20):
        gateway.reload()
        statuses += [gateway.chat().status for _ in range(5)]
    assert statuses == [200] * 100


def test_signals_of_others_do_no_harm(run):
    gateway = run.gateway(run.expert(scripts.answer()))
    for number in (signal.SIGPIPE, signal.SIGCHLD, signal.SIGWINCH):
        gateway.signal(number)
    assert gateway.chat().status == 200
