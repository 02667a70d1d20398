"""How long an ailing ERP, or another receiver, is left alone."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import structlog
from tenacity import RetryCallState, wait_random_exponential

from gateway.core.delivery import Delivered, Outcome, Rejected, Throttled, Uncertain
from gateway.flow.ages import Ages

log: structlog.stdlib.BoundLogger = structlog.get_logger()

DOUBTS = 5
"""So many answers in doubt, one after the other, mean that the ERP is ill and not one order."""

PROBE = timedelta(seconds=1)
"""An ailing ERP is asked at most once in this time."""

LONGEST = timedelta(hours=1)
"""However long a receiver asks for, it is left alone no longer."""

_EVER = datetime.min.replace(tzinfo=UTC)


class Patience:
    """A circuit breaker that delivery and reconciliation of one ERP share.

    Open after one `Unsent` or `Throttled`, or `DOUBTS` `Uncertain` in a row; then one probe at a time
    goes out, ever more rarely (full jitter up to `longest`), until one is answered. Times are aware UTC.
    `kind` says in the log what it is that is left alone. `ages` say how long ago a first attempt was.
    """

    def __init__(
        self,
        now: Callable[[], datetime],
        longest: timedelta,
        name: str = "",
        kind: str = "erp",
        ages: Ages | None = None,
    ) -> None:
        self._now, self._name, self._kind = now, name, kind
        self.ages = Ages(now) if ages is None else ages
        self._jitter = wait_random_exponential(multiplier=2, max=longest.total_seconds(), min=PROBE.total_seconds())
        self._failures = self._doubts = 0
        self._until = self._probed = _EVER
        self._meant = timedelta(0)
        self._why = ""

    @property
    def why(self) -> str:
        """Say why the ERP is being left alone; empty when all is well."""
        return self._why if self._failures else ""

    @property
    def left(self) -> timedelta:
        """How long the ERP is still left alone; zero when it may be asked."""
        left = max(self._until - self._now(), timedelta(0))
        # Longer than it was meant to be: the clock went back, and waiting for it to catch up would be a stall.
        return left if left <= self._meant else timedelta(0)

    def grant(self, wanted: int) -> int:
        """Say how many of the wanted requests may leave now: all, one probe, or none.

        Who was granted the probe and has nothing to send gives it back (`unused`).
        """
        self.ages.look()
        if self.left or wanted < 1:
            return 0
        if not self._failures:
            return wanted
        self._leave(PROBE)
        self._probed = self._until
        return 1

    def unused(self) -> None:
        """Give a grant back: nothing was sent under it. A wait that somebody learned of meanwhile stays."""
        if self._until == self._probed:
            self._until = min(self._until, self._now())

    def note(self, outcome: Outcome) -> None:
        """Learn from one outcome."""
        if isinstance(outcome, Delivered | Rejected):
            if self._failures:
                self._say(log.info, "answers_again")
            self._failures = self._doubts = 0
            self._until = _EVER
            return
        self._why = outcome.cause
        if isinstance(outcome, Uncertain):
            self._doubts += 1
            if self._doubts < DOUBTS:
                return
        if self.left > PROBE:  # others in flight tell the same news: it counts once
            return
        if not self._failures:
            self._say(log.warning, "left_alone", why=self._why)
        self._failures += 1
        asked = outcome.after if isinstance(outcome, Throttled) else None
        self._leave(min(asked, LONGEST) if asked is not None else self._backoff())

    def _leave(self, wait: timedelta) -> None:
        self._until, self._meant = self._now() + wait, wait

    def _say(self, say: Callable[..., object], what: str, **more: str) -> None:
        said = {self._kind: self._name, **more}
        say(f"{self._kind}.{what}", **said)

    def _backoff(self) -> timedelta:
        return backoff(self._jitter, self._failures)


def backoff(strategy: Callable[[RetryCallState], float], attempt: int) -> timedelta:
    """Ask a strategy of tenacity how long to wait after this many failures (1 is the first)."""
    state = RetryCallState(retry_object=None, fn=None, args=(), kwargs={})  # type: ignore[arg-type]  # only counted
    state.attempt_number = max(1, attempt)
    return timedelta(seconds=strategy(state))
