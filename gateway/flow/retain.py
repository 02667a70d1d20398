"""Disk budget: between two water marks the oldest readings get thinner or go, counted; orders and evidence never.

Above the high mark room is made until the low mark is reached. A sweep goes from the oldest batch
forward and takes every second value, as far as it must; the next one begins at the oldest again, so the
past gets the coarser the older it is. What was halved ten times goes. What diagnosis has not read, and what an order
stands on, stays as it is.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import structlog

from gateway.core.batch import Batch
from gateway.core.plural import plural
from gateway.core.ports import Clock, Held, JournalRow, Store, Tx
from gateway.flow.diagnose import CURSOR
from gateway.flow.thin import Thinner

log: structlog.stdlib.BoundLogger = structlog.get_logger()

_EVERY_S = 1.0
_HOURLY = timedelta(hours=1)
_CHUNK = 1024 * 1024
"""Bytes of a batch of old batches: one such step holds the writer up for some hundredths of a second."""
_HALVINGS = 10
_MESSAGES = 2000
_ALL = 1 << 62


@dataclass(frozen=True, slots=True)
class Bounds:
    """Water marks in bytes, how room is made, for how long a message that came is known again.

    `diagnosed`: somebody reads the journal behind its cursor, so what is behind that must stay.
    """

    high: int
    low: int
    thin: bool = True
    drop: bool = True
    keep_inbox: timedelta = timedelta(days=30)
    diagnosed: bool = True


@dataclass(slots=True)
class Retention:
    """The job that keeps the journal between its marks. `bounds` may change while it runs."""

    store: Store
    bounds: Bounds
    now: Clock
    told: Callable[[Held], None] = lambda _: None
    _purged_at: datetime | None = field(default=None, init=False)

    async def run(self) -> None:
        """Go on until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(_EVERY_S)

    async def look(self) -> None:
        """Look at the marks once, and make room when the high one is passed."""
        held = await self.store.read(lambda tx: tx.held())
        self.told(held)
        bounds = self.bounds
        if held.size > bounds.high and (bounds.thin or bounds.drop):
            await self._make_room(held, bounds)
            self.told(await self.store.read(lambda tx: tx.held()))
        now = self.now()
        if self._purged_at is None or now - self._purged_at >= _HOURLY:
            self._purged_at = now
            await self._forget(now - bounds.keep_inbox)

    async def _make_room(self, before: Held, bounds: Bounds) -> None:
        size = before.size
        while bounds.thin and size > bounds.low:
            after = await self._sweep(bounds)
            if size - after < max(_CHUNK, size // 100):  # nothing much is left to be thinned
                size = after
                break
            size = after
        if size > bounds.low and bounds.drop:
            await self._drop(bounds)
        ended = await self.store.read(lambda tx: tx.held())
        thinned, dropped = ended.thinned - before.thinned, ended.dropped - before.dropped
        if not (thinned or dropped):
            return
        detail = f"{plural(thinned, 'value')} thinned, {dropped} dropped, {before.size} to {ended.size} bytes"
        now = self.now()
        await self.store.write(lambda tx: tx.note("journal.thinned", "journal", now, detail))
        log.warning("journal.thinned", what=detail)

    async def _sweep(self, bounds: Bounds) -> int:
        """Thin from the oldest batch forward until the low mark is reached; gives the size that is left."""
        thinner, at = Thinner(), 0

        def look(tx: Tx) -> tuple[int, list[tuple[JournalRow, Batch | None]], int]:
            rows = tx.oldest(at, _read_to(tx, bounds), _CHUNK)
            left = [(row, _halved(thinner, row)) for row in rows]
            return tx.held().size, left, rows[-1].number if rows else at

        while True:
            size, left, reached = await self.store.read(look)
            if size <= bounds.low or reached == at:
                return size
            at = reached
            await self.store.write(_Put(left))

    async def _drop(self, bounds: Bounds) -> None:
        def step(tx: Tx) -> int:
            return tx.trim(bounds.low, _read_to(tx, bounds))

        while await self.store.write(step):
            pass

    async def _forget(self, before: datetime) -> None:
        def step(tx: Tx) -> int:
            return tx.purge_inbox(before, _MESSAGES)

        while await self.store.write(step) == _MESSAGES:
            pass


async def trim_to(store: Store, size: int, *, diagnosed: bool) -> Held:
    """Drop the oldest batches, as far as they may go, until the journal holds at most `size` bytes.

    For a person at the console; it is counted and audited.
    """
    before = await store.read(_look)
    bounds = Bounds(size, size, diagnosed=diagnosed)
    while await store.write(lambda tx: tx.trim(size, _read_to(tx, bounds))):
        pass
    after = await store.read(_look)
    if after.dropped != before.dropped:
        detail = (
            f"{plural(after.dropped - before.dropped, 'value')} dropped by hand, {before.size} to {after.size} bytes"
        )
        await store.write(lambda tx: tx.note("journal.trimmed", "journal", datetime.now(UTC), detail))
    return after


def _look(tx: Tx) -> Held:
    return tx.held()


@dataclass(frozen=True, slots=True)
class _Put:
    """The step that puts thinned batches in the place of the whole ones."""

    left: list[tuple[JournalRow, Batch | None]]

    def __call__(self, tx: Tx) -> None:
        for row, batch in self.left:
            if batch is not row.batch:
                tx.put_thinned(row, batch)


def _halved(thinner: Thinner, row: JournalRow) -> Batch | None:
    """Give what is left of a batch; the very batch when nothing went."""
    if row.level >= _HALVINGS:
        return None
    left = thinner.thin(row.batch)
    return row.batch if left is not None and left.count == row.batch.count else left


def _read_to(tx: Tx, bounds: Bounds) -> int:
    """Give the number from which on batches must stay."""
    return tx.cursor(CURSOR) if bounds.diagnosed else _ALL
