"""An ERP adapter for an ERP that takes one order at a time: whoever else has one for it waits."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from gateway.core.delivery import ErpRef, Outcome, Unsent
from gateway.core.order import WorkOrder
from gateway.core.ports import ErpAdapter
from gateway.flow.around import Around


class Single(Around):
    """Delivery and reconciliation write through it, one request after the other.

    Who would wait for more than half a deadline has sent nothing and may come again. Questions pass at any time.
    """

    def __init__(self, inner: ErpAdapter) -> None:
        super().__init__(inner)
        self._turn = asyncio.Lock()

    async def deliver(self, orders: Sequence[WorkOrder]) -> list[Outcome]:
        """Send, when it is our turn."""
        told: list[Outcome] = [_LATE] * len(orders)
        if await self._mine():
            try:
                told = await self._inner.deliver(orders)
            finally:
                self._turn.release()
        return told

    async def amend(self, ref: ErpRef, before: WorkOrder, after: WorkOrder) -> Outcome:
        """Change, when it is our turn."""
        return await self._alone(lambda: self._inner.amend(ref, before, after))

    async def cancel(self, ref: ErpRef, order: WorkOrder, reason: str) -> Outcome:
        """Take back, when it is our turn."""
        return await self._alone(lambda: self._inner.cancel(ref, order, reason))

    async def _alone(self, ask: Callable[[], Awaitable[Outcome]]) -> Outcome:
        if not await self._mine():
            return _LATE
        try:
            return await ask()
        finally:
            self._turn.release()

    async def _mine(self) -> bool:
        try:
            async with asyncio.timeout(self.capabilities.deadline.total_seconds() / 2):
                return await self._turn.acquire()
        except TimeoutError:
            return False


_LATE = Unsent("another order was on its way for so long")


def single(erp: ErpAdapter) -> ErpAdapter:
    """Give the adapter, one order at a time where its ERP takes no more."""
    return Single(erp) if erp.capabilities.lane == "connection" else erp
