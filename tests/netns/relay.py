"""relay.py LISTEN_HOST LISTEN_PORT TO_PORT DELAY_MS: every byte later, in both directions, as over a long line."""

import asyncio
import sys


async def carry(reader, writer, delay):
    loop, last = asyncio.get_running_loop(), None
    queue = asyncio.Queue()

    async def out():
        while (item := await queue.get()) is not None:
            due, data = item
            await asyncio.sleep(max(0, due - loop.time()))
            writer.write(data)
            await writer.drain()
        writer.close()

    last = asyncio.ensure_future(out())
    try:
        while data := await reader.read(65536):
            queue.put_nowait((loop.time() + delay, data))
    except OSError:
        pass
    queue.put_nowait(None)
    try:
        await last
    except OSError:
        pass


async def main(host, port, to, delay):
    async def serve(reader, writer):
        try:
            far_reader, far_writer = await asyncio.open_connection(host, to)
        except OSError:
            writer.close()
            return
        await asyncio.gather(carry(reader, far_writer, delay), carry(far_reader, writer, delay))

    server = await asyncio.start_server(serve, host, port)
    print("ready", flush=True)
    await server.serve_forever()


asyncio.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4]) / 1000))
