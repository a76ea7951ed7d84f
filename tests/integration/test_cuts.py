"""500 answers of an expert, each cut at a random byte: no client sees a clean end, none loses content or gets it twice.

FRUGAL_CUTS is how many (500), FRUGAL_SEED the draw (1). What the client heard is compared with what the expert sent: the
line is cut anywhere in its answer, HTTP head and framing included, in each of the framings that HTTP knows.
"""

import json
import os
import random

import pytest

from harness import Response, Stream, config, expert
from harness.wire import Cut, request_bytes
from test_every_api import LAST, TEXT, body, content_of

CUTS = int(os.environ.get("FRUGAL_CUTS", "500"))
SEED = os.environ.get("FRUGAL_SEED", "1")
DONE = b"data: [DONE]"
SAID = ["Zwölf", " Boxkämpfer", " jagen", " 👩‍👩‍👧", " quer", " über", " den " + "großen " * 20, "Sylter", " Deich", "."]
INSTEAD = ["Something", " else", " altogether"]
USAGE = {"prompt_tokens": 10, "completion_tokens": 20, "total_tokens": 30}


def choice(api, text, finish=None):
    said = {"text": text} if api == "completions" else {"delta": {"content": text} if text else {}}
    return {"index": 0, **said, "finish_reason": finish}


def events(api, texts):
    """The blocks of a good stream, each with the content that it carries."""
    role = {"choices": [{"index": 0, "text": "", "delta": {"role": "assistant", "content": ""}}]}
    said = [(b": expert is starting\n\n", ""), (role, ""), (role, "")]
    said += [({"choices": [choice(api, text)]}, text) for text in texts]
    said += [({"choices": [choice(api, "", "stop")]}, ""), ({"choices": [], "usage": USAGE}, "")]
    blocks = [(data if isinstance(data, bytes) else b"data: " + json.dumps(data, ensure_ascii=False).encode() + b"\n\n", text)
              for data, text in said]
    return blocks + [(DONE + b"\n\n", "")]


def whole(api, text):
    """The body of an answer that is no stream."""
    said = {"text": text} if api == "completions" else {"message": {"role": "assistant", "content": text}}
    return json.dumps({"choices": [{"index": 0, **said, "finish_reason": "stop"}], "usage": USAGE}).encode()


class Said:
    """An answer as raw bytes in some framing, and for each of its bytes how much of the body has been said by then."""

    def __init__(self, framing, kind, blocks):
        head = f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\n"
        body = sum(map(len, blocks))
        head += {"chunked": "Transfer-Encoding: chunked\r\n", "length": f"Content-Length: {body}\r\n", "close": "Connection: close\r\n"}[framing]
        self.raw = bytearray(head.encode() + b"\r\n")
        self.body_at = [0] * len(self.raw)
        for block in blocks:
            if framing == "chunked":
                self._add(b"%x\r\n" % len(block), False)
            self._add(block, True)
            if framing == "chunked":
                self._add(b"\r\n", False)
        if framing == "chunked":
            self._add(b"0\r\n\r\n", False)

    def _add(self, data, counts):
        last = self.body_at[-1]
        self.body_at += [last + (n + 1 if counts else 0) for n in range(len(data))]
        self.raw += data

    def script(self, at=None, reset=False):
        def script(call):
            call.raw_bytes(bytes(self.raw[:at]))
            if at is not None or b"Connection: close" in self.raw:
                call.cut(reset)
        return script


class Draw:
    """One request, and where its expert's line is cut."""

    def __init__(self, api, random):
        self.api = api
        self.streamed = random.random() < .8
        self.framing = random.choice(["chunked", "length", "close"])
        self.reset = random.random() < .2
        self.blocks = events(api, SAID)
        said = ([block for block, _ in self.blocks], "text/event-stream") if self.streamed else (
            [whole(api, "".join(SAID))], "application/json")
        self.said = Said(self.framing, said[1], said[0])
        self.at = random.randrange(len(self.said.raw))

    def sent(self):
        """What the expert has said before the cut: content, and whether it had come to its end."""
        n = self.said.body_at[self.at - 1] if self.at > 0 else 0
        content, finished, done, begin = "", False, False, 0
        for block, text in self.blocks:
            # An event counts once its last character is there: its line may lack its end.
            said = n >= begin + len(block.rstrip(b"\n"))
            begin += len(block)
            content += text if said else ""
            finished = finished or said and b'"stop"' in block
            done = done or said and block.startswith(DONE)
        return content, done or finished and self.framing == "close"

    def __repr__(self):
        return f"seed {SEED}: {self.api}, {'stream' if self.streamed else 'whole'}, {self.framing}, cut at {self.at}" + (
            ", reset" if self.reset else "")


def instead(api):
    """The other expert, which answers in full whatever it is asked for."""
    stream = Said("chunked", "text/event-stream", [block for block, _ in events(api, INSTEAD)]).script()
    once = Said("length", "application/json", [whole(api, "".join(INSTEAD))]).script()
    return lambda call: (stream if call.json().get("stream") else once)(call)


def hear(gateway, draw):
    """What a client hears: content, whether it ended as an answer should, by whom, and the error it was told."""
    with gateway.connect() as wire:
        wire.send(request_bytes("POST", TEXT[draw.api][0], body=json.dumps(body(draw.api, stream=draw.streamed)).encode()))
        if not draw.streamed:
            answer = Response(wire)
            return answer.body.decode(), answer.status == 200, answer["x-frugal-expert"], None
        stream = Stream(wire)
        datas = list(stream)
        said = [json.loads(data) for data in datas if data != "[DONE]"]
        error = said[-1] if "error" in datas[-1] and ("error" in said[-1] or said[-1].get("type") == "error") else None
        # The end that the API has, or without [DONE] an end that HTTP calls whole.
        ended = LAST[draw.api] in datas[-1] or not stream.cut
        return content_of(draw.api, said), ended, stream["x-frugal-expert"], error


@pytest.mark.parametrize("api", TEXT)
def test_no_answer_that_is_cut_ends_cleanly_or_loses_or_doubles_content(run, api):
    draw = random.Random(f"{SEED} {api}")
    draws = [Draw(api, draw) for _ in range(CUTS // len(TEXT))]
    scripts = [draw.said.script(draw.at, draw.reset) for draw in draws]
    kind = "completions" if api == "completions" else "chat"
    first, second = run.expert(**{kind: scripts}), run.expert(**{kind: instead(api)})
    unshaken = {"failures": 0, "share_percent": 0}  # it is asked again, however often it was cut
    gateway = run.gateway(config({"first": expert(first, health=unshaken), "second": expert(second)},
                                 limits={"hold_ms": 60000}))
    recovered = told = 0
    for draw in draws:
        try:
            content, ended, by, error = hear(gateway, draw)
        except (Cut, ValueError) as failure:
            raise AssertionError(f"{draw}: {failure!r}") from failure
        sent, whole_was_said = draw.sent() if draw.streamed else ("", False)
        if by == "second":
            recovered += 1
            # A reset may take bytes along that were on their way.
            assert (not sent or draw.reset) and ended and not error, draw
            assert content == "".join(INSTEAD) if draw.streamed else json.dumps("".join(INSTEAD))[1:-1] in content, draw
        elif whole_was_said and ended:
            assert content == "".join(SAID) and not error, draw
        else:
            told += 1
            assert not ended and error and content, draw
            assert content == sent or draw.reset and sent.startswith(content), draw
    assert len(first.calls()) == len(draws), "the first expert is asked first"
    assert recovered > len(draws) / 10 and told > len(draws) / 10
