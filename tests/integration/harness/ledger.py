"""The gateway's database, read from outside, as frugalctl reads it."""

import sqlite3


def with_store(whole, store, **settings):
    """The configuration with a store at that path."""
    whole["store"] = {"path": str(store), **settings}
    return whole


class Ledger:
    """`store` is the path that the configuration names; every question opens it anew."""

    def __init__(self, store):
        self.store = store

    def rows(self, sql, *values):
        db = sqlite3.connect(f"file:{self.store}?mode=ro", uri=True, timeout=10)
        try:
            db.row_factory = sqlite3.Row
            return [dict(row) for row in db.execute(sql, values)]
        finally:
            db.close()

    def value(self, sql, *values):
        (row,) = self.rows(sql, *values)
        (value,) = row.values()
        return value

    def decisions(self):
        return self.rows("SELECT * FROM decisions ORDER BY id")

    def decision(self, id):
        (row,) = self.rows("SELECT * FROM decisions WHERE id = ?", id)
        return row

    def charges(self, id):
        return self.rows("SELECT * FROM charges WHERE decision = ? ORDER BY n", id)

    def ids(self):
        return {row["id"] for row in self.rows("SELECT id FROM decisions")}

    def spend(self, column="bound_pico"):
        return self.value(f"SELECT coalesce(sum({column}), 0) FROM spend")

    def lock(self):
        """Another program that writes, until the returned connection is closed."""
        db = sqlite3.connect(self.store, isolation_level=None, timeout=10, check_same_thread=False)
        db.execute("BEGIN IMMEDIATE")
        return db

    def is_consistent(self):
        """SQLite's own check, and ours: sums of charges are the decisions' and the spend's."""
        assert self.value("PRAGMA integrity_check") == "ok"
        wrong = self.rows(
            "SELECT id, d.bound_pico, sum(c.bound_pico) AS charged FROM decisions d JOIN charges c ON c.decision = id"
            " GROUP BY id HAVING d.bound_pico <> charged OR d.spent_pico <> sum(c.spent_pico)")
        assert not wrong, wrong[:3]
        charged = self.value("SELECT coalesce(sum(c.bound_pico), 0) FROM charges c JOIN decisions d ON d.id = c.decision"
                             " WHERE d.state <> 'open'")
        assert charged == self.spend(), (charged, self.spend())
        assert self.value("SELECT count(*) FROM decisions WHERE state <> 'open'") == self.spend("requests")
        return True
