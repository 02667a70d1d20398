"""Timetable: which group is due when, spread in phase; what is late is left out and counted. Pure."""

import heapq
from collections.abc import Sequence

import msgspec


class Duty(msgspec.Struct):
    """One group of tags: how often (seconds), and how it goes. `missed` counts the times that came too early for it."""

    every: float
    busy: bool = False
    owed: bool = False
    missed: int = 0
    began: float = 0.0
    took: float = 0.0


class Timetable:
    """Due times of groups, each on its own grid.

    Every group is due at the start. Afterwards they are spread over their period by what they cost, so that
    a shared line has no rush hours. A group that is not done when it is due again misses that turn and is
    due as soon as it is done: nothing piles up, and what cannot keep its time goes on as fast as it can.
    """

    def __init__(self, everies: Sequence[float], costs: Sequence[int], start: float) -> None:
        self.duties = [Duty(every) for every in everies]
        self._due = [(start, place) for place in range(len(everies))]
        heapq.heapify(self._due)
        total, before = sum(costs) or 1, 0
        self._phase: list[float | None] = []
        for every, cost in zip(everies, costs, strict=True):
            share = before / total
            self._phase.append(every * (share if share >= 0.5 else 1 + share))  # noqa: PLR2004 (not soon again)
            before += cost

    def next(self) -> float:
        """When the next group is due."""
        return self._due[0][0]

    def due(self, now: float) -> list[tuple[int, float]]:
        """Give the groups that are due and free, each with its deadline: when it is due again."""
        ready = []
        while self._due[0][0] <= now:
            at, place = self._due[0]
            duty, phase = self.duties[place], self._phase[place]
            self._phase[place] = None
            late = int((now - at) // duty.every) if phase is None else 0
            again = at + duty.every * (late + 1) if phase is None else at + phase
            heapq.heapreplace(self._due, (again, place))
            duty.missed += late
            if duty.busy:
                duty.missed += 1
                duty.owed = True
                continue
            duty.busy, duty.began = True, now
            ready.append((place, again))
        return ready

    def hurry(self, place: int, now: float) -> None:
        """Make a group due now."""
        self._due = [(now, number) if number == place else (at, number) for at, number in self._due]
        heapq.heapify(self._due)

    def done(self, place: int, now: float) -> None:
        """Note that all of a group was read."""
        duty = self.duties[place]
        duty.took = now - duty.began

    def free(self, place: int, now: float) -> None:
        """Note that what was read of a group was taken: it may be read again."""
        duty = self.duties[place]
        duty.busy = False
        if duty.owed:
            duty.owed = False
            self.hurry(place, now)

    def detail(self, place: int) -> str:
        """Say in words that a group is overloaded; empty when it keeps its time."""
        duty = self.duties[place]
        if duty.took <= duty.every:
            return ""
        return f"scan takes {_plain(duty.took)} of {_plain(duty.every)}, {duty.missed} turns missed"


def _plain(seconds: float) -> str:
    if seconds >= 10:  # noqa: PLR2004 (two digits are enough)
        return f"{seconds:.0f} s"
    return f"{seconds:.2g} s" if seconds >= 0.1 else f"{seconds * 1000:.2g} ms"  # noqa: PLR2004 (two digits)
