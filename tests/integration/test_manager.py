"""Under a service manager: it is told what happens, it sees a loop that stands still, and its sockets outlive the daemon."""

import ctypes
import os
import pathlib
import socket
import threading
import time

import pytest

from harness import SLOW, Gate, Gateway, config, eventually, expert, scripts
from harness.manager import Manager, listening

GRACE = {"limits": {"drain_grace_ms": 20000}}  # a client of a loaded machine is slow


@pytest.fixture
def manager(run):
    return run.start(Manager())


def test_the_manager_hears_of_start_reload_and_end(run, manager):
    small = run.expert(scripts.answer())
    whole = config({"small": expert(small)})
    gateway = run.gateway(whole, **manager.launch())
    ready = manager.wait(READY="1")
    assert ready["STATUS"].startswith("serving: configuration ") and "1 experts" in ready["STATUS"]
    before_us = time.monotonic_ns() // 1000
    whole["experts"]["large"] = expert(small)
    gateway.write_config(whole)
    gateway.reload()
    # What Type=notify-reload asks for: RELOADING with the clock, then READY.
    reloading = manager.wait(RELOADING="1")
    assert before_us <= int(reloading["MONOTONIC_USEC"]) <= time.monotonic_ns() // 1000
    again = manager.wait(READY="1", count=2)
    assert "2 experts" in again["STATUS"] and again["at"] >= reloading["at"]
    gateway.stop()
    stopping = manager.wait(STOPPING="1")
    assert int(stopping["EXTEND_TIMEOUT_USEC"]) >= 30_000_000


def test_a_refused_reload_is_ready_again_and_says_why(run, manager):
    gateway = run.gateway(run.expert(scripts.answer()), **manager.launch())
    gateway.write_config('{"experts": {}}')
    gateway.reload()
    told = manager.wait(READY="1", count=2)
    assert told["STATUS"].startswith("reload refused: ") and "config.json" in told["STATUS"]


def test_without_a_manager_nobody_is_told(run):
    gateway = run.gateway(run.expert(scripts.answer()))
    gateway.reload()
    gateway.log.wait(event="reloaded")
    assert not gateway.log.lines(event="worker_stuck")


# -- the watchdog

def thread_of(gateway, name):
    for task in pathlib.Path(f"/proc/{gateway.pid}/task").iterdir():
        if (task / "comm").read_text().strip() == name:
            return int(task.name)
    raise AssertionError(f"no thread {name}")


class Stopped:
    """One thread of a process stands still, the others go on: a debugger's hold. Ends with the `with`."""

    SEIZE, INTERRUPT, DETACH, WALL = 0x4206, 0x4207, 17, 0x40000000

    def __init__(self, thread):
        self.thread = thread
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
        self._libc.ptrace.restype = ctypes.c_long

    def _ptrace(self, request):
        if self._libc.ptrace(request, self.thread, None, None) != 0:
            raise OSError(ctypes.get_errno(), "ptrace")

    def __enter__(self):
        self._ptrace(self.SEIZE)
        self._ptrace(self.INTERRUPT)
        os.waitpid(self.thread, self.WALL)
        return self

    def __exit__(self, *_):
        self._ptrace(self.DETACH)


def test_the_watchdog_is_fed_while_every_loop_turns(run):
    manager = run.start(Manager(watchdog_ms=200 * SLOW))
    gateway = run.gateway(run.expert(scripts.answer()), **manager.launch())
    manager.wait(WATCHDOG="1", count=6)
    assert gateway.chat().status == 200
    # Those that ended first in a drain are no reason to keep silent.
    small = run.expert(scripts.stream_then_silent("x"))
    gateway.write_config(config({"small": expert(small)}, limits={"drain_ms": 60000}))
    gateway.reload()
    gateway.log.wait(event="reloaded")
    stream = gateway.stream()
    next(stream)
    gateway.terminate()
    manager.wait(STOPPING="1")
    fed = len(manager.told(WATCHDOG="1"))
    manager.wait(WATCHDOG="1", count=fed + 6)
    stream.close()


@pytest.mark.parametrize("worker", ["worker-0", "worker-1"])
def test_a_loop_that_stands_still_starves_the_watchdog(run, worker):
    manager = run.start(Manager(watchdog_ms=400 * SLOW))
    gateway = run.gateway(run.expert(scripts.answer()), **manager.launch())
    manager.wait(WATCHDOG="1", count=2)
    with Stopped(thread_of(gateway, worker)):
        gateway.log.wait(event="worker_stuck")
        fed = len(manager.told(WATCHDOG="1"))
        line = gateway.log.wait(event="worker_stuck", count=5)
        assert f"worker {worker[-1]} " in line.raw
        assert len(manager.told(WATCHDOG="1")) == fed
    manager.wait(WATCHDOG="1", count=fed + 3)


# -- sockets

def test_no_connection_is_refused_across_restarts(run):
    """Clients connect anew for every request, while the daemon ends and starts again behind the same socket."""
    small = run.expert(scripts.answer())
    public = listening()
    manager = run.start(Manager([("public", public)]))
    whole = config({"small": expert(small)}, listen="127.0.0.1:1", **GRACE)
    port = public.getsockname()[1]
    stop, failed, served = threading.Event(), [], []

    def ask(gateway_like):
        while not stop.is_set():
            try:
                answer = gateway_like.chat()
                served.append(answer.status)
                if answer.status != 200:
                    failed.append(answer)
            except Exception as error:  # whatever a client meets is a failure
                failed.append(error)

    gateway = run.gateway(whole, **manager.launch())
    assert gateway.port == port
    threads = [threading.Thread(target=ask, args=(gateway,)) for _ in range(6)]
    for thread in threads:
        thread.start()
    for _ in range(3):
        before = len(served)
        eventually(lambda n=before: len(served) >= n + 50, "the clients are served")
        gateway.stop()
        gateway = run.gateway(whole, **manager.launch())
        assert gateway.port == port
    before = len(served)
    eventually(lambda: len(served) >= before + 50, "the clients are served")
    stop.set()
    for thread in threads:
        thread.join()
    assert not failed, failed[:3]
    assert set(served) == {200}


def test_a_stream_ends_whole_while_the_next_process_waits_for_its_socket(run):
    gate = Gate()

    def script(call):
        call.head(stream=True)
        call.chunk("first")
        call.wait(gate)
        call.chunk(" last")
        call.usage()
        call.done()

    public = listening()
    manager = run.start(Manager([("public", public)]))
    whole = config({"small": expert(run.expert([script, scripts.answer()]))}, **GRACE)
    first = run.gateway(whole, **manager.launch())
    stream = first.stream()
    next(stream)
    first.terminate()
    first.log.wait(event="draining")
    waiting = first.start()  # not refused: it is in the socket's queue
    gate.open()
    assert stream.text() == " last" and stream.done and not stream.cut
    stream.close()
    assert first.wait_exit() == 0
    run.gateway(whole, **manager.launch())
    assert waiting.read_head().start.split()[1] == "200"
    waiting.close()


def established(gateway):
    """Sockets that the process has, but for those that listen or are none of TCP."""
    ours = set()
    for fd in pathlib.Path(f"/proc/{gateway.pid}/fd").iterdir():
        try:
            ours.add(os.readlink(fd))
        except OSError:
            continue  # closed meanwhile
    rows = [row.split() for row in pathlib.Path(f"/proc/{gateway.pid}/net/tcp").read_text().splitlines()[1:]]
    return sum(f"socket:[{row[9]}]" in ours and row[3] == "01" for row in rows)


def test_a_kept_connection_may_bring_a_last_request(run):
    gateway = run.gateway(config({"small": expert(run.expert(scripts.answer()))}, **GRACE))
    with gateway.connect() as kept, gateway.connect() as fresh:
        assert gateway.request("GET", "/healthz", wire=kept).status == 200
        eventually(lambda: established(gateway) >= 2, "both connections are accepted")
        gateway.terminate()
        gateway.log.wait(event="draining")
        for wire in (kept, fresh):
            answer = gateway.request("GET", "/readyz", wire=wire)
            assert (answer.status, answer["Connection"].lower()) == (503, "close")
        assert gateway.wait_exit() == 0


def test_the_admin_listener_can_be_handed_over_too(run, tmp_path):
    path = str(tmp_path / "admin.sock")
    manager = run.start(Manager([("public", listening()), ("admin", listening(path, socket.AF_UNIX))]))
    gateway = run.gateway(config({"small": expert(run.expert(scripts.answer()))}), **manager.launch())
    assert gateway.admin_port == path
    assert gateway.get("/healthz", admin=True).status == 200
    assert gateway.get("/metrics").status == 404
    gateway.stop()
    assert pathlib.Path(path).exists()  # the manager's, not ours


def test_several_public_sockets_are_all_served(run):
    sockets = [listening(), listening()]
    manager = run.start(Manager([("public", sock) for sock in sockets]))
    gateway = run.gateway(config({"small": expert(run.expert(scripts.answer()))}), **manager.launch())
    for sock in sockets:
        gateway.port = sock.getsockname()[1]
        assert gateway.get("/healthz").status == 200


def start_fails(run, sockets, why):
    manager = run.start(Manager(sockets))
    with pytest.raises(AssertionError) as failed:
        Gateway(config({"small": expert("http://127.0.0.1:9/v1")}), **manager.launch())
    assert why in str(failed.value)
    assert not manager.told(READY="1")


def test_a_socket_of_another_name_is_refused(run):
    start_fails(run, [("frugal.socket", listening())], "FileDescriptorName=public")


def test_a_socket_that_does_not_listen_is_refused(run):
    start_fails(run, [("public", socket.socket())], "does not listen")


def test_an_inherited_socket_for_everybody_asks_for_keys_like_any_other(run):
    start_fails(run, [("public", listening(("0.0.0.0", 0)))], "no key is configured")
