"""The experts' invoices against what the gateway believes."""

import collections
import decimal
import json
import urllib.request

from harness import eventually
from harness.ledger import Ledger


def get(experts, path):
    with urllib.request.urlopen(experts.url.removesuffix("/v1") + path) as answer:
        return json.load(answer)


def invoices(experts):
    """All that was billed, by request, once nothing is under way any more; without the probes of embedders, which
    belong to no request."""
    eventually(lambda: all(model["in_flight"] == 0 for model in get(experts, "/stats")["models"].values()),
               "experts are still answering")
    after, bills = 0, collections.defaultdict(list)
    while True:
        page = get(experts, f"/invoices?after={after}")
        assert page["lost"] == 0
        for invoice in page["invoices"]:
            if invoice["id"]:
                bills[invoice["id"]].append(invoice)
        if page["next"] == after:
            return bills
        after = page["next"]


def pico(usd):
    return int(decimal.Decimal(usd).scaleb(12))


def idle(gateway):
    """Nothing is under way, and no reservation was left behind."""
    names = ["frugal_requests_in_flight", "frugal_reservations", "frugal_reserved_usd"]
    eventually(lambda: all(gateway.metrics().value(name) == 0 for name in names), "a reservation is left behind")


def ledger(store):
    """What the gateway's own books have of each request: its decision and its charges, by request id."""
    book = Ledger(store)
    book.is_consistent()
    charges = collections.defaultdict(list)
    for charge in book.rows("SELECT * FROM charges"):
        charges[charge["decision"]].append(charge)
    return {row["request_id"]: (row, charges[row["id"]]) for row in book.decisions()}


def lines(gateway):
    """The log's line of each request that was decided."""
    return {line["request_id"]: line for line in gateway.log.lines(event="request") if "cost_usd" in line}
