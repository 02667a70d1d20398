"""Recall: what every tag said last survives a restart.

A value that has not changed for hours is not sent again by a server that still knows us, and may be gone from
the journal. So the last values are kept now and then; what was journalled since is read again at the start.
"""

import asyncio
from functools import partial

import msgspec
import structlog

from gateway.core.batch import Batch
from gateway.core.ports import Store, Tx
from gateway.core.reading import Reading
from gateway.flow.live import Live

log: structlog.stdlib.BoundLogger = structlog.get_logger()

KEPT = "live.latest"
_EVERY_S = 30.0
_PAGE = 200
_MOST = 20_000
"""Batches that are read again at most: an hour of a busy line."""


class Latest(msgspec.Struct, frozen=True):
    """The last reading of every tag by source, and the number of the newest batch in the journal before that."""

    number: int
    sources: dict[str, tuple[Reading, ...]]


async def recall(store: Store, live: Live) -> None:
    """Show again what was said before the restart: the values kept, then what was journalled since."""
    kept = await store.read(lambda tx: tx.get(KEPT))
    if kept is None:
        return
    try:
        latest = msgspec.msgpack.decode(kept, type=Latest)
    except (msgspec.DecodeError, msgspec.ValidationError):
        log.warning("live.not_recalled")
        return
    for source, readings in latest.sources.items():
        live.restore(source, readings)
    number, first = latest.number, latest.number
    while number - first < _MOST:
        rows = await store.read(partial(_behind, number))
        for _, batch in rows:
            live.note(batch)
        if len(rows) < _PAGE:
            return
        number = rows[-1][0]


async def remember(store: Store, live: Live) -> None:
    """Recall, then keep the last values every half minute in which something was said. Goes on until cancelled."""
    await recall(store, live)
    said = 0
    while True:
        before, said = said, sum(live.counted.values())
        if said != before:
            # What is committed and not yet shown is behind this number, or noted twice: an older value changes nothing.
            number = await store.read(lambda tx: tx.newest())
            kept = msgspec.msgpack.encode(Latest(max(0, number - _PAGE), live.by_source()))
            await store.write(_Keep(kept))
        await asyncio.sleep(_EVERY_S)


def _behind(number: int, tx: Tx) -> list[tuple[int, Batch]]:
    return tx.batches_after(number, limit=_PAGE)


class _Keep:
    """The step that keeps the last values."""

    def __init__(self, kept: bytes) -> None:
        self._kept = kept

    def __call__(self, tx: Tx) -> None:
        tx.put(KEPT, self._kept)
