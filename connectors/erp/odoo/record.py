"""A maintenance request as Odoo gives it: its fields and stages, what they mean to us."""

from collections.abc import Iterable
from typing import Literal

import msgspec

from connectors.erp.odoo.check import ATTRIBUTES, REQUEST_MODEL
from connectors.erp.odoo.door import Door, Row
from connectors.erp.odoo.fields import Kind, kinds, same, stamp
from gateway.core.delivery import ErpRef
from gateway.core.errors import Refused

__all__ = ["REQUEST_MODEL", "About", "Plan", "learn", "ref_of", "wanted"]


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What the settings say of an Odoo; the same names as there. `timeout` is in seconds."""

    name: str
    module: str
    key_name: str
    equipment_by: str
    equipment: dict[str, int]
    unknown_equipment: Literal["refuse", "leave_out"]
    cancel: dict[str, str | int | bool]
    closing_field: str
    batch: int
    timeout: float


class About(msgspec.Struct, frozen=True):
    """What an Odoo says of itself: the fields of a request, and its stages in order (id, name, done)."""

    kinds: dict[str, Kind]
    stages: tuple[tuple[int, str, bool], ...]


async def learn(door: Door) -> About:
    """Ask for the fields of a request and for its stages. Raises `Unreachable` and `Refused`."""
    try:
        known = kinds(await door.ask(REQUEST_MODEL, "fields_get", {"attributes": ATTRIBUTES}))
    except ValueError as no:
        raise Refused(f"{no}; is base_url an Odoo with JSON-2?") from no
    rows = await door.search("maintenance.stage", [], ["name", "sequence", "done"], 200)
    ordered = sorted(rows, key=_place)
    return About(known, tuple((row["id"], str(row.get("name")), bool(row.get("done"))) for row in ordered))


def _place(stage: Row) -> tuple[int, int]:
    told = stage.get("sequence")
    return told if isinstance(told, int) else 0, stage["id"]


def wanted(plan: Plan, mapped: Iterable[str], about: About) -> list[str]:
    """Name the fields that are read back."""
    known = {"stage_id", "done", "write_date", "description", plan.closing_field, *plan.cancel}
    return sorted((known | set(mapped)) & set(about.kinds))


def ref_of(plan: Plan, key: str, row: Row, about: About) -> ErpRef:
    """Give a request as ours: its stage, what that means, and its closing code once it is done."""
    stage = row.get("stage_id")
    at = stage[0] if isinstance(stage, list) and stage else 0
    name, done = next(((name, done) for one, name, done in about.stages if one == at), ("", False))
    gone = bool(plan.cancel) and all(
        field in about.kinds and same(row.get(field), value, about.kinds[field]) for field, value in plan.cancel.items()
    )
    code = str(row.get(plan.closing_field) or "") if plan.closing_field else name
    return ErpRef(
        key,
        str(row["id"]),
        name[:64],
        version=str(row.get("write_date") or "") if stamp(row.get("write_date")) else "",
        closing_code=code[:64] or None if done else None,
        state="cancelled" if gone else "done" if done else "open",
    )
