"""Track: the values of one tag in time, and what a window needs of them (pure).

Times are microseconds since 1970 UTC, by our clock. A tag may have a thousand values in a window, so
they are kept in two plain lists: an object for each would cost more than everything that is done with it.
"""

import math
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from datetime import timedelta

from gateway.core.series import NEVER, moment
from gateway.core.window import Gap, Scalar

SECOND = 1_000_000
_MICROSECOND = timedelta(microseconds=1)
NO_NUMBER = math.nan
"""In the place of a number: the value was text, or BAD."""


class Track:
    """The values of one tag, by time. What no later window needs is forgotten, but the last one is held."""

    __slots__ = ("_at", "_confirmed", "_numbers", "_odd", "_whys", "tag", "unit")

    def __init__(self, tag: str, unit: str) -> None:
        self.tag, self.unit = tag, unit
        self._at: list[int] = []
        self._numbers: list[float] = []
        self._whys: dict[int, str] = {}
        self._odd = False
        self._confirmed = NEVER

    def extend(self, times: Sequence[int], numbers: Sequence[float]) -> None:
        """Take in good numbers, in the order of their times."""
        if self._at and times[0] < self._at[-1]:
            for at, number in zip(times, numbers, strict=True):
                self._insert(at, number)
            return
        self._at += times
        self._numbers += numbers

    def add(self, at: int, number: float, why: str | None = None) -> None:
        """Take in one value: a number, `NO_NUMBER` for text or BAD; the reason when it is BAD or UNCERTAIN."""
        self._odd = self._odd or number != number  # noqa: PLR0124  NaN
        if why is not None:
            self._whys[at] = why
        self._insert(at, number)

    def confirm(self, at: int) -> None:
        """The source said at this time that the last value still holds."""
        self._confirmed = max(self._confirmed, at)

    def fresh(self, start: int, end: int) -> bool:
        """Tell whether a value lies in [start, end)."""
        following = self.next_from(start)
        return following is not None and following < end

    def next_from(self, end: int) -> int | None:
        """Give the time of the first value at or after `end`."""
        first = bisect_left(self._at, end)
        return self._at[first] if first < len(self._at) else None

    def scalar(self, start: int, end: int, held_for: timedelta) -> Scalar | None:
        """Sum up the good numbers of [start, end); the last one before it is held while it is young enough."""
        upto = bisect_left(self._at, end)
        times, numbers = self._at[:upto], self._numbers[:upto]
        if self._odd:
            good = [place for place, number in enumerate(numbers) if number == number]  # noqa: PLR0124  NaN
            silent = len(good) < upto and (not good or good[-1] != upto - 1)
            times, numbers = [times[place] for place in good], [numbers[place] for place in good]
        else:
            silent = False
        if not numbers:
            return None
        at, last = times[-1], numbers[-1]
        if not silent:  # nothing else was said since
            at = max(at, min(self._confirmed, end))
        if at < start - held_for // _MICROSECOND:
            return None
        inside = numbers[bisect_left(times, start) :] or [last]
        return Scalar(
            self.tag, self.unit, last, sum(inside) / len(inside), min(inside), max(inside), len(inside),
            (end - at) / SECOND,
        )  # fmt: skip

    def gap(self, end: int) -> Gap | None:
        """Say that the tag's last value is bad or uncertain, and since when."""
        if not self._whys or (why := self._whys.get(self._at[-1])) is None:
            return None
        since, until = moment(self._at[-1]), moment(end)
        if since is None or until is None:
            return None
        known = self._numbers[-1] == self._numbers[-1]
        return Gap(self.tag, since, until, f"{'uncertain' if known else 'bad'}: {why}")

    def forget(self, end: int) -> None:
        """Let go of values before `end`; the last one is held."""
        first = min(bisect_left(self._at, end), len(self._at) - 1)
        if first <= 0:
            return
        del self._at[:first], self._numbers[:first]
        if self._whys:
            self._whys = {at: why for at, why in self._whys.items() if at >= self._at[0]}
        if self._odd:
            self._odd = any(number != number for number in self._numbers)  # noqa: PLR0124  NaN

    def _insert(self, at: int, number: float) -> None:
        if not self._at or at >= self._at[-1]:
            self._at.append(at)
            self._numbers.append(number)
            return
        place = bisect_right(self._at, at)
        self._at.insert(place, at)
        self._numbers.insert(place, number)
