"""Budgets of keys, held against the experts' own invoices: what all requests of a key cause together never passes its
budget, whatever fails on the way; the ledger says the same to the pico-dollar, and nothing stays reserved.

The worlds and the crowd are those of test_ceilings.py; here every client has one of a few keys, with budgets that some
of them use up.
"""

import random
import re
import time

import books
import crowd
from test_ceilings import REQUESTS, SECONDS, bundle, seeds  # noqa: F401
from worlds import World
from harness import Gateway, Experts, eventually
from harness.keys import Key, key_file
from harness.ledger import Ledger

KEYS = 4


def draw_keys(seed):
    """Budgets from what a few answers cost to what hundreds do; the last key has none."""
    draw = random.Random(f"keys/{seed}")
    keys = []
    for i in range(KEYS):
        key = Key(f"key{i}")
        key.budget = int(10 ** draw.uniform(9, 11.3)) if i < KEYS - 1 else None
        if key.budget is not None:
            key.fields[draw.choice(["day_usd", "month_usd", "total_usd"])] = key.budget / 1e12
            key.budget = round(key.budget / 1e12 * 1e12)
        keys.append(key)
    return keys


def asks_of(world, keys):
    """Every client's request with the key that falls to it."""
    owners = {}
    draw = random.Random(f"owners/{world.seed}")

    def asks():
        for i in range(world.requests):
            path, body, headers, leaves, ceiling = world.ask(i)
            owners[headers["x-request-id"]] = key = draw.choice(keys)
            yield path, body, {**headers, **dict(key.headers)}, leaves, ceiling

    return asks(), owners


def left_of(gateway, world, key):
    """What the gateway itself says is neither spent nor reserved, by refusing what is dearer; None: it was not."""
    dearest = max(world.prices, key=lambda name: world.prices[name].output * 5 + world.prices[name].input)
    answer = gateway.chat("why " * 25_000, model=dearest, max_tokens=10 ** 6, n=128,
                          headers=[*key.headers, ("x-frugal-on-budget", "reject")])
    if answer.status != 402:
        return None
    assert answer.error["code"] == "insufficient_quota", answer
    return books.pico(re.search(r"spent: ([0-9.]+) of [0-9.]+ USD are left", answer.error["message"])[1])


def judge(world, key, ids, told, bills, lines, spent):
    where = f"seed {world.seed}: {key.id}: budget {key.budget}"
    billed = sum(world.cost(invoice) for id in ids for invoice in bills.get(id, []))
    bound = sum(books.pico(lines[id].get("bound_usd", lines[id]["cost_usd"])) for id in ids if id in lines)
    assert bound == spent, f"{where}: the log's lines say {bound}, the ledger {spent}"
    for id in ids:
        if told[id].status == 402:
            assert not bills.get(id), f"{where}: {id} was refused, and yet paid for"
        assert id not in lines or lines[id]["key"] == key.id, where
    if key.budget is not None:
        assert billed <= key.budget, f"{where}: billed {billed}"
        assert bound <= key.budget, f"{where}: bound {bound}"
    return billed


def live(seed, bundle):  # noqa: F811
    world, keys = World(seed, REQUESTS), draw_keys(seed)
    with Experts("--invoices", "1") as experts:
        config = world.config(experts.url, bundle, keys={"file": "keys.json"}, store="frugal.db")
        with Gateway(config, files={"keys.json": key_file(*keys)}) as gateway:
            gateway.log.wait(event="embedder_probed")
            asks, owners = asks_of(world, keys)
            told = {one.id: one for one in crowd.send(gateway.port, asks)}
            books.idle(gateway)
            bills, ledger = books.invoices(experts), Ledger(gateway.folder / "frugal.db")
            # Neither the log nor the ledger is written in the moment in which a request is over.
            eventually(lambda: {id for id, line in books.lines(gateway).items() if "decision_id" in line} == {
                row["request_id"] for row in ledger.rows("SELECT request_id FROM decisions WHERE state = 'settled'")},
                "log and ledger know the same requests")
            lines = books.lines(gateway)
            seen = {"refused": gateway.metrics().value("frugal_key_refusals_total", why="budget"), "billed": 0,
                    "looked": 0}
            for key in keys:
                ids = {id for id, owner in owners.items() if owner is key}
                spent = ledger.rows("SELECT coalesce(sum(bound_pico), 0) AS n FROM spend WHERE key = ?", key.id)[0]["n"]
                seen["billed"] += judge(world, key, ids, told, bills, lines, spent) > 0
                left = left_of(gateway, world, key) if key.budget is not None else None
                assert left in (None, (key.budget or 0) - spent), f"seed {seed}: {key.id}: something is reserved"
                seen["looked"] += left is not None
            return seen


def test_invoices_of_a_key_never_exceed_its_budget_and_the_ledger_agrees(bundle):  # noqa: F811
    total, worlds, until = {}, 0, time.monotonic() + SECONDS
    numbers = seeds() if not SECONDS else iter(range(200_000, 10 ** 9))
    for seed in numbers:
        if SECONDS and time.monotonic() > until:
            break
        for name, n in live(seed, bundle).items():
            total[name] = total.get(name, 0) + n
        worlds += 1
    print(f"{worlds} worlds, {worlds * REQUESTS} requests of {KEYS} keys: {total}")
    assert worlds == 0 or all(n > 0 for n in total.values()), total
