"""An embedder that is down, slow or wrong costs the evidence, never the request, and is said and counted."""

import json

import pytest

from harness import SLOW, embedding, expert, scripts
from harness.routers import PRICES, Switch, held_out

QUICK = {"connect": int(500 * SLOW), "first_byte": int(300 * SLOW), "idle": int(300 * SLOW), "total": int(600 * SLOW)}


def arranged(run, router, script=None, policy=None, timeouts=None, url=None):
    """A gateway whose only evidence comes from an embedder that follows `script` after it was probed."""
    switch = Switch(router.embeddings)
    embedder = run.expert(embeddings=switch)
    experts = {name: expert(run.expert(scripts.answer(f"by {name}")), price=PRICES[name]) for name in PRICES}
    experts["embedder"] = expert(url or embedder, generator=False, embedding=embedding(dim=router.dim),
                                 timeouts_ms=timeouts or QUICK)
    gateway = run.gateway(router.config(experts, "remote", policies={
        "auto": {"value_usd": 0.02, "default": "sage", "max_output_tokens": 1000, **(policy or {})}}))
    if url is None:
        gateway.wait_probed()
        assert gateway.chat(held_out("poems", 1)[0])["x-frugal-expert"] == "poet"
    if script is not None:
        switch.script = script
    return gateway, switch


def vector(of):
    return scripts.embed(lambda text: of)


TROUBLE = {
    "status 500": (scripts.refuse(500), "status_5xx"), "status 429": (scripts.refuse(429), "status_429"),
    "status 404": (scripts.refuse(404), "status_4xx"), "cut": (scripts.cut, "cut"),
    "silent": (scripts.silent, "timeout"),
    "not JSON": (lambda call: call.answer(b"<html>"), "malformed"),
    "no data": (lambda call: call.answer({"object": "list", "data": []}), "malformed"),
    "too few floats": (vector([1.0] * 15), "malformed"), "too many floats": (vector([1.0] * 17), "malformed"),
    "no floats": (vector([]), "malformed"), "words": (vector(["a"] * 16), "malformed"),
    "nothing but zero": (vector([0.0] * 16), "malformed"),
    "beyond any float": (lambda call: call.answer(
        b'{"data":[{"index":0,"embedding":[' + b",".join([b"1e999"] * 16) + b']}]}'), "malformed"),
    "an error with status 200": (lambda call: call.answer({"error": {"message": "no", "type": "x"}}), "malformed"),
    "endless": (lambda call: (call.head(), [call.piece(b" " * 65536) for _ in range(1000)]), None),
}


@pytest.mark.parametrize("trouble", TROUBLE)
def test_a_request_survives_a_broken_embedder(run, router, trouble):
    script, result = TROUBLE[trouble]
    gateway, _ = arranged(run, router, script)
    answer = gateway.chat(held_out("poems", 1)[0])
    assert answer.status == 200, answer
    assert (answer["x-frugal-expert"], answer["x-frugal-reason"]) == ("sage", "embedder_failed")
    metrics = gateway.metrics()
    assert metrics.value("frugal_decisions_total", expert="sage", reason="embedder_failed") == 1
    assert metrics.value("frugal_embeddings_total", expert="embedder") > \
        metrics.value("frugal_embeddings_total", expert="embedder", result="ok")
    if result:
        # A kept connection that ends without a byte is made up for by one more call, which counts as well.
        calls = metrics.value("frugal_embeddings_total", expert="embedder", result=result)
        assert calls in ((1, 2) if result == "cut" else (1,))


def test_an_embedder_that_cannot_be_reached_costs_only_the_evidence(run, router):
    gateway, _ = arranged(run, router, url="http://127.0.0.1:1/v1")
    answer = gateway.chat(held_out("poems", 1)[0])
    assert (answer.status, answer["x-frugal-expert"], answer["x-frugal-reason"]) == (200, "sage", "embedder_failed")


def test_evidence_that_comes_after_the_decisions_deadline_is_not_waited_for(run, router):
    far = {"connect": 30_000, "first_byte": 30_000, "idle": 30_000, "total": 60_000}
    gateway, _ = arranged(run, router, scripts.silent, {"decision_deadline_ms": int(200 * SLOW)}, far)
    answer = gateway.chat(held_out("poems", 1)[0])
    assert (answer.status, answer["x-frugal-expert"], answer["x-frugal-reason"]) == (200, "sage", "decision_timeout")
    assert gateway.metrics().value("frugal_decisions_total", reason="decision_timeout") == 1


def test_an_embedder_that_recovers_is_used_again(run, router):
    gateway, switch = arranged(run, router, scripts.refuse(500))
    assert gateway.chat(held_out("poems", 1)[0])["x-frugal-reason"] == "embedder_failed"
    switch.script = router.embeddings
    assert gateway.chat(held_out("poems", 1)[0])["x-frugal-expert"] == "poet"


def test_streams_survive_a_broken_embedder_too(run, router):
    gateway, _ = arranged(run, router, scripts.cut)
    with gateway.stream(held_out("poems", 1)[0]) as stream:
        assert (stream["x-frugal-expert"], stream["x-frugal-reason"]) == ("sage", "embedder_failed")
        assert stream.text() == "by sage"


def test_another_models_vectors_are_refused_loudly(run, router):
    foreign = run.expert(embeddings=scripts.embed(lambda text: scripts.hashed_vector(text[::-1], router.dim)))
    experts = {name: expert(run.expert(scripts.answer()), price=PRICES[name]) for name in PRICES}
    experts["embedder"] = expert(foreign, generator=False, embedding=embedding(dim=router.dim))
    gateway = run.gateway(router.config(experts, "remote"))
    assert gateway.wait_probed()["state"] == "mismatch"
    answer = gateway.chat(held_out("poems", 1)[0])
    assert (answer.status, answer["x-frugal-expert"], answer["x-frugal-reason"]) == (200, "sage", "embedder_failed")
    ready = gateway.get("/readyz")
    assert ready.status == 200
    assert "embedder" in json.dumps(ready.json()["degraded"])


def test_an_embedder_named_in_the_configuration_but_not_in_the_bundle_is_never_asked(run, router):
    stranger = run.expert(embeddings=router.embeddings)
    experts = {name: expert(run.expert(scripts.answer()), price=PRICES[name]) for name in PRICES}
    experts["stranger"] = expert(stranger, generator=False, embedding=embedding(dim=router.dim))
    gateway = run.gateway(router.config(experts, "lexical", embedders=["lexical", "stranger"]))
    assert gateway.chat(held_out("poems", 1)[0])["x-frugal-expert"] == "poet"
    assert stranger.calls("/embeddings") == []
    assert "stranger" in gateway.log.text()


def test_an_expert_may_be_both_embedder_and_generator(run, router):
    both = run.expert(scripts.answer("by poet"), router.embeddings)
    experts = {"mathy": expert(run.expert(scripts.answer()), price=PRICES["mathy"]),
               "poet": expert(both, price=PRICES["poet"]),
               "embedder": expert(both, price=PRICES["mathy"], embedding=embedding(dim=router.dim))}
    gateway = run.gateway(router.config(experts, "remote"))
    answer = gateway.chat(held_out("poems", 1)[0])
    assert (answer["x-frugal-expert"], answer["x-frugal-queried"]) == ("poet", "embedder")
    assert gateway.chat(model="embedder")["x-frugal-expert"] == "embedder"
