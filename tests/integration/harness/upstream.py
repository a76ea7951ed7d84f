"""A scripted upstream: says what the script says, byte by byte, and remembers what it was asked.

    def script(call):                       one request, in the connection's own thread
        call.head(200, stream=True)         status and headers
        call.chunk("Hel")                   an event with content
        call.wait(gate)                     until the test opens the gate
        call.cut()                          the line is cut

`Expert(script)` answers chat with it; `Expert(chat=[first, second], embeddings=script, completions=script)` gives
each request its own, the last one repeated. `expert.call(n)` waits for the n-th request (from 1) and gives its Call.
"""

import json
import select
import socket
import ssl
import threading
import time

from .waiting import PATIENCE
from .wire import Cut, Wire


class Gate:
    """A script waits at it until the test opens it."""

    def __init__(self):
        self._opened = threading.Event()

    def open(self):
        self._opened.set()

    def wait(self, patience=PATIENCE):
        assert self._opened.wait(patience), f"nobody opened the gate for {patience:.0f} s"


class Call:
    """One request, and the means to answer it."""

    def __init__(self, expert, wire, head, body):
        self.expert = expert
        self.wire = wire
        self.request = head
        self.body = body
        self.raw = head.raw + body
        self.method, self.target, _ = head.start.split(" ")
        self.streamed = False
        self.keep = True
        self._ended = threading.Event()
        self._gone = threading.Event()

    def json(self):
        return json.loads(self.body)

    def header(self, name):
        return self.request.get(name)

    # -- answering

    def head(self, status=200, headers=(), stream=False, length=None, reason="Said"):
        pairs = list(headers.items()) if isinstance(headers, dict) else list(headers)
        names = {name.lower() for name, _ in pairs}
        if "content-type" not in names:
            pairs.append(("Content-Type", "text/event-stream" if stream else "application/json"))
        if length is not None:
            pairs.append(("Content-Length", str(length)))
        elif "content-length" not in names:
            pairs.append(("Transfer-Encoding", "chunked"))
        self.streamed = length is None and "content-length" not in names
        lines = [f"HTTP/1.1 {status} {reason}"] + [f"{name}: {value}" for name, value in pairs]
        self.raw_bytes("\r\n".join(lines).encode("latin-1") + b"\r\n\r\n")

    def raw_bytes(self, data):
        self.wire.send(data)

    def piece(self, data):
        """A piece of the body, framed as the head said."""
        self.raw_bytes(b"%x\r\n%s\r\n" % (len(data), data) if self.streamed else data)

    def end(self):
        if self.streamed:
            self.raw_bytes(b"0\r\n\r\n")

    def answer(self, body, status=200, headers=()):
        """A whole answer; `body` is bytes or what becomes JSON."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.head(status, headers, length=len(data))
        self.raw_bytes(data)

    def event(self, data):
        """An event; `data` is text or what becomes JSON."""
        text = data if isinstance(data, str) else json.dumps(data)
        self.piece(f"data: {text}\n\n".encode())

    def named(self, data):
        """An event as Messages and Responses write it, with its type as its name."""
        self.piece(f"event: {data['type']}\ndata: {json.dumps(data)}\n\n".encode())

    def chunk(self, content=None, role=None, finish=None, **more):
        """An event with one choice, as chat completions stream it."""
        delta = {}
        if role is not None:
            delta["role"] = role
        if content is not None:
            delta["content"] = content
        self.event({
            "id": "chatcmpl-scripted", "object": "chat.completion.chunk", "created": 1, "model": "scripted",
            "choices": [{"index": 0, "delta": delta, "finish_reason": finish}], **more})

    def usage(self, prompt=10, completion=20):
        """The extra event of stream_options.include_usage."""
        self.event({
            "id": "chatcmpl-scripted", "object": "chat.completion.chunk", "created": 1, "model": "scripted",
            "choices": [], "usage": {"prompt_tokens": prompt, "completion_tokens": completion,
                                     "total_tokens": prompt + completion}})

    def done(self):
        self.piece(b"data: [DONE]\n\n")
        self.end()

    # -- misbehaving

    def wait(self, gate):
        gate.wait()

    def cut(self, reset=False):
        """Ends the connection here and now."""
        self.keep = False
        if reset:
            self.wire.reset()
        else:
            self.wire.sock.shutdown(socket.SHUT_RDWR)

    def stall(self):
        """Says nothing more until the gateway gives up or the expert is closed."""
        self.keep = False
        poll = select.poll()
        poll.register(self.wire.sock, select.POLLRDHUP | select.POLLHUP | select.POLLERR)
        while not self.expert.closing.is_set():
            if poll.poll(50):
                self._gone.set()
                return

    # -- watching

    def wait_gone(self, patience=PATIENCE):
        """Waits until the gateway ends this connection. For a test while the script is at stall()."""
        assert self._gone.wait(patience), f"the gateway still holds the call after {patience:.0f} s"

    def wait_ended(self, patience=PATIENCE):
        """Waits until the script has said all it had to say, or could not."""
        assert self._ended.wait(patience), f"the script has not ended after {patience:.0f} s"


class Expert:
    def __init__(self, chat=None, embeddings=None, tls=None, completions=None, tokenize=None, messages=None, responses=None,
                 models=None):
        self._scripts = {"/chat/completions": _listed(chat), "/embeddings": _listed(embeddings),
                         "/v1/completions": _listed(completions), "/tokenize": _listed(tokenize),
                         "/v1/messages": _listed(messages), "/v1/responses": _listed(responses),
                         "/models": _listed(models)}
        self._asked = {}
        self._calls = []
        self._failures = []
        self._changed = threading.Condition()
        self._sockets = set()
        self.closing = threading.Event()
        self._tls = tls
        self._listener = socket.socket()
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._listener.bind(("127.0.0.1", 0))
        self._listener.listen(1024)
        self.port = self._listener.getsockname()[1]
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}/v1"
        threading.Thread(target=self._accept, daemon=True).start()

    # -- what a test sees

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        self.close()
        if kind is None:
            assert not self._failures, self._failures

    def close(self):
        self.closing.set()
        _shut(self._listener)
        with self._changed:
            for sock in self._sockets:
                _shut(sock)

    def calls(self, path=None):
        with self._changed:
            return [call for call in self._calls if path is None or call.target.endswith(path)]

    @property
    def asked(self):
        """How many chat requests have come."""
        return len(self.calls("/chat/completions"))

    def call(self, n=1, path="/chat/completions", patience=PATIENCE):
        """The n-th request to that path, waiting for it."""
        until = time.monotonic() + patience
        with self._changed:
            while True:
                found = [call for call in self._calls if call.target.endswith(path)]
                if len(found) >= n:
                    return found[n - 1]
                left = until - time.monotonic()
                assert left > 0, f"only {len(found)} of {n} requests to {path} after {patience:.0f} s"
                self._changed.wait(left)

    # -- serving

    def _accept(self):
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            with self._changed:
                if self.closing.is_set():
                    sock.close()
                    return
                self._sockets.add(sock)
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock):
        raw = sock
        try:
            if self._tls:
                sock = self._tls.wrap_socket(sock, server_side=True)
            # A kept connection may be idle for as long as the test takes.
            wire = Wire(sock, patience=600)
            while self._one(wire):
                pass
        except (OSError, Cut, ssl.SSLError, ValueError):
            pass
        finally:
            with self._changed:
                self._sockets.discard(raw)
            sock.close()

    def _one(self, wire):
        head = wire.read_head()
        if head is None:
            return False
        body = wire.read_body(head, is_answer=False)
        call = Call(self, wire, head, body)
        with self._changed:
            script = self._script(call)
            self._calls.append(call)
            self._changed.notify_all()
        try:
            script(call)
        except (OSError, Cut):
            call.keep = False
            call._gone.set()
        except BaseException as failure:  # the test must hear of it: this thread's end is nobody's business
            if not self.closing.is_set():
                self._failures.append(repr(failure))
            call.keep = False
        finally:
            call._ended.set()
        return call.keep

    def _script(self, call):
        for path, scripts in self._scripts.items():
            if call.target.split("?")[0].endswith(path) and scripts:
                n = self._asked.get(path, 0)
                self._asked[path] = n + 1
                return scripts[min(n, len(scripts) - 1)]
        return _not_here


def _listed(script):
    if script is None:
        return []
    return list(script) if isinstance(script, (list, tuple)) else [script]


def _shut(sock):
    try:
        sock.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass
    sock.close()


def _not_here(call):
    call.answer({"error": {"message": f"no script for {call.target}", "type": "invalid_request_error",
                           "param": None, "code": None}}, status=404)
