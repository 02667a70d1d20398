"""Rigs for line sources: a server in a process of its own, and the source that listens to it."""

import asyncio
import socket
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import aclosing, suppress
from pathlib import Path
from typing import TypeVar

import msgspec

from gateway.core.batch import Batch
from gateway.core.errors import Unreachable
from gateway.core.ports import NOTHING, LineSource
from gateway.core.units import decode
from tests.peer_process import PeerProcess

PROGRAM = Path(__file__).with_name("line_servers.py")


def free_port() -> int:
    """Find a port that nobody uses."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


T = TypeVar("T")


def settings_of(kind: type[T], **fields: object) -> T:
    """Make settings as the file would."""
    return msgspec.convert(fields, kind, dec_hook=decode)


async def until(true: Callable[[], object], seconds: float = 10) -> None:
    """Wait until something is true; polls with a deadline."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "not in time"
        await asyncio.sleep(0.02)


async def gather(source: LineSource, enough: Callable[[list[Batch]], bool], seconds: float = 15) -> list[Batch]:
    """Take batches until there are enough; closes the source."""
    taken: list[Batch] = []
    try:
        async with asyncio.timeout(seconds), aclosing(source.batches()) as batches:
            async for batch in batches:
                taken.append(batch)
                if enough(taken):
                    break
    finally:
        await source.close()
    return taken


class Process(PeerProcess):
    """A server as a process, on a port that stays the same when it is started again."""

    def __init__(self, kind: str, *rest: str) -> None:
        super().__init__()
        self._kind, self._rest = kind, rest
        self.port = free_port()

    async def start(self) -> None:
        """Start it, unless it runs, and wait until it serves."""
        if self._process is None:
            async with asyncio.timeout(30):
                await asyncio.to_thread(
                    self._run, [sys.executable, str(PROGRAM), self._kind, str(self.port), *self._rest]
                )


async def settled(source: LineSource, count: int, memory: Mapping[str, bytes] = NOTHING) -> list[Batch]:
    """Take batches until so many values came; the last is acknowledged too, by asking for the next."""
    taken: list[Batch] = []
    try:
        async with asyncio.timeout(30), aclosing(source.batches(memory)) as batches:
            async for batch in batches:
                taken.append(batch)
                if sum(one.count for one in taken) >= count:
                    break
            with suppress(TimeoutError):
                async with asyncio.timeout(0.3):
                    await anext(batches)
    finally:
        await source.close()
    return taken


async def listening(source: LineSource) -> asyncio.Task[None]:
    """Take batches in a task until it ends; gives it when the first has come."""
    heard = asyncio.Event()

    async def consume() -> None:
        async for _ in source.batches():
            heard.set()

    consumer = asyncio.create_task(consume())
    async with asyncio.timeout(15):
        await heard.wait()
    return consumer


async def lost(source: LineSource, seconds: float) -> Unreachable | None:
    """Take batches until the link is lost; gives the error, None when it was not lost in time."""
    try:
        await gather(source, lambda _: False, seconds)
    except Unreachable as error:
        return error
    except TimeoutError:
        return None
    return None
