"""A thousand slow streams at once through one worker: none is lost, and each costs less than 40 KB of resident memory."""

import asyncio
import json
import os

from harness import SLOW, Experts, Gateway, config, expert
from harness.openloop import OpenLoop
from harness.wire import request_bytes

PROOF = float(os.environ.get("OVERLOAD_SECONDS", "0")) > 0
STREAMS = 1000 if PROOF else 150
CHUNKS = 60 if PROOF else 10
CHUNK_MS = 200
PER_STREAM_BYTES = 40_000


def ask(i):
    body = {"model": "slow", "stream": True, "messages": [{"role": "user", "content": f"question {i}"}]}
    return request_bytes("POST", "/v1/chat/completions", (), json.dumps(body).encode())


def test_a_thousand_slow_streams_through_one_worker_are_all_whole_and_small():
    script = f"script:chunks={CHUNKS},chunk_ms={CHUNK_MS}"
    whole = {"workers": 1, "log_requests": False, "limits": {"connections": 3000, "in_flight": 2000}}
    with Experts() as experts, Gateway(config({"slow": expert(experts.url, model=script, max_in_flight=2000)}, **whole)) as gateway:
        # What the first requests take for ever: tables, arenas of the allocator, a connection pool.
        OpenLoop(gateway.port, ask, rate=1000, seconds=0.02)
        before = gateway.resident_bytes()
        seen = {"most": 0, "resident": 0}

        async def watch(run):
            while seen["most"] < STREAMS:
                await asyncio.sleep(0.2)
                count = await asyncio.to_thread(lambda: gateway.metrics().value("frugal_requests_in_flight"))
                if count >= seen["most"]:
                    seen.update(most=count, resident=gateway.resident_bytes())
                if len(run.shots) >= STREAMS and count < seen["most"]:
                    return

        run = OpenLoop(gateway.port, ask, rate=500, seconds=STREAMS / 500, meanwhile=watch, patience=120 * SLOW,
                       keep=lambda shot: True, gather=STREAMS)
    each = (seen["resident"] - before) / seen["most"]
    print(f"{seen['most']:.0f} streams at once, {each:.0f} bytes each; {sum(shot.ok for shot in run.shots)} of {len(run.shots)} whole")
    last = f'"content":"w{CHUNKS - 1} "'.encode()
    assert all(shot.ok and b"data: [DONE]" in shot.body and last in bytes(shot.body).replace(b'": "', b'":"') for shot in run.shots)
    assert seen["most"] > (0.999 if PROOF else 0.3) * STREAMS
    assert each < PER_STREAM_BYTES or SLOW > 1  # a sanitizer has memory of its own for each
