"""A policy's spending of the day corrects its price of cost: bounded, visible, and continued after a restart."""

import json

import pytest

from harness import expert, run_frugald, scripts
from harness.routers import PRICES, held_out

TARGET = "spend_target_usd_per_day"


def steered(run, router, policy, store=None):
    experts = {name: expert(run.expert(scripts.answer(f"by {name}", prompt=20, output=100)), price=PRICES[name])
               for name in PRICES}
    whole = router.config(experts, policies={
        "auto": {"value_usd": 1.0, "default": "sage", "max_output_tokens": 1000, "switch_z": 0, **policy},
        "free": {"value_usd": 1.0, "default": "sage", "switch_z": 0}})
    if store is not None:
        whole["store"] = str(store)
    return run.gateway(whole)


def factor(gateway):
    return gateway.metrics().value("frugal_policy_lambda_factor", policy="auto")


def ask(gateway, i, model="auto"):
    answer = gateway.post("/v1/chat/completions", {
        "model": model, "messages": [{"role": "user", "content": held_out("poems", 40)[i % 40]}]},
        {"x-frugal-explain": "true"})
    assert answer.status == 200, answer
    return answer["x-frugal-expert"], answer.json()["usage"]["cost_details"]["decision"]


def test_overspending_makes_thrifty_and_is_seen(run, router):
    gateway = steered(run, router, {TARGET: 0.5})
    chosen, decisions = zip(*(ask(gateway, i) for i in range(40)))
    assert chosen[0] == "sage" and set(chosen[-5:]) == {"poet"}, chosen
    factors = [decision["steering"] for decision in decisions]
    assert factors == sorted(factors) or max(factors) == 64
    # Lambda is what the policy says, times the factor.
    assert all(decision["lambda"] == pytest.approx(decision["steering"] * 1.0) for decision in decisions)
    assert factor(gateway) == pytest.approx(factors[-1], rel=1e-3)
    assert gateway.metrics().value("frugal_policy_spent_today_usd", policy="auto") == pytest.approx(
        gateway.metrics().value("frugal_cost_usd_total"))
    # Another policy is not touched by it.
    name, decision = ask(gateway, 0, "free")
    assert name == "sage" and decision["steering"] == 1


def test_the_correction_is_bounded(run, router):
    gateway = steered(run, router, {TARGET: 0.000001, "steer_most": 3, "steer_least": 0.5})
    _, first = ask(gateway, 0)
    assert 0.5 <= first["steering"] <= 1
    _, second = ask(gateway, 1)
    assert second["steering"] == 3


def test_a_reload_and_a_restart_go_on_from_what_was_spent(run, router, tmp_path):
    store = tmp_path / "frugal.db"
    gateway = steered(run, router, {TARGET: 0.5}, store)
    for i in range(12):
        ask(gateway, i)
    spent = gateway.metrics().value("frugal_policy_spent_today_usd", policy="auto")
    before = ask(gateway, 0)[1]["steering"]
    gateway.reload()
    gateway.log.wait(event="reloaded")
    assert ask(gateway, 0)[1]["steering"] >= before
    total = gateway.metrics().value("frugal_policy_spent_today_usd", policy="auto")
    assert total > spent
    gateway.stop()
    again = steered(run, router, {TARGET: 0.5}, store)
    assert ask(again, 0)[1]["steering"] >= before * 0.9
    assert again.metrics().value("frugal_policy_spent_today_usd", policy="auto") > total


def test_a_target_needs_a_price_of_cost_to_correct(run, router):
    whole = router.config({"small": expert("http://127.0.0.1:1/v1")}, policies={"auto": {"default": "small", TARGET: 5}})
    ran = run_frugald("--check-config", config=json.dumps(whole))
    assert ran.returncode != 0 and TARGET in ran.err and "value_usd" in ran.err
