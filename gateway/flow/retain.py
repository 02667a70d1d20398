"""Disk budget: the oldest readings go first, counted; orders and evidence never."""

import asyncio

from gateway.core.ports import Clock, Store, Tx
from gateway.flow.diagnose import CURSOR

_EVERY_S = 30.0


async def retain(store: Store, budget: int, now: Clock) -> None:
    """Keep the journal within `budget` bytes; what diagnosis has not read yet stays."""

    def step(tx: Tx) -> int:
        gone = tx.trim(budget, tx.cursor(CURSOR))
        if gone:
            tx.note("journal.trimmed", "journal", now(), f"{gone} rows over the budget")
        return gone

    while True:
        await store.write(step)
        await asyncio.sleep(_EVERY_S)
