"""What can be wrong before the first order: fields, selections, rights, teams, equipment, the key's end."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Protocol

from connectors.erp.mapping import Rule
from connectors.erp.odoo.door import Door
from connectors.erp.odoo.fields import Kind, NoValueError, kinds, stamp, written
from gateway.core.advice import Advice
from gateway.core.errors import Refused

ATTRIBUTES = ["type", "required", "readonly", "relation", "selection"]
REQUEST_MODEL, EQUIPMENT_MODEL = "maintenance.request", "maintenance.equipment"
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

    @property
    def cancel(self) -> Mapping[str, str | int | bool]: ...  # noqa: D102

    @property
    def closing_field(self) -> str: ...  # noqa: D102


async def faults(
    door: Door, wanted: Wanted, rules: Mapping[str, Rule], known: Mapping[str, Kind], now: datetime
) -> list[str]:
    """Name everything that is wrong. Raises `Unreachable` and `Refused`."""
    found = _fields(rules, known)
    extra = [*wanted.cancel, *([wanted.closing_field] if wanted.closing_field else [])]
    found += [
        f"{REQUEST_MODEL} has no field {name!r}; see cancel and closing_field" for name in extra if name not in known
    ]
    found += await _rights(door)
    found += await _records(door, rules, known)
    found += await _equipment(door, wanted, rules)
    return found + await _key(door, wanted.key_name, now)


def _fields(rules: Mapping[str, Rule], known: Mapping[str, Kind]) -> list[str]:
    found = []
    for name, rule in rules.items():
        kind = known.get(name)
        if kind is None:
            found.append(f"mapping.{name}: {REQUEST_MODEL} has no such field")
            continue
        if kind.readonly:
            found.append(f"mapping.{name}: can only be read")
        if kind.type == "many2one" and rule.constant is None and kind.relation != EQUIPMENT_MODEL and not rule.values:
            found.append(f"mapping.{name}: wants a database id of {kind.relation}; give a constant, or values")
        for value in (*rule.values.values(), *([] if rule.constant is None else [rule.constant])):
            try:
                written(name, value, kind)
            except NoValueError as no:
                found.append(f"mapping.{name}: {no}")
    return found


async def _rights(door: Door) -> list[str]:
    given = {
        right: await door.ask(REQUEST_MODEL, "has_access", {"operation": right})
        for right in ("read", "create", "write")
    }
    found = [
        f"the key's user may not {right} {REQUEST_MODEL}; it needs Equipment Manager"
        for right, may in given.items()
        if may is False
    ]
    # Every delivery looks for its external id: who may not read them gets a refusal here.
    await door.search("ir.model.data", [["module", "=", "andon"]], ["name"], 1)
    return found


async def _records(door: Door, rules: Mapping[str, Rule], known: Mapping[str, Kind]) -> list[str]:
    """Name the records that a constant means and that are not there: a team, a company."""
    found = []
    for name, rule in rules.items():
        kind = known.get(name)
        if kind is None or kind.type != "many2one" or rule.constant is None or not str(rule.constant).isdecimal():
            continue
        if not await door.search(kind.relation, [["id", "=", int(rule.constant)]], ["id"], 1):
            found.append(f"mapping.{name}: there is no {kind.relation} {rule.constant}")
    return found


async def _equipment(door: Door, wanted: Wanted, rules: Mapping[str, Rule]) -> list[str]:
    if "equipment_id" not in rules:
        return []
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
