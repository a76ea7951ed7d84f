"""Whatever an expert does wrong, with one of three experts or with all of them, whole or as a stream: each client gets the
answer or one honest error inside its deadline; attempts and money stay in bounds; and afterwards nothing is left behind, no
descriptor, no memory, no reservation, nothing in flight.

`make faults` runs every evil FAULT_ROUNDS times (10), `make check` twice.
"""

import concurrent.futures
import contextlib
import json
import os
import re
import time

import pytest

from evils import EVILS
from harness import SLOW, Expert, Gateway, Ledger, config, eventually, expert, scripts
from harness.wire import Response, Stream

ROUNDS = int(os.environ.get("FAULT_ROUNDS", "2"))
LIMIT_MS = int(1000 * SLOW)      # connect, first byte, idle
DEADLINE_MS = 6 * LIMIT_MS
TIMEOUTS = {"connect": LIMIT_MS, "first_byte": LIMIT_MS, "idle": LIMIT_MS, "total": 4 * LIMIT_MS}
CEILING_USD = "0.01"
ATTEMPTS = 3
AT_ONCE = 3  # of each of the four kinds
KINDS = [(policy, stream) for policy in ("one", "all") for stream in (False, True)]


class World:
    """Three evil experts, two good ones, and two policies: `one` has a single evil expert and prefers it, `all` no other."""

    def __init__(self, evil, store, stack):
        def good():
            return expert(stack.enter_context(Expert(scripts.answer("fine"))), timeouts_ms=TIMEOUTS)
        experts = {f"evil{n}": expert(stack.enter_context(evil.open()), timeouts_ms=TIMEOUTS) for n in (1, 2, 3)}
        experts |= {"good1": good(), "good2": good()}
        tokens = {"value_usd": 0.02, "max_output_tokens": 100}
        whole = config(
            experts, {"one": {**tokens, "default": "evil1", "experts": ["evil1", "good1", "good2"]},
                      "all": {**tokens, "default": "evil1", "experts": ["evil1", "evil2", "evil3"]},
                      "good": {**tokens, "default": "good1", "experts": ["good1", "good2"]}},
            limits={"attempts": ATTEMPTS, "answer_bytes": 1 << 20, "event_bytes": 1 << 16}, store=str(store))
        self.evil, self.store = evil, store
        self.gateway = stack.enter_context(Gateway(whole))

    def ask(self, policy, stream):
        """One request; gives (status, head, what came, seconds)."""
        began = time.monotonic()
        wire = self.gateway.start("to be or not to be", policy, stream=stream, headers={
            "x-frugal-deadline-ms": str(DEADLINE_MS), "x-frugal-budget-usd": CEILING_USD})
        wire.sock.settimeout(10 * DEADLINE_MS / 1000)
        with wire:
            if not stream:
                answer = Response(wire)
                return policy, stream, answer.status, answer, time.monotonic() - began
            answer = Stream(wire)
            if answer.status != 200:
                answer.body = wire.read_body(answer.head, is_answer=True)
                return policy, stream, answer.status, answer, time.monotonic() - began
            answer.events = list(answer)
            return policy, stream, 200, answer, time.monotonic() - began

    def round(self, pool):
        asked = [pool.submit(self.ask, *kind) for kind in KINDS for _ in range(AT_ONCE)]
        return [one.result() for one in asked]

    def still(self):
        """Nothing runs and nothing is held."""
        def look():
            metrics = self.gateway.metrics()
            names = ("frugal_requests_in_flight", "frugal_requests_waiting", "frugal_expert_in_flight", "frugal_reservations",
                     "frugal_reserved_usd", "frugal_body_bytes")
            return not {name: metrics.value(name) for name in names if metrics.value(name) != 0}
        eventually(look, "something is left in flight or reserved", seconds=30 * SLOW)

    def sockets(self):
        """Descriptors without those to clients, once they have come to rest: kept connections to experts may be among them."""
        eventually(lambda: self.gateway.metrics().value("frugal_client_connections") <= 1, "clients are gone")
        return self.gateway.open_files()


def judge_error(evil, answer, where):
    error = json.loads(answer.body)["error"]
    assert answer.status in evil.statuses, f"{where}: {answer.status} {error}"
    assert error["message"] and error["type"], where
    assert answer.head.get("x-frugal-error-source") in ("expert", "gateway"), where
    assert len(re.findall(rb'"error"', answer.body)) == 1, where


def judge_whole(evil, policy, answer, where):
    if policy == "one":
        assert answer.status == 200, f"{where}: {answer}"
        assert json.loads(answer.body)["choices"][0]["message"]["content"] == "fine", where
        assert answer.head["x-frugal-expert"].startswith("good"), where
    else:
        judge_error(evil, answer, where)


def judge_stream(evil, policy, answer, where):
    """Gives whether it broke in the middle."""
    if answer.status != 200:
        # Also where streams break in the middle: experts that did so are left alone for a while.
        assert policy == "all", where
        judge_error(evil, answer, where)
        return False
    chunks = [json.loads(event) for event in answer.events if event != "[DONE]"]
    text = "".join(choice["delta"].get("content") or "" for chunk in chunks for choice in chunk.get("choices", []))
    errors = [chunk for chunk in chunks if "error" in chunk]
    if text == "fine":
        assert policy == "one" and answer.done and not answer.cut and not errors, where
        return False
    # It broke after its first content: what came, one error, and no clean end.
    assert evil.mid and text == "to be", f"{where}: {text!r}"
    assert len(errors) == 1 and chunks[-1] is errors[0] and errors[0]["error"]["message"], where
    assert not answer.done, where
    return True


def judge(world, answers):
    """Gives how many streams broke in the middle."""
    evil, broken = world.evil, 0
    for policy, stream, status, answer, seconds in answers:
        where = f"{evil.name}, {policy}, {'stream' if stream else 'whole'}"
        assert seconds < DEADLINE_MS / 1000 * (1.1 if ROUNDS > 2 else 4), f"{where}: {seconds:.1f} s"
        if stream:
            broken += judge_stream(evil, policy, answer, where)
        else:
            judge_whole(evil, policy, answer, where)
    return broken


def judge_books(world, n):
    def told():
        return [line for line in world.gateway.log.lines(event="request") if line["path"] == "/v1/chat/completions"]
    eventually(lambda: len(told()) == n, f"{n} lines in the log")
    lines = told()
    for line in lines:
        assert 1 <= int(line.get("attempts", 0)) <= ATTEMPTS or line["status"] == "503", line
        assert float(line.get("bound_usd", line["cost_usd"])) <= float(CEILING_USD), line
    ledger = Ledger(world.store)
    eventually(lambda: ledger.value("SELECT count(*) FROM decisions WHERE state = 'settled'") == n, "the ledger is written")
    ledger.is_consistent()
    assert ledger.value("SELECT count(*) FROM charges WHERE fate = 'open'") == 0


@pytest.mark.parametrize("name", EVILS)
def test_the_client_gets_the_answer_or_one_honest_error_and_nothing_is_left_behind(name, tmp_path):
    evil = EVILS[name]
    rounds = ROUNDS if ROUNDS > 2 or not evil.slow else 1
    with contextlib.ExitStack() as stack:
        pool = stack.enter_context(concurrent.futures.ThreadPoolExecutor(len(KINDS) * AT_ONCE))
        world = World(evil, tmp_path / "frugal.db", stack)
        files, resident, broken = [], [], 0
        for _ in range(rounds):
            broken += judge(world, world.round(pool))
            world.still()
            files.append(world.sockets())
            resident.append(world.gateway.resident_bytes())
        assert (broken > 0) == evil.mid
        judge_books(world, rounds * len(KINDS) * AT_ONCE)
        # Kept connections to experts that keep them are all that may be added, and no more than were in use at once.
        assert files[-1] - files[0] <= len(KINDS) * AT_ONCE, files
        assert resident[-1] - resident[0] < 8 << 20 or SLOW > 1, resident
        if ROUNDS > 2:
            print(f"{name}: {rounds * len(KINDS) * AT_ONCE} requests, files {files[0]} to {files[-1]}, resident "
                  f"{resident[0] >> 10} to {resident[-1] >> 10} KiB")


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_a_deadline_ends_whatever_hangs_and_is_said(stream, tmp_path):
    """All experts are silent, and their own limits are far away."""
    with contextlib.ExitStack() as stack:
        world = World(EVILS["slow first byte"], tmp_path / "frugal.db", stack)
        began = time.monotonic()
        answer = world.gateway.chat(model="all", stream=stream, headers={"x-frugal-deadline-ms": "300"})
        took = time.monotonic() - began
        assert (answer.status, answer.error["code"]) == (504, "deadline_exceeded")
        assert took < 3 * SLOW
        world.still()
