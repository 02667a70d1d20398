"""An order as SAP's quality management has it: a defect, with our key in its text or in a field of the plant's."""

from typing import Literal

import msgspec

from connectors.erp.maker import maker
from connectors.erp.sap.record import CREATED_BY, DEFECT, Row, defect_id, defect_of, etag_in
from connectors.erp.sap.records import NOBODY, Records
from connectors.erp.sap.session import Gone, Stale
from connectors.erp.sap.values import NoValueError, shortened
from gateway.core.delivery import Delivered, ErpRef, Outcome, Rejected, Uncertain
from gateway.core.errors import Refused
from gateway.core.order import WorkOrder

TEXT = "DefectText"
"""The one text of a defect, 40 characters: the service has no reference and no long text."""
_KEY_LENGTH = 20
_CHANGED_BY, _DELETED = "LastChangedByUser", "IsDeleted"


class DefectPlan(msgspec.Struct, frozen=True, kw_only=True):
    """What the settings say of defects; the same names as there."""

    work_types: frozenset[str]
    key_property: str
    status_property: str
    begun: tuple[str, ...]
    done: tuple[str, ...]
    closing_property: str
    delete: bool


class Defects:
    """Makes, finds, changes and takes back defects. Raises what `Records` raises."""

    def __init__(self, plan: DefectPlan, records: Records) -> None:
        self.plan, self._records = plan, records

    @property
    def parts(self) -> tuple[Records, ...]:
        """What is written to."""
        return (self._records,)

    def takes(self, order: WorkOrder) -> bool:
        """Say whether an order becomes a defect."""
        return order.work_type in self.plan.work_types

    async def faults(self) -> list[str]:
        """Name what is wrong with rights and mapping."""
        known = await self._records.learn()
        found = self._records.faults()
        if not known:
            return found
        plan = self.plan
        named = {"status_property": plan.status_property, "closing_property": plan.closing_property}
        found += [
            f"defects.{setting}: {DEFECT.service} has no such property as {name}"
            for setting, name in {**named, "key_property": plan.key_property}.items()
            if name and name not in known
        ]
        key = known.get(plan.key_property)
        if key is not None and not key.filterable:
            found.append(f"defects.key_property: SAP does not filter by {plan.key_property}; name another")
        if key is not None and key.longest is not None and key.longest < _KEY_LENGTH:
            found.append(f"defects.key_property: {plan.key_property} holds {key.longest} characters, a key has 20")
        if not found:
            await self.find(NOBODY)
        return found

    async def find(self, key: str) -> list[ErpRef]:
        """Give the defects under our key, the oldest first."""
        name = self.plan.key_property
        titled = name == TEXT
        rows = await self._records.found(f"startswith({name},'{key}') eq true" if titled else f"{name} eq '{key}'")
        # "Not found" leads to sending: an answer to another question must not pass for it.
        told = [str(row.get(name) or "") for row in rows]
        if not all(defect_of(row) for row in rows) or not all(
            one.split(" ")[0] == key if titled else one == key for one in told
        ):
            raise Refused(f"the ERP gave defects of another {name}")
        return sorted((self._ref(key, row) for row in rows), key=lambda ref: ref.number)

    async def make(self, order: WorkOrder) -> Outcome:
        """Make a defect that is not there."""
        made = await self._records.make(order.key, await self._fields(order))
        if isinstance(made, Outcome):
            return made
        if not defect_of(made):
            return Uncertain(f"the ERP answered without a {DEFECT.number}")
        return Delivered(self._ref(order.key, made))

    async def status(self, ref: ErpRef) -> ErpRef:
        """Read a defect back; one that is gone was deleted."""
        row = await self._row(ref)
        return self._ref(ref.key, row) if row is not None else _deleted(ref)

    async def amend(self, ref: ErpRef, before: WorkOrder, after: WorkOrder) -> Outcome:
        """Write the fields that changed."""
        now = await self.status(ref)
        if now.state in {"done", "cancelled"}:
            return Rejected(f"the defect is {now.state} ({now.status}); nothing was changed")
        was, new = await self._fields(before), await self._fields(after)
        told = await self._records.change(defect_id(ref.number), was, new)
        return told if isinstance(told, Outcome) else Delivered(now, created=False, kept=tuple(sorted(told)))

    async def cancel(self, ref: ErpRef) -> Outcome:
        """Delete a defect that nobody else has touched, where the settings allow it. Read anew once when stale."""
        if not self.plan.delete:
            return Rejected("a defect is not taken back; see defects.delete")
        for last in (False, True):
            row = await self._row(ref)
            now = self._ref(ref.key, row) if row is not None else _deleted(ref)
            if row is None or now.state == "cancelled":
                return Delivered(now, created=False)
            if now.state == "done" or self._begun(row):
                return Rejected(f"somebody has started: the defect is {now.status or 'changed by somebody else'}")
            rest = f"{DEFECT.entity}('{defect_id(ref.number)}')"
            try:
                told = await self._records.write("DELETE", rest, None, now.version)
            except Stale:
                if last:
                    raise
                continue
            return told if isinstance(told, Outcome) else Delivered(_deleted(ref), created=False)
        raise Stale

    async def _fields(self, order: WorkOrder) -> Row:
        fields = await self._records.fields(order)
        name = self.plan.key_property
        kind = (await self._records.known()).get(name)
        if kind is None:
            raise NoValueError(f"field {name}: SAP has no such property; see defects.key_property")
        if name != TEXT:
            return {**fields, name: order.key}
        return {**fields, TEXT: shortened(f"{order.key} {fields.get(TEXT, '')}".strip(), kind.longest)}

    async def _row(self, ref: ErpRef) -> Row | None:
        """Read a defect; None for one that is gone. A service that says nothing of any must not pass for that."""
        number = defect_id(ref.number)
        rows = await self._records.found(f"{DEFECT.number} eq '{number}'")
        if any(row.get(DEFECT.number) != number for row in rows):
            raise Refused(f"the ERP gave another defect than {number}")
        if rows:
            return rows[0]
        try:
            row, _ = await self._records.one(number)
        except Gone:
            return None
        return row

    def _ref(self, key: str, row: Row) -> ErpRef:
        plan = self.plan
        status = str(row.get(plan.status_property) or "") if plan.status_property else ""
        state: Literal["open", "done", "cancelled"] = "done" if status in plan.done else "open"
        if row.get(_DELETED) not in (None, "", False):
            state = "cancelled"
        code = str(row.get(plan.closing_property) or "") if plan.closing_property and state == "done" else ""
        number = f"{DEFECT.entity},{defect_of(row)}"
        return ErpRef(
            key,
            number,
            status[:64],
            version=etag_in(row),
            closing_code=code[:64] or None,
            state=state,
            maker=maker(row.get(CREATED_BY)),
        )

    def _begun(self, row: Row) -> bool:
        """Say whether somebody has begun: by the status, and by who changed it last."""
        by = str(row.get(_CHANGED_BY) or "")
        status = str(row.get(self.plan.status_property) or "") if self.plan.status_property else ""
        return status in self.plan.begun or by not in ("", str(row.get(CREATED_BY) or ""))


def _deleted(ref: ErpRef) -> ErpRef:
    return ErpRef(ref.key, ref.number, "deleted", state="cancelled")
