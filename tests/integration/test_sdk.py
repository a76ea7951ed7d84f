"""The official OpenAI SDK as a client: what it parses, raises and retries."""

import asyncio

import openai
import pytest

from harness import Gate, config, expert, scripts

ASK = {"model": "auto", "messages": [{"role": "user", "content": "hello"}]}
TOOLS = [{"type": "function", "function": {
    "name": "weather", "description": "of a place", "strict": True,
    "parameters": {"type": "object", "properties": {"place": {"type": "string"}}, "required": ["place"]}}}]


def client(gateway, retries=0, **options):
    return openai.OpenAI(base_url=f"http://127.0.0.1:{gateway.port}/v1", api_key="sk-any", max_retries=retries,
                         timeout=60, **options)


@pytest.fixture
def sdk(run):
    """Gives a client of a gateway in front of one expert with this script."""
    def make(script, retries=0):
        return client(run.gateway(run.expert(script)), retries)

    return make


def test_a_chat(sdk):
    answer = sdk(scripts.answer("fine")).chat.completions.create(**ASK)
    assert answer.choices[0].message.content == "fine"
    assert answer.usage.total_tokens == 30
    assert answer.usage.model_extra["cost"] == pytest.approx(50e-6)


def test_a_stream(sdk):
    stream = sdk(scripts.answer("fine")).chat.completions.create(**ASK, stream=True)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in stream) == "fine"


def test_a_stream_with_usage(sdk):
    stream = sdk(scripts.answer("fine")).chat.completions.create(
        **ASK, stream=True, stream_options={"include_usage": True})
    last = list(stream)[-1]
    assert last.choices == [] and last.usage.completion_tokens == 20
    assert last.usage.model_extra["cost"] == pytest.approx(50e-6)


def test_the_stream_helper_puts_a_message_together(sdk):
    def script(call):
        call.head(stream=True)
        call.event({"id": "x", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [
            {"index": 0, "delta": {"role": "assistant", "tool_calls": [
                {"index": 0, "id": "call_1", "type": "function", "function": {"name": "weather", "arguments": ""}}]}}]})
        for part in ('{"place"', ': "Oslo"}'):
            call.event({"id": "x", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [
                {"index": 0, "delta": {"tool_calls": [{"index": 0, "function": {"arguments": part}}]}}]})
        call.chunk(finish="tool_calls")
        call.done()

    with sdk(script).chat.completions.stream(**ASK, tools=TOOLS) as stream:
        message = stream.get_final_completion().choices[0].message
    assert message.tool_calls[0].id == "call_1"
    assert message.tool_calls[0].function.arguments == '{"place": "Oslo"}'


def test_tools_pass_in_both_directions(run):
    called = scripts.completion(None)
    called["choices"][0] = {"index": 0, "finish_reason": "tool_calls", "message": {
        "role": "assistant", "content": None, "tool_calls": [
            {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '{"place":"Oslo"}'}}]}}
    small = run.expert(lambda call: call.answer(called))
    answer = client(run.gateway(small)).chat.completions.create(
        **ASK, tools=TOOLS, tool_choice={"type": "function", "function": {"name": "weather"}}, parallel_tool_calls=False)
    assert answer.choices[0].message.tool_calls[0].function.arguments == '{"place":"Oslo"}'
    sent = small.call().json()
    assert sent["tools"] == TOOLS and sent["tool_choice"]["function"]["name"] == "weather"
    assert sent["parallel_tool_calls"] is False


def test_images_and_json_mode_pass(run):
    small = run.expert(scripts.answer("{}"))
    content = [{"type": "text", "text": "what is this?"},
               {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo=", "detail": "low"}}]
    client(run.gateway(small)).chat.completions.create(
        model="auto", messages=[{"role": "user", "content": content}], response_format={"type": "json_object"})
    assert small.call().json()["messages"][0]["content"] == content
    assert small.call().json()["response_format"] == {"type": "json_object"}


def test_extra_body_and_headers_reach_the_router(run):
    small, large = run.expert(scripts.answer()), run.expert(scripts.answer())
    gateway = run.gateway(config({"small": expert(small), "large": expert(large)}))
    create = client(gateway).chat.completions.with_raw_response.create
    raw = create(**ASK, extra_body={"frugal": {"experts": ["large"]}, "top_k": 5})
    assert raw.headers["x-frugal-expert"] == "large"
    assert large.call().json()["top_k"] == 5 and "frugal" not in large.call().json()
    assert create(**ASK, extra_headers={"x-frugal-experts": "large"}).headers["x-frugal-expert"] == "large"


def test_a_raw_response_shows_the_decision(run):
    gateway = run.gateway(run.expert(scripts.answer("fine")))
    raw = client(gateway).chat.completions.with_raw_response.create(**ASK)
    assert raw.headers["x-frugal-expert"] == "small"
    assert float(raw.headers["x-frugal-cost-usd"]) == pytest.approx(50e-6)
    assert raw.request_id == raw.headers["x-request-id"]
    assert raw.parse().choices[0].message.content == "fine"


def test_models_are_listed(sdk):
    models = sdk(scripts.answer()).models
    assert {model.id for model in models.list()} == {"auto", "small"}
    assert models.retrieve("auto").id == "auto"


@pytest.mark.parametrize("ask, error, code", [
    ({"model": "gpt-17"}, openai.NotFoundError, "model_not_found"),
    ({"messages": []}, openai.BadRequestError, None),
    ({"n": 0}, openai.BadRequestError, None),
    ({"extra_headers": {"x-frugal-budget-usd": "lots"}}, openai.BadRequestError, None),
    ({"extra_headers": {"x-frugal-budget-usd": "0.00000001"}}, openai.APIStatusError, "budget_exceeded"),
], ids=["unknown model", "no messages", "n=0", "bad option", "budget"])
def test_our_errors_are_raised_as_what_they_are(run, ask, error, code):
    small = run.expert(scripts.answer())
    with pytest.raises(error) as raised:
        client(run.gateway(small), retries=2).chat.completions.create(**{**ASK, **ask})
    assert raised.value.request_id
    assert isinstance(raised.value.body["message"], str)
    if code:
        assert raised.value.code == code
    assert small.asked == 0


@pytest.mark.parametrize("status, error", [(400, openai.BadRequestError), (422, openai.UnprocessableEntityError),
                                           (500, openai.InternalServerError), (503, openai.InternalServerError)])
def test_an_experts_errors_are_raised_as_what_they_are(sdk, status, error):
    with pytest.raises(error):
        sdk(scripts.refuse(status)).chat.completions.create(**ASK)


def test_a_spent_budget_is_not_retried(run):
    gateway = run.gateway(run.expert(scripts.answer()))
    with pytest.raises(openai.APIStatusError) as raised:
        client(gateway, retries=2).chat.completions.create(**ASK, extra_headers={"x-frugal-budget-usd": "1e-9"})
    assert raised.value.status_code == 402
    gateway.log.wait(event="request")
    assert len(gateway.log.lines(event="request")) == 1


def test_a_failing_gateway_is_retried_by_the_client(run):
    small = run.expert([scripts.cut, scripts.answer("second try")])
    answer = client(run.gateway(small), retries=1).chat.completions.create(**ASK)
    assert answer.choices[0].message.content == "second try"


def test_a_cut_stream_raises(sdk):
    stream = sdk(scripts.stream_then_cut("some")).chat.completions.create(**ASK, stream=True)
    with pytest.raises(openai.APIError):
        list(stream)


def test_an_abort_in_mid_stream_ends_the_experts_call(run):
    small = run.expert(scripts.stream_then_silent("some", "more"))
    gateway = run.gateway(small)
    stream = client(gateway).chat.completions.create(**ASK, stream=True)
    for chunk in stream:
        if chunk.choices[0].delta.content == "some":
            break
    stream.close()
    small.call().wait_gone()
    assert gateway.log.wait(event="request")["result"] == "client_gone"


def test_a_client_side_timeout_ends_the_experts_call(run):
    small = run.expert(scripts.silent)
    with pytest.raises(openai.APITimeoutError):
        client(run.gateway(small)).with_options(timeout=0.3).chat.completions.create(**ASK)
    small.call().wait_gone()


def test_fifty_at_once(run):
    n, gate = 50, Gate()

    def script(call):
        call.wait(gate)
        call.answer(scripts.completion(call.json()["messages"][0]["content"]))

    small = run.expert(script)
    gateway = run.gateway(small)

    async def all_of_them():
        async with openai.AsyncOpenAI(base_url=f"http://127.0.0.1:{gateway.port}/v1", api_key="sk-any",
                                      max_retries=0) as sdk:
            tasks = [asyncio.create_task(sdk.chat.completions.create(
                model="auto", messages=[{"role": "user", "content": f"number {i}"}])) for i in range(n)]
            await asyncio.to_thread(small.call, n)
            gate.open()
            return await asyncio.gather(*tasks)

    answers = asyncio.run(all_of_them())
    assert [answer.choices[0].message.content for answer in answers] == [f"number {i}" for i in range(n)]


def test_fifty_streams_at_once(run):
    gateway = run.gateway(run.expert(scripts.stream([f"{i} " for i in range(20)])))

    async def one(sdk):
        stream = await sdk.chat.completions.create(**ASK, stream=True)
        return "".join([chunk.choices[0].delta.content or "" async for chunk in stream])

    async def all_of_them():
        async with openai.AsyncOpenAI(base_url=f"http://127.0.0.1:{gateway.port}/v1", api_key="sk-any",
                                      max_retries=0) as sdk:
            return await asyncio.gather(*(one(sdk) for _ in range(50)))

    assert asyncio.run(all_of_them()) == ["".join(f"{i} " for i in range(20))] * 50
