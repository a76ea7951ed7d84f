"""Signs of life on a stream whose expert is silent: `ping_ms` and `ping_held`."""

import json

import anthropic
import openai
import pytest

from harness import SLOW, Gate, config, expert, scripts
from test_every_api import LAST, TEXT, content_of, streams, upstream

PING = {"chat": b": keep-alive\n\n", "completions": b": keep-alive\n\n", "responses": b": keep-alive\n\n",
        "messages": b'event: ping\ndata: {"type":"ping"}\n\n'}
FAST = 30  # ms


def chunk(text, finish=None):
    return {"choices": [{"index": 0, "text": text, "delta": {"content": text}, "finish_reason": finish}]}


def wait_for_pings(stream, api, n):
    while stream.raw.count(PING[api]) < n:
        assert stream._more(), stream.raw


@pytest.mark.parametrize("api", TEXT)
def test_a_silent_expert_is_made_up_for_by_pings_between_events(run, api):
    gate = Gate()

    def script(call):
        call.head(stream=True)
        call.event(chunk("Hel"))
        call.wait(gate)
        call.event(chunk("lo"))
        call.event(chunk("", "stop"))
        call.done()

    gateway = run.gateway(config({"small": expert(upstream(run, api, script))}, ping_ms=FAST))
    with streams(gateway, api) as stream:
        wait_for_pings(stream, api, 3)
        gate.open()
        datas = list(stream)
        assert not stream.cut and LAST[api] in datas[-1]
    said = [json.loads(data) for data in datas if data != "[DONE]"]
    assert content_of(api, [event for event in said if event.get("type") != "ping"]) == "Hello"
    assert gateway.log.wait(event="request")["result"] == "ok"


def test_a_stream_that_speaks_in_time_has_no_pings_and_neither_has_one_where_they_are_off(run):
    def slow(call):
        call.head(stream=True)
        call.chunk("Hel")
        call.expert.closing.wait(0.3)
        call.chunk("lo")
        call.done()

    for script, settings in (scripts.answer("Hello"), {"ping_ms": int(60000 * SLOW)}), (slow, {}):
        gateway = run.gateway(config({"small": expert(run.expert(script))}, **settings))
        with gateway.stream() as stream:
            assert stream.text() == "Hello" and b":" != stream.raw[:1] and b"keep-alive" not in stream.raw


@pytest.mark.parametrize("api", TEXT)
def test_before_the_first_content_nothing_goes_out_and_another_expert_takes_over(run, api):
    def silent(call):
        call.head(stream=True)
        call.event({"choices": [{"index": 0, "text": "", "delta": {"role": "assistant", "content": ""}}]})
        call.expert.closing.wait(FAST * 8 / 1000)
        call.cut()

    first, second = upstream(run, api, silent), upstream(run, api)
    gateway = run.gateway(config({"first": expert(first), "second": expert(second)}, ping_ms=FAST,
                                 limits={"hold_ms": 60000}))
    with streams(gateway, api) as stream:
        assert stream["x-frugal-expert"] == "second"
        list(stream)
        assert not stream.cut and PING[api] not in stream.raw


@pytest.mark.parametrize("api", TEXT)
@pytest.mark.parametrize("headed", [False, True], ids=["no head yet", "head, no event"])
def test_where_the_hold_ends_with_a_ping_the_head_and_pings_come_before_any_content(run, api, headed):
    gate = Gate()

    def script(call):
        if headed:
            call.head(stream=True)
        call.wait(gate)
        if not headed:
            call.head(stream=True)
        call.event(chunk("Hello"))
        call.event(chunk("", "stop"))
        call.done()

    gateway = run.gateway(config({"small": expert(upstream(run, api, script))}, ping_ms=FAST, ping_held=True))
    with streams(gateway, api) as stream:
        assert (stream.status, stream["x-frugal-expert"]) == (200, "small")
        wait_for_pings(stream, api, 2)
        gate.open()
        datas = list(stream)
        assert not stream.cut and LAST[api] in datas[-1]
    said = [json.loads(data) for data in datas if data != "[DONE]"]
    assert content_of(api, [event for event in said if event.get("type") != "ping"]) == "Hello"


@pytest.mark.parametrize("api", TEXT)
@pytest.mark.parametrize("end", ["cut", "refused", "failed", "no stream"])
def test_after_a_ping_that_ended_the_hold_a_failure_is_an_honest_error_event(run, api, end):
    gate = Gate()

    def script(call):
        call.wait(gate)
        if end == "cut":
            call.cut()
        elif end == "no stream":
            call.answer(scripts.completion("whole"))
        else:
            scripts.refuse(400 if end == "refused" else 500)(call)

    first, second = upstream(run, api, script), upstream(run, api)
    gateway = run.gateway(config({"first": expert(first), "second": expert(second)}, ping_ms=FAST, ping_held=True))
    with streams(gateway, api) as stream:
        wait_for_pings(stream, api, 1)
        gate.open()
        datas = list(stream)
        assert stream.cut and "error" in datas[-1] and LAST[api] not in datas[-1]
    assert not second.calls()
    assert gateway.log.wait(event="request")["result"].startswith("expert_")
    assert gateway.get("/v1/models").status == 200


def test_the_official_sdks_read_on_over_pings(run):
    """Before the first content and inside it, with events that no SDK may take for one of its own."""
    def script(call):
        call.expert.closing.wait(FAST * 5 / 1000)
        call.head(stream=True)
        for text in ("Hel", "lo"):
            call.expert.closing.wait(FAST * 5 / 1000)
            call.event(chunk(text))
        call.event(chunk("", "stop"))
        call.usage()
        call.done()

    gateway = run.gateway(config({"small": expert(run.expert(script))}, ping_ms=FAST, ping_held=True))
    base = f"http://127.0.0.1:{gateway.port}"
    ours = openai.OpenAI(base_url=base + "/v1", api_key="sk-any", max_retries=0)
    ask = {"model": "auto", "messages": [{"role": "user", "content": "hello"}]}
    said = list(ours.chat.completions.create(**ask, stream=True))
    assert "".join(one.choices[0].delta.content or "" for one in said if one.choices) == "Hello"
    with ours.responses.stream(model="auto", input="hello") as stream:
        assert stream.get_final_response().output_text == "Hello"
    with anthropic.Anthropic(base_url=base, api_key="sk-any", max_retries=0).messages.stream(**ask, max_tokens=50) as stream:
        assert stream.get_final_text() == "Hello"


def test_a_client_that_leaves_between_pings_ends_the_experts_call(run):
    small = run.expert(scripts.silent)
    gateway = run.gateway(config({"small": expert(small)}, ping_ms=FAST, ping_held=True))
    with gateway.stream() as stream:
        wait_for_pings(stream, "chat", 2)
    small.call().wait_gone()
    assert gateway.log.wait(event="request")["result"] == "client_gone"
