"""Whatever comes in: a clear error in OpenAI's shape, nothing asked, nothing lost, and the next request served."""

import errno
import json

import pytest

from harness import Response, config, expert, scripts
from harness.wire import request_bytes

GOOD = {"model": "auto", "messages": [{"role": "user", "content": "x"}]}


def changed(**fields):
    body = {**GOOD, **fields}
    return {key: value for key, value in body.items() if value is not ...}


BROKEN = {
    "empty": b"", "blank": b"  \n", "half": b'{"model":"auto","messages":[{"role":"us', "a list": b"[]",
    "a string": b'"hello"', "a number": b"17", "null": b"null", "not JSON": b"hello", "trailing comma": b'{"model":"auto",}',
    "two values": b'{"model":"auto","messages":[{"role":"user","content":"x"}]}{}',
    "single quotes": b"{'model':'auto'}", "a comment": b'{/*x*/"model":"auto"}',
    "not a number": b'{"model":"auto","messages":[{"role":"user","content":"x"}],"temperature":NaN}',
    "leading zero": b'{"model":"auto","messages":[{"role":"user","content":"x"}],"seed":01}',
    "a raw line feed in a string": b'{"model":"auto","messages":[{"role":"user","content":"a\nb"}]}',
    "a bad escape": b'{"model":"auto","messages":[{"role":"user","content":"\\x"}]}',
    "a NUL": b'{"model":"auto"\x00,"messages":[{"role":"user","content":"x"}]}',
    "not UTF-8": b'{"model":"auto","messages":[{"role":"user","content":"caf\xe9"}]}',
    "overlong UTF-8": b'{"model":"auto","messages":[{"role":"user","content":"\xc0\xaf"}]}',
    "a UTF-8 surrogate": b'{"model":"auto","messages":[{"role":"user","content":"\xed\xa0\x80"}]}',
    "cut UTF-8": b'{"model":"auto","messages":[{"role":"user","content":"\xe2\x82"}]}',
    "UTF-16": '{"model":"auto"}'.encode("utf-16"),
    "very deep": b'{"model":"auto","messages":[{"role":"user","content":"x"}],"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_body_that_is_not_a_json_object_is_refused(run, case):
    small = run.expert(scripts.answer())
    gateway = run.gateway(small)
    answer = gateway.post("/v1/chat/completions", BROKEN[case])
    assert answer.status == 400, answer
    assert answer.error["type"] == "invalid_request_error"
    assert answer["x-request-id"] and answer["x-frugal-error-source"] == "gateway"
    assert small.asked == 0
    assert gateway.chat().status == 200


WRONG = {
    "no model": (changed(model=...), "model"), "model: number": (changed(model=5), "model"),
    "model: empty": (changed(model=""), "model"), "model: null": (changed(model=None), "model"),
    "no messages": (changed(messages=...), "messages"), "messages: empty": (changed(messages=[]), "messages"),
    "messages: string": (changed(messages="hi"), "messages"), "messages: null": (changed(messages=None), "messages"),
    "messages: object": (changed(messages={}), "messages"), "messages: of numbers": (changed(messages=[1]), "messages"),
    "stream: string": (changed(stream="yes"), "stream"), "stream: number": (changed(stream=1), "stream"),
    "n: zero": (changed(n=0), "n"), "n: negative": (changed(n=-1), "n"), "n: fraction": (changed(n=1.5), "n"),
    "n: string": (changed(n="2"), "n"), "n: enormous": (changed(n=10**9), "n"),
    "max_tokens: negative": (changed(max_tokens=-1), "max_tokens"),
    "max_tokens: string": (changed(max_tokens="100"), "max_tokens"),
    "max_tokens: beyond any integer": (changed(max_tokens=10**30), "max_tokens"),
    "max_completion_tokens: list": (changed(max_completion_tokens=[1]), "max_completion_tokens"),
    "stream_options: number": (changed(stream=True, stream_options=1), "stream_options"),
    "include_usage: string": (changed(stream=True, stream_options={"include_usage": "yes"}), "stream_options"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_field_of_the_wrong_kind_is_refused_by_its_name(run, case):
    body, name = WRONG[case]
    small = run.expert(scripts.answer())
    gateway = run.gateway(small)
    answer = gateway.post("/v1/chat/completions", body)
    assert answer.status == 400, answer
    assert answer.error["param"].startswith(name)
    assert small.asked == 0


@pytest.mark.parametrize("key", ["model", "messages", "stream", "n", "max_tokens", "stream_options", "frugal"])
def test_a_field_of_ours_that_occurs_twice_is_refused(run, key):
    values = {"model": b'"auto"', "messages": b'[{"role":"user","content":"x"}]', "stream": b"false", "n": b"1",
              "max_tokens": b"5", "stream_options": b"{}", "frugal": b"{}"}
    fields = [b'"%s":%s' % (name.encode(), value) for name, value in values.items()]
    again = b'"%s\\u%04x":%s' % (key[:-1].encode(), ord(key[-1]), values[key])
    gateway = run.gateway(run.expert(scripts.answer()))
    answer = gateway.post("/v1/chat/completions", b"{" + b",".join([*fields, again]) + b"}")
    assert answer.status == 400, answer
    assert key in str(answer.error["param"])


def test_a_foreign_field_may_occur_twice(run):
    small = run.expert(scripts.answer())
    gateway = run.gateway(small)
    body = b'{"x":1,"x":2,"model":"auto","messages":[{"role":"user","content":"x"}]}'
    assert gateway.post("/v1/chat/completions", body).status == 200
    assert small.call().body == body.replace(b'"auto"', b'"scripted"')


@pytest.mark.parametrize("content", ["", " ", [], [{"type": "text", "text": ""}], None],
                         ids=["empty", "blank", "no parts", "an empty part", "null"])
def test_an_empty_prompt_is_the_experts_affair(run, content):
    small = run.expert(scripts.answer())
    gateway = run.gateway(small)
    assert gateway.chat([{"role": "user", "content": content}]).status == 200
    assert small.call().json()["messages"][0]["content"] == content


def test_a_body_of_twenty_megabytes_is_a_413(run):
    small = run.expert(scripts.answer())
    gateway = run.gateway(small)
    with gateway.connect() as wire:
        body = json.dumps(changed(messages=[{"role": "user", "content": "x" * 20_000_000}])).encode()
        raw = request_bytes("POST", "/v1/chat/completions", body=body)
        try:
            wire.send(raw)
        except ConnectionError:
            pass
        answer = Response(wire)
    assert answer.status == 413, answer
    assert answer.error["type"] == "invalid_request_error"
    assert small.asked == 0
    assert gateway.chat().status == 200


def test_a_chunked_body_beyond_the_limit_is_a_413(run):
    gateway = run.gateway(config({"small": expert(run.expert(scripts.answer()))}, limits={"body_bytes": 100_000}))
    with gateway.connect() as wire:
        wire.send(request_bytes("POST", "/v1/chat/completions", {"Transfer-Encoding": "chunked"}))
        piece = b"1000\r\n" + b" " * 0x1000 + b"\r\n"
        try:
            for _ in range(40):
                wire.send(piece)
            wire.send(b"0\r\n\r\n")
        except ConnectionError:
            pass
        answer = Response(wire)
    assert answer.status == 413, answer
    assert answer.error["code"]


def test_the_limit_on_bodies_is_a_setting(run):
    small = run.expert(scripts.answer())
    gateway = run.gateway(config({"small": expert(small)}, limits={"body_bytes": 20_000}))
    assert gateway.chat("x" * 15_000).status == 200
    assert gateway.chat("x" * 25_000).status == 413
    assert small.asked == 1


def test_a_prompt_of_200_000_characters_is_routed(run, router):
    small = run.expert(scripts.answer())
    gateway = run.gateway(router.config({"mathy": expert(small), "poet": expert(small)}))
    for prompt in ("é" * 200_000, "sum " * 50_000, "\n" * 200_000):
        answer = gateway.chat(prompt)
        assert answer.status == 200, answer
    assert small.call(1).json()["messages"][0]["content"] == "é" * 200_000


ODD_PROMPTS = ["\x00\x01\x7f", "\ud83d\ude00".encode("utf-16", "surrogatepass").decode("utf-16") * 1000,
               "\u202e\u0000\ufeff", "a" * 100_000, '"}]}', "\\", "\u2028"]


@pytest.mark.parametrize("n", range(len(ODD_PROMPTS)))
def test_odd_prompts_are_routed_like_others(run, router, n):
    small = run.expert(scripts.answer())
    gateway = run.gateway(router.config({"mathy": expert(small), "poet": expert(small)}))
    assert gateway.chat(ODD_PROMPTS[n]).status == 200
    assert small.call().json()["messages"][0]["content"] == ODD_PROMPTS[n]


def test_a_lone_surrogate_escape_passes_or_is_refused_but_harms_nothing(run, router):
    small = run.expert(scripts.answer())
    gateway = run.gateway(router.config({"mathy": expert(small), "poet": expert(small)}))
    body = b'{"model":"auto","messages":[{"role":"user","content":"\\ud83d"}]}'
    assert gateway.post("/v1/chat/completions", body).status in (200, 400)
    assert gateway.chat().status == 200


NOT_HTTP = {
    "nonsense": b"hello there\r\n\r\n", "binary": bytes(range(256)), "no version": b"GET /v1/models\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 200, "only line ends": b"\r\n\r\n\r\n",
    "a bad length": b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: many\r\n\r\n",
    "a negative length": b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
    "a bad chunk": b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
    "huge headers": b"GET /v1/models HTTP/1.1\r\nHost: x\r\n" + b"X-A: " + b"y" * 100_000 + b"\r\n\r\n",
    "a long target": b"GET /" + b"x" * 100_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
}


@pytest.mark.parametrize("case", NOT_HTTP)
def test_what_is_not_http_does_no_harm(run, case):
    gateway = run.gateway(run.expert(scripts.answer()))
    with gateway.connect() as wire:
        try:
            wire.send(NOT_HTTP[case])
            wire.sock.shutdown(1)
            while wire.read_some():
                pass
        except ConnectionError:
            pass
        except OSError as error:  # closed by the gateway before our shutdown
            assert error.errno == errno.ENOTCONN, error
    assert gateway.chat().status == 200


def test_a_length_and_chunks_together_are_no_way_to_smuggle_a_request(run):
    small = run.expert(scripts.answer())
    gateway = run.gateway(small)
    hidden = request_bytes("POST", "/v1/chat/completions", body=json.dumps(GOOD).encode())
    with gateway.connect() as wire:
        wire.send(b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n"
                  b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + hidden)
        Response(wire)
        try:
            wire.sock.shutdown(1)
            while wire.read_some():
                pass
        except OSError:
            pass
    assert small.asked <= 1


@pytest.mark.parametrize("method, target, status", [
    ("GET", "/", 404), ("GET", "/v1", 404), ("POST", "/v1/nothing", 404), ("GET", "/v1/chat/completions", 405),
    ("DELETE", "/v1/models", 405), ("PUT", "/v1/chat/completions", 405), ("GET", "/v1/route", 405),
    ("GET", "/metrics", 404), ("GET", "/../etc/passwd", 404), ("GET", "/v1//models", 404)])
def test_a_wrong_path_or_method_is_told_in_openais_shape(run, method, target, status):
    gateway = run.gateway(run.expert(scripts.answer()))
    answer = gateway.request(method, target)
    assert answer.status == status, answer
    assert answer.error["type"] == "invalid_request_error"
    assert answer["x-request-id"]
    if status == 405:
        assert answer["Allow"]
