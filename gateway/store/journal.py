"""The journal: every batch, in the order of arrival, before anything acts on it."""

import itertools
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import numpy as np
from sqlalchemy import Column, ColumnElement, Connection, Select, delete, exists, func, select, update

from gateway.core.batch import Batch
from gateway.core.ports import Held, JournalRow
from gateway.core.reading import LogLine, Reading, ThermalFrame
from gateway.core.series import NEVER, Series, moment
from gateway.store.intake import Intake
from gateway.store.layouts import Layouts
from gateway.store.tables import cursors, diagnoses, journal, pins
from gateway.store.totals import Totals

_LAST = datetime.max.replace(tzinfo=UTC)
MOST_TRIMMED = 20_000  # rows a call, so that the writer is not held up for seconds
_MOST_BYTES = 64 * 1024**2
ROW = 96
"""Bytes that a row takes beside its body, about: a journal of tiny batches must not outgrow its budget."""

_ADD = (
    "INSERT INTO journal (id, source, received_at, first_at, last_at, count, size, body)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
)
_SERVER_ADD = _ADD.replace("?", "%s")
_WITHOUT_ZONE = len("2026-01-01 00:00:00.000000")
_Row = tuple[Any, ...]


class Journal(Layouts, Totals):
    """Batches and how far their readers have come.

    Appended batches are handed to the database together, at the end of the transaction or before one looks.
    """

    def __init__(self, connection: Connection, intake: Intake | None = None, stored: set[str] | None = None) -> None:
        super().__init__(connection, stored)
        self._intake = intake
        self._put_off: list[_Row] = []
        self._handed: list[_Row] = []
        self._put_off_marked = 0
        self._is_server = connection.dialect.name == "postgresql"

    def append(self, batch: Batch) -> int:
        """Write a batch down; gives its number. Numbers grow and are never used twice.

        Raises `Full` when the journal may not grow.
        """
        body = self._packed(batch)
        held, size = self.held(), len(body) + ROW
        if self._intake is not None:
            self._intake.admit(held.size, size)
        first, last = _ends(batch)
        number, count = held.newest + 1, batch.count
        received_at = self._at(batch.received_at)
        # One object for all three in most batches: writing a time costs as much as encoding a value.
        first_at = received_at if first is batch.received_at else self._at(first)
        last_at = first_at if last is first else self._at(last)
        source = batch.source if "\x00" not in batch.source else batch.source.replace("\x00", "\ufffd")
        self._put_off.append((number, source, received_at, first_at, last_at, count, size, body))
        # By place, not by `replace`: this is done for every batch of a busy line.
        self._totals = Held(number, held.values + count, held.size + size, held.thinned, held.dropped, held.aside)
        return number

    def begin_step(self) -> None:
        """Begin a step."""
        super().begin_step()
        self._put_off_marked = len(self._put_off)
        self._handed.clear()

    def undo_step(self) -> None:
        """Take back what the step did; what it handed over for others is put off again."""
        super().undo_step()
        self._put_off = [*self._handed, *self._put_off][: self._put_off_marked]

    def flush(self) -> None:
        """Hand over what was put off."""
        self._hand_over()
        super().flush()

    def _hand_over(self) -> None:
        if self._put_off:
            self._handed += self._put_off
            rows, self._put_off = self._put_off, []
            self._db.exec_driver_sql(_SERVER_ADD if self._is_server else _ADD, rows)

    def _at(self, moment: datetime) -> datetime | str:
        """Give a time as the driver takes it (see `columns.Utc`). Raises ValueError for one without a zone."""
        if moment.utcoffset() is None:
            raise ValueError(f"a time without a zone cannot be stored: {moment.isoformat()}")
        if self._is_server:
            return moment
        whole = moment if moment.tzinfo is UTC else moment.astimezone(UTC)
        return whole.isoformat(" ", "microseconds")[:_WITHOUT_ZONE]

    def batches(self, since: datetime, until: datetime, *, after: int = 0, limit: int = 500) -> list[tuple[int, Batch]]:
        """Batches with a value in [since, until), by number, from the one behind `after`."""
        look = _rows().where(journal.c.first_at < until, journal.c.last_at >= since, journal.c.id > after)
        return self._read(look.limit(limit))

    def batches_after(self, number: int, *, limit: int = 500) -> list[tuple[int, Batch]]:
        """Batches behind a number, by number.

        One that cannot be read is given as an empty batch that says so; the store then sets it aside.
        """
        return self._read(_rows().where(journal.c.id > number).limit(limit))

    def _read(self, look: Select[Any]) -> list[tuple[int, Batch]]:
        self._hand_over()
        return [(row.id, self._readable(row)) for row in self._db.execute(look)]

    def newest(self) -> int:
        """Number of the newest batch; 0 when there is none."""
        return int(self._db.scalar(select(func.max(journal.c.id))) or 0)

    def cursor(self, name: str) -> int:
        """How far a reader of the journal has come; 0 at the start."""
        return int(self._db.scalar(select(cursors.c.number).where(cursors.c.name == name)) or 0)

    def advance(self, name: str, number: int) -> None:
        """Remember how far a reader has come. Never goes back: of two owners the slower one changes nothing."""
        if number > self.cursor(name):
            self._upsert(cursors, name=name, number=number)

    def pin(self, key: str, numbers: Sequence[int]) -> None:
        """Keep the batches of these numbers as they are, because the order `key` stands on them."""
        for number in numbers:
            self._insert_new(pins, number=number, key=key)

    def trim(self, budget: int, keep_from: int) -> int:
        """Delete the oldest batches while the journal holds more than `budget` bytes; gives how many.

        Batches from number `keep_from` on stay, whatever they weigh, and so do pinned ones. At most
        `MOST_TRIMMED` go in one call: call again until it gives 0. Diagnoses, which follow from the
        journal, get an eighth of the budget on top, and go only when the batches of their time are gone.
        """
        self._hand_over()
        gone = self._drop(self.held().size - budget, keep_from)
        first = self._db.scalar(select(journal.c.first_at).order_by(journal.c.id).limit(1))
        if first is not None:
            self._cut(diagnoses.c.number, budget // 8, diagnoses.c.start_at < first)
        return gone

    def _drop(self, too_much: int, keep_from: int) -> int:
        look = select(journal.c.id, journal.c.size, journal.c["count"].label("held"))
        look = look.where(journal.c.id < keep_from, ~_pinned()).order_by(journal.c.id)
        numbers, size, values = list[int](), 0, 0
        if too_much > 0:
            for row in self._db.execute(look.limit(MOST_TRIMMED)):
                if size >= min(too_much, _MOST_BYTES):
                    break
                numbers.append(row.id)
                size += row.size
                values += row.held
        for first, last in _runs(numbers):
            self._db.execute(delete(journal).where(journal.c.id.between(first, last)))
        if numbers:
            self._less(size=size, values=values, dropped=values)
        return len(numbers)

    def oldest(self, after: int, before: int, size: int) -> list[JournalRow]:
        """Batches behind `after` and before `before` that no order stands on: about `size` bytes, one at least."""
        look = _rows(journal.c.size, journal.c.level).where(journal.c.id > after, journal.c.id < before, ~_pinned())
        found, weight = list[JournalRow](), 0
        for row in self._db.execute(look.limit(1000)):
            found.append(JournalRow(row.id, row.size, row.level, self._readable(row)))
            weight += row.size
            if weight >= size:
                break
        return found

    def put_thinned(self, row: JournalRow, left: Batch | None) -> bool:
        """Put what is left of a batch in its place, None for nothing; False when somebody else changed it."""
        self._hand_over()
        same = (journal.c.id == row.number) & (journal.c.level == row.level) & (journal.c.size == row.size)
        count = left.count if left is not None else 0
        if left is None:
            done, size = self._db.execute(delete(journal).where(same)), 0
        else:
            body = self._packed(left)
            size = len(body) + ROW
            done = self._db.execute(
                update(journal).where(same).values(body=body, size=size, count=count, level=row.level + 1)
            )
        if done.rowcount != 1:
            return False
        gone = row.batch.count - count
        self._less(size=row.size - size, values=gone, thinned=gone)
        return True

    def _less(self, *, size: int, values: int, thinned: int = 0, dropped: int = 0) -> None:
        held = self.held()
        self._totals = msgspec.structs.replace(
            held,
            size=held.size - size,
            values=held.values - values,
            thinned=held.thinned + thinned,
            dropped=held.dropped + dropped,
        )

    def _cut(self, number: Column[int], budget: int, allowed: ColumnElement[bool]) -> None:
        """Delete a table's oldest rows while it holds more than the budget and they are allowed to go."""
        table = number.table
        end = self._db.scalar(select(table.c.size_to).order_by(number.desc()).limit(1))
        if end is None:
            return
        oldest = select(number, table.c.size_to - table.c.size, allowed).order_by(number)

        def spent(rows: int) -> list[int]:
            held = itertools.takewhile(
                lambda row: end - row[1] > budget and row[2], self._db.execute(oldest.limit(rows))
            )
            return [int(row[0]) for row in held]

        gone = spent(MOST_TRIMMED) if spent(1) else []
        if gone:
            self._db.execute(delete(table).where(number <= gone[-1]))


def _rows(*more: Column[Any]) -> Select[Any]:
    told = (journal.c.id, journal.c.source, journal.c.received_at, journal.c.first_at, journal.c.last_at)
    return select(*told, journal.c.body, *more).order_by(journal.c.id)


def _pinned() -> ColumnElement[bool]:
    return exists(1).where(pins.c.number == journal.c.id).correlate(journal)


def _runs(numbers: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Give unbroken runs of numbers, first and last of each."""
    first: int | None = None
    last = 0
    for number in sorted(set(numbers)):
        if first is not None and number != last + 1:
            yield first, last
            first = None
        first, last = number if first is None else first, number
    if first is not None:
        yield first, last


def _ends(batch: Batch) -> tuple[datetime, datetime]:
    """Give the times of a batch's first and last value; of its receipt when it has none."""
    first = last = None
    for begins, ends in _spans(batch):
        first = begins if first is None or begins < first else first
        last = ends if last is None or ends > last else last
    return first or batch.received_at, last or batch.received_at


def _spans(batch: Batch) -> Iterator[tuple[datetime, datetime]]:
    things: tuple[tuple[Reading | ThermalFrame | LogLine, ...], ...] = (batch.readings, batch.frames, batch.lines)
    for thing in itertools.chain.from_iterable(things):
        at = thing.at
        yield at, at
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
    best = np.where(made == NEVER, served, made) if made.min() == NEVER else made
    known = best[best != NEVER] if best.min() == NEVER else best
    times = [at for at in (moment(int(edge)) for edge in (known.min(), known.max())) if at] if known.size else []
    if known.size < best.size or not times:
        times.append(block.received_at)
    return min(times), max(times)
