"""An ERP adapter around another one: what a wrapper does not change, it passes on."""

from collections.abc import Sequence

from gateway.core.delivery import Capabilities, ErpRef, Outcome
from gateway.core.order import WorkOrder
from gateway.core.ports import ErpAdapter


class Around:
    """Has an ERP adapter and is one. A wrapper inherits it, and writes down only what it does otherwise."""

    def __init__(self, inner: ErpAdapter) -> None:
        self._inner = inner

    @property
    def name(self) -> str:
        """The name in andon.toml."""
        return self._inner.name

    @property
    def capabilities(self) -> Capabilities:
        """What the ERP promises."""
        return self._inner.capabilities

    async def verify(self) -> list[str]:
        """Look."""
        return await self._inner.verify()

    async def deliver(self, orders: Sequence[WorkOrder]) -> list[Outcome]:
        """Send."""
        return await self._inner.deliver(orders)

    async def find(self, key: str) -> list[ErpRef]:
        """Ask by key."""
        return await self._inner.find(key)

    async def status(self, ref: ErpRef) -> ErpRef:
        """Ask by number."""
        return await self._inner.status(ref)

    async def amend(self, ref: ErpRef, before: WorkOrder, after: WorkOrder) -> Outcome:
        """Change."""
        return await self._inner.amend(ref, before, after)

    async def cancel(self, ref: ErpRef, order: WorkOrder, reason: str) -> Outcome:
        """Take back."""
        return await self._inner.cancel(ref, order, reason)

    async def close(self) -> None:
        """Close the adapter."""
        await self._inner.close()
