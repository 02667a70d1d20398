"""Supervision: `Unreachable` is tried again with full jitter; a bug ends the process."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from time import monotonic

import structlog

from gateway.core.errors import Unreachable

log: structlog.stdlib.BoundLogger = structlog.get_logger()

FIRST_S = 0.5
LONGEST_S = 10.0
HEALTHY_S = 30.0
"""A job that ran this long was well: its back-off starts afresh."""


async def supervise(
    name: str,
    job: Callable[[], Awaitable[None]],
    restarted: Callable[[str], None] = lambda _: None,
    *,
    first_s: float = FIRST_S,
) -> None:
    """Run a job; after `Unreachable` run it again, later and later, with full jitter. Ends when the job ends.

    `restarted` is told the name of a job that will be run again.

    Anything else than `Unreachable` is a bug or a wrong configuration and goes up.
    """
    limit = first_s
    while True:
        began = monotonic()
        try:
            return await job()
        except Unreachable as lost:
            if monotonic() - began > HEALTHY_S:
                limit = first_s
            wait = random.uniform(0, limit)  # noqa: S311  (jitter, not a secret)
            if lost.after is not None:
                wait = max(wait, min(lost.after.total_seconds(), 3600.0))
            log.warning("job.unreachable", job=name, why=str(lost), again_in_s=round(wait, 2))
            limit = min(limit * 2, LONGEST_S)
            restarted(name)
        await asyncio.sleep(wait)
