"""Hosts apart: a client, the gateway and three experts, each in a network namespace of its own. The wire is cut (a firewall that
drops, so nobody hears of it), loses packets, or is long; the promises are the same: the answer or one honest error inside the
deadline, the ledger covers the invoices, and when the wire is whole again everything is as before.

`make netns`, as root, with iptables. Where namespaces cannot be made it says so and is skipped.
"""

import asyncio
import collections
import json
import os
import pathlib
import re
import subprocess
import sys
import urllib.request

import pytest

from harness import BUILD, Gateway, Ledger, config, eventually, expert
from harness.keys import Key, key_file
from harness.openloop import OpenLoop, percentile
from harness.wire import request_bytes
from hosts import Impossible, Net

HERE = pathlib.Path(__file__).resolve().parent
EXPERTS = {"one": 2, "two": 3, "three": 5}  # USD per million tokens, in and out
DEADLINE_MS = 8000
TIMEOUTS = {"connect": 1000, "first_byte": 2000, "idle": 2000, "total": 6000}
RATE = 40
SCRIPT = "script:delay_ms=10,chunks=5,chunk_ms=10"


@pytest.fixture(scope="module")
def net():
    try:
        with Net() as net:
            yield net
    except Impossible as error:
        pytest.skip(f"network namespaces cannot be made here: {error}")


class Far:
    """frugal-experts on a host of its own, with its books."""

    def __init__(self, net, name, delay_ms=0):
        self.name, self.host = name, net.host(name)
        self.processes = []
        port = 9001 if delay_ms else 9000
        said = self._start([str(BUILD / "frugal-experts"), "serve", "--listen", f"{self.host.address}:{port}", "--invoices", "1"])
        assert said.startswith("listening on "), said
        if delay_ms:
            self._start([sys.executable, str(HERE / "relay.py"), self.host.address, "9000", str(port), str(delay_ms)])
        self.url, self.own = f"http://{self.host.address}:9000/v1", f"http://{self.host.address}:{port}"

    def _start(self, command):
        process = subprocess.Popen([*self.host.launcher, *command], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        self.processes.append(process)
        return process.stdout.readline().decode()

    def get(self, path):
        with urllib.request.urlopen(self.own + path, timeout=30) as answer:
            return json.load(answer)

    def bills(self):
        eventually(lambda: all(model["in_flight"] == 0 for model in self.get("/stats")["models"].values()), "experts are still answering")
        after, bills = 0, collections.Counter()
        while True:
            page = self.get(f"/invoices?after={after}")
            for bill in page["invoices"]:
                bills[bill["id"]] += (bill["prompt_tokens"] + bill["completion_tokens"]) * EXPERTS[self.name] * 10 ** 6
            if page["next"] == after:
                return bills
            after = page["next"]

    def end(self):
        for process in self.processes:
            process.terminate()
            process.wait()
            process.stdout.close()


class World:
    def __init__(self, net, store, delay_ms=0):
        self.store = store
        self.experts = [Far(net, f"{name}", delay_ms) for name in EXPERTS]
        self.host = net.host("gateway")
        experts = {far.name: expert(far.url, model=SCRIPT, price=(EXPERTS[far.name],) * 2, timeouts_ms=TIMEOUTS) for far in self.experts}
        tokens = {"value_usd": 0.02, "max_output_tokens": 50}
        whole = config(experts, {f"from-{name}": {**tokens, "default": name} for name in EXPERTS}, store=str(store), log_requests=False,
                       keys={"file": "keys.json"}, listen=f"{self.host.address}:8080", admin=f"{self.host.address}:8081")
        self.key = Key("client")
        self.gateway = Gateway(whole, launcher=self.host.launcher, files={"keys.json": key_file(self.key)})
        self.gateway.host = self.host.address

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        self.gateway.__exit__(kind)
        for far in self.experts:
            far.end()
        for host in [self.host, *(far.host for far in self.experts)]:
            subprocess.run(["ip", "netns", "del", host.name], capture_output=True)

    def load(self, seconds, meanwhile=None, policy=None):
        def ask(i):
            body = {"model": f"from-{policy or list(EXPERTS)[i % 3]}", "stream": i % 2 == 0,
                    "messages": [{"role": "user", "content": f"why {i}?"}]}
            self.asked += 1
            return request_bytes("POST", "/v1/chat/completions", {"x-frugal-deadline-ms": str(DEADLINE_MS), "x-frugal-budget-usd": "0.1",
                                                                      **dict(self.key.headers)},
                                 json.dumps(body).encode())
        self.asked = 0
        return OpenLoop(8080, ask, RATE, seconds, host=self.host.address, meanwhile=meanwhile, keep=lambda shot: True, patience=60)

    def is_still(self):
        names = ("frugal_requests_in_flight", "frugal_expert_in_flight", "frugal_reservations", "frugal_reserved_usd")
        eventually(lambda: not any(self.gateway.metrics().value(name) for name in names), "something is in flight or reserved", seconds=30)

    def books_cover(self):
        """What was billed is within the ledger's bound, and what was reported is exact."""
        ledger = Ledger(self.store)
        bills = {far.name: far.bills() for far in self.experts}
        asked = set().union(*bills.values())
        eventually(lambda: asked <= {row["request_id"] for row in ledger.rows(
            "SELECT request_id FROM decisions WHERE state = 'settled'")}, "billed, and unknown to the ledger", seconds=30)
        ledger.is_consistent()
        equal = bounded = 0
        for id, name, told, spent, bound in ((row["id"], row["expert"], row["told"], row["spent"], row["bound"]) for row in ledger.rows(
                "SELECT d.request_id AS id, c.expert, min(c.fate IN ('reported', 'free')) AS told, sum(c.spent_pico) AS spent,"
                " sum(c.bound_pico) AS bound FROM charges c JOIN decisions d ON d.id = c.decision GROUP BY d.id, c.expert")):
            billed = bills[name].pop(id, 0)
            assert billed <= bound, f"{id}: {name} billed {billed}, bound {bound}"
            assert not told or billed == spent, f"{id}: {name} billed {billed}, the ledger says {spent}"
            equal, bounded = equal + bool(told), bounded + (not told)
        assert not any(bills.values()), f"billed, and not charged: {bills}"
        return equal, bounded


def judge(shots, may_fail=False):
    """The answer, or one honest error in time; gives how many were answered, refused and cut."""
    good = refused = cut = 0
    for shot in shots:
        where = f"{shot.number}, due {shot.due:.2f}, {shot.latency:.2f} s: {shot.status} {bytes(shot.body)[-300:]!r}"
        assert not shot.refused and not shot.late and shot.status, where
        assert shot.latency < DEADLINE_MS / 1000 + 2, where
        if shot.ok:
            good += 1
            continue
        if shot.status != 200:
            error = json.loads(shot.body)["error"]
            assert may_fail and shot.whole and shot.status in (502, 503, 504) and error["message"], where
            refused += 1
            continue
        assert shot.number % 2 == 0 and len(re.findall(rb'data: \{"error"', shot.body)) == 1 and b"[DONE]" not in shot.body, where
        cut += 1
    return good, refused, cut


def say(what, shots, judged, books=(0, 0), more=""):
    good, refused, cut = judged
    print(f"{what}: {len(shots)} requests, {good} answered, {refused} refused honestly, {cut} cut with an error event; p50 "
          f"{percentile([s.latency for s in shots], 0.5) * 1e3:.0f} ms, p99 {percentile([s.latency for s in shots], 0.99) * 1e3:.0f} ms, "
          f"the longest {max(s.latency for s in shots):.1f} s; {books[0]} charges equal to their invoice, {books[1]} within their bound{more}")


def test_one_expert_behind_a_cut_wire_is_made_up_for_by_the_others(net, tmp_path):
    with World(net, tmp_path / "frugal.db") as world:
        async def cut(run):
            await asyncio.sleep(2)
            await asyncio.to_thread(world.experts[0].host.drop)
            await asyncio.sleep(8)
            await asyncio.to_thread(world.experts[0].host.heal)
            await asyncio.sleep(10)
        run = world.load(60, cut)
        judged = judge(run.shots)
        world.is_still()
        eventually(lambda: world.load(1, policy="one") and world.gateway.chat(model="from-one", headers=world.key.headers)["x-frugal-expert"] == "one",
                   "the expert is back", seconds=60)
        world.is_still()
        say("one expert cut off for 8 s", run.shots, judged, world.books_cover())


def test_when_every_expert_is_cut_off_clients_hear_it_in_time_and_the_gateway_lives(net, tmp_path):
    with World(net, tmp_path / "frugal.db") as world:
        async def cut(run):
            await asyncio.sleep(1)
            for far in world.experts:
                await asyncio.to_thread(far.host.drop)
            await asyncio.sleep(6)
            assert (await asyncio.to_thread(lambda: world.gateway.get("/healthz"))).status == 200
            for far in world.experts:
                await asyncio.to_thread(far.host.heal)
            await asyncio.sleep(12)
        run = world.load(60, cut)
        judged = judge(run.shots, may_fail=True)
        assert judged[1] > 0
        world.is_still()
        late = [shot for shot in run.shots if shot.due > run.shots[-1].due - 2]
        say("every expert cut off for 6 s", run.shots, judged, world.books_cover(), f"; of the last {len(late)}: {sum(s.ok for s in late)}")
        assert all(shot.ok for shot in late), "12 s after the wire is whole not everything is as before"


def test_clients_that_vanish_without_a_word_leave_nothing_behind(net, tmp_path):
    with World(net, tmp_path / "frugal.db") as world:
        async def vanish(run):
            await asyncio.sleep(2)
            await asyncio.to_thread(net.client.drop)
            await asyncio.sleep(3)
            await asyncio.to_thread(net.client.heal)
            await asyncio.sleep(4)
        run = world.load(60, vanish)
        answered = [shot for shot in run.shots if shot.ok]
        world.is_still()
        assert all(shot.ok for shot in run.shots if shot.due < 1.5)
        assert len(answered) > 0.5 * len(run.shots)
        say("clients cut off for 3 s", run.shots, (len(answered), 0, len(run.shots) - len(answered)), world.books_cover())


def test_five_percent_of_the_packets_lost_loses_no_request(net, tmp_path):
    with World(net, tmp_path / "frugal.db") as world:
        for host in [world.host, *(far.host for far in world.experts)]:
            host.lose(0.05)
        run = world.load(20)
        for host in [world.host, *(far.host for far in world.experts)]:
            host.heal()
        judged = judge(run.shots)
        assert judged[2] <= 0.02 * len(run.shots)
        world.is_still()
        say("5 % of all packets lost", run.shots, judged, world.books_cover())


def test_a_long_line_only_takes_longer(net, tmp_path):
    with World(net, tmp_path / "frugal.db", delay_ms=100) as world:
        run = world.load(15)
        judged = judge(run.shots)
        assert judged == (len(run.shots), 0, 0)
        assert min(shot.latency for shot in run.shots) >= 0.2
        world.is_still()
        say("200 ms to every expert and back", run.shots, judged, world.books_cover())
