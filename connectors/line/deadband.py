"""Deadbands of many tags at once: what is worth sending."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from connectors.line.column import BOOLEAN, FLOAT, Column, turns
from connectors.line.tags import Tag
from gateway.core.reading import Quality, Value

_NEVER, _TEXT = -1, 9
_NO_QUALITY, _NO_WHY = np.zeros(1, np.uint8), np.zeros(1, np.int32)


class Deadband:
    """Lets a value through when it is worth sending: first, changed enough, or of another quality.

    It compares with the last value SENT, so that a slow ramp is reported; some servers compare with the
    last sample, which is why deadbands are kept here. A tag without a deadband always passes.
    """

    def __init__(self, tags: Sequence[Tag]) -> None:
        self._band = np.array([tag.deadband for tag in tags], np.float64)
        self._banded = self._band > 0
        self._any = bool(self._banded.any())
        count = len(tags)
        self._form = np.full(count, _NEVER, np.int8)
        self._bits = np.zeros(count, np.uint64)
        self._quality = np.zeros(count, np.uint8)
        self._why = np.zeros(count, np.int32)
        self._texts: dict[int, Value] = {}

    def learn(self, place: int, deadband: float) -> None:
        """Take a deadband that was found out while running."""
        self._band[place] = deadband
        self._banded[place] = deadband > 0
        self._any = bool(self._banded.any())

    def passed(self, column: Column) -> Column:
        """Give what is to be sent, and remember it."""
        if not self._any:
            return column
        banded = self._banded[column.places]
        if not banded.any():
            return column
        keep = ~banded
        rows = np.flatnonzero(banded)
        for turn in turns(column.places[rows]):
            chosen = rows[turn]
            keep[chosen] = self._turn(column if len(chosen) == len(keep) else column.only(chosen))
        return column if keep.all() else column.only(keep)

    def _turn(self, column: Column) -> NDArray[np.bool_]:
        """Judge one value of each tag; says which ones to send, and remembers these."""
        places, form = column.places, column.form
        quality = _NO_QUALITY if column.qualities is None else column.qualities
        why = _NO_WHY if column.whys is None else column.whys
        keep: NDArray[np.bool_] = self._moved(places, column.values, form)
        if column.qualities is not None:
            keep &= quality != Quality.BAD
        keep |= (self._form[places] != form) | (self._quality[places] != quality) | (self._why[places] != why)
        if not keep.all():
            column = column.only(keep)
            quality = _NO_QUALITY if column.qualities is None else column.qualities
            why = _NO_WHY if column.whys is None else column.whys
        sent = column.places
        self._form[sent], self._quality[sent], self._why[sent] = form, quality, why
        self._bits[sent] = _bits(column.values)
        return keep

    def _moved(self, places: NDArray[np.int64], values: NDArray[Any], form: int) -> NDArray[np.bool_]:
        before = self._bits[places]
        if form == BOOLEAN:
            return np.asarray(before != _bits(values))
        old = before.view(values.dtype)
        if form == FLOAT:
            with np.errstate(invalid="ignore", over="ignore"):  # what is not finite is bad and is not compared
                return np.asarray(np.abs(values - old) >= self._band[places])
        new, past = values.view(np.uint64), before
        apart = np.where(values >= old, new - past, past - new)  # exact beyond 2**53, and never an overflow
        return np.asarray(apart >= np.ceil(np.minimum(self._band[places], 2.0**63)).astype(np.uint64))

    def text_passed(self, place: int, text: Value, quality: Quality, why: int) -> bool:
        """Say whether a value that is no number is to be sent, and remember it if so."""
        if not self._banded[place]:
            return True
        same = self._form[place] == _TEXT and self._quality[place] == quality and self._why[place] == why
        if same and self._texts.get(place) == text:
            return False
        self._form[place], self._quality[place], self._why[place] = _TEXT, quality, why
        self._texts[place] = text
        return True


def _bits(values: NDArray[Any]) -> NDArray[np.uint64]:
    return values.astype(np.uint64) if values.dtype.kind == "b" else values.view(np.uint64)
