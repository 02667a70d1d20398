"""Rows: a block of values by tag and by corrected time, as the cutter takes them (pure)."""

from collections.abc import Iterator
from datetime import timedelta

import numpy as np
from numpy.typing import NDArray

from gateway.core.reading import Quality
from gateway.core.series import NEVER, Series, ticks
from gateway.flow.align import FAR, TOLERATED
from gateway.flow.inputs import Inputs
from gateway.flow.track import NO_NUMBER, Track

_MICROSECOND = timedelta(microseconds=1)


class Rows:
    """The rows of a block by tag and time: plain lists, for slices of them are what a track takes."""

    def __init__(self, block: Series, offset: timedelta) -> None:
        self._block = block
        places, times = np.frombuffer(block.places, "<u4"), _times(block, offset)
        self._order = np.lexsort((times, places))
        self.repeated: list[int] = []
        if any(block.repeats):
            again = np.broadcast_to(np.frombuffer(block.repeats, np.uint8).astype(np.bool_), places.shape)
            self.repeated = np.unique(places[again]).tolist()
            self._order = self._order[~again[self._order]]
        self._places = places[self._order]
        self._sorted = times[self._order]
        self.times: list[int] = self._sorted.tolist()
        self.numbers: list[float] = np.frombuffer(block.values, block.form).astype(np.float64)[self._order].tolist()
        self.plain = not any(block.qualities)

    def tags(self) -> Iterator[tuple[int, int, int]]:
        """Give place, first and last row of every tag."""
        if not self.times:
            return
        edges = [0, *(np.flatnonzero(np.diff(self._places)) + 1).tolist()]
        places = self._places[edges].tolist()
        yield from zip(places, edges, [*edges[1:], len(self.times)], strict=True)

    def add(self, track: Track, first: int, last: int) -> None:
        """Add the rows of a tag of which some are not good."""
        block = self._block
        for row in range(first, last):
            source = int(self._order[row])
            quality = Quality(_of(block.qualities, source))
            why = None if quality is Quality.GOOD else block.reasons[_of(block.whys, source)]
            track.add(self.times[row], NO_NUMBER if quality is Quality.BAD else self.numbers[row], why)

    def span(self, first: int, last: int) -> tuple[int, int]:
        """Give the first and the last time of some rows."""
        some = self._sorted[first:last]
        return int(some.min()), int(some.max())

    def late(self, inputs: Inputs, low: int, first: int, last: int) -> int:
        """Count the rows whose window is closed already."""
        if inputs.next is None or low > ticks(inputs.next):
            return 0
        return int((self._sorted[first:last] <= ticks(inputs.next)).sum())


def _of(column: bytes, row: int) -> int:
    return column[0] if len(column) == 1 else column[row]


def _times(block: Series, offset: timedelta) -> NDArray[np.int64]:
    """Give when each value was made, by our clock, in microseconds; a stamp that means nothing is the receipt's."""
    received = ticks(block.received_at)
    made, served = (np.frombuffer(column, "<i8") for column in (block.sourced, block.served))
    own = np.where(made == NEVER, 0, offset // _MICROSECOND)
    best = np.where(made == NEVER, served, made)
    delay = np.where(best == NEVER, 0, received - best) - own
    tolerated, far = TOLERATED // _MICROSECOND, FAR // _MICROSECOND
    times = received - np.where((delay < -tolerated) | (delay > far), 0, delay)
    return np.broadcast_to(times, block.count) if times.size == 1 else times
