"""Requests that come when they come: arrivals of a Poisson process that does not wait for answers.

A closed loop (a fixed crowd, each sends its next request after its last answer) slows down with the gateway and so hides
what overload does. Here each request has a time at which it is due, and its latency is counted from then.

    run = OpenLoop(port, lambda i: request_bytes(...), rate=600, seconds=60)
    run.shots   one Shot each, in order of arrival
"""

import asyncio
import dataclasses
import random
import time


@dataclasses.dataclass(slots=True)
class Shot:
    """One request. Times are seconds from the run's begin."""
    number: int
    due: float
    done: float = 0.0
    status: int = 0        # 0: no head came
    whole: bool = False    # the body came to the end that its framing names
    refused: bool = False  # no connection
    late: bool = False     # given up by us
    size: int = 0
    body: bytes = b""      # kept where `keep` says so
    head: bytes = b""

    @property
    def latency(self):
        return self.done - self.due

    @property
    def ok(self):
        return self.status == 200 and self.whole


class _Connection(asyncio.Protocol):
    """One request at a time; goes back to the idle ones when its answer is whole."""

    def __init__(self, loop):
        self.loop = loop
        self.transport = None
        self.shot = None
        self._forget()

    def _forget(self):
        self.head = None
        self.left = 0          # of a body with a length; -1: chunked; -2: to the end of the connection
        self.data = bytearray()
        self.tail = b""
        self.close = False

    def connection_made(self, transport):
        self.transport = transport

    def ask(self, shot, data, over):
        self._forget()
        self.shot, self.over = shot, over
        self.transport.write(data)

    def data_received(self, data):
        if self.shot is None:
            self.transport.abort()
            return
        if self.head is None:
            self.data += data
            end = self.data.find(b"\r\n\r\n")
            if end < 0:
                return
            self._read_head(bytes(self.data[:end]))
            data = bytes(self.data[end + 4:])
            self.data = bytearray()
        self._body(data)

    def _read_head(self, head):
        self.head = head
        lower = head.lower()
        self.shot.status = int(head[9:12])
        self.shot.head = head
        at = lower.find(b"\r\ncontent-length:")
        if b"\r\ntransfer-encoding: chunked" in lower:
            self.left = -1
        elif at >= 0:
            self.left = int(lower[at + 17:].split(b"\r\n", 1)[0])
        else:
            self.left = -2
        self.close = b"\r\nconnection: close" in lower

    def _body(self, data):
        self.shot.size += len(data)
        if self.loop.keep(self.shot):
            self.shot.body += data
        if self.left >= 0:
            self.left -= len(data)
            if self.left <= 0:
                self._end(True)
        elif self.left == -1:
            self.tail = (self.tail + data[-5:])[-5:] if len(data) < 5 else data[-5:]
            if self.tail == b"0\r\n\r\n":
                self._end(True)

    def connection_lost(self, error):
        if self.shot is not None:
            self._end(self.head is not None and self.left == -2 and error is None)

    def _end(self, whole):
        shot, self.shot = self.shot, None
        shot.whole = whole
        shot.done = self.loop.now()
        if whole and not self.close and self.loop.kept:
            self.loop.idle.append(self)
        else:
            self.transport.abort()
        self.over(None)


class OpenLoop:
    """Runs to its end when made. `request(i)` gives the bytes of the i-th request. With `kept` connections are used again,
    otherwise each request has its own. `patience`: seconds after which an answer is given up. `meanwhile(run)` is a coroutine
    that runs beside; the arrivals end when the time is over or it does, or with `gather`: after so many."""

    def __init__(self, port, request, rate, seconds, kept=True, patience=60.0, keep=lambda shot: False, meanwhile=None, seed=1,
                 gather=None, host="127.0.0.1"):
        self.host, self.port, self.request, self.rate, self.seconds = host, port, request, rate, seconds
        self.kept, self.patience, self.keep = kept, patience, keep
        self.meanwhile, self.gather = meanwhile, gather
        self.random = random.Random(seed)
        self.shots, self.idle = [], []
        asyncio.run(self._run())

    def now(self):
        return time.monotonic() - self.began

    async def _run(self):
        self.began = time.monotonic()
        tasks = set()
        beside = asyncio.ensure_future(self.meanwhile(self)) if self.meanwhile else None
        due, number = 0.0, 0
        while (number < self.gather if self.gather else due < self.seconds) and not (beside and beside.done()):
            # Also when behind: others have their turn.
            await asyncio.sleep(max(0, due - self.now()))
            shot = Shot(number, due)
            self.shots.append(shot)
            task = asyncio.ensure_future(self._one(shot))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
            number += 1
            due += self.random.expovariate(self.rate)
        if tasks:
            await asyncio.wait(tasks)
        if beside:
            await beside
        for connection in self.idle:
            connection.transport.abort()

    async def _connection(self):
        while self.idle:
            connection = self.idle.pop()
            if not connection.transport.is_closing():
                return connection
        port = self.port() if callable(self.port) else self.port
        _, connection = await asyncio.get_running_loop().create_connection(lambda: _Connection(self), self.host, port)
        return connection

    async def _one(self, shot):
        over = asyncio.get_running_loop().create_future()
        connection = None
        try:
            connection = await self._connection()
            connection.ask(shot, self.request(shot.number), lambda _: over.done() or over.set_result(None))
            await asyncio.wait_for(over, self.patience)
        except asyncio.TimeoutError:
            shot.late, shot.done = True, self.now()
            connection.shot = None
            connection.transport.abort()
        except OSError:
            shot.refused, shot.done = connection is None, self.now()


def percentile(values, share):
    values = sorted(values)
    return values[min(len(values) - 1, int(share * len(values)))] if values else float("nan")
