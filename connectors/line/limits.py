"""Limits: scaling and ranges of many tags at once."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from connectors.line.column import BOOLEAN, FLOAT, INTEGER, Column
from connectors.line.tags import Tag

_RANGES = {INTEGER: (-(2**63), 2**63 - 1), 2: (0, 2**64 - 1)}


class Limits:
    """Scale, offset and range of each tag, by its place. Integers without a scale stay integers."""

    def __init__(self, tags: Sequence[Tag]) -> None:
        self._scale = np.array([tag.scale for tag in tags], np.float64)
        self._offset = np.array([tag.offset for tag in tags], np.float64)
        self._scaled = (self._scale != 1.0) | (self._offset != 0.0)
        self._any_scaled = bool(self._scaled.any())
        ranges = [(tag.low, tag.high) for tag in tags]
        self._any_range = any(low is not None or high is not None for low, high in ranges)
        self._ranges: dict[int, tuple[NDArray[Any], NDArray[Any]]] = {
            FLOAT: (
                np.array([-math.inf if low is None else low for low, _ in ranges], np.float64),
                np.array([math.inf if high is None else high for _, high in ranges], np.float64),
            )
        }
        if self._any_range:
            self._ranges |= {form: _whole(ranges, form) for form in _RANGES}

    def scaled(self, column: Column) -> list[Column]:
        """Scale what has a scale; such integers become floats. Booleans are never scaled."""
        if not self._any_scaled or column.form == BOOLEAN:
            return [column]
        chosen = self._scaled[column.places]
        if not chosen.any():
            return [column]
        if chosen.all():
            return [self._times(column)]
        if column.form == FLOAT:
            values = np.where(chosen, self._times(column).values, column.values)
            return [column._replace(values=values)]
        return [column.only(~chosen), self._times(column.only(chosen))]

    def _times(self, column: Column) -> Column:
        with np.errstate(over="ignore", invalid="ignore"):  # what is not finite then is refused as such
            values = column.values.astype(np.float64) * self._scale[column.places] + self._offset[column.places]
        return column._replace(values=values)

    def outside(self, column: Column) -> NDArray[np.bool_] | None:
        """Say which values are out of their tag's range; None when none is. Integers are compared exactly."""
        if not self._any_range or column.form == BOOLEAN:
            return None
        low, high = self._ranges[column.form]
        beyond: NDArray[np.bool_] = (column.values < low[column.places]) | (column.values > high[column.places])
        return beyond if beyond.any() else None


def _whole(ranges: Sequence[tuple[float | None, float | None]], form: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """Ranges as whole numbers of a form: nothing fits into one that lies beyond the form."""
    least, most = _RANGES[form]
    lows, highs = [], []
    for low, high in ranges:
        first = least if low is None or low == -math.inf else math.ceil(low) if math.isfinite(low) else most + 1
        last = most if high is None or high == math.inf else math.floor(high) if math.isfinite(high) else least - 1
        if first > most or last < least:
            first, last = most, least
        lows.append(max(first, least))
        highs.append(min(last, most))
    kind = np.int64 if form == INTEGER else np.uint64
    return np.array(lows, kind), np.array(highs, kind)
