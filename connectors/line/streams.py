"""Streams: connections of those who log over TCP or TLS. What was read is committed before more is read."""

import asyncio
import ssl
from collections import Counter
from contextlib import suppress

import structlog

from connectors.line.frames import Frames
from connectors.line.inbox import Inbox

log: structlog.stdlib.BoundLogger = structlog.get_logger()
_CHUNK = 65_536
_HANDSHAKE_S = 10.0

Said = tuple[str, list[bytes]]
"""Who speaks (the address), and the messages."""


class Streams:
    """A listener with so many connections at most, and so many of one address; one more is closed and counted."""

    def __init__(self, inbox: Inbox[Said], most: int, most_of_one: int, longest: int, silence_s: float | None) -> None:
        self._inbox, self._most, self._most_of_one = inbox, most, most_of_one
        self._longest, self._silence_s = longest, silence_s
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._senders: Counter[str] = Counter()
        self.turned_away = self.cut = 0

    @property
    def count(self) -> int:
        """Number of connections."""
        return sum(self._senders.values())

    @property
    def port(self) -> int:
        """The port that is bound; 0 before."""
        return 0 if self._server is None or not self._server.sockets else int(self._server.sockets[0].getsockname()[1])

    async def open(self, host: str, port: int, context: ssl.SSLContext | None) -> None:
        """Listen. Raises OSError."""
        wait = _HANDSHAKE_S if context is not None else None
        self._server = await asyncio.start_server(self._meet, host, port, ssl=context, ssl_handshake_timeout=wait)

    async def close(self) -> None:
        """Close the listener and every connection."""
        if self._server is not None:
            self._server.close()
        tasks = [task for task in self._tasks if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def _meet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        sender = str((writer.get_extra_info("peername") or ("?",))[0])
        if self.count >= self._most or self._senders[sender] >= self._most_of_one:
            self.turned_away += 1
            log.warning("syslog.turned_away", sender=sender, connections=self.count)
            writer.transport.abort()
            return
        self._senders[sender] += 1
        try:
            await self._listen(reader, sender)
        except (OSError, TimeoutError, asyncio.CancelledError):  # a cancelled handler is our own close
            pass
        finally:
            self._senders[sender] -= 1
            if not self._senders[sender]:
                del self._senders[sender]
            writer.transport.abort()
            with suppress(OSError, TimeoutError):
                async with asyncio.timeout(1):
                    await writer.wait_closed()

    async def _listen(self, reader: asyncio.StreamReader, sender: str) -> None:
        frames = Frames(self._longest)
        while True:
            async with asyncio.timeout(self._silence_s):
                data = await reader.read(_CHUNK)
            messages = frames.feed(data) if data else frames.end()
            self.cut, frames.cut = self.cut + frames.cut, 0
            if messages:
                await self._inbox.offer((sender, messages))
            if not data:
                return


def context_of(certificate: str, key: str, ca: str | None) -> ssl.SSLContext:
    """Make the context of a TLS listener (RFC 5425); with `ca`, senders must show a certificate of it."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=ca)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(certificate, key)
    if ca is not None:
        context.verify_mode = ssl.CERT_REQUIRED
    return context
