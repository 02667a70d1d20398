"""Maximo's JSON schema of the object structure against the mapping, and whether our number fits."""

from collections.abc import Mapping

from connectors.erp.mapping import Rule
from connectors.erp.preset import Look
from connectors.erp.rest import check
from connectors.erp.rest.door import Door
from connectors.erp.rest.plan import Call
from gateway.core.errors import Refused

_KEY_LENGTH = 20


def looked_into(context: str, structure: str, rules: Mapping[str, Rule]) -> Look:
    """Give the look into the JSON schema of one object structure."""
    path = f"{context}/jsonschemas/{structure}"

    async def look(door: Door) -> list[str]:
        schema = (await door.ask(Call(path=path), {})).body
        properties = schema.get("properties") if isinstance(schema, dict) else None
        if not isinstance(properties, dict) or not properties:
            raise Refused(f"{path} has no properties")
        number = properties.get("wonum")
        longest = number.get("maxLength") if isinstance(number, dict) else None
        # What the schema calls required may be filled by Maximo itself.
        ours = {**schema, "additionalProperties": False, "required": []}
        faults = [fault for fault in check.faults(ours, {}, rules) if not fault.startswith("mapping.wonum: holds")]
        if isinstance(longest, int) and longest < _KEY_LENGTH:
            faults.append(
                f"wonum holds {longest} characters and our number has {_KEY_LENGTH}: lengthen WORKORDER.WONUM in"
                " Database Configuration"
            )
        return faults

    return look
