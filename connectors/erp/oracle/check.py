"""Oracle's description of the work order resource against the mapping."""

from collections.abc import Mapping
from typing import Any

from connectors.erp.mapping import Rule
from connectors.erp.preset import Look
from connectors.erp.rest import check
from connectors.erp.rest.door import Door
from connectors.erp.rest.plan import Call
from gateway.core.errors import Refused

_KINDS = {
    "string": "string",
    "date": "string",
    "datetime": "string",
    "integer": "integer",
    "number": "number",
    "boolean": "boolean",
}


def looked_into(path: str, rules: Mapping[str, Rule]) -> Look:
    """Give the look into the `describe` of one resource."""
    resource = path.rsplit("/", 1)[-1]

    async def look(door: Door) -> list[str]:
        said = await door.ask(Call(path=f"{path}/describe"), {})
        resources = said.body.get("Resources") if isinstance(said.body, dict) else None
        described = resources.get(resource) if isinstance(resources, dict) else None
        attributes = described.get("attributes") if isinstance(described, dict) else None
        if not isinstance(attributes, list):
            raise Refused(f"{path}/describe names no attributes")
        return list(check.faults(_schema([row for row in attributes if isinstance(row, dict)]), {}, rules))

    return look


def _schema(attributes: list[dict[str, Any]]) -> dict[str, Any]:
    """Put a description as JSON Schema has it. What is mandatory may be filled by Oracle: nothing is required here."""
    properties: dict[str, dict[str, Any]] = {}
    for row in attributes:
        kind = _KINDS.get(str(row.get("type")).lower())
        longest = row.get("maxLength", row.get("precision"))
        limit = {"maxLength": int(str(longest))} if kind == "string" and str(longest).isdecimal() else {}
        never = row.get("allowChanges") == "never"
        properties[str(row.get("name"))] = {**({"type": kind} if kind else {}), "readOnly": never, **limit}
    return {"type": "object", "properties": properties, "additionalProperties": False}
