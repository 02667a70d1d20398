"""A receiver of events on a real socket, of another make than ours: it checks signatures and reads CloudEvents."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from cloudevents.core.base import BaseCloudEvent
from cloudevents.core.bindings.http import HTTPMessage, from_http_event
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

SECRET = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"  # noqa: S105  (a test's)
OTHER = "whsec_8sWp9w5Gm2hQ1bT7nLkXcV3zR6yJ0dFa"


@dataclass(frozen=True, slots=True)
class Got:
    """One request that came in. `signers` are the secrets whose signature is right."""

    path: str
    headers: dict[str, str]
    body: bytes
    signers: tuple[str, ...]

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def event(self) -> BaseCloudEvent:
        """The event, read by the CloudEvents library."""
        return from_http_event(HTTPMessage(self.headers, self.body))


@dataclass
class Receiver:
    """Answers as `answer` says: raw bytes of an answer, or None to say nothing and hold the line."""

    port: int = 0
    got: list[Got] = field(default_factory=list)
    answer: Callable[[Got], bytes | None] = lambda _: reply(204)
    secrets: Sequence[str] = (SECRET, OTHER)
    came: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def events(self) -> list[Got]:
        """Each event once: a receiver knows again what it has by its id."""
        return list({one.id: one for one in self.got}.values())

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            while line := await reader.readline():
                path = line.decode().split(" ")[1]
                headers: dict[str, str] = {}
                while (row := (await reader.readline()).decode().strip()) != "":
                    name, _, value = row.partition(":")
                    headers[name.lower()] = value.strip()
                body = await reader.readexactly(int(headers.get("content-length", "0")))
                one = Got(path, headers, body, tuple(key for key in self.secrets if _right(key, headers, body)))
                self.got.append(one)
                self.came.set()
                said = self.answer(one)
                if said is None:
                    await reader.read()
                    return
                writer.write(said)
                await writer.drain()

    async def wait(self, there: Callable[[], bool], seconds: float = 20.0) -> None:
        """Wait for a request that makes it so."""
        async with asyncio.timeout(seconds):
            while not there():
                self.came.clear()
                await self.came.wait()


def reply(status: int, *headers: str, body: bytes = b"") -> bytes:
    head = [f"HTTP/1.1 {status} Said", f"content-length: {len(body)}", *headers]
    return "\r\n".join([*head, "", ""]).encode() + body


@asynccontextmanager
async def receiving(tls: ssl.SSLContext | None = None, host: str = "127.0.0.1") -> AsyncIterator[Receiver]:
    receiver = Receiver()
    tasks: set[asyncio.Task[None]] = set()

    async def served(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            with suppress(asyncio.CancelledError):
                await receiver.serve(reader, writer)
        finally:
            tasks.discard(task)
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    server = await asyncio.start_server(served, host, 0, ssl=tls)
    receiver.port = server.sockets[0].getsockname()[1]
    try:
        yield receiver
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _right(secret: str, headers: dict[str, str], body: bytes) -> bool:
    try:
        Webhook(secret).verify(body, headers, json_parse=False)
    except (WebhookVerificationError, ValueError):
        return False
    return True
