"""Work orders, and production orders, to a receiver of jobs; the JobOrderID is ours, so a job is made once."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, Literal

from connectors.erp.jobcontrol.link import Failed, Link
from connectors.erp.jobcontrol.order import Job, Jobs, made_of, of_production, same
from connectors.erp.jobcontrol.states import CANNOT_ACCEPT, NO_ERROR, UNKNOWN_ID, UNTOUCHED, says, state_of, top, words
from gateway.core.delivery import (
    Capabilities,
    Delivered,
    ErpRef,
    Idempotency,
    Outcome,
    ProductionOrder,
    Rejected,
    Throttled,
    Uncertain,
    Unsent,
)
from gateway.core.errors import Refused, Unreachable
from gateway.core.order import WorkOrder

Way = Literal["Store", "StoreAndStart"]
_MOST_WITHDRAWN = 10_000


class JobControl:
    """A `gateway.core.ports.ErpAdapter` and a `gateway.core.production.JobReceiver`; used in one event loop.

    A job that is refused because it is there already is read back from the receiver's list and counts as delivered.
    """

    def __init__(
        self,
        name: str,
        link: Link,
        jobs: Jobs,
        *,
        orders: Way,
        production: Way,
        deadline: timedelta,
        remembers: timedelta,
        closing: str,
    ) -> None:
        self._name, self._link, self._jobs = name, link, jobs
        self._orders, self._production, self._closing = orders, production, closing
        self._withdrawn: dict[str, None] = {}
        self._capabilities = Capabilities(
            idempotency=Idempotency.CLIENT_ID,
            deadline=deadline,
            key_limit=64,
            replay_window=remembers,
            feedback="poll",
            amends=True,
            cancels=True,
        )

    @property
    def name(self) -> str:
        """The name in andon.toml."""
        return self._name

    @property
    def capabilities(self) -> Capabilities:
        """What a receiver of jobs promises."""
        return self._capabilities

    @property
    def deadline(self) -> timedelta:
        """The longest time of one call."""
        return self._capabilities.deadline

    async def verify(self) -> list[str]:
        """Connect, find the receiver and read its list; name what is wrong. Raises `Unreachable`."""
        try:
            place = await self._link.place()
            await self._link.count()
        except Refused as no:
            return [f"{self.name}: {no}"]
        wanted = {self._orders: "orders", self._production: "production"}
        return [
            f"{self.name}: the receiver has no method {method}; see {setting}"
            for method, setting in wanted.items()
            if method not in place.nodes
        ]

    async def deliver(self, orders: Sequence[WorkOrder]) -> list[Outcome]:
        """Send each order once."""
        return [await self._send(self._orders, self._jobs.of(order)) for order in orders]

    async def produce(self, order: ProductionOrder) -> Outcome:
        """Hand over a production order; see `JobReceiver`."""
        return await self._send(self._production, of_production(order))

    async def find(self, key: str) -> list[ErpRef]:
        """Look for a job in the receiver's list, and among its responses. Raises `Unreachable` and `Refused`."""
        listed = await self._listed(key)
        if listed is not None:
            return [self._ref(key, listed["State"])]
        response = await self._link.response(key)
        return [] if response is None else [self._ref(key, response["JobState"], response)]

    async def job(self, order_id: str) -> ErpRef | None:
        """Ask how the job of a production order stands; see `JobReceiver`."""
        found = await self.find(order_id)
        return found[0] if found else None

    async def status(self, ref: ErpRef) -> ErpRef:
        """Ask how a job stands; one that is neither listed nor answered for is unknown. Raises as `find` does."""
        listed = await self._listed(ref.key)
        states = None if listed is None else listed["State"]
        response = None
        if states is None or state_of(top(states)) in {"done", "cancelled"}:
            response = await self._link.response(ref.key)
        if states is None and response is None:
            if ref.key in self._withdrawn:
                return ErpRef(ref.key, ref.number, "Cancelled", state="cancelled")
            return ErpRef(ref.key, ref.number, "not listed")
        return self._ref(ref.key, states if states is not None else (response or {})["JobState"], response)

    async def amend(self, ref: ErpRef, before: WorkOrder, after: WorkOrder) -> Outcome:
        """Update a job that nobody has begun; a field that is not as `before` made it stays."""
        try:
            listed = await self._listed(ref.key)
        except (Unreachable, Refused) as lost:
            return _question(lost)
        if listed is None:
            return Rejected("the receiver does not list the job any more")
        name = top(listed["State"])
        if name not in UNTOUCHED:
            return Rejected(f"it is {name} at the receiver: somebody has begun")
        was, wanted, held = self._jobs.of(before), self._jobs.of(after), listed["JobOrder"]
        job, kept = merged(was, wanted, held)
        here = ErpRef(ref.key, ref.number, name, state=state_of(name))
        if all(same(job, held, field) for field in {*job, *held}):
            return Delivered(here, created=False, kept=kept)
        try:
            status = await self._link.call("Update", "JobOrder", job, "")
        except Failed as failed:
            return failed.outcome
        if says(status, NO_ERROR):
            return Delivered(here, created=False, kept=kept)
        return Rejected(f"the ERP answered {words(status)}")

    async def cancel(self, ref: ErpRef, order: WorkOrder, reason: str) -> Outcome:
        """Take back a job that nobody has begun. The receiver itself refuses it once somebody has."""
        del order
        gone = Delivered(ErpRef(ref.key, ref.number, "Cancelled", state="cancelled"), created=False)
        try:
            status = await self._link.call("Cancel", "", ref.key, reason)
        except Failed as failed:
            return failed.outcome
        if says(status, NO_ERROR):
            return self._gone(gone)
        try:
            listed = await self._listed(ref.key)
        except (Unreachable, Refused) as lost:
            return _question(lost)
        if listed is None:
            # Cancel removes what it cancels: this is what a second call finds.
            return self._gone(gone) if says(status, UNKNOWN_ID) else Rejected(f"the ERP answered {words(status)}")
        name = top(listed["State"])
        if state_of(name) == "cancelled":
            return Delivered(self._ref(ref.key, listed["State"]), created=False)
        begun = "" if name in UNTOUCHED else ": somebody has begun"
        return Rejected(f"it is {name} at the receiver{begun} ({words(status)})")

    async def close(self) -> None:
        """End the session. May be called twice."""
        await self._link.close()

    async def _send(self, method: Way, job: Job) -> Outcome:
        key = str(job["JobOrderID"])
        try:
            status = await self._link.call(method, "JobOrder", job, "")
        except Failed as failed:
            return failed.outcome
        if says(status, NO_ERROR):
            name = "AllowedToStart" if method == "StoreAndStart" else "NotAllowedToStart"
            return Delivered(ErpRef(key, key, name, state="open"))
        refused = Rejected(f"the ERP answered {words(status)}")
        try:
            listed = await self._listed(key)
            full = says(status, CANNOT_ACCEPT) and listed is None and await self._full()
        except (Unreachable, Refused) as lost:
            return Uncertain(f"{refused.reason}, and its list cannot be read: {lost}")
        if full:
            return Throttled(None, "the receiver holds as many jobs as it can")
        if listed is None:
            return refused
        other = made_of(listed["JobOrder"])
        if other[0] and other != made_of(job):
            return Rejected(f"the receiver has another job under this id: {other[1]:g} of {other[0]}"[:500])
        return Delivered(self._ref(key, listed["State"]), created=False)

    def _gone(self, told: Delivered) -> Delivered:
        """Remember what was taken back: the receiver itself forgets it."""
        self._withdrawn[told.ref.key] = None
        while len(self._withdrawn) > _MOST_WITHDRAWN:
            del self._withdrawn[next(iter(self._withdrawn))]
        return told

    async def _full(self) -> bool:
        most = await self._link.room()
        return most is not None and await self._link.count() >= most

    async def _listed(self, key: str) -> dict[str, Any] | None:
        return await self._link.job(key)

    def _ref(self, key: str, states: Sequence[Mapping[str, Any]], response: Mapping[str, Any] | None = None) -> ErpRef:
        name = top(states)
        code = None
        if self._closing and response is not None:
            found = [one for one in response.get("JobResponseData") or () if one["ID"] == self._closing]
            code = str(found[0]["Value"].Value)[:64] if found else None
        return ErpRef(key, key, name[:64], closing_code=code, state=state_of(name))


def merged(was: Job, wanted: Job, held: Job) -> tuple[Job, tuple[str, ...]]:
    """Give the job to write: what differs between two versions, but for fields that somebody changed since.

    Their names come second. A receiver that lists no more than the id is taken at our word.
    """
    if set(held) == {"JobOrderID"}:
        return wanted, ()
    job, kept = dict(held), []
    for field in {*was, *wanted}:
        if same(was, wanted, field):
            continue
        if not same(was, held, field) and not same(wanted, held, field):
            kept.append(field)
        elif field in wanted:
            job[field] = wanted[field]
        else:
            job.pop(field, None)
    return job, tuple(sorted(kept))


def _question(lost: Unreachable | Refused) -> Outcome:
    """Say what a question that was not answered means: nothing was changed yet."""
    return Rejected(str(lost)[:500]) if isinstance(lost, Refused) else Unsent(str(lost))
