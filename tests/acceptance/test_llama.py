"""Two of llama.cpp's servers as experts, generators and embeddings: calibrated, built, routed, streamed, failed over."""

import json
import urllib.request

import anthropic
import openai
import pydantic
import pytest

from harness import BUILD, Experts, config, embedding, eventually, expert, frugalctl
from harness.programs import run_program
from llama import CALL, PREPARE_SECONDS

pytestmark = pytest.mark.timeout(PREPARE_SECONDS + 300)
CHEAP = 0.01  # USD per million tokens
ASK = {"model": "left", "messages": [{"role": "user", "content": "Say anything."}]}


class Weather(pydantic.BaseModel):
    rainy: bool
    wind: int


def questions(n, seed):
    """Generated prompts of the two kinds that two of the small experts know."""
    said = run_program(BUILD / "frugal-experts", "questions", "--n", n, "--seed", seed).out
    return [question for question in map(json.loads, said.splitlines())
            if question["domain"] in ("arithmetic", "text")]


def tiny(llama, apis=("chat", "completions"), most=1900):
    return expert(llama, model="tiny", price=(CHEAP, CHEAP), embedding=embedding("tiny", 64, 0.001),
                  generator_more={"max_output_tokens": most, "context": 2048, "api": list(apis)})


def pair(left, right, **more):
    """The two of them alone; the first is the default."""
    return config({"left": tiny(left), "right": tiny(right)},
                  policies={"auto": {"value_usd": 0.02, "default": "left", "max_output_tokens": 1900}}, **more)


def whole(llamas, experts):
    """Two real small experts, the tiny models as bad but cheap others, their embeddings as the only evidence."""
    policy = {"value_usd": 0.02, "default": "left", "max_output_tokens": 16}
    return config({"left": tiny(llamas[0], most=16), "right": tiny(llamas[1], most=16),
                   "arithmetic": expert(experts.url, model="arithmetic", price=(0.1, 0.1)),
                   "text": expert(experts.url, model="text", price=(0.1, 0.1))},
                  embedders=["left", "right"],
                  policies={"auto": policy, "tiny": {**policy, "experts": ["left", "right"]}})


@pytest.fixture(scope="session")
def learned(llamas, tmp_path_factory):
    """Calibrated on the real path and built with both embeddings: the configuration with its bundle."""
    folder = tmp_path_factory.mktemp("llama")
    with Experts() as experts:
        made = whole(llamas, experts)
        (folder / "config.json").write_text(json.dumps(made))
        (folder / "prompts.jsonl").write_text("".join(json.dumps(question) + "\n" for question in questions(600, 1)))
        frugalctl("calibrate", "--config", folder / "config.json", "--prompts", folder / "prompts.jsonl",
                  "--store", folder / "calib.db", "--concurrency", 4, patience=600)
        frugalctl("build", "--store", folder / "calib.db", "--out", folder / "bundle.frugal", "--embedders", "left,right",
                  "--config", folder / "config.json", patience=600)
        yield {**made, "bundle": str(folder / "bundle.frugal")}


@pytest.fixture
def gateway(run, llamas):
    return run.gateway(pair(*llamas))


@pytest.fixture
def sdk(gateway):
    return openai.OpenAI(base_url=f"http://127.0.0.1:{gateway.port}/v1", api_key="sk-any", max_retries=0, timeout=60)


@pytest.fixture
def claude(gateway):
    return anthropic.Anthropic(base_url=f"http://127.0.0.1:{gateway.port}", api_key="sk-any", max_retries=0, timeout=60)


def function(name, **properties):
    return {"type": "function", "function": {"name": name, "description": name, "parameters": {
        "type": "object", "properties": properties, "required": list(properties)}}}


CITY = {"enum": ["Oslo", "Rome"]}
TOOLS = [function("weather", city=CITY), function("clock", exact={"type": "boolean"})]


def is_called(name, arguments):
    """The arguments are what that tool's schema allows."""
    said = json.loads(arguments)
    if name == "weather":
        assert list(said) == ["city"] and said["city"] in CITY["enum"]
    else:
        assert name == "clock" and list(said) == ["exact"] and isinstance(said["exact"], bool)


# -- routed


def test_a_prompt_is_embedded_by_llama_cpp_and_routed(run, learned):
    gateway = run.gateway(learned)
    asked = questions(160, 2)
    right = 0
    for question in asked:
        answer = gateway.chat(question["prompt"])
        assert answer.status == 200, answer
        assert answer["x-frugal-queried"] in ("left", "right", "left,right")
        right += answer["x-frugal-expert"] == question["domain"]
    # The models are random, so their embeddings say little; still clearly more than a guess.
    assert right >= 0.6 * len(asked), f"{right} of {len(asked)}"
    counted = gateway.metrics()
    assert sum(counted.value("frugal_cost_usd_total", expert=name, **{"for": "evidence"}) for name in ("left", "right")) > 0


def test_llama_cpp_answers_a_routed_stream(run, learned):
    gateway = run.gateway(learned)
    with gateway.stream("Say anything.", model="tiny", max_tokens=12, ignore_eos=True,
                        stream_options={"include_usage": True}) as stream:
        assert stream["x-frugal-expert"] in ("left", "right")
        chunks = stream.chunks()
    assert stream.done and not stream.cut
    usage = chunks[-1]["usage"]
    assert usage["completion_tokens"] == 12
    tokens = usage["prompt_tokens"] + usage["completion_tokens"]
    assert usage["cost"] == pytest.approx(tokens * CHEAP * 1e-6, rel=0.5)


def test_llama_cpp_embeds_as_the_client_asks(run, learned):
    gateway = run.gateway(learned)
    texts = ["one", "two words"]
    plain = gateway.post("/v1/embeddings", {"model": "left", "input": texts}).json()
    coded = gateway.post("/v1/embeddings", {"model": "right", "input": texts, "encoding_format": "base64"}).json()
    assert [len(item["embedding"]) for item in plain["data"]] == [64, 64]
    assert all(isinstance(item["embedding"], str) for item in coded["data"])
    assert plain["usage"]["cost"] > 0


def test_a_ceiling_binds_llama_cpp(run, learned):
    gateway = run.gateway(learned)
    answer = gateway.chat("Say anything.", model="left", headers={"x-frugal-budget-usd": "0.000004"}, max_tokens=500)
    assert answer.status == 200, answer
    assert answer.json()["usage"]["cost"] <= 0.000004


# -- looked at


def test_llama_cpp_is_found_out_and_served_by_what_was_found(run, llamas):
    ran = frugalctl("probe", llamas[0].url, "--name", "left", "--usd-per-hour", "0.1", "--model", "tiny")
    left = json.loads(ran.out)["experts"]["left"]
    generator = left["generator"]
    assert generator["api"] == ["chat", "completions", "responses", "messages"], ran.err
    assert {"json_schema", "logprobs", "n"} <= set(generator["capabilities"]), ran.err
    assert generator["context"] == 2048 and generator["tokenizer_takes"] == "content"
    assert left["embedding"]["dim"] == 64 and generator["price"]["tokens_per_second"] > 0
    gateway = run.gateway(config({"left": left}))
    answer = gateway.chat("Say anything.", max_tokens=8, headers={"x-frugal-budget-usd": "0.01"})
    assert answer.status == 200 and 0 < answer.json()["usage"]["cost"] <= 0.01


# -- tools and schemas, held by a grammar


def test_llama_cpp_keeps_to_a_schema(sdk):
    answer = sdk.chat.completions.parse(**ASK, response_format=Weather, max_tokens=1000)
    assert isinstance(answer.choices[0].message.parsed, Weather)


def test_llama_cpp_keeps_to_a_schema_in_a_stream(sdk):
    with sdk.chat.completions.stream(**ASK, response_format=Weather, max_tokens=1000) as stream:
        assert isinstance(stream.get_final_completion().choices[0].message.parsed, Weather)


def test_llama_cpp_calls_a_tool(sdk):
    answer = sdk.chat.completions.create(**ASK, tools=TOOLS, tool_choice="required", max_tokens=1000, extra_body=CALL)
    calls = answer.choices[0].message.tool_calls
    assert calls and answer.choices[0].message.content in (None, "")
    for call in calls:
        is_called(call.function.name, call.function.arguments)


def test_llama_cpp_calls_tools_in_a_stream(sdk):
    with sdk.chat.completions.stream(**ASK, tools=TOOLS, tool_choice="required", parallel_tool_calls=True, max_tokens=400,
                                     extra_body=CALL) as stream:
        calls = {}
        for event in stream:
            if event.type == "chunk":
                for delta in event.chunk.choices[0].delta.tool_calls or [] if event.chunk.choices else []:
                    calls.setdefault(delta.index, []).append(delta)
    assert sorted(calls) == list(range(len(calls))) and calls
    for deltas in calls.values():
        assert deltas[0].id and deltas[0].function.name and not any(delta.id for delta in deltas[1:])


def test_a_tool_loop_goes_on_with_llama_cpp(sdk):
    first = sdk.chat.completions.create(**ASK, tools=TOOLS, tool_choice="required", parallel_tool_calls=False,
                                        max_tokens=1000, extra_body=CALL).choices[0]
    call = first.message.tool_calls[0]
    turns = [*ASK["messages"], first.message, {"role": "tool", "tool_call_id": call.id, "content": "it rains"}]
    again = sdk.chat.completions.create(model="left", messages=turns, response_format={"type": "json_object"},
                                        max_tokens=8)
    assert again.choices[0].message.role == "assistant" and again.usage.completion_tokens > 0


def test_llama_cpp_gives_two_answers_with_log_probabilities(sdk):
    answer = sdk.chat.completions.create(**ASK, n=2, logprobs=True, top_logprobs=3, max_tokens=4,
                                         extra_body={"ignore_eos": True})
    assert [choice.index for choice in answer.choices] == [0, 1]
    for choice in answer.choices:
        assert choice.logprobs.content and all(len(token.top_logprobs) == 3 for token in choice.logprobs.content)


# -- the other APIs


def as_responses(tool):
    return {"type": "function", **tool["function"]}


def as_messages(tool):
    return {"name": tool["function"]["name"], "description": "d", "input_schema": tool["function"]["parameters"]}


def test_llama_cpp_gives_a_response(sdk):
    answer = sdk.responses.create(model="left", input="Say anything.", max_output_tokens=16, extra_body={"ignore_eos": True})
    assert answer.output_text and answer.usage.output_tokens == 16 and answer.usage.model_extra["cost"] > 0
    events = list(sdk.responses.create(model="left", input="Say anything.", max_output_tokens=16, stream=True,
                                       extra_body={"ignore_eos": True}))
    assert events[0].type == "response.created"
    text = "".join(event.delta for event in events if event.type == "response.output_text.delta")
    assert text and text == events[-1].response.output_text and events[-1].response.usage.output_tokens == 16


def test_llama_cpp_calls_a_tool_in_a_response(sdk):
    answer = sdk.responses.create(model="left", input="Say anything.", max_output_tokens=1000, extra_body=CALL,
                                  tools=[as_responses(tool) for tool in TOOLS], tool_choice="required")
    calls = [item for item in answer.output if item.type == "function_call"]
    assert calls
    for call in calls:
        is_called(call.name, call.arguments)


def test_llama_cpp_keeps_to_a_schema_in_a_response(sdk):
    answer = sdk.responses.parse(model="left", input="Say anything.", text_format=Weather, max_output_tokens=1000)
    assert isinstance(answer.output_parsed, Weather)


def test_llama_cpp_gives_a_message(claude):
    ask = {**ASK, "max_tokens": 16, "extra_body": {"ignore_eos": True}}
    message = claude.messages.create(**ask)
    assert message.content[0].text and message.stop_reason == "max_tokens" and message.usage.output_tokens == 16
    with claude.messages.stream(**ask) as stream:
        events = list(stream)
    text = "".join(event.text for event in events if event.type == "text")
    assert text and text == stream.get_final_message().content[0].text
    assert [event.usage.model_extra["cost"] > 0 for event in events if event.type == "message_delta"] == [True]


def test_llama_cpp_uses_a_tool_in_a_message(claude):
    ask = {**ASK, "max_tokens": 1000, "tools": [as_messages(tool) for tool in TOOLS], "tool_choice": {"type": "any"},
           "extra_body": CALL}
    with claude.messages.stream(**ask) as stream:
        streamed = stream.get_final_message()
    for message in (claude.messages.create(**ask), streamed):
        used = [block for block in message.content if block.type == "tool_use"]
        assert used
        for block in used:
            is_called(block.name, json.dumps(block.input))


# -- the other APIs, which llama.cpp's server speaks itself: it is asked in the client's own words


@pytest.fixture
def native(run, llamas):
    """Left speaks all APIs itself, right speaks chat."""
    return run.gateway(config({"left": tiny(llamas[0], ["chat", "messages", "responses"]), "right": tiny(llamas[1])}))


def ids(answer):
    return answer.status, answer.json()["id"].split("-")[0].split("_")[0]


def test_llama_cpp_is_asked_in_the_clients_words(native):
    """Its message has an id of its own kind, which no translation would make."""
    ask = {"messages": ASK["messages"], "max_tokens": 8}
    assert ids(native.post("/v1/messages", {**ask, "model": "left"})) == (200, "chatcmpl")
    assert ids(native.post("/v1/messages", {**ask, "model": "right"})) == (200, "msg")


def test_llama_cpps_own_messages_are_told_as_they_come(native):
    sdk = anthropic.Anthropic(base_url=f"http://127.0.0.1:{native.port}", api_key="sk-any", max_retries=0, timeout=60)
    message = sdk.messages.create(**ASK, max_tokens=16)
    assert message.type == "message" and message.usage.model_extra["cost"] > 0
    begun = False
    while not begun:  # where the first token is half a character this server forgets message_start
        with sdk.messages.stream(**ASK, max_tokens=16) as stream:
            events = list(stream)
        begun = any(event.type == "message_start" for event in events)
    final = stream.get_final_message()
    assert final.stop_reason in ("max_tokens", "end_turn") and final.usage.output_tokens > 0
    cost = next(event.usage.model_extra["cost"] for event in events if event.type == "message_delta")
    tokens = final.usage.input_tokens + (final.usage.cache_read_input_tokens or 0) + final.usage.output_tokens
    assert cost == pytest.approx(tokens * CHEAP * 1e-6)


def test_llama_cpps_own_responses_are_told_as_they_come(native):
    sdk = openai.OpenAI(base_url=f"http://127.0.0.1:{native.port}/v1", api_key="sk-any", max_retries=0, timeout=60)
    answer = sdk.responses.create(model="left", input="Say anything.", max_output_tokens=16)
    assert answer.object == "response" and answer.usage.model_extra["cost"] > 0
    events = list(sdk.responses.create(model="left", input="Say anything.", max_output_tokens=16, stream=True))
    assert events[0].type == "response.created" and events[-1].type == "response.completed"
    usage = events[-1].response.usage
    assert usage.model_extra["cost"] == pytest.approx(usage.total_tokens * CHEAP * 1e-6)
    called = sdk.responses.create(model="left", input="Say anything.", max_output_tokens=1000, extra_body=CALL,
                                  tools=[as_responses(tool) for tool in TOOLS], tool_choice="required")
    for call in [item for item in called.output if item.type == "function_call"]:
        is_called(call.name, call.arguments)


@pytest.mark.parametrize("path, ask", [("/v1/messages", {"messages": ASK["messages"], "max_tokens": 4}),
                                       ("/v1/responses", {"input": "Say anything.", "max_output_tokens": 16})])
def test_who_speaks_chat_takes_over_from_who_speaks_the_clients_api(run, llama_cpp, llamas, path, ask):
    with llama_cpp.start() as left:
        gateway = run.gateway(config({"left": tiny(left, ["chat", "messages", "responses"]), "right": tiny(llamas[1])}))
        assert gateway.post(path, {**ask, "model": "auto"})["x-frugal-expert"] == "left"
        left.kill()
        answer = gateway.post(path, {**ask, "model": "auto"})
        assert answer.status == 200 and answer["x-frugal-expert"] == "right"


# -- one of them ends


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "stream"])
def test_the_other_one_answers_when_one_ends_before_it_said_anything(run, llama_cpp, llamas, streamed):
    with llama_cpp.start() as left:
        gateway = run.gateway(pair(left, llamas[1]))
        left.hold()
        with gateway.start("Say anything.", max_tokens=4, stream=streamed) as wire:
            eventually(lambda: gateway.metrics().value("frugal_expert_in_flight", expert="left") > 0, "left is asked")
            left.kill()
            head = wire.read_head()
        assert head.start.startswith("HTTP/1.1 200"), head
        assert head["x-frugal-expert"] == "right" and head["x-frugal-reason"] == "failover"
        assert gateway.chat("And now?", max_tokens=4)["x-frugal-expert"] == "right"


def test_a_stream_is_cut_honestly_when_llama_cpp_ends_in_the_middle(run, llama_cpp, llamas):
    """Log probabilities make the answer larger than all that lies in queues and sockets while nobody reads."""
    with llama_cpp.start() as left:
        gateway = run.gateway(pair(left, llamas[1], limits={"queue_bytes": 65536}))
        wire = gateway.connect(receive_buffer=4096)
        with gateway.stream("Say anything.", wire=wire, max_tokens=1900, ignore_eos=True, logprobs=True,
                            top_logprobs=20, stream_options={"include_usage": True}) as stream:
            while not (json.loads(next(stream))["choices"] or [{}])[0].get("delta", {}).get("content"):
                pass
            left.kill()
            rest = [json.loads(data) for data in stream if data != "[DONE]"]
        assert "error" in rest[-1] and not any("error" in chunk for chunk in rest[:-1])
        assert stream.cut and not stream.done
        assert stream["x-frugal-expert"] == "left"
    assert gateway.log.wait(event="request")["result"] == "expert_broken"


def test_a_client_that_leaves_stops_llama_cpp(run, llama_cpp):
    with llama_cpp.start() as left:
        gateway = run.gateway(pair(left, left))
        stream = gateway.stream("Say anything.", model="left", max_tokens=1900, ignore_eos=True)
        next(stream)
        stream.close()
        gateway.log.wait(event="request")

        def idle():
            slots = json.load(urllib.request.urlopen(left.root + "/slots", timeout=5))
            return not any(slot["is_processing"] for slot in slots)

        eventually(idle, "llama.cpp's server generates no more")
