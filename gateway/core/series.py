"""Series: many numbers of many tags in columns, as one publish message or one scan brought them.

A value that is a Python object costs microseconds; a column of a thousand costs as much as one object.
What is no number (text) and what is rare stays a `Reading`.
"""

import hashlib
import struct
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import chain, repeat
from typing import Literal

import msgspec

from gateway.core.reading import Quality, Reading

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_FIRST = (datetime.min.replace(tzinfo=UTC) - _EPOCH) // _MICROSECOND
_LAST = (datetime.max.replace(tzinfo=UTC) - _EPOCH) // _MICROSECOND
NEVER = -(2**63)
"""In a column of times: there is none."""

Form = Literal["<f8", "<i8", "<u8", "|b1"]


class Place(msgspec.Struct, frozen=True, array_like=True):
    """Whose value it is: asset, tag and the unit of the tag's values."""

    asset: str
    tag: str
    unit: str = ""


class Layout:
    """The tags of a source in order; a value's place is its number in it.

    Equal layouts have one digest, by which a store keeps them once however many batches use them.
    """

    __slots__ = ("digest", "places")

    def __init__(self, places: Sequence[Place]) -> None:
        self.places = tuple(places)
        self.digest = hashlib.sha256(msgspec.msgpack.encode(self.places)).hexdigest()[:32]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Layout) and other.digest == self.digest

    def __hash__(self) -> int:
        return hash(self.digest)

    def __repr__(self) -> str:
        return f"Layout({len(self.places)} tags, {self.digest})"


class Series(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """`count` values in columns, little-endian, in the order of arrival.

    `places` is uint32 (count,): whose value it is, by number in `layout`. `values` is (count,) of
    `form`: float64, int64, uint64 or bool; where `qualities` says BAD the number means nothing.
    `qualities` (uint8, `Quality`), `whys` (uint8, number in `reasons`, 0 for none), `repeats` (bool:
    the value was sent again and did not change), `sourced` and `served` (int64, microseconds since
    1970 UTC, `NEVER` for none) are columns too; one with a single item holds for every row.
    `received_at` is aware UTC. `sequence` is the source's number of the message or scan.
    """

    layout: Layout
    received_at: datetime
    sequence: int
    form: Form
    places: bytes
    values: bytes
    qualities: bytes = b"\0"
    whys: bytes = b"\0"
    reasons: tuple[str, ...] = ("",)
    sourced: bytes = NEVER.to_bytes(8, "little", signed=True)
    served: bytes = NEVER.to_bytes(8, "little", signed=True)
    repeats: bytes = b"\0"

    @property
    def count(self) -> int:
        """Number of values."""
        return len(self.places) // 4

    def readings(self) -> Iterator[Reading]:
        """Give the values one by one, as `Reading`s."""
        count = self.count
        names = self.layout.places
        rows = zip(
            struct.unpack(f"<{count}I", self.places),
            self._numbers(),
            _whole(self.qualities, count),
            _whole(self.whys, count),
            _moments(self.sourced, count),
            _moments(self.served, count),
            _whole(self.repeats, count),
            strict=True,
        )
        for place, value, quality, why, sourced_at, served_at, repeated in rows:
            asset, tag, unit = names[place].asset, names[place].tag, names[place].unit
            yield Reading(
                asset,
                tag,
                None if quality == Quality.BAD else value,
                unit,
                _QUALITIES[quality],
                sourced_at,
                served_at,
                self.received_at,
                self.reasons[why],
                self.sequence,
                bool(repeated),
            )

    def _numbers(self) -> Sequence[float | int | bool]:
        code = {"<f8": "d", "<i8": "q", "<u8": "Q", "|b1": "?"}[self.form]
        return struct.unpack(f"<{self.count}{code}", self.values)


_QUALITIES = tuple(Quality)


def _whole(column: bytes, count: int) -> Iterator[int]:
    return repeat(column[0], count) if len(column) == 1 else iter(column)


def _moments(column: bytes, count: int) -> Iterator[datetime | None]:
    ticks = struct.unpack(f"<{len(column) // 8}q", column)
    known = {tick: moment(tick) for tick in set(ticks)}
    return repeat(known[ticks[0]], count) if len(ticks) == 1 else map(known.__getitem__, ticks)


def moment(ticks: int) -> datetime | None:
    """Turn microseconds since 1970 into aware UTC, at most the year 9999; None for `NEVER`."""
    return None if ticks == NEVER else _EPOCH + timedelta(microseconds=min(max(ticks, _FIRST), _LAST))


def ticks(at: datetime | None) -> int:
    """Turn an aware time into microseconds since 1970 UTC; `NEVER` for None."""
    return NEVER if at is None else (at - _EPOCH) // _MICROSECOND


def every(readings: Sequence[Reading], series: Sequence[Series]) -> Iterator[Reading]:
    """Give the readings, and the values of the series as readings."""
    return chain(readings, *(block.readings() for block in series))
