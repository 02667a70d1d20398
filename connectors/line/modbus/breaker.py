"""Breaker: whether a unit answers, and how often a silent one may be asked without harm to its neighbours."""

SHARE = 0.02
"""The part of a line's time that may be spent on asking silent units."""
_LEAST_TIMEOUT = 0.1
_PATIENT = 4


class Breaker:
    """One unit. Silences in a row demote it; one answer brings it back. Times in seconds, monotonic."""

    def __init__(self, unit: int, demote_after: int) -> None:
        self.unit = unit
        self._demote_after, self._failures = demote_after, 0
        self.asked_at = 0.0
        self.tries = 0
        self.proven = False

    @property
    def demoted(self) -> bool:
        """Whether only the probe asks it."""
        return self._failures >= self._demote_after

    def fail(self, now: float) -> bool:
        """Count a silence; True when this one demotes the unit."""
        self._failures += 1
        self.proven = False
        self.asked_at = now
        return self._failures == self._demote_after

    def answer(self) -> bool:
        """Note an answer; True when it brings the unit back."""
        back, self._failures, self.tries, self.proven = self.demoted, 0, 0, True
        return back


class Probes:
    """When silent units are asked, and how long one waits for them.

    A unit that did not answer, or never did, is waited for a few times as long as the slowest answer of this
    line took; the first probe and every fourth one is given all the time there is. After each one the line
    belongs to the others until the probes' share is kept.
    """

    def __init__(self, every_s: float, timeout_s: float) -> None:
        self._every, self._timeout = every_s, timeout_s
        self._free_at = 0.0
        self.slowest = 0.0

    def heard(self, seconds: float) -> None:
        """Note how long an answer took; slow ones fade."""
        self.slowest = max(seconds, self.slowest * 0.999)

    def wait(self) -> float:
        """How long something silent waits so that asking for it takes no more than its share, in seconds."""
        return self._timeout / SHARE

    def timeout(self, breaker: Breaker, *, doubted: bool = False) -> float:
        """How long to wait for a unit's answer, in seconds; not long when it was just silent."""
        patient = (breaker.proven and not doubted) or (breaker.demoted and breaker.tries % _PATIENT == 0)
        if not self.slowest or patient:
            return self._timeout
        return min(self._timeout, max(_LEAST_TIMEOUT, 5 * self.slowest))

    def turn(self, breaker: Breaker, count: int) -> int:
        """Which of a unit's `count` questions to ask: one that the device ignores must not keep the unit away.

        Each has its turn, and each its turn with all the time there is.
        """
        tries = breaker.tries
        return (tries // _PATIENT if tries % _PATIENT == 0 else tries) % count

    def due(self, silent: list[Breaker], now: float) -> Breaker | None:
        """The unit to ask now: the one that waits longest, when it waited long enough and the line has time."""
        if not silent or now < self._free_at:
            return None
        longest = min(silent, key=lambda breaker: breaker.asked_at)
        return longest if now - longest.asked_at >= self._every else None

    def next(self, silent: list[Breaker]) -> float | None:
        """When `due` may give one; None when nothing is silent."""
        if not silent:
            return None
        return max(self._free_at, min(breaker.asked_at for breaker in silent) + self._every)

    def asked(self, breaker: Breaker, now: float, took: float) -> None:
        """Note a probe without an answer, and what it cost the line."""
        breaker.tries += 1
        breaker.asked_at = now
        self._free_at = now + took * (1 / SHARE - 1)
