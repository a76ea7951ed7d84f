"""kill -9: what was acknowledged is in the ledger, but for a stated bound, and in full durability without one."""

import itertools
import json
import os
import random
import threading
import time

import pytest

from harness import SLOW, Cut, Ledger, Stream, config, embedding, expert, scripts, with_store
from harness.keys import Key, key_file
from harness.routers import PRICES, Switch, held_out
from harness.wire import request_bytes

ROUNDS = int(os.environ.get("FRUGAL_KILLS", "5"))
CLIENTS = 8
COMMIT_MS, QUEUE_ROWS = 20, 64
ANSWER_PICO = 50_000_000  # what the scripted answer costs


@pytest.fixture
def ledger(tmp_path):
    return Ledger(tmp_path / "frugal.db")


class Invoices:
    """The experts' own books: a call is billed as soon as it is answered, whoever hears it."""

    def __init__(self):
        self._lock = threading.Lock()
        self.pico = 0

    def bill(self, pico, script):
        def billed(call):
            with self._lock:
                self.pico += pico
            script(call)

        return billed


class Load:
    """Clients that ask until their gateway is gone; every whole answer is acknowledged, with its time."""

    def __init__(self, gateway, prompts=("hello",)):
        self.gateway = gateway
        self.prompts = itertools.cycle(prompts)
        self.changed = threading.Condition()
        self.acknowledged = {}  # decision -> when its last byte was read
        self.threads = [threading.Thread(target=self._ask, args=(n % 2 == 1,)) for n in range(CLIENTS)]
        for thread in self.threads:
            thread.start()

    def _ask(self, stream):
        while True:
            try:
                id = self._streamed() if stream else self._whole()
            except (OSError, Cut):
                return
            with self.changed:
                if id:
                    self.acknowledged[id] = time.monotonic()
                    self.changed.notify_all()

    def _whole(self):
        answer = self.gateway.chat(next(self.prompts), max_tokens=100)
        assert answer.status == 200, answer
        return answer["x-frugal-decision-id"]

    def _streamed(self):
        with self.gateway.stream(next(self.prompts), max_tokens=100) as stream:
            assert stream.status == 200
            for _ in stream:
                pass
            return stream["x-frugal-decision-id"] if stream.done and not stream.cut else None

    def wait(self, n):
        with self.changed:
            assert self.changed.wait_for(lambda: len(self.acknowledged) >= n, 60 * SLOW)

    def join(self):
        for thread in self.threads:
            thread.join()


def kill_under_load(run, ledger, seed, **settings):
    """Gives what was acknowledged, what the expert billed, and when the gateway died."""
    invoices = Invoices()
    whole = config({"small": expert(run.expert(invoices.bill(ANSWER_PICO, scripts.answer())))})
    gateway = run.gateway(with_store(whole, ledger.store, commit_ms=COMMIT_MS, queue_rows=QUEUE_ROWS, **settings))
    load = Load(gateway)
    load.wait(random.Random(seed).randint(1, 200))
    died = time.monotonic()
    gateway.kill()
    load.join()
    return load.acknowledged, invoices.pico, died


def restarted(run, ledger, **settings):
    """A gateway on the same ledger answers, and is ended well."""
    gateway = run.gateway(with_store(config({"small": expert(run.expert(scripts.answer()))}), ledger.store, **settings))
    before = ledger.spend()
    assert gateway.chat().status == 200
    gateway.stop()
    assert ledger.is_consistent()
    assert ledger.spend() == before + ANSWER_PICO
    return gateway


@pytest.mark.parametrize("seed", range(ROUNDS))
def test_a_kill_takes_no_more_than_the_stated_bound(run, ledger, seed):
    acknowledged, invoiced, died = kill_under_load(run, ledger, seed)
    assert ledger.is_consistent()
    lost = set(acknowledged) - ledger.ids()
    assert len(lost) <= QUEUE_ROWS
    oldest_ms = max((1000 * (died - acknowledged[id]) for id in lost), default=0)
    assert oldest_ms <= COMMIT_MS + 500 * SLOW, f"{len(lost)} lost, the oldest of {oldest_ms:.0f} ms before the kill"
    assert ledger.spend() >= invoiced - (QUEUE_ROWS + CLIENTS) * ANSWER_PICO
    restarted(run, ledger)


@pytest.mark.parametrize("seed", range(ROUNDS))
def test_in_full_durability_a_kill_takes_nothing(run, ledger, seed):
    acknowledged, invoiced, _ = kill_under_load(run, ledger, seed, durability="full")
    assert ledger.value("PRAGMA integrity_check") == "ok"
    assert set(acknowledged) - ledger.ids() == set()
    settled = {row["id"] for row in ledger.rows("SELECT id FROM decisions WHERE state = 'settled'")}
    assert set(acknowledged) - settled == set()
    restarted(run, ledger, durability="full")
    assert ledger.spend() - ANSWER_PICO >= invoiced
    assert ledger.value("SELECT count(*) FROM decisions WHERE state = 'open'") == 0


@pytest.mark.parametrize("seed", range(ROUNDS))
def test_in_full_durability_a_kill_forgets_no_evidence_either(run, router, ledger, seed):
    """Two paid calls a request, of experts with different prices."""
    invoices = Invoices()
    embedder = Switch(router.embeddings)
    experts = {name: expert(run.expert(invoices.bill(round((10 * PRICES[name][0] + 20 * PRICES[name][1]) * 10**6),
                                                     scripts.answer())), price=PRICES[name]) for name in PRICES}
    experts["embedder"] = expert(run.expert(embeddings=embedder), generator=False,
                                 embedding=embedding(dim=router.dim, price=0.01))
    whole = with_store(router.config(experts, "remote"), ledger.store, durability="full")
    gateway = run.gateway(whole)
    gateway.wait_probed()
    embedder.script = invoices.bill(5 * 10_000, router.embeddings)
    load = Load(gateway, held_out("poems", 10) + held_out("sums", 10))
    load.wait(random.Random(seed).randint(1, 100))
    gateway.kill()
    load.join()
    settled = {row["id"] for row in ledger.rows("SELECT id FROM decisions WHERE state = 'settled'")}
    assert set(load.acknowledged) - settled == set()
    embedder.script = router.embeddings  # the next start probes it, for nobody's request
    run.gateway(whole).stop()
    assert ledger.is_consistent()
    assert ledger.value("SELECT count(*) FROM charges WHERE kind = 'embedding'") > 0
    assert ledger.spend() >= invoices.pico


def test_a_reservation_is_on_the_disk_before_the_call_is_made(run, ledger):
    seen = []

    def script(call):
        seen.extend(ledger.rows("SELECT d.state, c.fate, c.bound_pico, c.worst_pico FROM decisions d JOIN charges c"
                                " ON c.decision = d.id"))
        scripts.answer()(call)

    gateway = run.gateway(with_store(config({"small": expert(run.expert(script))}), ledger.store, durability="full"))
    assert gateway.chat(max_tokens=100).status == 200
    (row,) = seen
    assert (row["state"], row["fate"]) == ("open", "open")
    assert row["bound_pico"] == row["worst_pico"] >= 100 * 2_000_000


USER = [{"role": "user", "content": "hello"}]
SURFACES = {  # path, body, what the last event of a stream says
    "chat": ("/v1/chat/completions", {"model": "auto", "messages": USER, "max_tokens": 100}, "[DONE]"),
    "messages": ("/v1/messages", {"model": "auto", "messages": USER, "max_tokens": 100}, "message_stop"),
    "responses": ("/v1/responses", {"model": "auto", "input": "hello", "max_output_tokens": 100}, "response.completed"),
}


def settled_by_then(ledger, id):
    row = ledger.decision(id)
    assert (row["state"], row["status"], row["spent_pico"]) == ("settled", 200, ANSWER_PICO)


@pytest.mark.parametrize("surface", SURFACES)
def test_a_settlement_is_on_the_disk_before_the_last_byte(run, ledger, surface):
    path, body, _ = SURFACES[surface]
    whole = config({"small": expert(run.expert(scripts.answer()))})
    gateway = run.gateway(with_store(whole, ledger.store, durability="full", commit_ms=60000))
    for _ in range(20):
        answer = gateway.post(path, body)
        assert answer.status == 200, answer
        settled_by_then(ledger, answer["x-frugal-decision-id"])


@pytest.mark.parametrize("surface", SURFACES)
def test_a_settlement_is_on_the_disk_before_the_last_event(run, ledger, surface):
    path, body, last = SURFACES[surface]
    whole = config({"small": expert(run.expert(scripts.answer()))})
    gateway = run.gateway(with_store(whole, ledger.store, durability="full", commit_ms=60000))
    for _ in range(20):
        wire = gateway.connect()
        wire.send(request_bytes("POST", path, (), json.dumps({**body, "stream": True}).encode()))
        with Stream(wire) as stream:
            assert any(last in data and settled_by_then(ledger, stream["x-frugal-decision-id"]) is None
                       for data in stream)


def test_a_failure_is_on_the_disk_before_it_is_told(run, ledger):
    whole = config({"small": expert(run.expert(scripts.cut))})
    gateway = run.gateway(with_store(whole, ledger.store, durability="full", commit_ms=60000))
    answer = gateway.chat(max_tokens=100)
    assert answer.status == 502
    row = ledger.rows("SELECT * FROM decisions")[0]
    assert (row["state"], row["status"]) == ("settled", 502)
    assert ledger.charges(row["id"])[0]["fate"] == "unknown"


def test_a_call_under_way_when_the_gateway_dies_is_spent_at_its_worst_case(run, ledger):
    small = run.expert(scripts.silent)
    whole = with_store(config({"small": expert(small)}), ledger.store, durability="full")
    gateway = run.gateway(whole)
    wire = gateway.start(max_tokens=100)
    small.call()
    gateway.kill()
    wire.close()
    assert ledger.spend() == 0
    again = run.gateway(whole)
    assert "1 decisions were open" in again.log.wait(event="store_crashed")["msg"]
    (row,) = ledger.decisions()
    (charge,) = ledger.charges(row["id"])
    assert (row["state"], row["expert"], charge["fate"]) == ("crashed", "small", "crashed")
    assert row["spent_pico"] == charge["worst_pico"] == ledger.spend() >= 100 * 2_000_000


def served(gateway, key, most=100):
    """How many requests the key's budget lets through, one after the other."""
    n = 0
    while n < most:
        answer = gateway.chat(max_tokens=100, headers=key.headers)
        if answer.status == 402:
            return n
        assert answer.status == 200, answer
        n += 1
    return n


@pytest.mark.parametrize("window", ["day_usd", "month_usd", "total_usd"])
def test_a_budget_goes_on_where_it_was_when_the_gateway_died(run, ledger, window):
    key = Key("team", **{window: 0.001})
    whole = config({"small": expert(run.expert(scripts.answer()))}, keys={"file": "keys.json"})
    files = {"keys.json": key_file(key)}
    without_a_crash = served(run.gateway(whole, files=files), key)
    with_store(whole, ledger.store, durability="full")
    gateway = run.gateway(whole, files=files)
    before = served(gateway, key, most=7)
    gateway.kill()
    after = served(run.gateway(whole, files=files), key)
    assert before == 7 and before + after == without_a_crash
    assert ledger.spend() == (before + after) * ANSWER_PICO <= 0.001 * 10**12


def test_what_was_under_way_when_the_gateway_died_is_gone_from_the_budget(run, ledger):
    small = run.expert([scripts.silent, scripts.answer()])
    key = Key("team", total_usd=0.001)
    whole = with_store(config({"small": expert(small)}, keys={"file": "keys.json"}), ledger.store, durability="full")
    gateway = run.gateway(whole, files={"keys.json": key_file(key)})
    wire = gateway.start(max_tokens=300, headers=key.headers)
    small.call()
    gateway.kill()
    wire.close()
    after = served(run.gateway(whole, files={"keys.json": key_file(key)}), key)
    assert after < (1000 - 600) // 50
    assert ledger.spend() <= 0.001 * 10**12


def test_a_drain_writes_what_is_left(run, ledger):
    whole = config({"small": expert(run.expert(scripts.answer()))})
    gateway = run.gateway(with_store(whole, ledger.store, commit_ms=60000, commit_rows=100000))
    ids = {gateway.chat()["x-frugal-decision-id"] for _ in range(30)}
    gateway.stop()
    assert ledger.ids() == ids
