"""The REST adapter: orders in, questions, changes and withdrawals, all as its plan says."""

from collections.abc import Sequence
from datetime import timedelta
from http import HTTPStatus
from time import monotonic
from typing import Any

from connectors.erp.keeper import RefreshKeeper
from connectors.erp.mapping import Body
from connectors.erp.oauth import ClientCredentials
from connectors.erp.rest import check
from connectors.erp.rest.batch import opened, packed
from connectors.erp.rest.change import Changer
from connectors.erp.rest.door import Door, Said
from connectors.erp.rest.look import Look
from connectors.erp.rest.plan import CALLS, Batch, Plan
from connectors.erp.rest.record import dig, foreign, last_part
from connectors.erp.rest.ways import ways
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
from gateway.core.way import Way

_GRACE = timedelta(seconds=2)


class Rest:
    """A `gateway.core.ports.ErpAdapter`. Made by a `Settings.open`; used in one event loop."""

    def __init__(self, plan: Plan, door: Door, body: Body, tokens: ClientCredentials | None) -> None:
        self._plan, self._door, self._body, self._tokens = plan, door, body, tokens
        self._reader = Look(plan, door)
        self._changer = Changer(plan, door, body, self._reader)

    @property
    def name(self) -> str:
        """The name in andon.toml."""
        return self._plan.name

    @property
    def capabilities(self) -> Capabilities:
        """What this ERP promises."""
        plan = self._plan
        replays = plan.idempotency is Idempotency.HEADER and plan.replay_window is not None
        return Capabilities(
            idempotency=plan.idempotency,
            deadline=CALLS * timedelta(seconds=plan.timeout) + _GRACE,
            replay_window=timedelta(seconds=plan.replay_window or 0) if replays else None,
            settle=timedelta(seconds=plan.settle),
            overwrites=plan.overwrites,
            batch=plan.batch.size if plan.batch is not None else 1,
            ordered=plan.batch is not None and plan.batch.ordered,
            lane=plan.lane,
            precondition=plan.precondition,
            feedback=plan.feedback,
            amends=plan.amend is not None,
            cancels=plan.cancel is not None,
        )

    def keep_with(self, keeper: RefreshKeeper) -> None:
        """Keep the refresh token there, each time that it turns; called before the first request."""
        if self._tokens is not None:
            self._tokens.keep_with(keeper)

    async def verify(self) -> list[str]:
        """Try credentials, a look-up that finds nothing and the harmless request; compare the mapping with metadata.

        Raises `Unreachable`.
        """
        faults = await check.credentials(self._tokens)
        if not faults:
            try:
                faults = [
                    *await self._asked(),
                    *await check.described(self._door, self._plan.metadata, self._body.rules),
                ]
            except Unreachable as lost:
                if "401" not in str(lost):
                    raise
                faults = ["the token is not accepted; see audience and scope" if self._tokens else f"{lost}; see auth"]
        return [f"{self.name}: {fault}" for fault in faults]

    async def ways(self) -> list[Way]:
        """Try the addresses at which orders are made, read, changed and taken back. Raises `Unreachable`."""
        return await ways(self._plan, self._door)

    async def _asked(self) -> list[str]:
        faults = []
        if self._plan.find is not None:
            try:
                await self._reader.rows(check.NOBODY)
            except Refused as no:
                faults.append(f"orders cannot be looked up at {self._plan.find.path}: {no}")
        if self._plan.probe is not None:
            faults += await check.harmless(self._door, self._plan.probe, self._plan.create.method, self._body)
        return faults

    async def deliver(self, orders: Sequence[WorkOrder]) -> list[Outcome]:
        """Send each order once; several in one request where the ERP takes that.

        A request that was refused as a whole made nothing: then each order goes alone, while there is time.
        """
        batch, began = self._plan.batch, monotonic()
        told: list[Outcome] = []
        if batch is not None and len(orders) > 1:
            for at in range(0, len(orders), batch.size):
                told += await self._together(batch, orders[at : at + batch.size], began)
            return told
        return await self._each(orders, began)

    async def _alone(self, order: WorkOrder, began: float) -> Outcome:
        if monotonic() - began > (CALLS - 2) * self._plan.timeout:
            return Unsent("no time was left for it in this call")
        return await self._safely(self._create(order))

    async def _together(self, batch: Batch, orders: Sequence[WorkOrder], began: float) -> list[Outcome]:
        body = packed(batch, [(order.key, self._body.fields(order)) for order in orders])
        said = await self._door.write(batch, {}, body, {})
        if isinstance(said, Outcome):
            return [said for _ in orders]
        if HTTPStatus.OK <= said.status < HTTPStatus.MULTIPLE_CHOICES:
            parts = opened(batch, self._plan.record, said, len(orders))
            if parts is None:
                return [Uncertain(f"the ERP answered {said.status} without a word on each order") for _ in orders]
            return [await self._safely(self._answered(*one)) for one in zip(orders, parts, strict=True)]
        told = self._door.outcome(said, creates=True)
        if not isinstance(told, Rejected):
            return [told for _ in orders]
        return await self._each(orders, began)

    async def _each(self, orders: Sequence[WorkOrder], began: float) -> list[Outcome]:
        """Send each alone; none of an asset whose last one is not settled."""
        told: list[Outcome] = []
        waiting: set[str] = set()
        for order in orders:
            if order.lane in waiting:
                told.append(Unsent("it stands behind another order of its asset"))
                continue
            told.append(await self._alone(order, began))
            if not isinstance(told[-1], Delivered | Rejected):
                waiting.add(order.lane)
        return told

    async def _create(self, order: WorkOrder) -> Outcome:
        said = await self._door.write(self._plan.create, {"key": order.key}, self._body.of(order), {})
        return said if isinstance(said, Outcome) else await self._answered(order, said)

    async def _answered(self, order: WorkOrder, said: Said) -> Outcome:
        create = self._plan.create
        if said.status in create.made or said.status in create.there:
            return await self._made(order.key, said)
        if said.status in create.taken or self._says_taken(said):
            return await self._taken(order, said)
        return self._door.outcome(said, creates=True)

    async def _made(self, key: str, said: Said) -> Outcome:
        """Read what was made out of the answer; an answer without a word is followed by a look."""
        again = said.header("idempotent-replayed").lower() == "true" or said.status in self._plan.create.there
        ref = self._reader.ref(said, key)
        if ref is None and said.empty and self._plan.record.number_header:
            ref = ErpRef(key, last_part(said.header(self._plan.record.number_header))[:64], version=said.header("etag"))
        if (ref is None or not ref.number) and said.empty and self._plan.find is not None:
            try:
                found = await self.find(key)
            except (Unreachable, Refused) as lost:
                return Uncertain(f"the ERP answered {said.status}, and its number is not known: {lost}"[:500])
            ref = found[0] if found else None
        if ref is None or not ref.number:
            return Uncertain(f"the ERP answered {said.status} without a number")
        shown = dig(dig(said.body, self._plan.record.at), self._plan.record.key) if self._plan.record.key else None
        if shown not in (None, "", key):
            return Uncertain(f"the ERP answered {said.status} with another order; see reference_field")
        return Delivered(ref, created=not again)

    def _says_taken(self, said: Said) -> bool:
        words = self._plan.create.taken_words
        if not words or not HTTPStatus.BAD_REQUEST <= said.status < HTTPStatus.INTERNAL_SERVER_ERROR:
            return False
        text = said.answer.body.decode("utf-8", "replace")
        return any(one in text for one in words)

    async def _taken(self, order: WorkOrder, said: Said) -> Outcome:
        """Look whether it is our order that is there already."""
        told = f"the ERP answered {said.status}: it is there already"
        values = {"key": order.key, "number": order.key, "id": order.key}
        try:
            found = (await self._reader.rows(order.key)) or [
                await self._reader.read(ErpRef(order.key, order.key), values)
            ]
        except Unreachable as lost:
            return Uncertain(f"{told}, and cannot be read: {lost}"[:500])
        except Refused as no:
            return Uncertain(f"{told}, and was not found: {no}"[:500])
        seen = found[0]
        key = dig(seen.row, self._plan.record.key) if self._plan.record.key else None
        wanted, shown = self._changer.wanted(order), self._changer.shown(seen.row)
        differ: tuple[str, ...] = ()
        if key not in (None, ""):
            differ = () if key == order.key else (self._plan.record.key,)
        elif not self._keyed:
            differ = foreign(order.key, wanted, shown, self._body.rules)
        if differ:
            return Rejected(f"{told} as another order; it differs in {', '.join(differ)}"[:500])
        return Delivered(seen.ref, created=False)

    @property
    def _keyed(self) -> bool:
        """Say whether a record is asked for by an address that nobody else's order has: one with our key in it."""
        find = self._plan.find
        return find is not None and find.single and "{key" in find.path

    async def find(self, key: str) -> list[ErpRef]:
        """Look an order up by our key, the oldest first. Raises `Unreachable` or `Refused`."""
        return [seen.ref for seen in await self._reader.rows(key)]

    async def status(self, ref: ErpRef) -> ErpRef:
        """Read an order back by its number. Raises `Unreachable` or `Refused`."""
        return (await self._reader.read(ref)).ref

    async def amend(self, ref: ErpRef, before: WorkOrder, after: WorkOrder) -> Outcome:
        """Write the fields that changed, where the ERP still has what `before` says; the others are a planner's."""
        amend = self._plan.amend
        if amend is None:
            return Rejected("orders are not changed in this ERP")
        return await self._safely(self._changer.amend(amend, ref, before, after))

    async def cancel(self, ref: ErpRef, order: WorkOrder, reason: str) -> Outcome:  # noqa: ARG002  the port's
        """Take back an order that nobody has begun."""
        cancel = self._plan.cancel
        if cancel is None:
            return Rejected("orders are not taken back in this ERP")
        return await self._safely(self._changer.cancel(cancel, ref, reason))

    async def close(self) -> None:
        """Close every connection. May be called twice."""
        if self._tokens is not None:
            await self._tokens.close()
        await self._door.close()

    async def _safely(self, work: Any) -> Outcome:
        """Give what could not be asked, or was not sent, as an outcome."""
        try:
            outcome: Outcome = await work
        except Unreachable as lost:
            return Unsent(f"not sent: {lost}") if lost.after is None else Throttled(lost.after, str(lost))
        except Refused as no:
            return Rejected(f"{no}"[:500])
        return outcome
