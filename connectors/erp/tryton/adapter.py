"""The Tryton adapter: orders in, questions, changes and withdrawals."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import timedelta
from http import HTTPStatus
from typing import Any

import structlog

from connectors.erp.maker import maker
from connectors.erp.tryton.carrier import Meaning
from connectors.erp.tryton.check import Metadata, metadata, unfilled, wrong_fields, wrong_origins, wrong_rights
from connectors.erp.tryton.door import Domain, Door, Failed, Row
from connectors.erp.tryton.record import NoValue, Record
from connectors.erp.tryton.values import moment, same
from connectors.erp.tryton.withdraw import Withdrawals
from gateway.core.delivery import Capabilities, Delivered, ErpRef, Idempotency, Outcome, Rejected, Throttled, Unsent
from gateway.core.errors import Refused, Unreachable
from gateway.core.order import WorkOrder

log: structlog.stdlib.BoundLogger = structlog.get_logger()

_ASIDE_S = 10.0
"""Seconds for what comes beside an order: the fields or the record before it, its link behind it."""
_GRACE = timedelta(seconds=2)
_MOST_FOUND = 20


class Tryton:
    """A `gateway.core.ports.ErpAdapter`. Made by `Settings.open`; used in one event loop.

    Tryton's REST has no key for repeating and no precondition: doubt is ended by looking up, and between reading
    a record and changing it a planner's change of the same field in the same moment can be lost.
    """

    def __init__(self, door: Door, record: Record, *, timeout_s: float, settle_s: float, link: str | None) -> None:
        self._door, self._record, self._timeout_s, self._link = door, record, timeout_s, link
        self._model, self._carrier = record.shape.model, record.shape.carrier
        self._kinds: Mapping[str, str] | None = None
        self._withdrawals = Withdrawals(door, record)
        self._capabilities = Capabilities(
            idempotency=Idempotency.LOOKUP,
            # A withdrawal is the longest call: read, note, and each button.
            deadline=timedelta(seconds=timeout_s + 2 * _ASIDE_S) + _GRACE,
            settle=timedelta(seconds=settle_s),
            feedback="poll",
            amends=True,
            cancels=bool(record.shape.carrier.cancel),
        )

    @property
    def name(self) -> str:
        """The name in andon.toml."""
        return self._door.name

    @property
    def capabilities(self) -> Capabilities:
        """What this ERP promises."""
        return self._capabilities

    async def verify(self) -> list[str]:
        """Ask for the model's fields, our rights and every origin; name what is wrong. Raises `Unreachable`."""
        try:
            known = await metadata(self._door, self._model)
            faults = wrong_fields(known, self._record)
            faults += await unfilled(self._door, known, self._record)
            faults += await wrong_rights(self._door, self._record, links=self._link is not None)
            faults += await wrong_origins(self._door, self._record)
        except Refused as no:
            faults = [f"{no}; see base_url, database and model"]
        except Failed as lost:
            faults = [self._explained(lost)]
        else:
            self._learn(known)
        return [f"{self.name}: {fault}" for fault in faults]

    def _explained(self, lost: Failed) -> str:
        """Say what Tryton means by a status. Raises the failure again when it may pass."""
        match lost.status:
            case HTTPStatus.UNAUTHORIZED:
                return "the key is not accepted: is it of a validated user application for REST?"
            case HTTPStatus.INTERNAL_SERVER_ERROR:
                # Tryton has no better answer to a model that it does not know.
                return f"Tryton does not answer for the model {self._model}: is its module activated?"
        raise lost

    async def deliver(self, orders: Sequence[WorkOrder]) -> list[Outcome]:
        """Send each order once."""
        return [await self._deliver(order) for order in orders]

    async def _deliver(self, order: WorkOrder) -> Outcome:
        try:
            async with asyncio.timeout(_ASIDE_S):
                record = self._record.of(order, await self._types())
        except (Unreachable, TimeoutError) as lost:
            return _before("sent", lost)
        except (NoValue, Refused) as no:
            self._kinds = None  # the next attempt asks again: a module may have been activated meanwhile
            return Rejected(str(no)[:500])
        row = await self._door.write("POST", self._model, self._record.read, record)
        if not isinstance(row, dict):
            return self._doubted(row)
        ref = self._ref(row, order.key)
        await self._attach(row["id"], order.key)
        return Delivered(ref)

    async def find(self, key: str) -> list[ErpRef]:
        """Look an order up by our key, the oldest first. Raises `Unreachable` or `Refused`."""
        carrier = self._carrier
        if carrier.titled:
            domain: Domain = ["OR", [carrier.key_field, "like", f"%{key}%"]]
            if carrier.note_field:  # planners rewrite titles
                domain.append([carrier.note_field, "like", f"%[{key}]%"])
        else:
            domain = [carrier.key_field, "=", key]
        rows = await self._search([domain], _MOST_FOUND)
        # "Not found" leads to sending again: an answer to another question must not pass for it.
        if not all(self._holds(row, key) for row in rows):
            raise Refused(f"the ERP gave records without our key in {carrier.key_field}")
        return [self._ref(row, key) for row in rows]

    async def status(self, ref: ErpRef) -> ErpRef:
        """Read an order back by its number. Raises `Unreachable` or `Refused`."""
        return self._ref(await self._row(ref), ref.key)

    async def amend(self, ref: ErpRef, before: WorkOrder, after: WorkOrder) -> Outcome:
        """Change what differs between the two orders, except where a planner has changed it."""
        try:
            async with asyncio.timeout(_ASIDE_S):
                kinds = await self._types()
                was, wanted = self._record.of(before, kinds), self._record.of(after, kinds)
                row = await self._row(ref)
        except (Unreachable, TimeoutError) as lost:
            return _before("changed", lost)
        except (NoValue, Refused) as no:
            return Rejected(str(no)[:500])
        if self._meaning(row) in ("done", "cancelled"):
            return Rejected(f"it is {row.get('state')} in the ERP: nothing is changed any more")
        change, kept = _difference(was, wanted, row)
        if change:
            told = await self._door.write("PUT", f"{self._model}/{row['id']}", self._record.read, change)
            if not isinstance(told, dict):
                return self._doubted(told)
            row = told
        await self._attach(row["id"], ref.key)  # what was lost with a reply comes now
        return Delivered(self._ref(row, ref.key), created=False, kept=kept)

    async def cancel(self, ref: ErpRef, order: WorkOrder, reason: str) -> Outcome:
        """Take an order back that nobody has begun; a second call goes on where the first was cut."""
        if not self._carrier.cancel:
            return Rejected(f"nothing says how a {self._model} is taken back; see carrier.cancel")
        try:
            async with asyncio.timeout(_ASIDE_S):
                row = await self._row(ref)
        except (Unreachable, TimeoutError) as lost:
            return _before("taken back", lost)
        except Refused as no:
            return Rejected(str(no)[:500])
        if self._meaning(row) == "cancelled":
            return Delivered(self._ref(row, ref.key), created=False)
        # Bounded as a whole: every step may be done again.
        try:
            async with asyncio.timeout(self._timeout_s + _ASIDE_S):
                told = await self._withdrawals.go_on(row, order.key, reason)
        except TimeoutError:
            return Unsent("not taken back in time; it can be tried again")
        return Delivered(self._ref(told, ref.key), created=False) if isinstance(told, dict) else told

    async def close(self) -> None:
        """Close every connection. May be called twice."""
        await self._door.close()

    async def _attach(self, record: int, key: str) -> None:
        """Attach the link once. An order counts without it: a failure is told, and that is all."""
        link = self._link
        if link is None:
            return
        there = f"{self._model},{record}"
        try:
            async with asyncio.timeout(_ASIDE_S):
                if await self._door.search(
                    "ir.attachment", [["resource", "=", there], ["name", "=", key]], ["name"], 1
                ):
                    return
                body = {"name": key, "type": "link", "link": link.replace("{key}", key), "resource": there}
                told = await self._door.write("POST", "ir.attachment", ["name"], body)
        except (Unreachable, Refused, TimeoutError) as lost:
            log.warning("erp.link_not_attached", erp=self.name, order=key, why=str(lost) or "no answer")
            return
        if not isinstance(told, dict):
            log.warning("erp.link_not_attached", erp=self.name, order=key, why=type(told).__name__)

    def _doubted(self, outcome: Outcome) -> Outcome:
        # 500 is Tryton's answer to a field that has gone, too: ask for the fields before anything is sent again.
        self._kinds = None
        return outcome

    async def _types(self) -> Mapping[str, str]:
        """Give the type of each field; asked for once, and again after an answer that was no success."""
        if self._kinds is None:
            known = await metadata(self._door, self._model)
            faults = wrong_fields(known, self._record)
            if faults:
                raise Refused("; ".join(faults))
            return self._learn(known)
        return self._kinds

    def _learn(self, known: Metadata) -> Mapping[str, str]:
        self._kinds = {name: str(said.get("type")) for name, said in known.items()}
        return self._kinds

    async def _search(self, domain: Domain, limit: int) -> list[Row]:
        return await self._door.search(
            self._model, [*domain, ["company", "=", self._record.shape.company]], self._record.read, limit
        )

    async def _row(self, ref: ErpRef) -> Row:
        """Read the record of an order: by its number, for a planner may have changed the title.

        Numbers are not unique: a Tryton on SQLite gives one twice to orders that come at once (measured); our key is.
        """
        model, _, record = ref.number.rpartition(",")
        if model == self._model and record.isdecimal():
            rows = await self._search([["id", "=", int(record)]], 1)
        else:
            rows = await self._search([[self._carrier.number_field or "id", "=", ref.number]], _MOST_FOUND)
        if not rows:
            raise Refused(f"there is no {ref.number} in the ERP any more")
        ours = [row for row in rows if self._holds(row, ref.key)]
        if not ours and len(rows) > 1:
            raise Refused(f"{ref.number} stands for {len(rows)} records in the ERP, none of them with our key")
        return (ours or rows)[0]

    def _holds(self, row: Row, key: str) -> bool:
        if key in str(row.get(self._carrier.key_field)):
            return True
        # As our text ends with it; a planner's "see AN…" in another record does not make it ours.
        return bool(self._carrier.note_field) and f"[{key}]" in str(row.get(self._carrier.note_field))

    def _meaning(self, row: Row) -> Meaning:
        return self._carrier.states.get(str(row.get("state")), "unknown")

    def _ref(self, row: Row, key: str) -> ErpRef:
        carrier = self._carrier
        number = row.get(carrier.number_field) if carrier.number_field else None
        meaning = self._meaning(row)
        code = row.get(carrier.closing_field) if carrier.closing_field else None
        return ErpRef(
            key,
            str(number)[:64] if number else f"{self._model},{row['id']}",
            str(row.get("state") or "")[:64],
            version=moment(row.get("write_date")) or moment(row.get("create_date")),
            closing_code=str(code)[:64] if code and meaning == "done" else None,
            state=meaning,
            maker=maker(row.get("create_uid")),
        )


def _before(what: str, lost: Exception) -> Outcome:
    """Say what a question that failed means for an order of which nothing was sent yet."""
    told = f"not {what}: {str(lost) or 'no answer to the question before it'}"
    after = lost.after if isinstance(lost, Unreachable) else None
    if isinstance(lost, Failed) and lost.status == HTTPStatus.UNAUTHORIZED:
        return Throttled(after, f"{told}: the key is not accepted")
    return Unsent(told) if after is None else Throttled(after, told)


def _difference(was: Row, wanted: Row, present: Row) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Give what must be written, and the names of what somebody else has changed meanwhile."""
    change: dict[str, Any] = {}
    kept = []
    for name in sorted({*was, *wanted}):
        old, new = was.get(name), wanted.get(name)
        if same(old, new) or same(present.get(name), new):
            continue
        if same(present.get(name), old):
            change[name] = new
        else:
            kept.append(name)
    return change, tuple(kept)
