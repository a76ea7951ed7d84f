"""The daemon, wrapped: its own folder, ports it chose itself, its log at hand, and a clean end asserted."""

import json
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile

from .logs import LogBook
from .metrics import Metrics
from .waiting import PATIENCE
from .wire import Response, Stream, Wire, request_bytes

BUILD = pathlib.Path(os.environ.get("FRUGAL_BUILD", "build/release")).resolve()
HERE = pathlib.Path(__file__).resolve().parent


def sanitizer_environment(folder):
    """Reports go to files that the end of a test looks for."""
    log = f"log_path={folder}/sanitizer"
    return {
        "ASAN_OPTIONS": f"{log}:detect_leaks=1:abort_on_error=0:disable_coredump=0:exitcode=99:detect_stack_use_after_return=1",
        "UBSAN_OPTIONS": f"{log}:print_stacktrace=1:halt_on_error=1:exitcode=99",
        "LSAN_OPTIONS": f"suppressions={HERE}/lsan.supp:print_suppressions=0",
        "TSAN_OPTIONS": f"{log}:disable_coredump=0:exitcode=99:halt_on_error=0:history_size=4:suppressions={HERE}/tsan.supp",
        "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1",
    }


def valgrind(folder):
    """Before the daemon's command where FRUGAL_VALGRIND is set: what it finds is a report like a sanitizer's."""
    if not os.environ.get("FRUGAL_VALGRIND"):
        return []
    return ["valgrind", "-q", f"--log-file={folder}/sanitizer.%p", "--error-exitcode=99", "--leak-check=full",
            "--errors-for-leak-kinds=definite", f"--suppressions={HERE}/valgrind.supp"]


def sanitizer_reports(folder):
    return "\n".join(path.read_text(errors="replace") for path in sorted(pathlib.Path(folder).glob("sanitizer*")))


def run_frugald(*arguments, config=None, files=(), env=None, patience=PATIENCE):
    """Runs the daemon where it is expected to end by itself; gives code, stdout, stderr and the folder's path."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="frugald-"))
    try:
        arguments = [str(argument) for argument in arguments]
        write_files(folder, files)
        if config is not None:
            path = folder / "config.json"
            path.write_text(config if isinstance(config, str) else json.dumps(config, indent=2))
            arguments = ["--config", str(path)] + arguments
        ran = subprocess.run(
            [str(BUILD / "frugald"), *arguments], capture_output=True, timeout=patience, cwd=folder,
            env={**os.environ, **sanitizer_environment(folder), **(env or {})})
        ran.out, ran.err = ran.stdout.decode(errors="replace"), ran.stderr.decode(errors="replace")
        reports = sanitizer_reports(folder)
        assert not reports, reports
        return ran
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def write_files(folder, files):
    for name, content in dict(files).items():
        (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())


class Gateway:
    """A running daemon. `config` is a dict; `files` (name: content) stand beside it, `env` is added."""

    host = "127.0.0.1"

    def __init__(self, config, files=(), env=None, arguments=(), launcher=(), pass_fds=()):
        """`launcher` is a command that becomes the daemon, with those descriptors open."""
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="frugald-"))
        write_files(self.folder, files)
        self.config_path = self.folder / "config.json"
        self.write_config(config)
        self.process = subprocess.Popen(
            [*launcher, *valgrind(self.folder), str(BUILD / "frugald"), "--config", str(self.config_path), *arguments],
            stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL, cwd=self.folder, pass_fds=pass_fds,
            env={**os.environ, **sanitizer_environment(self.folder), **(env or {})})
        self.log = LogBook(self.process.stderr)
        self._failed = False
        self._reports = None
        try:
            self.port = self._listening("public")
            self.admin_port = self._listening("admin") if self._has_admin else None
            self.log.wait(event="ready")
        except BaseException:
            self._failed = True
            self.process.kill()
            self._finish()
            raise

    def _listening(self, name):
        line = self.log.wait(event="listening", listener=name)
        address = line["address"]
        return address[5:] if address.startswith("unix:") else int(address.rsplit(":", 1)[1])

    def write_config(self, config):
        self._has_admin = isinstance(config, str) or config["admin"] is not None
        self.config_path.write_text(config if isinstance(config, str) else json.dumps(config, indent=2))

    # -- asking

    def connect(self, admin=False, **options):
        return Wire.to(self.admin_port if admin else self.port, host=self.host, **options)

    def request(self, method, target, body=None, headers=(), admin=False, wire=None):
        """One request and the whole answer, on a connection of its own unless `wire` is given."""
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
        own = wire is None
        wire = wire or self.connect(admin)
        try:
            wire.send(request_bytes(method, target, headers, body))
            return Response(wire, method)
        finally:
            if own:
                wire.close()

    def get(self, target, admin=False, headers=()):
        return self.request("GET", target, headers=headers, admin=admin)

    def post(self, target, body, headers=(), admin=False):
        return self.request("POST", target, body, headers, admin)

    def admin_url(self):
        """As frugalctl takes it; `admin_port` is a Unix socket's path where there is one."""
        return f"unix:{self.admin_port}" if isinstance(self.admin_port, str) else f"http://127.0.0.1:{self.admin_port}"

    def chat(self, prompt="what is the capital of France?", model="auto", headers=(), **fields):
        """A chat request; `fields` are further fields of its body."""
        return self.post("/v1/chat/completions", chat_body(prompt, model, **fields), headers)

    def stream(self, prompt="what is the capital of France?", model="auto", headers=(), wire=None, **fields):
        """The same as a stream, returned as soon as its head is there."""
        return Stream(self.start(prompt, model, headers, wire, stream=True, **fields))

    def start(self, prompt="what is the capital of France?", model="auto", headers=(), wire=None, **fields):
        """Sends a chat request and reads nothing yet; gives the connection."""
        wire = wire or self.connect()
        body = json.dumps(chat_body(prompt, model, **fields)).encode()
        wire.send(request_bytes("POST", "/v1/chat/completions", headers, body))
        return wire

    def metrics(self):
        answer = self.get("/metrics", admin=True)
        assert answer.status == 200, answer
        return Metrics(answer.body.decode())

    def wait_probed(self, embedder="embedder", count=1):
        """Until that remote embedder was compared with the bundle; gives the line that says so."""
        return self.log.wait(event="embedder_probed", embedder=embedder, count=count)

    # -- looking at it

    @property
    def pid(self):
        return self.process.pid

    def resident_bytes(self):
        pages = int(pathlib.Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    def open_files(self):
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    # -- ending

    def signal(self, number):
        self.process.send_signal(number)

    def reload(self):
        self.signal(signal.SIGHUP)

    def terminate(self):
        self.signal(signal.SIGTERM)

    def wait_exit(self, patience=PATIENCE):
        return self.process.wait(patience)

    def kill(self):
        """Ends it as a crash would: kill -9, from one instruction to the next."""
        self.process.kill()
        self._finish()
        assert not self._reports, self._reports

    def stop(self):
        """Ends it as an operator would and asserts that it went cleanly."""
        if self.process.poll() is None:
            self.terminate()
        try:
            code = self.wait_exit()
        except subprocess.TimeoutExpired:
            self.process.send_signal(signal.SIGABRT)
            self.process.wait(PATIENCE)
            code = "still running long after SIGTERM"
        self._finish()
        reports = self._reports
        self._failed = self._failed or code != 0 or bool(reports)
        if self._failed:
            self._show()
        assert not reports, reports
        assert code == 0, f"frugald ended with {code}"

    def _finish(self):
        self.process.wait()
        self.log.close()
        self._reports = sanitizer_reports(self.folder)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _show(self):
        print(f"-- frugald's log\n{self.log.text()}\n{self._reports}-- end of the log")

    def show_at_end(self):
        """The test failed: its log is worth reading."""
        self._failed = True

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        self._failed = self._failed or kind is not None
        if self._reports is None:
            self.stop()


def chat_body(prompt, model, **fields):
    messages = prompt if isinstance(prompt, list) else [{"role": "user", "content": prompt}]
    return {"model": model, "messages": messages, **fields}
