"""The Frappe adapter: orders in, questions, changes under the time of change, withdrawals."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, Literal
from zoneinfo import ZoneInfo

import msgspec

from connectors.erp.frappe.carrier import Carrier, Meaning
from connectors.erp.frappe.check import About, about, faults, refused
from connectors.erp.frappe.door import Door, Duplicate, NotAccepted, Row, Stale
from connectors.erp.frappe.values import Kind, NoValueError, Value, added, same, written
from connectors.erp.keeper import RefreshKeeper
from connectors.erp.maker import maker
from connectors.erp.mapping import Body
from connectors.erp.markup import words
from connectors.erp.oauth import ClientCredentials
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

_GRACE = timedelta(seconds=2)
_CALLS = 5
"""Requests that one call may need: DocType, user, the document, the change, and once more after a stale one."""
_MOST_FOUND = 20
_ALWAYS = ("name", "owner", "modified", "docstatus")
_CANCELLED = 2


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What the settings say of a site; the same names as there. Seconds: `settle`, `timeout`."""

    name: str
    doctype: str
    identity: Literal["name", "field", "lookup"]
    key_field: str
    carrier: Carrier
    zone: ZoneInfo
    settle: float
    timeout: float


class Frappe:
    """A `gateway.core.ports.ErpAdapter`. Made by `Settings.open`; used in one event loop.

    With `identity` "name" the document's name is our key, with "field" a unique field holds it: a second one is
    refused, and read back. It is ours when our own user made it, or when our key stands in its text.
    """

    def __init__(self, plan: Plan, door: Door, body: Body, tokens: ClientCredentials | None) -> None:
        self._plan, self._door, self._body, self._auth = plan, door, body, tokens
        self._about: About | None = None
        sure = plan.identity != "lookup"
        self._capabilities = Capabilities(
            idempotency=Idempotency.CLIENT_ID if sure else Idempotency.LOOKUP,
            deadline=_CALLS * timedelta(seconds=plan.timeout) + _GRACE,
            key_limit=140,
            settle=timedelta(0) if sure else timedelta(seconds=plan.settle),
            precondition="timestamp",
            # Its webhooks are signed, and have neither an id nor a time: hints, as the poll is the news.
            feedback="unsigned",
            amends=True,
            cancels=bool(plan.carrier.cancel),
        )

    @property
    def name(self) -> str:
        """The name in andon.toml."""
        return self._plan.name

    @property
    def capabilities(self) -> Capabilities:
        """What this ERP promises."""
        return self._capabilities

    def keep_with(self, keeper: RefreshKeeper) -> None:
        """Keep the refresh token there, each time that it turns; called before the first request."""
        if self._auth is not None:
            self._auth.keep_with(keeper)

    async def verify(self) -> list[str]:
        """Name what is wrong with key or token, DocType, mapping, states and rights. Raises `Unreachable`."""
        plan = self._plan
        key_field = plan.key_field if plan.identity == "field" else ""
        try:
            await self._door.ready()
            known = self._about = await about(self._door, plan.doctype)
            found = await faults(self._door, plan.doctype, plan.carrier, self._body.rules, key_field, known, plan.zone)
            if plan.key_field and plan.key_field not in known.kinds and not key_field:
                found.append(f"key_field: {plan.doctype} has no field {plan.key_field}")
        except NotAccepted:
            found = ["key or token are not accepted; see api_key and api_secret, or the refresh token"]
        except Refused as no:
            found = [refused(no, plan.doctype)]
        return [f"{self.name}: {fault}" for fault in found]

    async def deliver(self, orders: Sequence[WorkOrder]) -> list[Outcome]:
        """Send each order once."""
        return [await self._deliver(order) for order in orders]

    async def _deliver(self, order: WorkOrder) -> Outcome:
        plan = self._plan
        try:
            known = await self._known()
            body = self._values(order, known)
        except (NotAccepted, Unreachable, Refused, NoValueError) as no:
            return _before("sent", no)
        if plan.key_field:
            body[plan.key_field] = order.key
        if plan.identity == "name":
            body["name"] = order.key
        try:
            told = await self._door.make(body)
        except Duplicate:
            return await self._met(order.key, known)
        return Delivered(self._ref(told, order.key)) if isinstance(told, dict) else told

    async def _met(self, key: str, known: About) -> Outcome:
        """Read back what is there already under our key."""
        try:
            rows = await self._rows(key, known)
        except Unreachable as lost:
            return Uncertain(f"the ERP has a document of this key, and could not be asked for it: {lost}")
        except Refused as no:
            return Rejected(f"the ERP has a document of this key, and does not show it: {no}"[:500])
        if not rows:
            return Rejected("the ERP refuses it as a duplicate, and shows no document of this key")
        if not self._is_ours(rows[0], key, known):
            return Rejected(
                f"{rows[0]['name']} in the ERP has our key, and neither our user made it nor is it in its text"
            )
        return Delivered(self._ref(rows[0], key), created=False)

    async def find(self, key: str) -> list[ErpRef]:
        """Look an order up by its name or the field with our key, the oldest first.

        Raises `Unreachable` or `Refused`.
        """
        known = await self._known()
        return [self._ref(row, key) for row in await self._rows(key, known)]

    async def status(self, ref: ErpRef) -> ErpRef:
        """Read an order back. Raises `Unreachable` or `Refused`."""
        return self._ref(await self._read(ref, await self._known()), ref.key)

    async def amend(self, ref: ErpRef, before: WorkOrder, after: WorkOrder) -> Outcome:
        """Write what differs and nobody has changed, under the time of change that was read; read anew once."""
        try:
            known = await self._known()
            was, new = self._values(before, known), self._values(after, known)
            for _ in range(2):
                row = await self._read(ref, known)
                now = self._ref(row, ref.key)
                if now.state in {"done", "cancelled"}:
                    return Rejected(f"it is {now.status or now.state} in the ERP: nothing is changed any more")
                change, kept = _difference(was, new, row, known.kinds)
                told = await self._written(now, change, kept)
                if told is not None:
                    return told
        except (NotAccepted, Unreachable, Refused, NoValueError) as no:
            return _before("changed", no)
        return Throttled(timedelta(seconds=1), "somebody else is changing it: it was changed in between, twice")

    async def cancel(self, ref: ErpRef, order: WorkOrder, reason: str) -> Outcome:  # noqa: ARG002  the port's
        """Take a draft back that nobody has begun, and say why in its text; read anew once."""
        carrier = self._plan.carrier
        if not carrier.cancel:
            return Rejected(f"nothing says how a {self._plan.doctype} is taken back; see carrier.cancel")
        try:
            known = await self._known()
            for _ in range(2):
                row = await self._read(ref, known)
                now = self._ref(row, ref.key)
                if now.state == "cancelled":
                    return Delivered(now, created=False)
                if now.status not in carrier.untouched or row.get("docstatus"):
                    begun = "submitted" if row.get("docstatus") else now.status
                    return Rejected(f"it is {begun} in the ERP: somebody has begun")
                change: dict[str, Value] = dict(carrier.cancel)
                note = known.kinds.get(carrier.note_field)
                if note is not None:
                    line = f"{_mark(ref.key)} {reason}"
                    change[carrier.note_field] = added(row.get(carrier.note_field), line, note)
                told = await self._written(now, change, ())
                if told is not None:
                    return told
        except (NotAccepted, Unreachable, Refused) as no:
            return _before("taken back", no)
        return Throttled(timedelta(seconds=1), "somebody else is changing it: it was changed in between, twice")

    async def close(self) -> None:
        """Close every connection. May be called twice."""
        await self._door.close()

    async def _known(self) -> About:
        if self._about is None:
            self._about = await about(self._door, self._plan.doctype)
        return self._about

    def _values(self, order: WorkOrder, known: About) -> dict[str, Value]:
        """Give an order as the document's fields. Raises `NoValueError`."""
        values: dict[str, Value] = {}
        for name, value in self._body.fields(order).items():
            kind = known.kinds.get(name)
            if kind is None:
                raise NoValueError(f"field {name}: {self._plan.doctype} has no such field; see mapping")
            values[name] = written(name, value, self._body.rules[name], kind, self._plan.zone)
        return values

    async def _written(self, now: ErpRef, change: Mapping[str, Value], kept: tuple[str, ...]) -> Outcome | None:
        """Write; None when somebody was faster."""
        if not change:
            return Delivered(now, created=False, kept=kept)
        try:
            told = await self._door.change(now.number, {**change, "modified": now.version})
        except Stale:
            return None
        return Delivered(self._ref(told, now.key), created=False, kept=kept) if isinstance(told, dict) else told

    async def _rows(self, key: str, known: About) -> list[Row]:
        field = "name" if self._plan.identity == "name" and not self._plan.key_field else self._plan.key_field
        rows = await self._door.search([[field, "=", key]], self._wanted(known), _MOST_FOUND)
        # "Not found" leads to sending: an answer to another question must not pass for it.
        if any(row.get(field) != key for row in rows):
            raise Refused(f"the ERP gave documents of another {field}")
        return rows

    async def _read(self, ref: ErpRef, known: About) -> Row:
        rows = await self._door.search([["name", "=", ref.number]], self._wanted(known), 1)
        if not rows and self._plan.key_field:  # a planner may rename a document
            rows = await self._rows(ref.key, known)
        if not rows:
            raise Refused(f"there is no {self._plan.doctype} {ref.number} in the ERP any more")
        return rows[0]

    def _wanted(self, known: About) -> list[str]:
        carrier = self._plan.carrier
        named = {carrier.status_field, carrier.note_field, carrier.closing_field, self._plan.key_field}
        return sorted({*_ALWAYS, *((named | set(self._body.rules) | set(carrier.cancel)) & set(known.kinds))})

    def _is_ours(self, row: Row, key: str, known: About) -> bool:
        if known.user and row.get("owner") == known.user:
            return True
        return any(f"[{key}]" in words(str(row.get(name) or "")) for name in self._body.rules)

    def _ref(self, row: Row, key: str) -> ErpRef:
        carrier = self._plan.carrier
        status = str(row.get(carrier.status_field) or "")
        meaning: Meaning = carrier.states.get(status, "unknown")
        # Closed by us because it was a false alarm is not closed by a planner who repaired something.
        ended = meaning == "done" and _mark(key) in str(row.get(carrier.note_field) or "")
        if row.get("docstatus") == _CANCELLED or ended:
            meaning = "cancelled"
        code = row.get(carrier.closing_field) if carrier.closing_field else None
        return ErpRef(
            key,
            str(row["name"]),
            status[:64],
            version=str(row.get("modified") or ""),
            closing_code=str(code)[:64] if code and meaning == "done" else None,
            state=meaning,
            maker=maker(row.get("owner")),
        )


def _difference(
    was: Mapping[str, Value], new: Mapping[str, Value], row: Mapping[str, Any], known: Mapping[str, Kind]
) -> tuple[dict[str, Value], tuple[str, ...]]:
    """Give what must be written, and the names of what somebody else has changed meanwhile."""
    differ = [name for name in {**was, **new} if was.get(name) != new.get(name)]
    open_ = [name for name in differ if not same(row.get(name), new.get(name), known[name])]
    ours = [name for name in open_ if same(row.get(name), was.get(name), known[name])]
    return {name: new.get(name, "") for name in ours}, tuple(sorted(set(open_) - set(ours)))


def _before(what: str, no: Exception) -> Outcome:
    """Say what a question that failed means for an order of which nothing was sent yet."""
    if isinstance(no, NotAccepted):
        return Throttled(None, str(no))
    if isinstance(no, Unreachable):
        told = f"not {what}: {no}"
        return Unsent(told) if no.after is None else Throttled(no.after, told)
    return Rejected(f"not {what}: {no}"[:500])


def _mark(key: str) -> str:
    return f"[{key} withdrawn]"
