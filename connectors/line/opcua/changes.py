"""Data changes of one notification: numbers in columns, everything else one by one."""

import struct
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from connectors.line.opcua.variant import MOST_TICKS, Unusual, moment, variant
from gateway.core import series
from gateway.core.series import NEVER

_SHIFT = 11_644_473_600_000_000  # microseconds from 1601 to 1970
_HAS_VALUE, _HAS_STATUS, _HAS_SOURCE, _HAS_SERVER, _HAS_SOURCE_PICO, _HAS_SERVER_PICO = 1, 2, 4, 8, 16, 32
_KNOWN = 0x3F
_BAD = 0x80000000
_U32, _I32, _I64 = struct.Struct("<I"), struct.Struct("<i"), struct.Struct("<q")
_NOTHING = 0
_WIRE = {1: "|u1", 2: "|i1", 3: "|u1", 4: "<i2", 5: "<u2", 6: "<i4", 7: "<u4", 8: "<i8", 9: "<u8", 10: "<f4", 11: "<f8"}
_FLOAT, _INTEGER, _UNSIGNED, _BOOLEAN, _EMPTY, _CHANGE = range(6)
_FORMS: tuple[np.dtype[Any], ...] = (np.dtype("<f8"), np.dtype("<i8"), np.dtype("<u8"), np.dtype("|b1"))
_FORM_OF = {0: _FLOAT, 1: _BOOLEAN, **dict.fromkeys(range(2, 9), _INTEGER), 9: _UNSIGNED, 10: _FLOAT, 11: _FLOAT}
_TAILS = (
    (_HAS_STATUS, "status", "<u4"),
    (_HAS_SOURCE, "source", "<i8"),
    (_HAS_SOURCE_PICO, "source_pico", "<u2"),
    (_HAS_SERVER, "server", "<i8"),
    (_HAS_SERVER_PICO, "server_pico", "<u2"),
)


class Change(NamedTuple):
    """One data change that is no number: the client handle, the value, the status code, source and server time.

    A byte string is a view of the message, and so is an array; both live as long as they are held.
    """

    handle: int
    value: object
    status: int
    sourced_at: datetime | None
    served_at: datetime | None


class Values(NamedTuple):
    """Numbers of one form in columns of one length, those of one item in the order in which they were sent.

    `values` is float64, int64 (every integer that fits), uint64 or bool. `statuses` are OPC UA status
    codes; where one is bad the number means nothing. `sourced` and `served` are microseconds since 1970
    UTC, `NEVER` for none.
    """

    handles: NDArray[np.uint32]
    values: NDArray[Any]
    statuses: NDArray[np.uint32]
    sourced: NDArray[np.int64]
    served: NDArray[np.int64]

    def only(self, chosen: NDArray[Any]) -> "Values":
        """The rows that are chosen, by a mask or by number."""
        return Values(
            self.handles[chosen],
            self.values[chosen],
            self.statuses[chosen],
            self.sourced[chosen],
            self.served[chosen],
        )


def read_items(data: bytes, at: int, end: int, values: list[Values], changes: list[Change]) -> None:
    """Decode the items of a data change notification that stands in data[at:end].

    Raises `Unusual`, IndexError, ValueError or struct.error when the bytes are something else.
    """
    (count,) = _I32.unpack_from(data, at)
    at += 4
    if count <= 0:
        return
    code = data[at + 4] | data[at + 5] << 8
    size = _SIZES[code]
    if size and at + count * size == end - 4 and (column := _uniform(data, at, count, code)) is not None:
        values.append(column)
        return
    at = _mixed(data, at, count, values, changes)
    if at > end or data[end - 4 : end] not in {b"\xff\xff\xff\xff", b"\0\0\0\0"}:
        raise Unusual


def _uniform(data: bytes, at: int, count: int, code: int) -> Values | None:
    """Take items of one mask and one type in one go; None when they are not."""
    if not code & _HAS_VALUE or code >> 8 == _NOTHING:
        return None
    shape = _shape(code)
    heads = np.ndarray((count,), "<u2", data, at + 4, (shape.itemsize,))
    if not (heads == code).all():
        return None
    return _of_rows(np.frombuffer(data, shape, count, at), code)


def _of_rows(rows: NDArray[Any], code: int) -> Values:
    mask = code & 0xFF
    count = len(rows)
    return Values(
        np.ascontiguousarray(rows["handle"]),
        _formed(rows["value"], code >> 8),
        np.ascontiguousarray(rows["status"]) if mask & _HAS_STATUS else np.zeros(count, np.uint32),
        _micros(rows["source"]) if mask & _HAS_SOURCE else np.full(count, NEVER),
        _micros(rows["server"]) if mask & _HAS_SERVER else np.full(count, NEVER),
    )


def _formed(raw: NDArray[Any], kind: int) -> NDArray[Any]:
    return raw != 0 if _FORM_OF[kind] == _BOOLEAN else raw.astype(_FORMS[_FORM_OF[kind]])


def _micros(raw: NDArray[np.int64]) -> NDArray[np.int64]:
    """OPC UA times (100 ns since 1601) as microseconds since 1970; 0 means that there is none."""
    made: NDArray[np.int64] = np.minimum(raw, MOST_TICKS) // 10 - _SHIFT
    made[raw <= 0] = NEVER
    return made


def _mixed(data: bytes, at: int, count: int, values: list[Values], changes: list[Change]) -> int:
    """Walk over the items; those of one mask and one type are then taken together. Gives where they end."""
    starts: list[int] = []
    codes: list[int] = []
    sizes = _SIZES
    others: list[tuple[int, Change]] = []
    for _ in range(count):
        code = data[at + 5] << 8 | data[at + 4]
        size = sizes[code]
        if size:
            starts.append(at)
            codes.append(code)
            at += size
        else:
            start = at
            change, at = _one(data, at)
            others.append((start, change))
    if at > len(data):
        raise Unusual
    if starts:
        _gather(data, np.array(starts), np.array(codes, np.uint16), values, others)
    changes.extend(change for _, change in others)
    return at


def _gather(
    data: bytes,
    starts: NDArray[np.int64],
    codes: NDArray[np.uint16],
    values: list[Values],
    others: list[tuple[int, Change]],
) -> None:
    count = len(starts)
    handles, statuses = np.empty(count, np.uint32), np.zeros(count, np.uint32)
    sourced, served = np.zeros(count, np.int64), np.zeros(count, np.int64)
    forms = np.empty(count, np.uint8)
    numbers: dict[int, NDArray[Any]] = {}
    for code in np.unique(codes).tolist():
        chosen = np.flatnonzero(codes == code)
        shape = _shape(code)
        # Overlapping records, one at each byte: choosing from them copies just the items.
        rows = np.ndarray((len(data) - shape.itemsize + 1,), shape, data, 0, (1,))[starts[chosen]]
        mask, kind = code & 0xFF, code >> 8
        form = _EMPTY if not mask & _HAS_VALUE or kind == _NOTHING else _FORM_OF[kind]
        handles[chosen], forms[chosen] = rows["handle"], form
        if form != _EMPTY:
            if form not in numbers:
                numbers[form] = np.zeros(count, _FORMS[form])
            numbers[form][chosen] = rows["value"]
        if mask & _HAS_STATUS:
            statuses[chosen] = rows["status"]
        if mask & _HAS_SOURCE:
            sourced[chosen] = rows["source"]
        if mask & _HAS_SERVER:
            served[chosen] = rows["server"]
    whole = Values(handles, forms, statuses, _micros(sourced), _micros(served))
    if (forms == _EMPTY).any():
        numbers.setdefault(_FLOAT, np.zeros(count))
        _settle_empty(whole, starts, others)
    values.extend(_parted(whole, numbers))


def _parted(whole: Values, numbers: dict[int, NDArray[Any]]) -> Iterator[Values]:
    for form, column in numbers.items():
        chosen = np.flatnonzero(whole.values == form)
        if len(chosen) == len(column):
            yield whole._replace(values=column)
        elif len(chosen):
            yield whole._replace(values=column).only(chosen)


def _settle_empty(whole: Values, starts: NDArray[np.int64], others: list[tuple[int, Change]]) -> None:
    """Give a form to bad items without a value: that of the item's other values, so that their order is kept.

    Those of items that sent something else than a number, and those that are not bad, become changes.
    """
    forms = whole.values
    known = {handle: form for handle, form in zip(whole.handles.tolist(), forms.tolist(), strict=True) if form < _EMPTY}
    wordy = {change.handle for _, change in others}
    for place in np.flatnonzero(forms == _EMPTY).tolist():
        handle, status = int(whole.handles[place]), int(whole.statuses[place])
        if status < _BAD or handle in wordy:
            forms[place] = _CHANGE
            times = (series.moment(int(column[place])) for column in (whole.sourced, whole.served))
            others.append((int(starts[place]), Change(handle, None, status, *times)))
        else:
            forms[place] = known.get(handle, _FLOAT)
    others.sort(key=lambda found: found[0])


def _one(data: bytes, at: int) -> tuple[Change, int]:
    (handle,) = _U32.unpack_from(data, at)
    mask = data[at + 4]
    if mask & ~_KNOWN:
        raise Unusual
    at += 5
    value: object = None
    if mask & _HAS_VALUE:
        value, at = variant(data, at)
    status, source, server = 0, None, None
    if mask & _HAS_STATUS:
        (status,) = _U32.unpack_from(data, at)
        at += 4
    if mask & _HAS_SOURCE:
        source = moment(_I64.unpack_from(data, at)[0])
        at += 8
    if mask & _HAS_SOURCE_PICO:
        at += 2
    if mask & _HAS_SERVER:
        server = moment(_I64.unpack_from(data, at)[0])
        at += 8
    if mask & _HAS_SERVER_PICO:
        at += 2
    return Change(handle, value, status, source, server), at


@lru_cache(maxsize=512)
def _shape(code: int) -> np.dtype[Any]:
    """The packed form of an item: handle, mask, type, value, and what the mask says."""
    mask, kind = code & 0xFF, code >> 8
    fields = [("handle", "<u4"), ("mask", "u1")]
    if mask & _HAS_VALUE:
        fields.append(("kind", "u1"))
        if kind != _NOTHING:
            fields.append(("value", _WIRE[kind]))
    fields += [(name, form) for bit, name, form in _TAILS if mask & bit]
    return np.dtype(fields)


def _sizes() -> list[int]:
    """Bytes of an item by mask and type (mask | type << 8); 0 where that alone does not say it."""
    sizes = [0] * 0x10000
    for mask in range(_KNOWN + 1):
        for kind in range(0x100):
            if not mask & _HAS_VALUE or kind == _NOTHING or kind in _WIRE:
                sizes[mask | kind << 8] = _shape.__wrapped__(mask | kind << 8).itemsize
    return sizes


def sift(changes: Iterable[Change]) -> tuple[tuple[Values, ...], tuple[Change, ...]]:
    """Put the numbers among changes that came one by one into columns; gives these and the rest.

    For what the library decoded: a message that was published again, a value that was read.
    """
    rows: dict[int, list[Change]] = {}
    rest: list[Change] = []
    given = list(changes)
    known: dict[int, int] = {}
    for change in given:
        form = _form(change.value)
        if form is not None:
            known.setdefault(change.handle, form)
    for change in given:
        form = _form(change.value)
        if form is None and change.value is None and change.status >= _BAD:
            form = known.get(change.handle)
        if form is None:
            rest.append(change)
        else:
            rows.setdefault(form, []).append(change)
    return tuple(_of_changes(form, chosen) for form, chosen in rows.items()), tuple(rest)


def _form(value: object) -> int | None:
    if isinstance(value, bool):
        return _BOOLEAN
    if isinstance(value, float):
        return _FLOAT
    if isinstance(value, int):
        return _INTEGER if -(2**63) <= value < 2**63 else _UNSIGNED
    return None


def _of_changes(form: int, chosen: Sequence[Change]) -> Values:
    return Values(
        np.array([change.handle for change in chosen], np.uint32),
        np.array([change.value or 0 for change in chosen], _FORMS[form]),
        np.array([change.status for change in chosen], np.uint32),
        np.array([series.ticks(change.sourced_at) for change in chosen], np.int64),
        np.array([series.ticks(change.served_at) for change in chosen], np.int64),
    )


_SIZES = _sizes()
