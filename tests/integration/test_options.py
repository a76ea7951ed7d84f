"""x-frugal-* and the frugal object: a mistyped wish is refused, never lost."""

import pytest

from harness import config, expert, scripts

BAD_HEADERS = {
    "unknown": [("x-frugal-budgt-usd", "1")],
    "unknown, in capitals": [("X-FRUGAL-NONSENSE", "1")],
    "repeated": [("x-frugal-budget-usd", "1"), ("X-Frugal-Budget-Usd", "1")],
    "budget: words": [("x-frugal-budget-usd", "lots")],
    "budget: negative": [("x-frugal-budget-usd", "-1")],
    "budget: empty": [("x-frugal-budget-usd", "")],
    "budget: hexadecimal": [("x-frugal-budget-usd", "0x10")],
    "budget: infinite": [("x-frugal-budget-usd", "inf")],
    "budget: not a number": [("x-frugal-budget-usd", "nan")],
    "budget: huge": [("x-frugal-budget-usd", "1e400")],
    "budget: two": [("x-frugal-budget-usd", "1, 2")],
    "value: zero": [("x-frugal-value-usd", "-0.5")],
    "lambda: words": [("x-frugal-lambda", "high")],
    "lambda and value": [("x-frugal-lambda", "50"), ("x-frugal-value-usd", "0.02")],
    "quality: above one": [("x-frugal-min-quality", "1.5")],
    "quality: negative": [("x-frugal-min-quality", "-0.1")],
    "on-budget: unknown word": [("x-frugal-on-budget", "perhaps")],
    "deadline: negative": [("x-frugal-deadline-ms", "-5")],
    "deadline: words": [("x-frugal-deadline-ms", "soon")],
    "experts: unknown": [("x-frugal-experts", "small,nobody")],
    "explain: unknown word": [("x-frugal-explain", "maybe")],
    "tags: no value": [("x-frugal-tags", "team")],
    "tags: two values": [("x-frugal-tags", "team=a,team=b")],
}


@pytest.mark.parametrize("case", BAD_HEADERS)
def test_an_option_that_cannot_be_understood_is_a_400_that_names_it(run, case):
    small = run.expert(scripts.answer())
    gateway = run.gateway(small)
    answer = gateway.chat(headers=BAD_HEADERS[case])
    assert answer.status == 400, answer
    assert BAD_HEADERS[case][0][0].lower() in answer.error["message"].lower() + str(answer.error["param"]).lower()
    assert answer.error["type"] == "invalid_request_error"
    assert small.asked == 0


BAD_OBJECTS = {
    "not an object": 5, "unknown": {"budgt_usd": 1}, "negative": {"budget_usd": -1}, "a list": {"budget_usd": [1]},
    "true": {"budget_usd": True}, "null": {"budget_usd": None}, "quality": {"min_quality": 2},
    "word": {"on_budget": "perhaps"}, "experts": {"experts": ["nobody"]}, "dashes": {"budget-usd": 1}, "tags": {"tags": {"team": "a,b=c"}},
    "lambda and value": {"lambda": 50, "value_usd": 0.02},
}


@pytest.mark.parametrize("case", BAD_OBJECTS)
def test_the_same_holds_for_the_object_in_the_body(run, case):
    small = run.expert(scripts.answer())
    gateway = run.gateway(small)
    answer = gateway.chat(frugal=BAD_OBJECTS[case])
    assert answer.status == 400, answer
    assert "frugal" in answer.error["param"]
    assert small.asked == 0


def test_an_option_twice_in_the_body_is_refused(run):
    gateway = run.gateway(run.expert(scripts.answer()))
    body = (b'{"model":"auto","messages":[{"role":"user","content":"x"}],'
            b'"frugal":{"budget_usd":1,"budget\\u005fusd":2}}')
    answer = gateway.post("/v1/chat/completions", body)
    assert answer.status == 400 and "frugal.budget" in answer.error["param"]


def test_good_options_are_taken(run):
    small = run.expert(scripts.answer())
    gateway = run.gateway(small)
    answer = gateway.chat(headers={
        "x-frugal-budget-usd": "0.5", "x-frugal-on-budget": "trim", "x-frugal-value-usd": "0.02",
        "x-frugal-min-quality": "0.5", "x-frugal-deadline-ms": "60000", "x-frugal-experts": "small",
        "x-frugal-conversation-id": "c-1", "x-frugal-explain": "true", "x-frugal-tags": "team=search, env=prod"})
    assert answer.status == 200, answer


def test_options_stay_here_and_forwarded_ones_are_no_error(run):
    small = run.expert(scripts.answer())
    gateway = run.gateway(small)
    assert gateway.chat(headers={"x-frugal-value-usd": "1", "x-frugal-fwd-anything": "1"}).status == 200
    assert not [name for name, _ in small.call().request.fields if name.lower() == "x-frugal-value-usd"]


def test_an_allow_list_keeps_to_its_experts(run):
    small, large = run.expert(scripts.answer()), run.expert(scripts.answer())
    gateway = run.gateway(config({"small": expert(small), "large": expert(large)}))
    assert gateway.chat(headers={"x-frugal-experts": "large"})["x-frugal-expert"] == "large"
    assert gateway.chat(frugal={"experts": ["large"]})["x-frugal-expert"] == "large"
    assert gateway.chat(headers={"x-frugal-experts": "large, small"}, frugal={"experts": ["large"]}
                        )["x-frugal-expert"] == "large"
    assert small.asked == 0


def test_failover_keeps_to_the_allow_list_too(run):
    small, large = run.expert(scripts.answer()), run.expert(scripts.refuse(500))
    gateway = run.gateway(config({"small": expert(small), "large": expert(large)}))
    assert gateway.chat(headers={"x-frugal-experts": "large"}).status >= 500
    assert small.asked == 0


def test_an_empty_intersection_of_allow_lists_is_refused(run):
    small, large = run.expert(scripts.answer()), run.expert(scripts.answer())
    gateway = run.gateway(config({"small": expert(small), "large": expert(large)}))
    answer = gateway.chat(headers={"x-frugal-experts": "large"}, frugal={"experts": ["small"]})
    assert answer.status == 400, answer
    assert (small.asked, large.asked) == (0, 0)
