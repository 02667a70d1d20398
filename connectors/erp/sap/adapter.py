"""The SAP adapter: which orders go to maintenance and which to quality management, and what became of a call."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from functools import partial
from typing import Literal

import msgspec

from connectors.erp.http import unasked
from connectors.erp.sap.defect import Defects
from connectors.erp.sap.maintenance import Maintenance
from connectors.erp.sap.record import is_defect
from connectors.erp.sap.session import Barred, Gone, NotAccepted, Outdated, Session, Stale
from connectors.erp.sap.values import NoValueError
from gateway.core.delivery import (
    Capabilities,
    Delivered,
    ErpRef,
    Idempotency,
    Outcome,
    Rejected,
    Throttled,
    Uncertain,
    counting,
)
from gateway.core.errors import Refused, Unreachable
from gateway.core.order import WorkOrder

_GRACE = timedelta(seconds=2)
_CALLS = 10
"""Time-outs that one delivery may need: metadata twice, look-ups, two free sessions, tokens, notification, order."""
_CALLS_FOR_DEFECTS = 2
"""Those beside: metadata of defects, and their look-up."""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What the settings say of an SAP. Times in seconds. `maintains`: some orders go to maintenance."""

    name: str
    idempotency: Literal["auto", "header", "lookup"]
    replay_window: float
    settle: float
    timeout: float
    orders: bool
    cancel_action: str
    maintains: bool


class Sap:
    """A `gateway.core.ports.ErpAdapter`. Made by `Settings.open`; used in one event loop.

    An order that is there already stays where it is, whatever the settings say now: every delivery looks everywhere
    first, also where no order goes any more and the user may still look, and a defect's number says that it is one.
    Where the settings name no defects nobody knows where in one our key would stand, and none is looked for.
    """

    def __init__(self, plan: Plan, session: Session, maintenance: Maintenance, defects: Defects | None) -> None:
        self._plan, self._session = plan, session
        self._maintenance, self._defects = maintenance, defects

    @property
    def name(self) -> str:
        """The name in andon.toml."""
        return self._plan.name

    @property
    def capabilities(self) -> Capabilities:
        """What this ERP promises, whichever the order: a RequestID counts once every service said that it does.

        It takes orders back where maintenance or quality can; one of the other is refused then.
        """
        plan = self._plan
        services = [part.kind.service for desk in self._desks for part in desk.parts]
        heard = all(self._session.accepts(service) is True for service in services)
        repeats = plan.idempotency == "header" or (plan.idempotency == "auto" and heard)
        calls = _CALLS + (_CALLS_FOR_DEFECTS if self._defects is not None else 0)
        return Capabilities(
            idempotency=Idempotency.HEADER if repeats else Idempotency.LOOKUP,
            deadline=calls * timedelta(seconds=plan.timeout) + _GRACE,
            replay_window=timedelta(seconds=plan.replay_window) if repeats else None,
            settle=timedelta(seconds=plan.settle),
            precondition="etag",
            feedback="poll",
            amends=True,
            cancels=bool(plan.cancel_action and plan.maintains) or bool(self._defects and self._defects.plan.delete),
            steps=plan.orders and plan.maintains,
        )

    async def verify(self) -> list[str]:
        """Name what is wrong with user, rights and mapping, and learn whether a RequestID counts.

        Writes nothing. Raises `Unreachable`.
        """
        faults: list[str] = []
        for desk in self._desks:
            try:
                faults += await desk.faults()
            except NotAccepted as no:
                faults.append(str(no))
                break
            except Refused as no:
                faults.append(f"defects: {no}" if desk is self._defects else str(no))
        services = [part.kind.service for desk in self._desks for part in desk.parts]
        if self._plan.idempotency == "header" and any(self._session.accepts(service) is False for service in services):
            faults.append('SAP says that it does not support a RequestID; idempotency must be "lookup"')
        return [f"{self.name}: {fault}" for fault in faults]

    async def deliver(self, orders: Sequence[WorkOrder]) -> list[Outcome]:
        """Make what is not there yet of each order."""
        return [await self._safely(partial(self._deliver, order)) for order in orders]

    async def find(self, key: str) -> list[ErpRef]:
        """Look orders up by our key, the oldest first; a notification without its order is not one yet.

        Raises `Unreachable` or `Refused`.
        """
        orders, _ = await self._maintained(key)
        return [*orders, *(await self._defects.find(key) if self._defects is not None else ())]

    async def status(self, ref: ErpRef) -> ErpRef:
        """Read an order back. Raises `Unreachable` or `Refused`."""
        return await self._desk(ref).status(ref)

    async def amend(self, ref: ErpRef, before: WorkOrder, after: WorkOrder) -> Outcome:
        """Write the fields that changed, where SAP still has what `before` says, under the ETag that was read."""
        return await self._safely(lambda: self._changed(ref, lambda: self._desk(ref).amend(ref, before, after)))

    async def cancel(self, ref: ErpRef, order: WorkOrder, reason: str) -> Outcome:  # noqa: ARG002  the port's
        """Take back an order that nobody has begun, as the settings say."""
        told = await self._safely(lambda: self._changed(ref, lambda: self._desk(ref).cancel(ref)))
        if isinstance(told, Delivered) and told.ref.version and told.ref.state not in {"cancelled", "done"}:
            return Rejected(f"SAP took it, and the order is {told.ref.status or 'as it was'} all the same")
        return told

    async def close(self) -> None:
        """Close every connection. May be called twice."""
        await self._session.close()

    @property
    def _desks(self) -> list[Maintenance | Defects]:
        """Give what orders go to, to be verified; what none goes to need not be there."""
        defects = [] if self._defects is None else [self._defects]
        return [self._maintenance, *defects] if self._plan.maintains else [*defects]

    def _desk(self, ref: ErpRef) -> Maintenance | Defects:
        if not is_defect(ref.number):
            return self._maintenance
        if self._defects is None:
            raise Refused(f"{ref.number[:40]!r} is a defect, and defects are not set up; see defects")
        return self._defects

    async def _deliver(self, order: WorkOrder) -> Outcome:
        if self._defects is None:
            return await self._maintenance.make(order)
        defects, mine = await self._defects.find(order.key), self._defects.takes(order)
        if not defects and not mine:
            # Maintenance looks itself, for notification and order apart.
            return await self._maintenance.make(order)
        orders, notifications = await self._maintained(order.key)
        if found := [*orders, *defects]:
            return Delivered(counting(found), created=False)
        half = next((ref.number for ref in notifications if ref.state not in {"done", "cancelled"}), "")
        if half:
            return Rejected(f"it was begun as notification {half}, without an order: complete it, or make its order")
        return await self._defects.make(order)

    async def _maintained(self, key: str) -> tuple[list[ErpRef], list[ErpRef]]:
        """Give what maintenance has under our key, orders and notifications.

        Where no order goes to it, and there is none or it is not for this user, nothing of ours is seen there.
        """
        try:
            return await self._maintenance.looked(key)
        except (Gone, Barred):
            if self._plan.maintains:
                raise
            return [], []

    async def _changed(self, ref: ErpRef, change: Callable[[], Awaitable[Outcome]]) -> Outcome:
        """Change an order, and read it back; it is changed even when that fails, only its version is not known."""
        told = await change()
        if not isinstance(told, Delivered) or not ref.number:
            return told
        try:
            now = await self.status(told.ref)
        except (Refused, Unreachable):
            now = msgspec.structs.replace(told.ref, version="")
        return msgspec.structs.replace(told, ref=now)

    async def _safely(self, ask: Callable[[], Awaitable[Outcome]]) -> Outcome:
        """Give what could not be asked, or was not sent, as an outcome."""
        try:
            return await ask()
        except NotAccepted as no:
            return Throttled(None, str(no))
        except Unreachable as lost:
            return unasked(lost, f"not sent: {lost}")
        except (Refused, NoValueError) as no:
            return Rejected(f"{no}"[:500])
        except Stale:
            return Throttled(timedelta(seconds=1), "the ERP answered 412: it was changed in between, twice")
        except Outdated:
            return Uncertain("SAP carried this RequestID out before and no longer knows the result")
