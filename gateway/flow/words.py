"""Committed reports -> extractions -> episodes and orders, or the review list."""

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from datetime import datetime

import structlog
from msgspec.structs import replace

from gateway.core.asset import Plant
from gateway.core.capsule import Terms
from gateway.core.episode import Decision, Episode
from gateway.core.errors import AndonError
from gateway.core.order import business_key
from gateway.core.ports import Clock, Interpreter, Store, StoredReport, Tx
from gateway.core.report import Extraction, QualityReport
from gateway.flow import amend, aside, policy, seal, standing
from gateway.flow.episode import SAME_REPORT, closed, contradicted, ruled_on, same_trouble, told_episode, witness

log: structlog.stdlib.BoundLogger = structlog.get_logger()

_READ = 32
_IDLE_S = 2.0
_DEADLINE_S = 120.0
_MANY = 10_000


@dataclass(frozen=True, slots=True)
class Desk:
    """What turns words into orders. Shared by the live road, the review and replay."""

    plant: Plant
    secret: bytes
    erp: str
    config: str
    software: str = ""
    public_url: str = ""
    reader: str = ""

    @property
    def terms(self) -> Terms:
        """The rules, as they stand in an order's capsule."""
        return Terms(config=self.config, software=self.software, public_url=self.public_url, reader=self.reader)

    def conclude(self, tx: Tx, report: QualityReport, told: Extraction, now: datetime) -> str | None:
        """Write what a report says and what follows from it; give the key of its order, when it has one.

        A report that was read before stays as it is: two processes may read one, and a person may have
        ruled on it meanwhile.
        """
        held = tx.report(report.id)
        if held is not None and held.extraction is not None:
            return held.order_key
        decision = policy.of_report(told)
        key = self._order(tx, report, told, now) if decision is Decision.ORDER else None
        tx.read_report(told, key)
        tx.note("report.read", report.id, now, f"{told.route} {told.fine_intent or '-'}")
        return key

    def confirmed(self, tx: Tx, stored: StoredReport, told: Extraction, now: datetime) -> str | None:
        """Turn what a person confirmed in review into its order; give the order's key."""
        return self._order(tx, stored.report, told, now, ruled=True)

    def _order(self, tx: Tx, report: QualityReport, told: Extraction, now: datetime, *, ruled: bool = False) -> str:
        mine = business_key(self.secret, self.plant.site.id, "report", report.id)
        if tx.order(mine) is not None:
            return mine
        _, going = standing.take_up(tx, self._ruled(tx, report, told), now, f"report {report.id}")
        same = self._same(tx, report, told, now)
        if same is not None and report.id not in same.reports:
            # A machine's trouble that was not sure enough for an order is confirmed by who reports it: the
            # order takes its key, and when the machine gets surer later there is one already.
            same = replace(witness(same, report), decision=Decision.ORDER)
            tx.put_episode(same)
            tx.note("episode.witness", same.key, now, report.id)
            if (stored := tx.order(same.key)) is not None:
                amend.by_report(
                    tx, stored.order, same, told, report, self.plant, self.terms, now, ruled=ruled
                )  # fmt: skip
        if same is not None and tx.order(same.key) is not None:
            return same.key
        episode = replace(told_episode(same.key if same else mine, told, report), decision=Decision.ORDER)
        order = seal.of_report(tx, episode, told, report, self.plant, self.terms, ruled=ruled)
        if same is None:
            tx.put_episode(episode)
        if tx.put_order(order, self.erp, now, standing.behind(tx, going, order.key)):
            tx.note("order.made", order.key, now, f"report {order.failure_mode} capsule {order.capsule}")
        return order.key

    @staticmethod
    def _ruled(tx: Tx, report: QualityReport, told: Extraction) -> list[Episode]:
        """Give the troubles that somebody ruled on lately and that a report is about."""
        since = report.reported_at - SAME_REPORT if report.reported_at.year > 1 else None
        return ruled_on(tx.episodes(told.asset or None, since=since, limit=_MANY), told, report)

    def _same(self, tx: Tx, report: QualityReport, told: Extraction, now: datetime) -> Episode | None:
        """Find the open trouble that a report is about, with an order that may still grow; None for a new one.

        A machine's trouble that was ruled out is taken up again while its order stands, and else makes room for a
        new one: the person who tells of it now has seen it.
        """
        live = self._live(tx, report, told)
        for ruled in contradicted(live, told, report):
            live.remove(ruled)
            stored = tx.order(ruled.key)
            if stored is not None and amend.stands(stored):
                live.append(replace(ruled, ruled=""))
            else:
                tx.put_episode(closed(ruled, report.reported_at))
                tx.note("episode.closed", ruled.key, now, f"a person tells of it: {report.id}")
        while (same := same_trouble(live, told, report)) is not None:
            stored = tx.order(same.key)
            if stored is None or amend.stands(stored):
                return same
            live.remove(same)
            tx.put_episode(closed(same, now))
            tx.note("episode.closed", same.key, now, "its order is over")
        return None

    @staticmethod
    def _live(tx: Tx, report: QualityReport, told: Extraction) -> list[Episode]:
        """Give the live episodes that a report may be about: people's stay open until the ERP closes them."""
        if told.asset:
            return tx.episodes(told.asset, live=True, limit=_MANY)
        recent = report.reported_at - SAME_REPORT if report.reported_at.year > 1 else None
        return tx.episodes(live=True, since=recent, limit=_MANY)


class Listening:
    """Reads the reports that are committed and not yet read, one transaction each.

    One that the interpreter, or what follows from it, cannot digest goes to review, and the next still goes.
    """

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

    def take(self, desk: Desk) -> None:
        """Take another desk, from the next report on."""
        self._desk = desk

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
        for stored in waiting:
            told = await self._interpreted(stored.report)
            try:
                key = await self._store.write(_Conclude(self._desk, stored.report, told, self._now()))
            except AndonError:
                raise
            except Exception as bug:  # noqa: BLE001  (one report that does not fit must not hold up all the others)
                log.warning("report.not_concluded", report=stored.report.id, **aside.told(bug))
                masked = told.masked.encode("utf-8", "replace").decode()
                told = replace(_set_aside(stored.report, type(bug).__name__), masked=masked)
                key = await self._store.write(_Conclude(self._desk, stored.report, told, self._now()))
            if key is not None:
                self._ordered()
            self._read(told)
        return len(waiting)

    async def _interpreted(self, report: QualityReport) -> Extraction:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(_DEADLINE_S):
                return await loop.run_in_executor(self._pool, self._interpreter.interpret, report, self._desk.plant)
        except AndonError:
            raise
        except Exception as bug:  # noqa: BLE001  (whatever one text does to the reader, a person can read it)
            log.warning("report.not_read", report=report.id, **aside.told(bug))
            return _set_aside(report, type(bug).__name__)


def _set_aside(report: QualityReport, why: str) -> Extraction:
    """Say that a person must read it. `why` is the name of an error: its message may hold the text."""
    return Extraction(id=report.id, intent=None, fine_intent=None, asset=report.asset_hint, why=("failed", why))


@dataclass(frozen=True, slots=True)
class _Conclude:
    desk: Desk
    report: QualityReport
    told: Extraction
    now: datetime

    def __call__(self, tx: Tx) -> str | None:
        return self.desk.conclude(tx, self.report, self.told, self.now)
