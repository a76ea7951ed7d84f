"""Experts that speak Responses or Messages themselves: asked in the client's own words, beside those who speak chat only.

The same ranking, failover, commit point and money as for a chat; of the request only the model, the output limit and our
own object are touched, of the answer only the last usage.
"""

import asyncio
import json

import anthropic
import openai
import pytest

from harness import config, expert, scripts
from harness.routers import PRICES as ROUTED, held_out

CLAUDE = {"model": "auto", "max_tokens": 100, "messages": [{"role": "user", "content": "hello"}]}
ITEMS = {"model": "auto", "input": "hello"}
MESSAGES = scripts.natively(scripts.message(), scripts.message_events(["fi", "ne"]))
RESPONSES = scripts.natively(scripts.response(), scripts.response_events(["fi", "ne"]))
# Both, as one parametrised test needs them: path, request, script, the events of a good stream
APIS = {"messages": ("/v1/messages", CLAUDE, MESSAGES, scripts.message_events(["fi", "ne"])),
        "responses": ("/v1/responses", ITEMS, RESPONSES, scripts.response_events(["fi", "ne"]))}
both = pytest.mark.parametrize("api", APIS)
# What no chat completion can say
SEARCH = {"messages": {"tools": [{"type": "web_search_20250305", "name": "web_search"}]},
          "responses": {"tools": [{"type": "web_search"}]}}
PRICES = {"input": 1.0, "output": 2.0, "cached_input": 0.1, "cache_write": 1.25}


def native(upstream, *apis, **more):
    return expert(upstream, generator_more={"api": list(apis), "price": PRICES}, **more)


def gateway_for(run, api, script=None, apis=None, **more):
    """One expert, which speaks that API; gives it and the gateway."""
    upstream = run.expert(scripts.answer("told"), **{api: script or APIS[api][2]})
    return upstream, run.gateway(config({"own": native(upstream, *(apis or [api]), **more)}))


def events(gateway, path, body, headers=()):
    """The raw answer's events as (name, data), and whether it ended properly."""
    answer = gateway.post(path, {**body, "stream": True}, headers)
    assert answer.status == 200, answer
    blocks = [block.split(b"\n") for block in answer.body.split(b"\n\n") if block]
    return [(block[0].decode().removeprefix("event: "), json.loads(block[1][6:])) for block in blocks]


def stream_of(gateway, path, body, headers=()):
    """(events' data, cut)"""
    from harness.wire import Stream, request_bytes
    wire = gateway.connect()
    wire.send(request_bytes("POST", path, headers, json.dumps({**body, "stream": True}).encode()))
    with Stream(wire) as stream:
        return [json.loads(data) for data in stream], stream.cut


def cost_of(gateway):
    return float(gateway.log.wait(event="request")["cost_usd"])


# -- the request


def test_a_message_goes_to_its_expert_byte_for_byte(run):
    upstream = run.expert(messages=MESSAGES)
    body = (b'{ "max_tokens" : 50,\n"messages":[{"role":"user","content":[{"type":"text","text":"h\\u0069",'
            b'"cache_control":{"type":"ephemeral"}}]}], "thinking":{"type":"enabled","budget_tokens":1024},'
            b' "frugal":{"min_quality":0.1}, "model":"auto", "metadata":{"user_id":"u"},"new_field":[1 , 2]}')
    gateway = run.gateway(config({"own": native(upstream, "messages", key={"env": "OWN_KEY"}, key_header="x-api-key")}),
                          env={"OWN_KEY": "sk-ant"})
    answer = gateway.request("POST", "/v1/messages", body, {"anthropic-beta": "one", "anthropic-version": "2024-01-01",
                                                            "authorization": "Bearer of-the-client"})
    assert answer.status == 200, answer
    call = upstream.call(path="/v1/messages")
    assert call.body == body.replace(b' "frugal":{"min_quality":0.1},', b" ").replace(b'"auto"', b'"scripted"')
    assert call.request["x-api-key"] == "sk-ant" and "authorization" not in call.request
    assert call.request["anthropic-version"] == "2024-01-01" and call.request["anthropic-beta"] == "one"


def test_the_version_of_the_api_is_said_where_the_client_says_none(run):
    upstream, gateway = gateway_for(run, "messages")
    assert gateway.post("/v1/messages", CLAUDE).status == 200
    assert upstream.call(path="/v1/messages").request["anthropic-version"] == "2023-06-01"


def test_a_response_goes_to_its_expert_byte_for_byte(run):
    upstream, gateway = gateway_for(run, "responses")
    body = (b'{"stream":true,"model" :"auto","input":[{"type":"reasoning","id":"rs_1","encrypted_content":"x","summary":[]},'
            b'{"role":"user","content":"hi"}],"store":false,"include":["reasoning.encrypted_content"]}')
    assert gateway.request("POST", "/v1/responses", body).status == 200
    assert upstream.call(path="/v1/responses").body == body.replace(b'"auto"', b'"scripted"')


@both
def test_who_speaks_both_is_asked_in_the_clients_words(run, api):
    path, ask, *_ = APIS[api]
    upstream, gateway = gateway_for(run, api, apis=["chat", api])
    assert gateway.post(path, ask).status == 200 and gateway.chat().status == 200
    assert [call.target for call in upstream.calls()] == [path, "/v1/chat/completions"]


@both
def test_who_speaks_it_alone_is_not_asked_for_a_chat(run, api):
    _, gateway = gateway_for(run, api)
    refused = gateway.chat()
    assert refused.status == 400 and refused.error["code"] == "unsupported_parameter"


@both
def test_a_long_request_is_read_on_the_pool_and_sent_as_it_came(run, api):
    """Also where its translation leaves something out, which is noted there."""
    path, ask, *_ = APIS[api]
    upstream, gateway = gateway_for(run, api)
    text = "what is the sum? " * 20000
    long = {**ask, **SEARCH[api], **({"input": text} if api == "responses" else {"messages": [{"role": "user", "content": text}]})}
    body = json.dumps(long).encode()

    async def all_of_them():
        return await asyncio.gather(*(asyncio.to_thread(gateway.request, "POST", path, body) for _ in range(20)))

    assert [answer.status for answer in asyncio.run(all_of_them())] == [200] * 20
    assert {call.body for call in upstream.calls()} == {body.replace(b'"auto"', b'"scripted"')}


# -- the answer


@both
def test_a_whole_answer_comes_back_as_it_was_but_for_the_cost(run, api):
    path, ask, *_ = APIS[api]
    whole = {"messages": scripts.message([{"type": "thinking", "thinking": "hm", "signature": "sig"},
                                          {"type": "text", "text": "fine"}], new_member=[1]),
             "responses": scripts.response(new_member=[1])}[api]
    _, gateway = gateway_for(run, api, lambda call: call.answer(whole))
    answer = gateway.post(path, ask)
    usage = answer.json()["usage"]
    assert usage.pop("cost") == pytest.approx(50e-6) == float(answer["x-frugal-cost-usd"])
    assert usage.pop("cost_details")["expert"] == "own"
    assert {**answer.json(), "usage": usage} == whole
    assert answer["x-frugal-expert"] == "own"


@both
def test_a_stream_comes_back_as_it_was_but_for_the_cost(run, api):
    path, ask, _, said = APIS[api]
    _, gateway = gateway_for(run, api)
    came = events(gateway, path, ask)
    assert [name for name, _ in came] == [event["type"] for event in said]
    where = (lambda event: event["usage"]) if api == "messages" else (lambda event: event["response"]["usage"])
    last = -2 if api == "messages" else -1
    usage = where(came[last][1])
    assert usage.pop("cost") == pytest.approx(50e-6) and usage.pop("cost_details")["estimated"] is False
    assert [data for _, data in came] == said
    assert cost_of(gateway) == pytest.approx(50e-6)


def test_what_a_cache_gave_and_took_has_its_price(run):
    usage = {"cache_read_input_tokens": 1000, "cache_creation_input_tokens": 100}
    cost = (10 * 1.0 + 1000 * 0.1 + 100 * 1.25 + 20 * 2.0) * 1e-6
    _, gateway = gateway_for(run, "messages", scripts.natively(
        scripts.message(usage={"input_tokens": 10, "output_tokens": 20, **usage}),
        scripts.message_events(["fine"], **usage)))
    assert gateway.post("/v1/messages", CLAUDE).json()["usage"]["cost"] == pytest.approx(cost)
    assert events(gateway, "/v1/messages", CLAUDE)[-2][1]["usage"]["cost"] == pytest.approx(cost)


def test_a_stream_without_usage_has_an_estimate_in_the_books(run):
    said = scripts.message_events(["fine"])
    del said[-2]["usage"]
    _, gateway = gateway_for(run, "messages", scripts.natively(None, said))
    assert [data for _, data in events(gateway, "/v1/messages", CLAUDE)] == said
    line = gateway.log.wait(event="request")
    assert line["estimated"] == "true" and float(line["cost_usd"]) > 0


def test_the_official_sdks_cannot_tell(run):
    upstream = run.expert(messages=MESSAGES, responses=RESPONSES)
    gateway = run.gateway(config({"own": native(upstream, "messages", "responses")}))
    claude = anthropic.Anthropic(base_url=f"http://127.0.0.1:{gateway.port}", api_key="sk-any", max_retries=0)
    assert claude.messages.create(**CLAUDE).content[0].text == "fine"
    with claude.messages.stream(**CLAUDE) as stream:
        assert "".join(stream.text_stream) == "fine"
        assert stream.get_final_message().usage.output_tokens == 20
    sdk = openai.OpenAI(base_url=f"http://127.0.0.1:{gateway.port}/v1", api_key="sk-any", max_retries=0)
    assert sdk.responses.create(**ITEMS).output_text == "fine"
    with sdk.responses.stream(**ITEMS) as stream:
        assert stream.get_final_response().output_text == "fine"


def test_a_hundred_at_once(run):
    upstream = run.expert(messages=MESSAGES, responses=RESPONSES)
    gateway = run.gateway(config({"own": native(upstream, "messages", "responses")}))
    options = {"api_key": "sk-any", "max_retries": 0, "timeout": 60}

    async def all_of_them():
        async with anthropic.AsyncAnthropic(base_url=f"http://127.0.0.1:{gateway.port}", **options) as claude, \
                openai.AsyncOpenAI(base_url=f"http://127.0.0.1:{gateway.port}/v1", **options) as sdk:
            async def message():
                return (await claude.messages.create(**CLAUDE)).content[0].text

            async def message_stream():
                async with claude.messages.stream(**CLAUDE) as stream:
                    return "".join([text async for text in stream.text_stream])

            async def response():
                return (await sdk.responses.create(**ITEMS)).output_text

            async def response_stream():
                async with sdk.responses.stream(**ITEMS) as stream:
                    return (await stream.get_final_response()).output_text

            kinds = [message, message_stream, response, response_stream]
            return await asyncio.gather(*[kinds[n % 4]() for n in range(100)])

    assert asyncio.run(all_of_them()) == ["fine"] * 100


def test_each_prompt_goes_to_the_expert_that_is_good_at_it_whatever_it_speaks(run, router):
    """One ranking of both kinds, decided on the same text."""
    own = run.expert(messages=scripts.natively(scripts.message("by mathy"), scripts.message_events(["by mathy"])))
    poet, sage = run.expert(scripts.answer("by poet")), run.expert(scripts.answer("by sage"))
    gateway = run.gateway(router.config({"mathy": expert(own, generator_more={"api": ["messages"]}, price=ROUTED["mathy"]),
                                         "poet": expert(poet, price=ROUTED["poet"]), "sage": expert(sage, price=ROUTED["sage"])}))
    claude = anthropic.Anthropic(base_url=f"http://127.0.0.1:{gateway.port}", api_key="sk-any", max_retries=0)
    for domain, name in (("sums", "mathy"), ("poems", "poet")):
        answers = [claude.messages.create(model="auto", max_tokens=100, messages=[{"role": "user", "content": prompt}])
                   for prompt in held_out(domain, 10)]
        assert [answer.content[0].text for answer in answers].count(f"by {name}") >= 9
        assert all((answer.id == "msg_scripted") == (answer.content[0].text == "by mathy") for answer in answers)


# -- who takes over


def dead(call):
    call.cut()


@both
def test_a_chat_expert_takes_over_in_translation(run, api):
    path, ask, *_ = APIS[api]
    own, told = run.expert(**{api: dead}), run.expert(scripts.answer("told"))
    gateway = run.gateway(config({"own": native(own, api), "told": expert(told)}))
    whole, (streamed, cut) = gateway.post(path, ask), stream_of(gateway, path, ask)
    assert whole["x-frugal-expert"] == "told" and "told" in whole.body.decode()
    assert not cut and streamed[0]["type"] in ("message_start", "response.created")
    assert "told" in json.dumps(streamed) and told.asked == 2


@both
def test_an_expert_of_that_api_takes_over_from_a_chat_expert(run, api):
    path, ask, _, said = APIS[api]
    own, told = run.expert(**{api: APIS[api][2]}), run.expert(scripts.cut)
    gateway = run.gateway(config({"told": expert(told), "own": native(own, api)}))
    assert gateway.post(path, ask).json()["id"].endswith("_scripted")
    streamed, cut = stream_of(gateway, path, ask)
    assert not cut and [event["type"] for event in streamed] == [event["type"] for event in said]
    assert told.asked == 2


@both
def test_who_says_that_it_is_overloaded_is_replaced_before_content(run, api):
    path, ask, _, said = APIS[api]
    error = {"messages": {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}},
             "responses": {"type": "error", "code": "rate_limit_exceeded", "message": "slow", "param": None,
                           "sequence_number": 2}}[api]
    own = run.expert(**{api: scripts.natively(None, [*said[:2], error])})
    gateway = run.gateway(config({"own": native(own, api), "told": expert(run.expert(scripts.answer("told")))}))
    streamed, cut = stream_of(gateway, path, ask)
    assert not cut and "told" in json.dumps(streamed) and "error" not in [event["type"] for event in streamed]


@both
def test_its_own_error_is_passed_on_after_content(run, api):
    path, ask, _, said = APIS[api]
    error = {"messages": {"type": "error", "error": {"type": "api_error", "message": "broke"}},
             "responses": {"type": "response.failed", "sequence_number": 5, "response": {
                 **scripts.response(), "status": "failed", "error": {"code": "server_error", "message": "broke"}}}}[api]
    _, gateway = gateway_for(run, api, scripts.natively(None, [*said[:5], error]))
    streamed, cut = stream_of(gateway, path, ask)
    assert cut and streamed == [*said[:5], error]


@both
def test_a_cut_stream_ends_in_an_error_of_its_api(run, api):
    path, ask, _, said = APIS[api]

    def script(call):
        call.head(stream=True)
        for event in said[:5]:
            call.named(event)
        call.cut()

    _, gateway = gateway_for(run, api, script)
    streamed, cut = stream_of(gateway, path, ask)
    assert cut and streamed[:-1] == said[:5] and streamed[-1]["type"] == "error"
    if api == "responses":
        assert streamed[-1]["sequence_number"] == 5
    assert gateway.log.wait(event="request")["result"] == "expert_broken"


@both
def test_a_stream_that_just_ends_is_cut(run, api):
    """Its HTTP answer is whole, and yet its last event is missing."""
    path, ask, _, said = APIS[api]
    _, gateway = gateway_for(run, api, scripts.natively(None, said[:-1]))
    streamed, cut = stream_of(gateway, path, ask)
    assert cut and streamed[-1]["type"] == "error"


def test_a_refusal_has_the_experts_own_words(run):
    error = {"type": "error", "error": {"type": "invalid_request_error", "message": "no such thing", "extra": 1},
             "request_id": "req_theirs"}
    _, gateway = gateway_for(run, "messages", lambda call: call.answer(error, status=400))
    answer = gateway.post("/v1/messages", CLAUDE)
    assert answer.status == 400 and answer.json() == error and answer["x-frugal-error-source"] == "expert"


def test_a_refusal_in_other_words_is_told_in_the_shape_of_the_api(run):
    error = {"error": {"code": 400, "message": "no such thing", "type": "invalid_request_error"}}
    _, gateway = gateway_for(run, "messages", lambda call: call.answer(error, status=400))
    answer = gateway.post("/v1/messages", CLAUDE)
    assert answer.status == 400 and answer.json()["type"] == "error"
    assert answer.json()["error"] == {"type": "invalid_request_error", "message": "no such thing"}


@pytest.mark.parametrize("api, body", [
    ("messages", {"type": "completion"}), ("messages", scripts.completion()), ("responses", scripts.completion()),
    ("responses", scripts.response(status="failed", error={"code": "server_error", "message": "x"}))])
def test_what_is_no_answer_of_that_api_is_a_failure(run, api, body):
    path, ask, *_ = APIS[api]
    _, gateway = gateway_for(run, api, lambda call: call.answer(body))
    assert gateway.post(path, ask).status == 502


# -- what only such an expert can do


@both
def test_what_cannot_be_translated_goes_to_who_needs_no_translation(run, api):
    path, ask, *_ = APIS[api]
    own, told = run.expert(**{api: APIS[api][2]}), run.expert(scripts.answer())
    gateway = run.gateway(config({"told": expert(told), "own": native(own, api)},
                                 store={"path": "frugal.db", "durability": "batched"}))
    answer = gateway.post(path, {**ask, **SEARCH[api]})
    assert answer.status == 200 and answer["x-frugal-expert"] == "own" and told.asked == 0
    assert own.call(path=path).json()["tools"] == SEARCH[api]["tools"]
    record = gateway.get(f"/v1/decisions/{answer['x-frugal-decision-id']}").json()
    assert {"expert": "told", "why": "api"} in record["excluded"]
    assert [attempt["path"] for attempt in record["attempts"]] == [path.removeprefix("/v1")]
    assert gateway.post(path, {**ask, **SEARCH[api], "model": "told"}).status == 400


@both
def test_what_may_have_a_price_of_its_own_is_refused_under_a_ceiling(run, api):
    path, ask, *_ = APIS[api]
    upstream, gateway = gateway_for(run, api)
    refused = gateway.post(path, {**ask, **SEARCH[api]}, {"x-frugal-budget-usd": "1"})
    assert refused.status == 400 and "tools" in refused.body.decode() and not upstream.calls()


@both
def test_a_service_tier_is_asked_for_in_translation_under_a_ceiling(run, api):
    """Messages leave it out in a chat; the expert may charge more for it where it is asked in their own words."""
    path, ask, *_ = APIS[api]
    upstream, gateway = gateway_for(run, api, apis=["chat", api])
    body = {**ask, "service_tier": "auto" if api == "messages" else "priority"}
    assert gateway.post(path, body).status == 200
    assert upstream.call(path=path).json()["service_tier"] == body["service_tier"]
    capped = gateway.post(path, body, {"x-frugal-budget-usd": "1"})
    assert (capped.status, upstream.asked) == ((200, 1) if api == "messages" else (400, 0))


def test_a_cache_is_only_written_under_a_ceiling_where_it_has_a_price(run):
    upstream = run.expert(messages=MESSAGES)
    marked = {**CLAUDE, "system": [{"type": "text", "text": "be", "cache_control": {"type": "ephemeral"}}]}
    long = {**CLAUDE, "system": [{"type": "text", "text": "be", "cache_control": {"type": "ephemeral", "ttl": "1h"}}]}
    gateway = run.gateway(config({"own": native(upstream, "messages"),
                                  "plain": expert(upstream, generator_more={"api": ["messages"]})}))
    capped = {"x-frugal-budget-usd": "1"}
    assert gateway.post("/v1/messages", {**marked, "model": "own"}, capped).status == 200
    assert gateway.post("/v1/messages", {**marked, "model": "plain"}, capped).status == 400
    assert gateway.post("/v1/messages", {**long, "model": "own"}, capped).status == 400
    assert gateway.post("/v1/messages", {**long, "model": "own"}).status == 200


def test_a_member_that_stands_twice_is_not_trusted_under_a_ceiling(run):
    upstream, gateway = gateway_for(run, "messages")
    body = (b'{"model":"auto","max_tokens":10,"messages":[{"role":"user","content":"x","content":[{"type":"document",'
            b'"source":{"type":"url","url":"http://large"}}]}]}')
    assert gateway.request("POST", "/v1/messages", body, {"x-frugal-budget-usd": "1"}).status == 400
    assert not upstream.calls()


@both
def test_a_ceiling_lowers_the_limit_or_sets_it(run, api):
    path, ask, *_ = APIS[api]
    field = "max_tokens" if api == "messages" else "max_output_tokens"
    upstream, gateway = gateway_for(run, api)
    assert gateway.post(path, {**ask, field: 100000}, {"x-frugal-budget-usd": "0.005"}).status == 200
    assert 16 <= upstream.call(path=path).json()[field] < 2500
    if api == "responses":
        assert gateway.post(path, ask, {"x-frugal-budget-usd": "0.005"}).status == 200
        assert upstream.call(2, path=path).json()[field] == 1000  # the policy's own
    assert "anthropic-beta" not in upstream.call(path=path).request


def test_a_beta_is_not_asked_for_under_a_ceiling(run):
    upstream, gateway = gateway_for(run, "messages")
    for headers in ({}, {"x-frugal-budget-usd": "1"}):
        assert gateway.post("/v1/messages", CLAUDE, {"anthropic-beta": "context-1m", **headers}).status == 200
    assert "anthropic-beta" in upstream.call(1, path="/v1/messages").request
    assert "anthropic-beta" not in upstream.call(2, path="/v1/messages").request


def test_a_beta_in_the_body_is_refused_under_a_ceiling(run):
    upstream, gateway = gateway_for(run, "messages")
    body = {**CLAUDE, "betas": ["context-1m-2025-08-07"]}
    refused = gateway.post("/v1/messages", body, {"x-frugal-budget-usd": "1"})
    assert refused.status == 400 and "betas" in refused.body.decode() and not upstream.calls()
    assert gateway.post("/v1/messages", body).status == 200
    assert upstream.call(path="/v1/messages").json()["betas"] == body["betas"]


def test_what_an_expert_keeps_is_asked_of_that_expert(run):
    """An earlier response is known to who made it: a policy may choose another one."""
    upstream, gateway = gateway_for(run, "responses")
    body = {**ITEMS, "previous_response_id": "resp_scripted"}
    refused = gateway.post("/v1/responses", body)
    assert refused.status == 400 and "expert" in refused.error["message"]
    assert gateway.post("/v1/responses", {**body, "model": "own"}).status == 200
    assert upstream.call(path="/v1/responses").json()["previous_response_id"] == "resp_scripted"


def test_nothing_runs_in_the_background(run):
    upstream, gateway = gateway_for(run, "responses")
    refused = gateway.post("/v1/responses", {**ITEMS, "model": "own", "background": True})
    assert refused.status == 400 and refused.error["param"] == "background" and not upstream.calls()
