"""`frugalctl keys`: keys in the database beside a running gateway, and lines for the mounted file."""

import json
import sqlite3
import threading

import pytest

from harness import BUILD, PATIENCE, config, eventually, expert, frugalctl, run_frugald, scripts
from harness.keys import bearer, key_hash, new_secret
from harness.programs import run_program

PRICE = (0.0, 100.0)
WORST = 0.001


@pytest.fixture
def store(tmp_path):
    return tmp_path / "frugal.db"


def keys(store, command, *arguments, **options):
    return frugalctl("keys", command, *arguments, "--store", store, **options)


def serve(run, store, script=None, **more):
    small = run.expert(script or scripts.answer("ten", prompt=10, output=10))
    policies = {"auto": {"value_usd": 0.02, "default": "small", "max_output_tokens": 10, "on_budget": "reject"}}
    gateway = run.gateway(config({"small": expert(small, price=PRICE)}, policies, store=str(store), **more))
    gateway.small = small
    return gateway


def until(gateway, secret, status):
    eventually(lambda: gateway.get("/v1/models", headers=bearer(secret)).status == status,
               f"the key gives {status}")


def test_a_secret_is_shown_once_and_only_its_hash_is_kept(store):
    secret = keys(store, "add", "team").out.strip()
    assert secret.startswith("fg-") and len(secret) == 46
    with sqlite3.connect(store) as db:
        (stored,) = db.execute("SELECT hash1 FROM keys").fetchone()
    assert stored.hex() == key_hash(secret)
    assert secret.encode() not in b"".join(path.read_bytes() for path in store.parent.iterdir())
    for command in (("list",), ("list", "--json"), ("show", "team"), ("show", "team", "--json")):
        shown = keys(store, *command)
        assert secret not in shown.out + shown.err and key_hash(secret) not in shown.out + shown.err
    assert keys(store, "add", "team", check=False).returncode == 1


def test_a_running_gateway_learns_of_every_change_within_a_moment(run, store):
    secret = keys(store, "add", "team").out.strip()
    gateway = serve(run, store)
    assert gateway.chat(headers=bearer(secret)).status == 200 and gateway.chat().status == 401
    other = json.loads(keys(store, "add", "other", "--json").out)["secret"]
    until(gateway, other, 200)
    second = keys(store, "rotate", "team").out.strip()
    until(gateway, second, 200)
    assert gateway.chat(headers=bearer(secret)).status == 200, "both are good"
    refused = keys(store, "rotate", "team", check=False)
    assert refused.returncode == 1 and "--finish" in refused.err
    keys(store, "rotate", "team", "--finish")
    until(gateway, secret, 401)
    assert gateway.chat(headers=bearer(second)).status == 200
    third = keys(store, "rotate", "team", "--at-once").out.strip()
    until(gateway, second, 401)
    keys(store, "revoke", "team")
    until(gateway, third, 401)
    assert gateway.chat(headers=bearer(other)).status == 200


def test_the_first_key_closes_a_gateway_that_was_open(run, store):
    gateway = serve(run, store)
    assert gateway.chat().status == 200
    secret = keys(store, "add", "team").out.strip()
    eventually(lambda: gateway.chat().status == 401, "the first key is in force")
    assert gateway.chat(headers=bearer(secret)).status == 200


def test_a_key_in_the_store_lets_the_gateway_listen_for_others(run, store):
    ran = run_frugald(config=config({"small": expert("http://127.0.0.1:9/v1")}, listen="0.0.0.0:0", store=str(store)))
    assert ran.returncode == 1 and "frugalctl keys add" in ran.err
    secret = keys(store, "add", "team").out.strip()
    gateway = serve(run, store, listen="0.0.0.0:0")
    assert gateway.chat(headers=bearer(secret)).status == 200


def test_limits_are_changed_while_the_gateway_runs(run, store):
    secret = keys(store, "add", "team", "--day-usd", "1", "--experts", "small", "--requests-per-minute", "1000",
                  "--feedback", "own", "--name", "the team", "--tags", "team=a").out.strip()
    gateway = serve(run, store)
    assert gateway.chat(headers=bearer(secret)).status == 200
    keys(store, "limit", "team", "--day-usd", "0.0001", "--requests-per-minute", "none")
    eventually(lambda: gateway.chat(headers=bearer(secret)).status == 402, "the budget is below what was spent")
    keys(store, "limit", "team", "--experts", "large", "--day-usd", "none")
    eventually(lambda: gateway.chat(headers=bearer(secret)).status == 404, "no expert is left")
    shown = json.loads(keys(store, "show", "team", "--json").out)
    assert shown["experts"] == ["large"] and shown["day_usd"] is None and shown["requests_per_minute"] is None
    assert (shown["feedback"], shown["name"], shown["tags"]) == ("own", "the team", "team=a")


@pytest.mark.parametrize("arguments, complaint", [
    (("limit", "team"), "nothing is to be changed"),
    (("limit", "nobody", "--day-usd", "1"), "there is no key 'nobody'"),
    (("limit", "team", "--day-usd", "-1"), "must be an amount in USD"),
    (("limit", "team", "--expires", "tomorrow"), "must be a day or a time in UTC"),
    (("limit", "team", "--requests-per-minute", "0"), "must be an integer from 1"),
    (("limit", "team", "--experts", "a b"), "must name experts"),
    (("add", "other", "--feedback", "all"), "must be off, own or shared"),
    (("revoke", "nobody"), "there is no key 'nobody'"),
    (("rotate", "team", "--finish"), "has one secret"),
    (("rotate", "team", "--finish", "--at-once"), "either --finish or --at-once"),
    (("add", "bootstrap"), "cannot be an id"),
    (("add", "white space"), "cannot be an id"),
    (("show", "nobody"), "there is no key 'nobody'")])
def test_a_mistake_is_told_and_changes_nothing(store, arguments, complaint):
    keys(store, "add", "team")
    before = keys(store, "list", "--json").out
    ran = keys(store, *arguments, check=False)
    assert ran.returncode in (1, 2) and complaint in ran.err, ran.err
    assert keys(store, "list", "--json").out == before


def test_an_expiry_in_the_past_refuses(run, store):
    secret = keys(store, "add", "team", "--expires", "2020-01-01").out.strip()
    gateway = serve(run, store)
    assert gateway.chat(headers=bearer(secret)).status == 401
    assert gateway.log.wait(event="request", key="team")["key_refusal"] == "expired"
    assert "expired" in keys(store, "list").out


def test_budgets_go_on_where_a_killed_gateway_stopped(run, store):
    secret = keys(store, "add", "team", "--day-usd", str(3 * WORST)).out.strip()
    gateway = serve(run, store)
    assert [gateway.chat(headers=bearer(secret), max_tokens=10).status for _ in range(2)] == [200, 200]
    with sqlite3.connect(store) as db:
        eventually(lambda: db.execute("SELECT sum(bound_pico) FROM spend WHERE key = 'team'").fetchone()[0] == 2 * 10 ** 9,
                   "both are in the ledger")
    gateway.kill()
    again = serve(run, store)
    assert [again.chat(headers=bearer(secret), max_tokens=10).status for _ in range(2)] == [200, 402]
    eventually(lambda: json.loads(keys(store, "list", "--json").out)[0]["bound"]["day_usd"] == pytest.approx(3 * WORST),
               "the list shows what was spent")
    assert "0.003 / 0.003" in keys(store, "list").out


def test_a_revocation_under_load_lets_nothing_new_in_and_cuts_nothing(run, store):
    secret = keys(store, "add", "team").out.strip()
    gateway = serve(run, store)
    seen, stop = [], threading.Event()

    def client():
        while not stop.is_set():
            seen.append(gateway.chat(headers=bearer(secret), max_tokens=10).status)
            if seen[-1] == 401:
                return

    threads = [threading.Thread(target=client) for _ in range(4)]
    for thread in threads:
        thread.start()
    eventually(lambda: len(seen) >= 20, "there is load")
    keys(store, "revoke", "team")
    for thread in threads:
        thread.join(PATIENCE)
    stop.set()
    assert set(seen) == {200, 401} and seen.count(401) == 4


def test_a_rotation_under_load_refuses_nobody_who_follows_it(run, store):
    held = [keys(store, "add", "team").out.strip()]
    gateway = serve(run, store)
    seen, stop = [], threading.Event()

    def client():
        while not stop.is_set():
            seen.append(gateway.chat(headers=bearer(held[-1]), max_tokens=10).status)

    threads = [threading.Thread(target=client) for _ in range(4)]
    for thread in threads:
        thread.start()
    second = keys(store, "rotate", "team").out.strip()
    until(gateway, second, 200)
    held.append(second)  # every client has it
    behind = len(seen) + 8
    eventually(lambda: len(seen) > behind, "nobody asks with the old one any more")
    keys(store, "rotate", "team", "--finish")
    until(gateway, held[0], 401)
    behind = len(seen) + 8
    eventually(lambda: len(seen) > behind, "the load goes on")
    stop.set()
    for thread in threads:
        thread.join(PATIENCE)
    assert set(seen) == {200}


def test_a_row_that_makes_no_key_keeps_the_old_ones(run, store):
    secret = keys(store, "add", "team").out.strip()
    gateway = serve(run, store)
    with sqlite3.connect(store) as db:
        db.execute("UPDATE keys SET experts = '{}'")
    line = gateway.log.wait(event="keys_failed")
    assert "the row of key 'team' does not make a key" in line["msg"]
    assert gateway.chat(headers=bearer(secret)).status == 200
    assert gateway.metrics().value("frugal_keys_failed_total") == 1
    with sqlite3.connect(store) as db:
        db.execute("UPDATE keys SET experts = NULL, revoked_us = 1")
    until(gateway, secret, 401)


def test_a_line_for_the_mounted_file(run):
    secret = new_secret()
    made = run_program(BUILD / "frugalctl", "keys", "hash", "team", "--day-usd", "5", "--name", "the team",
                       stdin=secret + "\n")
    assert made.out == f'id=team hash={key_hash(secret)} name="the team" day_usd=5\n'
    fresh = run_program(BUILD / "frugalctl", "keys", "hash", "other", "--new")
    small = run.expert(scripts.answer())
    gateway = run.gateway(config({"small": expert(small)}, keys={"file": "keys.txt"}),
                          files={"keys.txt": made.out + fresh.out})
    for each in (secret, fresh.err.split("\n")[0]):
        assert gateway.chat(headers=bearer(each)).status == 200
    short = run_program(BUILD / "frugalctl", "keys", "hash", "team", stdin="short\n", check=False)
    assert short.returncode == 1 and "16 to 256" in short.err


def test_a_key_given_twice_is_the_files(run, store):
    keys(store, "add", "team")
    secret = new_secret()
    small = run.expert(scripts.answer())
    gateway = run.gateway(config({"small": expert(small)}, keys={"file": "keys.txt"}, store=str(store)),
                          files={"keys.txt": f"id=team hash={key_hash(secret)}\n"})
    assert gateway.chat(headers=bearer(secret)).status == 200
    assert gateway.log.lines(event="keys_ignored")
