"""Everything an expert can do wrong, one entry each: how its endpoint comes about, and what its clients may be told.

An evil is a context manager that gives the endpoint's URL. `mid` says that a stream fails after its first content, when no
other expert can take over any more.
"""

import contextlib
import dataclasses
import gzip
import json
import socket
import ssl
import subprocess
import tempfile
from collections.abc import Callable

from harness import Expert, scripts


@dataclasses.dataclass
class Evil:
    name: str
    open: Callable            # a context manager that gives a URL
    mid: bool = False         # a stream breaks after its first content
    slow: bool = False        # found out by a time limit
    statuses: tuple = (502, 503, 504)


def scripted(name, script, **more):
    return Evil(name, lambda: _expert(script), **more)


@contextlib.contextmanager
def _expert(script, tls=None):
    with Expert(script, tls=tls) as expert:
        yield expert.url


@contextlib.contextmanager
def _refused():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))  # bound, never listening: refused, and nobody else gets the port
        yield f"http://127.0.0.1:{sock.getsockname()[1]}/v1"


@contextlib.contextmanager
def _black_hole():
    """A port whose connections are never completed: its queue is full, as behind a firewall that drops."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(4):
            sock = stack.enter_context(socket.socket())
            sock.setblocking(False)
            sock.connect_ex(listener.getsockname())
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/v1"


@contextlib.contextmanager
def _no_tls():
    with Expert(scripts.answer()) as expert:
        yield expert.url.replace("http://", "https://")


@contextlib.contextmanager
def _untrusted():
    with tempfile.TemporaryDirectory(prefix="stranger-") as folder:
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
             "-subj", "/CN=stranger", "-addext", "subjectAltName=IP:127.0.0.1",
             "-keyout", f"{folder}/key.pem", "-out", f"{folder}/cert.pem"], check=True, capture_output=True)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(f"{folder}/cert.pem", f"{folder}/key.pem")
        with _expert(scripts.answer(), tls=context) as url:
            yield url


@contextlib.contextmanager
def _no_name():
    yield "http://nowhere.invalid/v1"


def _streams(call):
    return bool(call.json().get("stream"))


def _begin(call):
    """As far as good manners go: a stream with its first content, or half of a body."""
    if _streams(call):
        call.head(stream=True)
        call.chunk("", role="assistant")
        call.chunk("to be")
    else:
        call.head(length=1000)
        call.raw_bytes(b'{"id": "x", "choices": [')


def _stall(call):
    _begin(call)
    call.stall()


def _cut(call):
    _begin(call)
    call.cut()


def _reset(call):
    _begin(call)
    call.cut(reset=True)


def _bad_chunk(call):
    call.head(stream=_streams(call))
    if _streams(call):
        call.chunk("to be")
    call.raw_bytes(b"zz\r\nnot a chunk\r\n")
    call.stall()


def _malformed(call):
    if _streams(call):
        _begin(call)
        call.event('{"choices": [{"delta": {"content": "or')
        call.done()
    else:
        call.answer(b'{"id": "x", "choices": [{')


def _in_band(call):
    error = {"error": {"message": "out of memory", "type": "server_error", "param": None, "code": None}}
    if _streams(call):
        _begin(call)
        call.event(error)
        call.done()
    else:
        call.answer(error)


def _in_band_first(call):
    error = {"error": {"message": "out of memory", "type": "server_error", "param": None, "code": None}}
    if _streams(call):
        call.head(stream=True)
        call.event(error)
        call.done()
    else:
        call.answer(error)


def _pour(call, data):
    """For ever, until the gateway has had enough."""
    call.keep = False
    try:
        while not call.expert.closing.is_set():
            call.piece(data)
    except OSError:
        pass


def _gigantic(call):
    call.head(stream=_streams(call))
    call.piece(b"data: {" if _streams(call) else b'{"id": "')
    _pour(call, b"x" * 65536)


def _gigantic_with_length(call):
    call.head(length=10 ** 15)
    _pour(call, b" " * 65536)


BOMB = gzip.compress(b'{"choices": [' + b" " * 30_000_000)


def _bomb(call):
    call.answer(BOMB, headers={"Content-Encoding": "gzip", "Content-Type": "text/event-stream" if _streams(call)
                               else "application/json"})


def _long_length(call):
    """Says more than it has."""
    body = json.dumps(scripts.completion()).encode()
    call.head(length=len(body) + 1000)
    call.raw_bytes(body)
    call.cut()


def _short_length(call):
    """Has more than it says."""
    body = json.dumps(scripts.completion()).encode()
    call.head(length=len(body) - 40)
    call.raw_bytes(body)
    call.cut()


def _wrong_type(call):
    call.answer(b"<html><body>Welcome to the hotel's wireless network</body></html>", headers={"Content-Type": "text/html"})


def _empty(call):
    call.head(length=0, stream=_streams(call))


def _headers_for_ever(call):
    call.raw_bytes(b"HTTP/1.1 200 OK\r\n")
    call.keep = False
    try:
        while not call.expert.closing.is_set():
            call.raw_bytes(b"X-More: " + b"y" * 1000 + b"\r\n")
    except OSError:
        pass


LIMITED = {"message": "slow down", "kind": "rate_limit_error"}
EVILS = {evil.name: evil for evil in [
    Evil("connect refused", _refused),
    Evil("black hole", _black_hole, slow=True),
    Evil("TLS error", _no_tls),
    Evil("TLS of a stranger", _untrusted),
    Evil("DNS failure", _no_name),
    scripted("slow first byte", scripts.silent, slow=True),
    scripted("stall in mid-stream", _stall, mid=True, slow=True),
    scripted("cut", _cut, mid=True),
    scripted("reset", _reset, mid=True),
    scripted("bad chunk", _bad_chunk, mid=True),
    scripted("malformed line", _malformed, mid=True),
    scripted("in-band error", _in_band, mid=True),
    scripted("in-band error first", _in_band_first),
    scripted("empty 200", _empty),
    scripted("429 with Retry-After", scripts.refuse(429, headers={"Retry-After": "7"}, **LIMITED), statuses=(429, 503)),
    scripted("429 without Retry-After", scripts.refuse(429, **LIMITED), statuses=(429, 503)),
    scripted("500", scripts.refuse(500)),
    scripted("503", scripts.refuse(503)),
    scripted("wrong content type", _wrong_type),
    scripted("gigantic answer", _gigantic),
    scripted("gigantic answer with a length", _gigantic_with_length),
    scripted("gzip bomb", _bomb),
    scripted("Content-Length too long", _long_length),
    scripted("Content-Length too short", _short_length),
    scripted("headers without an end", _headers_for_ever),
]}
