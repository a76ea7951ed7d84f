"""The official Anthropic SDK as a client of /v1/messages, in front of experts that speak chat completions."""

import asyncio

import anthropic
import pytest

from harness import config, expert, scripts

ASK = {"model": "auto", "max_tokens": 100, "messages": [{"role": "user", "content": "hello"}]}
WEATHER = {"name": "weather", "description": "of a place", "input_schema": {
    "type": "object", "properties": {"place": {"type": "string"}}, "required": ["place"]}}


def options(gateway, retries=0):
    return {"base_url": f"http://127.0.0.1:{gateway.port}", "api_key": "sk-any", "max_retries": retries, "timeout": 60}


@pytest.fixture
def sdk(run):
    """Gives a client of a gateway in front of one expert with this script."""
    def make(script, retries=0):
        return anthropic.Anthropic(**options(run.gateway(run.expert(script)), retries))

    return make


def called(*calls, content=None, finish="tool_calls"):
    """A whole chat answer with these (id, name, arguments)."""
    body = scripts.completion(content)
    body["choices"][0] = {"index": 0, "finish_reason": finish, "message": {
        "role": "assistant", "content": content, "tool_calls": [
            {"id": id, "type": "function", "function": {"name": name, "arguments": arguments}}
            for id, name, arguments in calls]}}
    return body


def stream_calls(call):
    """A chat stream: some text, then two calls, their arguments in pieces."""
    call.head(stream=True)
    call.chunk("", role="assistant")
    call.chunk("Let me ")
    call.chunk("look.")
    for index, name in enumerate(("weather", "clock")):
        parts = ["", '{"place"', ': "Oslo"}'] if index == 0 else ["{}"]
        for n, part in enumerate(parts):
            more = {"id": f"call_{index}", "type": "function"} if n == 0 else {}
            function = {"arguments": part, **({"name": name} if n == 0 else {})}
            call.event({"id": "x", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [
                {"index": 0, "delta": {"tool_calls": [{"index": index, **more, "function": function}]}}]})
    call.chunk(finish="tool_calls")
    call.usage(10, 20)
    call.done()


def test_a_message(sdk):
    message = sdk(scripts.answer("fine")).messages.create(**ASK)
    assert message.type == "message" and message.role == "assistant" and message.id.startswith("msg_")
    assert [block.text for block in message.content] == ["fine"]
    assert message.stop_reason == "end_turn" and message.stop_sequence is None
    assert (message.usage.input_tokens, message.usage.output_tokens) == (10, 20)
    assert message.usage.model_extra["cost"] == pytest.approx(50e-6)
    assert message.usage.model_extra["cost_details"]["expert"] == "small"


def test_the_decision_is_in_the_headers(run):
    gateway = run.gateway(run.expert(scripts.answer("fine")))
    raw = anthropic.Anthropic(**options(gateway)).messages.with_raw_response.create(**ASK)
    assert raw.headers["x-frugal-expert"] == "small" and raw.request_id == raw.headers["x-request-id"]
    assert float(raw.headers["x-frugal-cost-usd"]) == pytest.approx(50e-6)
    assert raw.parse().id.removeprefix("msg_") == raw.headers["x-frugal-decision-id"].removeprefix("dec_")


def test_what_the_expert_is_asked(run):
    small = run.expert(scripts.answer())
    anthropic.Anthropic(**options(run.gateway(small))).messages.create(
        **{**ASK, "messages": [
            {"role": "user", "content": [
                {"type": "text", "text": "what is this?"},
                {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "aGk="}}]},
            {"role": "assistant", "content": [
                {"type": "thinking", "thinking": "hm", "signature": "s"},
                {"type": "text", "text": "Let me look."},
                {"type": "tool_use", "id": "call_1", "name": "weather", "input": {"place": "Oslo \"X\""}}]},
            {"role": "user", "content": [
                {"type": "tool_result", "tool_use_id": "call_1", "content": [{"type": "text", "text": "rain"}]},
                {"type": "text", "text": "so?"}]}]},
        system=[{"type": "text", "text": "Be", "cache_control": {"type": "ephemeral"}}, {"type": "text", "text": "brief"}],
        tools=[WEATHER], tool_choice={"type": "any", "disable_parallel_tool_use": True}, stop_sequences=["END"],
        metadata={"user_id": "u1"}, extra_body={"temperature": 0.5, "top_k": 3, "seed": 7})
    assert small.call().json() == {
        "model": "scripted", "max_tokens": 100, "stop": ["END"], "temperature": 0.5, "top_k": 3, "user": "u1", "seed": 7,
        "tool_choice": "required", "parallel_tool_calls": False,
        "tools": [{"type": "function", "function": {
            "name": "weather", "description": "of a place", "parameters": WEATHER["input_schema"]}}],
        "messages": [
            {"role": "system", "content": "Be\nbrief"},
            {"role": "user", "content": [
                {"type": "text", "text": "what is this?"},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk="}}]},
            {"role": "assistant", "content": "Let me look.", "tool_calls": [
                {"id": "call_1", "type": "function",
                 "function": {"name": "weather", "arguments": '{"place":"Oslo \\"X\\""}'}}]},
            {"role": "tool", "tool_call_id": "call_1", "content": "rain"},
            {"role": "user", "content": [{"type": "text", "text": "so?"}]}]}


def test_tool_use(sdk):
    answer = called(("call_1", "weather", '{"place": "Oslo"}'), ("call_2", "clock", ""), content="Let me look.")
    message = sdk(lambda call: call.answer(answer)).messages.create(**ASK, tools=[WEATHER])
    assert message.stop_reason == "tool_use"
    text, weather, clock = message.content
    assert text.text == "Let me look."
    assert (weather.type, weather.id, weather.name, weather.input) == ("tool_use", "call_1", "weather", {"place": "Oslo"})
    assert clock.input == {}


def test_a_stream(sdk):
    with sdk(scripts.stream(["Hel", "lo \"", "\u00e9\n"])).messages.stream(**ASK) as stream:
        assert "".join(stream.text_stream) == 'Hello "\u00e9\n'
        message = stream.get_final_message()
    assert message.stop_reason == "end_turn"
    assert (message.usage.input_tokens, message.usage.output_tokens) == (10, 20)


def test_the_events_of_a_stream_are_in_order(sdk):
    events = list(sdk(scripts.stream(["a", "b"])).messages.create(**ASK, stream=True))
    assert [event.type for event in events] == [
        "message_start", "content_block_start", "content_block_delta", "content_block_delta", "content_block_stop",
        "message_delta", "message_stop"]
    assert events[-2].usage.model_extra["cost"] == pytest.approx(50e-6)


def test_a_stream_of_tool_use(sdk):
    with sdk(stream_calls).messages.stream(**ASK, tools=[WEATHER]) as stream:
        message = stream.get_final_message()
    assert message.stop_reason == "tool_use"
    assert [block.type for block in message.content] == ["text", "tool_use", "tool_use"]
    assert message.content[1].input == {"place": "Oslo"} and message.content[1].id == "call_0"
    assert message.content[2].name == "clock" and message.content[2].input == {}


def test_thinking_of_an_expert_is_told(sdk):
    answer = scripts.completion("42")
    answer["choices"][0]["message"]["reasoning_content"] = "hm"
    message = sdk(lambda call: call.answer(answer)).messages.create(**ASK)
    assert [block.type for block in message.content] == ["thinking", "text"]
    assert message.content[0].thinking == "hm"


@pytest.mark.parametrize("finish, stop", [("length", "max_tokens"), ("content_filter", "refusal"), ("stop", "end_turn")])
def test_why_it_stopped(sdk, finish, stop):
    answer = scripts.completion("cut")
    answer["choices"][0]["finish_reason"] = finish
    assert sdk(lambda call: call.answer(answer)).messages.create(**ASK).stop_reason == stop


@pytest.mark.parametrize("ask, error, kind", [
    ({"model": "gpt-17"}, anthropic.NotFoundError, "not_found_error"),
    ({"messages": []}, anthropic.BadRequestError, "invalid_request_error"),
    ({"extra_body": {"container": "c"}}, anthropic.BadRequestError, "invalid_request_error"),
    ({"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, anthropic.BadRequestError, "invalid_request_error"),
    ({"extra_headers": {"x-frugal-budget-usd": "1e-9"}}, anthropic.APIStatusError, "billing_error"),
], ids=["unknown model", "no messages", "container", "hosted tool", "budget"])
def test_our_errors_have_anthropics_shape(run, ask, error, kind):
    small = run.expert(scripts.answer())
    with pytest.raises(error) as raised:
        anthropic.Anthropic(**options(run.gateway(small), retries=2)).messages.create(**{**ASK, **ask})
    assert raised.value.body["type"] == "error" and raised.value.body["error"]["type"] == kind
    assert raised.value.request_id == raised.value.body["request_id"] == raised.value.response.headers["x-request-id"]
    assert small.asked == 0


@pytest.mark.parametrize("status, error", [
    (400, anthropic.BadRequestError), (422, anthropic.UnprocessableEntityError), (500, anthropic.InternalServerError),
    (429, anthropic.APIStatusError)])
def test_an_experts_errors_are_raised_as_what_they_are(sdk, status, error):
    with pytest.raises(error) as raised:
        sdk(scripts.refuse(status, message="bad luck")).messages.create(**ASK)
    assert raised.value.body["type"] == "error"
    if status in (400, 422):
        assert raised.value.body["error"]["message"] == "bad luck"


def test_a_cut_stream_raises(sdk):
    with pytest.raises(anthropic.APIError):
        list(sdk(scripts.stream_then_cut("Hel")).messages.create(**ASK, stream=True))


def test_another_expert_takes_over_before_the_first_content(run):
    first, second = run.expert(scripts.stream_then_cut()), run.expert(scripts.stream(["fine"]))
    gateway = run.gateway(config({"first": expert(first), "second": expert(second)}))
    with anthropic.Anthropic(**options(gateway)).messages.stream(**ASK) as stream:
        assert "".join(stream.text_stream) == "fine"
    assert gateway.log.wait(event="request")["expert"] == "second"


def test_a_hundred_at_once(run):
    gateway = run.gateway(run.expert(scripts.answer("fine")))

    async def ask_all():
        async with anthropic.AsyncAnthropic(**options(gateway)) as client:
            async def streamed():
                async with client.messages.stream(**ASK) as stream:
                    return await stream.get_final_message()

            return await asyncio.gather(*[client.messages.create(**ASK) if n % 2 else streamed() for n in range(100)])

    answers = asyncio.run(ask_all())
    assert [message.content[0].text for message in answers] == ["fine"] * 100
