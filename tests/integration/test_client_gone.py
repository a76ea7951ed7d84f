"""A client that leaves takes its calls with it, at once: nobody pays for an answer that nobody reads."""

import pytest

from harness import Gate, config, embedding, eventually, expert, scripts
from harness.routers import Switch, held_out
from harness.wire import request_bytes

LEAVING = {"closes": lambda wire: wire.close(), "resets": lambda wire: wire.reset()}


@pytest.mark.parametrize("leave", LEAVING)
def test_a_client_that_leaves_before_the_first_byte_ends_the_experts_call(run, leave):
    small = run.expert(scripts.silent)
    gateway = run.gateway(small)
    wire = gateway.start()
    call = small.call()
    LEAVING[leave](wire)
    call.wait_gone()
    assert gateway.log.wait(event="request")["result"] == "client_gone"


@pytest.mark.parametrize("leave", LEAVING)
def test_a_client_that_leaves_in_mid_stream_ends_the_experts_call(run, leave):
    small = run.expert(scripts.stream_then_silent("some"))
    gateway = run.gateway(small)
    stream = gateway.stream()
    assert "some" in "".join(next(stream) for _ in range(2))
    LEAVING[leave](stream.wire)
    small.call().wait_gone()
    line = gateway.log.wait(event="request")
    assert line["result"] == "client_gone"
    assert line["estimated"] == "true"


def test_a_client_that_leaves_while_events_are_held_back_ends_the_experts_call(run):
    small = run.expert(scripts.stream_then_silent())
    gateway = run.gateway(config({"small": expert(small)}, limits={"hold_ms": 60_000}))
    wire = gateway.start(stream=True)
    call = small.call()
    wire.close()
    call.wait_gone()


def test_a_client_that_leaves_inside_a_whole_answer_ends_the_experts_call(run):
    small = run.expert(lambda call: (call.head(length=100_000), call.raw_bytes(b'{"id":'), call.stall()))
    gateway = run.gateway(small)
    wire = gateway.start()
    call = small.call()
    wire.close()
    call.wait_gone()


def test_a_client_that_leaves_while_a_busy_stream_runs_ends_it(run):
    def script(call):
        call.head(stream=True)
        while not call.expert.closing.is_set():
            call.chunk("and on and on ")

    small = run.expert(script)
    gateway = run.gateway(small)
    stream = gateway.stream()
    for _ in range(20):
        next(stream)
    stream.close()
    small.call().wait_ended()
    assert gateway.log.wait(event="request")["result"] == "client_gone"


def test_a_client_that_does_not_read_and_then_leaves_ends_the_experts_call(run):
    def script(call):
        call.head(stream=True)
        while not call.expert.closing.is_set():
            call.chunk("x" * 65536)

    small = run.expert(script)
    gateway = run.gateway(small)
    wire = gateway.start(stream=True, wire=gateway.connect(receive_buffer=4096))
    small.call()
    wire.close()
    small.call().wait_ended()


def test_a_client_that_leaves_inside_its_request_asks_nobody_anything(run):
    small = run.expert(scripts.answer())
    gateway = run.gateway(small)
    raw = request_bytes("POST", "/v1/chat/completions",
                        body=b'{"model":"small","messages":[{"role":"user","content":"x"}]}')
    with gateway.connect() as wire:
        wire.send(raw[:-10])
    assert gateway.chat().status == 200
    assert small.asked == 1


def test_the_gateway_serves_on_after_many_clients_have_left(run):
    small = run.expert([scripts.stream_then_silent("x")] * 50 + [scripts.answer("still here")])
    gateway = run.gateway(small)
    files = gateway.open_files()
    streams = [gateway.stream() for _ in range(50)]
    for stream in streams:
        next(stream)
        stream.close()
    for n in range(1, 51):
        small.call(n).wait_gone()
    assert gateway.chat().json()["choices"][0]["message"]["content"] == "still here"
    gateway.log.wait(event="request", count=51)
    metrics = gateway.metrics()
    assert metrics.value("frugal_clients_gone_total") == 50
    assert metrics.value("frugal_requests_in_flight") == 0
    assert metrics.value("frugal_expert_in_flight", expert="small") == 0
    eventually(lambda: gateway.open_files() <= files + 12, "the descriptors of the dead are given back")


def test_an_expert_that_answers_a_client_that_left_harms_nobody(run):
    gate = Gate()

    def late(call):
        call.wait(gate)
        call.answer(scripts.completion())

    small = run.expert([late, scripts.answer()])
    gateway = run.gateway(small)
    wire = gateway.start()
    small.call()
    wire.close()
    gate.open()
    gateway.log.wait(event="request")
    assert gateway.chat().status == 200


def test_a_client_that_leaves_while_evidence_is_bought_ends_the_embedders_call(run, router):
    switch = Switch(router.embeddings)
    embedder, answering = run.expert(embeddings=switch), run.expert(scripts.answer())
    gateway = run.gateway(router.config(
        {"mathy": expert(answering), "poet": expert(answering),
         "embedder": expert(embedder, generator=False, embedding=embedding(dim=router.dim))}, "remote"))
    gateway.wait_probed()
    switch.script = scripts.silent
    before = len(embedder.calls("/embeddings"))
    wire = gateway.start(held_out("sums", 1)[0])
    call = embedder.call(before + 1, "/embeddings")
    wire.close()
    call.wait_gone()
    assert gateway.log.wait(event="request")["result"] == "client_gone"
    assert answering.asked == 0


def test_a_client_that_leaves_after_the_last_event_had_its_whole_answer(run):
    def script(call):
        call.head(stream=True)
        call.chunk("all of it")
        call.usage()
        call.piece(b"data: [DONE]\n\n")
        call.stall()

    gateway = run.gateway(run.expert(script))
    stream = gateway.stream()
    while not stream.done:
        next(stream)
    stream.close()
    line = gateway.log.wait(event="request")
    assert (line["result"], line["status"], line.get("estimated")) == ("ok", "200", None)
    assert float(line["cost_usd"]) > 0
