"""How many requests may be in flight at one ERP: as many as it answers without making them wait (pure).

As TCP Vegas keeps its window (Brakmo and Peterson, 1995): from the shortest time that an order took lately and the
time that one takes now follows how many requests stand in a queue over there. A few do no harm; more only wait,
and ERPs answer a few requests at once well and many badly.
"""

from collections.abc import Sequence

from gateway.core.delivery import Throttled, Uncertain, Unsent
from gateway.flow.attempt import Made

_FEW, _MANY = 2.0, 4.0
"""Fewer requests in the queue than this: one more may go. More than that: one less."""
_AFRESH = 1.01
"""The shortest time is forgotten slowly: an ERP that has become slower for good is not held against its youth."""
_NOW = 0.2
_LESS, _FAR_LESS = 0.5, 0.95
_FIRST = 4


class Limit:
    """Follows the latency of one ERP, between 1 and `most`."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._limit = float(min(_FIRST, most))
        self._now = self._best = 0.0

    @property
    def lanes(self) -> int:
        """How many requests may be in flight."""
        return int(self._limit)

    def note(self, took_s: float, flying: int, made: Sequence[Made]) -> None:
        """Learn from a request that took so many seconds while so many were in flight, itself too."""
        if any(one is None or isinstance(one, Unsent) for one in made):
            return  # nobody was asked, so nobody was slow
        if any(isinstance(one, Throttled | Uncertain) for one in made):
            self._limit = max(1.0, self._limit * _LESS)
            return
        # Of one order, for a request of a hundred takes longer than a request of one.
        each = took_s / len(made)
        self._best = each if self._best == 0.0 else min(each, self._best * _AFRESH)
        self._now = each if self._now == 0.0 else self._now + _NOW * (each - self._now)
        waiting = self._limit * (1.0 - self._best / max(self._now, self._best, 1e-9))
        if waiting < _FEW:
            if flying * 2 >= self._limit:  # else it is not the limit that holds anything back
                self._limit = min(self._most, self._limit + self._limit**-0.5)
        elif waiting > self._limit / 2 and waiting > _MANY:
            self._limit = max(1.0, self._limit * _FAR_LESS)
        elif waiting > _MANY:
            self._limit = max(1.0, self._limit - 1.0 / self._limit)
