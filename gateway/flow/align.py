"""Different clocks onto one time base (pure).

A source whose clock is wrong by hours would put its values into windows that nobody else is in. The
offset of each source is estimated from the values themselves: a value cannot arrive before it was
made, so the smallest (received - sourced) that was seen is the clock's offset plus the fastest trip.
A single stamp that no clock can have meant (year 2100, 1970, the largest time that a protocol knows)
moves nobody else: such a value counts as made when it was received.
"""

from collections import deque
from datetime import timedelta

TOLERATED = timedelta(seconds=2)
"""Offsets below this are trip times, not wrong clocks."""

FAR = timedelta(hours=1)
"""What was made this long before it was received, by a source's right clock, has a stamp that means nothing."""

_STEP = timedelta(milliseconds=100)
_REMEMBERED = 64


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


def is_stray(delay: timedelta, offset: timedelta) -> bool:
    """Tell whether a stamp means nothing: in the future, or `FAR` in the past, by its source's own clock."""
    return not -TOLERATED <= delay - offset <= FAR
