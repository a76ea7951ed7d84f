"""What the HTTP library does by itself, and what we refuse because two servers could read it differently.

The same rows stand in docs/internals/http.md, which is held against this file.
"""

import json
import pathlib
import re

import pytest

from harness import Response, scripts
from harness.wire import Cut

ASK = json.dumps({"model": "small", "messages": [{"role": "user", "content": "x"}]}).encode()
HOST = b"Host: gateway.test\r\n"
GET = b"GET /v1/models HTTP/1.1\r\n" + HOST
POST = b"POST /v1/chat/completions HTTP/1.1\r\n" + HOST
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"
SIZE = b"%x" % len(ASK)
DOC = pathlib.Path(__file__).resolve().parents[2] / "docs" / "internals" / "http.md"


def length(*values):
    return POST + b"".join(b"Content-Length: " + value + b"\r\n" for value in values) + b"\r\n" + ASK


# name: bytes, status (None: closed without an answer), who answers, what becomes of the connection
ROWS = {
    "bare LF line ends": (b"GET /v1/models HTTP/1.1\nHost: x\n\n", 200, "served", "kept"),
    "blank lines before the request": (b"\r\n\r\n" + GET + b"\r\n", 200, "served", "kept"),
    "folded header": (GET + b"A: b\r\n c\r\n\r\n", 200, "served", "kept"),
    "folded line before any header": (b"GET /v1/models HTTP/1.1\r\n A: b\r\n" + HOST + b"\r\n", 400, "gateway", "closed"),
    "NUL in a value": (GET + b"A: b\0c\r\n\r\n", 200, "served", "kept"),
    "NUL in a name": (GET + b"A\0: b\r\n\r\n", 400, "library", "closed"),
    "lone CR in a value": (GET + b"A: b\rc\r\n\r\n", 400, "gateway", "closed"),
    "blank before the colon": (POST + b"Content-Length : %d\r\n\r\n" % len(ASK), 400, "gateway", "closed"),
    "empty header name": (GET + b": b\r\n\r\n", 200, "served", "kept"),
    "header without a colon": (GET + b"colon\r\n\r\n", 400, "library", "closed"),
    "only a method": (b"GET\r\n\r\n", None, "library", "closed"),
    "no version": (b"GET /v1/models\r\n" + HOST + b"\r\n", 400, "library", "closed"),
    "TLS hello": (b"\x16\x03\x01\x02\x00\x01\r\n\r\n", None, "library", "closed"),
    "HTTP/1.2": (b"GET /v1/models HTTP/1.2\r\n" + HOST + b"\r\n", 200, "served", "kept"),
    "HTTP/2.0": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505, "library", "closed"),
    "HTTP/0.9": (b"GET /v1/models HTTP/0.9\r\n\r\n", 505, "library", "closed"),
    "target of 14 KB": (b"GET /" + b"a" * 14000 + b" HTTP/1.1\r\n" + HOST + b"\r\n", 431, "gateway", "closed"),
    "target of 20 KB": (b"GET /" + b"a" * 20000 + b" HTTP/1.1\r\n" + HOST + b"\r\n", 414, "library", "closed"),
    "header of 14 KB": (GET + b"A: " + b"a" * 14000 + b"\r\n\r\n", 431, "gateway", "closed"),
    "header of 20 KB": (GET + b"A: " + b"a" * 20000 + b"\r\n\r\n", 431, "library", "closed"),
    "100 headers": (GET + b"".join(b"h%d: v\r\n" % n for n in range(100)) + b"\r\n", 200, "served", "kept"),
    "200 headers": (GET + b"".join(b"h%d: v\r\n" % n for n in range(200)) + b"\r\n", 431, "gateway", "closed"),
    "600 headers": (GET + b"".join(b"h%d: v\r\n" % n for n in range(600)) + b"\r\n", 431, "library", "closed"),
    "Content-Length: 5x": (length(b"5x"), 400, "library", "closed"),
    "Content-Length: -5": (length(b"-5"), 400, "library", "closed"),
    "Content-Length: 5, 5": (length(b"5, 5"), 400, "library", "closed"),
    "Content-Length beyond 64 bits": (length(b"9" * 24), 413, "library", "closed"),
    "Content-Length twice, the same": (length(b"%d" % len(ASK), b"%d" % len(ASK)), 400, "gateway", "closed"),
    "Content-Length twice, differing": (length(b"%d" % len(ASK), b"3"), 400, "gateway", "closed"),
    "Content-Length and Transfer-Encoding": (
        POST + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400, "gateway", "closed"),
    "Transfer-Encoding: gzip, chunked": (
        POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 400, "gateway", "closed"),
    "Transfer-Encoding twice": (
        POST + b"Transfer-Encoding: chunked\r\n" * 2 + b"\r\n0\r\n\r\n", 400, "gateway", "closed"),
    "chunks with bare LF": (CHUNKED + SIZE + b"\n" + ASK + b"\n0\n\n", 200, "served", "kept"),
    "chunk extension": (CHUNKED + SIZE + b";a=b\r\n" + ASK + b"\r\n0\r\n\r\n", 200, "served", "kept"),
    "trailer named Content-Length": (
        CHUNKED + SIZE + b"\r\n" + ASK + b"\r\n0\r\nContent-Length: 5\r\n\r\n", 200, "served", "kept"),
    "chunk size not hexadecimal": (CHUNKED + b"zz\r\n", 400, "library", "closed"),
    "chunk size beyond 64 bits": (CHUNKED + b"f" * 17 + b"\r\n", 413, "library", "closed"),
    "chunk longer than its size": (CHUNKED + b"2\r\nhello\r\n0\r\n\r\n", 400, "library", "closed"),
    "two Hosts": (GET + HOST + b"\r\n", 400, "gateway", "closed"),
    "no Host": (b"GET /v1/models HTTP/1.1\r\n\r\n", 400, "gateway", "closed"),
    "no Host in HTTP/1.0": (b"GET /v1/models HTTP/1.0\r\n\r\n", 200, "served", "closed"),
    "absolute target": (b"GET http://gateway.test/v1/models HTTP/1.1\r\n" + HOST + b"\r\n", 200, "served", "kept"),
    "%00 in the target": (b"GET /v1/models%00x HTTP/1.1\r\n" + HOST + b"\r\n", 404, "gateway", "kept"),
    "percent-encoded target": (b"GET /v1/mode%6cs HTTP/1.1\r\n" + HOST + b"\r\n", 200, "served", "kept"),
    "method in lower case": (b"get /v1/models HTTP/1.1\r\n" + HOST + b"\r\n", 405, "gateway", "kept"),
    "body with GET": (GET + b"Content-Length: 5\r\n\r\nhello", 200, "served", "kept"),
    "Expect: 100-continue": (
        POST + b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n" % len(ASK) + ASK, 200, "served", "kept"),
    "Expect, and too large": (
        POST + b"Expect: 100-continue\r\nContent-Length: 99999999\r\n\r\n", 413, "gateway", "closed"),
}


@pytest.mark.parametrize("name", ROWS)
def test_odd_requests_get_the_answer_that_is_written_down(run, name):
    raw, status, by, after = ROWS[name]
    gateway = run.gateway(run.expert(scripts.answer()))
    with gateway.connect() as wire:
        wire.send(raw)
        if status is None:
            with pytest.raises(Cut, match="no answer at all"):
                Response(wire)
            return
        answer = Response(wire)
        assert answer.status == status
        assert ("x-request-id" in answer) == (by != "library")
        if by == "gateway":
            assert answer.error["message"]
        if after == "closed":
            assert wire.wait_gone()
        else:
            assert gateway.request("GET", "/healthz", wire=wire).status == 200


@pytest.mark.parametrize("stream", [False, True])
def test_a_head_of_any_size_that_is_let_in_is_answered(run, stream):
    """The library has one pool for both heads of a connection: an answer that finds no room in it would be lost, and paid for."""
    small = run.expert(scripts.answer())
    gateway = run.gateway(small)
    body = json.dumps({"model": "small", "stream": stream, "messages": [{"role": "user", "content": "x"}]}).encode()
    refused = 0
    for size in range(6000, 14000, 200):
        for n in (1, 60):  # the library notes something of each header in the same pool
            pad = "".join(f"X-Pad-{i}: {'a' * (size // n - 12)}\r\n" for i in range(n)).encode()
            with gateway.connect() as wire:
                wire.send(POST + pad + b"Content-Length: %d\r\n\r\n" % len(body) + body)
                try:
                    status = Response(wire).status
                except Cut:  # nearly all of the pool: not even a refusal has room
                    status = None
            assert status in (200, 431, None)
            refused += status != 200
    assert refused and small.asked == 40 * 2 - refused


def test_the_document_lists_exactly_these_rows():
    rows = re.findall(r"^\| (.+?) \| (\d{3}|none) \| (served|gateway|library) \| (kept|closed) \|$", DOC.read_text(), re.M)
    written = {name: (None if status == "none" else int(status), by, after) for name, status, by, after in rows}
    assert written == {name: row[1:] for name, row in ROWS.items()}


def test_a_request_after_an_ambiguous_one_is_not_read(run):
    """The second request may be the body of the first: it must not be answered."""
    small = run.expert(scripts.answer())
    gateway = run.gateway(small)
    with gateway.connect() as wire:
        inner = GET + b"\r\n"
        wire.send(POST + b"Content-Length: %d\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" % (5 + len(inner)) + inner)
        assert Response(wire).status == 400
        assert wire.wait_gone()
        with pytest.raises(Cut):
            Response(wire)
