"""What can be wrong before the first order: fields, selections, rights, teams, equipment, the key's end."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Protocol

from connectors.erp.odoo.carrier import Carrier
from connectors.erp.odoo.door import GROUPS, Door
from connectors.erp.odoo.fields import Kind, NoValueError, kinds, stamp, written
from gateway.core.advice import Advice
from gateway.core.errors import Refused

ATTRIBUTES = ["type", "required", "readonly", "relation", "selection"]
EQUIPMENT_MODEL = "maintenance.equipment"
_SOON = timedelta(days=14)
_KEYS = "res.users.apikeys"


class Wanted(Protocol):
    """What is asked of the settings."""

    @property
    def key_name(self) -> str: ...  # noqa: D102

    @property
    def equipment_by(self) -> str: ...  # noqa: D102

    @property
    def equipment(self) -> Mapping[str, int]: ...  # noqa: D102


async def model_faults(door: Door, carrier: Carrier, known: Mapping[str, Kind]) -> list[str]:
    """Name everything that is wrong with one model. Raises `Unreachable` and `Refused`."""
    found = _fields(carrier, known)
    extra = [*carrier.cancel, *([carrier.closing_field] if carrier.closing_field else [])]
    found += [
        f"{carrier.model} has no field {name!r}; see {carrier.place}cancel and {carrier.place}closing_field"
        for name in extra
        if name not in known
    ]
    found += await _rights(door, carrier)
    return found + await _records(door, carrier, known)


async def plant_faults(door: Door, wanted: Wanted, *, machines: bool, now: datetime) -> list[str]:
    """Name what is wrong with the right to look orders up, with equipment (where `machines` are sent), and the key."""
    # Every delivery looks for its external id: who may not read them gets a refusal here.
    await door.search("ir.model.data", [["module", "=", "andon"]], ["name"], 1)
    found = await _equipment(door, wanted) if machines else []
    return found + await _key(door, wanted.key_name, now)


def _fields(carrier: Carrier, known: Mapping[str, Kind]) -> list[str]:
    found = []
    for name, rule in carrier.body.rules.items():
        kind, place = known.get(name), f"{carrier.place}mapping.{name}"
        if kind is None:
            found.append(f"{place}: {carrier.model} has no such field")
            continue
        if kind.readonly:
            found.append(f"{place}: can only be read")
        if kind.type == "many2one" and rule.constant is None and kind.relation != EQUIPMENT_MODEL and not rule.values:
            found.append(f"{place}: wants a database id of {kind.relation}; give a constant, or values")
        for value in (*rule.values.values(), *([] if rule.constant is None else [rule.constant])):
            try:
                written(name, value, kind)
            except NoValueError as no:
                found.append(f"{place}: {no}")
    return found


async def _rights(door: Door, carrier: Carrier) -> list[str]:
    given = {
        right: await door.ask(carrier.model, "has_access", {"operation": right})
        for right in ("read", "create", "write")
    }
    return [
        f"the key's user may not {right} {carrier.model}; it needs {GROUPS[carrier.model]}"
        for right, may in given.items()
        if may is False
    ]


async def _records(door: Door, carrier: Carrier, known: Mapping[str, Kind]) -> list[str]:
    """Name the records that a constant means and that are not there: a team, a company, a stage."""
    constants = {f"mapping.{name}": (name, rule.constant) for name, rule in carrier.body.rules.items()}
    constants |= {f"cancel.{name}": (name, value) for name, value in carrier.cancel.items()}
    found = []
    for place, (name, constant) in constants.items():
        kind = known.get(name)
        if kind is None or kind.type != "many2one" or constant is None or not str(constant).isdecimal():
            continue
        if not await door.search(kind.relation, [["id", "=", int(constant)]], ["id"], 1):
            found.append(f"{carrier.place}{place}: there is no {kind.relation} {constant}")
    return found


async def _equipment(door: Door, wanted: Wanted) -> list[str]:
    said = kinds(await door.ask(EQUIPMENT_MODEL, "fields_get", {"attributes": ATTRIBUTES}))
    found = []
    if wanted.equipment_by not in said:
        found.append(f"equipment_by: {EQUIPMENT_MODEL} has no field {wanted.equipment_by!r}")
    ids = sorted(set(wanted.equipment.values()))
    if ids:
        rows = await door.search(EQUIPMENT_MODEL, [["id", "in", ids]], ["id"], len(ids))
        there = {row["id"] for row in rows}
        found += [
            f"equipment.{asset}: there is no equipment {one}"
            for asset, one in wanted.equipment.items()
            if one not in there
        ]
    return found


async def _key(door: Door, name: str, now: datetime) -> list[str]:
    """Say when the key ends soon. Odoo may not tell: then nothing is said."""
    try:
        rows: list[dict[str, Any]] = await door.search(_KEYS, [["name", "=", name]], ["expiration_date"], 20)
    except Refused:
        return []
    ends = [end for row in rows if (end := stamp(row.get("expiration_date"))) is not None]
    if not ends or max(ends) - now > _SOON:
        return []
    return [Advice(f"the API key {name!r} ends at {max(ends):%Y-%m-%d %H:%M} UTC; make a new one in Odoo before")]
