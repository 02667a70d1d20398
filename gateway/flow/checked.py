"""An ERP adapter that sends nothing before the ERP was looked at: a wrong mapping is named before the first order."""

import asyncio
import contextlib
import random
from collections.abc import Callable, Sequence
from datetime import timedelta

import msgspec
import structlog

from gateway.core.advice import Advice
from gateway.core.delivery import ErpRef, Outcome, Unsent
from gateway.core.errors import AndonError, Unreachable
from gateway.core.order import WorkOrder
from gateway.core.ports import ErpAdapter
from gateway.flow.around import Around
from gateway.flow.seen_right import SeenRight

log: structlog.stdlib.BoundLogger = structlog.get_logger()


class Pace(msgspec.Struct, frozen=True, kw_only=True):
    """How often an ERP is looked at.

    `failed` is the first pause after a look that found faults, doubled up to `longest`; `well` the pause after one that
    found none. `within` bounds a look, `patience` how long an order waits for the one that is under way.
    """

    failed: timedelta = timedelta(seconds=2)
    longest: timedelta = timedelta(seconds=60)
    well: timedelta = timedelta(hours=1)
    within: timedelta = timedelta(seconds=60)
    patience: timedelta = timedelta(seconds=5)


class Checked(Around):
    """`run` looks at the ERP at the start and again from time to time.

    While `waits` is set nothing is written before a look found the mapping right, nor after one that found it
    wrong: it is `Unsent`, so that the order waits and is not parked. Without it the faults are only told. An ERP
    that cannot be reached was not looked at: then counts what a look before the restart has found, if the settings
    were the same (`seen`). `well` is called when orders may go.
    """

    def __init__(
        self,
        inner: ErpAdapter,
        *,
        waits: bool = True,
        well: Callable[[], None] = lambda: None,
        pace: Pace | None = None,
        seen: SeenRight | None = None,
    ) -> None:
        super().__init__(inner)
        self._waits, self._well, self._seen = waits, well, seen
        self._pace = pace or Pace()
        self._looked = asyncio.Event()
        self._faults: tuple[str, ...] = ()
        self._bar = "nobody has looked yet"
        self._right: bool | None = None  # as the last look of this process found it

    @property
    def faults(self) -> Sequence[str]:
        """What the last look found, in the ERP's name; nothing while nobody could look."""
        return self._faults

    async def run(self) -> None:
        """Look until cancelled."""
        if self._seen is not None and await self._seen.known():
            self._bar = ""
            self._looked.set()
        pause = self._pace.failed
        while True:
            fine = await self._look()
            rest = (self._pace.well if fine else pause).total_seconds()
            pause = self._pace.failed if fine else min(pause * 2, self._pace.longest)
            await asyncio.sleep(rest * random.uniform(0.75, 1.0))  # noqa: S311  jitter, no secret

    async def verify(self) -> list[str]:
        """Look, and learn from it."""
        found = await self._inner.verify()
        await self._learn(found)
        return found

    async def deliver(self, orders: Sequence[WorkOrder]) -> list[Outcome]:
        """Send, when the mapping is right."""
        barred = await self._barred()
        return [barred for _ in orders] if barred is not None else await self._inner.deliver(orders)

    async def amend(self, ref: ErpRef, before: WorkOrder, after: WorkOrder) -> Outcome:
        """Change, when the mapping is right."""
        return await self._barred() or await self._inner.amend(ref, before, after)

    async def cancel(self, ref: ErpRef, order: WorkOrder, reason: str) -> Outcome:
        """Take back, when the mapping is right."""
        return await self._barred() or await self._inner.cancel(ref, order, reason)

    async def _barred(self) -> Unsent | None:
        if not self._waits:
            return None
        if not self._looked.is_set():
            # The first orders of a start need not wait longer than the look that has just begun.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._pace.patience.total_seconds()):
                    await self._looked.wait()
        return Unsent(f"not verified: {self._bar}"[:500]) if self._bar else None

    async def _look(self) -> bool:
        """Look once; False when it has to be done again soon."""
        try:
            async with asyncio.timeout(self._pace.within.total_seconds()):
                await self.verify()
        except TimeoutError:
            return self._away("no answer in time")
        except Unreachable as lost:
            return self._away(str(lost))
        except AndonError as no:
            await self._learn([f"{self.name}: {no}"])
        return not self._bar

    def _away(self, why: str) -> bool:
        """Keep what was known: that the ERP is away says nothing of the mapping."""
        if self._bar and not self._faults:
            self._bar = why
        self._looked.set()
        return not self._bar

    async def _learn(self, found: Sequence[str]) -> None:
        was_barred, was_right = bool(self._bar), self._right
        self._bar = "; ".join(fault for fault in found if not isinstance(fault, Advice))
        if tuple(found) != self._faults:
            self._faults = tuple(found)
            if found:
                log.warning("erp.not_as_mapped", erp=self.name, faults=list(found), orders_wait=self._holds)
        self._looked.set()
        self._right = not self._bar
        if self._right and not was_right:
            log.info("erp.verified", erp=self.name)
        if self._right and was_barred:
            self._well()
        if self._seen is not None and self._right is not was_right:
            await self._seen.keep(right=self._right)

    @property
    def _holds(self) -> bool:
        return self._waits and bool(self._bar)
