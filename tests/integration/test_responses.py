"""The official OpenAI SDK as a client of /v1/responses, in front of experts that speak chat completions."""

import asyncio
import json

import openai
import pydantic
import pytest

from harness import config, expert, scripts

ASK = {"model": "auto", "input": "hello"}
WEATHER = {"type": "function", "name": "weather", "description": "of a place", "strict": True, "parameters": {
    "type": "object", "properties": {"place": {"type": "string"}}, "required": ["place"], "additionalProperties": False}}


def options(gateway, retries=0):
    return {"base_url": f"http://127.0.0.1:{gateway.port}/v1", "api_key": "sk-any", "max_retries": retries, "timeout": 60}


@pytest.fixture
def sdk(run):
    """Gives a client of a gateway in front of one expert with this script."""
    def make(script, retries=0):
        return openai.OpenAI(**options(run.gateway(run.expert(script)), retries))

    return make


def called(*calls, content=None):
    body = scripts.completion(content)
    body["choices"][0] = {"index": 0, "finish_reason": "tool_calls", "message": {
        "role": "assistant", "content": content, "tool_calls": [
            {"id": id, "type": "function", "function": {"name": name, "arguments": arguments}}
            for id, name, arguments in calls]}}
    return body


def stream_calls(call):
    call.head(stream=True)
    call.chunk("", role="assistant")
    call.chunk("Let me look.")
    for index, name in enumerate(("weather", "clock")):
        for n, part in enumerate(['{"place"', ': "Oslo"}'] if index == 0 else ["{}"]):
            more = {"id": f"call_{index}", "type": "function"} if n == 0 else {}
            function = {"arguments": part, **({"name": name} if n == 0 else {})}
            call.event({"id": "x", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [
                {"index": 0, "delta": {"tool_calls": [{"index": index, **more, "function": function}]}}]})
    call.chunk(finish="tool_calls")
    call.usage(10, 20)
    call.done()


def test_a_response(sdk):
    response = sdk(scripts.answer("fine")).responses.create(**ASK, instructions="be brief", metadata={"a": "b"})
    assert response.output_text == "fine" and response.status == "completed" and response.id.startswith("resp_")
    assert response.instructions == "be brief" and response.metadata == {"a": "b"} and response.tools == []
    assert (response.usage.input_tokens, response.usage.output_tokens, response.usage.total_tokens) == (10, 20, 30)
    assert response.usage.input_tokens_details.cached_tokens == 0
    assert response.usage.model_extra["cost"] == pytest.approx(50e-6)


def test_details_of_usage_are_told(sdk):
    answer = scripts.completion("fine")
    answer["usage"].update(prompt_tokens_details={"cached_tokens": 4}, completion_tokens_details={"reasoning_tokens": 7})
    usage = sdk(lambda call: call.answer(answer)).responses.create(**ASK).usage
    assert usage.input_tokens_details.cached_tokens == 4 and usage.output_tokens_details.reasoning_tokens == 7


def test_what_the_expert_is_asked(run):
    small = run.expert(scripts.answer())
    openai.OpenAI(**options(run.gateway(small))).responses.create(
        model="auto", instructions="be brief", max_output_tokens=50, temperature=0.5, top_p=0.9, tools=[WEATHER],
        tool_choice={"type": "function", "name": "weather"}, parallel_tool_calls=False, reasoning={"effort": "low"},
        text={"format": {"type": "json_schema", "name": "place", "schema": {"type": "object"}, "strict": True}},
        extra_body={"seed": 7}, store=False, metadata={"a": "b"}, user="u1",
        input=[
            {"role": "developer", "content": "no jokes"},
            {"role": "user", "content": [
                {"type": "input_text", "text": "what is this?"},
                {"type": "input_image", "image_url": "data:image/png;base64,aGk=", "detail": "low"}]},
            {"type": "reasoning", "id": "rs_1", "summary": []},
            {"type": "message", "role": "assistant", "id": "msg_1", "status": "completed", "content": [
                {"type": "output_text", "text": "Let me look.", "annotations": []}]},
            {"type": "function_call", "call_id": "call_1", "name": "weather", "arguments": '{"place":"Oslo"}'},
            {"type": "function_call", "call_id": "call_2", "name": "clock", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "call_1", "output": "rain"},
            {"type": "function_call_output", "call_id": "call_2", "output": "noon"},
            {"role": "user", "content": "so?"}])
    calls = [{"id": id, "type": "function", "function": {"name": name, "arguments": arguments}}
             for id, name, arguments in (("call_1", "weather", '{"place":"Oslo"}'), ("call_2", "clock", "{}"))]
    function = {key: WEATHER[key] for key in ("name", "description", "parameters", "strict")}
    assert small.call().json() == {
        "model": "scripted", "max_tokens": 50, "temperature": 0.5, "top_p": 0.9, "seed": 7, "user": "u1",
        "tools": [{"type": "function", "function": function}], "reasoning_effort": "low", "parallel_tool_calls": False,
        "tool_choice": {"type": "function", "function": {"name": "weather"}},
        "response_format": {"type": "json_schema", "json_schema": {
            "name": "place", "schema": {"type": "object"}, "strict": True}},
        "messages": [
            {"role": "system", "content": "be brief"},
            {"role": "system", "content": "no jokes"},
            {"role": "user", "content": [
                {"type": "text", "text": "what is this?"},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk=", "detail": "low"}}]},
            {"role": "assistant", "content": "Let me look."},
            {"role": "assistant", "tool_calls": calls},
            {"role": "tool", "tool_call_id": "call_1", "content": "rain"},
            {"role": "tool", "tool_call_id": "call_2", "content": "noon"},
            {"role": "user", "content": "so?"}]}


def test_function_calls(sdk):
    answer = called(("call_1", "weather", '{"place": "Oslo"}'), ("call_2", "clock", "{}"), content="Let me look.")
    response = sdk(lambda call: call.answer(answer)).responses.create(**ASK, tools=[WEATHER])
    assert [item.type for item in response.output] == ["message", "function_call", "function_call"]
    assert json.loads(response.output[1].arguments) == {"place": "Oslo"} and response.output[1].call_id == "call_1"
    assert len({item.id for item in response.output}) == 3


def test_a_stream(sdk):
    with sdk(scripts.stream(["Hel", "lo \"", "\u00e9\n"])).responses.stream(**ASK) as stream:
        said = "".join(event.delta for event in stream if event.type == "response.output_text.delta")
        response = stream.get_final_response()
    assert said == response.output_text == 'Hello "\u00e9\n'
    assert response.usage.total_tokens == 30


def test_the_events_of_a_stream_are_in_order(sdk):
    events = list(sdk(scripts.stream(["a", "b"])).responses.create(**ASK, stream=True))
    assert [event.type.removeprefix("response.") for event in events] == [
        "created", "in_progress", "output_item.added", "content_part.added", "output_text.delta", "output_text.delta",
        "output_text.done", "content_part.done", "output_item.done", "completed"]
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert events[-1].response.usage.model_extra["cost"] == pytest.approx(50e-6)


def test_a_stream_of_function_calls(sdk):
    with sdk(stream_calls).responses.stream(**ASK, tools=[WEATHER]) as stream:
        events = [event.type for event in stream]
        response = stream.get_final_response()
    assert [item.type for item in response.output] == ["message", "function_call", "function_call"]
    assert json.loads(response.output[1].arguments) == {"place": "Oslo"}
    assert events.count("response.function_call_arguments.done") == 2


class Place(pydantic.BaseModel):
    name: str


def test_structured_output_is_parsed(sdk):
    response = sdk(scripts.answer('{"name":"Oslo"}')).responses.parse(**ASK, text_format=Place)
    assert response.output_parsed == Place(name="Oslo")


def test_reasoning_of_an_expert_is_told(sdk):
    answer = scripts.completion("42")
    answer["choices"][0]["message"]["reasoning_content"] = "hm"
    response = sdk(lambda call: call.answer(answer)).responses.create(**ASK)
    assert [item.type for item in response.output] == ["reasoning", "message"]
    assert response.output[0].content[0].text == "hm" and response.output_text == "42"


def test_log_probabilities_are_told(run):
    answer = scripts.completion("a")
    answer["choices"][0]["logprobs"] = {"content": [{"token": "a", "logprob": -0.5, "bytes": [97], "top_logprobs": []}]}
    small = run.expert(lambda call: call.answer(answer))
    response = openai.OpenAI(**options(run.gateway(small))).responses.create(
        **ASK, include=["message.output_text.logprobs"], top_logprobs=1)
    assert response.output[0].content[0].logprobs[0].logprob == -0.5
    assert small.call().json()["logprobs"] is True and small.call().json()["top_logprobs"] == 1


def test_an_answer_that_hit_its_limit_is_incomplete(sdk):
    answer = scripts.completion("cut")
    answer["choices"][0]["finish_reason"] = "length"
    response = sdk(lambda call: call.answer(answer)).responses.create(**ASK)
    assert response.status == "incomplete" and response.incomplete_details.reason == "max_output_tokens"


@pytest.mark.parametrize("ask, param", [
    ({"previous_response_id": "resp_1"}, "previous_response_id"), ({"conversation": "conv_1"}, "conversation"),
    ({"background": True}, "background"), ({"tools": [{"type": "web_search"}]}, "tools"),
    ({"input": [{"type": "item_reference", "id": "x"}]}, "input"), ({"input": []}, "input"),
    ({"input": [{"role": "user", "content": [{"type": "input_image", "file_id": "f"}]}]}, "input.content"),
    ({"extra_body": {"n": 2}}, "n")])
def test_what_cannot_be_done_is_refused_by_name(run, ask, param):
    small = run.expert(scripts.answer())
    with pytest.raises(openai.BadRequestError) as raised:
        openai.OpenAI(**options(run.gateway(small))).responses.create(**{**ASK, **ask})
    assert raised.value.param == param and param in raised.value.message
    assert small.asked == 0


def test_a_cut_stream_raises(sdk):
    with pytest.raises(openai.APIError) as raised:
        list(sdk(scripts.stream_then_cut("Hel")).responses.create(**ASK, stream=True))
    assert "small" in raised.value.message


def test_another_expert_takes_over_before_the_first_content(run):
    first, second = run.expert(scripts.stream_then_cut()), run.expert(scripts.stream(["fine"]))
    gateway = run.gateway(config({"first": expert(first), "second": expert(second)}))
    with openai.OpenAI(**options(gateway)).responses.stream(**ASK) as stream:
        assert stream.get_final_response().output_text == "fine"
    assert gateway.log.wait(event="request")["expert"] == "second"


def test_a_ceiling_holds(run):
    small = run.expert(scripts.answer())
    raw = openai.OpenAI(**options(run.gateway(small))).responses.with_raw_response.create(
        **ASK, extra_headers={"x-frugal-budget-usd": "0.001"})
    assert float(raw.headers["x-frugal-cost-usd"]) <= 0.001
    assert 0 < small.call().json()["max_tokens"] < 1000


def test_a_hundred_at_once(run):
    gateway = run.gateway(run.expert(scripts.answer("fine")))

    async def ask_all():
        async with openai.AsyncOpenAI(**options(gateway)) as client:
            async def streamed():
                async with client.responses.stream(**ASK) as stream:
                    return await stream.get_final_response()

            return await asyncio.gather(*[client.responses.create(**ASK) if n % 2 else streamed() for n in range(100)])

    assert [response.output_text for response in asyncio.run(ask_all())] == ["fine"] * 100
