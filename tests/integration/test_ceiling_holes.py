"""Ways past a ceiling that somebody might look for, on purpose or by mistake, and that are not there."""

import json

import pytest

from harness import config, embedding, expert, scripts
from harness.routers import PRICES, held_out
from harness.wire import Response, request_bytes

IN, OUT = 1.0, 2.0
TINY = {"x-frugal-budget-usd": "0.00000001"}
SMALL = {"x-frugal-budget-usd": "0.001"}


def chat_raw(gateway, more, headers=SMALL):
    body = b'{"model":"auto","messages":[{"role":"user","content":"what is the capital of France?"}]' + more + b"}"
    return gateway.post("/v1/chat/completions", body, headers)


# -- the body

@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens", "n", "model", "messages", "tools", "service_tier",
                                  "best_of", "frugal", "stream", "stream_options", "n_predict", "documents"])
@pytest.mark.parametrize("escaped", [False, True], ids=["plain", "escaped"])
def test_a_key_of_ours_twice_is_refused_however_it_is_written(run, name, escaped):
    small = run.expert(scripts.answer())
    gateway = run.gateway(small)
    first = json.dumps(name).encode()
    second = (f'"\\u{ord(name[0]):04x}{name[1:]}"' if escaped else f'"{name}"').encode()
    once = b"" if name in ("model", "messages") else b"," + first + b":1"
    answer = chat_raw(gateway, once + b"," + second + b":1")
    assert answer.status == 400 and answer.error["param"] == name
    assert small.asked == 0


def test_an_escaped_limit_is_that_limit(run):
    small = run.expert(scripts.answer())
    gateway = run.gateway(small)
    assert chat_raw(gateway, b',"max\\u005ftokens":100000').status == 200
    assert 0 < small.call().json()["max_tokens"] < 500


@pytest.mark.parametrize("more", [
    b',"n_predict":100000', b',"num_predict":100000', b',"max_new_tokens":100000', b',"max_output_tokens":100000',
    b',"Max_Tokens":100000', b',"MODEL":"dear"', b',"max_to\\u212aens":100000', b',"me\\u017f\\u017fages":[]', b',"thinking_budget":9999',
    b',"use_beam_search":true', b',"best_of":2', b',"prediction":{"type":"content","content":"x"}', b',"modalities":["audio"]',
    b',"modalities":"audio"', b',"audio":{"voice":"x"}', b',"service_tier":"priority"', b',"service_tier":"flex"',
    b',"web_search_options":{}', b',"search_parameters":{"mode":"on"}', b',"plugins":[{"id":"web"}]', b',"provider":{"order":["x"]}',
    b',"models":["x"]', b',"fallbacks":["x"]', b',"route":"fallback"', b',"extra_body":{"n_predict":9}',
    b',"chat_template":"{{x*9999}}"', b',"mcp_servers":[{}]', b',"container":"c"', b',"speed":"fast"',
    b',"data_sources":[{"type":"azure_search"}]', b',"api_base":"http://x"', b',"base_url":"http://x"', b',"deployment_id":"dear"',
    b',"options":{"num_predict":9999}', b',"max_length":9999', b',"betas":["x"]', b',"anthropic_beta":["x"]',
    b',"tools":[{"type":"web_search"}]', b',"tools":[{"type":"function","type":"web_search"}]',
    b',"tools":[{"ty\\u0070e":"code_interpreter"}]', b',"tools":[{"name":"x"}]', b',"cache_control":{"type":"ephemeral"}',
], ids=lambda more: more.decode()[1:40])
def test_what_may_cost_more_is_refused_under_a_ceiling_and_passes_without_one(run, more):
    small = run.expert(scripts.answer())
    gateway = run.gateway(small)
    refused = chat_raw(gateway, more)
    assert refused.status == 400, refused
    assert refused.error["code"] == "unpriced_field" or "unpriced" in json.dumps(refused.error)
    assert small.asked == 0
    assert chat_raw(gateway, more, headers=()).status == 200
    assert more in small.call().body


@pytest.mark.parametrize("key, named", [
    ("Max_tokens", "Max_tokens"), ("MODEL", "MODEL"), ("m\\u0041x_tokens", "m\\u0041x_tokens"), ("ma\u212aens", "ma\u212aens"),
    ("x" + "\u00e4" * 40, "x" + "\u00e4" * 31)])
def test_the_refusal_of_a_key_in_other_letters_names_the_key(run, key, named):
    gateway = run.gateway(run.expert(scripts.answer()))
    refused = chat_raw(gateway, f',"temperature":1,"{key}":1,"N":1'.encode())
    assert refused.status == 400 and refused.error["param"] == named
    assert f"'{named}'" in refused.error["message"]


@pytest.mark.parametrize("more", [
    b',"logprobs":true,"top_logprobs":5', b',"temperature":0.5,"top_k":20,"min_p":0.1,"seed":1', b',"reasoning_effort":"high"',
    b',"tools":[{"type":"function","function":{"name":"f","parameters":{}}}],"tool_choice":"auto"', b',"service_tier":"default"',
    b',"best_of":1', b',"audio":null', b',"modalities":["text"]', b',"an_unknown_field":{"x":[1]}', b',"enable_search":false',
    b',"chat_template_kwargs":{"enable_thinking":false}', b',"response_format":{"type":"json_object"}',
], ids=lambda more: more.decode()[1:40])
def test_what_costs_no_more_passes_under_a_ceiling(run, more):
    small = run.expert(scripts.answer())
    gateway = run.gateway(small)
    answer = chat_raw(gateway, more, headers={"x-frugal-budget-usd": "0.01"})
    assert answer.status == 200, answer
    assert more in small.call().body


@pytest.mark.parametrize("message", [
    {"content": [{"type": "file", "file": {"file_id": "f"}}]}, {"content": [{"type": "input_audio", "input_audio": {}}]},
    {"content": [{"type": "video_url", "video_url": {"url": "http://x"}}]}, {"content": [{"audio_url": "http://x"}]},
    {"content": [{"type": "document", "source": {"type": "url", "url": "http://x"}}]},
    {"content": {"type": "image_url", "image_url": "http://x"}}, {"content": "x", "images": ["aGk="]},
    {"content": None, "audio": {"id": "audio_1"}}], ids=lambda message: json.dumps(message)[:40])
def test_content_by_reference_is_refused_under_a_ceiling(run, message):
    small = run.expert(scripts.answer())
    gateway = run.gateway(small)
    answer = gateway.chat([{"role": "user", **message}], headers={"x-frugal-budget-usd": "1"})
    assert answer.status == 400 and answer.error["param"] == "messages", answer
    assert gateway.chat([{"role": "user", **message}]).status == 200
    assert small.asked == 1


def test_an_image_counts_at_its_setting_or_is_not_sent(run):
    blind, seeing = run.expert(scripts.answer()), run.expert(scripts.answer())
    gateway = run.gateway(config({"blind": expert(blind), "seeing": expert(seeing, generator_more={"image_tokens": 500})}))
    image = [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "http://x/y.png"}}]}]
    answer = gateway.chat(image, headers=SMALL, max_tokens=1000)
    assert answer["x-frugal-expert"] == "seeing"
    assert seeing.call().json()["max_tokens"] * OUT + 500 * IN <= 1000
    assert gateway.chat(image, "blind", headers=SMALL).status == 402
    # The same under an escaped key, and for each of two.
    twice = json.dumps(image[0]["content"] * 2).replace('"image_url":', '"image\\u005furl":')
    body = ('{"model":"seeing","max_tokens":1000,"messages":[{"role":"user","content":' + twice + "}]}").encode()
    assert gateway.post("/v1/chat/completions", body, headers={"x-frugal-budget-usd": "0.001"}).status == 402
    assert seeing.asked == 1 and blind.asked == 0


def test_a_mark_for_the_cache_needs_a_price_for_what_is_written(run):
    plain, priced = run.expert(scripts.answer()), run.expert(scripts.answer())
    entries = {"plain": expert(plain), "priced": expert(priced)}
    entries["priced"]["generator"]["price"]["cache_write"] = 1.25
    gateway = run.gateway(config(entries))
    marked = [{"role": "user", "content": [{"type": "text", "text": "x", "cache_control": {"type": "ephemeral"}}]}]
    assert gateway.chat(marked, headers=SMALL)["x-frugal-expert"] == "priced"
    assert gateway.chat(marked, "plain", headers=SMALL).status == 400
    assert gateway.chat(marked)["x-frugal-expert"] == "plain"


@pytest.mark.parametrize("known, other", [("max_tokens", "max_completion_tokens"), ("max_completion_tokens", "max_tokens")])
def test_an_expert_that_knows_one_name_of_the_limit_gets_it_under_that_name(run, known, other):
    small = run.expert(scripts.answer())
    gateway = run.gateway(config({"small": expert(small, generator_more={"output_limit_field": known})}))
    assert gateway.chat(headers=SMALL, **{other: 40}).status == 200
    assert gateway.chat(headers=SMALL, **{other: 40, known: 30}).status == 200
    assert gateway.chat(headers=SMALL, frugal={"explain": True}, **{known: 50, other: 20}).status == 200
    assert gateway.chat(**{other: 40}).status == 200
    first, second, third, free = (call.json() for call in small.calls())
    assert (first[known], second[known], third[known]) == (40, 30, 20)
    assert not {other, "frugal"} & (set(first) | set(second) | set(third) | set(free))
    assert free[known] == 40


# -- headers

@pytest.mark.parametrize("lines", [
    b"x-frugal-budget-usd: 1\r\nX-Frugal-Budget-USD: 0.00000001\r\n", b"x-frugal-budget-usd: 0.00000001\r\n , 1\r\n",
    b"x-frugal-budget-usd: 0.00000001, 1\r\n", b"x_frugal_budget_usd: 1\r\n",
    b"x-frugal_budget_usd: 1\r\n", b"x_frugal-budget-usd: 1\r\n", b"x-frugal-budget_usd: 1\r\n",
    b"x-frugal-budget: 1\r\n", b"x-frugal-budget-usd: 1 USD\r\n", b"x-frugal-budget-usd: 0,5\r\n"],
    ids=lambda lines: repr(lines)[2:50])
def test_a_ceiling_that_is_repeated_folded_or_mistyped_is_refused(run, lines):
    small = run.expert(scripts.answer())
    gateway = run.gateway(small)
    body = json.dumps({"model": "auto", "messages": [{"role": "user", "content": "x"}]}).encode()
    with gateway.connect() as wire:
        wire.send(request_bytes("POST", "/v1/chat/completions", (), body).replace(b"\r\n", b"\r\n" + lines, 1))
        answer = Response(wire)
    assert answer.status == 400 and answer.error["type"] == "invalid_request_error", answer
    assert small.asked == 0


@pytest.mark.parametrize("path, ask", [
    ("/v1/chat/completions", {"messages": [{"role": "user", "content": "x"}]}), ("/v1/completions", {"prompt": "x"}),
    ("/v1/responses", {"input": "x"}), ("/v1/messages", {"messages": [{"role": "user", "content": "x"}], "max_tokens": 5}),
    ("/v1/route", {"messages": [{"role": "user", "content": "x"}]})])
def test_options_under_a_key_in_other_letters_are_refused_and_not_lost(run, path, ask):
    small = run.expert(scripts.answer())
    answer = run.gateway(small).post(path, {"model": "auto", "Frugal": {"budget_usd": 0.00000001}, **ask})
    assert answer.status == 400 and "frugal" in answer.json()["error"]["message"], answer
    assert small.asked == 0


def test_a_folded_ceiling_that_is_one_number_holds(run):
    small = run.expert(scripts.answer())
    gateway = run.gateway(small)
    body = json.dumps({"model": "auto", "messages": [{"role": "user", "content": "x"}]}).encode()
    with gateway.connect() as wire:
        wire.send(request_bytes("POST", "/v1/chat/completions", (), body).replace(
            b"\r\n", b"\r\nx-frugal-budget-usd:\r\n 0.00000001\r\n", 1))
        assert Response(wire).status in (400, 402)
    assert small.asked == 0


# -- what is bought before the answer

def priced_embedder(run, router, policy=None):
    embedder = run.expert(embeddings=router.embeddings)
    experts = {name: expert(run.expert(scripts.answer(f"by {name}")), price=PRICES[name]) for name in PRICES}
    experts["embedder"] = expert(embedder, generator=False, embedding=embedding(dim=router.dim, price=1.0))
    gateway = run.gateway(router.config(experts, "remote", policies={
        "auto": {"value_usd": 0.02, "default": "poet", "max_output_tokens": 100, "gain_se": 0, **(policy or {})}}))
    gateway.wait_probed()
    bought = len(embedder.calls("/embeddings"))
    return gateway, lambda: len(embedder.calls("/embeddings")) - bought


@pytest.mark.parametrize("route", ["/v1/chat/completions", "/v1/route"])
@pytest.mark.parametrize("on_budget", ["trim", "downgrade", "reject"])
def test_a_request_that_is_refused_costs_nothing(run, router, route, on_budget):
    gateway, bought = priced_embedder(run, router)
    ask = {"model": "auto", "messages": [{"role": "user", "content": held_out("poems", 1)[0]}], "max_tokens": 100}
    for budget in ("0.000000001", "0.00015", "0.0002"):
        answer = gateway.post(route, ask, {"x-frugal-budget-usd": budget, "x-frugal-on-budget": on_budget})
        if answer.status == 402:
            assert bought() == 0, (budget, answer)
            assert answer["x-should-retry"] == "false" and "USD" in answer.error["message"]
    assert gateway.post(route, ask, {"x-frugal-budget-usd": "0.000000001"}).status == 402
    assert gateway.post(route, ask, {"x-frugal-budget-usd": "0.1"}).status == 200
    assert bought() == 1


def test_the_route_without_generation_keeps_its_ceiling_too(run, router):
    gateway, bought = priced_embedder(run, router)
    ask = {"model": "auto", "messages": [{"role": "user", "content": held_out("poems", 1)[0]}]}
    assert gateway.post("/v1/route", ask, {"x-frugal-budget-usd": "0.1"}).status == 200
    line = gateway.log.wait(event="request", path="/v1/route")
    assert bought() == 1 and 0 < float(line["cost_usd"]) <= 0.1


def test_evidence_never_takes_what_the_answer_needs(run, router):
    """From a ceiling that only just buys the answer upwards: it is answered every time, with evidence when there is
    enough for both."""
    gateway, bought = priced_embedder(run, router)
    ask = {"model": "auto", "messages": [{"role": "user", "content": held_out("poems", 1)[0]}], "max_tokens": 16}
    statuses, evidence = [], []
    for micro in range(20, 420, 10):
        before = bought()
        statuses.append(gateway.post("/v1/chat/completions", ask, {"x-frugal-budget-usd": f"0.{micro:06d}"}).status)
        evidence.append(bought() - before)
    first = statuses.index(200)
    assert statuses == [402] * first + [200] * (len(statuses) - first) and first > 0
    assert evidence[:first + 1] == [0] * (first + 1) and evidence[-1] == 1


# -- one call more than was reserved for

def keeps_then_closes(call):
    """Answers the first request of a connection, and closes when a second one has come."""
    if getattr(call.wire, "served", False):
        call.cut()
        return
    call.wire.served = True
    scripts.answer()(call)


@pytest.mark.parametrize("budget, calls", [("0.001", 2), ("0.0005", 1), (None, 2)])
def test_a_request_on_a_connection_that_was_closed_is_only_sent_again_when_both_can_be_paid(run, budget, calls):
    small = run.expert(keeps_then_closes)
    gateway = run.gateway(config({"small": expert(small)}, workers=1))
    assert gateway.chat().status == 200
    headers = {"x-frugal-budget-usd": budget} if budget else {}
    answer = gateway.chat(headers=headers, max_tokens=100, model="small")
    assert small.asked == 1 + calls
    assert answer.status == (200 if calls == 2 else 502)
    line = gateway.log.wait(event="request", count=2)
    assert line["estimated"] == "true"
    if budget:
        assert float(line["bound_usd"]) <= float(budget)


def test_other_endpoints_share_the_ceiling(run):
    """Each of them takes the request and fails in a way that may have been billed."""
    down = [run.expert(scripts.refuse(500)) for _ in range(3)]
    entry = expert(down[0])
    entry["endpoints"] = [one.url for one in down]
    second = run.expert(scripts.answer())
    gateway = run.gateway(config({"many": entry, "second": expert(second)}))
    gateway.chat(headers=SMALL, max_tokens=300)
    calls = [call for one in (*down, second) for call in one.calls()]
    spent = sum(len(call.json()["messages"][0]["content"]) * IN + call.json()["max_tokens"] * OUT for call in calls)
    assert calls and spent <= 1000
