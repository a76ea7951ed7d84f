"""frugal-experts behind the gateway: the real small experts, and the ones scripted by name."""

import http.client
import json
import urllib.parse
import urllib.request

import anthropic
import openai
import pytest

from harness import config, embedding, eventually, expert


def behind(run, experts, *models, **more):
    return run.gateway(config({name: expert(experts.url, model=model) for name, model in models}, **more))


def test_the_small_experts_answer_what_they_know(run):
    gateway = behind(run, run.experts(), ("arithmetic", "arithmetic"), ("generalist", "generalist"))
    answer = gateway.chat("What is 17 times 23?")
    assert "391" in answer.json()["choices"][0]["message"]["content"]
    assert answer.json()["usage"]["prompt_tokens"] > 0
    with gateway.stream("What is 17 times 23?") as stream:
        assert "391" in stream.text() and stream.done


def test_they_answer_in_every_api_as_the_official_sdks_expect(run):
    """Asked without a gateway: whole answers and streams say the same and count the same."""
    experts = run.experts()
    sdk = openai.OpenAI(base_url=experts.url, api_key="none", max_retries=0)
    claude = anthropic.Anthropic(base_url=experts.url.removesuffix("/v1"), api_key="none", max_retries=0)
    ask, model = "What is 17 times 23?", "script:chunks=5,reasoning=2"

    whole = sdk.completions.create(model="arithmetic", prompt=ask)
    pieces = list(sdk.completions.create(model="arithmetic", prompt=ask, stream=True, stream_options={"include_usage": True}))
    assert "391" in whole.choices[0].text and whole.object == "text_completion"
    assert "".join(piece.choices[0].text for piece in pieces[:-1]) == whole.choices[0].text
    assert pieces[-1].usage == whole.usage and pieces[-2].choices[0].finish_reason == "stop"
    assert len(sdk.completions.create(model=model, prompt=["a", "b"], n=2).choices) == 4

    response = sdk.responses.create(model=model, input=[{"role": "user", "content": ask}], instructions="Be brief.")
    with sdk.responses.stream(model=model, input=ask) as stream:
        streamed = stream.get_final_response()
    assert response.output_text == streamed.output_text == "w0 w1 w2 w3 w4 "
    assert [item.type for item in response.output] == ["reasoning", "message"] == [item.type for item in streamed.output]
    assert response.usage.output_tokens == 7 and response.usage.output_tokens_details.reasoning_tokens == 2
    assert sdk.responses.create(model=model, input=ask, max_output_tokens=3).status == "incomplete"

    message = claude.messages.create(model=model, max_tokens=100, messages=[{"role": "user", "content": ask}])
    with claude.messages.stream(model=model, max_tokens=100, messages=[{"role": "user", "content": ask}]) as stream:
        streamed = stream.get_final_message()
    assert [block.type for block in message.content] == ["thinking", "text"] == [block.type for block in streamed.content]
    assert message.content[1].text == streamed.content[1].text == "w0 w1 w2 w3 w4 "
    assert (message.usage.input_tokens, message.usage.output_tokens) == (streamed.usage.input_tokens, streamed.usage.output_tokens)
    tool = claude.messages.create(model="script:tool_calls=1", max_tokens=100, messages=[{"role": "user", "content": ask}],
                                  tools=[{"name": "clock", "input_schema": {"type": "object"}}])
    assert tool.content[0].name == "clock" and tool.stop_reason == "tool_use"
    with pytest.raises(anthropic.NotFoundError):
        claude.messages.create(model="nobody", max_tokens=1, messages=[{"role": "user", "content": ask}])


def test_a_scripted_stream_arrives_whole(run):
    gateway = behind(run, run.experts(), ("slow", "script:chunks=30,delay_ms=1"))
    with gateway.stream(stream_options={"include_usage": True}) as stream:
        chunks = stream.chunks()
    assert stream.done
    assert len([chunk for chunk in chunks if chunk["choices"]]) >= 30


def test_a_scripted_cut_is_an_honest_error(run):
    gateway = behind(run, run.experts(), ("cutter", "script:chunks=10,cut_after=3"))
    with gateway.stream() as stream:
        said = list(stream)
    assert "error" in json.loads(said[-1]) and not stream.done


def test_a_scripted_cut_comes_at_once_while_older_connections_are_open(run):
    experts = run.experts()
    url = urllib.parse.urlsplit(experts.url)
    older = [http.client.HTTPConnection(url.hostname, url.port, timeout=30) for _ in range(8)]
    for line in older:
        line.request("GET", "/healthz")
        line.getresponse().read()
    script = "script:chunks=10,cut_after=3,chunk_ms=1"
    gateway = behind(run, experts, ("cutter", script))
    with gateway.stream() as stream:
        said = list(stream)
    assert "error" in json.loads(said[-1]) and not stream.done
    assert gateway.log.wait(event="request")["expert_end"] == "cut"  # not timed out
    for line in older:
        line.close()


def test_an_expert_that_only_embeds_is_no_model(run):
    experts = run.experts()
    gateway = run.gateway(config({
        "generalist": expert(experts.url, model="generalist"),
        "embedder": expert(experts.url, generator=False, embedding=embedding("embed-small", 64, 0.01))}))
    assert gateway.chat("What is 17 times 23?").status == 200
    assert gateway.chat(model="embedder").status == 404


def counters(experts, model):
    with urllib.request.urlopen(experts.url.removesuffix("/v1") + "/stats") as answer:
        return json.load(answer)["models"].get(model, {})


def test_an_expert_sees_the_cancellation_of_a_client_that_left_in_mid_stream(run):
    experts, model = run.experts(), "script:chunks=100000,chunk_ms=5"
    gateway = behind(run, experts, ("endless", model))
    with gateway.stream() as stream:
        for _ in range(3):
            next(iter(stream))
    seen = eventually(lambda: counters(experts, model).get("cancelled") and counters(experts, model), "cancelled")
    assert (seen["requests"], seen["in_flight"], seen["completed"]) == (1, 0, 0)
    assert seen["completion_tokens"] < 10000


def test_an_expert_sees_the_cancellation_of_a_client_that_left_before_the_first_byte(run):
    experts, model = run.experts(), "script:stall_head=1"
    gateway = behind(run, experts, ("silent", model))
    wire = gateway.start()
    eventually(lambda: counters(experts, model).get("in_flight") == 1, "the expert works")
    wire.close()
    eventually(lambda: counters(experts, model).get("cancelled") == 1, "the expert is told to stop")
