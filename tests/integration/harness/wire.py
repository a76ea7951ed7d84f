"""HTTP/1.1 with nothing hidden, for both ends of a test.

Wire    one connection: reads heads and bodies with a deadline, writes raw bytes
Head    a request's or an answer's start line and fields, in order, as they came
Response, Stream    what the gateway answered

A body that ends before its framing says so raises Cut, so a torn answer is never taken for a whole one.
"""

import json
import re
import select
import socket
import time

from .waiting import PATIENCE


class Cut(Exception):
    """The peer ended the connection inside a message."""


class Head:
    def __init__(self, raw):
        self.raw = raw
        start, *lines = raw.rstrip(b"\r\n").split(b"\r\n")
        self.start = start.decode("latin-1")
        self.fields = []
        for line in lines:
            name, _, value = line.partition(b":")
            self.fields.append((name.decode("latin-1"), value.strip().decode("latin-1")))

    def all(self, name):
        return [value for field, value in self.fields if field.lower() == name.lower()]

    def get(self, name, default=None):
        values = self.all(name)
        return values[0] if values else default

    def __getitem__(self, name):
        values = self.all(name)
        assert len(values) == 1, f"expected exactly one '{name}', got {values} in {self.raw!r}"
        return values[0]

    def __contains__(self, name):
        return bool(self.all(name))

    def __repr__(self):
        return f"<{self.start!r} {self.fields!r}>"


class Wire:
    def __init__(self, sock, patience=PATIENCE):
        self.sock = sock
        self.patience = patience
        self._buffer = bytearray()
        sock.settimeout(patience)
        if sock.family != socket.AF_UNIX:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    @classmethod
    def to(cls, port, patience=PATIENCE, receive_buffer=None, host="127.0.0.1"):
        """To a port of loopback, or to a Unix socket by its path."""
        if isinstance(port, str):
            sock = socket.socket(socket.AF_UNIX)
            sock.settimeout(patience)
            sock.connect(port)
            return cls(sock, patience)
        if receive_buffer is None:
            return cls(socket.create_connection((host, port), timeout=patience), patience)
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        sock.settimeout(patience)
        sock.connect((host, port))
        return cls(sock, patience)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    # -- writing

    def send(self, data):
        self.sock.sendall(data)

    def close(self):
        self.sock.close()

    def reset(self):
        """Ends the connection with RST instead of FIN."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        self.sock.close()

    # -- reading

    def _fill(self):
        try:
            data = self.sock.recv(65536)
        except ConnectionError:
            data = b""
        self._buffer += data
        return bool(data)

    def _take(self, n):
        data = bytes(self._buffer[:n])
        del self._buffer[:n]
        return data

    def read_until(self, mark):
        """Bytes up to and with `mark`; None where the peer ended cleanly before any byte."""
        start = 0
        while True:
            at = self._buffer.find(mark, start)
            if at >= 0:
                return self._take(at + len(mark))
            start = max(0, len(self._buffer) - len(mark))
            if not self._fill():
                if self._buffer:
                    raise Cut(f"after {bytes(self._buffer[-200:])!r}")
                return None

    def read_head(self):
        raw = self.read_until(b"\r\n\r\n")
        return None if raw is None else Head(raw)

    def read_some(self):
        """What there is, waiting for at least a byte; empty at the end."""
        if not self._buffer and not self._fill():
            return b""
        return self._take(len(self._buffer))

    def pieces(self, head, is_answer):
        """The body's bytes as they come in, by the framing that `head` names."""
        if "chunked" in head.get("Transfer-Encoding", "").lower():
            while True:
                line = self.read_until(b"\r\n")
                if line is None:
                    raise Cut("before a chunk")
                left = size = int(line.split(b";")[0], 16)
                while left:
                    piece = self._piece(left)
                    left -= len(piece)
                    yield piece
                end = self.read_until(b"\r\n")
                while size == 0 and end not in (b"\r\n", None):
                    end = self.read_until(b"\r\n")
                if end is None:
                    raise Cut("after a chunk")
                if size == 0:
                    return
        elif "Content-Length" in head:
            left = int(head["Content-Length"])
            while left:
                piece = self._piece(left)
                left -= len(piece)
                yield piece
        elif is_answer:
            while piece := self.read_some():
                yield piece

    def _piece(self, most):
        if not self._buffer and not self._fill():
            raise Cut("inside a body")
        return self._take(min(most, len(self._buffer)))

    def read_body(self, head, is_answer):
        return b"".join(self.pieces(head, is_answer))

    # -- watching

    def wait_gone(self, patience=None):
        """Waits until the peer closes or resets; says whether it did. Reads nothing."""
        until = time.monotonic() + (self.patience if patience is None else patience)
        poll = select.poll()
        poll.register(self.sock, select.POLLRDHUP | select.POLLHUP | select.POLLERR)
        while True:
            left = until - time.monotonic()
            if poll.poll(max(0, left * 1000)):
                return True
            if left <= 0:
                return False


def request_bytes(method, target, headers=(), body=None, host="gateway.test"):
    """A request as a plain client writes it. `headers` is a dict, or pairs where one is to be repeated."""
    pairs = list(headers.items()) if isinstance(headers, dict) else list(headers)
    names = {name.lower() for name, _ in pairs}
    if "host" not in names:
        pairs.insert(0, ("Host", host))
    if body is not None:
        if "content-type" not in names:
            pairs.append(("Content-Type", "application/json"))
        if "content-length" not in names and "transfer-encoding" not in names:
            pairs.append(("Content-Length", str(len(body))))
    lines = [f"{method} {target} HTTP/1.1"] + [f"{name}: {value}" for name, value in pairs]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + (body or b"")


class Response:
    """A whole answer."""

    def __init__(self, wire, method="POST"):
        self.head = wire.read_head()
        if self.head is None:
            raise Cut("no answer at all")
        self.status = int(self.head.start.split(" ")[1])
        while self.status == 100:
            self.head = wire.read_head()
            self.status = int(self.head.start.split(" ")[1])
        empty = method == "HEAD" or self.status in (204, 304)
        self.body = b"" if empty else wire.read_body(self.head, is_answer=True)

    def json(self):
        return json.loads(self.body)

    @property
    def error(self):
        """The error object, after a look at its shape: clients parse it blindly."""
        error = self.json()["error"]
        assert isinstance(error["message"], str) and error["message"], self
        assert isinstance(error["type"], str) and error["type"], self
        assert "param" in error and "code" in error, self
        return error

    def __getitem__(self, name):
        return self.head[name]

    def __contains__(self, name):
        return name in self.head

    def get(self, name, default=None):
        return self.head.get(name, default)

    def __repr__(self):
        return f"<{self.head!r} {self.body[:2000]!r}>"


_EVENT_END = re.compile(rb"(?:\r\n|\n|\r)(?:\r\n|\n|\r)")


class Stream:
    """An answer read event by event. Iterating gives each event's data; after the end, `cut` says whether the
    connection ended inside the body and `done` whether [DONE] was seen."""

    def __init__(self, wire):
        self.wire = wire
        self.head = wire.read_head()
        if self.head is None:
            raise Cut("no answer at all")
        self.status = int(self.head.start.split(" ")[1])
        self.raw = bytearray()
        self.cut = False
        self.done = False
        self._pieces = wire.pieces(self.head, is_answer=True)
        self._read = 0  # of raw: what was given out

    def __iter__(self):
        return self

    def __next__(self):
        while True:
            data = [line[5:].lstrip(b" ") for line in self._lines() if line.startswith(b"data:")]
            if data:
                text = b"\n".join(data).decode()
                self.done = self.done or text == "[DONE]"
                return text

    def _lines(self):
        """The lines of the next event, whichever of LF, CRLF and CR ends them."""
        seen = self._read
        while True:
            found = _EVENT_END.search(self.raw, seen)
            # A CR at the end of what is there may be half of a CRLF.
            if found and not (found.end() == len(self.raw) and self.raw.endswith(b"\r") and self._more()):
                event = bytes(self.raw[self._read:found.start()])
                self._read = found.end()
                return re.split(rb"\r\n|\n|\r", event)
            seen = max(self._read, len(self.raw) - 4)
            if not found and not self._more():
                raise StopIteration

    def _more(self):
        try:
            self.raw += next(self._pieces)
            return True
        except StopIteration:
            return False
        except Cut:
            self.cut = True
            return False

    def chunks(self):
        """The rest, each event parsed, without [DONE]."""
        return [json.loads(data) for data in self if data != "[DONE]"]

    def text(self):
        """The rest of the content, put together."""
        return "".join(
            choice["delta"].get("content") or ""
            for chunk in self.chunks() for choice in chunk.get("choices", []))

    def __getitem__(self, name):
        return self.head[name]

    def __contains__(self, name):
        return name in self.head

    def close(self):
        self.wire.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
