"""Items of a notification: where they stand, and how those of one sort are taken together.

An item is handle, mask, type, value, and what the mask says. Of most sorts mask and type say how long it is.
A server sends the same sorts in the same order again and again: where they stood in the last message of
that length is tried first, and checked.
"""

import struct
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from connectors.line.opcua.values import BOOLEAN, EMPTY, FLOAT, FORMS, INTEGER, UNSIGNED, Change, Values
from connectors.line.opcua.variant import MOST_TICKS, Unusual, moment, variant
from gateway.core.series import NEVER

HAS_VALUE, HAS_STATUS, HAS_SOURCE, HAS_SERVER, HAS_SOURCE_PICO, HAS_SERVER_PICO = 1, 2, 4, 8, 16, 32
_KNOWN = 0x3F
_SHIFT = 11_644_473_600_000_000  # microseconds from 1601 to 1970
_U32, _I64 = struct.Struct("<I"), struct.Struct("<q")
NOTHING = 0
_WIRE = {
    1: "|u1", 2: "|i1", 3: "|u1", 4: "<i2", 5: "<u2", 6: "<i4", 7: "<u4", 8: "<i8", 9: "<u8", 10: "<f4", 11: "<f8",
}  # fmt: skip
_FORM_OF = {1: BOOLEAN, **dict.fromkeys(range(2, 9), INTEGER), 9: UNSIGNED, 10: FLOAT, 11: FLOAT}
_TAILS = (
    (HAS_STATUS, "status", "<u4"),
    (HAS_SOURCE, "source", "<i8"),
    (HAS_SOURCE_PICO, "source_pico", "<u2"),
    (HAS_SERVER, "server", "<i8"),
    (HAS_SERVER_PICO, "server_pico", "<u2"),
)


class Sort(NamedTuple):
    """Items of one mask and type (`code` is mask | type << 8): their rows in a column, and where they stand."""

    code: int
    rows: NDArray[np.intp]
    starts: NDArray[np.int64]


class Pattern(NamedTuple):
    """Where items stand, counted from the first one.

    `starts` and `codes` are of the numbers, `others` is (start, end) of the rest. `forms` sorts the
    numbers into columns; it is empty when some have no value, for then every message decides anew.
    """

    starts: NDArray[np.int64]
    codes: NDArray[np.uint16]
    others: tuple[tuple[int, int], ...]
    end: int
    forms: tuple[tuple[int, tuple[Sort, ...]], ...]

    def holds(self, data: bytes, at: int) -> bool:
        """Whether the numbers of data[at:] stand where they stood."""
        heads = np.ndarray((len(data) - 1,), "<u2", data, 0, (1,))
        return at + self.end <= len(data) and bool((heads[self.starts + (at + 4)] == self.codes).all())


def form_of(code: int) -> int:
    """Give the form of the column for items of this mask and type."""
    return EMPTY if not code & HAS_VALUE or code >> 8 == NOTHING else _FORM_OF[code >> 8]


def walk(data: bytes, at: int, count: int) -> tuple[Pattern, list[Change]]:
    """Find where the items stand, one after the other; what is no number is decoded on the way."""
    first, sizes = at, SIZES
    starts: list[int] = []
    codes: list[int] = []
    others: list[tuple[int, int]] = []
    changes: list[Change] = []
    for _ in range(count):
        code = data[at + 5] << 8 | data[at + 4]
        size = sizes[code]
        if size:
            starts.append(at - first)
            codes.append(code)
            at += size
        else:
            change, end = one(data, at)
            changes.append(change)
            others.append((at - first, end - first))
            at = end
    if at > len(data):
        raise Unusual
    places, kinds = np.array(starts, np.int64), np.array(codes, np.uint16)
    forms = np.array([form_of(code) for code in np.unique(kinds).tolist()])
    parted = () if EMPTY in forms else sorted_by_form(places, kinds, _forms(kinds))
    return Pattern(places, kinds, tuple(others), at - first, parted), changes


def _forms(codes: NDArray[np.uint16]) -> NDArray[np.uint8]:
    met, which = np.unique(codes, return_inverse=True)
    return np.array([form_of(code) for code in met.tolist()], np.uint8)[which]


def forms_of(pattern: Pattern) -> NDArray[np.uint8]:
    """Give the form of every number, `EMPTY` where there is no value."""
    return _forms(pattern.codes)


def sorted_by_form(
    starts: NDArray[np.int64], codes: NDArray[np.uint16], forms: NDArray[np.uint8]
) -> tuple[tuple[int, tuple[Sort, ...]], ...]:
    """Sort items into columns, and those of a column by mask and type."""
    parted = []
    for form in range(len(FORMS)):
        mine = np.flatnonzero(forms == form)
        own = codes[mine]
        sorts = [(code, np.flatnonzero(own == code)) for code in np.unique(own).tolist()]
        if sorts:
            parted.append((form, tuple(Sort(code, rows, starts[mine[rows]]) for code, rows in sorts)))
    return tuple(parted)


def take(data: bytes, at: int, form: int, sorts: Sequence[Sort]) -> Values:
    """Take the items of one column out of a message."""
    if len(sorts) == 1:
        return of_rows(_rows(data, at, sorts[0]), sorts[0].code, form)
    count = sum(len(sort.rows) for sort in sorts)
    handles, statuses = np.empty(count, np.uint32), np.zeros(count, np.uint32)
    sourced, served = np.zeros(count, np.int64), np.zeros(count, np.int64)
    values = np.zeros(count, FORMS[form])
    for sort in sorts:
        rows, mask = _rows(data, at, sort), sort.code & 0xFF
        handles[sort.rows] = rows["handle"]
        if form_of(sort.code) != EMPTY:
            values[sort.rows] = rows["value"]
        if mask & HAS_STATUS:
            statuses[sort.rows] = rows["status"]
        if mask & HAS_SOURCE:
            sourced[sort.rows] = rows["source"]
        if mask & HAS_SERVER:
            served[sort.rows] = rows["server"]
    return Values(handles, values, statuses, micros(sourced), micros(served))


def _rows(data: bytes, at: int, sort: Sort) -> NDArray[Any]:
    kind = shape(sort.code)
    # Overlapping records, one at each byte: choosing from them copies just the items.
    rows: NDArray[Any] = np.ndarray((len(data) - kind.itemsize + 1,), kind, data, 0, (1,))[sort.starts + at]
    return rows


def of_rows(rows: NDArray[Any], code: int, form: int) -> Values:
    """Make columns of items of one sort."""
    mask, count = code & 0xFF, len(rows)
    return Values(
        np.ascontiguousarray(rows["handle"]),
        rows["value"].astype(FORMS[form]) if form_of(code) != EMPTY else np.zeros(count, FORMS[form]),
        np.ascontiguousarray(rows["status"]) if mask & HAS_STATUS else np.zeros(count, np.uint32),
        micros(rows["source"]) if mask & HAS_SOURCE else np.full(count, NEVER),
        micros(rows["server"]) if mask & HAS_SERVER else np.full(count, NEVER),
    )


def micros(raw: NDArray[np.int64]) -> NDArray[np.int64]:
    """Turn OPC UA times (100 ns since 1601) into microseconds since 1970; 0 means that there is none."""
    made: NDArray[np.int64] = np.minimum(raw, MOST_TICKS) // 10 - _SHIFT
    made[raw <= 0] = NEVER
    return made


def one(data: bytes, at: int) -> tuple[Change, int]:
    """Decode one item by itself. Gives it and where it ends. Raises as `variant` does."""
    (handle,) = _U32.unpack_from(data, at)
    mask = data[at + 4]
    if mask & ~_KNOWN:
        raise Unusual
    at += 5
    value: object = None
    if mask & HAS_VALUE:
        value, at = variant(data, at)
    status, source, server = 0, None, None
    if mask & HAS_STATUS:
        (status,) = _U32.unpack_from(data, at)
        at += 4
    if mask & HAS_SOURCE:
        source = moment(_I64.unpack_from(data, at)[0])
        at += 8
    if mask & HAS_SOURCE_PICO:
        at += 2
    if mask & HAS_SERVER:
        server = moment(_I64.unpack_from(data, at)[0])
        at += 8
    if mask & HAS_SERVER_PICO:
        at += 2
    return Change(handle, value, status, source, server), at


@lru_cache(maxsize=512)
def shape(code: int) -> np.dtype[Any]:
    """Give the packed form of an item."""
    mask, kind = code & 0xFF, code >> 8
    fields = [("handle", "<u4"), ("mask", "u1")]
    if mask & HAS_VALUE:
        fields.append(("kind", "u1"))
        if kind != NOTHING:
            fields.append(("value", _WIRE[kind]))
    fields += [(name, form) for bit, name, form in _TAILS if mask & bit]
    return np.dtype(fields)


def _sizes() -> list[int]:
    """Give the bytes of an item by mask | type << 8; 0 where these alone do not say it."""
    sizes = [0] * 0x10000
    for mask in range(_KNOWN + 1):
        for kind in range(0x100):
            if not mask & HAS_VALUE or kind == NOTHING or kind in _WIRE:
                sizes[mask | kind << 8] = shape.__wrapped__(mask | kind << 8).itemsize
    return sizes


SIZES = _sizes()
