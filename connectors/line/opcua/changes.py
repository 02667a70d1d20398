"""Data change notifications, decoded: numbers go into columns, everything else comes one by one."""

import struct

import numpy as np

from connectors.line.opcua.items import (
    SIZES,
    Pattern,
    Sort,
    form_of,
    forms_of,
    of_rows,
    one,
    shape,
    sorted_by_form,
    take,
    walk,
)
from connectors.line.opcua.values import BAD, EMPTY, FLOAT, Change, Values
from connectors.line.opcua.variant import Unusual

_I32 = struct.Struct("<i")
_MOST_PATTERNS = 64
Patterns = dict[tuple[int, int], Pattern]
"""Where the items of earlier notifications stood, by length and number of items."""


def read_items(data: bytes, at: int, end: int, values: list[Values], changes: list[Change], patterns: Patterns) -> None:
    """Decode the items of the notification that stands in data[at:end], and note its pattern.

    Raises `Unusual`, IndexError, ValueError or struct.error when the bytes are something else.
    """
    (count,) = _I32.unpack_from(data, at)
    at += 4
    if count <= 0:
        return
    code = data[at + 4] | data[at + 5] << 8
    size = SIZES[code]
    if size and at + count * size == end - 4 and (column := _uniform(data, at, count, code)) is not None:
        values.append(column)
        return
    if data[end - 4 : end] not in {b"\xff\xff\xff\xff", b"\0\0\0\0"}:
        raise Unusual  # diagnostics
    key = (end - at, count)
    pattern = patterns.get(key)
    found = _tried(data, at, pattern) if pattern is not None else None
    if pattern is None or found is None:
        pattern, found = walk(data, at, count)
        if at + pattern.end > end:
            raise Unusual
        if len(patterns) >= _MOST_PATTERNS:
            patterns.clear()
        patterns[key] = pattern
    if len(pattern.starts):
        parted = pattern.forms or _settled(data, at, pattern, found)
        values.extend(take(data, at, form, sorts) for form, sorts in parted)
    changes += found


def _uniform(data: bytes, at: int, count: int, code: int) -> Values | None:
    """Take items of one mask and one type in one go; None when they are not."""
    if (form := form_of(code)) == EMPTY:
        return None
    kind = shape(code)
    heads = np.ndarray((count,), "<u2", data, at + 4, (kind.itemsize,))
    return of_rows(np.frombuffer(data, kind, count, at), code, form) if (heads == code).all() else None


def _tried(data: bytes, at: int, pattern: Pattern) -> list[Change] | None:
    """Decode what is no number where an earlier message had it; None when the items stand elsewhere."""
    if not pattern.holds(data, at):
        return None
    found = []
    for start, end in pattern.others:
        if SIZES[data[at + start + 5] << 8 | data[at + start + 4]]:
            return None
        change, ended = one(data, at + start)
        if ended != at + end:
            return None
        found.append(change)
    return found


def _settled(data: bytes, at: int, pattern: Pattern, found: list[Change]) -> tuple[tuple[int, tuple[Sort, ...]], ...]:
    """Give bad items without a value the form of the item's other values, so that their order is kept.

    Where an item sent no number but something else, they become changes, as do those that are not bad.
    """
    forms = forms_of(pattern)
    handles = np.ndarray((len(data) - 3,), "<u4", data, 0, (1,))[pattern.starts + at].tolist()
    known = {handle: form for handle, form in zip(handles, forms.tolist(), strict=True) if form != EMPTY}
    wordy = {change.handle for change in found}
    told = list(zip((start for start, _ in pattern.others), found, strict=True))
    empty = [
        (row, start, one(data, at + start)[0])
        for row in np.flatnonzero(forms == EMPTY).tolist()
        for start in (int(pattern.starts[row]),)
    ]
    wordy |= {change.handle for _, _, change in empty if change.status < BAD}
    for row, start, change in empty:
        form = known.get(change.handle, EMPTY if change.handle in wordy else FLOAT)
        if change.status < BAD or form == EMPTY:
            told.append((start, change))
        else:
            forms[row] = form
    told.sort(key=lambda item: item[0])
    found[:] = [change for _, change in told]
    return sorted_by_form(pattern.starts, pattern.codes, forms)
