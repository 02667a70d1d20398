"""One OPC UA variant from its bytes, as a plain value: texts, byte strings, arrays and the rare kinds."""

import struct
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

import numpy as np
from asyncua import ua
from asyncua.common.utils import Buffer
from asyncua.ua.ua_binary import variant_from_binary

from connectors.line.tags import readable

EPOCH = datetime(1601, 1, 1, tzinfo=UTC)
MOST_TICKS = 2_650_467_743_990_000_000  # the end of the year 9999
_ARRAY, _DIMENSIONS = 0x80, 0x40
_I32, _I64 = struct.Struct("<i"), struct.Struct("<q")
_SCALARS: dict[int, struct.Struct] = {
    number: struct.Struct("<" + form) for number, form in enumerate("?bBhHiIqQfd", start=1)
}
_COLUMNS = {
    2: "<i1", 3: "<u1", 4: "<i2", 5: "<u2", 6: "<i4", 7: "<u4", 8: "<i8", 9: "<u8", 10: "<f4", 11: "<f8",
}  # fmt: skip
_STRING, _MOMENT, _BYTES = 12, 13, 15
_MOST_RANK = 4


class Unusual(Exception):
    """Not a plain data change: the library's decoder takes it."""


def variant(data: bytes, at: int) -> tuple[object, int]:
    """Decode the variant at data[at]. Gives the value and where it ends.

    A byte string is a memoryview and an array of numbers a numpy array: views of the message, no copies.
    What has no form of its own here is taken by the library's decoder. Raises `Unusual`, IndexError or
    struct.error when the bytes are no variant.
    """
    kind = data[at]
    at += 1
    scalar = _SCALARS.get(kind)
    if scalar is not None:
        return scalar.unpack_from(data, at)[0], at + scalar.size
    if kind == 0:
        return None, at
    if kind in {_STRING, _BYTES}:
        return _text(data, at, kind)
    if kind == _MOMENT:
        return moment(_I64.unpack_from(data, at)[0]), at + 8
    if kind & _ARRAY and (column := _COLUMNS.get(kind & 0x3F)) is not None:
        return _array(data, at, column, shaped=bool(kind & _DIMENSIONS))
    return _rare(data, at - 1)


def _text(data: bytes, at: int, kind: int) -> tuple[object, int]:
    (length,) = _I32.unpack_from(data, at)
    at += 4
    if length < 0:
        return None, at
    end = at + length
    if end > len(data):
        raise Unusual
    return (memoryview(data)[at:end] if kind == _BYTES else data[at:end].decode()), end


def _array(data: bytes, at: int, column: str, *, shaped: bool) -> tuple[object, int]:
    (count,) = _I32.unpack_from(data, at)
    at += 4
    if count < 0:
        raise Unusual
    values = np.frombuffer(data, column, count, at)
    at += values.nbytes
    if not shaped:
        return values, at
    (rank,) = _I32.unpack_from(data, at)
    at += 4
    if not 0 < rank <= _MOST_RANK:
        raise Unusual
    shape = struct.unpack_from(f"<{rank}i", data, at)
    if min(shape) < 0 or int(np.prod(shape, dtype=object)) != count:
        raise Unusual
    return values.reshape(shape), at + 4 * rank


def _rare(data: bytes, at: int) -> tuple[object, int]:
    """Let the library decode one variant, so that one rare item does not make a thousand others slow."""
    rest = Buffer(data, at)
    try:
        made = variant_from_binary(rest)
    # The library's parser fails in every way that a parser can; the whole message then goes to the generic decoder.
    except Exception as fault:
        raise Unusual from fault
    return plain(made.Value), rest.cur_pos


@lru_cache(maxsize=1024)  # the items of a message share their times
def moment(ticks: int) -> datetime | None:
    """Turn OPC UA time (100 ns since 1601) into aware UTC. 0 means that there is none."""
    if ticks <= 0:
        return None
    return EPOCH + timedelta(microseconds=min(ticks, MOST_TICKS) // 10)


_PLAIN: tuple[tuple[type, Callable[[Any], str]], ...] = (
    (ua.LocalizedText, lambda text: text.Text or ""),
    (ua.QualifiedName, lambda name: name.Name or ""),
    (ua.StatusCode, lambda status: status.name),
    (ua.NodeId, lambda node: node.to_string()),
)


def plain(value: Any) -> object:
    """Turn what the library decoded into a plain value; what has no plain form stays what it is."""
    if isinstance(value, str):
        return readable(value)  # the library lets bytes that are no UTF-8 through, and no store takes those
    for kind, turn in _PLAIN:
        if isinstance(value, kind):
            return readable(turn(value))
    return aware(value) if isinstance(value, datetime) else value


def aware(at: datetime | None) -> datetime | None:
    """Give the library's time as aware UTC; None for the year that stands for none."""
    if at is None or at.year == EPOCH.year:
        return None
    return at if at.tzinfo is not None else at.replace(tzinfo=UTC)
