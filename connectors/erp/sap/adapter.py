"""The SAP adapter: notification, then order; questions, changes by ETag, withdrawals."""

import hashlib
from collections.abc import Sequence
from datetime import datetime, timedelta
from email.utils import format_datetime
from typing import Any, Literal
from zoneinfo import ZoneInfo

import msgspec

from connectors.erp.http import unasked
from connectors.erp.mapping import Body
from connectors.erp.sap.check import wrong
from connectors.erp.sap.record import (
    LONG_TEXT,
    NOTIFICATION,
    NOTIFICATIONS,
    ORDER,
    ORDERS,
    REFERENCE,
    Row,
    digits,
    number_of,
    ref_of,
)
from connectors.erp.sap.session import NotAccepted, Outdated, Session, Stale
from connectors.erp.sap.values import NoValueError, Property, encoded, properties, same
from connectors.erp.sap.withdraw import Withdrawal
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
)
from gateway.core.errors import Refused, Unreachable
from gateway.core.order import WorkOrder
from gateway.core.ports import Clock

_GRACE = timedelta(seconds=2)
_CALLS = 10
"""Time-outs that one delivery may need: metadata twice, look-ups, two free sessions, tokens, notification, order."""
_NOBODY = "AN000000000000000000"
_MOST_MOMENTS = 10_000


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What the settings say of an SAP. Times in seconds. Without `orders` a notification is all."""

    name: str
    idempotency: Literal["auto", "header", "lookup"]
    replay_window: float
    settle: float
    timeout: float
    orders: bool
    cancel_action: str
    zone: ZoneInfo


class Sap:
    """A `gateway.core.ports.ErpAdapter`. Made by `Settings.open`; used in one event loop.

    A delivery looks for the notification by our key, and for the order from it, and makes what is missing: it
    may be broken off anywhere and called again. Each write has a RequestID of its own that depends on the key
    alone, so that an SAP that honours it carries a repeated write out once.
    """

    def __init__(self, plan: Plan, session: Session, notification: Body, order: Body, now: Clock) -> None:
        self._plan, self._session, self._now = plan, session, now
        self._bodies = {NOTIFICATIONS: notification, ORDERS: order}
        self._entities = {NOTIFICATIONS: NOTIFICATION, **({ORDERS: ORDER} if plan.orders else {})}
        self._withdrawal = Withdrawal(session, plan.cancel_action, orders=plan.orders)
        self._known: dict[str, dict[str, Property]] = {}
        self._moments: dict[str, datetime] = {}

    @property
    def name(self) -> str:
        """The name in andon.toml."""
        return self._plan.name

    @property
    def capabilities(self) -> Capabilities:
        """What this ERP promises; a RequestID counts once SAP said that it does."""
        plan = self._plan
        repeats = plan.idempotency == "header" or (plan.idempotency == "auto" and self._session.accepts is True)
        return Capabilities(
            idempotency=Idempotency.HEADER if repeats else Idempotency.LOOKUP,
            deadline=_CALLS * timedelta(seconds=plan.timeout) + _GRACE,
            replay_window=timedelta(seconds=plan.replay_window) if repeats else None,
            settle=timedelta(seconds=plan.settle),
            precondition="etag",
            feedback="poll",
            amends=True,
            cancels=bool(plan.cancel_action),
            steps=plan.orders,
        )

    async def verify(self) -> list[str]:
        """Name what is wrong with user, rights and mapping, and learn whether a RequestID counts.

        Writes nothing. Raises `Unreachable`.
        """
        faults: list[str] = []
        try:
            for service, entity in self._entities.items():
                await self._session.learn(service, self._repeats(_NOBODY, "verify"))
                known = self._known[service] = properties(await self._session.metadata(service), entity)
                faults += wrong(service, known, self._bodies[service])
            await self._notifications(_NOBODY)
        except NotAccepted as no:
            faults.append(str(no))
        except Refused as no:
            faults.append(str(no))
        if self._plan.idempotency == "header" and self._session.accepts is False:
            faults.append('SAP says that it does not support a RequestID; idempotency must be "lookup"')
        return [f"{self.name}: {fault}" for fault in faults]

    async def deliver(self, orders: Sequence[WorkOrder]) -> list[Outcome]:
        """Make what is not there yet of each order."""
        return [await self._safely(self._deliver(order)) for order in orders]

    async def find(self, key: str) -> list[ErpRef]:
        """Look orders up by our key, the oldest first; a notification without its order is not one yet.

        Raises `Unreachable` or `Refused`.
        """
        found: list[ErpRef] = []
        for row in await self._notifications(key):
            if not self._plan.orders:
                found.append(ref_of(key, row, NOTIFICATION))
                continue
            found += [ref_of(key, order, ORDER) for order in await self._orders(str(row[NOTIFICATION]))]
        return sorted(found, key=lambda ref: ref.number)

    async def status(self, ref: ErpRef) -> ErpRef:
        """Read an order back. Raises `Unreachable` or `Refused`."""
        service = ORDERS if self._plan.orders else NOTIFICATIONS
        row, etag = await self._session.one(service, self._entities[service], digits(ref.number))
        return ref_of(ref.key, row, self._entities[service], etag)

    async def amend(self, ref: ErpRef, before: WorkOrder, after: WorkOrder) -> Outcome:
        """Write the fields that changed, where SAP still has what `before` says, under the ETag that was read."""
        return await self._safely(self._amend(ref, before, after))

    async def cancel(self, ref: ErpRef, order: WorkOrder, reason: str) -> Outcome:  # noqa: ARG002  the port's
        """Close an order that nobody has begun, by the function import that the settings name."""
        return await self._safely(self._cancel(ref))

    async def close(self) -> None:
        """Close every connection. May be called twice."""
        await self._session.close()

    async def _safely(self, work: Any) -> Outcome:
        """Give what could not be asked, or was not sent, as an outcome."""
        try:
            outcome: Outcome = await work
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
        return outcome

    async def _deliver(self, order: WorkOrder) -> Outcome:
        bodies = {service: await self._body(service, order) for service in self._entities}
        known = await self._notifications(order.key)
        created = not known
        if known:
            number = str(known[0][NOTIFICATION])
        else:
            made = await self._make(order.key, NOTIFICATIONS, bodies[NOTIFICATIONS])
            if isinstance(made, Outcome):
                return made
            number = number_of(made, NOTIFICATION)
            if not number:
                return Uncertain("the ERP answered without a notification number")
            known = [made]
        if not self._plan.orders:
            return Delivered(ref_of(order.key, known[0], NOTIFICATION), created=created)
        there = [] if created else await self._orders(number)
        if there:
            return Delivered(ref_of(order.key, there[0], ORDER), created=False)
        told = await self._safely(self._order(order.key, number, bodies[ORDERS]))
        if created and isinstance(told, Throttled | Unsent):
            # It counts: what is withdrawn now has a notification, and what grew goes out as it began.
            return msgspec.structs.replace(told, partly=True)
        return told

    async def _order(self, key: str, number: str, body: Row) -> Outcome:
        made = await self._make(key, ORDERS, {**body, NOTIFICATION: number})
        if isinstance(made, Rejected):
            return Rejected(f"{made.reason}; its notification {number} is there"[:500])
        if isinstance(made, Outcome):
            return made
        if not number_of(made, ORDER):
            return Uncertain("the ERP answered without an order number")
        return Delivered(ref_of(key, made, ORDER))

    async def _make(self, key: str, service: str, body: Row) -> Row | Outcome:
        return await self._session.write("POST", service, self._entities[service], body, self._repeats(key, service))

    async def _amend(self, ref: ErpRef, before: WorkOrder, after: WorkOrder) -> Outcome:
        now = await self.status(ref)
        if now.state in {"done", "cancelled"}:
            return Rejected(f"the order is {now.state} ({now.status}); nothing was changed")
        numbers = {ORDERS: digits(ref.number)} if self._plan.orders else {NOTIFICATIONS: digits(ref.number)}
        if self._plan.orders:
            row, _ = await self._session.one(ORDERS, ORDER, numbers[ORDERS])
            numbers[NOTIFICATIONS] = digits(str(row.get(NOTIFICATION, "")))
        kept: set[str] = set()
        for service in self._entities:
            was, new = await self._body(service, before), await self._body(service, after)
            differ = {name: new.get(name) for name in {**was, **new} if was.get(name) != new.get(name)}
            told = await self._change(service, numbers[service], was, differ)
            if isinstance(told, Outcome):
                return told
            kept |= told
        return Delivered(await self._quietly(now), created=False, kept=tuple(sorted(kept)))

    async def _change(self, service: str, number: str, was: Row, differ: Row) -> set[str] | Outcome:
        """Write what is still ours; gives the fields that are a planner's. Read anew once when it changed meanwhile."""
        for last in (False, True):
            if not differ:
                return set()
            row, etag = await self._session.one(service, self._entities[service], number)
            open_ = {name: value for name, value in differ.items() if not same(row.get(name), value)}
            ours = {name: value for name, value in open_.items() if same(row.get(name), was.get(name))}
            kept = set(open_) - set(ours)
            if LONG_TEXT in kept and not row.get(LONG_TEXT):
                # It is for writing, and may not be shown: then it goes with what is surely new.
                kept.remove(LONG_TEXT)
                ours |= {LONG_TEXT: open_[LONG_TEXT]} if ours else {}
            if not ours:
                return kept
            try:
                told = await self._session.write(
                    "PATCH", service, f"{self._entities[service]}('{number}')", ours, {"if-match": etag}
                )
            except Stale:
                if last:
                    raise
                continue
            return told if isinstance(told, Outcome) else kept
        raise Stale

    async def _cancel(self, ref: ErpRef) -> Outcome:
        if not ref.number:
            return await self._withdrawal.half(ref.key, await self._notifications(ref.key))
        told = await self._withdrawal.whole(ref)
        return Delivered(await self._quietly(told.ref), created=False) if isinstance(told, Delivered) else told

    async def _quietly(self, ref: ErpRef) -> ErpRef:
        """Read an order back after a change; it is written even when that fails, only its version is not known."""
        try:
            return await self.status(ref)
        except (Refused, Unreachable):
            return msgspec.structs.replace(ref, version="")

    async def _body(self, service: str, order: WorkOrder) -> Row:
        if not self._known.get(service):
            self._known[service] = properties(await self._session.metadata(service), self._entities[service])
        body = self._bodies[service]
        return encoded(body.fields(order), body.rules, self._known[service], self._plan.zone)

    async def _notifications(self, key: str) -> list[Row]:
        rows = await self._session.rows(NOTIFICATIONS, NOTIFICATION, f"{REFERENCE} eq '{key}'", 2)
        # "Not found" leads to sending: an answer to another question must not pass for it.
        if any(row.get(REFERENCE) != key or not number_of(row, NOTIFICATION) for row in rows):
            raise Refused(f"the ERP gave notifications of another {REFERENCE}")
        return sorted(rows, key=lambda row: str(row[NOTIFICATION]))

    async def _orders(self, notification: str) -> list[Row]:
        rows = await self._session.rows(ORDERS, ORDER, f"{NOTIFICATION} eq '{notification}'", 2)
        if any(row.get(NOTIFICATION) != notification or not number_of(row, ORDER) for row in rows):
            raise Refused("the ERP gave orders of another notification")
        return sorted(rows, key=lambda row: str(row[ORDER]))

    def _repeats(self, key: str, step: str) -> dict[str, str]:
        """Give the headers that let SAP know a repeated write; its first moment stays while this process lives."""
        if len(self._moments) > _MOST_MOMENTS:
            self._moments.clear()
        at = self._moments.setdefault(key, self._now())
        name = hashlib.sha256(f"{key}|{step}".encode()).hexdigest()[:32].upper()
        return {"requestid": name, "repeatabilitycreation": format_datetime(at, usegmt=True)}
