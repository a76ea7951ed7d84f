"""What a request paid stands in the ledger: every charge, whatever became of it."""

import json

import pytest

from harness import Ledger, config, embedding, expert, scripts, with_store
from harness.routers import PRICES, Switch, held_out

QUICK = {"connect": 1000, "first_byte": 1000, "idle": 1000, "total": 2000}
PICO = 10**12


@pytest.fixture
def store(tmp_path):
    return tmp_path / "frugal.db"


@pytest.fixture
def ledger(store):
    return Ledger(store)


def settled(gateway, ledger, n=1):
    """The gateway has ended: everything is written."""
    gateway.stop()
    rows = ledger.decisions()
    assert len(rows) == n, rows
    assert ledger.is_consistent()
    return rows


def test_an_answer_is_a_settled_decision_with_its_charge(run, store, ledger):
    gateway = run.gateway(with_store(config({"small": expert(run.expert(scripts.answer()))}), store))
    answer = gateway.chat(max_tokens=100)
    (row,) = settled(gateway, ledger)
    assert row["id"] == answer["x-frugal-decision-id"]
    assert row["request_id"] == answer["x-request-id"]
    assert (row["response_id"], row["policy"], row["expert"]) == ("chatcmpl-scripted", "auto", "small")
    assert (row["state"], row["status"], row["input_tokens"], row["output_tokens"]) == ("settled", 200, 10, 20)
    assert row["spent_pico"] == row["bound_pico"] == 50_000_000
    (charge,) = ledger.charges(row["id"])
    assert (charge["kind"], charge["expert"], charge["fate"], charge["known"]) == ("generation", "small", "reported", 1)
    assert charge["spent_pico"] == 50_000_000 <= charge["worst_pico"]
    assert json.loads(row["record"])["decision_id"] == row["id"]


def test_a_stream_costs_in_the_ledger_what_its_last_chunk_says(run, store, ledger):
    gateway = run.gateway(with_store(config({"small": expert(run.expert(scripts.stream(["a", "b"])))}), store))
    with gateway.stream(stream_options={"include_usage": True}) as stream:
        usage = stream.chunks()[-1]["usage"]
    (row,) = settled(gateway, ledger)
    assert round(usage["cost"] * PICO) == row["spent_pico"]


def test_a_request_to_an_expert_by_name_is_charged_too(run, store, ledger):
    gateway = run.gateway(with_store(config({"small": expert(run.expert(scripts.answer()))}), store))
    assert gateway.chat(model="small").status == 200
    (row,) = settled(gateway, ledger)
    assert (row["policy"], row["expert"], row["reason"]) == ("", "small", "direct")
    assert row["spent_pico"] == 50_000_000


def test_failed_attempts_stand_before_the_one_that_answered(run, store, ledger):
    bad, good = run.expert(scripts.cut), run.expert(scripts.answer())
    gateway = run.gateway(with_store(config({"bad": expert(bad), "good": expert(good)}), store))
    assert gateway.chat(max_tokens=100).status == 200
    (row,) = settled(gateway, ledger)
    first, second = ledger.charges(row["id"])
    assert (first["expert"], first["fate"], first["known"]) == ("bad", "unknown", 0)
    assert (second["expert"], second["fate"]) == ("good", "reported")
    assert first["bound_pico"] == first["worst_pico"] > 0
    assert row["bound_pico"] == first["bound_pico"] + second["bound_pico"]


def test_an_attempt_that_was_never_sent_is_free(run, store, ledger):
    gone = run.expert(scripts.answer())
    gone.close()
    gateway = run.gateway(with_store(config({"gone": expert(gone)}), store))
    assert gateway.chat().status == 502
    (row,) = settled(gateway, ledger)
    charges = ledger.charges(row["id"])
    assert charges and {charge["fate"] for charge in charges} == {"free"}
    assert (row["spent_pico"], row["bound_pico"], row["status"]) == (0, 0, 502)


def test_a_client_that_leaves_is_charged_what_may_have_been_spent(run, store, ledger):
    small = run.expert(scripts.stream_then_silent("once"))
    gateway = run.gateway(with_store(config({"small": expert(small)}), store))
    stream = gateway.stream()
    assert next(stream)
    stream.close()
    small.call().wait_gone()
    (row,) = settled(gateway, ledger)
    (charge,) = ledger.charges(row["id"])
    assert charge["fate"] == "unknown"
    assert 0 < charge["spent_pico"] <= charge["bound_pico"]
    assert row["status"] == 499


def routed(run, router, store, price=0.01, script=None, policy=None, **settings):
    """A gateway that buys an embedding, at a price, before it decides."""
    switch = Switch(router.embeddings)
    experts = {name: expert(run.expert(scripts.answer()), price=PRICES[name]) for name in PRICES}
    experts["embedder"] = expert(run.expert(embeddings=switch), generator=False, timeouts_ms=QUICK,
                                 embedding=embedding(dim=router.dim, price=price))
    policies = {"auto": {"value_usd": 0.02, "default": "sage", "max_output_tokens": 1000, **(policy or {})}}
    gateway = run.gateway(with_store(router.config(experts, "remote", policies=policies), store, **settings))
    gateway.wait_probed()
    switch.script = script or switch.script
    return gateway


def test_evidence_is_charged_beside_the_generation(run, router, store, ledger):
    gateway = routed(run, router, store)
    assert gateway.chat(held_out("poems", 1)[0])["x-frugal-queried"] == "embedder"
    (row,) = settled(gateway, ledger)
    evidence, generation = ledger.charges(row["id"])
    assert (evidence["kind"], evidence["expert"], evidence["fate"]) == ("embedding", "embedder", "reported")
    assert evidence["spent_pico"] == 5 * 10_000 == row["evidence_pico"]
    assert (generation["kind"], generation["expert"]) == ("generation", row["expert"])
    assert row["spent_pico"] == evidence["spent_pico"] + generation["spent_pico"]
    assert row["best_pico"] is not None and row["cheapest_pico"] is not None


def test_evidence_that_failed_is_charged_at_its_worst_case(run, router, store, ledger):
    gateway = routed(run, router, store, script=scripts.cut)
    assert gateway.chat(held_out("poems", 1)[0]).status == 200
    (row,) = settled(gateway, ledger)
    evidence = ledger.charges(row["id"])[0]
    assert (evidence["kind"], evidence["fate"]) == ("embedding", "unknown")
    assert 0 < evidence["bound_pico"] == evidence["worst_pico"]


def test_a_decision_without_a_generation_pays_for_its_evidence(run, router, store, ledger):
    gateway = routed(run, router, store)
    assert gateway.post("/v1/route", {"model": "auto", "messages": [
        {"role": "user", "content": held_out("poems", 1)[0]}]}).status == 200
    (row,) = settled(gateway, ledger)
    assert [charge["kind"] for charge in ledger.charges(row["id"])] == ["embedding"]


def test_evidence_is_on_the_disk_before_it_is_bought(run, router, store, ledger):
    seen = []

    def script(call):
        seen.extend(ledger.rows("SELECT kind, fate, bound_pico, worst_pico FROM charges"))
        router.embeddings(call)

    gateway = routed(run, router, store, script=script, durability="full")
    assert gateway.chat(held_out("poems", 1)[0], max_tokens=100)["x-frugal-queried"] == "embedder"
    ((charge,), (row,)) = seen, settled(gateway, ledger)
    assert (charge["kind"], charge["fate"]) == ("embedding", "open")
    assert charge["bound_pico"] == charge["worst_pico"] > 0
    assert [one["fate"] for one in ledger.charges(row["id"])] == ["reported", "reported"]


def test_evidence_that_waits_for_the_disk_too_long_is_done_without(run, router, store, ledger):
    gateway = routed(run, router, store, durability="full", on_failure="continue", policy={"decision_deadline_ms": 50})
    lock = ledger.lock()
    answer = gateway.chat(held_out("poems", 1)[0], max_tokens=100)
    assert (answer.status, answer["x-frugal-reason"]) == (200, "decision_timeout")
    lock.close()
    gateway.log.wait(event="store_working")
    (row,) = settled(gateway, ledger)
    evidence, generation = ledger.charges(row["id"])
    assert (evidence["kind"], evidence["fate"], evidence["bound_pico"]) == ("embedding", "free", 0)
    assert (generation["kind"], generation["fate"]) == ("generation", "reported")


def test_a_request_that_is_refused_before_a_decision_leaves_no_trace(run, store, ledger):
    gateway = run.gateway(with_store(config({"small": expert(run.expert(scripts.answer()))}), store))
    assert gateway.post("/v1/chat/completions", b"{").status == 400
    assert gateway.chat(model="nobody").status == 404
    assert settled(gateway, ledger, n=0) == []
