"""Stages of the demo on one line of a terminal, or one line each in a log."""

import contextlib
import sys
import threading
import time


class Progress:
    def __init__(self, out=sys.stdout):
        self.out = out
        self.terminal = out.isatty()
        self.lock = threading.Lock()

    @contextlib.contextmanager
    def stage(self, name, total=0):
        """Yields a function to call after each of `total` pieces of work."""
        started = time.monotonic()
        done = 0

        def show():
            if self.terminal:
                filled = 24 * done // total if total else 0
                bar = f"[{'#' * filled}{' ' * (24 - filled)}] {done}/{total}" if total else "..."
                self.out.write(f"\r\033[K  {name} {bar}")
                self.out.flush()

        def tick():
            nonlocal done
            with self.lock:
                done += 1
                if done % 10 == 0:
                    show()

        show()
        yield tick
        clear = "\r\033[K" if self.terminal else ""
        self.out.write(f"{clear}  {name:<52} {time.monotonic() - started:6.1f} s\n")
        self.out.flush()

    def close(self):
        self.out.write("\n")
        self.out.flush()
