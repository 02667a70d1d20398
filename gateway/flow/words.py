"""Committed reports -> extractions -> episodes and orders, or the review list."""

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from datetime import datetime

from msgspec.structs import replace

from gateway.core.asset import Plant
from gateway.core.episode import Decision
from gateway.core.order import business_key
from gateway.core.ports import Clock, Interpreter, Store, StoredReport, Tx
from gateway.core.report import Extraction, QualityReport
from gateway.flow import compose, evidence, policy
from gateway.flow.episode import same_trouble, told_episode, witness

_READ = 32
_IDLE_S = 2.0


@dataclass(frozen=True, slots=True)
class Desk:
    """What turns words into orders. Shared by the live road, the review and replay."""

    plant: Plant
    secret: bytes
    erp: str
    config: str

    def conclude(self, tx: Tx, report: QualityReport, told: Extraction, now: datetime) -> str | None:
        """Write what a report says and what follows from it; give the key of its order, when it has one.

        A report that was read before keeps its order: the key comes from the report's own id.
        """
        decision = policy.of_report(told)
        key = self._order(tx, report, told, now) if decision is Decision.ORDER else None
        tx.read_report(told, key)
        tx.note("report.read", report.id, now, f"{told.route} {told.fine_intent or '-'}")
        return key

    def confirmed(self, tx: Tx, stored: StoredReport, told: Extraction, now: datetime) -> str | None:
        """Turn what a person confirmed in review into its order; give the order's key."""
        return self._order(tx, stored.report, told, now)

    def _order(self, tx: Tx, report: QualityReport, told: Extraction, now: datetime) -> str:
        mine = business_key(self.secret, self.plant.site.id, "report", report.id)
        if tx.order(mine) is not None:
            return mine
        live = tx.episodes(told.asset, live=True) if told.asset else tx.episodes(live=True)
        same = same_trouble(live, told, report)
        if same is not None and report.id not in same.reports:
            tx.put_episode(witness(same, report))
            tx.note("episode.witness", same.key, now, report.id)
        if same is not None and tx.order(same.key) is not None:
            return same.key
        episode = replace(told_episode(mine, told, report), decision=Decision.ORDER)
        kept = evidence.of_report(tx, report, told.masked)
        order = compose.of_report(episode, told, report, self.plant, kept, self.config)
        tx.put_episode(episode)
        if tx.put_order(order, self.erp, now):
            tx.note("order.made", order.key, now, f"report {order.failure_mode}")
        return mine


class Listening:
    """Reads the reports that are committed and not yet read, one transaction each."""

    def __init__(
        self,
        store: Store,
        interpreter: Interpreter,
        desk: Desk,
        pool: Executor,
        now: Clock,
        wake: asyncio.Event,
        ordered: Callable[[], None],
        read: Callable[[Extraction], None],
    ) -> None:
        self._store, self._interpreter, self._desk = store, interpreter, desk
        self._pool, self._now = pool, now
        self._ordered, self._read = ordered, read
        self._wake = wake

    async def run(self) -> None:
        """Go on until cancelled."""
        while True:
            self._wake.clear()  # before the look: what is taken in meanwhile must wake us
            if not await self.step():
                try:
                    async with asyncio.timeout(_IDLE_S):
                        await self._wake.wait()
                except TimeoutError:
                    continue

    async def step(self) -> int:
        """Read the waiting reports once; tell how many there were."""
        waiting = await self._store.read(lambda tx: tx.reports(unread=True, limit=_READ))
        loop = asyncio.get_running_loop()
        for stored in waiting:
            told = await loop.run_in_executor(self._pool, self._interpreter.interpret, stored.report, self._desk.plant)
            if await self._store.write(_Conclude(self._desk, stored.report, told, self._now())):
                self._ordered()
            self._read(told)
        return len(waiting)


@dataclass(frozen=True, slots=True)
class _Conclude:
    desk: Desk
    report: QualityReport
    told: Extraction
    now: datetime

    def __call__(self, tx: Tx) -> str | None:
        return self.desk.conclude(tx, self.report, self.told, self.now)
