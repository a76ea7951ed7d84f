"""Which headers cross the gateway, in both directions, and which never do."""

import pytest

from harness import config, expert, scripts
from harness.wire import request_bytes
from test_every_api import TEXT, asks, streams, upstream

# What an expert is told of a request: all of it.
SENT = {"host", "accept", "authorization", "content-type", "user-agent", "x-request-id", "content-length"}
# What a client may say to us, and nobody else is to hear.
PRIVATE = {
    "Authorization": "Bearer sk-of-the-client", "Cookie": "session=of-the-client", "X-Api-Key": "sk-of-the-client",
    "Proxy-Authorization": "Basic of-the-client", "X-Forwarded-For": "1.2.3.4", "Forwarded": "for=of-the-client",
    "Via": "1.1 of-the-client", "TE": "trailers", "Upgrade": "h2c", "Connection": "keep-alive, X-Of-The-Client",
    "X-Of-The-Client": "1", "Keep-Alive": "timeout=5", "Origin": "https://of-the-client.example", "Referer": "of-the-client",
    "OpenAI-Organization": "org-of-the-client", "X-Stainless-Lang": "of-the-client", "Accept-Encoding": "gzip",
}
# What an expert may say to us, and its client is not to hear in any form.
EXPERTS_OWN = {
    "Set-Cookie": "of-the-expert=1", "Connection": "X-Ratelimit-Of-The-Hop", "X-Ratelimit-Of-The-Hop": "of-the-expert",
    "Server": "of-the-expert", "Via": "1.1 of-the-expert", "Proxy-Authenticate": "Basic of-the-expert",
    "OpenAI-Organization": "of-the-expert", "Alt-Svc": "of-the-expert", "X-Ratelimit-Odd": "of-the-expert \x07",
    "X-Frugal-Decision-Id": "of-the-expert", "WWW-Authenticate": "Bearer of-the-expert",
}
USEFUL = {"X-Ratelimit-Remaining-Tokens": "1000", "OpenAI-Processing-Ms": "12", "Server-Timing": "model;dur=7",
          "Anthropic-Ratelimit-Requests-Remaining": "9"}


def expert_with_key(run, up):
    return run.gateway(config({"small": expert(up, key={"env": "SMALL_KEY"})}), env={"SMALL_KEY": "sk-for-the-expert"})


@pytest.mark.parametrize("api", TEXT)
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_an_expert_hears_what_is_listed_and_not_a_word_of_the_clients(run, api, stream):
    up = upstream(run, api)
    gateway = expert_with_key(run, up)
    if stream:
        with streams(gateway, api, PRIVATE) as answer:
            list(answer)
    else:
        assert asks(gateway, api, PRIVATE).status == 200
    (call,) = up.calls()
    assert {name.lower() for name, _ in call.request.fields} == SENT
    assert call.request["Authorization"] == "Bearer sk-for-the-expert"
    assert b"of-the-client" not in call.raw.lower() and b"1.2.3.4" not in call.raw


@pytest.mark.parametrize("api", TEXT)
def test_an_id_and_a_trace_go_through_to_the_expert_and_the_id_comes_back(run, api):
    up = upstream(run, api)
    gateway = run.gateway(config({"small": expert(up)}))
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    answer = asks(gateway, api, {"x-request-id": "mine-1", "traceparent": trace, "tracestate": "a=1,b=2"})
    assert answer["x-request-id"] == "mine-1"
    (call,) = up.calls()
    assert call.request["x-request-id"] == "mine-1"
    assert call.request["traceparent"] == trace and call.request["tracestate"] == "a=1,b=2"
    assert gateway.log.wait(event="request")["request_id"] == "mine-1"


@pytest.mark.parametrize("odd", ["with blank", 'quo"te', "x" * 300, "caf\xe9", "a=b"])
def test_an_id_that_would_spoil_the_log_is_replaced(run, odd):
    gateway = run.gateway(run.expert(scripts.answer()))
    answer = gateway.chat(headers={"x-request-id": odd})
    assert answer.status == 200 and answer["x-request-id"] not in ("", odd)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_headers_to_forward_are_named_one_by_one(run, stream):
    small = run.expert(scripts.answer())
    gateway = run.gateway(small)
    asked = {"x-frugal-fwd-x-tenant": "blue", "X-Frugal-Fwd-OpenAI-Beta": "assistants=v2", "x-tenant": "red"}
    if stream:
        with gateway.stream(headers=asked) as answer:
            list(answer)
    else:
        assert gateway.chat(headers=asked).status == 200
    request = small.call().request
    assert request.all("x-tenant") == ["blue"] and request["OpenAI-Beta"] == "assistants=v2"
    assert "x-frugal-fwd-x-tenant" not in request


@pytest.mark.parametrize("name", [
    "authorization", "x-api-key", "cookie", "host", "content-length", "content-type", "content-encoding", "transfer-encoding",
    "connection", "keep-alive", "proxy-authorization", "te", "trailer", "upgrade", "expect", "accept", "accept-encoding",
    "user-agent", "x-request-id", "", "with blank"])
def test_what_is_ours_to_say_or_of_one_hop_cannot_be_forwarded(run, name):
    small = run.expert(scripts.answer())
    gateway = run.gateway(small)
    with gateway.connect() as wire:
        body = b'{"model":"small","messages":[{"role":"user","content":"x"}]}'
        wire.send(request_bytes("POST", "/v1/chat/completions", {f"x-frugal-fwd-{name}": "forged"}, body))
        assert wire.read_head().start.split(" ")[1] == "400"
    assert small.asked == 0


@pytest.mark.parametrize("api", TEXT)
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_an_experts_useful_headers_come_back_under_a_prefix_and_no_others(run, api, stream):
    headers = {**EXPERTS_OWN, **USEFUL, "x-request-id": "theirs"}
    script = scripts.complete(headers=headers) if api == "completions" else scripts.answer(headers=headers)
    gateway = run.gateway(config({"small": expert(upstream(run, api, script))}))
    if stream:
        with streams(gateway, api) as answer:
            list(answer)
    else:
        answer = asks(gateway, api)
    back = {name.lower(): value for name, value in answer.head.fields if name.lower().startswith("x-frugal-expert-")}
    assert back == {"x-frugal-expert-request-id": "theirs",
                    **{f"x-frugal-expert-{name.lower()}": value for name, value in USEFUL.items()}}
    assert b"of-the-expert" not in answer.head.raw and len(answer.head.all("x-frugal-decision-id")) == 1
    assert not [name for name in USEFUL if name in answer.head]


def test_an_experts_refusal_tells_its_rate_limits_too(run):
    refusal = scripts.refuse(400, headers=USEFUL, kind="invalid_request_error")
    answer = run.gateway(run.expert(refusal)).chat()
    assert (answer.status, answer["x-frugal-error-source"]) == (400, "expert")
    assert answer["x-frugal-expert-x-ratelimit-remaining-tokens"] == "1000"


def test_which_headers_come_back_is_a_setting(run):
    headers = {"X-Mine": "1", "X-Theirs": "2", **USEFUL, "Set-Cookie": "no=1"}
    small = run.expert(scripts.answer(headers=headers))
    for listed, names in ([], set()), (["x-mine"], {"x-mine"}), (["*"], {"x-mine", "x-theirs", *map(str.lower, USEFUL)}):
        answer = run.gateway(config({"small": expert(small)}, expert_headers=listed)).chat()
        back = {name.lower().removeprefix("x-frugal-expert-") for name, _ in answer.head.fields
                if name.lower().startswith("x-frugal-expert-")}
        assert back == names


def test_a_flood_of_headers_comes_back_in_bounds(run):
    flood = {f"x-ratelimit-{n}": "v" * 50 for n in range(50)} | {"x-ratelimit-long": "v" * 3000}
    answer = run.gateway(run.expert(scripts.answer(headers=flood))).chat()
    back = [name for name, _ in answer.head.fields if name.lower().startswith("x-frugal-expert-x-")]
    assert answer.status == 200 and 5 < len(back) <= 16 and len(answer.head.raw) < 3000


def test_errors_say_whose_they_are(run):
    gateway = run.gateway(config({"down": expert(run.expert(scripts.refuse(500))),
                                  "strict": expert(run.expert(scripts.refuse(422, kind="invalid_request_error")))}))
    assert gateway.chat(model="down")["x-frugal-error-source"] == "expert"
    assert gateway.chat(model="strict")["x-frugal-error-source"] == "expert"
    assert gateway.chat(model="nobody")["x-frugal-error-source"] == "gateway"
    assert gateway.post("/v1/chat/completions", b"{")["x-frugal-error-source"] == "gateway"
    assert "x-frugal-error-source" not in gateway.get("/v1/models")
