"""Source -> journal (committed) -> everyone else."""

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from typing import TypeVar

import msgspec
import structlog
from msgspec.structs import replace

from gateway.core.batch import Batch
from gateway.core.errors import Full
from gateway.core.ports import LineSource, Store, Tx
from gateway.core.reading import LogLine, Reading, ThermalFrame, Waveform
from gateway.flow import aside

log: structlog.stdlib.BoundLogger = structlog.get_logger()
Atom = TypeVar("Atom", Reading, Waveform, ThermalFrame, LogLine)
_CLOSE_S = 10.0
_ROOM_S = 0.5
_TRIES = 20
_NAMED = 20


async def ingest(source: LineSource, store: Store, noted: Callable[[Batch], None]) -> None:
    """Journal what a source gives; the next batch is asked for only after COMMIT, which acknowledges the last.

    What the source wants to remember is committed in the same transaction, and given back to it at its
    next start. `noted` is told after the commit and must not wait. Diagnosis reads the journal itself, so
    a slow diagnosis never holds a source up: the journal is the backlog. Raises `Unreachable` when the
    link is lost and `Full` when there is no room for long: before that the batch is tried again while the
    link stays open, so that a full journal does not become a storm of new sessions. The source keeps its copy.
    What cannot be written down at all (an adapter let through what no document holds) is set aside by name,
    with an audit line: a source that says it again after every start must not end the gateway for ever.
    """
    try:
        memory = await store.read(lambda tx: tx.kept(memory_of(source.name)))
        async for batch in source.batches(memory):
            noted(await _journal(batch, store))
    finally:
        # A link that is half dead must not hold up the end of the gateway, nor the next try.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_CLOSE_S):
                await source.close()


async def _journal(batch: Batch, store: Store) -> Batch:
    """Write a batch down; gives what was written."""
    step = _Append(batch)
    for _ in range(_TRIES):
        try:
            await store.write(step)
        except Full:
            await asyncio.sleep(_ROOM_S)
        except (OverflowError, TypeError, ValueError) as bug:
            sound, poison = _parted(batch)
            if not poison:
                raise
            log.warning("reading.set_aside", source=batch.source, what=poison[:_NAMED], **aside.told(bug))
            batch, step = sound, _Append(sound, poison)
        else:
            return batch
    await store.write(step)
    return batch


def _parted(batch: Batch) -> tuple[Batch, list[str]]:
    """Part a batch into what can be written down and the names of what cannot."""
    poison: list[str] = []

    def sound(things: tuple[Atom, ...]) -> tuple[Atom, ...]:
        kept = [thing for thing in things if _fits(thing)]
        poison.extend(_name(thing) for thing in things if not _fits(thing))
        return tuple(kept)

    parted = replace(
        batch,
        readings=sound(batch.readings),
        waveforms=sound(batch.waveforms),
        frames=sound(batch.frames),
        lines=sound(batch.lines),
    )
    return parted, poison


def _fits(thing: Reading | Waveform | ThermalFrame | LogLine) -> bool:
    try:
        msgspec.msgpack.encode(thing)
    except (OverflowError, TypeError, ValueError):
        return False
    return True


def _name(thing: Reading | Waveform | ThermalFrame | LogLine) -> str:
    tag = "log" if isinstance(thing, LogLine) else thing.tag
    return f"{thing.asset}/{tag}".encode("utf-8", "replace").decode()


def memory_of(source: str) -> str:
    """Give the prefix of the names under which a source's memory is kept."""
    return f"line.{source}."


class _Append:
    """The step that journals one batch, and keeps beside it what its source wants to know again."""

    def __init__(self, batch: Batch, poison: Sequence[str] = ()) -> None:
        self._batch, self._poison = batch, poison

    def __call__(self, tx: Tx) -> int:
        batch = self._batch
        for name in self._poison[:_NAMED]:
            tx.note("reading.set_aside", name, batch.received_at, f"{len(self._poison)} in one batch")
        for name, value in batch.memory.items():
            if value:
                tx.put(memory_of(batch.source) + name, value)
            else:
                tx.forget(memory_of(batch.source) + name)
        if batch.memory:
            batch = replace(batch, memory={})
        return tx.append(batch) if batch.count or batch.note or batch.gaps else 0
