"""Committed reports -> extractions -> episodes and orders (see `gateway.flow.desk`), or the review list."""

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from datetime import datetime

import structlog
from msgspec.structs import replace

from gateway.core.errors import AndonError
from gateway.core.ports import Clock, Interpreter, Store, Tx
from gateway.core.report import Extraction, QualityReport
from gateway.flow import aside
from gateway.flow.desk import Desk

log: structlog.stdlib.BoundLogger = structlog.get_logger()

_READ = 32
_IDLE_S = 2.0
_DEADLINE_S = 120.0


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
            # What was read before, and maybe put right by a person, is concluded once more, not read.
            told = stored.extraction or await self._interpreted(stored.report)
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
