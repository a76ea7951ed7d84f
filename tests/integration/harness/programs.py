"""The other two programs: frugal-experts as a server, frugalctl as a command."""

import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import threading

from .gateway import BUILD, sanitizer_environment, sanitizer_reports
from .waiting import PATIENCE


class Experts:
    """`frugal-experts serve` on a port of its own choice."""

    def __init__(self, *arguments):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="frugal-experts-"))
        self.process = subprocess.Popen(
            [str(BUILD / "frugal-experts"), "serve", "--listen", "127.0.0.1:0", *arguments],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL,
            env={**os.environ, **sanitizer_environment(self.folder)})
        watch = threading.Timer(PATIENCE, self.process.kill)
        watch.start()
        said = self.process.stdout.readline().decode()
        watch.cancel()
        found = re.match(r"listening on 127\.0\.0\.1:(\d+)$", said.strip())
        if not found:
            self.process.kill()
            raise AssertionError(f"frugal-experts said {said!r} and {self.process.stderr.read()!r}")
        self.port = int(found[1])
        self.url = f"http://127.0.0.1:{self.port}/v1"
        # Its log is drained so that a full pipe never stops it, and kept for a failure.
        self._log = []
        for stream in (self.process.stdout, self.process.stderr):
            threading.Thread(target=lambda s=stream: self._log.extend(s), daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        self.process.terminate()
        try:
            code = self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            code = "still running after SIGTERM"
        reports = sanitizer_reports(self.folder)
        shutil.rmtree(self.folder, ignore_errors=True)
        if kind is None:
            assert not reports, reports
            assert code == 0, f"frugal-experts ended with {code}: {b''.join(self._log)!r}"


def frugalctl(*arguments, check=True, cwd=None, env=None, patience=6 * PATIENCE):
    """Runs frugalctl; gives the finished process with `out` and `err` as text."""
    return run_program(BUILD / "frugalctl", *arguments, check=check, cwd=cwd, env=env, patience=patience)


def run_program(program, *arguments, check=True, cwd=None, env=None, patience=6 * PATIENCE, stdin=""):
    with tempfile.TemporaryDirectory(prefix="frugal-run-") as folder:
        ran = subprocess.run(
            [str(program), *map(str, arguments)], capture_output=True, timeout=patience, cwd=cwd,
            input=stdin.encode(),
            env={**os.environ, **sanitizer_environment(folder), **(env or {})})
        ran.out, ran.err = ran.stdout.decode(errors="replace"), ran.stderr.decode(errors="replace")
        reports = sanitizer_reports(folder)
        assert not reports, reports
        if check:
            assert ran.returncode == 0, f"{pathlib.Path(program).name} {arguments}: {ran.returncode}\n{ran.err}\n{ran.out}"
        return ran
