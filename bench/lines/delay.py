"""A TCP link that is far away, and that breaks when it is told to.

`delay.py PORT [--delay S]` prints `READY port`; each direction takes S seconds. A line on stdin: `cut S` ends
every connection and takes no new one for S seconds.
"""

import argparse
import asyncio
import sys
import time
from contextlib import suppress

MOST = 1 << 16


class Link:
    """Passes bytes on, later."""

    def __init__(self, port: int, delay: float) -> None:
        self._port, self._delay = port, delay
        self._closed_until = 0.0
        self._writers: set[asyncio.StreamWriter] = set()

    async def meet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection."""
        if time.monotonic() < self._closed_until:
            writer.transport.abort()
            return
        with suppress(OSError):
            above, below = await asyncio.open_connection("127.0.0.1", self._port)
            self._writers |= {writer, below}
            await asyncio.gather(self._pass(reader, below), self._pass(above, writer))
            self._writers -= {writer, below}
        writer.transport.abort()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        waiting: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(10_000)
        sending = asyncio.create_task(self._send(waiting, writer))
        with suppress(OSError):
            while chunk := await reader.read(MOST):
                await waiting.put((time.monotonic() + self._delay, chunk))
        await waiting.put((0.0, b""))
        await sending
        writer.transport.abort()

    async def _send(self, waiting: "asyncio.Queue[tuple[float, bytes]]", writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while (due := await waiting.get())[1]:
                await asyncio.sleep(max(0.0, due[0] - time.monotonic()))
                writer.write(due[1])
                await writer.drain()

    def cut(self, seconds: float) -> None:
        """End every connection, and take no new one for a while."""
        self._closed_until = time.monotonic() + seconds
        for writer in self._writers:
            writer.transport.abort()


async def main(port: int, delay: float) -> None:
    """Serve until standard input ends."""
    link = Link(port, delay)
    server = await asyncio.start_server(link.meet, "127.0.0.1", 0, limit=MOST)
    print("READY", server.sockets[0].getsockname()[1], flush=True)
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        word, seconds = line.decode().split()
        if word == "cut":
            link.cut(float(seconds))
            print("CUT", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="delay.py", description="A TCP link that is far away.")
    parser.add_argument("port", type=int)
    parser.add_argument("--delay", type=float, default=0.0, help="seconds each way")
    given = parser.parse_args()
    with suppress(KeyboardInterrupt):
        asyncio.run(main(given.port, given.delay))
