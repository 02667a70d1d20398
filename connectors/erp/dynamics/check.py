"""Dataverse's description of the work order table against the mapping, the alternate key and the rights."""

import asyncio
from collections.abc import Iterator, Mapping
from typing import Any

from connectors.erp.dynamics.record import BIND
from connectors.erp.mapping import Rule
from connectors.erp.preset import Look
from connectors.erp.rest import check
from connectors.erp.rest.door import Door
from connectors.erp.rest.plan import Call
from gateway.core.errors import Refused

RIGHTS = ("Create", "Read", "Write", "Append", "AppendTo")
_KINDS = {
    "String": "string",
    "Memo": "string",
    "DateTime": "string",
    "Uniqueidentifier": "string",
    "Picklist": "integer",
    "State": "integer",
    "Status": "integer",
    "Integer": "integer",
    "BigInt": "integer",
    "Decimal": "number",
    "Double": "number",
    "Money": "number",
    "Boolean": "boolean",
}
_COLUMNS = "Attributes($select=LogicalName,AttributeType,IsValidForCreate)"
_KEYS = "Keys($select=KeyAttributes,EntityKeyIndexStatus)"
_NAVIGATION = "ReferencingAttribute,ReferencingEntityNavigationPropertyName"
_KEY_LENGTH = 20


def looked_into(api: str, table: str, key: str, rules: Mapping[str, Rule]) -> Look:
    """Give the look into one table's description."""
    definition = f"{api}/EntityDefinitions(LogicalName='{table}')"
    casts = [f"{definition}/Attributes/Microsoft.Dynamics.CRM.{kind}AttributeMetadata" for kind in ("String", "Memo")]

    async def look(door: Door) -> list[str]:
        asked = (
            _ask(
                door,
                definition,
                {"$select": "LogicalName,IsOptimisticConcurrencyEnabled", "$expand": f"{_COLUMNS},{_KEYS}"},
            ),
            *(_ask(door, cast, {"$select": "LogicalName,MaxLength"}) for cast in casts),
            _ask(door, f"{definition}/ManyToOneRelationships", {"$select": _NAVIGATION}),
        )
        described, *lengths, relations = await asyncio.gather(*asked)
        schema = _schema(described, [row for one in lengths for row in _rows(one)], _rows(relations))
        return [
            *_key_faults(described, schema, key),
            *check.faults(schema, {}, rules),
            *await _rights(door, api, table),
        ]

    return look


async def _ask(door: Door, path: str, params: dict[str, str]) -> dict[str, Any]:
    said = await door.ask(Call(path=path, params=params), {})
    if not isinstance(said.body, dict):
        raise Refused(f"{path} is no JSON object; is base_url an environment?")
    return said.body


def _rows(told: Mapping[str, Any], name: str = "value") -> list[dict[str, Any]]:
    rows = told.get(name)
    return [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []


def _schema(
    described: Mapping[str, Any], lengths: list[dict[str, Any]], relations: list[dict[str, Any]]
) -> dict[str, Any]:
    """Put a table's description as JSON Schema has it."""
    longest = {row.get("LogicalName"): row.get("MaxLength") for row in lengths}
    properties: dict[str, dict[str, Any]] = {}
    for row in _rows(described, "Attributes"):
        name, kind = str(row.get("LogicalName")), _KINDS.get(str(row.get("AttributeType")))
        if kind is None:
            continue
        limit = {"maxLength": longest[name]} if isinstance(longest.get(name), int) else {}
        properties[name] = {"type": kind, "readOnly": row.get("IsValidForCreate") is False, **limit}
    links = {f"{row.get('ReferencingEntityNavigationPropertyName')}{BIND}": {"type": "string"} for row in relations}
    return {"type": "object", "properties": properties | links, "additionalProperties": False}


def _key_faults(described: Mapping[str, Any], schema: Mapping[str, Any], key: str) -> Iterator[str]:
    column = schema["properties"].get(key)
    if column is None:
        yield f"key_column: the table has no column {key}; make one of text, {_KEY_LENGTH} characters"
        return
    longest = column.get("maxLength")
    if column["type"] != "string" or (isinstance(longest, int) and longest < _KEY_LENGTH):
        yield f"key_column: {key} is no text of {_KEY_LENGTH} characters"
    states = [row.get("EntityKeyIndexStatus") for row in _rows(described, "Keys") if row.get("KeyAttributes") == [key]]
    if "Active" not in states:
        told = f"; its index is {states[0]}" if states else ""
        yield f"key_column: {key} alone is no active alternate key, so that nothing would keep an order single{told}"
    if described.get("IsOptimisticConcurrencyEnabled") is False:
        yield "the table has no optimistic concurrency: a change could undo what a planner did meanwhile"


async def _rights(door: Door, api: str, table: str) -> list[str]:
    """Name the privileges that our user lacks; () where the environment does not say."""
    user = (await _ask(door, f"{api}/WhoAmI", {})).get("UserId")
    names = [f"prv{right}{table}" for right in RIGHTS]
    path = f"{api}/systemusers({user})/Microsoft.Dynamics.CRM.RetrieveUserPrivilegeByPrivilegeName"
    try:
        told = await asyncio.gather(*(_ask(door, f"{path}(PrivilegeName='{name}')", {}) for name in names))
    except Refused:
        return []
    missing = [
        name for name, one in zip(names, told, strict=True) if "RolePrivileges" in one and not one["RolePrivileges"]
    ]
    return [f"our user lacks the privileges {', '.join(missing)}"] if missing else []
