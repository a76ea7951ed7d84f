"""The service manager, as far as a daemon sees it: sockets that outlive it, a socket it tells its state to, a watchdog."""

import fcntl
import os
import pathlib
import shutil
import socket
import tempfile
import threading
import time

from .waiting import PATIENCE, deadline

# Becomes the daemon, with the descriptors named by the first word as 3, 4, 5...
LAUNCH = """
fds=$1; shift; n=3
for fd in $fds; do eval "exec $n<&$fd $fd<&-"; n=$((n + 1)); done
[ -z "$fds" ] || export LISTEN_PID=$$ LISTEN_FDS=$((n - 3))
[ -z "$WATCHDOG_USEC" ] || export WATCHDOG_PID=$$
exec "$@"
"""


class Manager:
    """`sockets` are (name, listening socket); a message is a dict of its lines, with the time at which it came."""

    def __init__(self, sockets=(), watchdog_ms=None):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="frugal-manager-"))
        self.sockets = list(sockets)
        # Out of the way of the numbers that the daemon is to find them under.
        self._fds = [fcntl.fcntl(sock.fileno(), fcntl.F_DUPFD, 100) for _, sock in self.sockets]
        self._watchdog_ms = watchdog_ms
        self._heard = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._heard.bind(str(self.folder / "notify"))
        self.messages = []
        self._changed = threading.Condition(threading.RLock())
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self):
        while True:
            try:
                data = self._heard.recv(65536)
            except OSError:
                return
            message = dict(line.partition("=")[::2] for line in data.decode().split("\n") if line)
            message["at"] = time.monotonic()
            with self._changed:
                self.messages.append(message)
                self._changed.notify_all()

    def launch(self):
        """Options for a Gateway that this manager starts."""
        env = {"NOTIFY_SOCKET": str(self.folder / "notify"), "WATCHDOG_USEC": ""}
        if self.sockets:
            env["LISTEN_FDNAMES"] = ":".join(name for name, _ in self.sockets)
        if self._watchdog_ms is not None:
            env["WATCHDOG_USEC"] = str(int(self._watchdog_ms * 1000))
        return {"launcher": ["bash", "-c", LAUNCH, "launch", " ".join(map(str, self._fds))], "pass_fds": self._fds, "env": env}

    def told(self, **fields):
        """The messages so far that have these lines; True: whatever it says."""
        with self._changed:
            return [message for message in self.messages
                    if all(name in message and value in (True, message[name]) for name, value in fields.items())]

    def wait(self, count=1, **fields):
        """The count-th such message, as soon as it is there."""
        until = deadline(PATIENCE)
        with self._changed:
            while True:
                found = self.told(**fields)
                if len(found) >= count:
                    return found[count - 1]
                left = until - time.monotonic()
                assert left > 0 and self._changed.wait(left), f"never told {fields} {count} times: {self.messages}"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for fd in self._fds:
            os.close(fd)
        self._heard.close()
        shutil.rmtree(self.folder, ignore_errors=True)


def listening(address=("127.0.0.1", 0), family=socket.AF_INET):
    sock = socket.socket(family)
    sock.bind(address)
    sock.listen(4096)
    return sock
