"""What a store holds, counted against the grid: what came, what is lost, what came twice, what is wrong."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gateway.core.batch import Batch, SourceGap
from gateway.core.ports import Tx
from gateway.core.series import Series, ticks
from gateway.store.settings import Settings
from lines.grid import BOOLEAN, SCALE, Grid


@dataclass(slots=True)
class Tally:
    """Values by tag and tick. `wrong` counts those that are not what the source said at that tick."""

    seen: NDArray[np.uint8]
    wrong: int = 0
    strange: int = 0
    bad: int = 0
    batches: int = 0
    gaps: list[SourceGap] = field(default_factory=list)

    def delivered(self, first: int, end: int) -> float:
        """Give the share of the values of ticks [first, end) that are there."""
        return float((self.seen[:, first:end] > 0).mean())

    def count(self, first: int, end: int) -> int:
        """Give how many different values of ticks [first, end) are there."""
        return int((self.seen[:, first:end] > 0).sum())

    def lost(self, first: int, end: int) -> int:
        """Give how many values of ticks [first, end) are not there."""
        return int((self.seen[:, first:end] == 0).sum())

    def twice(self) -> int:
        """Give how many values stand there more than once."""
        return int(np.maximum(self.seen.astype(np.int64) - 1, 0).sum())

    def holes(self) -> int:
        """Give how many values are missing between a tag's first and last one."""
        there = self.seen > 0
        some = there.any(1)
        first = there.argmax(1)
        last = there.shape[1] - 1 - there[:, ::-1].argmax(1)
        return int((last - first + 1 - there.sum(1))[some].sum())


def tally(folder: Path, tags: int, grid: Grid, end: int, *, scale: float = SCALE) -> Tally:
    """Read the whole journal of a store; ticks from `end` on are left out."""
    found = Tally(np.zeros((tags, end), np.uint8))
    kinds = np.array([grid.kind(tag) for tag in range(tags)])
    asyncio.run(_read(folder, found, grid, kinds, scale))
    return found


async def _read(folder: Path, found: Tally, grid: Grid, kinds: NDArray[np.int64], scale: float) -> None:
    async for batch in batches(folder):
        found.batches += 1
        found.gaps += batch.gaps
        for columns in _columns(batch):
            _take(found, grid, kinds, scale, columns)


async def batches(folder: Path) -> AsyncIterator[Batch]:
    """Give every batch of a store, some at a time."""
    store = await asyncio.to_thread(Settings(path=str(folder)).open)
    try:
        number = 0
        while part := await store.read(partial(_some, number)):
            for number, batch in part:  # noqa: B007 (the last one is where to go on)
                yield batch
    finally:
        await store.close()


def _some(after: int, tx: Tx) -> list[tuple[int, Batch]]:
    return tx.batches_after(after, limit=50)


def good(folder: Path, assets: set[str], since: int, until: int) -> int:
    """Count the good values of some assets that came in [since, until), microseconds since 1970."""
    return asyncio.run(_good(folder, assets, since, until))


async def _good(folder: Path, assets: set[str], since: int, until: int) -> int:
    count = 0
    async for batch in batches(folder):
        if not since <= ticks(batch.received_at) < until:
            continue
        for block in batch.series:
            wanted = np.array([place.asset in assets for place in block.layout.places])
            mine = wanted[np.frombuffer(block.places, "<u4")]
            count += int((mine & (np.frombuffer(block.qualities, np.uint8) == 0)).sum())
        count += sum(row.asset in assets and row.quality == 0 for row in batch.readings)
    return count


Columns = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64], NDArray[np.bool_]]


def _columns(batch: Batch) -> Iterator[Columns]:
    """Give tag numbers, source times in microseconds, numbers, and whether they are good."""
    for block in batch.series:
        yield _series(block)
    if batch.readings:
        rows = batch.readings
        yield (
            np.array([int(row.tag[1:]) for row in rows]),
            np.array([ticks(row.sourced_at) for row in rows]),
            np.array([float(row.value) if isinstance(row.value, int | float) else np.nan for row in rows]),
            np.array([row.value is not None and row.quality == 0 for row in rows]),
        )


def _series(block: Series) -> Columns:
    names = np.array([int(place.tag[1:]) for place in block.layout.places])
    places = names[np.frombuffer(block.places, "<u4")]
    times = np.frombuffer(block.sourced, "<i8")
    good = np.frombuffer(block.qualities, np.uint8) == 0
    values = np.frombuffer(block.values, block.form).astype(np.float64)
    return places, np.broadcast_to(times, places.shape), values, np.broadcast_to(good, places.shape)


def _take(found: Tally, grid: Grid, kinds: NDArray[np.int64], scale: float, columns: Columns) -> None:
    places, times, values, good = columns
    if grid.timed:
        steps = (times - grid.start_us) // grid.period_us
        on_grid = (times - grid.start_us) % grid.period_us == 0
    else:
        known = np.where(good, values / scale - grid.base, -1)
        steps = known.astype(np.int64)
        on_grid = (known == steps) | ~good
    inside = on_grid & (steps >= 0) & (steps < found.seen.shape[1])
    found.strange += int((~on_grid).sum())
    found.bad += int((inside & ~good).sum())
    use = inside & good
    places, steps, values = places[use], steps[use], values[use]
    np.add.at(found.seen, (places, steps), 1)
    for kind in np.unique(kinds[places]):
        mine = kinds[places] == kind
        factor = 1.0 if kind == BOOLEAN else scale
        found.wrong += int((values[mine] != grid.raw(int(kind), places[mine], steps[mine]) * factor).sum())
