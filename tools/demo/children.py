"""The demo's programs: run, watched, and ended by pid, whatever happens."""

import json
import pathlib
import re
import subprocess
import sys
import threading

from setting import EMBEDDERS, OUTPUT_TOKENS

PATIENCE_S = 60


class Failed(Exception):
    """What went wrong, with the end of the log of the program that did."""


class Children:
    def __init__(self, build, folder):
        self.build = pathlib.Path(build)
        self.folder = pathlib.Path(folder)
        self.running = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process in reversed(self.running):
            process.terminate()
        for process in reversed(self.running):
            try:
                process.wait(PATIENCE_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def program(self, name):
        path = self.build / name
        if not path.exists():
            raise Failed(f"{path} is missing: run make")
        return str(path)

    def log(self, name):
        return self.folder / f"{name}.log"

    def tail(self, name):
        lines = self.log(name).read_text(encoding="utf-8", errors="replace").splitlines()
        return "\n".join(f"    {line}" for line in lines[-15:])

    def experts(self, *arguments):
        """Lines that frugal-experts prints."""
        done = subprocess.run(
            [self.program("frugal-experts"), *map(str, arguments)], stdout=subprocess.PIPE, text=True, check=False
        )
        if done.returncode != 0:
            raise Failed(f"frugal-experts {arguments[0]} ended with {done.returncode}")
        return done.stdout.splitlines(keepends=True)

    def start(self, name, arguments, pattern):
        """Starts a server; gives what `pattern` finds in its output, which all goes to its log."""
        process = subprocess.Popen(
            [self.program(name), *arguments],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
            cwd=self.folder, start_new_session=True,
        )
        self.running.append(process)
        found = []
        told = threading.Event()

        def read():
            with open(self.log(name), "w", encoding="utf-8") as log:
                for line in process.stdout:
                    log.write(line)
                    log.flush()
                    match = None if found else re.search(pattern, line)
                    if match:
                        found.append(match[1])
                        told.set()
            told.set()

        threading.Thread(target=read, daemon=True).start()
        if not told.wait(PATIENCE_S) or not found:
            raise Failed(f"{name} did not start:\n{self.tail(name)}")
        return found[0]

    def start_experts(self):
        return self.start("frugal-experts", ["serve", "--listen", "127.0.0.1:0"], r"^listening on (\S+)")

    def start_gateway(self):
        return self.start(
            "frugald", ["--config", "frugal.json"], r"event=listening\b.*\blistener=public\b.*\baddress=\"?([^\s\"]+)"
        )

    def write_config(self, configuration):
        path = self.folder / "frugal.json"
        path.write_text(json.dumps(configuration, indent=2) + "\n", encoding="utf-8")

    def ctl(self, *arguments):
        """frugalctl shows its own progress on a terminal; otherwise it goes to its log."""
        name = f"frugalctl-{arguments[0]}"
        command = [self.program("frugalctl"), *arguments]
        with open(self.log(name), "w", encoding="utf-8") as log:
            errors = None if sys.stderr.isatty() else log
            code = subprocess.run(command, cwd=self.folder, stdout=log, stderr=errors, check=False).returncode
        if code != 0:
            raise Failed(f"frugalctl {arguments[0]} ended with {code}:\n{self.tail(name)}")

    def calibrate(self):
        self.ctl(
            "calibrate", "--config", "frugal.json", "--prompts", "calibration.jsonl", "--store", "calibration.db",
            "--concurrency", "16", "--max-output-tokens", str(OUTPUT_TOKENS),
        )

    def build_bundle(self):
        self.ctl(
            "build", "--config", "frugal.json", "--store", "calibration.db", "--out", "bundle.frugal",
            "--embedders", ",".join(EMBEDDERS),
        )

    def wait(self):
        """Until the gateway ends by itself, or Ctrl-C."""
        self.running[-1].wait()
        raise Failed(f"frugald ended:\n{self.tail('frugald')}")
