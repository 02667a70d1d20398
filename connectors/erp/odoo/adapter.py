"""The Odoo adapter: orders in, questions, changes and withdrawals."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

import msgspec

from connectors.erp.http import unasked
from connectors.erp.odoo import check
from connectors.erp.odoo.carrier import Carrier, carrier_of
from connectors.erp.odoo.door import Door, NotAccepted, Row, refused_load
from connectors.erp.odoo.fields import Kind, NoValueError, Value, same, written
from connectors.erp.odoo.filler import Filler, sends_machines
from connectors.erp.odoo.record import About, Plan, learn, ref_of, untouched, wanted
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
_MORE_CALLS = 2
"""Those of each further model: its records, and its load."""


class Odoo:
    """A `gateway.core.ports.ErpAdapter`. Made by `Settings.open`; used in one event loop.

    `load` writes over what a planner changed, so an order that is there already is never loaded again:
    every delivery looks for its external id first, over all models. A race of two loads still makes one record: an
    external id is one record's, whichever its model.
    """

    def __init__(self, plan: Plan, door: Door, now: Clock) -> None:
        self._plan, self._door, self._now = plan, door, now
        self._about: dict[str, About] = {}
        self._filler = Filler(plan, door)

    @property
    def name(self) -> str:
        """The name in andon.toml."""
        return self._plan.name

    @property
    def capabilities(self) -> Capabilities:
        """What this ERP promises, the same for each model. Its webhooks are unsigned and not repeated: it is asked.

        It takes orders back where one of the models can; an order in another is refused then.
        """
        calls = _CALLS + _MORE_CALLS * (len(self._plan.carriers) - 1)
        return Capabilities(
            idempotency=Idempotency.UPSERT,
            deadline=calls * timedelta(seconds=self._plan.timeout) + _GRACE,
            key_limit=64,
            batch=self._plan.batch,
            lane="asset",
            feedback="poll",
            amends=True,
            cancels=any(carrier.cancel for carrier in self._plan.carriers if carrier.work_types),
        )

    async def verify(self) -> list[str]:
        """Name what is wrong with key, rights, mapping, teams and equipment. Raises `Unreachable`."""
        faults: list[str] = []
        machines = False
        try:
            for carrier in self._plan.carriers:
                if not carrier.work_types:
                    continue
                try:
                    about = self._about[carrier.model] = await learn(self._door, carrier)
                    faults += await check.model_faults(self._door, carrier, about.kinds)
                except Refused as no:
                    faults.append(f"{carrier.place.rstrip('.')}: {no}" if carrier.place else str(no))
                    continue
                machines = machines or sends_machines(carrier, about)
            faults += await check.plant_faults(self._door, self._plan, machines=machines, now=self._now())
        except NotAccepted:
            faults = ["the API key is not accepted; has it expired, and is its scope rpc?"]
        except Refused as no:
            faults.append(str(no))
        return [type(fault)(f"{self.name}: {fault}") for fault in faults]

    async def deliver(self, orders: Sequence[WorkOrder]) -> list[Outcome]:
        """Make what is not there yet, one request for each model; rows of a refused batch are sent once more alone."""
        try:
            there = await self._there([order.key for order in orders])
        except (Unreachable, Refused) as no:
            return [_not_sent(no) for _ in orders]
        told: dict[str, Outcome] = {key: Delivered(ref, created=False) for key, ref in there.items()}
        for carrier in self._plan.carriers:
            told |= await self._make(carrier, [one for one in orders if one.key not in told and carrier.takes(one)])
        return [told[order.key] for order in orders]

    async def find(self, key: str) -> list[ErpRef]:
        """Look an order up by its external id. Raises `Unreachable` or `Refused`."""
        return list((await self._there([key])).values())

    async def status(self, ref: ErpRef) -> ErpRef:
        """Read a record back. Raises `Unreachable` or `Refused`."""
        carrier, row = await self._read(ref)
        return ref_of(carrier, ref.key, row, await self._known(carrier))

    async def amend(self, ref: ErpRef, before: WorkOrder, after: WorkOrder) -> Outcome:
        """Write the fields that changed, where Odoo still has what `before` says; the others are a planner's."""
        try:
            carrier, row = await self._read(ref)
            about = await self._known(carrier)
            await self._filler.meet(carrier, about, {order.asset for order in (before, after) if order.asset})
            was, new = (self._filler.values(carrier, order, about) for order in (before, after))
        except (Unreachable, Refused, NoValueError) as no:
            return _not_sent(no)
        now = ref_of(carrier, ref.key, row, about)
        if now.state in {"done", "cancelled"}:
            return Rejected(f"the {carrier.noun} is {now.state} ({now.status}); nothing was changed")
        differ = [name for name in {**was, **new} if was.get(name) != new.get(name)]
        open_ = [name for name in differ if not same(row.get(name), new.get(name), about.kinds[name])]
        ours = [name for name in open_ if same(row.get(name), was.get(name), about.kinds[name])]
        kept = tuple(sorted(set(open_) - set(ours)))
        if not ours:
            return Delivered(now, created=False, kept=kept)
        return await self._write(carrier, now, {name: new.get(name, False) for name in ours}, kept)

    async def cancel(self, ref: ErpRef, order: WorkOrder, reason: str) -> Outcome:  # noqa: ARG002  the port's
        """Take an order back while it is in the first stage, and say why in its description."""
        try:
            carrier, row = await self._read(ref)
            about = await self._known(carrier)
        except (Unreachable, Refused) as no:
            return _not_sent(no)
        now = ref_of(carrier, ref.key, row, about)
        if not carrier.cancel:
            return Rejected(f"no way to take an {carrier.noun} back is set up; see {carrier.place}cancel")
        if now.state == "cancelled":
            return Delivered(now, created=False)
        if now.state == "done" or not untouched(carrier, about, row):
            return Rejected(f"somebody has started: the {carrier.noun} is in stage {now.status!r}")
        change: dict[str, Value] = dict(carrier.cancel)
        if "description" in about.kinds:
            why = written("description", f"[{ref.key}] {reason}", Kind("html"))
            change["description"] = f"{row.get('description') or ''}<p>{why}</p>"
        return await self._write(carrier, now, change, ())

    async def close(self) -> None:
        """Close every connection. May be called twice."""
        await self._door.close()

    async def _make(self, carrier: Carrier, orders: Sequence[WorkOrder]) -> dict[str, Outcome]:
        """Make what becomes a record of one model; what is wrong with it is no other model's trouble."""
        if not orders:
            return {}
        try:
            about = await self._known(carrier)
            await self._filler.meet(carrier, about, {order.asset for order in orders if order.asset})
        except (Unreachable, Refused) as no:
            return {order.key: _not_sent(no) for order in orders}
        told: dict[str, Outcome] = {}
        batches: dict[tuple[str, ...], list[tuple[str, list[str]]]] = {}
        for order in orders:
            try:
                columns, row = self._filler.row(carrier, order, about)
            except NoValueError as no:
                told[order.key] = _not_sent(no)
                continue
            batches.setdefault(columns, []).append((order.key, row))
        for columns, rows in batches.items():
            told |= await self._load(carrier, columns, rows)
        return told

    async def _known(self, carrier: Carrier) -> About:
        if carrier.model not in self._about:
            self._about[carrier.model] = await learn(self._door, carrier)
        return self._about[carrier.model]

    async def _there(self, keys: list[str]) -> dict[str, ErpRef]:
        """Give what Odoo has under these keys, whichever the model."""
        domain: list[list[Any]] = [
            ["module", "=", self._plan.module],
            ["model", "in", [carrier.model for carrier in self._plan.carriers]],
            ["name", "in", keys],
        ]
        rows = await self._door.search("ir.model.data", domain, ["model", "name", "res_id"], len(keys))
        # "Not found" leads to sending: an answer to another question must not pass for it.
        if not {str(row.get("name")) for row in rows} <= set(keys):
            raise Refused("the ERP gave external ids that were not asked for")
        there: dict[str, ErpRef] = {}
        for carrier in self._plan.carriers:
            ids = {row.get("res_id"): str(row.get("name")) for row in rows if row.get("model") == carrier.model}
            if not ids:
                continue
            about = await self._known(carrier)
            domain = [["id", "in", list(ids)]]
            found = await self._door.search(carrier.model, domain, wanted(carrier, about), len(ids))
            there |= {ids[row["id"]]: ref_of(carrier, ids[row["id"]], row, about) for row in found if row["id"] in ids}
        return there

    async def _read(self, ref: ErpRef) -> tuple[Carrier, Row]:
        carrier, record = carrier_of(self._plan.carriers, ref.number)
        about = await self._known(carrier)
        rows = await self._door.search(carrier.model, [["id", "=", record]], wanted(carrier, about), 1)
        if not rows or rows[0]["id"] != record:
            raise Refused(f"there is no {carrier.noun} {record} in the ERP any more")
        return carrier, rows[0]

    async def _load(
        self, carrier: Carrier, columns: tuple[str, ...], rows: Sequence[tuple[str, list[str]]]
    ) -> dict[str, Outcome]:
        said = await self._door.change(carrier.model, "load", {"fields": columns, "data": [row for _, row in rows]})
        if isinstance(said, Outcome):
            return {key: said for key, _ in rows}
        no = refused_load(said)
        if no is None:
            ids: list[Any] = said["ids"]
            if len(ids) != len(rows):
                return {key: Uncertain(f"the ERP gave {len(ids)} ids for {len(rows)} orders") for key, _ in rows}
            return {key: Delivered(ErpRef(key, carrier.number(one))) for (key, _), one in zip(rows, ids, strict=True)}
        if not isinstance(no, Rejected) or len(rows) == 1:
            return {key: no for key, _ in rows}
        # All or nothing: one bad row must not keep the others out.
        told: dict[str, Outcome] = {}
        for row in rows:
            told |= await self._load(carrier, columns, [row])
        return told

    async def _write(
        self, carrier: Carrier, ref: ErpRef, change: Mapping[str, Value], kept: tuple[str, ...]
    ) -> Outcome:
        _, record = carrier_of(self._plan.carriers, ref.number)
        said = await self._door.change(carrier.model, "write", {"ids": [record], "vals": dict(change)})
        if isinstance(said, Outcome):
            return said
        try:
            return Delivered(await self.status(ref), created=False, kept=kept)
        except (Refused, Unreachable):
            # It is written; only its new version is not known.
            return Delivered(msgspec.structs.replace(ref, version=""), created=False, kept=kept)


def _not_sent(no: Unreachable | Refused | NoValueError) -> Outcome:
    """Say what it means for a write that a question before it was not answered."""
    if isinstance(no, NotAccepted):
        return Throttled(None, str(no))
    if isinstance(no, Unreachable):
        return unasked(no, f"not sent: {no}")
    return Rejected(f"not sent: {no}"[:500])
