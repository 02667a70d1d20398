"""The journal: every batch, in the order of arrival, before anything acts on it."""

import itertools
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import cast

import numpy as np
from sqlalchemy import Column, ColumnElement, Row, bindparam, delete, insert, select

from gateway.core.batch import Batch
from gateway.core.reading import LogLine, Reading, ThermalFrame
from gateway.core.series import NEVER, Series, moment
from gateway.store.layouts import Layouts
from gateway.store.part import running
from gateway.store.tables import cursors, diagnoses, journal

_LAST = datetime.max.replace(tzinfo=UTC)
MOST_TRIMMED = 20_000  # rows a call, so that the writer is not held up for seconds

_APPEND = insert(journal).values(
    source=bindparam("v_source"),
    received_at=bindparam("v_received_at"),
    first_at=bindparam("v_first_at"),
    last_at=bindparam("v_last_at"),
    count=bindparam("v_count"),
    assets=bindparam("v_assets"),
    size=bindparam("v_size"),
    count_to=running(journal.c.count_to, journal.c.id) + bindparam("v_count"),
    size_to=running(journal.c.size_to, journal.c.id) + bindparam("v_size"),
    body=bindparam("v_body"),
)


class Journal(Layouts):
    """Batches and how far their readers have come."""

    def append(self, batch: Batch) -> int:
        """Write a batch down; gives its number. Numbers grow and are never used twice."""
        body = self._packed(batch)
        spans = list(_spans(batch)) or [(batch.received_at, batch.received_at)]
        done = self._db.execute(
            _APPEND,
            {
                "v_source": batch.source,
                "v_received_at": batch.received_at,
                "v_first_at": min(first for first, _ in spans),
                "v_last_at": max(last for _, last in spans),
                "v_count": batch.count,
                "v_assets": " ".join(sorted(_assets(batch))),
                "v_size": len(body),
                "v_body": body,
            },
        )
        # Both databases give the number of a row that was just inserted.
        return int(cast("Row[int]", done.inserted_primary_key)[0])

    def batches(self, since: datetime, until: datetime, *, after: int = 0, limit: int = 500) -> list[tuple[int, Batch]]:
        """Batches with a value in [since, until), by number, from the one behind `after`."""
        look = (
            select(journal.c.id, journal.c.body)
            .where(journal.c.first_at < until, journal.c.last_at >= since, journal.c.id > after)
            .order_by(journal.c.id)
            .limit(limit)
        )
        return [(number, self._unpacked(body)) for number, body in self._db.execute(look)]

    def batches_after(self, number: int, *, limit: int = 500) -> list[tuple[int, Batch]]:
        """Batches behind a number, by number."""
        look = select(journal.c.id, journal.c.body).where(journal.c.id > number).order_by(journal.c.id).limit(limit)
        return [(found, self._unpacked(body)) for found, body in self._db.execute(look)]

    def cursor(self, name: str) -> int:
        """How far a reader of the journal has come; 0 at the start."""
        return int(self._db.scalar(select(cursors.c.number).where(cursors.c.name == name)) or 0)

    def advance(self, name: str, number: int) -> None:
        """Remember how far a reader has come. Never goes back: of two owners the slower one changes nothing."""
        if number > self.cursor(name):
            self._upsert(cursors, name=name, number=number)

    def trim(self, budget: int, keep_from: int) -> int:
        """Delete the oldest batches while the journal holds more than `budget` bytes; gives how many.

        Batches from number `keep_from` on stay, whatever they weigh. At most `MOST_TRIMMED` go in one
        call: call again until it gives 0. Diagnoses, which follow from the journal, get an eighth of the
        budget on top, and go only when the batches of their time are gone.
        """
        gone = self._cut(journal.c.id, budget, journal.c.id < keep_from)
        first = self._db.scalar(select(journal.c.first_at).order_by(journal.c.id).limit(1))
        if first is not None:
            self._cut(diagnoses.c.number, budget // 8, diagnoses.c.start_at < first)
        return gone

    def _cut(self, number: Column[int], budget: int, allowed: ColumnElement[bool]) -> int:
        """Delete a table's oldest rows while it holds more than the budget and they are allowed to go."""
        table = number.table
        end = self._db.scalar(select(table.c.size_to).order_by(number.desc()).limit(1))
        if end is None:
            return 0
        oldest = select(number, table.c.size_to - table.c.size, allowed).order_by(number)

        def spent(rows: int) -> list[int]:
            held = itertools.takewhile(
                lambda row: end - row[1] > budget and row[2], self._db.execute(oldest.limit(rows))
            )
            return [int(row[0]) for row in held]

        gone = spent(MOST_TRIMMED) if spent(1) else []
        if gone:
            self._db.execute(delete(table).where(number <= gone[-1]))
        return len(gone)

    def _readings_held(self) -> int:
        ends = select(journal.c.count_to, journal.c.count)
        oldest = self._db.execute(ends.order_by(journal.c.id).limit(1)).first()
        newest = self._db.execute(ends.order_by(journal.c.id.desc()).limit(1)).first()
        return 0 if oldest is None or newest is None else int(newest[0] - oldest[0] + oldest[1])


def _things(batch: Batch) -> Iterator[Reading | ThermalFrame | LogLine]:
    yield from batch.readings
    yield from batch.frames
    yield from batch.lines


def _spans(batch: Batch) -> Iterator[tuple[datetime, datetime]]:
    for thing in _things(batch):
        yield thing.at, thing.at
    for wave in batch.waveforms:
        # A server that knows no time says the largest that there is: no length fits behind it.
        length = timedelta(seconds=wave.seconds)
        yield wave.at, wave.at + length if _LAST - wave.at > length else _LAST
    for block in batch.series:
        if block.count:
            yield _span(block)


def _span(block: Series) -> tuple[datetime, datetime]:
    """Give the times of a block's first and last value, by their best known times."""
    made, served = (np.frombuffer(column, "<i8") for column in (block.sourced, block.served))
    best = np.where(made == NEVER, served, made)
    known = best[best != NEVER]
    times = [at for at in (moment(int(edge)) for edge in (known.min(), known.max())) if at] if known.size else []
    if known.size < best.size or not times:
        times.append(block.received_at)
    return min(times), max(times)


def _assets(batch: Batch) -> set[str]:
    return {thing.asset for thing in _things(batch)} | {wave.asset for wave in batch.waveforms}
