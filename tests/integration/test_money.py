"""A ceiling holds: what a request can cost in the worst case never exceeds it, whatever happens on the way."""

import json
import random
import re

import pytest

from harness import config, expert, run_frugald, scripts

IN, OUT = 1.0, 2.0  # USD per million tokens, the scripted experts' price
CHEAP = (0.01, 0.02)


def worst_usd(call, price=(IN, OUT), default_limit=None):
    """What this very request may cost at most, seen from the expert's side: a token is at least one byte."""
    body = call.json()
    limits = [body[name] for name in ("max_tokens", "max_completion_tokens") if body.get(name)]
    assert limits or default_limit, "no output limit under a ceiling"
    prompt = len("".join(message["content"] for message in body["messages"]).encode())
    return (prompt * price[0] + body.get("n", 1) * min(limits or [default_limit]) * price[1]) * 1e-6


def budget(usd, on_budget=None):
    headers = {"x-frugal-budget-usd": f"{usd:.9f}"}
    if on_budget:
        headers["x-frugal-on-budget"] = on_budget
    return headers


def test_a_ceiling_lowers_the_output_limit_until_the_worst_case_fits(run):
    small = run.expert(scripts.answer())
    gateway = run.gateway(small)
    answer = gateway.chat(headers=budget(0.001), max_tokens=100_000)
    assert answer.status == 200, answer
    assert 0 < small.call().json()["max_tokens"] < 500
    assert worst_usd(small.call()) <= 0.001


def test_a_limit_that_fits_is_left_alone(run):
    small = run.expert(scripts.answer())
    gateway = run.gateway(small)
    body = b'{"model":"auto", "messages":[{"role":"user","content":"x"}],"max_completion_tokens" : 17}'
    assert gateway.post("/v1/chat/completions", body, headers=budget(0.01)).status == 200
    assert small.call().body == body.replace(b'"auto"', b'"scripted"')


def test_without_a_limit_the_policys_is_inserted_under_a_ceiling_only(run):
    small = run.expert(scripts.answer())
    gateway = run.gateway(small)
    assert gateway.chat(headers=budget(10)).status == 200
    assert gateway.chat().status == 200
    limited, free = (call.json() for call in small.calls())
    assert limited.get("max_tokens", limited.get("max_completion_tokens")) == 1000
    assert "max_tokens" not in free and "max_completion_tokens" not in free


def test_every_one_of_n_answers_counts(run):
    small = run.expert(scripts.answer())
    gateway = run.gateway(small)
    assert gateway.chat(headers=budget(0.001), n=10, max_tokens=100_000).status == 200
    assert worst_usd(small.call()) <= 0.001


def test_a_ceiling_that_cannot_be_met_is_a_402_that_clients_do_not_retry(run):
    small = run.expert(scripts.answer())
    gateway = run.gateway(small)
    answer = gateway.chat("word " * 1000, headers=budget(0.0000001))
    assert answer.status == 402
    assert answer.error["code"] == "budget_exceeded"
    assert answer["x-should-retry"] == "false"
    assert small.asked == 0


def test_a_402_names_the_cheapest_possible_price(run):
    small, cheap = run.expert(scripts.answer()), run.expert(scripts.answer())
    gateway = run.gateway(config({"small": expert(small), "cheap": expert(cheap, price=CHEAP)}))
    answer = gateway.chat("word " * 1000, headers=budget(0.0000001, "reject"), max_tokens=100)
    assert answer.status == 402
    message = answer.error["message"].lower()
    assert "usd" in message or "$" in message
    named = [float(word.strip("$,;:")) for word in message.split() if word.strip("$,;:").replace(".", "", 1).isdigit()]
    assert any(5000 * CHEAP[0] * 1e-6 <= usd <= 20_000 * CHEAP[0] * 1e-6 for usd in named), message


def test_reject_refuses_where_trim_would_have_shortened(run):
    small = run.expert(scripts.answer())
    gateway = run.gateway(small)
    assert gateway.chat(headers=budget(0.001, "trim"), max_tokens=1000).status == 200
    assert gateway.chat(headers=budget(0.001, "reject"), max_tokens=1000).status == 402
    assert small.asked == 1


def test_downgrade_takes_the_best_expert_that_is_affordable(run):
    dear, cheap = run.expert(scripts.answer()), run.expert(scripts.answer())
    gateway = run.gateway(config({"dear": expert(dear), "cheap": expert(cheap, price=CHEAP)}))
    answer = gateway.chat(headers=budget(0.001, "downgrade"), max_tokens=1000)
    assert answer.status == 200, answer
    assert (answer["x-frugal-expert"], answer["x-frugal-reason"]) == ("cheap", "ceiling")
    assert cheap.call().json()["max_tokens"] == 1000
    assert dear.asked == 0


def test_the_stricter_of_header_and_body_holds(run):
    small = run.expert(scripts.answer())
    gateway = run.gateway(small)
    tiny, ample = 0.00000001, 1.0
    assert gateway.chat(headers=budget(tiny), frugal={"budget_usd": ample}).status == 402
    assert gateway.chat(headers=budget(ample), frugal={"budget_usd": tiny}).status == 402
    assert gateway.chat(headers=budget(ample), frugal={"budget_usd": ample}).status == 200
    assert gateway.chat(headers=budget(0.001, "trim"), frugal={"on_budget": "reject"}, max_tokens=1000).status == 402
    assert small.asked == 1


def test_a_policys_own_budget_is_a_ceiling(run):
    small = run.expert(scripts.answer())
    gateway = run.gateway(config({"small": expert(small)}, policies={
        "auto": {"value_usd": 0.02, "default": "small", "max_output_tokens": 100_000, "budget_usd": 0.001}}))
    assert gateway.chat().status == 200
    assert worst_usd(small.call()) <= 0.001


def test_a_named_expert_is_bound_by_the_ceiling_too(run):
    small = run.expert(scripts.answer())
    gateway = run.gateway(small)
    assert gateway.chat(model="small", headers=budget(0.0000001)).status == 402
    assert gateway.chat(model="small", headers=budget(0.001), max_tokens=100_000).status == 200
    assert worst_usd(small.call()) <= 0.001


def test_no_request_ever_goes_to_an_expert_whose_worst_case_exceeds_its_ceiling(run):
    seed = 20240501
    draw = random.Random(seed)
    prices = {"dear": (IN, OUT), "middle": (0.3, 0.4), "cheap": CHEAP}
    upstreams = {name: run.expert(scripts.answer()) for name in prices}
    gateway = run.gateway(config({name: expert(upstreams[name], price=prices[name]) for name in prices}))
    statuses = []
    for _ in range(150):
        ceiling = 10 ** draw.uniform(-8, -2)
        fields = {}
        if draw.random() < 0.7:
            fields[draw.choice(["max_tokens", "max_completion_tokens"])] = int(10 ** draw.uniform(0, 5))
        if draw.random() < 0.3:
            fields["n"] = draw.randint(1, 8)
        before = {name: upstream.asked for name, upstream in upstreams.items()}
        answer = gateway.chat("word " * int(10 ** draw.uniform(0, 3)), draw.choice(["auto", "dear", "cheap"]),
                              budget(ceiling, draw.choice([None, "trim", "downgrade", "reject"])), **fields)
        statuses.append(answer.status)
        for name, upstream in upstreams.items():
            for call in upstream.calls()[before[name]:]:
                assert worst_usd(call, prices[name]) <= ceiling, (seed, name, ceiling, call.body[-300:])
    assert set(statuses) == {200, 402}


def test_attempts_share_one_ceiling(run):
    first, second = run.expert(scripts.cut), run.expert(scripts.answer())
    gateway = run.gateway(config({"first": expert(first), "second": expert(second)}))
    answer = gateway.chat(headers=budget(0.001), max_tokens=300)
    assert answer.status in (200, 402, 502)
    spent = sum(worst_usd(call) for call in first.calls() + second.calls())
    assert first.asked == 1
    assert spent <= 0.001


def test_an_expert_without_a_bound_on_its_prompt_is_never_chosen_under_a_ceiling(run):
    loose, bound = run.expert(scripts.answer()), run.expert(scripts.answer())
    gateway = run.gateway(config({
        "loose": expert(loose, price=CHEAP, generator_more={"prompt_bound": "none"}), "bound": expert(bound)}))
    assert gateway.chat(headers=budget(1)).get("x-frugal-expert") == "bound"
    assert gateway.chat(model="loose", headers=budget(1)).status == 402
    assert gateway.chat().get("x-frugal-expert") == "loose"


@pytest.mark.parametrize("field", [
    {"service_tier": "priority"}, {"audio": {"voice": "x", "format": "wav"}}, {"best_of": 5},
    {"tools": [{"type": "web_search"}]}, {"web_search_options": {}}], ids=lambda field: next(iter(field)))
def test_fields_with_a_price_of_their_own_are_refused_under_a_ceiling_only(run, field):
    small = run.expert(scripts.answer())
    gateway = run.gateway(small)
    refused = gateway.chat(headers=budget(1), **field)
    assert refused.status == 400 and next(iter(field)) in refused.error["param"]
    assert gateway.chat(**field).status == 200


def test_usage_above_the_reservation_is_booked_as_it_is(run):
    small = run.expert(scripts.answer(prompt=10, output=100_000))
    gateway = run.gateway(small)
    answer = gateway.chat(headers=budget(0.001), max_tokens=10)
    assert float(answer["x-frugal-cost-usd"]) == pytest.approx(10e-6 + 0.2)
    assert gateway.metrics().value("frugal_usage_over_reservation_total", expert="small") == 1


def test_cached_tokens_have_their_own_price(run):
    body = scripts.completion()
    body["usage"] = {"prompt_tokens": 1000, "completion_tokens": 10, "total_tokens": 1010,
                     "prompt_tokens_details": {"cached_tokens": 900}}
    small = run.expert(lambda call: call.answer(body))
    entry = expert(small)
    entry["generator"]["price"] = {"input": 1.0, "cached_input": 0.1, "output": 2.0, "request": 0.001}
    gateway = run.gateway(config({"small": entry}))
    assert gateway.chat().json()["usage"]["cost"] == pytest.approx(0.001 + (100 + 90 + 20) * 1e-6)


def test_a_free_expert_costs_nothing_and_meets_any_ceiling(run):
    small = run.expert(scripts.answer())
    entry = expert(small, price=None)
    entry["generator"]["free"] = True
    gateway = run.gateway(config({"small": entry}))
    answer = gateway.chat(headers=budget(0.0000001))
    assert answer.status == 200
    assert float(answer["x-frugal-cost-usd"]) == 0
    assert answer.json()["usage"]["cost"] == 0


def test_money_adds_up_over_many_requests(run):
    small = run.expert(scripts.answer(prompt=1234, output=567))
    gateway = run.gateway(small)
    for n in range(40):
        if n % 2:
            gateway.chat()
        else:
            with gateway.stream() as stream:
                list(stream)
    gateway.log.wait(event="request", count=40)
    metrics = gateway.metrics()
    assert metrics.value("frugal_cost_usd_total", expert="small") == pytest.approx(40 * (1234 + 2 * 567) * 1e-6)
    assert metrics.value("frugal_tokens_total", expert="small", gen_ai_token_type="input") == 40 * 1234
    assert metrics.value("frugal_tokens_total", expert="small", gen_ai_token_type="output") == 40 * 567


WRONG_PRICES = {
    "missing": (lambda generator: generator.pop("price"), "/experts/small/generator"),
    "negative": (lambda generator: generator["price"].update(input=-1), "/experts/small/generator/price/input"),
    "null": (lambda generator: generator["price"].update(output=None), "/experts/small/generator/price/output"),
    "in words": (lambda generator: generator["price"].update(input="1.0"), "/experts/small/generator/price/input"),
    "in euros": (lambda generator: generator["price"].update(currency="EUR"), "/experts/small/generator/price/currency"),
    "a tier without output": (lambda generator: generator["price"].update(above={"tokens": 9, "input": 2}),
                              "/experts/small/generator/price/above"),
    "a date that is none": (lambda generator: generator.update(price=[
        generator["price"], {"from": "2026-02-30", "input": 1, "output": 1}]), "/experts/small/generator/price/1/from"),
}


@pytest.mark.parametrize("wrong", WRONG_PRICES)
def test_a_wrong_price_stops_the_start_and_a_reload_with_line_and_column(run, wrong):
    break_it, pointer = WRONG_PRICES[wrong]
    small = run.expert(scripts.answer())
    whole = config({"small": expert(small)})
    gateway = run.gateway(whole)
    break_it(whole["experts"]["small"]["generator"])
    gateway.write_config(whole)
    gateway.reload()
    said = gateway.log.wait(event="reload_failed")["msg"]
    assert re.search(r"config\.json:\d+:\d+: " + re.escape(pointer) + ": ", said), said
    assert gateway.chat().json()["usage"]["cost"] == pytest.approx(50e-6), "the old prices hold"
    ran = run_frugald(config=json.dumps(whole, indent=2))
    assert ran.returncode == 1 and re.search(r"config\.json:\d+:\d+: ", ran.err), ran.err


def test_a_price_by_date_and_length_is_what_is_charged_and_shown(run):
    small = run.expert(scripts.answer(prompt=300, output=10))
    entry = expert(small)
    entry["generator"]["price"] = [
        {"input": 9, "output": 9}, {"from": "2020-01-01", "input": 1, "output": 2, "above": {
            "tokens": 200, "input": 3, "output": 5}}, {"from": "2999-01-01", "input": 90, "output": 90}]
    gateway = run.gateway(config({"small": entry}))
    assert gateway.chat().json()["usage"]["cost"] == pytest.approx((300 * 3 + 10 * 5) * 1e-6)
    shown = gateway.get("/v1/models/small").json()["frugal"]
    assert (shown["usd_per_million_input"], shown["above"][0]["usd_per_million_output"]) == (1, 5)
    assert shown["prices_change"] == 32472144000
