"""Pacing: blocks of a signal go out when their time has come, without drift."""

import asyncio
from datetime import UTC, datetime, timedelta

LATE_S = 3.0
"""A pacer that is later than this (a suspended process) starts a new timeline instead of catching up."""


class Pacer:
    """Counts equal periods of `period_s` seconds of signal; `factor` plays them faster than they were.

    Times stamped on the signal follow each other without a gap, whatever the moment of sending.
    """

    def __init__(self, period_s: float, *, factor: float = 1.0, started_at: datetime | None = None) -> None:
        self._period_s = period_s
        self._factor = factor
        self._started_at = started_at
        self._origin = 0.0
        self._count = 0

    async def period(self) -> datetime:
        """Wait until the next period is over; gives the signal time of its beginning (aware UTC)."""
        loop = asyncio.get_running_loop()
        if self._started_at is None or not self._origin:
            self._origin = loop.time()
            self._started_at = self._started_at or datetime.now(UTC)
        due = self._origin + (self._count + 1) * self._period_s / self._factor
        late = loop.time() - due
        if late > LATE_S:
            self._origin, self._count, self._started_at = loop.time() - self._period_s, 0, datetime.now(UTC)
            self._started_at -= timedelta(seconds=self._period_s)
        else:
            await asyncio.sleep(max(0.0, -late))
        begin = self._started_at + timedelta(seconds=self._count * self._period_s)
        self._count += 1
        return begin
