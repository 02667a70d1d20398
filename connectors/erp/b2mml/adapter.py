"""Work orders as job orders of B2MML: the ID is ours, so a second one is refused and read back."""

from collections.abc import Sequence
from datetime import timedelta
from http import HTTPStatus
from typing import Any

from connectors.erp.b2mml.message import OURS, Json, Messages, acknowledged, merged, parameter, shown
from connectors.erp.b2mml.words import OPEN, Verb, faults, meaning, word
from connectors.erp.http import refusal
from connectors.erp.keeper import RefreshKeeper
from connectors.erp.oauth import ClientCredentials
from connectors.erp.rest import check
from connectors.erp.rest.door import Door, Said
from connectors.erp.rest.plan import CALLS, Call
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

_NOBODY = "AN000000000000000000"
_GRACE = timedelta(seconds=2)


def longest_call(timeout_s: float) -> timedelta:
    """Say after which time one call is surely over."""
    return CALLS * timedelta(seconds=timeout_s) + _GRACE


class B2mml:
    """A `gateway.core.ports.ErpAdapter`. Made by `Settings.open`; used in one event loop."""

    def __init__(
        self,
        name: str,
        door: Door,
        tokens: ClientCredentials | None,
        messages: Messages,
        *,
        path: str,
        each: bool,
        closing: str,
        timeout_s: float,
        remembers: timedelta | None,
        now: Clock,
    ) -> None:
        self._name, self._door, self._tokens, self._messages = name, door, tokens, messages
        self._path, self._each, self._closing, self._now = path, each, closing, now
        self._capabilities = Capabilities(
            idempotency=Idempotency.CLIENT_ID,
            deadline=longest_call(timeout_s),
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
        """What a MES that takes our IDs promises."""
        return self._capabilities

    def keep_with(self, keeper: RefreshKeeper) -> None:
        """Keep the refresh token there, each time that it turns; called before the first request."""
        if self._tokens is not None:
            self._tokens.keep_with(keeper)

    async def verify(self) -> list[str]:
        """Try the credentials and a question that finds nothing. Raises `Unreachable`."""
        found = await check.credentials(self._tokens)
        if not found:
            try:
                await self._rows(_NOBODY)
            except Refused as no:
                found = [f"job orders cannot be asked for at {self._path}: {no}"]
            except Unreachable as lost:
                if "401" not in str(lost):
                    raise
                found = [f"{lost}; see auth"]
        return [f"{self.name}: {fault}" for fault in found]

    async def deliver(self, orders: Sequence[WorkOrder]) -> list[Outcome]:
        """Send each order once, as a message of its own."""
        return [await self._deliver(order) for order in orders]

    async def find(self, key: str) -> list[ErpRef]:
        """Ask for a job order by its ID. Raises `Unreachable` and `Refused`."""
        return [self._ref(key, row) for row in await self._rows(key)]

    async def status(self, ref: ErpRef) -> ErpRef:
        """Ask how a job order stands. Raises `Unreachable` and `Refused`, also when it is not there."""
        return self._ref(ref.key, await self._row(ref.key))

    async def amend(self, ref: ErpRef, before: WorkOrder, after: WorkOrder) -> Outcome:
        """Change what differs; a field that is not as `before` made it stays."""
        row = await self._asked(ref.key)
        if not isinstance(row, dict):
            return row
        here = self._ref(ref.key, row)
        if here.state != "open":
            return Rejected(f"it is {here.status} in the ERP: it is not changed any more")
        news, kept = merged(self._messages.job(before), self._messages.job(after), row)
        if not news:
            return Delivered(here, created=False, kept=kept)
        job = {"ID": ref.key, "Version": str(after.version), **news}
        told = await self._tell("Change", job, f"{ref.key}-{after.version}")
        return Delivered(here, created=False, kept=kept) if told is None else told

    async def cancel(self, ref: ErpRef, order: WorkOrder, reason: str) -> Outcome:
        """Take back a job order that nobody has begun; the ERP is asked first, and may still refuse."""
        row = await self._asked(ref.key)
        if not isinstance(row, dict):
            return row
        here = self._ref(ref.key, row)
        if here.state == "cancelled":
            return Delivered(here, created=False)
        if here.status not in OPEN:
            return Rejected(f"it is {here.status} in the ERP: somebody has begun")
        told = await self._tell("Cancel", {"ID": ref.key}, f"{ref.key}-{order.version}-cancel", reason)
        if told is not None:
            return told
        return Delivered(ErpRef(ref.key, ref.number, "Cancelled", state="cancelled"), created=False)

    async def close(self) -> None:
        """Close every connection. May be called twice."""
        if self._tokens is not None:
            await self._tokens.close()
        await self._door.close()

    async def _deliver(self, order: WorkOrder) -> Outcome:
        job = self._messages.job(order)
        wrong = next(faults({"JobOrder": [job]}), None)
        if wrong is not None:
            return Rejected(f"it cannot be said in B2MML: {wrong}"[:500])
        told = await self._tell("Process", job, f"{order.key}-{order.version}")
        if told is None:
            return Delivered(ErpRef(order.key, order.key, "Pending", state="open"))
        if not isinstance(told, Rejected):
            return told
        # A refusal may be that of our second request: what is there counts.
        try:
            rows = await self._rows(order.key)
        except Unreachable as lost:
            return Uncertain(f"{told.reason}, and whether it is there cannot be read: {lost}"[:500])
        except Refused:
            return told
        if not rows:
            return told
        if not _ours(job, rows[0]):
            return Rejected(f"{told.reason}: our ID is there as another job order"[:500])
        return Delivered(self._ref(order.key, rows[0]), created=False)

    async def _tell(self, verb: Verb, job: Json, bod: str, reason: str = "") -> Outcome | None:
        """Send a message that changes something; None when it was accepted."""
        said = await self._send(verb, job, bod, reason)
        if not isinstance(said, Said):
            return said
        if not HTTPStatus.OK <= said.status < HTTPStatus.MULTIPLE_CHOICES:
            return self._door.outcome(said, creates=verb == "Process")
        answer = acknowledged(said.body, bod)
        if answer.accepted is None:
            return Uncertain(f"the ERP answered {said.status} without an acknowledgement")
        if answer.accepted:
            return None
        return Rejected(f"the ERP answered Rejected: {answer.reason}" if answer.reason else "the ERP answered Rejected")

    async def _rows(self, key: str) -> list[Json]:
        said = await self._send("Get", {"ID": key}, f"{key}-get")
        if not isinstance(said, Said):
            raise Unreachable(f"{self.name}: {getattr(said, 'cause', said)}")
        if not HTTPStatus.OK <= said.status < HTTPStatus.MULTIPLE_CHOICES:
            raise refusal(said.answer, self._now())
        found = shown(said.body, key)
        if found is None:
            raise Refused(f"the ERP answered {said.status} without a ShowJobList")
        return found

    async def _row(self, key: str) -> Json:
        rows = await self._rows(key)
        if not rows:
            raise Refused("the job order is not there")
        return rows[0]

    async def _asked(self, key: str) -> Json | Outcome:
        """Read a job order before it is changed; an outcome when it cannot be: nothing was sent then."""
        try:
            return await self._row(key)
        except Unreachable as lost:
            return Throttled(lost.after, str(lost)) if lost.after is not None else Unsent(str(lost))
        except Refused as no:
            return Rejected(str(no)[:500])

    async def _send(self, verb: Verb, job: Json, bod: str, reason: str = "") -> Said | Outcome:
        message = self._messages.of(verb, [job], bod, self._now(), reason)
        path = f"{self._path}/{verb}JobList" if self._each else self._path
        return await self._door.write(Call(method="POST", path=path), {}, message, {})

    def _ref(self, key: str, row: Json) -> ErpRef:
        status = word(row.get("DispatchStatus"))[:64]
        code = parameter(row, self._closing) if self._closing else None
        return ErpRef(key, key, status, closing_code=code, state=meaning(status))


def _ours(job: Json, row: Json) -> bool:
    """Say whether a row under our ID is our order, whatever people made of it: one of its fields is as we wrote it."""
    told = [name for name in OURS if name in job and name in row]
    return not told or any(_alike(job[name], row[name]) for name in told)


def _alike(one: Any, other: Any) -> bool:
    return bool(one == other)
