"""How long a test waits for what must happen."""

import os
import threading
import time

SLOW = float(os.environ.get("FRUGAL_SLOW", "1"))
"""How much slower than a release build this one is; every time in a test is multiplied by it."""

PATIENCE = 10.0 * SLOW
"""Seconds after which something that must happen counts as not happening."""


def deadline(seconds=PATIENCE):
    return time.monotonic() + seconds


def eventually(look, what, seconds=PATIENCE):
    """Repeats `look` until it returns something true, for what signals to nobody (a scrape, /proc)."""
    until = deadline(seconds)
    pause = threading.Event()
    while True:
        seen = look()
        if seen:
            return seen
        if time.monotonic() > until:
            raise AssertionError(f"after {seconds:.0f} s still not so: {what}; last seen: {seen!r}")
        pause.wait(0.01)
