"""POST /admin/reload and `frugalctl reload`: checked first, taken over whole or not at all, and told either way."""

import json
import os
import pathlib
import signal
import socket
import stat
import threading

import pytest

from harness import config, expert, frugalctl, run_frugald, scripts
from harness.keys import Key, key_file


def reload(gateway, headers=()):
    return gateway.post("/admin/reload", b"", headers, admin=True)


def test_a_reload_tells_what_is_in_force_and_what_was(run, router):
    small = run.expert(scripts.answer())
    whole = router.config({"mathy": expert(small), "poet": expert(small)}, "lexical")
    bundle = whole.pop("bundle")
    gateway = run.gateway(whole)
    gateway.write_config({**whole, "bundle": bundle})
    answer = reload(gateway)
    assert answer.status == 200, answer
    told = answer.json()
    assert (told["object"], told["status"]) == ("reload", "reloaded")
    assert told["before"]["bundle"] is None and told["now"]["bundle"]
    assert told["before"]["config"] != told["now"]["config"]
    assert (told["before"]["snapshot"], told["now"]["snapshot"], told["keys"]) == (1, 2, 0)
    # It is in force before the answer: no wait.
    routed = gateway.chat("Compute 2 plus 3 minus 4.")
    assert routed["x-frugal-reason"] == "routed"
    assert gateway.get("/readyz").json()["bundle"] == told["now"]["bundle"]


def test_a_record_names_the_versions_it_was_decided_by(run, tmp_path):
    whole = config({"small": expert(run.expert(scripts.answer()))}, store=str(tmp_path / "store.db"))
    gateway = run.gateway(whole)
    ids = [gateway.chat()["x-frugal-decision-id"]]
    whole["log_requests"] = False
    gateway.write_config(whole)
    told = reload(gateway).json()
    ids.append(gateway.chat()["x-frugal-decision-id"])
    records = [gateway.get(f"/v1/decisions/{one}", admin=True).json() for one in ids]
    assert [record["config"] for record in records] == [told["before"]["config"], told["now"]["config"]]
    assert [record["bundle"] for record in records] == [None, None]


def test_a_refusal_says_where_the_mistake_is_and_keeps_the_old(run):
    whole = config({"small": expert(run.expert(scripts.answer()))})
    gateway = run.gateway(whole)
    before = gateway.get("/readyz").json()
    whole["experts"]["small"]["generator"]["price"]["input"] = -1
    gateway.write_config(whole)
    answer = reload(gateway)
    assert answer.status == 422 and answer["x-frugal-error-source"] == "gateway"
    error = answer.json()["error"]
    assert (error["code"], error["type"]) == ("reload_refused", "invalid_request_error")
    assert error["param"] == "/experts/small/generator/price/input"
    assert error["file"].endswith("config.json") and error["message"].startswith(error["file"])
    line = gateway.config_path.read_text().splitlines()[error["line"] - 1]
    assert '"input": -1' in line and error["column"] > 0
    assert gateway.chat().status == 200
    assert gateway.get("/readyz").json() == before
    assert gateway.metrics().value("frugal_reloads_failed_total") == 1
    assert gateway.log.wait(event="reload_failed")["level"] == "error"


@pytest.mark.parametrize("what", ["no file", "no JSON", "a torn bundle", "a wrong file of keys"])
def test_nothing_that_cannot_be_read_is_taken_over(run, router, what):
    small = run.expert(scripts.answer())
    whole = router.config({"mathy": expert(small), "poet": expert(small)}, "lexical")
    good = router.bundle("lexical").read_bytes()
    gateway = run.gateway({**whole, "bundle": "live.frugal"}, files={"live.frugal": good, "keys.txt": "no key at all\n"})
    if what == "no file":
        gateway.config_path.unlink()
    elif what == "no JSON":
        gateway.write_config('{"listen": ')
    elif what == "a torn bundle":
        (gateway.folder / "live.frugal").write_bytes(good[:-100])
    else:
        gateway.write_config({**whole, "bundle": "live.frugal", "keys": {"file": "keys.txt"}})
    answer = reload(gateway)
    assert answer.status == 422, answer
    assert answer.json()["kept"]["snapshot"] == 1
    assert gateway.chat("Write a tender haiku about the sea.")["x-frugal-expert"] == "poet"
    assert gateway.get("/readyz").json()["snapshot"] == 1


def test_settings_that_need_a_start_are_named_and_stay(run, tmp_path):
    whole = config({"small": expert(run.expert(scripts.answer()))}, store=str(tmp_path / "store.db"))
    gateway = run.gateway(whole)
    whole.update(listen="127.0.0.1:1", admin=None, workers=3, store=str(tmp_path / "other.db"),
                 limits={"connections": 7, "drain_ms": 1234})
    gateway.write_config(json.dumps(whole))
    told = reload(gateway).json()
    assert {warning["setting"] for warning in told["warnings"]} == {
        "listen", "admin", "workers", "store.path", "limits.connections"}
    assert all(warning["setting"] in warning["text"] for warning in told["warnings"])
    assert gateway.chat().status == 200 and gateway.metrics().value("frugal_reloads_total") == 1
    assert not (tmp_path / "other.db").exists()
    gateway.log.wait(event="restart_needed", count=5)
    assert {line["setting"] for line in gateway.log.lines(event="restart_needed")} == {
        warning["setting"] for warning in told["warnings"]}


def test_strangers_of_a_bundle_are_warnings(run, router):
    small = run.expert(scripts.answer())
    whole = router.config({"mathy": expert(small), "poet": expert(small)}, "lexical")
    gateway = run.gateway(whole)
    del whole["experts"]["poet"]
    whole["experts"]["newcomer"] = expert(small)
    for policy in whole["policies"].values():
        policy["default"] = "mathy"
        policy.pop("experts", None)
    gateway.write_config(whole)
    texts = [warning["text"] for warning in reload(gateway).json()["warnings"]]
    assert any("'newcomer'" in text for text in texts) and any("'poet'" in text for text in texts)


def test_reloads_at_the_same_time_are_all_answered(run):
    whole = config({"small": expert(run.expert(scripts.answer()))})
    gateway = run.gateway(whole)
    answers, start = [], threading.Barrier(8)

    def one():
        start.wait()
        answers.append(reload(gateway))

    threads = [threading.Thread(target=one) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [answer.status for answer in answers] == [200] * 8
    numbers = [answer.json()["now"]["snapshot"] for answer in answers]
    assert max(numbers) == gateway.get("/readyz").json()["snapshot"] <= 9
    for answer in answers:
        assert answer.json()["now"]["snapshot"] == answer.json()["before"]["snapshot"] + 1


def test_configuration_and_keys_change_in_one(run):
    """Old configuration with new keys, or the other way round, would let a request through that neither allows."""
    small = run.expert(scripts.answer())
    keys = {side: Key(side) for side in "ab"}
    sides = {side: config({side: expert(small)}, keys={"file": f"keys-{side}.json"}) for side in "ab"}
    gateway = run.gateway(sides["a"], files={f"keys-{side}.json": key_file(keys[side]) for side in "ab"})
    stop, wrong, served = threading.Event(), [], {"a": 0, "b": 0}

    def ask(side):
        other = "b" if side == "a" else "a"
        while not stop.is_set():
            answer = gateway.get("/v1/models", headers=keys[side].headers)
            if answer.status == 200:
                served[side] += 1
                listed = {model["id"] for model in answer.json()["data"]}
                if other in listed:
                    wrong.append((side, listed))
            elif answer.status != 401:
                wrong.append((side, answer.status))

    threads = [threading.Thread(target=ask, args=(side,)) for side in "ab"]
    for thread in threads:
        thread.start()
    for n in range(40):
        gateway.write_config(sides["ba"[n % 2]])
        assert reload(gateway).status == 200
    stop.set()
    for thread in threads:
        thread.join()
    assert not wrong
    assert min(served.values()) > 0


def test_only_the_admin_listener_reloads(run):
    gateway = run.gateway(run.expert(scripts.answer()))
    assert gateway.post("/admin/reload", b"").status == 404
    wrong = gateway.get("/admin/reload", admin=True)
    assert wrong.status == 405 and "POST" in wrong["Allow"]
    assert gateway.metrics().value("frugal_reloads_total") == 0


def test_a_page_in_a_browser_cannot_reload(run):
    gateway = run.gateway(run.expert(scripts.answer()))
    answer = reload(gateway, [("Origin", "http://evil.example")])
    assert (answer.status, answer.json()["error"]["param"]) == (400, "origin")
    assert gateway.metrics().value("frugal_reloads_total") == 0


# -- the Unix socket

def test_the_admin_listener_can_be_a_unix_socket_of_owner_and_group(run, tmp_path):
    path = tmp_path / "admin.sock"
    whole = config({"small": expert(run.expert(scripts.answer()))}, admin=f"unix:{path}", store=str(tmp_path / "s.db"))
    gateway = run.gateway(whole)
    assert stat.S_IMODE(path.stat().st_mode) == 0o660 and stat.S_ISSOCK(path.stat().st_mode)
    decision = gateway.chat()["x-frugal-decision-id"]
    assert gateway.metrics().value("frugal_requests_total", route="chat", result="ok") == 1
    assert reload(gateway).status == 200
    listed = frugalctl("decisions", "--url", gateway.admin_url())
    assert decision in listed.out
    gateway.stop()
    assert not path.exists()


def test_a_socket_that_a_crash_left_is_replaced_and_one_in_use_is_not(run, tmp_path):
    path = tmp_path / "admin.sock"
    whole = config({"small": expert(run.expert(scripts.answer()))}, admin=f"unix:{path}")
    first = run.gateway(whole)
    refused = run_frugald(config=whole)
    assert refused.returncode == 1 and "already in use" in refused.err, refused.err
    first.kill()
    assert path.exists()
    second = run.gateway(whole)
    assert second.get("/healthz", admin=True).status == 200


def test_a_file_in_the_sockets_place_is_left_alone(run, tmp_path):
    path = tmp_path / "admin.sock"
    path.write_text("precious")
    refused = run_frugald(config=config({"small": expert("http://127.0.0.1:9/v1")}, admin=f"unix:{path}"))
    assert refused.returncode == 1 and "no socket" in refused.err
    assert path.read_text() == "precious"


def test_the_end_removes_its_own_socket_only(run, tmp_path):
    path = tmp_path / "admin.sock"
    gateway = run.gateway(config({"small": expert(run.expert(scripts.answer()))}, admin=f"unix:{path}"))
    os.unlink(path)
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(path))
        gateway.stop()
        assert path.exists()


@pytest.mark.parametrize("admin", ["unix:", "unix:relative.sock", "unix:/" + "x" * 120, "nowhere"])
def test_an_admin_address_that_is_none_is_refused(admin):
    refused = run_frugald("--check-config", config=config({"small": expert("http://127.0.0.1:9/v1")}, admin=admin))
    assert refused.returncode == 1 and "/admin" in refused.err


# -- frugalctl reload

def test_frugalctl_reload_shows_versions_and_warnings(run):
    whole = config({"small": expert(run.expert(scripts.answer()))})
    gateway = run.gateway(whole)
    whole["workers"] = 4
    gateway.write_config(whole)
    table = frugalctl("reload", "--url", gateway.admin_url()).out
    told = json.loads(frugalctl("reload", "--json", "--url", gateway.admin_url()).out)
    assert told["before"]["config"] in table and "configuration" in table
    assert "warning: " in table and "'workers'" in table


def test_frugalctl_reload_fails_with_the_reason(run):
    gateway = run.gateway(run.expert(scripts.answer()))
    gateway.write_config('{"experts": {}}')
    ran = frugalctl("reload", "--url", gateway.admin_url(), check=False)
    assert ran.returncode == 1 and "config.json:1:" in ran.err and ran.out == ""
    ran = frugalctl("reload", "--json", "--url", gateway.admin_url(), check=False)
    assert ran.returncode == 1 and json.loads(ran.out)["error"]["code"] == "reload_refused"


def test_frugalctl_reload_says_that_nobody_is_there(tmp_path):
    ran = frugalctl("reload", "--url", f"unix:{tmp_path}/nobody.sock", check=False)
    assert ran.returncode == 1 and "cannot" in ran.err
    assert frugalctl("reload", "--url", "nobody", check=False).returncode == 2


def test_only_the_main_thread_takes_signals(run, tmp_path):
    gateway = run.gateway(config({"small": expert(run.expert(scripts.answer()))}, store={"path": str(tmp_path / "frugal.db")}),
                          env={"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"})  # its own are there before main() is
    assert gateway.chat().status == 200
    masks = {}
    for task in pathlib.Path(f"/proc/{gateway.process.pid}/task").iterdir():
        status = (task / "status").read_text()
        masks[int(task.name)] = int(status.split("SigBlk:")[1].split()[0], 16)
    taking = [task for task, mask in masks.items() if not mask & 1 << signal.SIGHUP - 1]
    assert len(masks) >= 6 and taking == [gateway.process.pid], masks
