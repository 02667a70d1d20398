"""How many requests may be in flight at one ERP: as many as it answers without getting slower (pure).

The gradient limit of Netflix's concurrency-limits (Gradient2): latency now, held against latency over a longer
time, says whether a queue builds up on the other side. ERPs answer a few requests at once well and many badly.
"""

from collections.abc import Sequence

from gateway.core.delivery import Throttled, Uncertain, Unsent
from gateway.flow.attempt import Made

_TOLERANCE = 2.0
"""A request may take twice as long as usual before anything is taken back."""
_SLOWEST = 0.5
_NOW, _USUAL = 0.2, 0.02
_SMOOTH = 0.3
_FIRST = 4


class Limit:
    """Follows the latency of one ERP, between 1 and `most`."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._limit = float(min(_FIRST, most))
        self._now = self._usual = 0.0

    @property
    def lanes(self) -> int:
        """How many requests may be in flight."""
        return int(self._limit)

    def note(self, took_s: float, flying: int, made: Sequence[Made]) -> None:
        """Learn from a request that took so many seconds while so many were in flight, itself too."""
        if any(one is None or isinstance(one, Unsent) for one in made):
            return  # nobody was asked, so nobody was slow
        if any(isinstance(one, Throttled | Uncertain) for one in made):
            self._limit = max(1.0, self._limit * _SLOWEST)
            return
        self._now = _mean(self._now, took_s, _NOW)
        self._usual = _mean(self._usual, took_s, _USUAL)
        if self._usual > 2 * self._now:
            # It was slow for long and is not any more: what was usual then is no measure now.
            self._usual *= 0.95
        gradient = min(1.0, max(_SLOWEST, _TOLERANCE * self._usual / max(self._now, 1e-9)))
        if gradient == 1.0 and flying * 2 < self._limit:
            return  # it is not the limit that holds anything back
        wanted = self._limit * gradient + self._limit**0.5
        self._limit = min(self._most, max(1.0, (1 - _SMOOTH) * self._limit + _SMOOTH * wanted))


def _mean(mean: float, value: float, weight: float) -> float:
    return value if mean == 0.0 else mean + weight * (value - mean)
