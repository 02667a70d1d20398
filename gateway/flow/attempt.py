"""One attempt: what claimed deliveries ask of the ERP, and what became of it."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta

import structlog
from msgspec.structs import replace

from gateway.core.delivery import (
    Capabilities,
    Delivered,
    ErpRef,
    Idempotency,
    Outcome,
    Rejected,
    Throttled,
    Uncertain,
    Unsent,
    counting,
)
from gateway.core.errors import Misconfigured, Refused, Unreachable
from gateway.core.order import WorkOrder
from gateway.core.ports import Claimed, ErpAdapter
from gateway.flow import aside
from gateway.flow.ages import Ages

log: structlog.stdlib.BoundLogger = structlog.get_logger()

Made = Outcome | None
"""What became of an attempt; None when the ERP did not have to be asked for anything: the order never got there."""


class Failed(Unreachable):
    """The adapter failed, against its contract: no answer, but that says nothing of the ERP."""


def unasked(lost: Unreachable, before: str = "") -> Unsent | Throttled:
    """Say what a question without an answer means for what stands behind it."""
    cause = f"{before}{lost}"
    return Unsent(cause) if lost.after is None else Throttled(lost.after, cause)


def remembered(promised: Capabilities, since: datetime | None, ages: Ages) -> bool:
    """Say whether the ERP still knows a key, first sent at `since`, when a request that leaves now arrives.

    A time that has yet to come was written by a clock that was ahead: nobody knows how long ago that was.
    """
    window = promised.replay_window
    if window is None or since is None:
        return window is None
    age = ages.at_most(since)
    return timedelta(0) <= age < window - promised.deadline


class Attempt:
    """Makes, changes and takes back orders in one ERP, each call within its deadline.

    Never raises for what the ERP, the network or a faulty adapter does, but for `find`; `Misconfigured` gets through.
    """

    def __init__(self, erp: ErpAdapter, ages: Ages) -> None:
        self._erp, self._ages = erp, ages

    async def of(self, batch: Sequence[Claimed]) -> list[Made]:
        """Do what each delivery has to do next; one answer each, in order. New orders go in one request."""
        before = [await self._before(claimed) for claimed in batch]
        new = [one for one, (settled, _) in zip(batch, before, strict=True) if not settled]
        sent = iter(await self.create([one.order for one in new]))
        return [made if settled else next(sent) for settled, made in before]

    async def create(self, orders: Sequence[WorkOrder]) -> list[Outcome]:
        """Send orders that are not there yet, as far as anybody knows."""
        if not orders:
            return []
        bug: Outcome = Uncertain("no answer before the deadline")
        try:
            async with asyncio.timeout(self._deadline_s):
                told = await self._erp.deliver(orders)
            if len(told) == len(orders):
                return told
            bug = Uncertain(f"the adapter answered {len(told)} times for {len(orders)} orders")
        except TimeoutError:
            pass
        except Misconfigured:
            raise
        except Exception as broken:  # noqa: BLE001  (against its contract; one order must not stop all the others)
            bug = self._failed(broken)
        return [bug for _ in orders]

    async def cancel(self, ref: ErpRef, order: WorkOrder, reason: str) -> Outcome:
        """Take an order back that the ERP has under this number."""
        if not self._erp.capabilities.cancels:
            return Rejected("the gateway cannot take orders back in this ERP")
        return await self._asked(lambda: self._erp.cancel(ref, order, reason))

    async def find(self, key: str) -> list[ErpRef]:
        """Look an order up. Raises `Unreachable` (`Failed` for a bug) or `Refused`."""
        try:
            async with asyncio.timeout(self._deadline_s):
                return await self._erp.find(key)
        except TimeoutError:
            raise Unreachable("no answer to the look-up") from None
        except (Unreachable, Refused, Misconfigured):
            raise
        except Exception as broken:
            raise Failed(self._failed(broken).cause) from broken

    async def _before(self, claimed: Claimed) -> tuple[bool, Made]:
        """Do what is not a new order, or look one up that may be there; (False, None) for one that has to be sent."""
        delivery, order = claimed.delivery, claimed.order
        ref = ErpRef(order.key, delivery.erp_number or "")
        match delivery.task:
            case "cancel":
                return True, await self._how_it_stands(ref, await self.cancel(ref, order, delivery.withdraw))
            case "amend":
                return True, await self._amend(ref, claimed)
        if delivery.withdraw:
            # Doubt about it has ended, or it was parked in doubt: what is not there now is not made any more. Before
            # the first attempt nothing of it ever left.
            return True, None if delivery.attempt <= 1 else (await self._known(claimed) or await self._undone(claimed))
        if delivery.attempt > 1 and self._asks_first(claimed) and (known := await self._known(claimed)) is not None:
            return True, known
        return False, None

    async def _how_it_stands(self, ref: ErpRef, told: Outcome) -> Outcome:
        """Ask how an order stands that is not taken back: because somebody has begun, or because it is over."""
        if not isinstance(told, Rejected):
            return told
        try:
            async with asyncio.timeout(self._deadline_s):
                return replace(told, stands=await self._erp.status(ref))
        except Exception as lost:  # noqa: BLE001  (the refusal stands, whatever comes of a question after it)
            log.info("delivery.state_unknown", erp=self._erp.name, order=ref.key, **aside.told(lost))
            return told

    async def _amend(self, ref: ErpRef, claimed: Claimed) -> Outcome:
        if not self._erp.capabilities.amends:
            return Rejected("the gateway cannot change orders in this ERP")
        before = claimed.sent or claimed.order
        return await self._asked(lambda: self._erp.amend(ref, before, claimed.order))

    async def _asked(self, ask: Callable[[], Awaitable[Outcome]]) -> Outcome:
        try:
            async with asyncio.timeout(self._deadline_s):
                return await ask()
        except TimeoutError:
            return Uncertain("no answer before the deadline")
        except Misconfigured:
            raise
        except Exception as broken:  # noqa: BLE001  (against its contract; one order must not stop all the others)
            return self._failed(broken)

    async def _known(self, claimed: Claimed) -> Outcome | None:
        """Look an order up that may be there; None when it is not.

        Doubt ends in reconciliation, but an order that was parked in doubt comes back here.
        """
        try:
            found = await self.find(claimed.order.key)
        except Failed as bug:
            return Uncertain(f"not sent before a look-up: {bug}")
        except Unreachable as lost:
            return unasked(lost, "not sent before a look-up: ")
        except Refused as no:
            return Rejected(f"not sent before a look-up: {no}"[:500])
        return Delivered(counting(found), created=False) if found else None

    async def _undone(self, claimed: Claimed) -> Made:
        """Take back what the first steps of an order made that never came to its last; None when nothing stands."""
        if not self._erp.capabilities.steps:
            return None
        half, why = ErpRef(claimed.order.key, ""), claimed.delivery.withdraw
        told = await self._asked(lambda: self._erp.cancel(half, claimed.order, why))
        return None if isinstance(told, Delivered) else told

    def _asks_first(self, claimed: Claimed) -> bool:
        """Say whether a second request may be a second order, or undo what a planner has changed."""
        promised, since = self._erp.capabilities, claimed.delivery.since
        forgotten = since is not None and not remembered(promised, since, self._ages)
        if promised.idempotency is Idempotency.HEADER and promised.replay_window is not None:
            return forgotten
        return forgotten or promised.overwrites or promised.idempotency is Idempotency.LOOKUP

    def _failed(self, bug: Exception) -> Uncertain:
        log.warning("delivery.adapter_failed", erp=self._erp.name, **aside.told(bug))
        return Uncertain(f"the adapter failed ({type(bug).__name__})")

    @property
    def _deadline_s(self) -> float:
        deadline: timedelta = self._erp.capabilities.deadline
        return deadline.total_seconds()
