"""What can be wrong before the first order: the DocType, its fields, states and rights, and what links mean."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import msgspec

from connectors.erp.frappe.carrier import Carrier
from connectors.erp.frappe.door import Door
from connectors.erp.frappe.values import LAYOUT, Kind, NoValueError, kinds, written
from connectors.erp.mapping import Rule
from gateway.core.errors import Refused

TABLES = frozenset({"Table", "Table MultiSelect"})
_RIGHTS = ("read", "create", "write")


class About(msgspec.Struct, frozen=True):
    """What a site says of itself: the fields of the DocType, and who we are there."""

    kinds: dict[str, Kind]
    user: str


async def about(door: Door, doctype: str) -> About:
    """Ask for the DocType and for our own user. Raises `Unreachable` and `Refused`."""
    try:
        known = kinds((await door.meta(doctype)).get("fields"))
    except ValueError as no:
        raise Refused(f"{no}; see base_url, api and doctype") from no
    user = await door.call("frappe.auth.get_logged_user", {})
    return About(known, user if isinstance(user, str) else "")


async def faults(
    door: Door, doctype: str, carrier: Carrier, rules: Mapping[str, Rule], key_field: str, known: About, zone: Any
) -> list[str]:
    """Name everything that is wrong. Raises `Unreachable` and `Refused`."""
    found = _fields(doctype, rules, known.kinds, zone)
    found += _states(doctype, carrier, known.kinds, zone)
    if key_field:
        found += _key(doctype, key_field, known.kinds)
    found += await _rights(door, doctype)
    return found + await _links(door, rules, known.kinds)


def _fields(doctype: str, rules: Mapping[str, Rule], known: Mapping[str, Kind], zone: Any) -> list[str]:
    found = []
    for name, rule in rules.items():
        kind = known.get(name)
        if kind is None or kind.type in LAYOUT:
            # Frappe takes a field that it does not know and says nothing of it.
            found.append(f"mapping.{name}: {doctype} has no such field")
            continue
        if kind.readonly:
            found.append(f"mapping.{name}: can only be read")
        for value in (*rule.values.values(), *([] if rule.constant is None else [rule.constant])):
            try:
                written(name, value, rule, kind, zone)
            except NoValueError as no:
                found.append(f"mapping.{name}: {no}")
    must = [name for name, kind in known.items() if kind.required and not kind.filled and name not in rules]
    found += [
        f"{doctype}.{name} must be filled: say in mapping with what"
        for name in must
        if known[name].type not in LAYOUT | TABLES
    ]
    return found + [
        f"{doctype}.{name} wants rows of {', '.join(known[name].options)}: an order cannot give them"
        for name in must
        if known[name].type in TABLES
    ]


def _states(doctype: str, carrier: Carrier, known: Mapping[str, Kind], zone: Any) -> list[str]:
    named = [carrier.status_field, carrier.note_field, carrier.closing_field, *carrier.cancel]
    found = [
        f"{doctype} has no field {name}; see carrier" for name in dict.fromkeys(named) if name and name not in known
    ]
    status = known.get(carrier.status_field)
    if status is not None and status.type == "Select":
        unknown = [state for state in status.options if state not in carrier.states]
        found += [f"{doctype} has a state {state!r} that carrier.states does not know" for state in unknown]
    for name, value in carrier.cancel.items():
        try:
            written(name, value, Rule(constant=value), known.get(name, Kind("Data")), zone)
        except NoValueError as no:
            found.append(f"carrier.cancel: {no}")
    return found


def _key(doctype: str, key_field: str, known: Mapping[str, Kind]) -> list[str]:
    kind = known.get(key_field)
    if kind is None:
        return [f"key_field: {doctype} has no field {key_field}; make a Custom Field of type Data, unique"]
    return (
        [] if kind.unique else [f'key_field: {doctype}.{key_field} is not unique; make it so, or identity = "lookup"']
    )


async def _rights(door: Door, doctype: str) -> list[str]:
    found = []
    for right in _RIGHTS:
        said = await door.call("frappe.client.has_permission", {"doctype": doctype, "docname": "", "perm_type": right})
        if isinstance(said, Mapping) and not said.get("has_permission"):
            found.append(f"the key's user may not {right} {doctype}: give it a role that may")
    return found


async def _links(door: Door, rules: Mapping[str, Rule], known: Mapping[str, Kind]) -> list[str]:
    """Name the documents that a constant or a code list means and that are not there."""
    found = []
    for name, rule in rules.items():
        kind = known.get(name)
        if kind is None or kind.type != "Link" or not kind.options:
            continue
        wanted = {str(value) for value in rule.values.values()} | ({str(rule.constant)} if rule.constant else set())
        found += [
            f"mapping.{name}: there is no {kind.options[0]} {value!r}, or it is not shown to us"
            for value in sorted(wanted)
            if not await door.there(kind.options[0], value)
        ]
    return found


def refused(no: Refused, doctype: str) -> str:
    """Say what a refused question means for the operator."""
    told = str(no)
    if f"answered {HTTPStatus.NOT_FOUND.value}" in told:
        return f"there is no DocType {doctype!r} at base_url, or no such interface; see doctype and api ({told})"
    return told
