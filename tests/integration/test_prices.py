"""Prices: of machines that are paid by the hour, brought from public lists, changed without a build, and how old."""

import json

import pytest

from harness import config, expert, scripts


def hourly(upstream, **more):
    """0.36 USD an hour at 40 tokens a second, two at once: 1.25 USD per million tokens that it writes, 0.05 that it reads."""
    price = {"usd_per_hour": 0.36, "tokens_per_second": 40, "prompt_tokens_per_second": 1000, "concurrency": 2, **more}
    return expert(upstream, price=None, generator_more={"price": price})


def test_a_token_of_a_machine_costs_its_share_of_the_hour(run):
    gateway = run.gateway(config({"own": hourly(run.expert(scripts.answer(prompt=300, output=10)))}))
    assert gateway.chat().json()["usage"]["cost"] == pytest.approx(300 * 0.05e-6 + 10 * 1.25e-6)
    shown = gateway.get("/v1/models/own").json()["frugal"]
    assert (shown["usd_per_million_input"], shown["usd_per_million_output"], shown["notional"]) == (0.05, 1.25, True)


def test_a_ceiling_binds_a_machine_that_is_paid_by_the_hour(run):
    upstream = run.expert(scripts.answer(prompt=20, output=10))
    gateway = run.gateway(config({"own": hourly(upstream)}))
    answer = gateway.chat("Hello.", headers={"x-frugal-budget-usd": "0.00005"})
    assert answer.status == 200 and answer.json()["usage"]["cost"] <= 0.00005
    limit = upstream.calls()[-1].json()["max_tokens"]
    assert 1 <= limit <= 0.00005 / 1.25e-6
    assert gateway.chat("Hello.", headers={"x-frugal-budget-usd": "0.000001"}).status == 402


def test_only_what_is_paid_by_the_hour_is_called_notional(run):
    gateway = run.gateway(config({"small": expert(run.expert())}))
    assert "notional" not in gateway.get("/v1/models/small").json()["frugal"]
