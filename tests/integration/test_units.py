"""The units of systemd: its own tools find nothing wrong in them, and little that the service could do if it were taken over."""

import pathlib
import re
import shutil
import subprocess
import sys

import pytest

from harness import config, expert, scripts
from harness.certificates import Authority

ROOT = pathlib.Path(__file__).resolve().parents[2]
EXPOSURE_MAX = 2.0


@pytest.fixture
def units(tmp_path):
    """The units as installed, with programs that are there."""
    for unit in ("frugal.service", "frugal.socket"):
        text = (ROOT / "config" / unit).read_text().replace("/usr/local/bin/frugald", shutil.which("true"))
        (tmp_path / unit).write_text(re.sub(r"(?m)^Documentation=.*\n", "", text))
    return tmp_path


def analyze(*arguments, cwd):
    ran = subprocess.run(["systemd-analyze", *map(str, arguments)], cwd=cwd, capture_output=True, text=True, timeout=60)
    return ran.returncode, ran.stdout + ran.stderr


def test_the_units_have_no_mistakes(units):
    _, said = analyze("verify", "--man=no", "./frugal.service", "./frugal.socket", cwd=units)
    # What an older systemd is to pass over stands behind what it knows.
    ours = [line for line in said.splitlines() if "frugal." in line and "notify-reload" not in line]
    assert not ours, said


def test_the_service_is_confined(units):
    code, said = analyze("security", "--offline=true", f"--threshold={int(EXPOSURE_MAX * 10)}", "frugal.service", cwd=units)
    found = re.search(r"Overall exposure level for frugal.service: ([0-9.]+)", said)
    assert found, said
    assert float(found[1]) < EXPOSURE_MAX and code == 0, said


def test_the_socket_has_the_name_that_the_daemon_looks_for():
    names = set(re.findall(r'#define (?:PUBLIC|ADMIN)_NAME +"(\w+)"', (ROOT / "gateway/main/listeners.c").read_text()))
    assert names == {"public", "admin"}
    assert re.search(r"(?m)^FileDescriptorName=public$", (ROOT / "config/frugal.socket").read_text())


def test_the_service_needs_no_system_call_that_its_unit_forbids(run, tmp_path):
    """All that it does: start, serve, call an expert over TLS, keep records, reload, drain. A forbidden call is EPERM, as in the unit."""
    text = (ROOT / "config/frugal.service").read_text()
    assert "SystemCallErrorNumber=EPERM" in text
    filters = re.findall(r"(?m)^SystemCallFilter=(.*)$", text)
    authority = Authority(tmp_path)
    pair = authority.issue("expert")
    small = run.expert(scripts.answer("confined"), tls=authority.server_context(pair))
    whole = config({"small": expert(small, ca_file=str(authority.cert))}, store=str(tmp_path / "store.db"),
                   admin=f"unix:{tmp_path}/admin.sock")
    launcher = [sys.executable, str(ROOT / "tests/integration/harness/confined.py"), *filters, "--"]
    # The leak checker traces its own process, which the unit forbids for good reason.
    gateway = run.gateway(whole, launcher=launcher, env={"LSAN_OPTIONS": "detect_leaks=0"})
    assert pathlib.Path(f"/proc/{gateway.pid}/status").read_text().count("Seccomp:\t2") == 1
    assert gateway.chat().json()["choices"][0]["message"]["content"] == "confined"
    with gateway.stream() as stream:
        assert stream.done or stream.text() == "confined"
    assert gateway.post("/admin/reload", b"", admin=True).status == 200
    assert gateway.get("/v1/decisions", admin=True).json()["data"]
    gateway.stop()
    said = gateway.log.text()
    assert "not permitted" not in said and "level=error" not in said
