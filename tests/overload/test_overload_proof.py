"""Three times the capacity, for OVERLOAD_SECONDS: what is let in is answered in time, the rest is refused at once, memory
stays where it was, and two seconds after the rush everything is as before.

The capacity is a number, not a measurement: limits.in_flight places, each taken for the 50 ms that the scripted expert waits.
`make overload` runs this for a minute; `make check` a few seconds, where only what a busy machine cannot spoil is asserted.
"""

import json
import os
import threading

from harness import SLOW, Experts, Gateway, config, expert
from harness.keys import Key, key_file
from harness.openloop import OpenLoop, percentile
from harness.wire import request_bytes

SECONDS = float(os.environ.get("OVERLOAD_SECONDS", "0"))
PROOF = SECONDS > 0
PLACES = int(os.environ.get("OVERLOAD_PLACES", "20"))
EXPERT_S = 0.05
CAPACITY = PLACES / EXPERT_S  # requests per second
LIMITS = {"in_flight": PLACES, "queue": 4 * PLACES, "queue_ms": 200}


def say(*words):
    print(*words, flush=True)


def ask(i, headers=()):
    body = {"model": "slow", "messages": [{"role": "user", "content": f"question {i}"}], "stream": i % 2 == 0}
    return request_bytes("POST", "/v1/chat/completions", headers, json.dumps(body).encode())


def whole(url, **more):
    return config({"slow": expert(url, model="script:delay_ms=50,chunks=4", price=(1, 1))}, limits=LIMITS,
                  log_requests=False, **more)


class Memory:
    """Resident bytes and open files, looked at twice a second in a thread of its own."""

    def __init__(self, gateway):
        self.gateway, self.bytes, self.files = gateway, [], []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def _watch(self):
        while not self._stop.wait(0.5):
            self.bytes.append(self.gateway.resident_bytes())
            self.files.append(self.gateway.open_files())

    def stop(self):
        self._stop.set()
        self._thread.join()


def test_at_three_times_the_capacity_goodput_and_latency_hold(run):
    seconds = SECONDS or 4
    with Experts() as experts, Gateway(whole(experts.url)) as gateway:
        calm = OpenLoop(gateway.port, ask, rate=0.2 * CAPACITY, seconds=max(3, seconds / 10))
        assert all(shot.ok for shot in calm.shots)
        unloaded = percentile([shot.latency for shot in calm.shots], 0.99)
        OpenLoop(gateway.port, ask, rate=3 * CAPACITY, seconds=1)  # what memory it takes is taken now
        before = gateway.resident_bytes()
        memory = Memory(gateway)
        rush = OpenLoop(gateway.port, ask, rate=3 * CAPACITY, seconds=seconds)
        memory.stop()
        after = OpenLoop(gateway.port, ask, rate=0.5 * CAPACITY, seconds=4)
        shed = {why: gateway.metrics().value("frugal_requests_shed_total", why=why)
                for why in ("full", "key", "late", "memory")}

    good = [shot for shot in rush.shots if shot.ok]
    refused = [shot for shot in rush.shots if shot.status == 503]
    goodput = sum(1 for shot in good if shot.done <= seconds) / seconds
    p99 = percentile([shot.latency for shot in good], 0.99)
    grown = max(memory.bytes) - before
    settled = [shot for shot in after.shots if shot.due >= 2]
    back = percentile([shot.latency for shot in settled], 0.99)
    say(f"capacity {CAPACITY:.0f}/s, offered {len(rush.shots) / seconds:.0f}/s for {seconds:.0f} s: goodput {goodput:.0f}/s "
        f"({goodput / CAPACITY:.1%}), {len(refused)} refused {shed}; p50 {percentile([s.latency for s in good], 0.5) * 1e3:.0f} ms, "
        f"p99 {p99 * 1e3:.0f} ms ({p99 / unloaded:.2f} x the unloaded {unloaded * 1e3:.0f} ms); refusals p99 "
        f"{percentile([s.latency for s in refused], 0.99) * 1e3:.0f} ms; resident {before >> 10} KiB, grown by {grown >> 10} KiB; "
        f"two seconds later p99 {back * 1e3:.0f} ms, {sum(not s.ok for s in settled)} not answered")

    assert len(good) + len(refused) == len(rush.shots), "an answer that is neither the expert's nor a refusal"
    assert all(shot.whole and b"\r\nretry-after: " in shot.head.lower() for shot in refused)
    assert shed["memory"] == shed["key"] == 0
    assert grown < 16 << 20 or SLOW > 1  # a sanitizer's own memory grows
    assert max(memory.files) < 200 + 12 * PLACES + 3 * CAPACITY
    assert not PROOF or goodput >= 0.9 * CAPACITY
    assert not PROOF or p99 <= 3 * unloaded
    assert not PROOF or (all(shot.ok for shot in settled) and back <= 3 * unloaded)


def test_a_key_that_floods_does_not_take_anothers_service(run):
    """One key sends three times the capacity, another a tenth of it: the other does not notice."""
    greedy, modest = Key("greedy"), Key("modest")
    seconds = SECONDS / 4 or 3

    def both(i):
        return ask(i, modest.headers if i % 31 == 0 else greedy.headers)

    with Experts() as experts, Gateway(whole(experts.url, keys={"file": "keys.json"}),
                                       files={"keys.json": key_file(greedy, modest)}) as gateway:
        rush = OpenLoop(gateway.port, both, rate=3.1 * CAPACITY, seconds=seconds)
    own = [shot for shot in rush.shots if shot.number % 31 == 0]
    others = [shot for shot in rush.shots if shot.number % 31]
    served = sum(shot.ok for shot in own) / len(own)
    say(f"the modest key: {served:.1%} of {len(own)} answered, p99 {percentile([s.latency for s in own if s.ok], 0.99) * 1e3:.0f} ms; "
        f"the greedy one: {sum(s.ok for s in others) / len(others):.1%} of {len(others)}")
    assert all(shot.status in (200, 503) and shot.whole for shot in rush.shots)
    assert served > 2 * sum(shot.ok for shot in others) / len(others)
    assert not PROOF or served >= 0.99
