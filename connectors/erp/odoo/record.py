"""A request or an alert as Odoo gives it: its fields and stages, what they mean to us."""

from typing import Literal

import msgspec

from connectors.erp.odoo.carrier import Carrier
from connectors.erp.odoo.check import ATTRIBUTES
from connectors.erp.odoo.door import Door, Row
from connectors.erp.odoo.fields import Kind, kinds, same, stamp
from gateway.core.delivery import ErpRef
from gateway.core.errors import Refused


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What the settings say of an Odoo; the same names as there. `timeout` is in seconds."""

    name: str
    module: str
    key_name: str
    equipment_by: str
    equipment: dict[str, int]
    unknown_equipment: Literal["refuse", "leave_out"]
    carriers: tuple[Carrier, ...]
    batch: int
    timeout: float


class Stage(msgspec.Struct, frozen=True):
    """One stage; without `teams` it is everybody's."""

    id: int
    name: str
    done: bool
    teams: tuple[int, ...] = ()


class About(msgspec.Struct, frozen=True):
    """What an Odoo says of one model: its fields, and its stages in order."""

    kinds: dict[str, Kind]
    stages: tuple[Stage, ...]


async def learn(door: Door, carrier: Carrier) -> About:
    """Ask for the fields of a model and for its stages. Raises `Unreachable` and `Refused`."""
    known = await _fields(door, carrier.model)
    names = ["name", "sequence", "done"]
    if carrier.team_field and "team_ids" in await _fields(door, carrier.stages):
        names.append("team_ids")
    rows = await door.search(carrier.stages, [], names, 200)
    return About(known, tuple(_stage(row) for row in sorted(rows, key=_place)))


async def _fields(door: Door, model: str) -> dict[str, Kind]:
    try:
        return kinds(await door.ask(model, "fields_get", {"attributes": ATTRIBUTES}))
    except ValueError as no:
        raise Refused(f"{no}; is base_url an Odoo with JSON-2?") from no


def _stage(row: Row) -> Stage:
    teams = row.get("team_ids")
    own = tuple(team for team in teams if isinstance(team, int)) if isinstance(teams, list) else ()
    return Stage(row["id"], str(row.get("name")), bool(row.get("done")), own)


def _place(stage: Row) -> tuple[int, int]:
    told = stage.get("sequence")
    return told if isinstance(told, int) else 0, stage["id"]


def wanted(carrier: Carrier, about: About) -> list[str]:
    """Name the fields that are read back."""
    known = {"stage_id", "done", "write_date", "description", carrier.closing_field, carrier.team_field}
    return sorted((known | set(carrier.cancel) | set(carrier.body.rules)) & set(about.kinds))


def untouched(carrier: Carrier, about: About, row: Row) -> bool:
    """Say whether a record is in the first of its stages; where there are none, it is."""
    team = _id(row.get(carrier.team_field)) if carrier.team_field else 0
    first = next((stage.id for stage in about.stages if not stage.teams or team in stage.teams), None)
    return first is None or _id(row.get("stage_id")) == first


def ref_of(carrier: Carrier, key: str, row: Row, about: About) -> ErpRef:
    """Give a record as ours: its stage, what that means, and its closing code once it is done."""
    at = _id(row.get("stage_id"))
    name, done = next(((stage.name, stage.done) for stage in about.stages if stage.id == at), ("", False))
    gone = bool(carrier.cancel) and all(
        field in about.kinds and same(row.get(field), value, about.kinds[field])
        for field, value in carrier.cancel.items()
    )
    code = str(row.get(carrier.closing_field) or "") if carrier.closing_field else name
    return ErpRef(
        key,
        carrier.number(row["id"]),
        name[:64],
        version=str(row.get("write_date") or "") if stamp(row.get("write_date")) else "",
        closing_code=code[:64] or None if done else None,
        state="cancelled" if gone else "done" if done else "open",
    )


def _id(value: object) -> int:
    """Give the database id of a many2one as Odoo shows it; 0 for none."""
    told = value[0] if isinstance(value, list) and value else 0
    return told if isinstance(told, int) else 0
