"""A disk that is full and a file that is locked: said, refused or gone on with, never silent."""

import resource
import threading

import pytest

from harness import Gate, Ledger, Response, Stream, config, expert, eventually, run_frugald, scripts, with_store

FAILING = "frugal_store_failing"


@pytest.fixture
def store(tmp_path):
    return tmp_path / "frugal.db"


@pytest.fixture
def ledger(store):
    return Ledger(store)


def gateway_with(run, store, script=None, **settings):
    upstream = run.expert(script or scripts.answer())
    return run.gateway(with_store(config({"small": expert(upstream)}), store, commit_ms=1, **settings)), upstream


def degraded(gateway):
    return gateway.get("/readyz").json()["degraded"]


def meet_the_lock(gateway):
    """One request whose row cannot be written, until the gateway has noticed."""
    assert gateway.chat().status == 200
    gateway.log.wait(event="store_failing")
    assert degraded(gateway) == ["store"]
    assert gateway.metrics().value(FAILING) == 1


def test_a_locked_file_refuses_requests_before_anything_is_spent(run, store, ledger):
    gateway, small = gateway_with(run, store)
    lock = ledger.lock()
    meet_the_lock(gateway)
    refused = gateway.chat()
    assert (refused.status, refused.error["code"]) == (503, "store_unavailable")
    assert int(refused["retry-after"]) > 0
    assert small.asked == 1
    assert gateway.metrics().value("frugal_store_requests_refused_total") == 1
    assert gateway.get("/readyz").status == 200 and gateway.get("/healthz").status == 200
    lock.close()
    gateway.log.wait(event="store_working")
    assert gateway.chat().status == 200
    assert degraded(gateway) == []
    gateway.stop()
    assert len(ledger.ids()) == 2


def test_who_goes_on_while_the_file_is_locked_loses_rows_that_are_counted(run, store, ledger):
    gateway, small = gateway_with(run, store, on_failure="continue", queue_rows=16)
    lock = ledger.lock()
    meet_the_lock(gateway)
    for _ in range(19):
        assert gateway.chat().status == 200
    eventually(lambda: gateway.metrics().value("frugal_store_rows_lost_total") == 4, "four rows are counted as lost")
    eventually(lambda: sum(int(line["msg"].split()[0]) for line in gateway.log.lines(event="store_lost")) == 4,
               "the log says so")
    lock.close()
    gateway.log.wait(event="store_working")
    gateway.stop()
    assert small.asked == 20 and len(ledger.ids()) == 16
    assert ledger.is_consistent()


def test_a_disk_that_is_full_is_an_error_that_is_over_when_there_is_room(run, store, ledger):
    gateway, _ = gateway_with(run, store)
    assert gateway.chat().status == 200
    eventually(ledger.ids, "the first decision is written")
    limits = resource.prlimit(gateway.pid, resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))
    meet_the_lock(gateway)
    assert gateway.chat().status == 503
    resource.prlimit(gateway.pid, resource.RLIMIT_FSIZE, limits)
    gateway.log.wait(event="store_working")
    assert gateway.chat().status == 200
    gateway.stop()
    assert len(ledger.ids()) == 3
    assert ledger.is_consistent()


def test_in_full_durability_no_call_is_made_that_the_disk_does_not_know(run, store, ledger):
    gateway, small = gateway_with(run, store, durability="full")
    lock = ledger.lock()
    refused = gateway.chat(max_tokens=10)
    assert (refused.status, refused.error["code"]) == (503, "store_unavailable")
    assert small.asked == 0
    assert degraded(gateway) == ["store"]
    lock.close()
    gateway.log.wait(event="store_working")
    assert gateway.chat(max_tokens=10).status == 200


def test_in_full_durability_who_goes_on_makes_the_call_all_the_same(run, store, ledger):
    gateway, small = gateway_with(run, store, durability="full", on_failure="continue")
    lock = ledger.lock()
    assert gateway.chat(max_tokens=10).status == 200
    assert small.asked == 1
    lock.close()
    gateway.log.wait(event="store_working")
    gateway.stop()
    assert len(ledger.ids()) == 1


def test_what_was_paid_is_answered_even_if_its_settlement_cannot_be_written(run, store, ledger):
    gate = Gate()

    def script(call):
        gate.wait()
        scripts.answer()(call)

    gateway, small = gateway_with(run, store, script, durability="full")
    wire = gateway.start(max_tokens=10)
    small.call()
    lock = ledger.lock()
    gate.open()
    head = wire.read_head()
    assert head.start.split(" ")[1] == "200"
    wire.read_body(head, is_answer=True)
    wire.close()
    (row,) = ledger.decisions()
    assert row["state"] == "open"
    lock.close()
    gateway.log.wait(event="store_working")
    gateway.stop()
    (row,) = ledger.decisions()
    assert row["state"] == "settled" and ledger.is_consistent()


@pytest.mark.parametrize("streamed", [False, True])
def test_a_disk_that_is_slower_than_the_deadline_is_not_waited_for(run, store, ledger, streamed):
    gate = Gate()

    def script(call):
        gate.wait()
        scripts.answer()(call)

    gateway, small = gateway_with(run, store, script, durability="full")
    wire = gateway.start(max_tokens=10, stream=streamed, headers={"x-frugal-deadline-ms": "800"})
    small.call()
    lock = ledger.lock()
    gate.open()
    if streamed:
        with Stream(wire) as stream:
            assert stream.text() == "fine" and stream.done
    else:
        assert Response(wire, "POST").status == 200
        wire.close()
    assert gateway.log.lines(event="store_failing") == []
    lock.close()
    gateway.stop()
    (row,) = ledger.decisions()
    assert (row["state"], row["status"]) == ("settled", 200)


def test_a_client_that_leaves_while_the_disk_is_waited_for_costs_nothing(run, store, ledger):
    gateway, small = gateway_with(run, store, durability="full")
    lock = ledger.lock()
    gateway.start(max_tokens=10).close()
    gateway.log.wait(event="request", status="499")
    lock.close()
    gateway.stop()
    assert small.asked == 0
    (row,) = ledger.decisions()
    assert (row["state"], row["bound_pico"], ledger.charges(row["id"])[0]["fate"]) == ("settled", 0, "free")


def test_a_queue_that_is_full_is_waited_for(run, store, ledger):
    gateway, _ = gateway_with(run, store, queue_rows=16)
    statuses = []

    def ask():
        for _ in range(5):
            statuses.append(gateway.chat().status)

    clients = [threading.Thread(target=ask) for _ in range(40)]
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    assert statuses == [200] * 200
    assert gateway.metrics().value("frugal_store_requests_refused_total") == 0
    eventually(lambda: gateway.metrics().value("frugal_store_queue_rows") == 0, "every place is given back")
    gateway.stop()
    assert len(ledger.ids()) == 200 and ledger.is_consistent()


def test_frugalctl_or_anyone_may_read_while_the_gateway_writes(run, store, ledger):
    gateway, _ = gateway_with(run, store)
    stop, failures = threading.Event(), []

    def read():
        while not stop.is_set():
            try:
                ledger.is_consistent()
            except AssertionError as failure:
                failures.append(failure)

    reader = threading.Thread(target=read)
    reader.start()
    for _ in range(50):
        assert gateway.chat().status == 200
    stop.set()
    reader.join()
    assert gateway.log.lines(event="store_failing") == []
    gateway.stop()
    assert len(ledger.ids()) == 50


def test_a_second_gateway_on_the_same_store_does_not_start(run, store):
    gateway_with(run, store)
    ran = run_frugald(config=with_store(config({"small": expert("http://127.0.0.1:1/v1")}), store))
    assert ran.returncode == 1
    assert "in use by another gateway" in ran.err


def test_a_store_that_is_none_stops_the_start_and_the_check(tmp_path):
    (tmp_path / "letter.txt").write_text("this is a letter to nobody, and no database " * 100)
    whole = with_store(config({"small": expert("http://127.0.0.1:1/v1")}), tmp_path / "letter.txt")
    for arguments in ([], ["--check-config"]):
        ran = run_frugald(*arguments, config=whole)
        assert ran.returncode == 1 and "not a database" in ran.err, ran.err


def test_a_store_without_its_folder_stops_the_start_and_the_check(tmp_path):
    whole = with_store(config({"small": expert("http://127.0.0.1:1/v1")}), tmp_path / "nowhere" / "frugal.db")
    assert run_frugald("--check-config", config=whole).returncode == 1
    ran = run_frugald(config=whole)
    assert ran.returncode == 1 and "nowhere" in ran.err


def test_a_store_of_a_newer_version_stops_the_start(run, store, ledger):
    gateway_with(run, store)[0].stop()
    lock = ledger.lock()
    lock.execute("COMMIT")
    lock.execute("PRAGMA user_version = 99")
    lock.close()
    ran = run_frugald(config=with_store(config({"small": expert("http://127.0.0.1:1/v1")}), store))
    assert ran.returncode == 1
    assert "is of version 99, this program knows" in ran.err


def test_a_changed_store_waits_for_the_next_start_and_says_so(run, store, tmp_path):
    gateway, small = gateway_with(run, store)
    gateway.write_config(with_store(config({"small": expert(small)}), tmp_path / "other.db"))
    gateway.reload()
    gateway.log.wait(event="restart_needed")
    gateway.log.wait(event="reloaded")
    assert gateway.chat().status == 200
    gateway.stop()
    assert len(Ledger(store).ids()) == 1 and not (tmp_path / "other.db").exists()
