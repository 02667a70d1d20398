"""How long ago something was, though the wall clock may be set while the gateway runs.

Times in the store are of the wall clock. Who compares it with a clock that nobody sets sees every step of it; what was
written before a step is then by so much younger, or older, than it seems.
"""

from collections.abc import Callable
from datetime import datetime, timedelta

import msgspec
import structlog

from gateway.core.ports import Clock

log: structlog.stdlib.BoundLogger = structlog.get_logger()

_STEP = timedelta(minutes=1)
"""A smaller difference is no step: clocks are slewed, and processes held up between two looks."""
_MOST = 50


class Step(msgspec.Struct, frozen=True):
    """The wall clock was set: it said `before` (aware UTC) last, and then so much more, or less."""

    before: datetime
    forward: timedelta
    back: timedelta


class Ages:
    """Ages by the wall clock, put right by its steps as far as this process has seen them.

    `ticks` are the seconds of a clock that nobody sets; without it the wall clock is believed. A step forward may be a
    wrong clock, or a machine that was stopped for so long: `at_least` takes it for the one, `at_most` for the other.
    """

    def __init__(self, now: Clock, ticks: Callable[[], float] | None = None) -> None:
        self._now, self._ticks = now, ticks
        self._anchor: tuple[datetime, float] | None = None
        self._last: datetime | None = None
        self._steps: list[Step] = []

    def look(self) -> datetime:
        """Compare the clocks, which has to be done often, and give the time."""
        now = self._now()
        if self._ticks is None:
            return now
        ticks = self._ticks()
        if self._anchor is None or self._last is None:
            self._anchor = now, ticks
        elif abs(drift := now - self._anchor[0] - timedelta(seconds=ticks - self._anchor[1])) > _STEP:
            self._stepped(self._last, drift)
            self._anchor = now, ticks
        self._last = now
        return now

    def at_least(self, since: datetime) -> timedelta:
        """Give how long ago it was for sure."""
        age = self.look() - since
        return age - sum((step.forward for step in self._after(since)), timedelta(0))

    def at_most(self, since: datetime) -> timedelta:
        """Give how long ago it may have been; less than nothing when that cannot be told."""
        age = self.look() - since
        return age + sum((step.back for step in self._after(since)), timedelta(0))

    def _after(self, since: datetime) -> list[Step]:
        """Give the steps that came after a time, perhaps with some before it: the clock said the same time twice."""
        first = next((at for at, step in enumerate(self._steps) if since <= step.before + _STEP), len(self._steps))
        return self._steps[first:]

    def _stepped(self, before: datetime, by: timedelta) -> None:
        log.warning("clock.stepped", seconds=round(by.total_seconds()))
        nothing = timedelta(0)
        self._steps.append(Step(before, max(by, nothing), max(-by, nothing)))
        if len(self._steps) > _MOST:
            one, other, *rest = self._steps
            both = Step(max(one.before, other.before), one.forward + other.forward, one.back + other.back)
            self._steps = [both, *rest]
