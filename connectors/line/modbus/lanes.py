"""Lanes: how many connections an endpoint gets, learned from what they have to do and what the device allows."""

import math
from datetime import datetime, timedelta

import msgspec

_MOST = 8
_FULL = 0.7
_SHAKY_S = 5.0
_ASK_AGAIN = timedelta(hours=24)
_EVIDENCE = 24
_CALM_S = 300.0
_NO_GAIN = 1.7
NAME = "connections"


class Allowed(msgspec.Struct, frozen=True):
    """How many connections a device allowed, kept over restarts; asked again after a day."""

    most: int
    since: datetime


class Lanes:
    """Counts connections: how many there are, may be and should be. Times in seconds, monotonic.

    More are opened when requests take more than most of the period. A device that refuses one, that hangs
    up soon after, or that answers no faster for it, does not get another.
    """

    def __init__(self, wanted: int | None, *, shared: bool) -> None:
        self.most = 1 if shared else wanted or _MOST
        """How many there may be."""
        self.count = 1 if wanted is None or shared else wanted
        self._fixed = wanted is not None
        self._opened_at = -_SHAKY_S
        self._answers, self._seconds, self._before = 0, 0.0, 0.0
        self._fewer, self._calm_until = 1, 0.0
        self._limit: Allowed | None = None
        self._news = False

    def heard(self, seconds: float) -> None:
        """Note how long an answer took."""
        self._answers += 1
        self._seconds += (seconds - self._seconds) / min(self._answers, _EVIDENCE)

    def load(self, requests_per_s: float) -> float:
        """How many connections are busy all the time when nothing waits."""
        return requests_per_s * self._seconds

    def grow(self, requests_per_s: float, now: float) -> int:
        """Decide how many to open, at most as many as there are. Takes those back that brought nothing."""
        if self._fixed or self._answers < _EVIDENCE or now < self._calm_until:
            return 0
        if self._before and self._seconds > self._before * _NO_GAIN:
            self.count, self._before = self._fewer, 0.0
            self._calm_until = now + _CALM_S  # it may have been a bad moment
            return 0
        wanted = min(self.most, 2 * self.count, math.ceil(self.load(requests_per_s) / _FULL))
        if wanted <= self.count:
            return 0
        more, self._fewer = wanted - self.count, self.count
        self._before, self._answers = self._seconds, 0
        self.count, self._opened_at = wanted, now
        return more

    def shaky(self, now: float) -> bool:
        """Whether a connection that is lost now is probably lost because one more was opened."""
        return self.count > 1 and now - self._opened_at < _SHAKY_S

    def opened(self, now: float) -> None:
        """Note that a connection beyond the first was opened."""
        self._opened_at = now

    def refused(self, now: datetime, *, remember: bool = True) -> None:
        """Note that the device does not allow the last one."""
        self.count = max(1, self.count - 1)
        self.most = self.count
        self._before = 0.0
        if remember:
            self._limit, self._news = Allowed(self.most, now), True

    def recall(self, kept: bytes | None, now: datetime) -> None:
        """Take back what the device allowed before the restart."""
        if kept is None:
            return
        try:
            known = msgspec.json.decode(kept, type=Allowed)
        except msgspec.DecodeError:
            return
        if 0 < known.most < self.most and timedelta(0) <= now - known.since < _ASK_AGAIN:
            self.most = known.most
            self.count = min(self.count, self.most)

    def news(self) -> bytes | None:
        """What is to be kept; None when nothing changed."""
        if not self._news or self._limit is None:
            return None
        self._news = False
        return msgspec.json.encode(self._limit)
