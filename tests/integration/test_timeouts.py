"""Connect, first byte, idle, total: four different things, each with its own limit and its own word."""

import json
import socket

import pytest

from harness import SLOW, config, expert, scripts


def timeouts(**short):
    """All four far away, but for those given (milliseconds)."""
    return {"connect": 30_000, "first_byte": 30_000, "idle": 30_000, "total": 60_000,
            **{name: int(ms * SLOW) for name, ms in short.items()}}


class NoAnswer:
    """A port whose connections are never completed: its queue is full."""

    def __enter__(self):
        self.listener = socket.socket()
        self.listener.bind(("127.0.0.1", 0))
        self.listener.listen(0)
        address = self.listener.getsockname()
        self.url = f"http://127.0.0.1:{address[1]}/v1"
        self.fill = []
        for _ in range(4):
            sock = socket.socket()
            sock.setblocking(False)
            sock.connect_ex(address)
            self.fill.append(sock)
        return self

    def __exit__(self, *_):
        for sock in [self.listener, *self.fill]:
            sock.close()


def test_a_connection_that_does_not_come_about_is_given_up(run):
    with NoAnswer() as nowhere:
        gateway = run.gateway(config({"small": expert(nowhere.url, timeouts_ms=timeouts(connect=200))}))
        answer = gateway.chat()
        assert answer.status in (502, 504)
        assert answer.error["code"] in ("expert_unreachable", "expert_timeout")
        assert answer["x-frugal-error-source"] == "expert"


@pytest.mark.parametrize("script", [scripts.silent, lambda call: (call.head(length=10), call.stall())],
                         ids=["no head", "a head and no body"])
def test_an_expert_that_never_begins_is_given_up(run, script):
    small = run.expert(script)
    gateway = run.gateway(config({"small": expert(small, timeouts_ms=timeouts(first_byte=200))}))
    answer = gateway.chat()
    assert (answer.status, answer.error["code"]) == (504, "expert_timeout")
    small.call().wait_gone()


def test_an_expert_that_never_begins_is_followed_by_the_next(run):
    small, large = run.expert(scripts.silent), run.expert(scripts.answer("from the second"))
    gateway = run.gateway(config(
        {"small": expert(small, timeouts_ms=timeouts(first_byte=200)), "large": expert(large)}))
    answer = gateway.chat()
    assert (answer.status, answer["x-frugal-expert"]) == (200, "large")
    small.call().wait_gone()
    assert gateway.metrics().value("frugal_attempts_total", expert="small", result="timeout") == 1


def test_a_stream_that_goes_silent_is_given_up(run):
    small = run.expert(scripts.stream_then_silent("some"))
    gateway = run.gateway(config({"small": expert(small, timeouts_ms=timeouts(idle=200))}))
    with gateway.stream() as stream:
        said = list(stream)
    assert json.loads(said[-1])["error"]["code"] == "expert_timeout"
    small.call().wait_gone()


def test_a_stream_that_never_ends_is_given_up(run):
    def script(call):
        call.head(stream=True)
        while not call.expert.closing.wait(0.02):
            call.chunk("and on ")

    small = run.expert(script)
    gateway = run.gateway(config({"small": expert(small, timeouts_ms=timeouts(total=600))}))
    with gateway.stream() as stream:
        said = list(stream)
    assert len(said) > 2
    assert json.loads(said[-1])["error"]["code"] == "expert_timeout"
    small.call().wait_ended()


def test_a_slow_but_steady_stream_outlives_first_byte_and_idle(run):
    def script(call):
        call.head(stream=True)
        for _ in range(12):
            call.expert.closing.wait(0.1 * SLOW)
            call.chunk("tick ")
        call.done()

    small = run.expert(script)
    gateway = run.gateway(config({"small": expert(small, timeouts_ms=timeouts(first_byte=900, idle=900))}))
    with gateway.stream() as stream:
        assert stream.text() == "tick " * 12
        assert stream.done


def test_the_log_says_which_of_the_limits_it_was(run):
    small = run.expert([scripts.silent, scripts.stream_then_silent("x")])
    gateway = run.gateway(config({"small": expert(small, timeouts_ms=timeouts(first_byte=300, idle=300))}))
    gateway.chat()
    with gateway.stream() as stream:
        list(stream)
    began, idle = (gateway.log.wait(event="attempt_failed", count=n) for n in (1, 2))
    assert began["end"].startswith("timeout") and began["why"] == "no answer began in time"
    assert idle["end"].startswith("timeout") and idle["why"] == "the answer went silent"


def test_the_deadline_of_a_request_ends_it_wherever_it_stands(run):
    small = run.expert(scripts.silent)
    gateway = run.gateway(config({"small": expert(small, timeouts_ms=timeouts())}))
    answer = gateway.chat(headers={"x-frugal-deadline-ms": str(int(200 * SLOW))})
    assert (answer.status, answer.error["code"]) == (504, "deadline_exceeded")
    small.call().wait_gone()


def test_a_request_that_never_arrives_whole_is_given_up(run):
    gateway = run.gateway(config({"small": expert(run.expert(scripts.answer()))},
                                 limits={"request_timeout_ms": int(300 * SLOW)}))
    with gateway.connect() as wire:
        wire.send(b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
        head = wire.read_head()
        assert head is None or head.start.startswith("HTTP/1.1 408")
