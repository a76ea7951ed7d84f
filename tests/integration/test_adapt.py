"""An expert's dialect: what it knows by another name, refuses or is always sent; and what that may never do to a ceiling."""

import pytest

from harness import config, expert, frugalctl, run_frugald, scripts

ASKS = {
    "chat": ("/v1/chat/completions", {"messages": [{"role": "user", "content": "hello"}]}),
    "completions": ("/v1/completions", {"prompt": "hello"}),
    "responses": ("/v1/responses", {"input": "hello"}),
    "messages": ("/v1/messages", {"messages": [{"role": "user", "content": "hello"}], "max_tokens": 300}),
}
REQUEST = {"rename": {"max_tokens": "max_completion_tokens", "reasoning_effort": "effort"},
           "drop": ["logit_bias", "user"], "set": {"top_k": 4, "chat_template_kwargs": {"enable_thinking": False}}}


def upstream(run):
    return run.expert(scripts.answer("fine"), completions=scripts.complete("fine"))


def told(up, request=REQUEST, **more):
    return expert(up, generator_more={"request": request, **more})


def asks(gateway, api="chat", headers=(), **more):
    path, body = ASKS[api]
    return gateway.post(path, {"model": "auto", **body, **more}, headers)


def record_of(gateway, answer):
    return gateway.get(f"/v1/decisions/{answer['x-frugal-decision-id']}", admin=True).json()


@pytest.mark.parametrize("api", ["chat", "completions"])
@pytest.mark.parametrize("streamed", [False, True])
def test_a_request_arrives_in_the_experts_dialect(run, api, streamed):
    up = upstream(run)
    gateway = run.gateway(config({"small": told(up)}))
    answer = asks(gateway, api, stream=streamed, logit_bias={"1": 2}, user="u", reasoning_effort="low", top_k=9, seed=7)
    assert answer.status == 200
    (call,) = up.calls()
    body = call.json()
    assert (body["effort"], body["top_k"], body["seed"]) == ("low", 4, 7)
    assert body["chat_template_kwargs"] == {"enable_thinking": False}
    assert not {"logit_bias", "user", "reasoning_effort"} & set(body)
    assert call.body.count(b'"top_k"') == 1


@pytest.mark.parametrize("api", ["chat", "responses", "messages"])
def test_the_limit_arrives_under_the_name_that_the_expert_knows_with_and_without_a_ceiling(run, api):
    up = upstream(run)
    gateway = run.gateway(config({"small": told(up)}))
    limit = {"max_output_tokens": 300} if api == "responses" else {"max_tokens": 300}
    for headers in ({}, {"x-frugal-budget-usd": "0.01"}):
        assert asks(gateway, api, headers, **limit).status == 200
    for call in up.calls():
        body = call.json()
        assert body["max_completion_tokens"] == 300 and "max_tokens" not in body and "max_output_tokens" not in body


def test_each_expert_gets_its_own_dialect(run):
    bad = run.expert(scripts.refuse(500))
    good = upstream(run)
    gateway = run.gateway(config({"bad": told(bad, {"drop": ["user"]}), "good": told(good, {"rename": {"user": "who"}})}))
    assert asks(gateway, user="u").status == 200
    assert "user" not in bad.call().json() and good.call().json()["who"] == "u"


def test_the_record_shows_what_was_adapted_for_whom(run, tmp_path):
    bad, good = run.expert(scripts.refuse(500)), upstream(run)
    gateway = run.gateway(config({"bad": told(bad), "good": expert(good)}, store=str(tmp_path / "frugal.db")))
    record = record_of(gateway, asks(gateway, user="u", max_tokens=5))
    first, second = record["attempts"]
    assert first["adapted"] == {"rename": {"max_tokens": "max_completion_tokens"}, "drop": ["user"],
                                "set": ["top_k", "chat_template_kwargs"]}
    assert "adapted" not in second
    record = record_of(gateway, asks(gateway, reasoning_effort="low", max_completion_tokens=5))
    assert record["attempts"][0]["adapted"]["rename"] == {"reasoning_effort": "effort"}
    assert record["attempts"][0]["adapted"]["drop"] == []


def test_the_old_setting_of_the_limits_name_is_told_alike(run, tmp_path):
    up = upstream(run)
    whole = config({"small": expert(up, generator_more={"output_limit_field": "max_completion_tokens"})},
                   store=str(tmp_path / "frugal.db"))
    gateway = run.gateway(whole)
    record = record_of(gateway, asks(gateway, max_tokens=5))
    assert up.call().json()["max_completion_tokens"] == 5
    assert record["attempts"][0]["adapted"]["rename"] == {"max_tokens": "max_completion_tokens"}


def test_why_tells_who_was_excluded_and_what_was_adapted(run, tmp_path):
    small, large = upstream(run), upstream(run)
    experts = {"small": told(small), "plain": expert(large, generator_more={"capabilities": []})}
    gateway = run.gateway(config(experts, store=str(tmp_path / "frugal.db")))
    answer = asks(gateway, n=2, logprobs=True, user="u", max_tokens=5)
    record_of(gateway, answer)
    story = frugalctl("why", answer["x-frugal-decision-id"], "--store", tmp_path / "frugal.db").out
    assert "excluded  it is not able to what is asked for: plain (lacks logprobs, n)" in story
    assert ("adapted   for small: max_tokens renamed to max_completion_tokens, without user, "
            "with top_k, chat_template_kwargs") in story


def test_ten_megabytes_arrive_as_they_were_but_for_the_dialect(run):
    up = upstream(run)
    gateway = run.gateway(config({"small": told(up)}))
    image = b'"data:image/png;base64,' + b"iVBORw0KGgo" * 950_000 + b'"'
    body = (b'{"model":"auto", "user" :"u","messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":%s}}]}]'
            b',"max_tokens":5,"logit_bias":{},"odd" : [1.50, "\\u00e9"]}' % image)
    assert gateway.request("POST", "/v1/chat/completions", body).status == 200
    wanted = body.replace(b'"auto"', b'"scripted"').replace(b' "user" :"u",', b" ").replace(b',"max_tokens":5', b"")
    wanted = wanted.replace(b',"logit_bias":{}', b"")
    front = b'{"max_completion_tokens":5,"top_k":4,"chat_template_kwargs":{"enable_thinking":false},'
    assert up.call().body == front + wanted[1:]


# -- money


def test_a_dialect_does_not_change_what_a_ceiling_promises(run):
    """The limit that is sent, in whatever name, times the price of output fits under the ceiling."""
    up = upstream(run)
    gateway = run.gateway(config({"small": told(up)}))
    for asked in ({}, {"max_tokens": 100000}, {"max_completion_tokens": 100000}, {"max_tokens": 9, "max_completion_tokens": 100000}):
        answer = asks(gateway, headers={"x-frugal-budget-usd": "0.0009"}, **asked)
        assert answer.status == 200, answer
        body = up.calls()[-1].json()
        assert "max_tokens" not in body
        assert body["max_completion_tokens"] * 2e-6 <= 0.0009


def test_what_is_set_counts_among_the_prompts_bytes(run):
    plain, long = upstream(run), upstream(run)
    gateway = run.gateway(config({"plain": expert(plain), "long": told(long, {"set": {"system_note": "x" * 3000}})},
                                 {"auto": {"default": "plain"}}))
    worst = {ranked["expert"]: ranked["worst_usd"] for ranked in asks_route(gateway)["ranking"]}
    assert worst["long"] - worst["plain"] == pytest.approx(3017 * 1e-6, rel=0.01)


def asks_route(gateway):
    return gateway.post("/v1/route", {"model": "auto", **ASKS["chat"][1], "frugal": {"budget_usd": 1}}).json()


def test_a_stream_whose_usage_is_not_asked_for_is_estimated_and_bound_by_its_worst_case(run, tmp_path):
    up = run.expert(scripts.answer("some words of an answer"))
    gateway = run.gateway(config({"small": told(up, {"drop": ["stream_options"]})}, store=str(tmp_path / "frugal.db")))
    with gateway.stream(headers={"x-frugal-budget-usd": "0.01"}, max_tokens=100,
                        stream_options={"include_usage": True}) as stream:
        assert "some words" in stream.text()
    assert "stream_options" not in up.call().json()
    line = gateway.log.wait(event="request")
    assert line["estimated"] == "true" and float(line["bound_usd"]) > float(line["cost_usd"]) > 0
    assert float(line["bound_usd"]) <= 0.01


def test_a_client_that_repeats_what_is_dropped_too_often_is_told_so(run):
    up = upstream(run)
    gateway = run.gateway(config({"small": told(up)}))
    body = '{"model":"auto","messages":[{"role":"user","content":"hi"}]%s}' % (',"user":"u","x":1' * 65)
    answer = gateway.request("POST", "/v1/chat/completions", body.encode())
    assert (answer.status, answer.json()["error"]["code"]) == (400, "duplicate_key"), answer
    assert not up.calls()
    body = '{"model":"auto","messages":[{"role":"user","content":"hi"}]%s}' % (',"user":"u","x":1' * 64)
    assert gateway.request("POST", "/v1/chat/completions", body.encode()).status == 200
    assert b'"user"' not in up.call().body.replace(b'"role":"user"', b"")


@pytest.mark.parametrize("request_, pointer", [
    ({"drop": ["max_tokens"]}, "drop/0"), ({"set": {"n": 3}}, "set/n"), ({"set": {"best_of": 3}}, "set/best_of"),
    ({"rename": {"max_tokens": "n_predict"}}, "rename/max_tokens"), ({"set": {"service_tier": "priority"}}, "set/service_tier"),
    ({"rename": {"tier": "service_tier"}}, "rename/tier"), ({"drop": ["tools"]}, "drop/0"), ({"set": {"stream": False}}, "set/stream"),
])
def test_what_would_break_a_ceiling_is_refused_with_its_place(request_, pointer):
    done = run_frugald("--check-config", config=config({"small": told("http://127.0.0.1:1/v1", request_)}))
    assert done.returncode != 0
    assert f"/experts/small/generator/request/{pointer}: " in done.err, done.err
