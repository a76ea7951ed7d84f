"""A stream reaches the client event by event, as it was said, with its cost at the end."""

import json
import time

import pytest

from harness import Gate, config, eventually, expert, scripts


def test_each_event_is_with_the_client_before_the_next_is_sent(run):
    gates = [Gate(), Gate(), Gate()]

    def script(call):
        call.head(stream=True)
        for n, gate in enumerate(gates):
            call.chunk(f"piece {n}")
            call.wait(gate)
        call.done()

    gateway = run.gateway(run.expert(script))
    with gateway.stream() as stream:
        for n, gate in enumerate(gates):
            assert json.loads(next(stream))["choices"][0]["delta"]["content"] == f"piece {n}"
            gate.open()
        assert list(stream) == ["[DONE]"]
        assert not stream.cut


def test_a_stream_has_the_headers_that_keep_proxies_from_buffering(run):
    gateway = run.gateway(run.expert(scripts.stream(["a"])))
    with gateway.stream() as stream:
        assert stream.status == 200
        assert stream["Content-Type"].startswith("text/event-stream")
        assert stream["Cache-Control"] == "no-cache"
        assert stream["X-Accel-Buffering"] == "no"
        assert stream["x-frugal-expert"] == "small" and stream["x-frugal-decision-id"]
        assert float(stream["x-frugal-cost-estimate-usd"]) > 0


def test_events_pass_as_they_are(run):
    events = [
        b'data: {"id":"a", "choices":[{"index":0,"delta":{"role":"assistant","content":""}}],"x" : 1e400}\n\n',
        b'data: {"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"call_1","type":"function",'
        b'"function":{"name":"f","arguments":""}}]}}]}\n\n',
        b'data: {"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"{\\"a\\":"}}]}}]}\n\n',
        b'data: {"choices":[{"index":0,"delta":{"reasoning_content":"hm \\u00e9"}}]}\n\n',
        b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"tool_calls"}]}\n\n']

    def script(call):
        call.head(stream=True)
        for event in events:
            call.piece(event)
        call.done()

    gateway = run.gateway(run.expert(script))
    with gateway.stream() as stream:
        list(stream)
        assert stream.raw == b"".join(events) + b"data: [DONE]\n\n"


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"], ids=["LF", "CRLF", "CR"])
def test_a_stream_cut_into_single_bytes_has_the_same_events(run, end):
    lines = [b": keep-alive", b"", b'data: {"choices":[{"index":0,"delta":{"content":"h\xc3\xa9"}}]}', b"",
             b"event: message", b'data:{"choices":[{"index":0,"delta":{"content":"llo"}}]}', b"",
             b"data: [DONE]", b""]

    def script(call):
        call.head(stream=True)
        for n in end.join(lines + [b""]):
            call.piece(bytes([n]))
        call.end()

    gateway = run.gateway(run.expert(script))
    with gateway.stream() as stream:
        assert stream.text() == "héllo"
        assert stream.done and not stream.cut


def test_the_expert_is_always_asked_for_usage(run):
    small = run.expert(scripts.answer())
    gateway = run.gateway(small)
    for asked in ({}, {"stream_options": {"include_usage": False}}, {"stream_options": {}},
                  {"stream_options": {"include_usage": True, "x_more": [1]}}, {"stream_options": None}):
        with gateway.stream(**asked) as stream:
            list(stream)
    sent = [call.json()["stream_options"] for call in small.calls()]
    assert [options["include_usage"] for options in sent] == [True] * 5
    assert sent[3]["x_more"] == [1]


def test_a_whole_answer_is_not_asked_for_stream_options(run):
    small = run.expert(scripts.answer())
    gateway = run.gateway(small)
    assert gateway.chat(stream=False).status == 200
    assert "stream_options" not in small.call().json()


@pytest.mark.parametrize("asked", [{}, {"stream_options": {"include_usage": False}}], ids=["silent", "declined"])
def test_a_client_that_did_not_ask_for_usage_gets_no_usage_event(run, asked):
    gateway = run.gateway(run.expert(scripts.answer("fine")))
    with gateway.stream(**asked) as stream:
        chunks = stream.chunks()
        assert all(chunk["choices"] for chunk in chunks)
        assert all("usage" not in chunk for chunk in chunks)
        assert stream.done
    assert float(gateway.log.wait(event="request")["cost_usd"]) == pytest.approx(50e-6)


def test_a_client_that_asked_for_usage_gets_it_with_the_settled_cost(run):
    gateway = run.gateway(run.expert(scripts.answer("fine", prompt=100, output=1000)))
    with gateway.stream(stream_options={"include_usage": True}) as stream:
        last = stream.chunks()[-1]
        assert last["choices"] == []
        assert last["usage"]["total_tokens"] == 1100
        assert last["usage"]["cost"] == pytest.approx(100e-6 + 2000e-6)
        assert last["usage"]["cost_details"]["decision_id"] == stream["x-frugal-decision-id"]
        assert stream.done


@pytest.mark.parametrize("where", ["with the finish", "after the finish, before another event"])
def test_usage_is_understood_wherever_an_expert_puts_it(run, where):
    usage = {"prompt_tokens": 10, "completion_tokens": 20, "total_tokens": 30}

    def script(call):
        call.head(stream=True)
        call.chunk("fine")
        if where == "with the finish":
            call.chunk(finish="stop", usage=usage)
        else:
            call.chunk(finish="stop")
            call.chunk(usage=usage)
            call.piece(b": bye\n\n")
        call.done()

    gateway = run.gateway(run.expert(script))
    with gateway.stream() as stream:
        assert stream.text() == "fine" and stream.done
    line = gateway.log.wait(event="request")
    assert float(line["cost_usd"]) == pytest.approx(50e-6)
    assert "estimated" not in line


def test_a_stream_without_usage_is_estimated_and_marked(run):
    def script(call):
        call.head(stream=True)
        for _ in range(40):
            call.chunk("word ")
        call.chunk(finish="stop")
        call.done()

    gateway = run.gateway(run.expert(script))
    with gateway.stream() as stream:
        assert stream.text() == "word " * 40
    line = gateway.log.wait(event="request")
    assert line["estimated"] == "true"
    assert float(line["cost_usd"]) > 0


@pytest.mark.parametrize("done", [True, False], ids=["done", "no done"])
def test_a_client_that_asked_for_usage_gets_an_estimate_where_the_expert_tells_none(run, done):
    def script(call):
        call.head(stream=True)
        for _ in range(40):
            call.chunk("word ")
        call.chunk(finish="stop")
        call.done() if done else call.end()

    gateway = run.gateway(run.expert(script))
    with gateway.stream(stream_options={"include_usage": True}) as stream:
        *chunks, last = stream.chunks()
    assert stream.done is done and not stream.cut
    assert last["choices"] == [] and (last["id"], last["created"]) == (chunks[0]["id"], chunks[0]["created"])
    usage = last["usage"]
    assert usage["cost_details"]["estimated"] is True and usage["completion_tokens"] == 50
    assert usage["total_tokens"] == usage["prompt_tokens"] + 50
    assert usage["cost"] == pytest.approx(float(gateway.log.wait(event="request")["cost_usd"]))
    assert all("usage" not in chunk for chunk in chunks)


def test_an_error_event_after_content_reaches_the_client_without_a_clean_end(run):
    def script(call):
        call.head(stream=True)
        call.chunk("some")
        call.event({"error": {"message": "out of memory", "type": "server_error", "param": None, "code": None}})
        call.done()

    gateway = run.gateway(run.expert(script))
    with gateway.stream() as stream:
        said = list(stream)
    assert "some" in said[0]
    assert json.loads(said[-1])["error"]["message"]
    assert "[DONE]" not in said


def test_a_hundred_streams_run_side_by_side(run):
    n = 100
    gate = Gate()

    def script(call):
        call.head(stream=True)
        call.chunk("first")
        call.wait(gate)
        call.chunk(" second")
        call.usage()
        call.done()

    small = run.expert(script)
    gateway = run.gateway(small)
    streams = [gateway.stream(f"number {i}") for i in range(n)]
    assert ["first" in next(stream) for stream in streams] == [True] * n
    gate.open()
    assert [stream.text() for stream in streams] == [" second"] * n
    for stream in streams:
        stream.close()
    assert gateway.log.wait(count=n, event="request")


def test_a_client_that_does_not_read_holds_back_its_expert_and_not_the_gateways_memory(run):
    piece, total = "x" * 65536, 48 << 20
    sent = []

    def script(call):
        call.head(stream=True)
        for _ in range(total // len(piece)):
            call.chunk(piece)
            sent.append(len(piece))
        call.done()

    gateway = run.gateway(run.expert(script))
    before = gateway.resident_bytes()
    with gateway.connect(receive_buffer=65536) as wire:
        stream = gateway.stream(wire=wire)
        stalled = _stands_still(sent)
        assert stalled * len(piece) < total / 2
        assert gateway.resident_bytes() - before < 8 << 20
        assert len(stream.text()) == total
        assert stream.done


def _stands_still(sent):
    """The length of a list once it has not grown for half a second: what is asserted is that nothing happens."""
    last = [len(sent), time.monotonic()]

    def still():
        if len(sent) != last[0]:
            last[:] = len(sent), time.monotonic()
        return last[0] > 0 and time.monotonic() - last[1] > 0.5

    eventually(still, "the expert is held back")
    return last[0]


def test_a_large_answer_comes_whole_to_a_slow_reader(run):
    body = scripts.completion("y" * (6 << 20))
    gateway = run.gateway(config({"small": expert(run.expert(lambda call: call.answer(body)))}))
    with gateway.connect(receive_buffer=32768) as wire:
        answer = gateway.request("POST", "/v1/chat/completions", wire=wire,
                                 body={"model": "small", "messages": [{"role": "user", "content": "x"}]})
    assert answer.json()["choices"][0]["message"]["content"] == "y" * (6 << 20)
