"""A million requests of every kind, at full speed: after the warm-up memory no longer grows and descriptors stay as many.

`make soak-million` sends MILLION (1,000,000) of them by wrk, in rounds of a few seconds; after each round, when nothing is under
way, memory and descriptors are looked at. Their slopes over requests are fitted to the rounds after the first third, and the 95 %
intervals must hold 0, or the growth be within a megabyte and five descriptors in a million requests. How many connections to experts
are kept at the end of a round is chance, but no more than are ever in use.
"""

import json
import math
import os
import re
import shutil
import subprocess

from harness import Experts, Gateway, Ledger, config, eventually, expert
from harness.keys import Key, key_file

MILLION = int(os.environ.get("MILLION", "1000000"))
ROUNDS = 60
CLIENTS = 48
SCRIPTS = {"whole": "script:chunks=4", "late": "script:chunks=3,usage=late", "cut": "script:cut_after=1",
           "broken": "script:malformed_at=0", "busy": "script:status=429", "failing": "script:status=500"}
T95 = 2.02  # Student's t for some forty points

LUA = """
local requests, n = {}, 0
for line in io.lines("%s") do
  local method, path, body = line:match("^(%%S+) (%%S+) (.*)$")
  requests[#requests + 1] = wrk.format(method, path, {["host"] = "gateway.test", ["authorization"] = "Bearer %s", ["content-type"] = "application/json"}, body)
end
request = function()
  n = n + 1
  return requests[n %% #requests + 1]
end
"""


def kinds():
    """(path, body) of one request of each kind; wrk sends them in turn."""
    ask = [{"role": "user", "content": "why does the sum of a garden and an old friend equal 17?"}]
    for model in ["auto", "auto", "auto", "whole", "late", "cut", "broken", "busy", "failing"]:
        yield "/v1/chat/completions", {"model": model, "messages": ask}
        yield "/v1/chat/completions", {"model": model, "messages": ask, "stream": True}
        yield "/v1/chat/completions", {"model": model, "messages": ask, "stream": True, "stream_options": {"include_usage": True}}
    for stream in (False, True):
        yield "/v1/responses", {"model": "auto", "input": "why?", "stream": stream}
        yield "/v1/messages", {"model": "auto", "max_tokens": 20, "messages": ask, "stream": stream}
    yield "/v1/embeddings", {"model": "lexical", "input": ["one", "two"]}
    yield "/v1/route", {"model": "auto", "messages": ask}
    yield "/v1/chat/completions", {"model": "nobody", "messages": ask}
    yield "/v1/chat/completions", {"model": "auto", "messages": "wrong"}
    yield "/v1/chat/completions", {"model": "auto", "messages": ask, "frugal": {"budget_usd": 1e-9, "on_budget": "reject"}}
    yield "/v1/chat/completions", {"model": "auto", "messages": [{"role": "user", "content": "x" * 20000}]}
    yield "/v1/nowhere", {}


def write_requests(folder, key):
    lines = [f"POST {path} {json.dumps(body)}" for path, body in kinds()]
    (folder / "requests").write_text("\n".join([*lines, "GET /v1/models ", "GET /readyz ", ""]))
    (folder / "mix.lua").write_text(LUA % (folder / "requests", key.secret))
    return folder / "mix.lua"


def send(port, script, seconds):
    ran = subprocess.run(["wrk", "-t1", f"-c{CLIENTS}", f"-d{seconds}s", "-s", script, f"http://127.0.0.1:{port}/"], capture_output=True, text=True,
                         check=True, timeout=seconds + 120)
    return int(re.search(r"(\d+) requests in", ran.stdout)[1]), ran.stdout


def slope(points):
    """Of y over x: (slope, half of its 95 % interval)."""
    n = len(points)
    mx, my = sum(x for x, _ in points) / n, sum(y for _, y in points) / n
    sxx = sum((x - mx) ** 2 for x, _ in points)
    b = sum((x - mx) * (y - my) for x, y in points) / sxx
    rest = sum((y - my - b * (x - mx)) ** 2 for x, y in points)
    return b, T95 * math.sqrt(rest / (n - 2) / sxx)


def still(gateway):
    names = ("frugal_requests_in_flight", "frugal_requests_waiting", "frugal_reservations", "frugal_reserved_usd", "frugal_body_bytes")

    def look():
        metrics = gateway.metrics()
        return not any(metrics.value(name) for name in names) and metrics.value("frugal_client_connections") <= 1
    eventually(look, "nothing is under way", seconds=60)


def test_memory_and_descriptors_stay_as_they_are_over_a_million_requests(router, tmp_path):
    assert shutil.which("wrk"), "wrk is missing: tools/install-deps bench"
    key = Key("team", day_usd=1000000)
    with Experts() as experts:
        entries = {name: expert(experts.url, model=model, price=(1, 2)) for name, model in SCRIPTS.items()}
        # Random failures are the mixture's: an expert that is left alone for a while would take its kind out of it.
        whole = config(entries, {"auto": {"value_usd": 0.02, "default": "whole", "max_output_tokens": 50,
                                          "experts": ["whole", "late", "failing"]}},
                       store={"path": str(tmp_path / "frugal.db"), "keep_bytes": 64 << 20}, keys={"file": "keys.json"}, log_requests=False)
        with Gateway(whole, files={"keys.json": key_file(key)}) as gateway:
            # What fails on purpose is not to be written down a hundred thousand times.
            gateway.write_config({**whole, "log_level": "error"})
            assert gateway.request("POST", "/admin/reload", admin=True).status == 200
            script = write_requests(tmp_path, key)
            sent, points, files = 0, [], []
            rate, _ = send(gateway.port, script, 2)
            seconds = max(1, round(MILLION / ROUNDS / (rate / 2)))
            while sent < MILLION:
                n, said = send(gateway.port, script, seconds)
                sent += n
                still(gateway)
                points.append((sent / 1e6, gateway.resident_bytes() / 1024))
                files.append(gateway.open_files())
            requests = gateway.metrics().value("frugal_requests_total")
            results = gateway.metrics().label_values("frugal_requests_total", "result")
        ledger = Ledger(tmp_path / "frugal.db")
        # Retention has removed most of it; what is left is whole.
        assert ledger.value("PRAGMA integrity_check") == "ok"
        assert ledger.value("SELECT count(*) FROM charges WHERE fate = 'open'") == 0
    late = points[len(points) // 3:]
    b, half = slope(late)
    f, f_half = slope([(x, n) for (x, _), n in zip(points, files)][len(points) // 3:])
    print(f"{sent} requests in {len(points)} rounds, {requests:.0f} counted, results {sorted(results)}; resident {points[0][1]:.0f} KiB after the "
          f"first round, {late[0][1]:.0f} after a third, {late[-1][1]:.0f} at the end: {b:.0f} KiB per million requests "
          f"(95 %: {b - half:.0f} to {b + half:.0f}); descriptors {min(files)} to {max(files)}, {files[-1]} at the end: {f:.1f} per million "
          f"(95 %: {f - f_half:.1f} to {f + f_half:.1f})")
    assert abs(b) <= half or b <= 1024, f"memory grows: {points}"
    assert abs(f) <= f_half or f <= 5, f"descriptors grow: {files}"
    assert max(files) <= min(files) + 2 * CLIENTS, files
    assert requests >= sent and len(results) >= 8
