"""What an expert is not able to never arrives at it: on no API, by no name, as nobody's replacement."""

import random

import pytest

from harness import config, expert, scripts

CHAT = {"messages": [{"role": "user", "content": "hello"}]}
FUNCTION = {"name": "f", "description": "d", "parameters": {"type": "object", "properties": {}}}
SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"], "additionalProperties": False}
PNG = "iVBORw0KGgo="
WORDS = ["tools", "images", "files", "json_schema", "logprobs", "n", "json_object"]


def parts(*kinds):
    """A chat message of text and these media."""
    told = {"images": {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}},
            "files": {"type": "file", "file": {"filename": "a.pdf", "file_data": f"data:application/pdf;base64,{PNG}"}}}
    return [{"role": "user", "content": [{"type": "text", "text": "hello"}] + [told[kind] for kind in kinds if kind in told]}]


def chat_of(needs):
    more = {"tools": {"tools": [{"type": "function", "function": FUNCTION}]},
            "json_schema": {"response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": SCHEMA}}},
            "json_object": {"response_format": {"type": "json_object"}},
            "logprobs": {"logprobs": True, "top_logprobs": 2}, "n": {"n": 2}}
    body = {"messages": parts(*needs)}
    for word in needs:
        body |= more.get(word, {})
    return body


def responses_of(needs):
    content = [{"type": "input_text", "text": "hello"}]
    if "images" in needs:
        content.append({"type": "input_image", "image_url": f"data:image/png;base64,{PNG}"})
    body = {"input": [{"role": "user", "content": content}]}
    if "tools" in needs:
        body["tools"] = [{"type": "function", **FUNCTION}]
    if "json_schema" in needs:
        body["text"] = {"format": {"type": "json_schema", "name": "a", "schema": SCHEMA}}
    if "json_object" in needs:
        body["text"] = {"format": {"type": "json_object"}}
    if "logprobs" in needs:
        body["include"] = ["message.output_text.logprobs"]
    return body


def messages_of(needs):
    content = [{"type": "text", "text": "hello"}]
    if "images" in needs:
        content.append({"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}})
    if "files" in needs:
        content.append({"type": "document",
                        "source": {"type": "base64", "media_type": "application/pdf", "data": PNG}})
    body = {"messages": [{"role": "user", "content": content}], "max_tokens": 100}
    if "tools" in needs:
        body["tools"] = [{"name": "f", "description": "d", "input_schema": FUNCTION["parameters"]}]
    if "json_schema" in needs:
        body["output_config"] = {"format": {"type": "json_schema", "schema": SCHEMA}}
    return body


def completions_of(needs):
    more = {"logprobs": {"logprobs": 1}, "n": {"n": 2}, "suffix": {"suffix": "the end"},
            "json_object": {"response_format": {"type": "json_object"}}}
    body = {"prompt": "hello"}
    for word in needs:
        body |= more[word]
    return body


APIS = {
    "chat": ("/v1/chat/completions", chat_of, WORDS),
    "responses": ("/v1/responses", responses_of, ["tools", "images", "json_schema", "json_object", "logprobs"]),
    "messages": ("/v1/messages", messages_of, ["tools", "images", "files", "json_schema"]),
    "completions": ("/v1/completions", completions_of, ["logprobs", "n", "suffix", "json_object"]),
}
ONE_EACH = [(api, word) for api, (_, _, words) in APIS.items() for word in words]


def upstream(run, content="fine"):
    return run.expert(scripts.answer(content), completions=scripts.complete(content))


def able(up, *words, **more):
    return expert(up, generator_more={"capabilities": list(words), **more})


def asks(gateway, api, needs, headers=(), **more):
    path, body_of, _ = APIS[api]
    return gateway.post(path, {"model": "auto", **body_of(needs), **more}, headers)


@pytest.mark.parametrize("api, word", ONE_EACH)
def test_a_request_goes_to_who_is_able_to_it(run, api, word):
    plain, good = upstream(run), upstream(run)
    gateway = run.gateway(config({"plain": able(plain), "good": able(good, word)}))
    answer = asks(gateway, api, [word])
    assert (answer.status, answer["x-frugal-expert"]) == (200, "good"), answer
    assert not plain.calls() and len(good.calls()) == 1


@pytest.mark.parametrize("api, word", ONE_EACH)
def test_what_nobody_is_able_to_is_refused_by_name(run, api, word):
    plain = upstream(run)
    gateway = run.gateway(config({"plain": able(plain)}))
    for model in ("auto", "plain"):
        answer = asks(gateway, api, [word], model=model)
        assert answer.status == 400, answer
        error = answer.json()["error"]
        assert word in error["message"]
        assert api == "messages" or error["code"] == "unsupported_capability"
    assert not plain.calls()


def told(*parts, **more):
    return {"messages": [{"role": "user", "content": list(parts)}], "max_tokens": 100, **more}


def items(*items):
    return {"input": [{"role": "user", "content": "hello"}, *items]}


@pytest.mark.parametrize("word, body", [
    ("images", told({"type": "image", "image": "http://x"})),
    ("images", {"messages": [{"role": "user", "content": {"type": "image_url", "image_url": {"url": "http://x"}}}]}),
    ("images", {"messages": [{"role": "user", "content": {"type": "image", "image": "http://x"}}]}),
    ("images", {"messages": [{"role": "user", "content": "x", "images": ["aGk="]}]}),
    ("logprobs", {**CHAT, "logprobs": "true"}), ("logprobs", {**CHAT, "logprobs": 1}),
    ("logprobs", {**CHAT, "top_logprobs": "5"}),
    ("json_schema", {**CHAT, "guided_json": SCHEMA}), ("json_schema", {**CHAT, "structured_outputs": {"json": SCHEMA}}),
    ("files", told({"type": "document", "source": {"type": "text", "data": "x"}})), ("files", told({"type": "file", "id": "x"})),
    ("video", told({"type": "video", "video": "http://x"})), ("audio", told({"type": "audio", "audio": "http://x"})),
    ("video", {"messages": [{"role": "user", "content": {"type": "vid\u0065o_url"}}]}),
], ids=lambda value: str(value)[:60])
def test_an_ability_is_needed_however_it_is_asked_for(run, word, body):
    plain, good = upstream(run), upstream(run)
    gateway = run.gateway(config({"plain": able(plain), "good": able(good, word)}))
    answer = gateway.post("/v1/chat/completions", {"model": "auto", **body})
    assert (answer.status, answer["x-frugal-expert"]) == (200, "good"), answer
    assert gateway.post("/v1/chat/completions", {"model": "plain", **body}).status == 400
    assert not plain.calls()


@pytest.mark.parametrize("more", [
    {"logprobs": False}, {"logprobs": None}, {"top_logprobs": 0}, {"structured_outputs": None}, {"guided_json": None}, {"messages": [{"role": "user", "content": "x", "images": []}]},
    {"messages": [{"role": "user", "content": "x", "images": None, "metadata": {"image_url": "x", "type": "image"}}]},
    {"messages": [{"role": "user", "content": [{"type": "text", "text": "image"}]}], "x": [[[{"type": "image"}]]]},
], ids=lambda more: str(more)[:60])
def test_what_asks_for_nothing_needs_no_ability(run, more):
    gateway = run.gateway(config({"plain": able(upstream(run))}))
    assert gateway.post("/v1/chat/completions", {"model": "auto", **CHAT, **more}).status == 200


NATIVE = [
    ("messages", "files", told({"type": "document", "source": {"type": "url", "url": "http://x"}})),
    ("messages", "images", told({"type": "document", "source": {"type": "content", "content": [
        {"type": "image", "source": {"type": "url", "url": "http://x"}}]}})),
    ("messages", "images", told({"type": "image", "source": {"type": "file", "file_id": "f"}})),
    ("messages", "tools", told({"type": "text", "text": "x"}, mcp_servers=[{"type": "url", "url": "http://x", "name": "x"}])),
    ("responses", "files", items({"role": "user", "content": [{"type": "input_file", "file_id": "f"}]})),
    ("responses", "images", items({"type": "function_call_output", "call_id": "c", "output": [
        {"type": "input_image", "image_url": "http://x"}]})),
    ("responses", "images", items({"type": "computer_call_output", "call_id": "c", "output": {
        "type": "computer_screenshot", "image_url": "http://x"}})),
]


@pytest.mark.parametrize("api, word, body", NATIVE, ids=lambda value: str(value)[:60])
def test_an_ability_is_needed_in_words_that_no_chat_has(run, api, word, body):
    script = {"messages": scripts.natively(scripts.message(), scripts.message_events(["fine"])),
              "responses": scripts.natively(scripts.response(), scripts.response_events(["fine"]))}[api]
    plain, good = (run.expert(scripts.answer(), **{api: script}) for _ in range(2))
    gateway = run.gateway(config({"plain": able(plain, api=[api]), "good": able(good, word, api=[api])}))
    answer = gateway.post(f"/v1/{api}", {"model": "auto", **body})
    assert (answer.status, answer["x-frugal-expert"]) == (200, "good"), answer
    assert gateway.post(f"/v1/{api}", {"model": "plain", **body}).status == 400
    assert not plain.calls()


TWICE = [
    ("chat/completions", "images", '{"role":"user","content":[{"type":"image","type":"text","text":"x"}]}'),
    ("messages", "images", '{"role":"user","content":[{"type":"image","type":"text","text":"x","source":{}}]}'),
    ("messages", "files", '{"role":"user","content":[{"type":"document","source":{"type":"url"},"source":{"type":"text","media_type":'
                          '"text/plain","data":"x"}}]}'),
    ("messages", "images", '{"role":"user","content":[{"type":"image","source":{}}],"content":"x"}'),
    ("messages", "images", '{"role":"user","content":[{"type":"tool_result","tool_use_id":"t","content":[{"type":"image"}],'
                           '"content":"x"}]}'),
]


@pytest.mark.parametrize("api, word, message", TWICE, ids=lambda value: str(value)[:60])
def test_of_members_that_are_repeated_each_counts(run, api, word, message):
    natives = {} if api.startswith("chat") else {api: scripts.natively(scripts.message(), scripts.message_events(["fine"]))}
    plain, good = (run.expert(scripts.answer(), **natives) for _ in range(2))
    more = {"api": [api]} if natives else {}
    gateway = run.gateway(config({"plain": able(plain, **more), "good": able(good, word, **more)}))
    body = f'{{"model":"MODEL","max_tokens":10,"messages":[{message}]}}'
    answer = gateway.post(f"/v1/{api}", body.replace("MODEL", "auto").encode())
    assert (answer.status, answer["x-frugal-expert"]) == (200, "good"), answer
    assert gateway.post(f"/v1/{api}", body.replace("MODEL", "plain").encode()).status == 400
    assert not plain.calls()


def test_the_refusal_says_who_lacks_what_and_who_could(run):
    ups = [upstream(run) for _ in range(3)]
    experts = {"eye": able(ups[0], "images"), "hand": able(ups[1], "tools"), "both": able(ups[2], "tools", "images")}
    policies = {"auto": {"default": "eye", "experts": ["eye", "hand"]}}
    error = asks(run.gateway(config(experts, policies)), "chat", ["tools", "images"]).json()["error"]
    assert error["message"] == ("no expert that 'auto' allows supports tools and images together: 'eye' lacks tools, "
                                "'hand' lacks images; this could be answered by 'both'")
    assert (error["param"], error["type"]) == ("tools", "invalid_request_error")


def test_who_is_not_able_takes_over_from_nobody(run):
    bad, plain = run.expert(scripts.refuse(500)), upstream(run)
    gateway = run.gateway(config({"bad": able(bad, "tools"), "plain": able(plain)}))
    answer = asks(gateway, "chat", ["tools"])
    assert answer.status == 502 and not plain.calls()


def test_the_record_says_what_the_excluded_lack(run, tmp_path):
    plain, good = upstream(run), upstream(run)
    gateway = run.gateway(config({"plain": able(plain), "good": able(good, "tools", "n"), "tiny": able(
        upstream(run), "tools", "n", context=5)}, store=str(tmp_path / "frugal.db")))
    answer = asks(gateway, "chat", ["tools", "n"])
    record = gateway.get(f"/v1/decisions/{answer['x-frugal-decision-id']}", admin=True).json()
    assert record["excluded"] == [{"expert": "plain", "why": "ability", "lacks": ["tools", "n"]},
                                  {"expert": "tiny", "why": "context"}]


def test_a_decision_alone_is_held_to_the_same(run):
    gateway = run.gateway(config({"plain": able(upstream(run)), "good": able(upstream(run), "tools")}))
    told = gateway.post("/v1/route", {"model": "auto", **chat_of(["tools"])}).json()
    assert told["expert"] == "good"
    assert gateway.post("/v1/route", {"model": "auto", **chat_of(["images"])}).status == 400


def test_models_are_listed_with_what_they_are_able_to(run):
    experts = {"plain": able(upstream(run), max_output_tokens=500), "eye": able(upstream(run), "images", "tools", "logprobs")}
    gateway = run.gateway(config(experts))
    plain, eye, auto = (gateway.get(f"/v1/models/{name}").json() for name in ("plain", "eye", "auto"))
    assert plain["architecture"] == {"input_modalities": ["text"], "output_modalities": ["text"]}
    assert plain["frugal"]["capabilities"] == [] and plain["supported_parameters"] == ["max_tokens"]
    assert plain["top_provider"] == {"max_completion_tokens": 500} and plain["context_length"] == 1000000
    assert eye["architecture"]["input_modalities"] == ["text", "image"]
    assert eye["supported_parameters"] == ["max_tokens", "tools", "tool_choice", "logprobs", "top_logprobs"]
    assert eye["frugal"]["capabilities"] == ["tools", "images", "logprobs"]
    assert auto["architecture"] == eye["architecture"]
    gateway = run.gateway(config({"plain": able(upstream(run)), "open": expert(upstream(run))}))
    assert "architecture" not in gateway.get("/v1/models/auto").json()
    assert "capabilities" not in gateway.get("/v1/models/open").json()["frugal"]


# -- room


def test_a_limit_above_the_experts_own_is_lowered_to_it_where_nobody_else_is(run):
    up = upstream(run)
    gateway = run.gateway(config({"brief": able(up, max_output_tokens=50)}))
    assert asks(gateway, "chat", [], max_tokens=500).status == 200
    assert asks(gateway, "chat", [], max_completion_tokens=20).status == 200
    assert asks(gateway, "messages", [], max_tokens=500).status == 200
    assert [call.json().get("max_tokens") or call.json()["max_completion_tokens"] for call in up.calls()] == [50, 20, 50]


@pytest.mark.parametrize("api", ["chat", "completions", "responses"])
def test_a_long_answer_is_asked_of_those_who_give_it(run, api):
    brief, long = upstream(run), upstream(run)
    gateway = run.gateway(config({"brief": able(brief, max_output_tokens=50), "long": able(long, max_output_tokens=1000)}))
    limit = "max_output_tokens" if api == "responses" else "max_tokens"
    assert asks(gateway, api, [], **{limit: 500})["x-frugal-expert"] == "long"
    assert asks(gateway, api, [], **{limit: 50})["x-frugal-expert"] == "brief"


def test_a_limit_that_every_request_of_an_api_has_excludes_nobody(run):
    brief, long = upstream(run), upstream(run)
    gateway = run.gateway(config({"brief": able(brief, max_output_tokens=50), "long": able(long, max_output_tokens=1000)}))
    assert asks(gateway, "messages", [], max_tokens=500)["x-frugal-expert"] == "brief"
    assert brief.call().json()["max_tokens"] == 50


def test_a_tokenizers_count_above_every_context_is_a_context_length_exceeded(run):
    def tokenize(call):
        call.answer({"tokens": list(range(900))})

    up = run.expert(scripts.answer("fine"), tokenize=tokenize)
    gateway = run.gateway(config({"small": able(up, context=800, prompt_bound="tokenize")}))
    answer = gateway.chat("word " * 500, headers={"x-frugal-budget-usd": "0.002"}, max_tokens=1000)
    assert (answer.status, answer.json()["error"]["code"]) == (400, "context_length_exceeded"), answer
    assert not [call for call in up.calls() if "tokenize" not in call.target]


# -- the law


@pytest.mark.parametrize("seed", range(4))
def test_no_request_arrives_at_an_expert_that_lacks_what_it_needs(run, seed):
    """Random requests over random experts, some of which fail, so that others take over."""
    draw = random.Random(seed)
    words = sorted({word for _, _, words in APIS.values() for word in words})
    ups, can = {}, {}
    for i in range(6):
        name = f"e{i}"
        can[name] = set(draw.sample(words, draw.randrange(len(words) + 1)))
        script = [scripts.refuse(500), scripts.answer("fine")] if i % 2 else scripts.answer("fine")
        ups[name] = run.expert(script, completions=scripts.complete("fine"))
    experts = {name: able(up, *can[name]) for name, up in ups.items()}
    gateway = run.gateway(config(experts))
    asked = 0
    for turn in range(60):
        api = draw.choice(list(APIS))
        _, _, possible = APIS[api]
        needs = set(draw.sample(possible, draw.randrange(len(possible))))
        if {"json_schema", "json_object"} <= needs:
            needs.remove("json_object")
        before = {name: len(up.calls()) for name, up in ups.items()}
        model = draw.choice(["auto", "auto", *ups])
        answer = asks(gateway, api, sorted(needs), model=model)
        reached = [name for name, up in ups.items() if len(up.calls()) > before[name]]
        candidates = [name for name in ups if model in ("auto", name) and needs <= can[name]]
        assert set(reached) <= set(candidates), (api, needs, reached)
        assert bool(reached) == bool(candidates), (api, needs, answer)
        assert (answer.status == 400) == (not candidates), answer
        asked += bool(reached)
    assert asked > 15
