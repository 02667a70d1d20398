"""Looking at a device that nobody knows: which units answer, which registers are there, and what they may mean.

Reads only. Every look is bounded in questions and in seconds.
"""

import asyncio
import csv
import io
import math
import struct
import time
from collections.abc import Sequence
from typing import cast

import msgspec

from connectors.line.modbus.address import Address, Order, Table, bytes_of, parse
from connectors.line.modbus.frames import ILLEGAL_ADDRESS, NOT_THERE, Denied, Question
from connectors.line.modbus.wire import Silent, Wire
from gateway.core.errors import Unreachable

ORDERS: tuple[Order, ...] = ("ABCD", "CDAB", "BADC", "DCBA")
MOST_REGISTERS = 2000
_SPAN = 100
_TEXT = range(0x20, 0x7F)
_SMALL, _LARGE = 1e-6, 1e9
_WIDE, _LONG = 2, 4
_LAST = 65_535


class Bounds(msgspec.Struct, frozen=True):
    """How far a look may go: questions asked, and seconds."""

    questions: int = 2000
    seconds: float = 60.0


class Unit(msgspec.Struct, frozen=True):
    """A unit number that answers, and what it said to a read of its first register."""

    unit: int
    said: str


class Stretch(msgspec.Struct, frozen=True):
    """Registers (or bits) `start` to `end`, both included, that the unit gives."""

    table: Table
    start: int
    end: int


class Row(msgspec.Struct, frozen=True):
    """One register, and what begins there if it is wider: in the four orders of bytes (ABCD, CDAB, BADC, DCBA).

    None where the stretch ends before the value does.
    """

    table: Table
    offset: int
    raw: int
    int16: int
    text: str
    float32: tuple[float | None, ...] = ()
    int32: tuple[int | None, ...] = ()
    uint32: tuple[int | None, ...] = ()
    float64: tuple[float | None, ...] = ()
    int64: tuple[int | None, ...] = ()
    uint64: tuple[int | None, ...] = ()


class Seen(msgspec.Struct, frozen=True):
    """What a look found. `ended` says why it ended before everything was looked at; empty when it did not."""

    units: tuple[Unit, ...] = ()
    stretches: tuple[Stretch, ...] = ()
    rows: tuple[Row, ...] = ()
    questions: int = 0
    seconds: float = 0.0
    ended: str = ""


class _Enough(Exception):
    """The bounds are reached."""


class Look:
    """Looks at one endpoint over one connection. Raises `Unreachable` when there is none."""

    def __init__(self, wire: Wire, bounds: Bounds) -> None:
        self._wire, self._bounds = wire, bounds
        self._questions, self._began = 0, time.monotonic()

    async def units(self, numbers: Sequence[int]) -> Seen:
        """Ask every one of these unit numbers for its first register: an exception is an answer too."""
        found: list[Unit] = []
        ended = ""
        await self._wire.connect()
        try:
            for number in numbers:
                said = await self._says(number)
                if said:
                    found.append(Unit(number, said))
        except _Enough as enough:
            ended = str(enough)
        return self._seen(units=tuple(found), ended=ended)

    async def _says(self, unit: int) -> str:
        try:
            raw = await self._ask(Question(unit, "holding", 0, 1))
        except Denied as denied:
            return "" if denied.code in NOT_THERE else f"answers ({denied})"
        except Silent:
            return ""
        return f"answers (holding register 0 is {int.from_bytes(raw)})"

    async def stretches(self, unit: int, table: Table, first: int, last: int) -> Seen:
        """Find which registers of a range are there, by halving what is refused."""
        found: list[Stretch] = []
        ended = ""
        try:
            for start in range(first, last + 1, _SPAN):
                await self._try(unit, table, start, min(start + _SPAN - 1, last), found)
        except (_Enough, Silent) as enough:
            ended = str(enough)
        return self._seen(stretches=tuple(_joined(found)), ended=ended)

    async def _try(self, unit: int, table: Table, start: int, end: int, found: list[Stretch]) -> None:
        try:
            await self._ask(Question(unit, table, start, end - start + 1))
        except Denied as denied:
            if denied.code != ILLEGAL_ADDRESS or start == end:
                return
            middle = (start + end) // 2
            await self._try(unit, table, start, middle, found)
            await self._try(unit, table, middle + 1, end, found)
        else:
            found.append(Stretch(table, start, end))

    async def rows(self, unit: int, table: Table, first: int, last: int) -> Seen:
        """Read the registers of a range that are there, and decode each in every way."""
        seen = await self.stretches(unit, table, first, min(last, first + MOST_REGISTERS - 1))
        rows: list[Row] = []
        ended = seen.ended
        try:
            for stretch in seen.stretches:
                rows += await self._decoded(unit, stretch)
        except (_Enough, Silent, Denied) as enough:
            ended = str(enough)
        return self._seen(stretches=seen.stretches, rows=tuple(rows), ended=ended)

    async def _decoded(self, unit: int, stretch: Stretch) -> list[Row]:
        words: list[int] = []
        for start in range(stretch.start, stretch.end + 1, _SPAN):
            count = min(_SPAN, stretch.end - start + 1)
            raw = await self._ask(Question(unit, stretch.table, start, count))
            if stretch.table in {"coil", "discrete"}:
                words += [raw[bit // 8] >> bit % 8 & 1 for bit in range(count)]
            else:
                words += struct.unpack(f">{count}H", raw)
        return [row_of(stretch.table, stretch.start + place, words[place:]) for place in range(len(words))]

    async def _ask(self, question: Question) -> bytes:
        if self._questions >= self._bounds.questions:
            raise _Enough(f"after {self._questions} questions")
        if time.monotonic() - self._began > self._bounds.seconds:
            raise _Enough(f"after {self._bounds.seconds:.0f} s")
        self._questions += 1
        try:
            return await self._wire.read(question)
        except Unreachable:
            await asyncio.sleep(0.2)  # some devices need a moment before they take the next connection
            return await self._wire.read(question)

    def _seen(
        self,
        units: tuple[Unit, ...] = (),
        stretches: tuple[Stretch, ...] = (),
        rows: tuple[Row, ...] = (),
        ended: str = "",
    ) -> Seen:
        return Seen(units, stretches, rows, self._questions, time.monotonic() - self._began, ended)


def _joined(stretches: Sequence[Stretch]) -> list[Stretch]:
    """Join stretches that touch."""
    joined: list[Stretch] = []
    for stretch in sorted(stretches, key=lambda stretch: stretch.start):
        if joined and joined[-1].end + 1 == stretch.start:
            joined[-1] = Stretch(stretch.table, joined[-1].start, stretch.end)
        else:
            joined.append(stretch)
    return joined


def row_of(table: Table, offset: int, words: Sequence[int]) -> Row:
    """Decode what begins at a register in every way. `words` are the registers from it on. Pure."""
    raw = words[0]
    if table in {"coil", "discrete"}:
        return Row(table, offset, raw, raw, "")
    pair = struct.pack(">H", raw)
    text = "".join(chr(letter) if letter in _TEXT else "." for letter in pair)
    return Row(
        table,
        offset,
        raw,
        raw - 65_536 if raw > 32_767 else raw,  # noqa: PLR2004 (two's complement)
        text,
        cast("tuple[float | None, ...]", _four(words, _WIDE, ">f")),
        cast("tuple[int | None, ...]", _four(words, _WIDE, ">i")),
        cast("tuple[int | None, ...]", _four(words, _WIDE, ">I")),
        cast("tuple[float | None, ...]", _four(words, _LONG, ">d")),
        cast("tuple[int | None, ...]", _four(words, _LONG, ">q")),
        cast("tuple[int | None, ...]", _four(words, _LONG, ">Q")),
    )


def _four(words: Sequence[int], count: int, form: str) -> tuple[object, ...]:
    if len(words) < count:
        return ()
    values = (struct.unpack(form, bytes_of(words[:count], order))[0] for order in ORDERS)
    return tuple(None if isinstance(value, float) and not math.isfinite(value) else value for value in values)


def likely(value: float | None) -> bool:
    """Whether a number looks like one that a machine measures: 0, or neither tiny nor huge."""
    return value is not None and (value == 0 or _SMALL < abs(value) < _LARGE)


def range_of(text: str) -> tuple[Table, int, int]:
    """Read `100..110`, `input:0..9`, `holding:40101..40110` or one number. Raises ValueError with an example."""
    table, colon, span = text.rpartition(":")
    first, dots, last = span.partition("..")
    try:
        start = parse(f"{table or 'holding'}:{first}")
        end = parse(f"{table or 'holding'}:{last if dots else first}")
    except ValueError as wrong:
        raise ValueError(
            f"{text!r} is not a range of registers, for example 100..110 or input:0..9 ({wrong})"
        ) from wrong
    if end.offset < start.offset or (colon and not table):
        raise ValueError(f"{text!r} is not a range of registers, for example 100..110 or input:0..9")
    return start.table, start.offset, end.offset


def numbers_of(text: str) -> list[int]:
    """Read unit numbers: `1`, `1..32` or `1,2,9`. Raises ValueError."""
    found: list[int] = []
    for part in text.split(","):
        first, dots, last = part.strip().partition("..")
        if not first.isdecimal() or (dots and not last.isdecimal()):
            raise ValueError(f"{text!r} is not a list of unit numbers, for example 1..32 or 1,2,9")
        found += range(int(first), int(last if dots else first) + 1)
    if not found or max(found) > 255:  # noqa: PLR2004 (a byte)
        raise ValueError(f"{text!r}: unit numbers are 0 to 255")
    return found


def table_of(stretches: Sequence[Stretch], kind: str, asset: str, unit: int) -> str:
    """Write a tag table (CSV): one tag of this kind (`float32:CDAB`) after the other over each stretch.

    Raises ValueError when the kind is none.
    """
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["asset", "tag", "address", "unit", "device"])
    for stretch in stretches:
        bits = stretch.table in {"coil", "discrete"}
        address = parse(f"{stretch.table}:@{stretch.start}" + ("" if bits or not kind else f":{kind}"))
        at = stretch.start
        while at + address.count - 1 <= min(stretch.end, _LAST):
            writer.writerow([asset, f"{stretch.table}_{at}", _written(address, at), "", unit])
            at += address.count
    return out.getvalue()


def _written(address: Address, at: int) -> str:
    kind = "" if address.is_bit else f":{address.kind}" + (f":{address.order}" if address.count > 1 else "")
    return f"{address.table}:@{at}{kind}"
