"""Track: the values of one tag in time, and what a window needs of them (pure).

Times are microseconds since 1970 UTC, by our clock: a tag may have a thousand values in a window, and an
object for each would cost more than everything that is done with it.
"""

from bisect import bisect_left, insort
from collections.abc import Sequence
from datetime import timedelta
from typing import NamedTuple

from gateway.core.series import NEVER, moment
from gateway.core.window import Gap, Scalar

SECOND = 1_000_000


class Point(NamedTuple):
    """One value: its time, the number (None: text, or BAD) and why it is bad (None: it is not)."""

    at: int
    number: float | None
    why: str | None = None


class Track:
    """The points of one tag, by time. What no later window needs is forgotten, but the last point is held."""

    __slots__ = ("confirmed", "points", "tag", "unit")

    def __init__(self, tag: str, unit: str) -> None:
        self.tag, self.unit = tag, unit
        self.points: list[Point] = []
        self.confirmed = NEVER

    def add(self, point: Point) -> None:
        """Take in one point; most come in the order of their times."""
        if not self.points or point.at >= self.points[-1].at:
            self.points.append(point)
        else:
            insort(self.points, point, key=_time)

    def extend(self, points: Sequence[Point]) -> None:
        """Take in points that are in the order of their times."""
        if not self.points or points[0].at >= self.points[-1].at:
            self.points += points
        else:
            self.points = sorted([*self.points, *points], key=_time)

    def confirm(self, at: int) -> None:
        """The source said at this time that the last value still holds."""
        self.confirmed = max(self.confirmed, at)

    def fresh(self, start: int, end: int) -> bool:
        """Tell whether a point lies in [start, end)."""
        first = bisect_left(self.points, start, key=_time)
        return first < len(self.points) and self.points[first].at < end

    def next_from(self, end: int) -> int | None:
        """Give the time of the first point at or after `end`."""
        first = bisect_left(self.points, end, key=_time)
        return self.points[first].at if first < len(self.points) else None

    def scalar(self, start: int, end: int, held_for: timedelta) -> Scalar | None:
        """Sum up the good numbers of [start, end); the last one before it is held while it is young enough."""
        upto = bisect_left(self.points, end, key=_time)
        good = [point for point in self.points[:upto] if point.number is not None]
        if not good:
            return None
        at, last, _ = good[-1]
        if at == self.points[upto - 1].at:  # nothing else was said since
            at = max(at, min(self.confirmed, end))
        if at < start - held_for // timedelta(microseconds=1) or last is None:
            return None
        inside = [point.number for point in good if point.at >= start and point.number is not None] or [last]
        return Scalar(
            self.tag, self.unit, last, sum(inside) / len(inside), min(inside), max(inside), len(inside),
            (end - at) / SECOND,
        )  # fmt: skip

    def gap(self, end: int) -> Gap | None:
        """Say that the tag's last value is bad, and since when."""
        if not self.points or self.points[-1].why is None:
            return None
        since, until = moment(self.points[-1].at), moment(end)
        if since is None or until is None:
            return None
        return Gap(self.tag, since, until, f"bad: {self.points[-1].why}")

    def forget(self, end: int) -> None:
        """Let go of points before `end`; the last one is held."""
        first = bisect_left(self.points, end, key=_time)
        if first:
            self.points = self.points[first:] or self.points[-1:]


def _time(point: Point) -> int:
    return point.at
