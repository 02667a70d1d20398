"""Source -> journal (committed) -> everyone else."""

import asyncio
import contextlib
from collections.abc import Callable

from msgspec.structs import replace

from gateway.core.batch import Batch
from gateway.core.errors import Full
from gateway.core.ports import LineSource, Store, Tx

_CLOSE_S = 10.0
_ROOM_S = 0.5
_TRIES = 20


async def ingest(source: LineSource, store: Store, noted: Callable[[Batch], None]) -> None:
    """Journal what a source gives; the next batch is asked for only after COMMIT, which acknowledges the last.

    What the source wants to remember is committed in the same transaction, and given back to it at its
    next start. `noted` is told after the commit and must not wait. Diagnosis reads the journal itself, so
    a slow diagnosis never holds a source up: the journal is the backlog. Raises `Unreachable` when the
    link is lost and `Full` when there is no room for long: before that the batch is tried again while the
    link stays open, so that a full journal does not become a storm of new sessions. The source keeps its copy.
    """
    try:
        memory = await store.read(lambda tx: tx.kept(memory_of(source.name)))
        async for batch in source.batches(memory):
            await _journal(batch, store)
            noted(batch)
    finally:
        # A link that is half dead must not hold up the end of the gateway, nor the next try.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_CLOSE_S):
                await source.close()


async def _journal(batch: Batch, store: Store) -> None:
    step = _Append(batch)
    for _ in range(_TRIES):
        try:
            await store.write(step)
        except Full:
            await asyncio.sleep(_ROOM_S)
        else:
            return
    await store.write(step)


def memory_of(source: str) -> str:
    """Give the prefix of the names under which a source's memory is kept."""
    return f"line.{source}."


class _Append:
    """The step that journals one batch, and keeps beside it what its source wants to know again."""

    def __init__(self, batch: Batch) -> None:
        self._batch = batch

    def __call__(self, tx: Tx) -> int:
        batch = self._batch
        for name, value in batch.memory.items():
            if value:
                tx.put(memory_of(batch.source) + name, value)
            else:
                tx.forget(memory_of(batch.source) + name)
        if batch.memory:
            batch = replace(batch, memory={})
        return tx.append(batch) if batch.count or batch.note or batch.gaps else 0
