"""What stays closed: operators' routes to clients, cores, memory of keys; and what an operator is warned of."""

import os
import pathlib
import re
import signal

import pytest

from harness import Gate, config, expert, scripts
from test_openapi import table

ADMIN_ONLY = sorted({path for surface, _, path, _ in table("gateway/edge/routes.h", "ROUTES") if surface == "ADMIN"}
                    - {path for surface, _, path, _ in table("gateway/edge/routes.h", "ROUTES") if surface == "PUBLIC"})


def test_there_are_routes_for_operators_alone():
    assert {"/metrics", "/admin/reload"} <= set(ADMIN_ONLY)


@pytest.mark.parametrize("form", [
    "{}", "/{}", "{}/", "/.{}", "/v1/..{}", "//127.0.0.1{}", "http://127.0.0.1:8081{}", "{}?x=1", "{}#x", "{}%00", "{}%20",
    "/v1/models/..%2f..{}", "{}\\", "/%2e%2e{}"])
def test_clients_reach_no_route_of_operators_however_they_write_it(run, form):
    gateway = run.gateway(run.expert(scripts.answer()))
    for path in ADMIN_ONLY + ["/admin/", "/admin", "/ui/"]:
        for method in ("GET", "POST"):
            answer = gateway.request(method, form.format(path), b"" if method == "POST" else None)
            assert answer.status in (404, 405, 400), (method, path, answer)
            assert b"frugal_requests_total" not in answer.body
    assert gateway.metrics().value("frugal_reloads_total") == 0


def test_operators_reach_no_route_that_spends(run):
    small = run.expert(scripts.answer())
    gateway = run.gateway(small)
    for path in ("/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/v1/responses", "/v1/messages", "/v1/route"):
        assert gateway.post(path, {"model": "auto", "messages": []}, admin=True).status == 404
    assert small.asked == 0


# -- cores

LAUNCH = ["bash", "-c", 'ulimit -c unlimited; exec "$@"', "launch"]


@pytest.mark.parametrize("allowed", [False, True])
def test_a_crash_leaves_a_core_only_where_it_may(run, allowed):
    limits = re.compile(r"Max core file size +(\S+) +(\S+)")
    gateway = run.gateway(config({"small": expert(run.expert(scripts.answer()))}, core_dumps=allowed), launcher=LAUNCH)
    now = limits.search(pathlib.Path(f"/proc/{gateway.pid}/limits").read_text())
    assert now.groups() == (("unlimited", "unlimited") if allowed else ("1", "1"))
    gateway.signal(signal.SIGABRT)
    gateway.wait_exit()
    left = [path.name for path in gateway.folder.iterdir() if path.name.startswith("core")]
    assert allowed or not left
    gateway.kill()


# -- memory

def memory_of(pid):
    """All that can be read of a process's private memory."""
    found = bytearray()
    with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb", 0) as mem:
        for line in maps:
            where, rights = line.split()[:2]
            if not rights.startswith("rw"):
                continue
            start, end = (int(part, 16) for part in where.split("-"))
            try:
                mem.seek(start)
                found += mem.read(end - start)
            except OSError:
                continue
    return bytes(found)


@pytest.mark.skipif("asan" in os.environ.get("FRUGAL_BUILD", "") or "tsan" in os.environ.get("FRUGAL_BUILD", ""),
                    reason="a sanitizer's shadow memory is terabytes")
def test_a_key_of_an_old_configuration_is_wiped_from_memory(run):
    """The key is nowhere any more once the last request with it is over: not in the configuration, not in a request's head."""
    gate = Gate()
    small = run.expert([scripts.answer(), lambda call: (call.wait(gate), call.answer(scripts.completion()))])
    secret = "sk-wiped-" + os.urandom(16).hex()
    whole = config({"small": expert(small, key={"file": "key.txt"})}, workers=1)
    gateway = run.gateway(whole, files={"key.txt": secret})
    assert gateway.chat().status == 200
    assert small.call().header("authorization") == f"Bearer {secret}"
    assert memory_of(gateway.pid).count(secret.encode()) == 1  # the configuration's own, and no other
    (gateway.folder / "key.txt").write_text("sk-the-next-one-0123456789")
    assert gateway.post("/admin/reload", b"", admin=True).status == 200
    gate.open()
    assert gateway.chat().status == 200
    assert secret.encode() not in memory_of(gateway.pid)


def test_an_operator_is_warned_of_root_and_of_clear_text(run):
    gateway = run.gateway(config({"small": expert(run.expert(scripts.answer()))}, listen="0.0.0.0:0"),
                          env={"FRUGAL_BOOTSTRAP_KEY": "0123456789abcdef"})
    assert (len(gateway.log.lines(event="running_as_root")) == 1) == (os.geteuid() == 0)
    assert "speaks in clear" in gateway.log.wait(event="clear_listener").raw
