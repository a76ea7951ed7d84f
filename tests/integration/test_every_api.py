"""What a client is promised holds on every API alike: the ceiling, the cost, failover, honest ends, a client that leaves."""

import json

import pytest

from harness import Stream, config, embedding, expert, scripts
from harness.keys import Key, key_file
from harness.wire import request_bytes

TEXT = {
    "chat": ("/v1/chat/completions", {"messages": [{"role": "user", "content": "hello"}]}),
    "completions": ("/v1/completions", {"prompt": "hello"}),
    "responses": ("/v1/responses", {"input": "hello"}),
    "messages": ("/v1/messages", {"messages": [{"role": "user", "content": "hello"}], "max_tokens": 500}),
}
ALL = {**TEXT, "embeddings": ("/v1/embeddings", {"input": "hello " * 20})}
LAST = {"chat": "[DONE]", "completions": "[DONE]", "responses": "response.completed", "messages": "message_stop"}


def body(api, **more):
    return {"model": "small" if api == "embeddings" else "auto", **ALL[api][1], **more}


def asks(gateway, api, headers=(), **more):
    return gateway.post(ALL[api][0], body(api, **more), headers)


def streams(gateway, api, headers=(), **more):
    wire = gateway.connect()
    if api in ("chat", "completions"):
        more = {"stream_options": {"include_usage": True}, **more}
    wire.send(request_bytes("POST", ALL[api][0], headers, json.dumps(body(api, stream=True, **more)).encode()))
    return Stream(wire)


def upstream(run, api, script=None, usage=True):
    """An expert that answers that API's requests; `script` takes the place of the good one."""
    if api == "embeddings":
        return run.expert(embeddings=script or scripts.embed(scripts.hashed_vector, tokens=50))
    if api == "completions":
        return run.expert(completions=script or scripts.complete("fine"))
    return run.expert(script or scripts.answer("fine"))


def entry(up, **more):
    return expert(up, embedding=embedding(price=1.0), **more)


def calls(up):
    return up.calls()


def usages(data):
    """Every usage object in an answer or event, wherever the API has it."""
    if isinstance(data, dict):
        for key, value in data.items():
            if key == "usage" and isinstance(value, dict):
                yield value
            yield from usages(value)


@pytest.mark.parametrize("api", ALL)
def test_the_cost_is_the_same_wherever_it_is_said(run, api, tmp_path):
    gateway = run.gateway(config({"small": entry(upstream(run, api))}, store=str(tmp_path / "frugal.db")))
    answer = asks(gateway, api)
    cost = float(answer["x-frugal-cost-usd"])
    assert cost == pytest.approx(50e-6)
    (usage,) = usages(answer.json())
    assert usage["cost"] == pytest.approx(cost)
    if api != "embeddings":
        assert usage["cost_details"]["decision_id"] == answer["x-frugal-decision-id"]
    line = gateway.log.wait(event="request")
    assert float(line["cost_usd"]) == pytest.approx(cost) and line["status"] == "200"
    record = gateway.get(f"/v1/decisions/{answer['x-frugal-decision-id']}", admin=True).json()
    assert record["decision_id"] == answer["x-frugal-decision-id"] and record["expert"] == "small"
    assert record["cost"]["spent_usd"] == pytest.approx(cost)


@pytest.mark.parametrize("api", TEXT)
def test_a_streams_cost_is_in_its_last_usage(run, api):
    gateway = run.gateway(config({"small": entry(upstream(run, api))}))
    with streams(gateway, api) as stream:
        events = stream.chunks()
    assert list(usages(events[-1])) or list(usages(events[-2]))
    said = [usage["cost"] for event in events for usage in usages(event) if "cost" in usage]
    assert said and said[-1] == pytest.approx(50e-6)
    assert float(gateway.log.wait(event="request")["cost_usd"]) == pytest.approx(50e-6)


@pytest.mark.parametrize("api", ALL)
def test_what_cannot_be_afforded_is_refused_before_anything_is_bought(run, api):
    up = upstream(run, api)
    answer = asks(run.gateway(config({"small": entry(up)})), api, {"x-frugal-budget-usd": "0.000000001"})
    assert answer.status == 402 and answer["x-should-retry"] == "false" and not calls(up)
    assert ("type" in answer.json()) == (api == "messages")


@pytest.mark.parametrize("api", TEXT)
def test_under_a_ceiling_the_output_limit_makes_the_worst_case_fit(run, api):
    up = upstream(run, api)
    gateway = run.gateway(config({"small": entry(up, price=(0.0, 1000.0))}))
    assert asks(gateway, api, {"x-frugal-budget-usd": "0.1"}).status == 200
    assert calls(up)[0].json()["max_tokens"] == 100


@pytest.mark.parametrize("api", ALL)
def test_a_keys_budget_binds(run, api):
    key = Key(total_usd=0.000001)
    up = upstream(run, api)
    gateway = run.gateway(config({"small": entry(up)}, keys={"file": "keys.json"}), files={"keys.json": key_file(key)})
    assert asks(gateway, api).status == 401
    answer = asks(gateway, api, key.headers)
    assert answer.status in (402, 429) and not calls(up)


@pytest.mark.parametrize("api", TEXT)
@pytest.mark.parametrize("streamed", [False, True])
def test_another_expert_takes_over_before_the_first_content(run, api, streamed):
    first, second = upstream(run, api, scripts.cut), upstream(run, api)
    gateway = run.gateway(config({"first": entry(first), "second": entry(second)}))
    if streamed:
        with streams(gateway, api) as stream:
            assert any("fine" in data for data in stream) and not stream.cut
    else:
        assert b"fine" in asks(gateway, api).body
    line = gateway.log.wait(event="request")
    assert (line["expert"], line["reason"]) == ("second", "failover")


@pytest.mark.parametrize("api", TEXT)
def test_a_client_that_leaves_ends_the_experts_call(run, api):
    def script(call):
        call.head(stream=True)
        call.event({"id": "x", "object": "x", "choices": [{"index": 0, "text": "some", "delta": {"content": "some"}}]})
        call.stall()

    up = upstream(run, api, script)
    gateway = run.gateway(config({"small": entry(up)}))
    stream = streams(gateway, api)
    assert next(stream)
    stream.close()
    calls(up)[0].wait_gone()
    assert gateway.log.wait(event="request")["result"] == "client_gone"


def test_an_answer_without_usage_is_estimated_and_says_so(run):
    answer = scripts.completion("some words of an answer")
    del answer["usage"]
    gateway = run.gateway(config({"small": entry(run.expert(lambda call: call.answer(answer)))}))
    for api in ("messages", "responses"):
        usage = asks(gateway, api).json()["usage"]
        assert usage["input_tokens"] > 0 and usage["output_tokens"] == 6
        assert usage["cost_details"]["estimated"] is True and usage["cost"] > 0


@pytest.mark.parametrize("api", ["messages", "responses"])
def test_a_stream_without_usage_is_told_with_an_estimate(run, api):
    def script(call):
        call.head(stream=True)
        call.chunk("some words of an answer")
        call.chunk(finish="stop")
        call.done()

    gateway = run.gateway(config({"small": entry(run.expert(script))}))
    *_, last = [event.get("usage") or event.get("response", {}).get("usage") for event in map(json.loads, streams(gateway, api))
                if "message_delta" in json.dumps(event) or "response.completed" in json.dumps(event)]
    assert last["output_tokens"] == 6 and last["cost_details"]["estimated"] is True and last["cost"] > 0


def content_of(api, events):
    """What a stream of that API says, in one piece."""
    if api == "chat":
        return "".join(choice["delta"].get("content") or "" for event in events for choice in event.get("choices", []))
    if api == "completions":
        return "".join(choice.get("text", "") for event in events for choice in event.get("choices", []))
    if api == "messages":
        return "".join(event["delta"]["text"] for event in events if event["type"] == "content_block_delta")
    return "".join(event["delta"] for event in events if event["type"] == "response.output_text.delta")
