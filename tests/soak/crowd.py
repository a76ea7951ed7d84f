"""A crowd of clients, many at a time, each on its own connection; some leave whenever they like."""

import asyncio
import dataclasses
import decimal
import json


@dataclasses.dataclass
class Told:
    """What one client was told."""
    id: str
    path: str
    ceiling: int
    status: int = 0     # 0: it left, or nothing came
    headers: dict = dataclasses.field(default_factory=dict)
    body: bytes = b""
    whole: bool = False
    began: float = 0

    def usage(self):
        """The last usage of the answer, money as decimals; None: there is none."""
        found = None
        for text in self._objects():
            try:
                said = json.loads(text, parse_float=decimal.Decimal, parse_int=decimal.Decimal)
                usage = said.get("usage") or said.get("response", {}).get("usage")
            except ValueError:
                continue
            found = usage or found
        return found

    def _objects(self):
        if "event-stream" not in self.headers.get("content-type", ""):
            return [self.body]
        return [line[6:] for line in self.body.splitlines() if line.startswith(b"data: {")]


def unchunk(data):
    out = b""
    while data:
        size, _, rest = data.partition(b"\r\n")
        try:
            n = int(size, 16)
        except ValueError:
            return out, False
        if n == 0:
            return out, True
        if len(rest) < n + 2:
            return out + rest[:n], False
        out, data = out + rest[:n], rest[n + 2:]
    return out, False


async def ask(port, path, body, headers, leaves, told):
    told.began = asyncio.get_running_loop().time()
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 22)
    data = json.dumps(body).encode()
    lines = [f"POST {path} HTTP/1.1", "host: x", "connection: close", "content-type: application/json",
             f"content-length: {len(data)}", *(f"{name}: {value}" for name, value in headers.items())]
    try:
        writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + data)
        raw = await asyncio.wait_for(reader.read(-1), leaves if leaves is not None else 30)
    except asyncio.TimeoutError:
        assert leaves is not None, f"{told.id}: no answer within 30 s"
        return
    except OSError:
        return
    finally:
        writer.transport.abort()
    head, _, rest = raw.partition(b"\r\n\r\n")
    if not head:
        return
    first, *pairs = head.decode("latin-1").split("\r\n")
    told.status = int(first.split()[1])
    told.headers = {name.lower(): value for name, _, value in (pair.partition(": ") for pair in pairs)}
    if told.headers.get("transfer-encoding") == "chunked":
        told.body, told.whole = unchunk(rest)
    else:
        told.body, told.whole = rest, len(rest) == int(told.headers.get("content-length", -1))


async def _all(port, asks, at_once):
    free = asyncio.Semaphore(at_once)

    async def one(path, body, headers, leaves, ceiling):
        told = Told(headers["x-request-id"], path, ceiling)
        async with free:
            await ask(port, path, body, headers, leaves, told)
        return told

    return await asyncio.gather(*(one(*a) for a in asks))


def send(port, asks, at_once=200):
    """asks: (path, body, headers, leaves, ceiling); gives what each client was told, in their order."""
    return asyncio.run(_all(port, list(asks), at_once))
