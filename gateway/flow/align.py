"""Different clocks onto one time base (pure).

A source whose clock is wrong by hours would put its values into windows that nobody else is in. The
offset of each source is estimated from the values themselves: a value cannot arrive before it was
made, so the smallest (received - sourced) that was seen is the clock's offset plus the fastest trip.
A single stamp that no clock can have meant (year 2100, 1970, the largest time that a protocol knows)
moves nobody else: such a value counts as made when it was received.
"""

from collections import deque
from collections.abc import Iterator
from datetime import timedelta

import numpy as np
from numpy.typing import NDArray

from gateway.core.batch import Batch
from gateway.core.reading import LogLine, Reading, ThermalFrame, Waveform
from gateway.core.series import NEVER, Series, ticks

TOLERATED = timedelta(seconds=2)
"""Offsets below this are trip times, not wrong clocks."""

FAR = timedelta(hours=1)
"""What was made this long before it was received, by a source's right clock, has a stamp that means nothing."""

_STEP = timedelta(milliseconds=100)
_REMEMBERED = 64
_MICROSECOND = timedelta(microseconds=1)


class Clocks:
    """The clock offset of each source, from its last values.

    The offset is zero while it is within `TOLERATED`, and else rounded to 0.1 s, so that the same
    journal gives the same times again.
    """

    def __init__(self) -> None:
        self._delays: dict[str, deque[timedelta]] = {}

    def note(self, source: str, delay: timedelta) -> None:
        """Take one more (received - made) of a source into account."""
        self._delays.setdefault(source, deque(maxlen=_REMEMBERED)).append(delay)

    def offset(self, source: str) -> timedelta:
        """Give what must be added to the source's times to get ours.

        A stamp from the future counts only when most of the last ones are from there.
        """
        delays = self._delays.get(source)
        if not delays:
            return timedelta(0)
        middle = sorted(delays)[len(delays) // 2]
        lowest = min(middle, timedelta(0)) - TOLERATED
        least = min(delay for delay in delays if delay >= lowest)
        return timedelta(0) if abs(least) <= TOLERATED else round(least / _STEP) * _STEP

    def offsets(self) -> dict[str, timedelta]:
        """Give the offset of every source that was heard."""
        return {source: self.offset(source) for source in self._delays}


def delays(batch: Batch) -> Iterator[timedelta]:
    """Give (received - made) of what says when it was made; of a block of values its least and its middle one."""
    yield from map(delay_of, batch.waveforms)
    yield from map(delay_of, batch.frames)
    yield from (
        delay_of(reading) for reading in batch.readings if reading.sourced_at is not None and not reading.repeated
    )
    for block in batch.series:
        made = np.frombuffer(block.sourced, "<i8")
        if any(block.repeats):  # what is said again has the stamp of long ago
            made = np.broadcast_to(made, block.count)[~_again(block)]
        known = ticks(block.received_at) - made[made != NEVER]
        if known.size:
            yield int(known.min()) * _MICROSECOND
            yield int(np.partition(known, known.size // 2)[known.size // 2]) * _MICROSECOND


def _again(block: Series) -> NDArray[np.bool_]:
    return np.broadcast_to(np.frombuffer(block.repeats, np.uint8).astype(np.bool_), block.count)


def delay_of(item: Waveform | ThermalFrame | Reading | LogLine) -> timedelta:
    """Give (received - made); a block is complete at its last sample. Differences of times cannot overflow."""
    length = timedelta(seconds=item.seconds) if isinstance(item, Waveform) else timedelta(0)
    return item.received_at - item.at - length


def is_stray(delay: timedelta, offset: timedelta) -> bool:
    """Tell whether a stamp means nothing: in the future, or `FAR` in the past, by its source's own clock."""
    return not -TOLERATED <= delay - offset <= FAR
