"""Everything at once: experts are killed and started again at random, the configuration is reloaded every second, the daemon
drains and starts again behind its manager's socket, under a steady 500 requests per second.

What must hold: no connection is refused and no request is left without an answer; no stream is cut but those whose expert died
while it spoke; and at the end the ledger is what the experts' own invoices say.

`make chaos` goes on for CHAOS_SECONDS (600); `make check` has a few seconds of it. CHAOS_SEED is the run's own number.
"""

import collections
import contextlib
import json
import os
import random
import subprocess
import threading
import time
import urllib.request

from harness import BUILD, SLOW, Gateway, Ledger, config, eventually, expert
from harness.gateway import sanitizer_environment
from harness.manager import Manager, listening
from harness.openloop import OpenLoop, percentile
from harness.wire import request_bytes

SECONDS = float(os.environ.get("CHAOS_SECONDS", "0"))
SHORT = SECONDS == 0
SEED = int(os.environ.get("CHAOS_SEED", "1"))
RATE = float(os.environ.get("CHAOS_RATE", "60" if SHORT else "500"))
RESTART_S = min(15.0, (SECONDS or 10) / 3)
KILL_S = 1.5      # from one kill to the next
DEAD_S = 0.4      # until the killed one is back
ASK_S = 1.0       # invoices are fetched that often
EXPERTS = {"one": 2_000_000, "two": 3_000_000, "three": 5_000_000}  # pico-USD a token, in and out
TOKENS = "delay_ms=20,chunks=6,chunk_ms=10"


class Mortal:
    """An expert in a process of its own, always on the same port. What it billed is fetched while it lives: what was billed
    between the last question and its death is lost with it."""

    def __init__(self, folder):
        self.folder, self.port, self.process = folder, 0, None
        self.kills = []            # (time of the last question before it, time of death)
        self.bills = collections.defaultdict(list)
        self._lock = threading.Lock()
        self.start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}/v1"

    def start(self):
        with self._lock:  # nobody asks the new one for what follows the old one's last invoice
            self.process = subprocess.Popen(
                [str(BUILD / "frugal-experts"), "serve", "--listen", f"127.0.0.1:{self.port}", "--invoices", "1"],
                stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env={**os.environ, **sanitizer_environment(self.folder)})
            said = self.process.stdout.readline().decode()
            assert said.startswith("listening on "), said
            self.port = int(said.rsplit(":", 1)[1])
            self._after = 0

    def fetch(self):
        """What was billed since; gives when it was asked."""
        with self._lock:
            asked = time.monotonic()
            while True:
                with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/invoices?after={self._after}", timeout=30) as answer:
                    page = json.load(answer)
                assert page["lost"] == 0
                for bill in page["invoices"]:
                    self.bills[bill["id"]].append(bill)
                if page["next"] == self._after:
                    return asked
                self._after = page["next"]

    def kill(self):
        asked = self.fetch()
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()
        self.kills.append((asked, time.monotonic()))

    def end(self):
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait()


class Trouble:
    """What goes on beside the requests: each kind in a thread of its own."""

    def __init__(self, mortals, daemon):
        self.mortals, self.daemon, self.random = mortals, daemon, random.Random(SEED)
        self.stopped, self.failures = threading.Event(), []
        self.threads = [threading.Thread(target=self._guard, args=(what,), daemon=True)
                        for what in (self._kills, self._reloads, self._restarts, self._asks)]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stopped.set()
        for thread in self.threads:
            thread.join()

    def _guard(self, what):
        try:
            what()
        except BaseException as error:
            self.failures.append((what.__name__, error))
            raise

    def _kills(self):
        while not self.stopped.wait(self.random.uniform(0.5, 1.5) * KILL_S):
            mortal = self.random.choice(self.mortals)
            mortal.kill()
            self.stopped.wait(self.random.uniform(0.5, 1.5) * DEAD_S)
            mortal.start()

    def _asks(self):
        while not self.stopped.wait(ASK_S):
            for mortal in self.mortals:
                with contextlib.suppress(OSError):
                    mortal.fetch()

    def _reloads(self):
        while not self.stopped.wait(1):
            self.daemon.reload()

    def _restarts(self):
        while not self.stopped.wait(RESTART_S):
            self.daemon.restart()


class Daemon:
    """The gateway behind its manager's socket, one process after another."""

    def __init__(self, mortals, store):
        self.public = listening()
        self.port = self.public.getsockname()[1]
        self.manager = Manager([("public", self.public)])
        self.lock, self.gone, self.reloads, self.restarts = threading.Lock(), 0.0, 0, 0
        self.mortals, self.store, self.logs = mortals, store, []
        self.gateway = self._start()

    def _config(self):
        experts = {name: expert(mortal.url, model=f"script:{TOKENS}", price=None,
                                generator_more={"price": {"input": EXPERTS[name] / 1e6, "output": EXPERTS[name] / 1e6}})
                   for name, mortal in zip(EXPERTS, self.mortals)}
        tokens = {"value_usd": 0.02, "max_output_tokens": 64 + self.reloads % 7}  # each configuration is another one
        # Which expert is first differs between the policies, so that all three have something to do.
        policies = {f"from-{name}": {**tokens, "default": name} for name in EXPERTS}
        return config(experts, policies, listen="127.0.0.1:1", log_requests=False,
                      store={"path": str(self.store)}, limits={"drain_ms": 20000})

    def _start(self):
        gateway = Gateway(self._config(), **self.manager.launch())
        self.logs.append(gateway.log)
        return gateway

    def said(self, word):
        """The lines of all processes that have this word."""
        return "\n".join(line for log in self.logs for line in log.text().splitlines() if word in line)

    def reload(self):
        with self.lock:
            self.reloads += 1
            before = len(self.gateway.log.lines(event="reloaded"))
            self.gateway.write_config(self._config())
            self.gateway.reload()
            self.gateway.log.wait(event="reloaded", count=before + 1, patience=60 * SLOW)

    def restart(self):
        with self.lock:
            began = time.monotonic()
            self.gateway.stop()
            self.gateway = self._start()
            self.restarts += 1
            self.gone = max(self.gone, time.monotonic() - began)

    def stop(self):
        self.gateway.stop()
        self.public.close()


def ask(run_name):
    def one(i):
        policy = list(EXPERTS)[i % 3]
        body = {"model": f"from-{policy}", "messages": [{"role": "user", "content": f"why {i} and not {i + 1}?"}],
                "stream": i % 2 == 0, "max_tokens": 40}
        if i % 4 == 0:
            body["stream_options"] = {"include_usage": True}
        return request_bytes("POST", "/v1/chat/completions", {"x-request-id": f"{run_name}-{i}", "connection": "close",
                                                              "x-frugal-budget-usd": "0.5"}, json.dumps(body).encode())
    return one


def cost(bill, price):
    return (bill["prompt_tokens"] + bill["completion_tokens"]) * price


def died_meanwhile(mortal, shot, began):
    """Was it killed, or out of sight of its books, while this request ran?"""
    return any(began + shot.due < death + 0.5 and began + shot.done > asked - 0.1 for asked, death in mortal.kills)


def judge_answers(shots, mortals, began, daemon):
    """No refusal, no silence, no error; a stream is cut only where an expert died meanwhile."""
    cut = 0
    for shot in shots:
        where = f"{shot}: {shot.head!r} {bytes(shot.body)!r}"
        assert not shot.refused, f"refused: {where}"
        assert not shot.late, f"no answer: {where}"
        assert shot.status == 200, f"{where}\n{daemon.said(f'chaos-{shot.number} ')}"
        if shot.number % 2:
            assert shot.whole, f"a whole answer was cut: {where}"
        elif not shot.whole:
            assert any(died_meanwhile(mortal, shot, began) for mortal in mortals), f"cut, and no expert died: {where}"
            assert b'"error"' in shot.body and b"[DONE]" not in shot.body, where
            cut += 1
    return cut


def judge_books(shots, mortals, began, store):
    """The ledger against the invoices, request by request; gives how many were equal and how many only bounded."""
    ledger = Ledger(store)
    ledger.is_consistent()
    by_name = dict(zip(EXPERTS, mortals))
    charges = collections.defaultdict(list)
    for row in ledger.rows("SELECT d.request_id AS id, c.* FROM charges c JOIN decisions d ON d.id = c.decision"):
        charges[row["id"]].append(row)
    equal = bounded = 0
    for shot in shots:
        id = f"chaos-{shot.number}"
        own = charges.pop(id, [])
        assert own, f"the ledger does not know {id}"
        for name, mortal in by_name.items():
            mine = [charge for charge in own if charge["expert"] == name]
            billed = sum(cost(bill, EXPERTS[name]) for bill in mortal.bills.get(id, []))
            bound = sum(charge["bound_pico"] for charge in mine)
            spent = sum(charge["spent_pico"] for charge in mine)
            if not mine and not billed:
                continue
            where = f"{id}: {name} billed {billed}: {mine}"
            assert billed <= bound, where
            told = all(charge["fate"] in ("reported", "free") for charge in mine)
            if told and billed == spent:
                equal += billed > 0
            else:
                assert not told or died_meanwhile(mortal, shot, began), where
                bounded += 1
        assert sum(charge["bound_pico"] for charge in own) <= 500_000_000_000
    assert not charges, f"the ledger knows what nobody asked: {list(charges)[:3]}"
    return equal, bounded


def test_experts_die_configurations_change_the_daemon_restarts_and_nobody_is_refused(tmp_path):
    seconds = SECONDS or 10
    mortals = [Mortal(tmp_path) for _ in EXPERTS]
    store = tmp_path / "frugal.db"
    daemon = Daemon(mortals, store)
    try:
        began = time.monotonic()
        with Trouble(mortals, daemon) as trouble:
            run = OpenLoop(daemon.port, ask("chaos"), RATE, seconds, kept=False, patience=60 * SLOW,
                           keep=lambda shot: shot.number % 2 == 0)
        began = run.began
        assert not trouble.failures, trouble.failures
        for mortal in mortals:
            eventually(lambda m=mortal: all(model["in_flight"] == 0 for model in stats(m)), "experts are still answering")
            mortal.fetch()
        metrics = daemon.gateway.metrics()
        assert all(metrics.value(name) == 0 for name in ("frugal_requests_in_flight", "frugal_reservations"))
        files = daemon.gateway.open_files()
    finally:
        daemon.stop()
        for mortal in mortals:
            mortal.end()
    cut = judge_answers(run.shots, mortals, began, daemon)
    equal, bounded = judge_books(run.shots, mortals, began, store)
    kills = sum(len(mortal.kills) for mortal in mortals)
    print(f"{len(run.shots)} requests in {seconds:.0f} s, {kills} experts killed, {daemon.reloads} reloads, {daemon.restarts} "
          f"restarts (the longest gap {daemon.gone:.2f} s): 0 refused, {cut} streams cut by a death, p50 "
          f"{percentile([s.latency for s in run.shots], 0.5) * 1e3:.0f} ms, p99 "
          f"{percentile([s.latency for s in run.shots], 0.99) * 1e3:.0f} ms; {equal} charges equal to their invoice, {bounded} "
          f"within their bound; {files} files open at the end")
    assert kills > 0 and daemon.reloads > 0 and daemon.restarts > 0
    assert equal > 10 * bounded or SHORT


def stats(mortal):
    with urllib.request.urlopen(f"http://127.0.0.1:{mortal.port}/stats", timeout=30) as answer:
        return json.load(answer)["models"].values()
