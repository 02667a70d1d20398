"""The ports to what is outside: an ERP or MES, and a receiver of events."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Protocol, runtime_checkable

from gateway.core.delivery import Capabilities, ErpRef, Outcome
from gateway.core.event import Event, Heeded
from gateway.core.order import WorkOrder
from gateway.core.way import Way


class ErpAdapter(Protocol):
    """One ERP or MES. Declares what it promises in `capabilities`; delivery knows only that.

    `deliver` sends each order at most once per call and answers with a value per order, in order, and
    never raises for what the ERP or the network does. It may be cancelled at any await: then nobody knows.
    `find` and `status` are questions: repeatable, raise `Unreachable` or `Refused`.

    `amend` writes what differs between the two versions and is still, in the ERP, what `before` made it: what a
    planner changed stays and is named in `Delivered.kept`. `cancel` takes back an order that nobody has begun; who
    has begun wins, and it is `Rejected`. Both answer as `deliver` does and may be called again after any
    answer; where `capabilities` do not promise them they are `Rejected`. `verify` names what is wrong with
    credentials, rights and mapping before the first order ([] when all is well; raises `Unreachable`).
    """

    @property
    def name(self) -> str: ...

    @property
    def capabilities(self) -> Capabilities: ...

    async def verify(self) -> list[str]: ...

    async def deliver(self, orders: Sequence[WorkOrder]) -> list[Outcome]: ...

    async def find(self, key: str) -> list[ErpRef]: ...

    async def status(self, ref: ErpRef) -> ErpRef: ...

    async def amend(self, ref: ErpRef, before: WorkOrder, after: WorkOrder) -> Outcome: ...

    async def cancel(self, ref: ErpRef, order: WorkOrder, reason: str) -> Outcome: ...

    async def close(self) -> None: ...


@runtime_checkable
class Tried(Protocol):
    """An ERP adapter that knows which of its ways are there. Asked by `andon check --live`, after `verify`.

    `ways` asks about an order that nobody has, and writes nothing. It names every way that the adapter has; one
    without proof never passes for right. Raises `Unreachable`.
    """

    async def ways(self) -> Sequence[Way]: ...


class EventSink(Protocol):
    """One receiver of events outside.

    `send` sends an event once and says what came of it; it never raises for what the receiver or the network does,
    ends by itself within `deadline`, and may be cancelled. The same event may be sent again: it keeps its id, by
    which a receiver knows that it has it. `at` is the time of the attempt. `place` names the address without
    showing it: another place, or the same one under another address, is another receiver.
    """

    @property
    def name(self) -> str: ...

    @property
    def place(self) -> str: ...

    @property
    def deadline(self) -> timedelta: ...

    async def send(self, event: Event, at: datetime) -> Heeded: ...

    async def close(self) -> None: ...
