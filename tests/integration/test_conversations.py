"""Conversations stay with their expert: in tool loops always, otherwise unless leaving pays for the prompt cache.

Sums are what `mathy` answers well and poems what `poet` does. A conversation begins with a poem; whether a sum later in
it still goes to `poet` shows what held it there.
"""

import pytest

from harness import config, expert, scripts
from harness.waiting import eventually
from harness.keys import Key, key_file
from harness.routers import PRICES, Switch, held_out

# Long enough to be judged by themselves (routing_text.h).
POEM, SUM = (" ".join(held_out(domain, 6)) for domain in ("poems", "sums"))
CALLS = {"role": "assistant", "content": None, "tool_calls": [
    {"id": "call_1", "type": "function", "function": {"name": "look", "arguments": "{}"}}]}
RESULT = {"role": "tool", "tool_call_id": "call_1", "content": "seen"}


def user(text):
    return {"role": "user", "content": text}


def assistant(text):
    return {"role": "assistant", "content": text}


def entries(upstreams, cached=None):
    """cached: the price of input that is read from a cache; None: that of all input."""
    return {name: expert(up, price=None, generator_more={"price": {
        "input": PRICES[name][0], "output": PRICES[name][1],
        **({} if cached is None else {"cached_input": cached})}}) for name, up in upstreams.items()}


def three(run, **scripted):
    return {name: run.expert(scripted.get(name) or scripts.answer(f"by {name}")) for name in PRICES}


POLICIES = {"auto": {"value_usd": 0.02, "default": "mathy", "max_output_tokens": 1000},
            "free": {"value_usd": 0.02, "default": "mathy", "max_output_tokens": 1000, "sticky": False}}


@pytest.fixture
def gateway_of(run, router):
    def make(cached=None, policies=POLICIES, files=(), upstreams=None, **more):
        upstreams = upstreams or three(run)
        gateway = run.gateway(router.config(entries(upstreams, cached), policies=policies, **more), files=files)
        gateway.upstreams = upstreams
        return gateway

    return make


def ask(gateway, *messages, model="auto", headers=()):
    """The expert that answered, the reason, and the conversation of the record."""
    pairs = list(headers.items()) if isinstance(headers, dict) else list(headers)
    answer = gateway.post("/v1/chat/completions", {"model": model, "messages": list(messages)},
                          pairs + [("x-frugal-explain", "true")])
    assert answer.status == 200, answer
    decision = answer.json()["usage"]["cost_details"]["decision"]
    return answer["x-frugal-expert"], answer["x-frugal-reason"], decision["conversation"]


def test_an_agent_stays_with_its_expert_in_a_tool_loop(gateway_of):
    gateway = gateway_of()
    assert ask(gateway, user(POEM))[0] == "poet"
    loop = [user(POEM), CALLS, RESULT, user(SUM)]
    name, reason, conversation = ask(gateway, *loop)
    assert (name, reason) == ("poet", "sticky")
    assert conversation["state"] == "tool_loop" and conversation["stayed"] is True
    assert (conversation["id_kind"], conversation["expert"]) == ("first_turns", "poet")
    assert ask(gateway, *loop, model="free") == ("mathy", "routed", None)


def test_a_first_question_is_remembered_and_not_looked_up(gateway_of):
    gateway = gateway_of()
    assert ask(gateway, user(POEM))[2]["state"] == "first"
    assert ask(gateway, user(POEM))[2] == {
        "id_kind": "first_turns", "state": "first", "expert": None, "stayed": False, "answers": None, "idle_s": None,
        "cached_tokens": None, "switch_cost_usd": None}


LONG = {"role": "system", "content": "the rules of the house. " * 5000}  # 120 KB, some 30,000 tokens


def test_a_cheap_cache_holds_a_conversation_that_would_go_elsewhere(run, gateway_of):
    upstreams = three(run, poet=scripts.answer("by poet", prompt=30000))
    turns = [LONG, user(POEM), assistant("by poet"), user(SUM)]
    gateway = gateway_of(cached=0.0, upstreams=upstreams)
    ask(gateway, *turns[:2])
    name, reason, conversation = ask(gateway, *turns)
    assert (name, reason, conversation["state"]) == ("poet", "sticky", "weighed")
    assert conversation["switch_cost_usd"] == pytest.approx(0.03, rel=0.1)
    assert conversation["cached_tokens"] == pytest.approx(30000, rel=0.1)


def test_where_nothing_is_lost_by_leaving_the_better_expert_answers(run, gateway_of):
    upstreams = three(run, poet=scripts.answer("by poet", prompt=30000))
    turns = [LONG, user(POEM), assistant("by poet"), user(SUM)]
    gateway = gateway_of(upstreams=upstreams)
    ask(gateway, *turns[:2])
    name, reason, conversation = ask(gateway, *turns)
    assert (name, reason, conversation["stayed"]) == ("mathy", "routed", False)
    assert conversation["switch_cost_usd"] == 0
    # And there it is from now on.
    name, _, conversation = ask(gateway, *turns, CALLS, RESULT, user(POEM))
    assert (name, conversation["expert"], conversation["state"]) == ("mathy", "mathy", "tool_loop")


def test_a_cache_that_is_cold_by_now_holds_nobody(run, gateway_of):
    upstreams = three(run, poet=scripts.answer("by poet", prompt=30000))
    gateway = gateway_of(cached=0.0, upstreams=upstreams, stickiness={"cache_s": 0})
    turns = [LONG, user(POEM), assistant("by poet"), user(SUM)]
    ask(gateway, *turns[:2])
    question = {"model": "auto", "messages": turns}
    eventually(lambda: gateway.post("/v1/route", question).json()["conversation"]["idle_s"] >= 1, "a second is over")
    name, _, conversation = ask(gateway, *turns)
    assert (name, conversation["state"], conversation["switch_cost_usd"]) == ("mathy", "weighed", 0)


def test_an_expert_that_reports_no_cache_is_not_paid_for_one(run, gateway_of):
    """The first answer leaves hope; the second says that nothing was read from a cache."""
    upstreams = three(run, poet=scripts.answer("by poet", prompt=30000))
    gateway = gateway_of(cached=0.0, upstreams=upstreams)
    turns = [LONG, user(POEM), assistant("a"), user(POEM), assistant("b"), user(SUM)]
    ask(gateway, *turns[:2])
    assert ask(gateway, *turns[:4])[2]["cached_tokens"] > 0
    name, _, conversation = ask(gateway, *turns)
    assert (name, conversation["cached_tokens"]) == ("mathy", 0)


def test_two_tenants_with_equal_turns_share_nothing(gateway_of):
    keys = [Key("alice"), Key("bob")]
    gateway = gateway_of(keys={"file": "keys.json"}, files={"keys.json": key_file(*keys)})
    alice, bob = (key.headers for key in keys)
    loop = [user(POEM), CALLS, RESULT, user(SUM)]
    assert ask(gateway, user(POEM), headers=alice)[0] == "poet"
    assert ask(gateway, *loop, headers=alice)[0] == "poet"
    name, _, conversation = ask(gateway, *loop, headers=bob)
    assert (name, conversation["state"], conversation["expert"]) == ("mathy", "new", None)
    # Nor does what bob did move alice.
    assert ask(gateway, *loop, headers=alice)[0] == "poet"


def test_a_reload_keeps_conversations_by_the_names_of_experts(gateway_of, router):
    gateway = gateway_of()
    ask(gateway, user(POEM))
    turned = dict(reversed(list(entries(gateway.upstreams).items())))
    gateway.write_config(router.config(turned, policies=POLICIES))
    gateway.reload()
    gateway.log.wait(event="reloaded")
    name, _, conversation = ask(gateway, user(POEM), CALLS, RESULT, user(SUM))
    assert (name, conversation["expert"]) == ("poet", "poet")


def test_an_expert_that_fails_loses_its_conversation(run, gateway_of):
    poet = Switch(scripts.answer("by poet"))
    gateway = gateway_of(upstreams=three(run, poet=poet))
    turns = [user(POEM), CALLS, RESULT, user(SUM)]
    ask(gateway, user(POEM))
    poet.script = scripts.refuse(500)
    name, reason, conversation = ask(gateway, *turns)
    assert (name, reason, conversation["expert"]) == ("mathy", "failover", "poet")
    poet.script = scripts.answer("by poet")
    name, reason, conversation = ask(gateway, *turns, CALLS, RESULT, user(POEM))
    assert (name, conversation["expert"], conversation["stayed"]) == ("mathy", "mathy", True)


def test_the_clients_own_name_of_a_conversation_counts_before_its_turns(gateway_of):
    gateway = gateway_of()
    named = {"x-frugal-conversation-id": "thread-1"}
    assert ask(gateway, user(POEM), headers=named)[2]["state"] == "new"
    name, _, conversation = ask(gateway, user("Go on."), CALLS, RESULT, user(SUM), headers=named)
    assert (name, conversation["id_kind"], conversation["state"]) == ("poet", "conversation_id", "tool_loop")


def test_who_may_not_answer_is_not_held(gateway_of):
    gateway = gateway_of()
    loop = [user(POEM), CALLS, RESULT, user(SUM)]
    ask(gateway, user(POEM))
    name, _, conversation = ask(gateway, *loop, headers={"x-frugal-experts": "mathy,sage"})
    assert (name, conversation["state"], conversation["expert"]) == ("mathy", "unable", "poet")


def test_a_ceiling_is_kept_in_a_tool_loop(gateway_of):
    gateway = gateway_of(policies={**POLICIES, "best": {**POLICIES["auto"], "value_usd": 1000}})
    assert ask(gateway, user(POEM), model="best")[0] == "sage"
    name, _, conversation = ask(gateway, user(POEM), CALLS, RESULT, user(SUM), model="best",
                                headers={"x-frugal-budget-usd": "0.003", "x-frugal-on-budget": "downgrade"})
    assert (name, conversation["state"], conversation["expert"]) == ("mathy", "unable", "sage")
    assert gateway.upstreams["sage"].asked == 1


def test_examples_that_begin_every_request_are_no_conversation(gateway_of):
    gateway = gateway_of(cached=0.0)
    shots = [user("Say hello."), assistant("hello")]
    assert ask(gateway, *shots, user(POEM))[0] == "poet"
    name, _, conversation = ask(gateway, *shots, user(SUM))
    assert (name, conversation["state"]) == ("mathy", "other")


def test_a_route_question_looks_and_does_not_teach(gateway_of):
    gateway = gateway_of()
    turns = [user(POEM), CALLS, RESULT, user(SUM)]
    gateway.post("/v1/route", {"model": "auto", "messages": turns[:1]})
    first = gateway.post("/v1/route", {"model": "auto", "messages": turns}).json()
    assert first["conversation"]["state"] == "new"
    ask(gateway, user(POEM))
    second = gateway.post("/v1/route", {"model": "auto", "messages": turns}).json()
    assert (second["expert"], second["reason"], second["conversation"]["stayed"]) == ("poet", "sticky", True)


def test_nothing_is_remembered_where_nothing_may_be(gateway_of):
    gateway = gateway_of(stickiness={"entries": 0})
    ask(gateway, user(POEM))
    assert ask(gateway, user(POEM), CALLS, RESULT, user(SUM)) == ("mathy", "routed", None)


def test_what_became_of_conversations_is_counted(gateway_of):
    gateway = gateway_of()
    ask(gateway, user(POEM))
    ask(gateway, user(POEM), CALLS, RESULT, user(SUM))
    ask(gateway, user(POEM), CALLS, RESULT, assistant("by poet"), user(SUM))
    seen = gateway.metrics()
    for result, n in {"tool_loop": 1, "switched": 1, "stayed": 0, "new": 0}.items():
        assert seen.value("frugal_conversations_total", result=result) == n, result


def test_without_a_bundle_a_conversation_stays_where_it_was_answered(run):
    small, other = Switch(scripts.refuse(500)), run.expert(scripts.answer("by other"))
    gateway = run.gateway(config({"small": expert(run.expert(small)), "other": expert(other)}))
    assert ask(gateway, user("hi"))[:2] == ("other", "failover")
    small.script = scripts.answer("by small")
    assert ask(gateway, user("hi"), assistant("by other"), user("and?"))[:2] == ("other", "sticky")
    assert ask(gateway, user("something else"))[:2] == ("small", "no_bundle")


def test_a_tool_loop_over_the_messages_api_stays(gateway_of):
    gateway = gateway_of()
    head = [("x-frugal-explain", "true")]
    tools = [{"name": "look", "input_schema": {"type": "object"}}]
    first = [{"role": "user", "content": [{"type": "text", "text": POEM, "cache_control": {"type": "ephemeral"}}]}]
    assert gateway.post("/v1/messages", {"model": "auto", "max_tokens": 1000, "messages": first, "tools": tools},
                        head)["x-frugal-expert"] == "poet"
    loop = [{"role": "user", "content": POEM},
            {"role": "assistant", "content": [{"type": "tool_use", "id": "call_1", "name": "look", "input": {}}]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "call_1", "content": "seen"},
                                         {"type": "text", "text": SUM}]}]
    answer = gateway.post("/v1/messages", {"model": "auto", "max_tokens": 1000, "messages": loop, "tools": tools}, head)
    assert (answer["x-frugal-expert"], answer["x-frugal-reason"]) == ("poet", "sticky"), answer


def test_a_tool_loop_over_the_responses_api_stays(gateway_of):
    gateway = gateway_of()
    tools = [{"type": "function", "name": "look", "parameters": {"type": "object"}}]
    first = [{"role": "user", "content": POEM}]
    assert gateway.post("/v1/responses", {"model": "auto", "instructions": "Help.", "input": first,
                                          "tools": tools})["x-frugal-expert"] == "poet"
    loop = first + [{"type": "function_call", "call_id": "call_1", "name": "look", "arguments": "{}"},
                    {"type": "function_call_output", "call_id": "call_1", "output": "seen"},
                    {"role": "user", "content": SUM}]
    answer = gateway.post("/v1/responses", {"model": "auto", "instructions": "Help.", "input": loop, "tools": tools})
    assert (answer["x-frugal-expert"], answer["x-frugal-reason"]) == ("poet", "sticky"), answer
