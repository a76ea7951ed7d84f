"""An expert that is down is left alone, tried by one call, and comes back slowly; one that is busy is only left in peace."""

import json
import threading

import pytest

from harness import Gate, Ledger, SLOW, config, embedding, eventually, expert, frugalctl, scripts
from harness.routers import PRICES, Switch, held_out

NOWHERE = "http://127.0.0.1:9/v1"
SOON = {"failures": 3, "open_ms": int(300 * SLOW), "open_max_ms": int(300 * SLOW), "slow_start_ms": 0}
LATE = {"failures": 3, "open_ms": 3_600_000, "open_max_ms": 3_600_000}


def pair(run, first, health, second=None, **more):
    """The default expert `first` with that health, and `second` to fall back on; gives the gateway and both upstreams."""
    one, two = run.expert(first), run.expert(second or scripts.answer("from the second"))
    gateway = run.gateway(config({"first": expert(one, health=health, **more), "second": expert(two)},
                                 store="frugal.db"))
    return gateway, one, two


def states(gateway, name):
    experts = {entry["expert"]: entry for entry in gateway.get("/admin/experts", admin=True).json()["experts"]}
    return [endpoint["state"] for endpoint in experts[name]["endpoints"]]


def excluded(gateway, answer):
    record = gateway.get("/v1/decisions/" + answer["x-frugal-decision-id"]).json()
    return {entry["expert"]: entry["why"] for entry in record["excluded"]}


def test_after_so_many_failures_in_a_row_an_expert_is_not_asked_any_more(run):
    gateway, first, second = pair(run, scripts.refuse(500), LATE)
    answers = [gateway.chat() for _ in range(8)]
    assert {(answer.status, answer["x-frugal-expert"], answer["x-frugal-reason"]) for answer in answers} == \
        {(200, "second", "failover")}
    assert (first.asked, second.asked) == (3, 8)
    assert states(gateway, "first") == ["down"]
    line = gateway.log.wait(event="expert_health", expert="first", state="down")
    assert line["level"] == "warn" and line["why"] == "failed"
    assert excluded(gateway, answers[-1]) == {"first": "down"}
    assert gateway.get("/readyz").json()["degraded"] == ["expert 'first': down"]
    metrics = gateway.metrics()
    assert metrics.value("frugal_expert_opened_total", expert="first") == 1
    assert metrics.value("frugal_expert_state", expert="first", state="down") == 1
    assert metrics.value("frugal_expert_state", expert="second", state="ready") == 1


def test_too_large_a_share_of_failures_takes_an_expert_out(run):
    switch = Switch(scripts.answer())
    gateway, first, _ = pair(run, switch, {**LATE, "failures": 0, "share_percent": 40, "share_calls": 10,
                                           "window_ms": 600_000})
    for n in range(20):
        switch.script = scripts.refuse(500) if n % 2 else scripts.answer()
        gateway.chat()
    assert first.asked == 10
    assert states(gateway, "first") == ["down"]


def test_one_call_tries_an_expert_that_was_down(run):
    gate = Gate()

    def late(call):
        call.wait(gate)
        scripts.answer("back")(call)

    switch = Switch(scripts.refuse(500))
    gateway, first, second = pair(run, switch, {**SOON, "open_ms": int(1000 * SLOW), "open_max_ms": int(1000 * SLOW)})
    for _ in range(3):
        gateway.chat()
    switch.script = late
    trial = eventually(lambda: _tried(gateway, first), "a trial")
    others = [gateway.chat() for _ in range(5)]
    assert {answer["x-frugal-expert"] for answer in others} == {"second"}
    assert first.asked == 4
    gate.open()
    assert trial.result()["x-frugal-expert"] == "first"
    assert states(gateway, "first") == ["ready"]
    gateway.log.wait(event="expert_health", expert="first", state="up")
    assert gateway.chat()["x-frugal-expert"] == "first"
    assert gateway.metrics().value("frugal_expert_trials_total", expert="first") == 1


class _Asking(threading.Thread):
    def __init__(self, gateway):
        super().__init__(daemon=True)
        self._gateway = gateway
        self.start()

    def run(self):
        self.answer = self._gateway.chat()

    def result(self):
        self.join()
        return self.answer


def _tried(gateway, upstream):
    """Asks once; the thread that asks, if that was the trial."""
    before = upstream.asked
    asking = _Asking(gateway)
    eventually(lambda: upstream.asked > before or not asking.is_alive(), "a call")
    return asking if upstream.asked > before else None


def test_a_trial_that_fails_costs_the_client_nothing(run):
    gateway, first, _ = pair(run, scripts.refuse(500), SOON)
    seen = []

    def tried_three_times():
        seen.append(gateway.chat())
        return first.asked >= 6

    eventually(tried_three_times, "three trials")
    assert {(answer.status, answer["x-frugal-expert"]) for answer in seen} == {(200, "second")}
    assert gateway.metrics().value("frugal_expert_opened_total", expert="first") == 1


def test_a_stream_with_content_passes_the_trial_before_it_ends(run):
    gate = Gate()

    def endless(call):
        call.head(stream=True)
        call.chunk("word ")
        call.wait(gate)
        call.done()

    switch = Switch(scripts.refuse(500))
    gateway, first, _ = pair(run, switch, SOON)
    for _ in range(3):
        gateway.chat()
    switch.script = endless

    def streamed():
        stream = gateway.stream()
        if stream["x-frugal-expert"] == "first":
            return stream
        list(stream)
        stream.close()

    stream = eventually(streamed, "a stream of the first")
    assert states(gateway, "first") == ["ready"]
    gate.open()
    list(stream)
    stream.close()


def test_an_expert_that_is_back_gets_a_growing_share(run):
    switch = Switch(scripts.refuse(500))
    gateway, first, second = pair(run, switch, {**SOON, "slow_start_ms": 3_600_000})
    for _ in range(3):
        gateway.chat()
    switch.script = scripts.answer("back")
    eventually(lambda: gateway.chat()["x-frugal-expert"] == "first", "an answer of the first")
    assert states(gateway, "first") == ["slow_start"]
    answers = [gateway.chat() for _ in range(30)]
    by_first = [answer for answer in answers if answer["x-frugal-expert"] == "first"]
    assert len(by_first) == 3
    spared = next(answer for answer in answers if answer["x-frugal-expert"] == "second")
    assert excluded(gateway, spared) == {"first": "slow_start"}


def test_in_slow_start_an_expert_is_asked_if_nobody_else_is_left(run):
    switch = Switch(scripts.refuse(500))
    gateway = run.gateway(config({"only": expert(run.expert(switch), health={**SOON, "slow_start_ms": 3_600_000})},
                                 limits={"attempts_again": 0}))
    for _ in range(3):
        gateway.chat()
    switch.script = scripts.answer("back")
    eventually(lambda: gateway.chat().status == 200, "an answer")
    assert states(gateway, "only") == ["slow_start"]
    assert {gateway.chat().status for _ in range(12)} == {200}


def test_429_is_no_failure_and_its_retry_after_is_honoured(run):
    gateway, first, _ = pair(run, scripts.refuse(429, headers={"Retry-After": "600"}), LATE)
    answers = [gateway.chat() for _ in range(6)]
    assert {answer["x-frugal-expert"] for answer in answers} == {"second"}
    assert first.asked == 1
    assert states(gateway, "first") == ["limited"]
    assert excluded(gateway, answers[-1]) == {"first": "limited"}
    assert gateway.get("/readyz").json()["degraded"] == []
    assert gateway.log.wait(event="expert_health", expert="first")["state"] == "limited"
    metrics = gateway.metrics()
    assert metrics.value("frugal_expert_limited_total", expert="first") == 1
    assert metrics.value("frugal_expert_opened_total") == 0


def test_a_429_without_a_time_keeps_nobody_away(run):
    gateway, first, _ = pair(run, scripts.refuse(429), LATE)
    for _ in range(6):
        assert gateway.chat()["x-frugal-expert"] == "second"
    assert first.asked == 6
    assert states(gateway, "first") == ["ready"]


def test_when_its_time_is_over_a_limited_expert_is_asked_again(run):
    switch = Switch(scripts.refuse(429, headers={"retry-after-ms": str(int(300 * SLOW))}))
    gateway, first, _ = pair(run, switch, LATE)
    assert gateway.chat()["x-frugal-expert"] == "second"
    switch.script = scripts.answer("from the first")
    eventually(lambda: gateway.chat()["x-frugal-expert"] == "first", "an answer of the first")
    assert states(gateway, "first") == ["ready"]


def test_when_everybody_is_down_the_client_hears_when_to_come_back(run):
    only = run.expert(scripts.refuse(500))
    gateway = run.gateway(config({"only": expert(only, health={**LATE, "open_ms": 60_000, "open_max_ms": 60_000})}))
    for _ in range(3):
        assert gateway.chat().status == 502
    answer = gateway.chat()
    assert (answer.status, answer.error["code"]) == (503, "expert_busy")
    assert 1 <= int(answer["Retry-After"]) <= 75
    assert only.asked == 3
    assert gateway.log.wait(event="request", status="503")["cost_usd"] == "0"


def test_when_everybody_is_limited_the_client_hears_when_to_come_back(run):
    gateway = run.gateway(run.expert(scripts.refuse(429, headers={"Retry-After": "77"})))
    assert gateway.chat()["Retry-After"] == "77"
    answer = gateway.chat()
    assert answer.status == 503 and 70 <= int(answer["Retry-After"]) <= 77


CLIENTS_DOING = {
    "400": scripts.refuse(400, kind="invalid_request_error"), "403": scripts.refuse(403),
    "404": scripts.refuse(404), "413": scripts.refuse(413), "422": scripts.refuse(422),
    "a filter in an answer": lambda call: call.answer({"error": {"message": "filtered", "code": 403}}),
    "too long an answer": lambda call: call.answer(scripts.completion("a" * 5000)),
}


# A tenth of the first open time after it was found to be down, somebody who has nobody else may try it.
EARLY = {"failures": 3, "open_ms": int(10_000 * SLOW), "open_max_ms": int(10_000 * SLOW), "slow_start_ms": 0}
PATIENT = {"attempts_again": 0, "backoff_ms": 50, "backoff_max_ms": int(60_000 * SLOW)}


def down(run, **limits):
    """The only expert, and it is down; gives the gateway, the expert and the switch of what it does next."""
    switch = Switch(scripts.refuse(500))
    only = run.expert(switch)
    gateway = run.gateway(config({"only": expert(only, health=EARLY)}, limits={**PATIENT, **limits}, store="frugal.db"))
    for _ in range(3):
        assert gateway.chat().status == 502
    assert states(gateway, "only") == ["down"]
    return gateway, only, switch


def _failing_after(gate):
    def failing(call):
        call.wait(gate)
        scripts.refuse(500)(call)
    return failing


def test_with_nobody_else_left_an_expert_that_is_down_is_tried_before_its_time(run):
    gateway, only, switch = down(run)
    switch.script = scripts.answer("back")
    answer = gateway.chat()
    assert answer.status == 200 and answer["x-frugal-reason"] == "failover"
    assert states(gateway, "only") == ["ready"]
    assert only.asked == 4
    assert float(gateway.log.wait(event="request", status="200")["total_ms"]) < 7500 * SLOW
    assert gateway.metrics().value("frugal_expert_trials_total", expert="only") == 1


def test_while_one_request_tries_it_the_others_wait(run):
    gateway, only, switch = down(run)
    gate, held = Gate(), []

    def late(call):
        held.append(call)
        call.wait(gate)
        scripts.answer("back")(call)

    switch.script = late
    asking = [_Asking(gateway) for _ in range(6)]
    eventually(lambda: len(held) == 1 and gateway.metrics().value("frugal_requests_in_flight") == 6, "the trial")
    # All of them have looked several times since; none was let through beside the trial.
    assert gateway.get("/readyz").status == 200 and len(held) == 1
    gate.open()
    assert [one.result().status for one in asking] == [200] * 6
    assert gateway.metrics().value("frugal_expert_trials_total", expert="only") == 1
    Ledger(gateway.folder / "frugal.db").is_consistent()


def test_who_waited_for_a_trial_that_failed_hears_it_at_once(run):
    gateway, only, switch = down(run)
    gate = Gate()
    switch.script = _failing_after(gate)
    asking = [_Asking(gateway) for _ in range(4)]
    eventually(lambda: only.asked == 4 and gateway.metrics().value("frugal_requests_in_flight") == 4, "the trial")
    gate.open()
    answers = [one.result() for one in asking]
    assert sorted(answer.status for answer in answers) == [502, 503, 503, 503]
    assert all(1 <= int(answer["Retry-After"]) <= 13 * SLOW for answer in answers if answer.status == 503)
    assert only.asked == 4
    assert gateway.metrics().value("frugal_reservations") == 0


def test_nobody_waits_for_a_trial_beyond_the_deadline(run):
    gateway, only, switch = down(run)
    gate = Gate()
    switch.script = _failing_after(gate)
    trying = _Asking(gateway)
    eventually(lambda: only.asked == 4, "the trial")
    answer = gateway.chat(headers={"x-frugal-deadline-ms": "500"})
    assert answer.status in (503, 504) and only.asked == 4
    gate.open()
    assert trying.result().status == 502


def test_after_a_failure_an_expert_that_is_down_is_the_last_resort(run):
    switch, other = Switch(scripts.refuse(500)), Switch(scripts.answer("from the second"))
    gateway = run.gateway(config({"first": expert(run.expert(switch), health=EARLY), "second": expert(run.expert(other))},
                                 limits=PATIENT))
    for _ in range(3):
        assert gateway.chat()["x-frugal-expert"] == "second"
    switch.script = scripts.answer("back")
    other.script = scripts.refuse(503)
    answer = gateway.chat()
    assert (answer.status, answer["x-frugal-expert"], answer["x-frugal-reason"]) == (200, "first", "failover")


def test_a_limit_that_ends_soon_is_waited_for(run):
    only = run.expert([scripts.refuse(429, headers={"retry-after-ms": str(int(500 * SLOW))}), scripts.answer()])
    gateway = run.gateway(config({"only": expert(only)}, limits=PATIENT))
    assert gateway.chat().status == 503
    assert gateway.chat().status == 200


def test_an_error_event_of_a_filter_takes_nobody_out(run):
    def filtered(call):
        call.head(stream=True)
        call.event({"error": {"message": "filtered", "code": "403"}})
        call.end()

    only = run.expert(filtered)
    gateway = run.gateway(config({"only": expert(only, health=LATE)}, resend="never"))
    for _ in range(8):
        with gateway.stream() as stream:
            assert stream.status >= 400
    assert only.asked == 8
    assert states(gateway, "only") == ["ready"]


@pytest.mark.parametrize("doing", CLIENTS_DOING)
def test_no_client_can_have_an_expert_taken_out(run, doing):
    only = run.expert(CLIENTS_DOING[doing])
    gateway = run.gateway(config({"only": expert(only, health=LATE)}, limits={"answer_bytes": 4096}))
    for _ in range(8):
        gateway.chat()
    assert only.asked == 8
    assert states(gateway, "only") == ["ready"]


def test_a_clients_short_deadline_takes_nobody_out(run):
    only = run.expert(scripts.silent)
    gateway = run.gateway(config({"only": expert(only, health=LATE)}))
    for _ in range(5):
        assert gateway.chat(headers={"x-frugal-deadline-ms": "30"}).status == 504
    assert states(gateway, "only") == ["ready"]


def test_a_refused_key_takes_an_expert_out(run):
    gateway, first, _ = pair(run, scripts.refuse(401), LATE)
    for _ in range(6):
        assert gateway.chat()["x-frugal-expert"] == "second"
    assert first.asked == 3


def test_health_outlives_a_reload(run):
    gateway, first, _ = pair(run, scripts.refuse(500), LATE)
    for _ in range(3):
        gateway.chat()
    gateway.reload()
    gateway.log.wait(event="reloaded")
    for _ in range(3):
        assert gateway.chat()["x-frugal-expert"] == "second"
    assert first.asked == 3
    assert states(gateway, "first") == ["down"]


def test_of_two_endpoints_one_dead_no_client_notices(run):
    alive = run.expert(scripts.answer("alive"))
    entry = expert(NOWHERE, health=SOON)
    entry["endpoints"] = [NOWHERE, alive.url]
    gateway = run.gateway(config({"small": entry}, limits={"attempts": 2}))
    assert {gateway.chat().status for _ in range(40)} == {200}
    assert alive.asked == 40
    metrics = gateway.metrics()
    assert metrics.value("frugal_failovers_total") == 0
    assert metrics.value("frugal_attempts_total", result="connect") < 40
    assert gateway.get("/readyz").json()["degraded"] == ["expert 'small': 1 of 2 endpoints down"]


def test_the_endpoint_with_fewer_calls_is_taken(run):
    gate = Gate()

    def held(call):
        call.wait(gate)
        scripts.answer("held")(call)

    slow, quick = run.expert(held), run.expert(scripts.answer("quick"))
    entry = expert(NOWHERE)
    entry["endpoints"] = [slow.url, quick.url]
    gateway = run.gateway(config({"small": entry}))
    waiting = gateway.start()
    slow.call(1)
    for _ in range(6):
        assert gateway.chat().status == 200
    assert (slow.asked, quick.asked) == (1, 6)
    gate.open()
    waiting.close()


def test_a_limit_of_one_endpoint_is_made_good_by_another(run):
    busy = run.expert(scripts.refuse(429, headers={"Retry-After": "600"}))
    free = run.expert(scripts.answer("free"))
    entry = expert(NOWHERE)
    entry["endpoints"] = [busy.url, free.url]
    gateway = run.gateway(config({"small": entry}))
    assert {gateway.chat().status for _ in range(6)} == {200}
    assert (busy.asked, free.asked) == (1, 6)


# -- once more --------------------------------------------------------------------------------------------------------


def test_an_expert_without_a_successor_is_asked_again_after_a_pause(run):
    only = run.expert([scripts.refuse(503), scripts.answer("second thoughts")])
    gateway = run.gateway(only)
    answer = gateway.chat()
    assert answer.status == 200 and answer.json()["choices"][0]["message"]["content"] == "second thoughts"
    assert gateway.log.wait(event="request")["attempts"] == "2"


def test_all_attempts_of_a_request_have_one_bound(run):
    experts = {f"expert{n}": run.expert(scripts.refuse(503)) for n in range(3)}
    gateway = run.gateway(config({name: expert(upstream, health={"failures": 0}) for name, upstream in experts.items()},
                                 limits={"attempts": 5, "attempts_again": 9, "backoff_ms": 1}))
    assert gateway.chat().status == 502
    assert sum(upstream.asked for upstream in experts.values()) == 5


def test_the_pause_ends_with_the_deadline(run):
    only = run.expert(scripts.refuse(503))
    gateway = run.gateway(config({"only": expert(only)}, limits={"backoff_ms": 60_000, "backoff_max_ms": 600_000}))
    answer = gateway.chat(headers={"x-frugal-deadline-ms": "3000"})
    assert answer.status == 502 and only.asked == 1


def test_a_client_that_leaves_in_the_pause_is_settled(run):
    only = run.expert(scripts.refuse(503))
    gateway = run.gateway(config({"only": expert(only)}, limits={"backoff_ms": 60_000, "backoff_max_ms": 600_000}))
    wire = gateway.start()
    only.call(1).wait_ended()
    gateway.log.wait(event="attempt_failed")
    wire.close()
    assert gateway.log.wait(event="request")["result"] == "client_gone"
    assert gateway.metrics().value("frugal_reservations") == 0


@pytest.mark.parametrize("resend, asked", [("never", (1, 0)), ("elsewhere", (1, 1)), ("anywhere", (2, 1))])
def test_a_request_of_unknown_fate_is_sent_again_as_the_operator_wants(run, resend, asked):
    first, second = run.expert(scripts.refuse(500)), run.expert(scripts.refuse(400, kind="invalid_request_error"))
    if resend == "anywhere":
        second = run.expert(scripts.refuse(500))
    gateway = run.gateway(config({"first": expert(first), "second": expert(second)}, resend=resend))
    assert gateway.chat().status >= 400
    assert (first.asked, second.asked) == asked


def test_what_was_surely_not_carried_out_is_sent_again_in_any_case(run):
    gateway = run.gateway(config({"bad": expert(NOWHERE), "good": expert(run.expert(scripts.answer()))}, resend="never"))
    assert gateway.chat()["x-frugal-expert"] == "good"


# -- embedders --------------------------------------------------------------------------------------------------------


def with_embedder(run, router, script, embedders, bundle="remote", **entry):
    experts = {name: expert(run.expert(scripts.answer(f"by {name}")), price=PRICES[name]) for name in PRICES}
    experts["embedder"] = expert(script, generator=False, embedding=embedding(dim=router.dim), **entry)
    return run.gateway(router.config(experts, bundle, embedders=embedders, policies={
        "auto": {"value_usd": 0.02, "default": "sage", "max_output_tokens": 1000}}))


def test_an_embedder_that_is_down_is_not_waited_for(run, router):
    switch = Switch(router.embeddings)
    embedder = run.expert(embeddings=switch)
    gateway = with_embedder(run, router, embedder, ["embedder"], health=LATE)
    gateway.wait_probed()
    switch.script = scripts.refuse(500)
    probes = len(embedder.calls("/embeddings"))
    answers = [gateway.chat(held_out("poems", 1)[0]) for _ in range(6)]
    assert {(answer["x-frugal-expert"], answer["x-frugal-reason"]) for answer in answers} == {("sage", "embedder_failed")}
    assert len(embedder.calls("/embeddings")) - probes == 3
    assert gateway.get("/readyz").json()["degraded"] == ["embedder 'embedder': down", "expert 'embedder': down"]


def test_another_endpoint_of_an_embedder_is_asked_for_the_evidence(run, router):
    alive = run.expert(embeddings=router.embeddings)
    gateway = with_embedder(run, router, alive, ["embedder"], endpoints=[alive.url, NOWHERE])
    gateway.wait_probed()
    answers = [gateway.chat(prompt) for prompt in held_out("poems", 6)]
    assert {(answer["x-frugal-expert"], answer["x-frugal-reason"]) for answer in answers} == {("poet", "routed")}


def test_with_an_embedder_down_the_built_in_one_decides(run, router):
    switch = Switch(router.embeddings)
    embedder = run.expert(embeddings=switch)
    gateway = with_embedder(run, router, embedder, ["lexical", "embedder"], bundle="both", health=LATE)
    gateway.wait_probed()
    switch.script = scripts.refuse(500)
    for prompt in held_out("poems", 8):
        answer = gateway.chat(prompt)
        assert (answer["x-frugal-expert"], answer["x-frugal-reason"]) == ("poet", "routed")
        assert answer["x-frugal-queried"] == "lexical"
    switch.script = router.embeddings


# -- kept vectors -----------------------------------------------------------------------------------------------------


def keeping(run, router, script, bytes_kept=1 << 20, **more):
    embedder = run.expert(embeddings=script)
    experts = {name: expert(run.expert(scripts.answer(f"by {name}")), price=PRICES[name]) for name in PRICES}
    experts["embedder"] = expert(embedder, generator=False, embedding=embedding(dim=router.dim, price=0.5))
    gateway = run.gateway(router.config(experts, "remote", limits={"embedding_cache_bytes": bytes_kept}, **more))
    gateway.wait_probed()
    return gateway, embedder


def steps(gateway, answer):
    return gateway.get("/v1/decisions/" + answer["x-frugal-decision-id"]).json()


def test_the_vector_of_the_same_text_is_bought_once(run, router):
    gateway, embedder = keeping(run, router, router.embeddings, store="frugal.db")
    prompt, before = held_out("poems", 1)[0], len(embedder.calls("/embeddings"))
    answers = [gateway.chat(prompt) for _ in range(5)]
    assert {answer["x-frugal-expert"] for answer in answers} == {"poet"}
    assert {answer["x-frugal-queried"] for answer in answers} == {"embedder"}
    assert len(embedder.calls("/embeddings")) - before == 1
    bought, kept = steps(gateway, answers[0]), steps(gateway, answers[1])
    assert "cached" not in bought["steps"][0] and float(bought["cost"]["evidence_usd"]) > 0
    assert kept["steps"][0]["cached"] is True and float(kept["cost"]["evidence_usd"]) == 0
    metrics = gateway.metrics()
    assert metrics.value("frugal_embedding_cache_total", expert="embedder", result="hit") == 4
    assert metrics.value("frugal_embedding_cache_total", expert="embedder", result="miss") == 1
    assert 0 < metrics.value("frugal_embedding_cache_bytes") <= 1 << 20


def test_another_text_is_another_vector(run, router):
    gateway, embedder = keeping(run, router, router.embeddings)
    before = len(embedder.calls("/embeddings"))
    for prompt in held_out("poems", 3) + held_out("sums", 3):
        gateway.chat(prompt)
    assert len(embedder.calls("/embeddings")) - before == 6


def test_what_is_kept_serves_while_the_embedder_is_down(run, router):
    switch = Switch(router.embeddings)
    gateway, _ = keeping(run, router, switch)
    prompt = held_out("poems", 1)[0]
    gateway.chat(prompt)
    switch.script = scripts.refuse(500)
    for _ in range(8):
        assert (gateway.chat(prompt)["x-frugal-reason"]) == "routed"
        assert gateway.chat(held_out("poems", 9)[8])["x-frugal-reason"] == "embedder_failed"


def test_without_the_setting_nothing_is_kept(run, router):
    gateway, embedder = keeping(run, router, router.embeddings, bytes_kept=0)
    before = len(embedder.calls("/embeddings"))
    for _ in range(3):
        gateway.chat(held_out("poems", 1)[0])
    assert len(embedder.calls("/embeddings")) - before == 3
    assert gateway.metrics().value("frugal_embedding_cache_total") == 0


# -- checks -----------------------------------------------------------------------------------------------------------


def checked(run, upstream, kind, **more):
    return run.gateway(config({"first": expert(upstream, health={**LATE, "failures": 2},
                                               probe={"kind": kind, "every_ms": 100}, **more),
                               "second": expert(run.expert(scripts.answer("from the second")))}))


@pytest.mark.parametrize("kind", ["tcp", "models"])
def test_a_check_finds_an_expert_down_before_any_client_does(run, kind):
    gateway = checked(run, NOWHERE, kind)
    gateway.log.wait(event="expert_health", expert="first", state="down")
    answer = gateway.chat()
    assert (answer.status, answer["x-frugal-expert"]) == (200, "second")
    metrics = gateway.metrics()
    assert metrics.value("frugal_attempts_total", expert="first") == 0
    assert metrics.value("frugal_expert_checks_total", expert="first", result="connect") >= 2


def test_a_good_check_makes_the_trial_due_and_generates_nothing(run):
    listing = Switch(scripts.refuse(503))
    first = run.expert(scripts.answer("back"), models=listing)
    gateway = checked(run, first, "models")
    gateway.log.wait(event="expert_health", expert="first", state="down")
    assert gateway.chat()["x-frugal-expert"] == "second"
    listing.script = lambda call: call.answer({"object": "list", "data": []})
    eventually(lambda: states(gateway, "first") == ["trial"], "a trial is due")
    assert first.asked == 0
    assert gateway.chat()["x-frugal-expert"] == "first"
    assert states(gateway, "first")[0] in ("ready", "slow_start")
    assert {call.method for call in first.calls("/models")} == {"GET"}


# -- second calls of an embedder ------------------------------------------------------------------------------------------


def hedging(run, router, slow, quick=None, hedge=True):
    """A gateway whose embedder has answered quickly often enough for a percentile; gives it and the switch of the first endpoint."""
    switch = Switch(router.embeddings)
    first = run.expert(embeddings=switch)
    endpoints = [first.url] + ([run.expert(embeddings=quick).url] if quick else [])
    experts = {name: expert(run.expert(scripts.answer(f"by {name}")), price=PRICES[name]) for name in PRICES}
    experts["embedder"] = expert(first, generator=False, endpoints=endpoints, health={"failures": 0, "share_percent": 0},
                                 embedding={**embedding(dim=router.dim, price=0.5), "hedge": hedge})
    gateway = run.gateway(router.config(experts, "remote", store="frugal.db", policies={
        "auto": {"value_usd": 0.02, "default": "sage", "max_output_tokens": 1000, "decision_deadline_ms": int(5000 * SLOW)}}))
    gateway.wait_probed()
    for prompt in held_out("poems", 60):
        assert gateway.chat(prompt)["x-frugal-reason"] == "routed"
    switch.script = slow
    return gateway


def evidence_charges(gateway, answer):
    db = Ledger(gateway.folder / "frugal.db")
    id = answer["x-frugal-decision-id"]
    eventually(lambda: db.value("SELECT count(*) FROM decisions WHERE id = ? AND state = 'settled'", id), "it is settled")
    return [charge for charge in db.charges(id) if charge["kind"] == "embedding"]


def test_a_second_call_of_a_late_embedder_wins_and_both_are_paid(run, router):
    gate = Gate()

    def first_waits(call):
        call.wait(gate)
        router.embeddings(call)

    gateway = hedging(run, router, first_waits, quick=router.embeddings)

    def hedged():
        answer = gateway.chat(held_out("poems", 1)[0])
        assert answer["x-frugal-reason"] == "routed"
        return answer if gateway.metrics().value("frugal_embedding_hedges_won_total", expert="embedder") else None

    answer = eventually(hedged, "a second call that wins")
    charges = evidence_charges(gateway, answer)
    assert [charge["fate"] for charge in charges] == ["unknown", "reported"]
    assert all(charge["bound_pico"] > 0 for charge in charges)
    gate.open()
    metrics = gateway.metrics()
    assert metrics.value("frugal_reservations") == 0 and metrics.value("frugal_expert_in_flight") == 0


def test_without_the_setting_there_is_no_second_call(run, router):
    gate = Gate()

    def waits(call):
        call.wait(gate)
        router.embeddings(call)

    gateway = hedging(run, router, waits, quick=router.embeddings, hedge=False)
    waiting = [gateway.start(prompt) for prompt in held_out("poems", 4)]
    eventually(lambda: gateway.metrics().value("frugal_expert_in_flight", expert="embedder") >= 1, "a call waits")
    gate.open()
    for wire in waiting:
        wire.close()
    assert gateway.metrics().value("frugal_embedding_hedges_total") == 0


def test_a_first_call_that_fails_leaves_the_second_one_to_answer(run, router):
    gate = Gate()

    def fails_late(call):
        call.wait(gate)
        call.cut()

    def opens(call):
        gate.open()
        router.embeddings(call)

    quick = Switch(router.embeddings)
    gateway = hedging(run, router, fails_late, quick=quick)
    quick.script = opens
    for prompt in held_out("poems", 4):
        assert gateway.chat(prompt)["x-frugal-reason"] in ("routed", "embedder_failed")
    eventually(lambda: gateway.metrics().value("frugal_reservations") == 0, "nothing is held")


def test_a_call_in_time_costs_nothing_twice(run, router):
    gateway = hedging(run, router, router.embeddings)
    answer = gateway.chat(held_out("poems", 1)[0])
    charges = evidence_charges(gateway, answer)
    assert [charge["fate"] for charge in charges] in (["reported", "free"], ["reported", "unknown"], ["unknown", "reported"])
    record = gateway.get("/v1/decisions/" + answer["x-frugal-decision-id"]).json()
    assert float(record["cost"]["evidence_usd"]) > 0


# -- for operators ----------------------------------------------------------------------------------------------------


def test_frugalctl_shows_every_endpoint(run):
    gateway, first, _ = pair(run, scripts.refuse(500), LATE)
    for _ in range(3):
        gateway.chat()
    admin = f"http://127.0.0.1:{gateway.admin_port}"
    rows = frugalctl("experts", "--url", admin).out.splitlines()
    assert rows[0].split()[:4] == ["expert", "rows", "endpoint", "state"]
    down = next(row for row in rows if row.split()[:1] == ["first"])
    assert down.split()[1:4] == ["0", first.url, "down"] and "failed" in down
    told = json.loads(frugalctl("experts", "--url", admin.removeprefix("http://"), "--json").out)
    assert [entry["state"] for entry in told["experts"]] == ["down", "ready"]
