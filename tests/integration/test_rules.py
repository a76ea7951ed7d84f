"""Rules: what an operator says beforehand by tag, text or domain; allow, deny, pin."""

import pytest

from harness import config, expert, frugalctl, run_frugald, scripts
from harness.keys import Key, key_file
from harness.waiting import eventually
from harness.routers import PRICES, Switch, held_out

POEM, SUM = held_out("poems", 1)[0], held_out("sums", 1)[0]


def user(text):
    return {"role": "user", "content": text}


@pytest.fixture
def gateway_of(run, router):
    def make(*rules, upstreams=None, files=(), policies=None, **more):
        upstreams = upstreams or {name: run.expert(scripts.answer(f"by {name}")) for name in PRICES}
        entries = {name: expert(up, price=PRICES[name]) for name, up in upstreams.items()}
        policies = policies or {name: {"value_usd": 0.02, "default": "mathy", "max_output_tokens": 1000}
                                for name in ("auto", "other")}
        gateway = run.gateway(router.config(entries, policies=policies, rules=list(rules), **more), files=files)
        gateway.upstreams = upstreams
        return gateway

    return make


def ask(gateway, prompt=POEM, **more):
    answer = gateway.chat(prompt, **more)
    return answer["x-frugal-expert"], answer["x-frugal-reason"]


def tags(text):
    return {"x-frugal-tags": text}


def test_a_rule_by_tag_denies(gateway_of):
    gateway = gateway_of({"name": "no-poet", "when": {"tag": "team=legal"}, "deny": ["poet"]})
    assert ask(gateway) == ("poet", "routed")
    name, reason = ask(gateway, headers=tags("team=legal"))
    assert (name, reason) != ("poet", "routed") and reason == "rule:no-poet"
    assert ask(gateway, headers=tags("team=art")) == ("poet", "routed")
    assert ask(gateway, frugal={"tags": {"team": "legal"}})[1] == "rule:no-poet"


def test_a_rule_by_text_pins_and_buys_nothing(gateway_of):
    gateway = gateway_of({"name": "lyrics", "when": {"regex": r"(?i)\b(sonnet|haiku|ballad|free verse|lullaby)\b"},
                          "pin": "sage"})
    assert ask(gateway, POEM) == ("sage", "rule:lyrics")
    assert ask(gateway, SUM) == ("mathy", "routed")
    line = gateway.log.wait(event="request", expert="sage")
    assert line["reason"] == "rule:lyrics"
    assert gateway.metrics().value("frugal_decisions_total", expert="sage", reason="rule") == 1


def test_a_rule_by_domain_allows(gateway_of):
    gateway = gateway_of({"name": "poetry", "when": {"domain": "poems"}, "allow": ["sage", "mathy"]})
    name, reason = ask(gateway, POEM)
    assert name != "poet" and reason == "rule:poetry"
    assert ask(gateway, SUM) == ("mathy", "routed")


def test_a_pin_by_domain_is_asked_first(gateway_of):
    gateway = gateway_of({"name": "poetry", "when": {"domain": "poems"}, "pin": "sage"})
    assert ask(gateway, POEM) == ("sage", "rule:poetry")
    assert ask(gateway, SUM) == ("mathy", "routed")


def test_all_rules_count_and_of_pins_the_last(gateway_of):
    gateway = gateway_of({"name": "one", "when": {"tag": "a"}, "deny": ["poet"]},
                         {"name": "two", "when": {"tag": "b"}, "deny": ["mathy"]},
                         {"name": "three", "when": {"tag": "c"}, "pin": "mathy"},
                         {"name": "four", "when": {"tag": "d"}, "pin": "sage"})
    assert ask(gateway, headers=tags("a=1,b=1"))[0] == "sage"
    assert ask(gateway, headers=tags("c=1,d=1")) == ("sage", "rule:four")
    # A pin lets nobody in who is kept away.
    assert ask(gateway, headers=tags("b=1,c=1"))[0] == "poet"


def test_a_rule_that_leaves_nobody_is_said_by_its_name(gateway_of):
    gateway = gateway_of({"name": "stop", "when": {"tag": "data=health"}, "deny": ["mathy", "poet", "sage"]},
                         {"name": "no-sums", "when": {"domain": "sums"}, "deny": ["mathy", "poet", "sage"]})
    for answer in (gateway.chat(POEM, headers=tags("data=health")), gateway.chat(SUM)):
        assert (answer.status, answer.error["code"]) == (403, "denied_by_rule")
        assert answer["x-should-retry"] == "false"
    assert "'no-sums'" in answer.error["message"]
    assert [up.asked for up in gateway.upstreams.values()] == [0, 0, 0]


def test_who_names_an_expert_is_denied_it_too(gateway_of):
    gateway = gateway_of({"name": "local", "when": {"tag": "data=health"}, "allow": ["mathy"]},
                         {"name": "auto-only", "policies": ["auto"], "when": {"tag": "data=art"}, "deny": ["poet"]})
    denied = gateway.chat(model="poet", headers=tags("data=health"))
    assert (denied.status, denied.error["code"]) == (403, "denied_by_rule")
    assert gateway.chat(model="mathy", headers=tags("data=health")).status == 200
    assert gateway.chat(model="poet", headers=tags("data=art")).status == 200


def test_a_rule_of_one_policy_leaves_others_alone(gateway_of):
    gateway = gateway_of({"name": "r", "policies": ["other"], "when": {"regex": "."}, "pin": "sage"})
    assert ask(gateway, POEM) == ("poet", "routed")
    assert ask(gateway, POEM, model="other") == ("sage", "rule:r")


def test_a_keys_tags_are_matched_and_cannot_be_talked_away(gateway_of):
    key = Key("clinic", tags="data=health")
    gateway = gateway_of({"name": "local", "when": {"tag": "data=health"}, "allow": ["mathy"]},
                         keys={"file": "keys.json"}, files={"keys.json": key_file(key)})
    assert ask(gateway, headers=key.headers) == ("mathy", "rule:local")
    assert ask(gateway, headers=key.headers + [("x-frugal-tags", "data=none")]) == ("mathy", "rule:local")


def test_a_pinned_expert_that_fails_is_followed_by_the_ranking(run, gateway_of):
    upstreams = {name: run.expert(scripts.answer(f"by {name}")) for name in PRICES}
    upstreams["sage"] = run.expert(scripts.refuse(500))
    gateway = gateway_of({"name": "r", "when": {"regex": "."}, "pin": "sage"}, upstreams=upstreams)
    assert ask(gateway, POEM) == ("poet", "failover")


def test_the_record_and_the_route_question_name_the_rules(gateway_of):
    gateway = gateway_of({"name": "no-poet", "when": {"tag": "team=legal"}, "deny": ["poet"]})
    decision = gateway.post("/v1/route", {"model": "auto", "messages": [user(POEM)],
                                          "frugal": {"tags": {"team": "legal"}}}).json()
    assert decision["reason"] == "rule:no-poet"
    assert decision["rules"] == [{"name": "no-poet", "action": "deny", "matched": True}]
    assert {"expert": "poet", "why": "rule"} in decision["excluded"]


def test_frugalctl_why_names_rules_and_the_conversation(gateway_of):
    gateway = gateway_of({"name": "no-poet", "when": {"tag": "team=legal"}, "deny": ["poet"]}, store="frugal.db")
    turns = [user(POEM), {"role": "assistant", "content": "well"}, user(SUM)]
    gateway.post("/v1/chat/completions", {"model": "auto", "messages": turns[:1]})
    answer = gateway.post("/v1/chat/completions", {"model": "auto", "messages": turns}, tags("team=legal").items())
    told = eventually(lambda: frugalctl("why", answer["x-frugal-decision-id"], "--store", gateway.folder / "frugal.db",
                                        check=False).out, "the record is on the disk")
    assert "rule      no-poet: deny" in told
    assert "conversation by first_turns, unable: was at poet, and leaves" in told


def test_frugalctl_route_applies_them(gateway_of):
    gateway = gateway_of({"name": "poetry", "when": {"domain": "poems"}, "pin": "sage"},
                         {"name": "stop", "when": {"tag": "data=health"}, "deny": ["mathy", "poet", "sage"]})
    told = frugalctl("route", "--config", gateway.config_path, POEM)
    assert "rule:poetry" in told.out and "sage" in told.out
    refused = frugalctl("route", "--config", gateway.config_path, "--tags", "data=health", POEM, check=False)
    assert refused.returncode != 0 and "'stop'" in refused.err


def test_a_pin_wins_over_a_conversation(gateway_of):
    gateway = gateway_of({"name": "r", "when": {"tag": "mend"}, "pin": "mathy"})
    ask(gateway, POEM)
    loop = [user(POEM), {"role": "assistant", "content": None, "tool_calls": [
        {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}]},
        {"role": "tool", "tool_call_id": "c", "content": "seen"}]
    answer = gateway.post("/v1/chat/completions", {"model": "auto", "messages": loop, "frugal": {"tags": "mend=1"}})
    assert (answer["x-frugal-expert"], answer["x-frugal-reason"]) == ("mathy", "rule:r")


def test_a_text_that_is_too_hard_costs_no_time_and_is_counted(gateway_of):
    gateway = gateway_of({"name": "evil", "when": {"regex": "(a+)+$"}, "pin": "sage"})
    assert ask(gateway, "a" * 7000 + "!")[1] != "rule:evil"
    assert gateway.log.wait(event="rule_too_hard")["rule"] == "evil"
    assert gateway.metrics().value("frugal_rules_too_hard_total") == 1


def test_a_text_that_is_too_hard_gets_past_no_deny(gateway_of):
    gateway = gateway_of({"name": "shut", "when": {"regex": "(a+)+$"}, "deny": ["sage", "poet", "mathy"]})
    answer = gateway.post("/v1/chat/completions", {"model": "auto", "messages": [user("a" * 7000 + "!")]})
    assert (answer.status, answer.error["code"]) == (403, "denied_by_rule")


def test_a_reload_brings_new_rules(run, gateway_of, router):
    gateway = gateway_of()
    assert ask(gateway, POEM) == ("poet", "routed")
    entries = {name: expert(up, price=PRICES[name]) for name, up in gateway.upstreams.items()}
    gateway.write_config(router.config(entries, rules=[{"name": "now", "when": {"regex": "."}, "pin": "sage"}]))
    gateway.reload()
    gateway.log.wait(event="reloaded")
    assert ask(gateway, POEM) == ("sage", "rule:now")


@pytest.mark.parametrize("rule, place, why", [
    ({"name": "r", "when": {"regex": "a(b"}, "pin": "small"}, "/rules/0/when/regex", "missing closing parenthesis"),
    ({"name": "r", "when": {"regex": r"(.+)\1[0-9]"}, "pin": "small"}, "/rules/0/when/regex", "refers back to a group"),
    ({"name": "r", "when": {}, "pin": "small"}, "/rules/0/when", "must have a 'tag', a 'regex' or a 'domain'"),
    ({"name": "r", "when": {"tag": "a"}, "pin": "nobody"}, "/rules/0/pin", "there is no expert 'nobody'"),
    ({"name": "r", "when": {"tag": "a"}, "allow": []}, "/rules/0/allow", "not empty"),
    ({"name": "r", "when": {"tag": "a"}}, "/rules/0", "must have one of 'allow', 'deny' and 'pin'"),
    ({"name": "r", "when": {"tag": "a"}, "policies": ["x"], "pin": "small"}, "/rules/0/policies/0", "no policy 'x'"),
    ({"name": "r", "when": {"tga": "a"}, "pin": "small"}, "/rules/0/when/tga", "did you mean 'tag'"),
])
def test_a_wrong_rule_is_named_with_its_line(run, rule, place, why):
    whole = config({"small": expert("http://127.0.0.1:1/v1")}, rules=[rule])
    ran = run_frugald("--check-config", config=whole)
    assert ran.returncode != 0
    assert place in ran.err + ran.out and why in ran.err + ran.out, ran.err + ran.out
