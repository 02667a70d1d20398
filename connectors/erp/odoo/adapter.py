"""The Odoo adapter: orders in, questions, changes and withdrawals."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

import msgspec

from connectors.erp.http import unasked
from connectors.erp.mapping import Body
from connectors.erp.odoo import check
from connectors.erp.odoo.door import Door, NotAccepted, Row, refused_load
from connectors.erp.odoo.fields import Kind, NoValueError, Value, loaded, same, written
from connectors.erp.odoo.record import REQUEST_MODEL, About, Plan, learn, ref_of, wanted
from gateway.core.delivery import (
    Capabilities,
    Delivered,
    ErpRef,
    Idempotency,
    Outcome,
    Rejected,
    Throttled,
    Uncertain,
)
from gateway.core.errors import Refused, Unreachable
from gateway.core.order import WorkOrder
from gateway.core.ports import Clock

_GRACE = timedelta(seconds=2)
_CALLS = 4
"""Requests that one delivery may need before and for its `load`: external ids, records, equipment, the load."""
_MOST_KNOWN = 10_000


class Odoo:
    """A `gateway.core.ports.ErpAdapter`. Made by `Settings.open`; used in one event loop.

    `load` writes over what a planner changed, so an order that is there already is never loaded again:
    every delivery looks for its external id first. A race of two loads still makes one record.
    """

    def __init__(self, plan: Plan, door: Door, body: Body, now: Clock) -> None:
        self._plan, self._door, self._body, self._now = plan, door, body, now
        self._about: About | None = None
        self._machines: dict[str, int] = dict(plan.equipment)

    @property
    def name(self) -> str:
        """The name in andon.toml."""
        return self._plan.name

    @property
    def capabilities(self) -> Capabilities:
        """What this ERP promises. Its webhooks are unsigned and not repeated: it is asked."""
        return Capabilities(
            idempotency=Idempotency.UPSERT,
            deadline=_CALLS * timedelta(seconds=self._plan.timeout) + _GRACE,
            key_limit=64,
            batch=self._plan.batch,
            lane="asset",
            feedback="poll",
            amends=True,
            cancels=True,
        )

    async def verify(self) -> list[str]:
        """Name what is wrong with key, rights, mapping, teams and equipment. Raises `Unreachable`."""
        try:
            self._about = await learn(self._door)
            faults = await check.faults(self._door, self._plan, self._body.rules, self._about.kinds, self._now())
        except NotAccepted:
            faults = ["the API key is not accepted; has it expired, and is its scope rpc?"]
        except Refused as no:
            faults = [str(no)]
        return [type(fault)(f"{self.name}: {fault}") for fault in faults]

    async def deliver(self, orders: Sequence[WorkOrder]) -> list[Outcome]:
        """Make what is not there yet, in one request; rows of a refused batch are sent once more, each alone."""
        try:
            about = await self._known()
            there = await self._there([order.key for order in orders])
            await self._meet({order.asset for order in orders if order.asset and order.key not in there})
        except NotAccepted as no:
            return [Throttled(None, str(no)) for _ in orders]
        except Unreachable as lost:
            return [unasked(lost, f"not sent: {lost}") for _ in orders]
        except Refused as no:
            return [Rejected(f"not sent: {no}"[:500]) for _ in orders]
        told: dict[str, Outcome] = {key: Delivered(ref, created=False) for key, ref in there.items()}
        batches: dict[tuple[str, ...], list[tuple[str, list[str]]]] = {}
        for order in orders:
            if order.key in told:
                continue
            try:
                columns, row = self._row(order, about)
            except NoValueError as no:
                told[order.key] = Rejected(f"not sent: {no}"[:500])
                continue
            batches.setdefault(columns, []).append((order.key, row))
        for columns, rows in batches.items():
            told |= await self._load(columns, rows)
        return [told[order.key] for order in orders]

    async def find(self, key: str) -> list[ErpRef]:
        """Look a request up by its external id. Raises `Unreachable` or `Refused`."""
        return list((await self._there([key])).values())

    async def status(self, ref: ErpRef) -> ErpRef:
        """Read a request back. Raises `Unreachable` or `Refused`."""
        return ref_of(self._plan, ref.key, await self._read(ref), await self._known())

    async def amend(self, ref: ErpRef, before: WorkOrder, after: WorkOrder) -> Outcome:
        """Write the fields that changed, where Odoo still has what `before` says; the others are a planner's."""
        try:
            about = await self._known()
            await self._meet({order.asset for order in (before, after) if order.asset})
            row = await self._read(ref)
            was, new = self._values(before, about), self._values(after, about)
        except NotAccepted as no:
            return Throttled(None, str(no))
        except Unreachable as lost:
            return unasked(lost, f"not sent: {lost}")
        except (Refused, NoValueError) as no:
            return Rejected(str(no)[:500])
        now = ref_of(self._plan, ref.key, row, about)
        if now.state in {"done", "cancelled"}:
            return Rejected(f"the request is {now.state} ({now.status}); nothing was changed")
        differ = [name for name in {**was, **new} if was.get(name) != new.get(name)]
        open_ = [name for name in differ if not same(row.get(name), new.get(name), about.kinds[name])]
        ours = [name for name in open_ if same(row.get(name), was.get(name), about.kinds[name])]
        kept = tuple(sorted(set(open_) - set(ours)))
        if not ours:
            return Delivered(now, created=False, kept=kept)
        return await self._write(now, {name: new.get(name, False) for name in ours}, kept)

    async def cancel(self, ref: ErpRef, order: WorkOrder, reason: str) -> Outcome:  # noqa: ARG002  the port's
        """Take a request back while it is in the first stage, and say why in its description."""
        try:
            about = await self._known()
            row = await self._read(ref)
        except NotAccepted as no:
            return Throttled(None, str(no))
        except Unreachable as lost:
            return unasked(lost, f"not sent: {lost}")
        except Refused as no:
            return Rejected(str(no)[:500])
        now = ref_of(self._plan, ref.key, row, about)
        if now.state == "cancelled":
            return Delivered(now, created=False)
        first = about.stages[0][1] if about.stages else now.status
        if now.state == "done" or now.status != first:
            return Rejected(f"somebody has started: the request is in stage {now.status!r}")
        change: dict[str, Value] = dict(self._plan.cancel)
        if "description" in about.kinds:
            why = written("description", f"[{ref.key}] {reason}", Kind("html"))
            change["description"] = f"{row.get('description') or ''}<p>{why}</p>"
        return await self._write(now, change, ())

    async def close(self) -> None:
        """Close every connection. May be called twice."""
        await self._door.close()

    async def _known(self) -> About:
        if self._about is None:
            self._about = await learn(self._door)
        return self._about

    async def _meet(self, assets: set[str]) -> None:
        """Look equipment up that was not met before."""
        new = sorted(assets - set(self._machines))
        if not new or "equipment_id" not in self._body.rules:
            return
        by = self._plan.equipment_by
        rows = await self._door.search("maintenance.equipment", [[by, "in", new]], [by], 2 * len(new))
        if len(self._machines) > _MOST_KNOWN:
            self._machines = dict(self._plan.equipment)
        met = [str(row.get(by)) for row in rows]
        self._machines |= {str(row[by]): row["id"] for row in rows if met.count(str(row.get(by))) == 1}

    async def _there(self, keys: list[str]) -> dict[str, ErpRef]:
        """Give what Odoo has under these keys."""
        domain: list[list[Any]] = [
            ["module", "=", self._plan.module],
            ["model", "=", REQUEST_MODEL],
            ["name", "in", keys],
        ]
        rows = await self._door.search("ir.model.data", domain, ["name", "res_id"], len(keys))
        ids = {row.get("res_id"): str(row.get("name")) for row in rows}
        # "Not found" leads to sending: an answer to another question must not pass for it.
        if not set(ids.values()) <= set(keys):
            raise Refused("the ERP gave external ids that were not asked for")
        if not ids:
            return {}
        about = await self._known()
        found = await self._door.search(
            REQUEST_MODEL, [["id", "in", list(ids)]], wanted(self._plan, self._body.rules, about), len(ids)
        )
        return {ids[row["id"]]: ref_of(self._plan, ids[row["id"]], row, about) for row in found if row["id"] in ids}

    async def _read(self, ref: ErpRef) -> Row:
        about = await self._known()
        number = int(ref.number) if ref.number.isdecimal() else 0
        rows = await self._door.search(
            REQUEST_MODEL, [["id", "=", number]], wanted(self._plan, self._body.rules, about), 1
        )
        if not rows or rows[0]["id"] != number:
            raise Refused(f"there is no request {ref.number} in the ERP any more")
        return rows[0]

    def _values(self, order: WorkOrder, about: About) -> dict[str, Value]:
        """Give an order as `write` takes it. Raises `NoValueError`."""
        values: dict[str, Value] = {}
        for name, value in self._body.fields(order).items():
            kind = about.kinds.get(name)
            if kind is None:
                raise NoValueError(f"field {name}: {REQUEST_MODEL} has no such field; see mapping")
            if kind.relation == "maintenance.equipment" and self._body.rules[name].source is not None:
                machine = self._machines.get(str(value))
                if machine is not None:
                    values[name] = machine
                elif self._plan.unknown_equipment == "refuse":
                    by = self._plan.equipment_by
                    raise NoValueError(f"field {name}: the ERP has no equipment, or several, with {by} {value!r}")
                continue
            values[name] = written(name, value, kind)
        return values

    def _row(self, order: WorkOrder, about: About) -> tuple[tuple[str, ...], list[str]]:
        values = self._values(order, about)
        cells = [loaded(name, value, about.kinds[name]) for name, value in values.items()]
        columns = ("id", *(column for column, _ in cells))
        return columns, [f"{self._plan.module}.{order.key}", *(text for _, text in cells)]

    async def _load(self, columns: tuple[str, ...], rows: Sequence[tuple[str, list[str]]]) -> dict[str, Outcome]:
        said = await self._door.change(REQUEST_MODEL, "load", {"fields": columns, "data": [row for _, row in rows]})
        if isinstance(said, Outcome):
            return {key: said for key, _ in rows}
        no = refused_load(said)
        if no is None:
            ids: list[Any] = said["ids"]
            if len(ids) != len(rows):
                return {key: Uncertain(f"the ERP gave {len(ids)} ids for {len(rows)} orders") for key, _ in rows}
            return {key: Delivered(ErpRef(key, str(one))) for (key, _), one in zip(rows, ids, strict=True)}
        if not isinstance(no, Rejected) or len(rows) == 1:
            return {key: no for key, _ in rows}
        # All or nothing: one bad row must not keep the others out.
        told: dict[str, Outcome] = {}
        for row in rows:
            told |= await self._load(columns, [row])
        return told

    async def _write(self, ref: ErpRef, change: Mapping[str, Value], kept: tuple[str, ...]) -> Outcome:
        arguments = {"ids": [int(ref.number)], "vals": dict(change)}
        said = await self._door.change(REQUEST_MODEL, "write", arguments)
        if isinstance(said, Outcome):
            return said
        try:
            return Delivered(await self.status(ref), created=False, kept=kept)
        except (Refused, Unreachable):
            # It is written; only its new version is not known.
            return Delivered(msgspec.structs.replace(ref, version=""), created=False, kept=kept)
