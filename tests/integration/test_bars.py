"""An expert that breaks its worst case is barred from ceilings, over reloads and restarts, until an operator trusts it."""

import datetime

import pytest

from harness import config, eventually, expert, scripts
from harness.ledger import Ledger
from harness.routers import Switch

CEILING = {"x-frugal-budget-usd": "0.001"}


def now():
    return datetime.datetime.now(datetime.timezone.utc)


def moment(at):
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


@pytest.fixture
def broken(run, tmp_path):
    """A gateway with a store whose expert `small` has just charged too much; `big` keeps to its limits."""
    switch = Switch(scripts.answer(prompt=10, output=100_000))
    entries = {"small": expert(run.expert(switch)), "big": expert(run.expert(scripts.answer("by big")), price=(2.0, 4.0))}
    whole = config(entries, store=str(tmp_path / "frugal.db"))
    gateway = run.gateway(whole)
    assert gateway.chat(headers=CEILING, max_tokens=10)["x-frugal-expert"] == "small"
    gateway.log.wait(event="over_reservation")
    switch.script = scripts.answer("by small")
    return gateway, whole


def served(gateway, headers=CEILING):
    return gateway.chat(headers=headers, max_tokens=10)["x-frugal-expert"]


def test_it_is_passed_over_under_a_ceiling_and_shown(broken):
    gateway, _ = broken
    assert served(gateway) == "big"
    assert gateway.chat(model="small", headers=CEILING, max_tokens=10).status == 402
    assert served(gateway, ()) == "small"
    assert gateway.get("/readyz").json()["barred"] == ["small"]
    assert gateway.metrics().value("frugal_expert_barred", expert="small") == 1


def test_the_bar_outlives_a_reload_and_a_restart(run, broken):
    gateway, whole = broken
    gateway.reload()
    gateway.log.wait(event="reloaded")
    assert served(gateway) == "big"
    gateway.stop()
    again = run.gateway(whole)
    assert again.log.wait(event="expert_barred")
    assert served(again) == "big"
    assert again.metrics().value("frugal_expert_barred", expert="small") == 1


@pytest.mark.parametrize("durability", ["batched", "full"])
def test_the_bar_for_a_broken_limit_within_the_worst_case_outlives_a_restart(run, tmp_path, durability):
    small = run.expert(scripts.answer(prompt=10, output=100))
    store = {"path": str(tmp_path / "frugal.db"), "durability": durability}
    # The dear prompt of the bound hides 100 tokens where 10 were allowed.
    whole = config({"small": expert(small, price=(1000.0, 0.001)), "big": expert(run.expert(scripts.answer("by big")), price=(2000.0, 4.0))},
                   store=store)
    gateway = run.gateway(whole)
    dear = {"x-frugal-budget-usd": "10"}
    assert served(gateway, dear) == "small"
    gateway.log.wait(event="over_reservation")
    gateway.stop()
    charge, = Ledger(store["path"]).rows("SELECT * FROM charges")
    assert charge["spent_pico"] < charge["worst_pico"] and charge["over_limit"] == 1
    again = run.gateway(whole)
    assert again.log.wait(event="expert_barred")
    assert again.get("/readyz").json()["barred"] == ["small"]
    assert served(again, dear) == "big"


@pytest.mark.parametrize("how", ["reload", "restart"])
def test_an_operator_lifts_it_for_what_was_before(run, broken, how):
    gateway, whole = broken
    whole["experts"]["small"]["trusted_from"] = moment(now() - datetime.timedelta(days=1))
    if how == "reload":
        gateway.write_config(whole)
        gateway.reload()
        gateway.log.wait(event="reloaded")
        assert served(gateway) == "big", "what it did today is not forgiven by yesterday"
    # From the next second on; one that lies ahead counts from the moment it is loaded.
    whole["experts"]["small"]["trusted_from"] = moment(now() + datetime.timedelta(days=1))
    second = int(now().timestamp())
    eventually(lambda: int(now().timestamp()) > second, "the clock stands still")
    if how == "reload":
        gateway.write_config(whole)
        gateway.reload()
        gateway.log.wait(event="bar_lifted")
        gateway.log.wait(event="reloaded", count=2)
    else:
        gateway.stop()
        gateway = run.gateway(whole)
    assert served(gateway) == "small"
    assert gateway.metrics().value("frugal_expert_barred") == 0
    assert gateway.get("/readyz").json()["barred"] == []
