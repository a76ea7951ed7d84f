"""Shell blocks of documents, run as they stand there.

    marked(text)                    blocks behind the line <!-- test -->: those of a page that shows others, too
    blocks(text)                    all of them, but for those behind <!-- not run: why -->
    run_shell(script, folder, env)  by bash, which ends at the first command that fails, and what it left running with it
"""

import os
import pathlib
import re
import signal
import subprocess

from .gateway import BUILD
from .waiting import PATIENCE

ROOT = pathlib.Path(__file__).resolve().parents[3]


def marked(text):
    return re.findall(r"^<!-- test -->\n```sh\n(.*?)^```$", text, re.M | re.S)


def blocks(text):
    return [block for skipped, block in re.findall(r"^(<!-- not run: [^\n]+ -->\n)?```sh\n(.*?)^```$", text, re.M | re.S)
            if not skipped]


def run_shell(script, folder=None, env=None, patience=PATIENCE):
    """`out` and `err` as text; programs of this build and of the tests' Python come first."""
    path = f"{BUILD}:{ROOT / 'build' / 'venv' / 'bin'}:{os.environ['PATH']}"
    with subprocess.Popen(["bash", "-euo", "pipefail", "-c", script], cwd=folder, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
                          env={"PATH": path, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1",
                               **(env or {})}) as ran:
        try:
            ran.out, ran.err = ran.communicate(timeout=patience)
        except subprocess.TimeoutExpired:
            os.killpg(ran.pid, signal.SIGKILL)
            raise AssertionError(f"not over after {patience:.0f} s: {ran.communicate()}") from None
    return ran
