"""Different clocks onto one time base (pure).

A source whose clock is wrong by hours would put its values into windows that nobody else is in. The
offset of each source is estimated from the values themselves: a value cannot arrive before it was
made, so the smallest (received - sourced) that was seen is the clock's offset plus the fastest trip.
"""

from collections import deque
from datetime import datetime, timedelta

TOLERATED = timedelta(seconds=2)
"""Offsets below this are trip times, not wrong clocks."""

_STEP = timedelta(milliseconds=100)
_REMEMBERED = 64


class Clocks:
    """The clock offset of each source, from its last values.

    The offset is zero while it is within `TOLERATED`, and else rounded to 0.1 s, so that the same
    journal gives the same times again.
    """

    def __init__(self) -> None:
        self._delays: dict[str, deque[timedelta]] = {}

    def note(self, source: str, sourced_at: datetime, received_at: datetime) -> None:
        """Take one more pair of times of a source into account."""
        self._delays.setdefault(source, deque(maxlen=_REMEMBERED)).append(received_at - sourced_at)

    def offset(self, source: str) -> timedelta:
        """Give what must be added to the source's times to get ours."""
        delays = self._delays.get(source)
        if not delays:
            return timedelta(0)
        least = min(delays)
        return timedelta(0) if abs(least) <= TOLERATED else round(least / _STEP) * _STEP


def hold_last(times: list[float], values: list[float], grid: list[float]) -> list[float]:
    """Give, for each time of the grid, the last value at or before it; the first value before all of them.

    `times` and `grid` are ascending seconds; never looks ahead of the first value.
    """
    held: list[float] = []
    at = 0
    for tick in grid:
        while at + 1 < len(times) and times[at + 1] <= tick:
            at += 1
        held.append(values[at])
    return held
