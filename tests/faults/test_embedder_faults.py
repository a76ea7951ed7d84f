"""Whatever the embedder does wrong: each client gets its answer, chosen by what evidence is left or from the default expert, inside its
deadline; spend stays under the ceiling; and afterwards nothing is left behind.

`make faults` asks FAULT_ROUNDS times (10), `make check` twice.
"""

import concurrent.futures
import contextlib
import json
import time

import pytest

from evils import EVILS
from harness import SLOW, Expert, Gateway, Ledger, embedding, eventually, expert, scripts
from harness.routers import PRICES, Switch, held_out
from test_faults import DEADLINE_MS, LIMIT_MS, ROUNDS, TIMEOUTS

CEILING_USD = "0.1"  # the dearest expert fits
AT_ONCE = 4  # of whole answers, and of streams
# What was under way when its embedder failed may have been decided in time or not; without any evidence it is the default expert's.
BLIND = {("sage", "embedder_failed"), ("sage", "decision_timeout")}


def numbers(*text):
    return lambda call: call.answer(b'{"object":"list","data":[{"index":0,"embedding":[' + b",".join(text) + b"]}]}")


def stalls(call):
    call.head(length=4000)
    call.piece(b'{"object":"list","data":[{"index":0,"embedding":[')
    call.stall()


def cut(call):
    call.head(length=4000)
    call.piece(b'{"object":"list","data":[{"index":0,"embedding":[1.0,')
    call.cut()


def huge(call):
    call.head()
    call.keep = False
    with contextlib.suppress(OSError):
        for _ in range(4000):  # a quarter of a gigabyte, which nobody reads to its end
            call.piece(b" " * 65536)


SCRIPTS = {
    "status 500": scripts.refuse(500), "429 with Retry-After": scripts.refuse(429, headers={"Retry-After": "7"}),
    "429 without Retry-After": scripts.refuse(429), "silent": scripts.silent, "stalls": stalls, "cut": cut, "huge answer": huge,
    "wrong dimension": numbers(*[b"0.5"] * 15), "NaN": numbers(*[b"NaN"] * 16), "infinity": numbers(*[b"1e999"] * 16),
    "zero": numbers(*[b"0"] * 16),
}
PLACES = ["connect refused", "black hole", "TLS error", "DNS failure"]


class World:
    """An embedder that does wrong after it was probed (a place that does so from the beginning), and three good generators."""

    def __init__(self, evil, bundle, router, store, stack):
        switch = Switch(router.embeddings)
        place = EVILS[evil].open() if evil in PLACES else Expert(embeddings=switch)
        experts = {name: expert(stack.enter_context(Expert(scripts.answer(f"by {name}"))), price=PRICES[name]) for name in PRICES}
        experts["embedder"] = expert(stack.enter_context(place), generator=False, timeouts_ms=TIMEOUTS,
                                     embedding=embedding(dim=router.dim, price=0.1))
        embedders = ["lexical", "embedder"] if bundle == "both" else ["embedder"]
        whole = router.config(experts, bundle, embedders, store=str(store), policies={
            "auto": {"value_usd": 0.02, "default": "sage", "max_output_tokens": 20, "decision_deadline_ms": 2 * LIMIT_MS}})
        self.gateway, self.store = stack.enter_context(Gateway(whole)), store
        if evil not in PLACES:
            self.gateway.wait_probed()
            switch.script = SCRIPTS[evil]

    def ask(self, text, stream):
        began = time.monotonic()
        headers = {"x-frugal-deadline-ms": str(DEADLINE_MS), "x-frugal-budget-usd": CEILING_USD}
        if not stream:
            answer = self.gateway.chat(text, headers=headers)
            said = answer.json()["choices"][0]["message"]["content"] if answer.status == 200 else answer
        else:
            answer = self.gateway.stream(text, headers=headers)
            with answer:
                events = list(answer)
            assert answer.done and not answer.cut, answer
            chunks = [json.loads(event) for event in events if event != "[DONE]"]
            said = "".join(choice["delta"].get("content") or "" for chunk in chunks for choice in chunk.get("choices", []))
        assert answer.status == 200, answer
        assert said == f"by {answer['x-frugal-expert']}", said
        return answer["x-frugal-expert"], answer["x-frugal-reason"], time.monotonic() - began

    def judge_books(self, n):
        lines = eventually(lambda: (lambda found: found if len(found) == n else None)(
            [line for line in self.gateway.log.lines(event="request") if line["path"] == "/v1/chat/completions"]), f"{n} lines")
        for line in lines:
            assert line["attempts"] == "1", line
            assert float(line.get("bound_usd", line["cost_usd"])) <= float(CEILING_USD), line
        ledger = Ledger(self.store)
        eventually(lambda: ledger.value("SELECT count(*) FROM decisions WHERE state = 'settled'") == n, "the ledger is written")
        ledger.is_consistent()
        assert ledger.value("SELECT count(*) FROM charges WHERE fate = 'open'") == 0

    def still(self):
        names = ("frugal_requests_in_flight", "frugal_expert_in_flight", "frugal_reservations", "frugal_reserved_usd")
        eventually(lambda: all(self.gateway.metrics().value(name) == 0 for name in names), "something is left", seconds=30 * SLOW)


@pytest.mark.parametrize("bundle", ["remote", "both"])
@pytest.mark.parametrize("evil", [*SCRIPTS, *PLACES])
def test_an_embedder_that_does_wrong_costs_the_evidence_and_no_client_its_answer(router, evil, bundle, tmp_path):
    with contextlib.ExitStack() as stack:
        pool = stack.enter_context(concurrent.futures.ThreadPoolExecutor(2 * AT_ONCE))
        world = World(evil, bundle, router, tmp_path / "frugal.db", stack)
        files = []
        for round in range(ROUNDS):
            texts = held_out("poems", AT_ONCE, seed=round)
            asked = [pool.submit(world.ask, text, stream) for text in texts for stream in (False, True)]
            for name, reason, seconds in (one.result() for one in asked):
                assert seconds < DEADLINE_MS / 1000 * (1.1 if ROUNDS > 2 else 4), f"{evil}: {seconds:.1f} s"
                if bundle == "remote":
                    assert (name, reason) in BLIND
                else:  # the built-in embedder tells poems from sums as well
                    assert (name, reason) == ("poet", "routed")
            world.still()
            files.append(world.gateway.open_files())
        world.judge_books(ROUNDS * 2 * AT_ONCE)
        assert files[-1] - files[0] <= 4 * AT_ONCE, files
