"""Features of the official OpenAI SDK, each as an application uses it, and every class of its errors."""

import asyncio
import json

import openai
import pydantic
import pytest

from harness import config, embedding, expert, scripts

ASK = {"model": "auto", "messages": [{"role": "user", "content": "hello"}]}
ERRORS = {400: openai.BadRequestError, 401: openai.AuthenticationError, 403: openai.PermissionDeniedError,
          404: openai.NotFoundError, 409: openai.ConflictError, 422: openai.UnprocessableEntityError,
          429: openai.RateLimitError, 500: openai.InternalServerError, 503: openai.InternalServerError}


class Place(pydantic.BaseModel):
    name: str
    rainy: bool


def options(gateway, retries=0):
    return {"base_url": f"http://127.0.0.1:{gateway.port}/v1", "api_key": "sk-any", "max_retries": retries, "timeout": 60}


def client(gateway, retries=0):
    return openai.OpenAI(**options(gateway, retries))


def choice(index, content, **more):
    return {"index": index, "finish_reason": "stop", "message": {"role": "assistant", "content": content}, **more}


def calling(*names):
    return {"index": 0, "finish_reason": "tool_calls", "message": {"role": "assistant", "content": None, "tool_calls": [
        {"id": f"call_{n}", "type": "function", "function": {"name": name, "arguments": '{"place":"Oslo"}'}}
        for n, name in enumerate(names)]}}


def function(name):
    return {"type": "function", "function": {"name": name, "strict": True, "parameters": {
        "type": "object", "properties": {"place": {"type": "string"}}, "required": ["place"], "additionalProperties": False}}}


def front(run, *choices, **more):
    small = run.expert(lambda call: call.answer(scripts.completion(choices=list(choices), **more)))
    return small, client(run.gateway(small))


def test_parallel_tool_calls(run):
    small, sdk = front(run, calling("weather", "clock"))
    message = sdk.chat.completions.parse(**ASK, tools=[function("weather"), function("clock")], parallel_tool_calls=True,
                                         ).choices[0].message
    assert [call.function.name for call in message.tool_calls] == ["weather", "clock"]
    assert message.tool_calls[1].function.parsed_arguments == {"place": "Oslo"}
    assert small.call().json()["parallel_tool_calls"] is True


def test_a_tool_loop_goes_on(run):
    small = run.expert([lambda call: call.answer(scripts.completion(choices=[calling("weather")])),
                        scripts.answer("it rains")])
    sdk = client(run.gateway(small))
    messages = list(ASK["messages"])
    message = sdk.chat.completions.create(model="auto", messages=messages, tools=[function("weather")]).choices[0].message
    messages += [message, {"role": "tool", "tool_call_id": message.tool_calls[0].id, "content": "rain"}]
    again = sdk.chat.completions.create(model="auto", messages=messages, tools=[function("weather")])
    assert again.choices[0].message.content == "it rains"
    assert [turn["role"] for turn in small.call(2).json()["messages"]] == ["user", "assistant", "tool"]


def test_structured_output_by_schema(run):
    small, sdk = front(run, choice(0, '{"name":"Oslo","rainy":true}'))
    message = sdk.chat.completions.parse(**ASK, response_format=Place).choices[0].message
    assert message.parsed == Place(name="Oslo", rainy=True)
    sent = small.call().json()["response_format"]
    assert sent["type"] == "json_schema" and sent["json_schema"]["strict"] is True


def test_structured_output_as_a_stream(run):
    small = run.expert(scripts.stream(['{"name":"Os', 'lo","rainy":', "false}"]))
    with client(run.gateway(small)).chat.completions.stream(**ASK, response_format=Place) as stream:
        assert stream.get_final_completion().choices[0].message.parsed == Place(name="Oslo", rainy=False)


def test_a_vision_message(run):
    small, sdk = front(run, choice(0, "a cat"))
    content = [{"type": "text", "text": "what is this?"},
               {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo=", "detail": "high"}}]
    answer = sdk.chat.completions.create(model="auto", messages=[{"role": "user", "content": content}])
    assert answer.choices[0].message.content == "a cat"
    assert small.call().json()["messages"][0]["content"] == content


def test_log_probabilities(run):
    token = {"token": "a", "logprob": -0.25, "bytes": [97], "top_logprobs": [{"token": "a", "logprob": -0.25, "bytes": [97]}]}
    small, sdk = front(run, choice(0, "a", logprobs={"content": [token], "refusal": None}))
    answer = sdk.chat.completions.create(**ASK, logprobs=True, top_logprobs=1)
    assert answer.choices[0].logprobs.content[0].top_logprobs[0].logprob == -0.25
    assert small.call().json()["logprobs"] is True and small.call().json()["top_logprobs"] == 1


def test_two_answers(run):
    small, sdk = front(run, choice(0, "a"), choice(1, "b"))
    answer = sdk.chat.completions.create(**ASK, n=2)
    assert [item.message.content for item in answer.choices] == ["a", "b"]
    assert small.call().json()["n"] == 2


def test_two_answers_as_a_stream(run):
    def script(call):
        call.head(stream=True)
        for content in "ab":
            for index in (0, 1):
                call.event({"id": "x", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [
                    {"index": index, "delta": {"role": "assistant", "content": content * (index + 1)}}]})
        for index in (0, 1):
            call.event({"id": "x", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [
                {"index": index, "delta": {}, "finish_reason": "stop"}]})
        call.done()

    with client(run.gateway(run.expert(script))).chat.completions.stream(**ASK, n=2) as stream:
        assert [item.message.content for item in stream.get_final_completion().choices] == ["ab", "aabb"]


def test_a_raw_response_of_every_api(run):
    upstream = run.expert(scripts.answer(), scripts.embed(scripts.hashed_vector), completions=scripts.complete())
    sdk = client(run.gateway(config({"small": expert(upstream, embedding=embedding())})))
    for create, ask in ((sdk.chat.completions, ASK), (sdk.completions, {"model": "auto", "prompt": "x"}),
                        (sdk.responses, {"model": "auto", "input": "x"}), (sdk.embeddings, {"model": "small", "input": "x"})):
        raw = create.with_raw_response.create(**ask)
        assert raw.headers["x-frugal-expert"] == "small" and raw.headers["x-request-id"] == raw.request_id
        assert raw.headers["x-frugal-decision-id"].startswith("dec_") and raw.parse().usage is not None


def test_a_streamed_raw_response(run):
    sdk = client(run.gateway(run.expert(scripts.stream(["a", "b"]))))
    with sdk.chat.completions.with_streaming_response.create(**ASK, stream=True) as response:
        assert response.headers["x-frugal-expert"] == "small"
        lines = [line for line in response.iter_lines() if line]
    assert lines[-1] == "data: [DONE]" and all(json.loads(line[6:])["choices"] for line in lines[:-1])


@pytest.mark.parametrize("status", ERRORS)
def test_every_class_of_errors_in_the_shape_of_openai(run, status):
    """An expert's own status where it is the client's to know, else what stands for it."""
    small = run.expert(scripts.refuse(status, kind="some_error"))
    with pytest.raises(openai.APIStatusError) as raised:
        client(run.gateway(small)).chat.completions.create(**ASK)
    shown = {400: openai.BadRequestError, 422: openai.UnprocessableEntityError}
    assert type(raised.value) is shown.get(status, openai.InternalServerError)
    assert raised.value.request_id and raised.value.response.headers["x-frugal-error-source"] == "expert"


def test_our_own_classes_of_errors(run):
    gateway = run.gateway(config({"small": expert(run.expert(scripts.answer()))}, limits={"body_bytes": 2048}))
    sdk = client(gateway)
    for ask, error in (({"messages": 3}, openai.BadRequestError), ({"model": "x"}, openai.NotFoundError),
                       ({"user": "u" * 3000}, openai.APIStatusError)):
        with pytest.raises(error) as raised:
            sdk.chat.completions.create(**{**ASK, **ask})
        assert raised.value.body["message"] and raised.value.type == "invalid_request_error"
    with pytest.raises(openai.NotFoundError):
        sdk.models.retrieve("x")
    with pytest.raises(openai.APIConnectionError):
        openai.OpenAI(**{**options(gateway), "base_url": "http://127.0.0.1:1/v1"}).models.list()


def test_retries_wait_as_they_are_told(run):
    small = run.expert([scripts.refuse(429, headers={"retry-after-ms": "1"}), scripts.answer("later")])
    gateway = run.gateway(config({"small": expert(small)}, limits={"attempts_again": 0}))
    assert client(gateway, retries=2).chat.completions.create(**ASK).choices[0].message.content == "later"
    gateway.log.wait(event="request", count=2)


def test_a_timeout_of_the_client(run):
    small = run.expert(scripts.silent)
    gateway = run.gateway(small)
    for create, ask in ((client(gateway).chat.completions.create, ASK), (client(gateway).responses.create, {
            "model": "auto", "input": "x"})):
        with pytest.raises(openai.APITimeoutError):
            create(**ask, timeout=0.3)
    small.call(2).wait_gone()


def test_a_hundred_of_every_kind_at_once(run):
    upstream = run.expert(scripts.answer("fine"), scripts.embed(scripts.hashed_vector), completions=scripts.complete("fine"))
    gateway = run.gateway(config({"small": expert(upstream, embedding=embedding())}))

    async def ask_all():
        async with openai.AsyncOpenAI(**options(gateway)) as sdk:
            async def streamed():
                return "".join([chunk.choices[0].delta.content or ""
                                async for chunk in await sdk.chat.completions.create(**ASK, stream=True)])

            async def chat():
                return (await sdk.chat.completions.create(**ASK)).choices[0].message.content

            async def completion():
                return (await sdk.completions.create(model="auto", prompt="x")).choices[0].text

            async def vector():
                return "fine" if (await sdk.embeddings.create(model="small", input="x")).data[0].embedding else "none"

            kinds = [streamed, chat, completion, vector]
            return await asyncio.gather(*[kinds[n % 4]() for n in range(100)])

    assert asyncio.run(ask_all()) == ["fine"] * 100
