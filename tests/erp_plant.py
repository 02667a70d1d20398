"""What the contract suite needs of an ERP: its trouble and its oracle (`Plant`), and the people at it (`Planner`)."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from time import monotonic
from typing import Any, ClassVar, Protocol

import msgspec

from gateway.core.delivery import Delivered, ErpRef, Idempotency, Outcome, Uncertain
from gateway.core.errors import Unreachable
from gateway.core.order import WorkOrder
from gateway.core.ports import ErpAdapter


class Plant(Protocol):
    """A running ERP. `faults` are those of `simulators.erp.faults`; `commits` counts in the ERP's own database.

    `state()` has at least "commits" (key -> how many), "faults" (each with "fired") and "token_requests".
    `down` closes its port for a while.
    """

    def faults(self, *rules: dict[str, Any], seed: int = 1) -> None: ...

    def state(self) -> dict[str, Any]: ...

    def commits(self, key: str) -> int: ...

    def down(self, seconds: float, mode: str = "closed") -> None: ...

    def until(self, seen: Callable[[dict[str, Any]], bool], seconds: float = 20.0) -> Awaitable[dict[str, Any]]: ...


class Planner:
    """A person at the ERP, who sees a record's fields as they are in its database and changes them.

    `touched` is a field that our orders fill and that a planner rewrites in these tests, by the name that
    `Delivered.kept` says; `other` one that `grown` changes, too, and that nobody else touches. A class for another
    ERP says what the methods do there. `closing` is what `finish` gives as closing code, None where the ERP
    has none.
    """

    touched: ClassVar[str] = "title"
    other: ClassVar[str] = "description"
    closing: ClassVar[str | None] = None

    def grown(self, order: WorkOrder) -> WorkOrder:
        """Give the next version of an order: both fields are others."""
        return msgspec.structs.replace(
            order, version=order.version + 1, title="M-07: it grew", description="It grew, see to it today.", priority=1
        )

    def fields(self, ref: ErpRef) -> dict[str, Any]:
        """Give the record's fields as they are now."""
        raise NotImplementedError

    def write(self, ref: ErpRef, text: str) -> None:
        """Rewrite the field `touched`."""
        raise NotImplementedError

    def begin(self, ref: ErpRef) -> None:
        """Begin the work."""
        raise NotImplementedError

    def finish(self, ref: ErpRef) -> None:
        """Close the order as done."""
        raise NotImplementedError

    def drop(self, ref: ErpRef) -> None:
        """Cancel the order."""
        raise NotImplementedError


async def resolve(erp: ErpAdapter, order: WorkOrder, outcome: Outcome) -> Delivered:
    """End a doubt as delivery does: by the same key where it is honoured, else by asking after `settle`."""
    deadline = monotonic() + 20
    while not isinstance(outcome, Delivered):
        assert monotonic() < deadline, outcome
        if isinstance(outcome, Uncertain) and erp.capabilities.idempotency is Idempotency.LOOKUP:
            found = await settled(erp, order.key)
            if found:
                return Delivered(found[0], created=False)
        [outcome] = await erp.deliver([order])
    return outcome


async def settled(erp: ErpAdapter, key: str) -> list[ErpRef]:
    """Ask until an order is found, or has had its time to come."""
    deadline = monotonic() + erp.capabilities.settle.total_seconds()
    while True:
        with suppress(Unreachable):
            found = await erp.find(key)
            if found or monotonic() > deadline:
                return found
        await asyncio.sleep(0.02)


def looked_up(erp: ErpAdapter) -> bool:
    """Say whether this ERP can be asked for an order by our key."""
    return erp.capabilities.idempotency is not Idempotency.NONE


def keyed(erp: ErpAdapter) -> bool:
    """Say whether a second request for the same order makes no second order."""
    return erp.capabilities.idempotency in (Idempotency.HEADER, Idempotency.UPSERT, Idempotency.CLIENT_ID)
