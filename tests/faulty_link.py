"""A TCP link between a client and a server that goes wrong when it is told to."""

import asyncio
import random
import socket
import ssl
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field


@dataclass(slots=True)
class Faults:
    """What the link does wrong, read for every chunk. Times in seconds; `delay` is one way, `frozen` keeps all back."""

    swallow_request: bool = False
    swallow_reply: bool = False
    trickle: float = 0.0
    delay: float = 0.0
    frozen: bool = False
    garbage: bool = False
    refuse: bool = False
    cut_reply_after: int | None = None
    dice: random.Random = field(default_factory=lambda: random.Random(1))


class FaultyLink:
    """A proxy on a free port of this machine, with TLS towards the client when it has a context."""

    def __init__(self, host: str, port: int) -> None:
        self.faults = Faults()
        self.port = 0
        self.met = 0
        self._to = (host, port)

    @asynccontextmanager
    async def open(self, tls: ssl.SSLContext | None = None) -> AsyncIterator["FaultyLink"]:
        self._jobs: set[asyncio.Task[None]] = set()
        self._writers: list[asyncio.StreamWriter] = []
        server = await asyncio.start_server(self._meet, "127.0.0.1", 0, ssl=tls)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            for job in self._jobs:
                job.cancel()
            for writer in self._writers:
                writer.transport.abort()
            await asyncio.gather(*self._jobs, *map(_closed, self._writers))

    def cut(self) -> None:
        """Cut every connection that is open, with RST on both sides."""
        for writer in self._writers:
            reset(writer)

    async def _meet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.met += 1
        self._writers.append(writer)
        if self.faults.refuse:
            reset(writer)
            return
        above, below = await asyncio.open_connection(*self._to)
        self._writers.append(below)
        for job in (self._pass(reader, below, reply=False), self._pass(above, writer, reply=True)):
            task = asyncio.get_running_loop().create_task(job)
            self._jobs.add(task)

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, reply: bool) -> None:
        passed = 0
        with suppress(OSError, asyncio.CancelledError):
            while chunk := await reader.read(65536):
                faults = self.faults
                while faults.frozen:  # noqa: ASYNC110 (a flag that tests set, like the others)
                    await asyncio.sleep(0.02)
                if faults.swallow_reply if reply else faults.swallow_request:
                    continue
                if faults.delay:
                    await asyncio.sleep(faults.delay)
                if reply and faults.garbage:
                    chunk = bytes(letter ^ faults.dice.randrange(1, 256) for letter in chunk)
                if reply and faults.cut_reply_after is not None:
                    chunk = chunk[: max(0, faults.cut_reply_after - passed)]
                await self._write(writer, chunk, faults.trickle if reply else 0.0)
                passed += len(chunk)
                if reply and faults.cut_reply_after is not None and passed >= faults.cut_reply_after:
                    reset(writer)
                    return
        writer.close()

    async def _write(self, writer: asyncio.StreamWriter, chunk: bytes, trickle: float) -> None:
        if not trickle:
            writer.write(chunk)
            await writer.drain()
            return
        for at in range(len(chunk)):
            writer.write(chunk[at : at + 1])
            await writer.drain()
            await asyncio.sleep(trickle)


async def _closed(writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        await writer.wait_closed()


def reset(writer: asyncio.StreamWriter) -> None:
    """Close with RST instead of FIN."""
    raw = writer.get_extra_info("socket")
    if raw is None or raw.fileno() < 0:
        return
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
