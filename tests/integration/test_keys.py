"""Who may ask: keys, allow lists, rates, rotation, expiry; and the listener without any."""

import re

import anthropic
import openai
import pytest

from harness import Gate, config, embedding, expert, run_frugald, scripts
from harness.keys import Key, bearer, key_file, key_hash, new_secret
from harness.routers import PRICES, held_out
from test_openapi import table

ASK = {"model": "auto", "messages": [{"role": "user", "content": "hello"}]}


def whole(upstreams, policies=None, **more):
    return config({name: expert(up) for name, up in upstreams.items()}, policies, keys={"file": "keys.json"}, **more)


@pytest.fixture
def gate_of(run):
    """A gateway in front of one expert with these keys in its file."""
    def make(*keys, script=None, more=None, env=None):
        small = run.expert(script or scripts.answer("fine"))
        gateway = run.gateway(whole({"small": small}, **(more or {})), files={"keys.json": key_file(*keys)}, env=env)
        gateway.small = small
        return gateway

    return make


def rewrite(gateway, *keys, text=None):
    (gateway.folder / "keys.json").write_text(text if text is not None else key_file(*keys))
    gateway.reload()


def code(answer):
    return answer.error["code"]


ROUTES = [("POST", "/v1/chat/completions", ASK), ("POST", "/v1/chat/completions", {**ASK, "stream": True}),
          ("POST", "/v1/completions", {"model": "small", "prompt": "hello"}),
          ("POST", "/v1/embeddings", {"model": "small", "input": "hello"}),
          ("POST", "/v1/responses", {"model": "auto", "input": "hello"}),
          ("POST", "/v1/messages", {**ASK, "max_tokens": 10}),
          ("POST", "/v1/route", ASK), ("GET", "/v1/models", None), ("GET", "/v1/models/auto", None),
          ("GET", "/v1/decisions", None), ("GET", "/v1/decisions/dec_x", None),
          ("POST", "/v1/decisions/dec_x/feedback", {"score": 1})]


@pytest.mark.parametrize("method, path, body", ROUTES)
def test_every_route_asks_for_a_key(run, method, path, body):
    key = Key(feedback="own")
    small = run.expert(scripts.answer("fine"), scripts.embed(lambda text: [0.5] * 4), completions=scripts.complete("fine"))
    gateway = run.gateway(config({"small": expert(small, embedding=embedding(dim=4))}, keys={"file": "keys.json"},
                                 store="frugal.db"), files={"keys.json": key_file(key)})
    answer = gateway.request(method, path, body)
    assert answer.status == 401
    if path == "/v1/messages":
        assert answer.json()["error"]["type"] == "authentication_error"
    else:
        assert code(answer) == "invalid_api_key"
    assert answer["www-authenticate"].startswith("Bearer")
    assert answer["x-frugal-error-source"] == "gateway"
    assert small.calls() == []
    assert gateway.request(method, path, body, key.headers).status == (404 if "dec_x" in path else 200)


def test_no_route_of_the_table_is_forgotten():
    asked = {(method, path.replace("/auto", "/{}").replace("dec_x", "{}")) for method, path, _ in ROUTES}
    routes = {(method, path) for surface, method, path, _ in table("gateway/edge/routes.h", "ROUTES")
              if surface == "PUBLIC" and path.startswith("/v1/")}
    assert asked == routes


def test_health_and_the_admin_listener_ask_for_none(gate_of):
    gateway = gate_of(Key())
    for target in ("/healthz", "/readyz"):
        assert gateway.get(target).status == 200
    assert gateway.get("/metrics", admin=True).status == 200
    assert gateway.get("/nowhere").status == 404


def test_both_ways_to_send_a_key_are_taken(gate_of):
    key = Key()
    gateway = gate_of(key)
    assert gateway.chat(headers=[("x-api-key", key.secret)]).status == 200
    assert gateway.chat(headers=[("Authorization", f"bearer  {key.secret} ")]).status == 200
    assert gateway.chat(headers=key.headers + [("x-api-key", key.secret)]).status == 200


@pytest.mark.parametrize("headers", [
    [("authorization", "Basic Zm9vOmJhcg==")], [("authorization", "Bearer")], [("authorization", "Bearer ")],
    [("x-api-key", "")], bearer("fg-" + "A" * 43), bearer("x" * 5000), bearer(new_secret()),
    bearer(new_secret()) + bearer(new_secret())])
def test_a_wrong_key_is_refused_whatever_is_wrong(gate_of, headers):
    gateway = gate_of(Key())
    answer = gateway.chat(headers=headers)
    assert answer.status == 401 and answer.error["message"] == "the API key is not valid"


def test_a_good_key_beside_a_bad_one_is_refused(gate_of):
    key = Key()
    gateway = gate_of(key)
    assert gateway.chat(headers=key.headers + bearer(new_secret())).status == 401
    assert gateway.chat(headers=key.headers + [("x-api-key", new_secret())]).status == 401
    assert gateway.chat(headers=key.headers).status == 200


def test_bad_keys_are_counted_by_what_is_wrong(gate_of):
    gone, dead = Key("gone", revoked="2020-01-01"), Key("dead", expires="2020-01-01T00:00:00Z")
    gateway = gate_of(gone, dead)
    bodies = {gateway.chat(headers=headers).body for headers in (
        gone.headers, dead.headers, bearer(new_secret()), [("authorization", "Digest x")])}
    gateway.chat()
    assert len({re.sub(rb"req_\w+", b"", body) for body in bodies}) == 1
    for why in ("revoked", "expired", "unknown", "malformed", "missing"):
        assert gateway.metrics().value("frugal_key_refusals_total", why=why) == 1
    line = gateway.log.wait(event="request", key="gone")
    assert line["status"] == "401" and line["key_refusal"] == "revoked"


def test_a_key_reaches_neither_an_expert_nor_the_log(gate_of):
    key = Key()
    gateway = gate_of(key)
    assert gateway.chat(headers=key.headers + [("x-api-key", key.secret)]).status == 200
    call = gateway.small.call()
    assert key.secret.encode() not in call.raw and call.header("x-api-key") is None
    bad = new_secret()
    gateway.chat(headers=bearer(bad))
    gateway.log.wait(event="request", status="401")
    assert gateway.log.wait(event="request", status="200")["key"] == "team"
    assert key.secret not in gateway.log.text() and bad not in gateway.log.text()
    assert key_hash(key.secret) not in gateway.log.text()


def test_a_key_is_not_forwarded_by_a_trick(gate_of):
    key = Key()
    gateway = gate_of(key)
    for name in ("authorization", "x-api-key"):
        answer = gateway.chat(headers=key.headers + [(f"x-frugal-fwd-{name}", "Bearer forged")])
        assert answer.status == 400 and code(answer) == "invalid_option"


# -- no key configured


def test_without_keys_the_gateway_serves_loopback_alone(run):
    small = run.expert(scripts.answer())
    gateway = run.gateway(small)
    assert gateway.chat(headers=bearer("none")).status == 200


def test_without_keys_a_listener_for_others_is_refused_with_the_fix():
    ran = run_frugald(config=config({"small": expert("http://127.0.0.1:9/v1")}, listen="0.0.0.0:0"))
    assert ran.returncode == 1
    for fix in ("FRUGAL_BOOTSTRAP_KEY", '\\"keys\\": {\\"file\\"', "frugalctl keys", "127.0.0.1"):
        assert fix in ran.err, ran.err


def test_the_check_warns_of_a_listener_for_others_without_keys():
    def checked(address, **env):
        ran = run_frugald("--check-config", config=config({"small": expert("http://127.0.0.1:9/v1")}, listen=address), env=env)
        assert ran.returncode == 0, ran.err
        return "can be reached from other machines" in ran.err

    assert checked("0.0.0.0:0")
    assert not checked("127.0.0.1:0") and not checked("localhost:0")
    assert not checked("0.0.0.0:0", FRUGAL_BOOTSTRAP_KEY="k" * 40)


def test_a_bootstrap_key_makes_a_container_reachable_and_leaves_no_trace(run):
    secret = new_secret()
    small = run.expert(scripts.answer())
    gateway = run.gateway(config({"small": expert(small)}, listen="0.0.0.0:0"), env={"FRUGAL_BOOTSTRAP_KEY": secret})
    assert gateway.chat().status == 401
    assert gateway.chat(headers=bearer(secret)).status == 200
    with open(f"/proc/{gateway.pid}/environ", "rb") as environ:
        assert secret.encode() not in environ.read()
    assert secret not in gateway.log.text()


def test_a_bootstrap_key_that_anybody_could_guess_is_refused():
    ran = run_frugald(config=config({"small": expert("http://127.0.0.1:9/v1")}), env={"FRUGAL_BOOTSTRAP_KEY": "secret"})
    assert ran.returncode == 1 and "FRUGAL_BOOTSTRAP_KEY must be" in ran.err


def test_who_loses_his_last_key_on_an_open_listener_lets_nobody_in(run):
    key = Key()
    small = run.expert(scripts.answer())
    gateway = run.gateway(whole({"small": small}, listen="0.0.0.0:0"), files={"keys.json": key_file(key)})
    rewrite(gateway)
    gateway.log.wait(event="keys", keys="0")
    assert gateway.chat(headers=key.headers).status == 401
    assert gateway.chat().status == 401


# -- the file


BAD_FILES = [
    ('{"keys": [\n {"id": "a", "hash": "00"}]}', "keys.json:2:22: 'hash' must be 64 hexadecimal digits"),
    ('{"keys": [{"id": "a",}]}', "keys.json:1:"),
    ('{"keys": [{"id": "a", "colour": 1}]}', "keys.json:1:23: unknown field 'colour'"),
    ('# ours\nid=a hash=' + "0" * 64 + ' day_usd=-1\n', "keys.json:2:84: 'day_usd' must be an amount in USD"),
    ('id=a\n', "keys.json:1:1: 'hash' is missing"),
    ('id=bootstrap hash=' + "0" * 64, "keys.json:1:4: 'id' must be"),
    ('id=a hash=' + "0" * 64 + "\nid=a hash=" + "1" * 64, "keys.json:2:1: the id 'a' is given twice"),
]


@pytest.mark.parametrize("text, complaint", BAD_FILES)
def test_a_bad_file_stops_the_start_with_line_and_column(text, complaint):
    ran = run_frugald(config=whole({"small": "http://127.0.0.1:9/v1"}), files={"keys.json": text})
    assert ran.returncode == 1 and complaint in ran.err, ran.err
    ran = run_frugald("--check-config", config=whole({"small": "http://127.0.0.1:9/v1"}), files={"keys.json": text})
    assert ran.returncode == 1 and complaint in ran.err


def test_a_bad_file_keeps_the_old_keys(gate_of):
    key = Key()
    gateway = gate_of(key)
    rewrite(gateway, text='{"keys": [{"id": 7}]}')
    line = gateway.log.wait(event="reload_failed")
    assert "keys.json:1:18: 'id' must be a string" in line["msg"]
    assert gateway.chat(headers=key.headers).status == 200 and gateway.chat().status == 401


def test_a_file_of_lines_is_the_same(run):
    secret = new_secret()
    small = run.expert(scripts.answer())
    gateway = run.gateway(whole({"small": small}), files={
        "keys.json": f'# keys\r\nid=team hash={key_hash(secret)} name="the team" experts=small\r\n\r\n'})
    assert gateway.chat(headers=bearer(secret)).status == 200
    assert gateway.chat().status == 401


def test_two_secrets_are_live_while_clients_go_over(gate_of):
    key = Key()
    gateway = gate_of(key)
    old, key.secret = key.secret, new_secret()
    key.secrets = [old, key.secret]
    rewrite(gateway, key)
    gateway.log.wait(event="reloaded")
    assert gateway.chat(headers=bearer(old)).status == gateway.chat(headers=key.headers).status == 200
    key.secrets = [key.secret]
    rewrite(gateway, key)
    gateway.log.wait(event="reloaded", count=2)
    assert gateway.chat(headers=bearer(old)).status == 401
    assert gateway.chat(headers=key.headers).status == 200


def test_a_revoked_key_finishes_what_it_began(gate_of):
    key, gate = Key(), Gate()

    def script(call):
        call.head(stream=True)
        call.chunk("one")
        gate.wait()
        call.chunk("two")
        call.chunk(finish="stop")
        call.done()

    gateway = gate_of(key, script=script)
    stream = gateway.stream(headers=key.headers)
    assert "one" in next(stream)
    key.fields["revoked"] = "2020-01-01"
    rewrite(gateway, key)
    gateway.log.wait(event="reloaded")
    assert gateway.chat(headers=key.headers).status == 401
    gate.open()
    assert stream.text() == "two" and stream.done


# -- allow lists


def test_a_key_sees_and_names_only_its_own_models(run):
    key = Key(experts=["small"], policies=["auto"])
    small, large = run.expert(scripts.answer("small")), run.expert(scripts.answer("large"))
    policies = {name: {"value_usd": 0.02, "default": "large", "max_output_tokens": 10} for name in ("auto", "dear")}
    policies["only-large"] = {"experts": ["large"], "default": "large"}
    gateway = run.gateway(whole({"small": small, "large": large}, policies), files={"keys.json": key_file(key)})
    listed = gateway.get("/v1/models", headers=key.headers).json()["data"]
    assert {model["id"] for model in listed} == {"auto", "small"}
    assert listed[0]["frugal"]["experts"] == ["small"] and listed[0]["frugal"]["default"] == "small"
    for model in ("large", "dear", "only-large", "none"):
        answer = gateway.chat(model=model, headers=key.headers)
        assert answer.status == 404 and code(answer) == "model_not_found"
        assert gateway.get(f"/v1/models/{model}", headers=key.headers).status == 404
    assert gateway.chat(model="auto", headers=key.headers)["x-frugal-expert"] == "small"
    assert gateway.chat(model="small", headers=key.headers).status == 200
    assert large.asked == 0


def test_a_policy_without_an_allowed_expert_is_not_there(run):
    key = Key(experts=["small"])
    small, large = run.expert(scripts.answer()), run.expert(scripts.answer())
    policies = {"auto": {"default": "small"}, "only-large": {"experts": ["large"], "default": "large"}}
    gateway = run.gateway(whole({"small": small, "large": large}, policies), files={"keys.json": key_file(key)})
    assert gateway.chat(model="only-large", headers=key.headers).status == 404
    assert "only-large" not in gateway.get("/v1/models", headers=key.headers).body.decode()
    answer = gateway.chat(headers=key.headers + [("x-frugal-experts", "large")])
    assert answer.status == 400 and large.asked == 0


def test_a_name_that_is_not_configured_is_told(gate_of):
    gateway = gate_of(Key(experts=["small", "smal"], policies=["auto", "best"]))
    said = [line["msg"] for line in gateway.log.lines(event="key_names_unknown")]
    assert said == ["key 'team' may use the expert 'smal', which is not configured",
                    "key 'team' may use the policy 'best', which is not configured"]


def test_failover_stays_among_the_allowed(run):
    key = Key(experts=["small"])
    small, large = run.expert(scripts.refuse(503)), run.expert(scripts.answer())
    gateway = run.gateway(whole({"small": small, "large": large}), files={"keys.json": key_file(key)})
    assert gateway.chat(headers=key.headers).status == 502
    assert large.asked == 0


def test_an_embedding_of_an_expert_that_is_not_allowed_is_not_bought(run, router):
    free, bound = Key("free"), Key("bound", experts=["mathy", "poet", "sage"])
    upstreams = {name: run.expert(scripts.answer()) for name in PRICES}
    embedder = run.expert(embeddings=router.embeddings)
    experts = {name: expert(up, price=PRICES[name]) for name, up in upstreams.items()}
    experts["embedder"] = expert(embedder, generator=False, embedding=embedding(dim=router.dim))
    gateway = run.gateway(router.config(experts, "remote", keys={"file": "keys.json"}),
                          files={"keys.json": key_file(free, bound)})
    gateway.wait_probed()
    probed = len(embedder.calls("/embeddings"))
    prompt = held_out("sums", 1)[0]
    assert gateway.chat(prompt, headers=bound.headers).status == 200
    assert len(embedder.calls("/embeddings")) == probed
    assert gateway.chat(prompt, headers=free.headers).status == 200
    assert len(embedder.calls("/embeddings")) == probed + 1


# -- rates


def test_requests_per_minute_are_kept_to_and_shown(gate_of):
    key = Key(requests_per_minute=2)
    gateway = gate_of(key)
    first = gateway.chat(headers=key.headers)
    assert first["x-ratelimit-limit-requests"] == "2"
    assert first["x-ratelimit-remaining-requests"] == "1"
    assert re.fullmatch(r"\d+(\.\d+)?s", first["x-ratelimit-reset-requests"])
    assert gateway.get("/v1/models", headers=key.headers)["x-ratelimit-remaining-requests"] == "0"
    third = gateway.chat(headers=key.headers)
    assert third.status == 429 and code(third) == "rate_limit_exceeded"
    assert 1 <= int(third["retry-after"]) <= 30
    assert third["x-ratelimit-remaining-requests"] == "0"
    assert gateway.small.asked == 1


def test_tokens_per_minute_are_reserved_and_corrected_by_usage(gate_of):
    key = Key(tokens_per_minute=1000)
    gateway = gate_of(key, script=scripts.answer("fine", prompt=10, output=90))
    first = gateway.chat(headers=key.headers, max_tokens=800)
    assert first.status == 200 and first["x-ratelimit-limit-tokens"] == "1000"
    assert int(first["x-ratelimit-remaining-tokens"]) < 200
    second = gateway.chat(headers=key.headers, max_tokens=800)
    assert second.status == 200, "of 800 reserved tokens 100 were used"
    third = gateway.chat(headers=key.headers, max_tokens=900)
    assert third.status == 429 and int(third["retry-after"]) >= 1
    assert gateway.chat(headers=key.headers, max_tokens=100).status == 200


def test_what_was_never_asked_gives_its_tokens_back(gate_of):
    key = Key(tokens_per_minute=1000)
    gateway = gate_of(key, script=scripts.refuse(400, kind="invalid_request_error"))
    for _ in range(3):
        assert gateway.chat(headers=key.headers, max_tokens=900).status == 400


def test_a_reload_keeps_what_was_counted(gate_of):
    key = Key(requests_per_minute=2)
    gateway = gate_of(key)
    assert gateway.chat(headers=key.headers).status == gateway.chat(headers=key.headers).status == 200
    key.fields["name"] = "another name"
    rewrite(gateway, key)
    gateway.log.wait(event="reloaded")
    assert gateway.chat(headers=key.headers).status == 429


def test_anthropics_sdk_sends_its_key_in_a_header_of_its_own(gate_of):
    key = Key()
    gateway = gate_of(key)
    ask = {"model": "auto", "max_tokens": 10, "messages": [{"role": "user", "content": "hello"}]}
    client = lambda secret: anthropic.Anthropic(  # noqa: E731
        base_url=f"http://127.0.0.1:{gateway.port}", api_key=secret, max_retries=0)
    assert client(key.secret).messages.create(**ask).content[0].text == "fine"
    with pytest.raises(anthropic.AuthenticationError):
        client(new_secret()).messages.create(**ask)


def test_the_sdk_raises_on_a_bad_key_and_retries_a_rate(gate_of):
    key = Key(requests_per_minute=60)
    gateway = gate_of(key)
    base = f"http://127.0.0.1:{gateway.port}/v1"
    with pytest.raises(openai.AuthenticationError):
        openai.OpenAI(base_url=base, api_key=new_secret(), max_retries=2).chat.completions.create(**ASK)
    assert gateway.metrics().value("frugal_key_refusals_total", why="unknown") == 1, "not retried"
    client = openai.OpenAI(base_url=base, api_key=key.secret, max_retries=2)
    refused = lambda: gateway.metrics().value("frugal_key_refusals_total", why="requests")  # noqa: E731

    def refused_and_answered():
        while gateway.get("/v1/models", headers=key.headers).status == 200:
            pass
        before = refused()
        assert client.chat.completions.create(**ASK).choices[0].message.content == "fine"
        return refused() > before  # or a request came free just then

    assert any(refused_and_answered() for _ in range(5))
