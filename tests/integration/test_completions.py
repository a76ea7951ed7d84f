"""/v1/completions: text goes on to experts that speak it, routed, priced and bounded like chat."""

import openai
import pytest

from harness import config, expert, scripts
from harness.routers import PRICES, held_out

ASK = {"model": "auto", "prompt": "once upon a time"}


def client(gateway):
    return openai.OpenAI(base_url=f"http://127.0.0.1:{gateway.port}/v1", api_key="sk-any", max_retries=0, timeout=60)


def test_a_completion(run):
    small = run.expert(completions=scripts.complete("fine"))
    completion = client(run.gateway(small)).completions.create(**ASK, extra_body={"top_k": 5})
    assert completion.choices[0].text == "fine"
    assert completion.usage.model_extra["cost"] == pytest.approx(50e-6)
    assert small.call(path="/v1/completions").json() == {**ASK, "model": "scripted", "top_k": 5}


def test_a_stream(run):
    stream = client(run.gateway(run.expert(completions=scripts.complete("fine")))).completions.create(
        **ASK, stream=True, stream_options={"include_usage": True})
    chunks = list(stream)
    assert "".join(chunk.choices[0].text for chunk in chunks if chunk.choices) == "fine"
    assert chunks[-1].usage.model_extra["cost"] == pytest.approx(50e-6)


def test_a_cut_stream_raises(run):
    def script(call):
        call.head(stream=True)
        call.event({"id": "x", "object": "text_completion", "choices": [{"index": 0, "text": "a", "finish_reason": None}]})
        call.cut()

    with pytest.raises(openai.APIError):
        list(client(run.gateway(run.expert(completions=script))).completions.create(**ASK, stream=True))


def test_each_kind_of_prompt_goes_to_the_expert_that_is_good_at_it(run, router):
    experts = {name: expert(run.expert(completions=scripts.complete(f"by {name}")), price=PRICES[name]) for name in PRICES}
    create = client(run.gateway(router.config(experts))).completions.create
    for domain, name in (("sums", "mathy"), ("poems", "poet")):
        prompts = held_out(domain, 10)
        answers = [create(model="auto", prompt=prompt).choices[0].text for prompt in prompts]
        assert answers.count(f"by {name}") >= 9
        assert create(model="auto", prompt=prompts[:1]).choices[0].text == f"by {name}"


def test_a_ceiling_holds_for_all_prompts_together(run):
    small = run.expert(completions=scripts.complete())
    gateway = run.gateway(config({"small": expert(small, price=(0.0, 1000.0))}))
    answer = gateway.post("/v1/completions", {**ASK, "prompt": ["a", "b"], "n": 5}, {"x-frugal-budget-usd": "1"})
    assert answer.status == 200
    assert small.call(path="/v1/completions").json()["max_tokens"] == 100


def test_an_expert_that_does_not_speak_it_is_not_asked(run):
    chat, text = run.expert(completions=scripts.complete("no")), run.expert(completions=scripts.complete("fine"))
    gateway = run.gateway(config({
        "chat": expert(chat, generator_more={"api": ["chat"]}),
        "text": expert(text, generator_more={"api": ["completions"]})}))
    assert client(gateway).completions.create(**ASK).choices[0].text == "fine"
    with pytest.raises(openai.BadRequestError) as raised:
        client(gateway).completions.create(**{**ASK, "model": "chat"})
    assert raised.value.code == "unsupported_parameter" and "/completions" in raised.value.message
    assert gateway.chat(model="text").status == 400
    assert not chat.calls()


def test_an_expert_that_refuses_it_is_followed_by_the_next(run):
    first, second = run.expert(), run.expert(completions=scripts.complete("fine"))  # the first answers 404
    gateway = run.gateway(config({"first": expert(first), "second": expert(second)}))
    assert client(gateway).completions.create(**ASK).choices[0].text == "fine"


@pytest.mark.parametrize("fields, param", [({"prompt": None}, "prompt"), ({"prompt": []}, "prompt"), ({"prompt": 3}, "prompt"),
                                           ({"n": 0}, "n"), ({"stream": "yes"}, "stream")])
def test_what_is_wrong_is_named(run, fields, param):
    answer = run.gateway(run.expert()).post("/v1/completions", {**ASK, **fields})
    assert (answer.status, answer.json()["error"]["param"]) == (400, param)
