"""A source of OPC UA values that is listened to in the background, for tests."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from connectors.line.opcua.settings import Settings
from connectors.line.opcua.source import OpcUa
from gateway.core.batch import Batch, TagState
from gateway.core.reading import LogLine, Reading
from tests.line_rigs import settings_of, until
from tests.node_opcua import NSU

QUICK = {"publish": "50ms", "keep_alive": "1s", "retry": "200ms", "timeout": "10s"}


def tag(name: str, **more: object) -> dict[str, object]:
    """Give a tag of asset M at a node of the peer."""
    return {"asset": "M", "tag": name, "address": NSU + name, **more}


def settings(url: str, *tags: dict[str, object], **more: object) -> Settings:
    """Give a line in a hurry, in plain text unless `more` says otherwise."""
    return settings_of(Settings, name="cell", endpoint=url, tag=list(tags), **{"insecure": True, **QUICK, **more})


class Heard:
    """What a source said so far; `memory` is what the next run gets."""

    def __init__(self, source: OpcUa) -> None:
        self.source = source
        self.batches: list[Batch] = []
        self.memory: dict[str, bytes] = {}

    def take(self, batch: Batch) -> None:
        self.batches.append(batch)
        self.memory.update(batch.memory)

    def readings(self, name: str) -> list[Reading]:
        return [it for batch in self.batches for it in batch.values() if it.tag == name]

    def values(self, name: str) -> list[Any]:
        """Give the samples that were a value."""
        return [it.value for it in self.readings(name) if it.value is not None and not it.repeated]

    @property
    def lines(self) -> list[LogLine]:
        return [line for batch in self.batches for line in batch.lines]

    def state(self, name: str) -> TagState:
        [found] = [it for it in self.source.tags() if it.name == f"M/{name}"]
        return found

    async def until(self, true: Callable[[], object]) -> None:
        await until(true, 30)


@asynccontextmanager
async def listening(wanted: Settings, memory: dict[str, bytes] | None = None) -> AsyncIterator[Heard]:
    """Listen until the block ends; what the source raised is left to the test."""
    source = wanted.open()
    assert isinstance(source, OpcUa)
    heard = Heard(source)

    async def hear() -> None:
        async for batch in source.batches(memory or {}):
            heard.take(batch)

    task = asyncio.create_task(hear())
    try:
        yield heard
    finally:
        await source.close()
        await asyncio.wait({task}, timeout=10)
        if task.done() and not task.cancelled():
            task.exception()
