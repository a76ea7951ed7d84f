"""frugalctl probe: what an endpoint is, as the block of a configuration."""

import json

import pytest

from harness import Experts, frugalctl, run_frugald, scripts


@pytest.fixture(scope="module")
def experts():
    with Experts() as running:
        yield running


def probe(url, *arguments, check=True, env=None):
    return frugalctl("probe", url, *arguments, check=check, env=env)


def only(text):
    """The one expert of a block, which the gateway takes as it stands."""
    ran = run_frugald("--check-config", config=text, env={"PROBED_KEY": "any"})
    assert ran.returncode == 0, ran.err
    (expert,) = json.loads(text)["experts"].values()
    return expert


def served(run, model="m", entry=None, chat=None, **paths):
    """An endpoint with one model, and what else it serves."""
    listed = {"object": "list", "data": [{"id": model, "object": "model", **(entry or {})}]}
    upstream = run.expert(chat if chat is not None else scripts.answer("OK", prompt=9, output=2))
    for path, body in {"/models": listed, **paths}.items():
        upstream._scripts[path] = [body if callable(body) else (lambda call, body=body: call.answer(body))]
    return upstream


# -- against the real program


def test_an_expert_of_the_demo_is_found_out(experts):
    ran = probe(experts.url, "--model", "arithmetic", "--embedding-model", "embed-small")
    generator = only(ran.out)["generator"]
    assert generator["api"] == ["chat", "completions", "responses", "messages"] and generator["capabilities"] == ["n"]
    assert only(ran.out)["embedding"] == {"model": "embed-small", "dim": 64, "free": True}
    assert "with usage" in ran.err and "taken to be free" in ran.err


def test_what_is_asked_is_no_more_than_what_was_said_before(experts):
    model = "script:chunks=100,ignore_limit=0"
    planned = probe(experts.url, "--model", model, "--dry-run").out
    calls, prompt, answer = map(int, planned.strip().splitlines()[-1].split()[1:4])
    said = json.loads(probe(experts.url, "--model", model, "--json").out)
    assert 0 < said["calls"] <= calls and 0 < said["prompt_tokens"] <= prompt and 0 < said["answer_tokens"] <= answer
    assert said["answer_tokens"] > 40, "a talkative model is held by its limits alone"


def test_a_dry_run_asks_for_nothing_but_the_models(run):
    upstream = served(run)
    ran = probe(upstream.url, "--dry-run")
    assert [call.method for call in upstream.calls()] == ["GET"]
    assert "chat" in ran.out and "altogether" in ran.out and "experts" not in ran.out


def test_the_dialect_of_a_reasoning_model_is_found(experts):
    generator = only(probe(experts.url, "--model", "script:reasoner=1", "--name", "deep").out)["generator"]
    assert generator["request"] == {"rename": {"max_tokens": "max_completion_tokens"}, "drop": ["temperature"]}


def test_the_price_of_an_hour_follows_from_the_speed(experts):
    ran = probe(experts.url, "--model", "script:chunks=30,chunk_ms=10", "--name", "own", "--usd-per-hour", "0.36")
    price = only(ran.out)["generator"]["price"]
    assert price["usd_per_hour"] == 0.36 and 0 < price["tokens_per_second"] <= 101


def test_a_model_that_is_over_its_limit_is_kept_from_ceilings(experts):
    ran = probe(experts.url, "--model", "script:chunks=60,ignore_limit=1", "--name", "loud")
    assert only(ran.out)["generator"]["prompt_bound"] == "none" and "not honoured" in ran.err


# -- dialects and lists of all kinds


def test_tools_and_json_are_seen_by_their_answers(run):
    def chat(call):
        asked = call.json()
        said = scripts.completion('{"ok": true}' if "response_format" in asked else "OK", prompt=9, output=2)
        if "tools" in asked:
            said["choices"][0]["message"] = {"role": "assistant", "content": None, "tool_calls": [
                {"id": "c", "type": "function", "function": {"name": "clock", "arguments": '{"city":"Oslo"}'}}]}
        if asked.get("logprobs"):
            said["choices"][0]["logprobs"] = {"content": []}
        scripts.answer("OK")(call) if asked.get("stream") else call.answer(said)

    upstream = served(run, entry={"max_model_len": 32768}, chat=chat)
    generator = only(probe(upstream.url).out)["generator"]
    assert generator["capabilities"] == ["tools", "json_object", "json_schema", "logprobs"]
    assert generator["context"] == 32768 and generator["api"] == ["chat"]


REFUSALS = {
    "by its param": lambda name: {"error": {"message": "no", "param": name, "code": "unsupported_parameter"}},
    "in words": lambda name: {"error": {"message": f"the member '{name}' is not known here"}},
    "in FastAPI's words": lambda name: {"detail": f"extra field: {name}"},
    "without a name": lambda name: {"error": {"message": "bad request", "param": None}},
}


@pytest.mark.parametrize("how", REFUSALS)
def test_members_that_are_refused_are_dropped_however_it_is_said(run, how):
    def chat(call):
        for name in ("logit_bias", "seed", "stream_options"):
            if name in call.json() and not (name == "stream_options" and how == "without a name"):
                return call.answer(REFUSALS[how](name), status=400)
        return scripts.answer("OK")(call)

    dropped = only(probe(served(run, chat=chat).url).out)["generator"]["request"]["drop"]
    assert sorted(dropped) == sorted(["logit_bias", "seed"] + ["stream_options"] * (how != "without a name"))


CONTEXTS = {
    "llama.cpp": ({"meta": {"n_ctx_train": 131072}}, {"/props": {"default_generation_settings": {"n_ctx": 4096}}}, 4096),
    "a model's training": ({"meta": {"n_ctx_train": 131072}}, {}, 131072),
    "Ollama, loaded": ({}, {"/api/ps": {"models": [{"name": "m", "context_length": 4096}]},
                            "/api/show": {"model_info": {"llama.context_length": 131072}}}, 4096),
    "Ollama, set": ({}, {"/api/show": {"parameters": "stop \"a\"\nnum_ctx      8192",
                                       "model_info": {"llama.context_length": 131072}}}, 8192),
    "Ollama, the model's": ({}, {"/api/show": {"model_info": {"general.architecture": "llama", "llama.context_length": 131072},
                                               "capabilities": ["completion", "vision"]}}, 131072),
    "OpenRouter": ({"context_length": 200000, "top_provider": {"max_completion_tokens": 64000}}, {}, 200000),
}


@pytest.mark.parametrize("server", CONTEXTS)
def test_how_long_a_prompt_may_be_is_read_where_the_server_says_it(run, server):
    entry, paths, context = CONTEXTS[server]
    ran = probe(served(run, entry=entry, **paths).url)
    generator = only(ran.out)["generator"]
    assert generator["context"] == context
    assert ("images" in generator["capabilities"]) == (server == "Ollama, the model's")
    assert generator.get("max_output_tokens") == (64000 if server == "OpenRouter" else None)
    assert ("set num_ctx" in ran.err) == (server == "Ollama, the model's")


def test_a_tokenizer_is_found_and_used(run):
    upstream = served(run, **{"/tokenize": {"tokens": [1, 2, 3]}})
    generator = only(probe(upstream.url).out)["generator"]
    assert (generator["prompt_bound"], generator["tokenizer_takes"]) == ("tokenize", "content")


def test_the_v1_may_be_left_out(run):
    upstream = served(run)
    upstream._scripts["/models"] = [lambda call: call.answer({"data": [{"id": "m"}]}, status=200 if "/v1/" in call.target else 404)]
    assert only(probe(upstream.url.removesuffix("/v1")).out)["endpoints"] == [upstream.url]


def test_an_endpoint_that_only_embeds_is_an_embedding(run):
    def vectors(call):
        call.answer({"object": "list", "data": [{"index": 0, "embedding": [0.5] * 24}], "usage": {"prompt_tokens": 3}})

    upstream = served(run, chat=scripts.refuse(404), **{"/embeddings": vectors})
    expert = only(probe(upstream.url, "--embedding-model", "m").out)
    assert "generator" not in expert and expert["embedding"]["dim"] == 24
    assert upstream.asked == 0


# -- money, keys, trouble


def test_what_costs_an_unknown_price_is_not_asked(run):
    """An address of this machine that does not look like one."""
    upstream = served(run)
    ran = probe(upstream.url.replace("127.0.0.1", "0.0.0.0"), check=False)
    assert ran.returncode == 2 and "what 'm' costs is not known" in ran.err and "--prices" in ran.err
    assert [call.method for call in upstream.calls()] == ["GET"]
    assert only(probe(upstream.url.replace("127.0.0.1", "0.0.0.0"), "--free").out)["generator"]["free"]


def test_the_price_comes_from_a_list_or_from_the_endpoint(run, tmp_path):
    (tmp_path / "list.json").write_text(json.dumps({"v/m": {"input_cost_per_token": 1e-6, "output_cost_per_token": 2e-6}}))
    ran = probe(served(run).url, "--prices", tmp_path / "list.json")
    price = only(ran.out)["generator"]["price"]
    assert (price["input"], price["output"], price["source"]) == (1, 2, "LiteLLM: v/m")
    assert "at most: 0.0" in ran.err and "USD" in ran.err
    upstream = served(run, entry={"pricing": {"prompt": "0.000003", "completion": "0.000015"}})
    assert only(probe(upstream.url).out)["generator"]["price"]["output"] == 15
    assert only(probe(served(run).url, "--price", "2.5,10").out)["generator"]["price"] == {"input": 2.5, "output": 10}


def test_a_key_is_sent_and_named_but_never_shown(run):
    upstream = served(run)
    env = {"PROBED_KEY": "sk-very-secret"}
    ran = probe(upstream.url, "--key-env", "PROBED_KEY", "--key-header", "x-api-key", env=env)
    assert {call.header("x-api-key") for call in upstream.calls()} == {"sk-very-secret"}
    assert only(ran.out)["key"] == {"env": "PROBED_KEY"} and only(ran.out)["key_header"] == "x-api-key"
    assert "sk-very-secret" not in ran.out + ran.err


TROUBLE = {
    "several models": (lambda call: call.answer({"data": [{"id": "one"}, {"id": "two"}]}), ["has 2 models", "two"]),
    "no models": (lambda call: call.answer({"data": []}), ["lists no models"]),
    "a page": (lambda call: call.answer(b"<html>"), ["lists no models"]),
    "no key": (scripts.refuse(401, "who are you?"), ["--key-env", "who are you?"]),
}


@pytest.mark.parametrize("case", TROUBLE)
def test_trouble_is_told_with_what_to_do(run, case):
    models, words = TROUBLE[case]
    upstream = served(run, **{"/models": models})
    ran = probe(upstream.url, check=False)
    assert ran.returncode in (1, 2) and all(word in ran.err for word in words), ran.err
    assert upstream.asked == 0


def test_an_endpoint_that_answers_nothing_is_an_error_with_its_words(run):
    ran = probe(served(run, chat=scripts.refuse(500, "out of order")).url, check=False)
    assert ran.returncode == 1 and "neither answers nor embeds" in ran.err and "out of order" in ran.err
    assert ran.out == ""


def test_an_expert_is_added_to_a_configuration_and_nothing_else_is_changed(run, tmp_path):
    path = tmp_path / "frugal.json"
    path.write_text('{"workers": 1, "experts": {},\n "log_level":  "info"}')
    upstream = served(run)
    assert "the old one is" in probe(upstream.url, "--name", "first", "--add", path).out
    probe(upstream.url, "--name", "second", "--add", path)
    text = path.read_text()
    assert text.startswith('{"workers": 1, "experts": {') and text.endswith('},\n "log_level":  "info"}')
    assert list(json.loads(text)["experts"]) == ["first", "second"] and len(list(tmp_path.glob("*.bak"))) == 2
    assert run_frugald("--check-config", config=text).returncode == 0
    before = len(upstream.calls())
    again = probe(upstream.url, "--name", "first", "--add", path, check=False)
    assert again.returncode == 1 and "take another --name" in again.err and path.read_text() == text
    assert len(upstream.calls()) == before


def test_a_model_whose_name_the_configuration_has_is_not_asked(run, tmp_path):
    path = tmp_path / "frugal.json"
    path.write_text('{"experts": {"m": {}}}')
    upstream = served(run)
    ran = probe(upstream.url, "--add", path, check=False)
    assert ran.returncode == 1 and "take another --name" in ran.err
    assert {call.method for call in upstream.calls()} == {"GET"}
