"""What can be wrong before the first order: the key, the model, fields, rights, origins, states."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from connectors.erp.tryton.door import Door, Failed
from connectors.erp.tryton.record import Record
from gateway.core.errors import Refused

Metadata = Mapping[str, Mapping[str, Any]]
_RIGHTS = ("read", "create", "write")


async def metadata(door: Door, model: str) -> Metadata:
    """Ask for the fields of a model. Raises `Refused`, and `Failed` with 500 when there is no such model."""
    said = await door.call(model, "fields_get", {})
    if not isinstance(said, dict) or not all(isinstance(one, dict) for one in said.values()):
        raise Refused("the answer is no list of fields; is base_url a Tryton?")
    return said


def wrong_fields(known: Metadata, record: Record) -> list[str]:
    """Name the fields that are not there, or that nobody may write, and states that mean nothing to us."""
    shape = record.shape
    faults = [f"{shape.model} has no field {name}" for name in record.read if name not in known]
    read_only = [name for name in record.written if name in known and known[name].get("readonly") is True]
    faults += [f"{shape.model}.{name} can only be read" for name in read_only]
    selection = known.get("state", {}).get("selection")
    if isinstance(selection, list):
        states = [str(one[0]) for one in selection if isinstance(one, list) and one]
        unknown = [state for state in states if state not in shape.carrier.states]
        faults += [f"{shape.model} has a state {state!r} that carrier.states does not know" for state in unknown]
    return faults


async def unfilled(door: Door, known: Metadata, record: Record) -> list[str]:
    """Name the fields that must have a value and get none: neither from an order nor by Tryton's own default."""
    model = record.shape.model
    must = [name for name, said in known.items() if said.get("required") is True and said.get("readonly") is not True]
    missing = sorted({*must} - {*record.written})
    if not missing:
        return []
    said = await door.call(model, "default_get", {"fields_names": missing, "with_rec_name": False})
    given = said if isinstance(said, dict) else {}
    return [f"{model}.{name} must be filled: say in mapping with what" for name in missing if given.get(name) is None]


async def wrong_rights(door: Door, record: Record, *, links: bool) -> list[str]:
    """Name the rights that the key's user does not have."""
    models = [record.shape.model, *(["ir.attachment"] if links else [])]
    said = await door.call("ir.model.access", "get_access", {"models": models})
    if not isinstance(said, dict):
        raise Refused("the answer names no rights")
    rights = {model: said.get(model) for model in models}
    return [
        f"the key's user may not {right} {model}: put it into a group that may"
        for model, given in rights.items()
        for right in _RIGHTS
        if not isinstance(given, dict) or not given.get(right)
    ]


async def wrong_origins(door: Door, record: Record) -> list[str]:
    """Name the origins that are not there, or that the key's user cannot see."""
    shape = record.shape
    if not shape.carrier.origin_field:
        return []
    wanted = {*shape.origins.values(), *([shape.origin] if shape.origin else [])}
    faults = []
    for model in sorted({origin.split(",")[0] for origin in wanted}):
        numbers = [int(origin.split(",")[1]) for origin in wanted if origin.split(",")[0] == model]
        try:
            found = await door.search(model, [["id", "in", numbers]], ["id"], len(numbers))
        except Failed as lost:
            if lost.status != HTTPStatus.INTERNAL_SERVER_ERROR:
                raise
            faults.append(f"origins: Tryton does not know the model {model}")
            continue
        there = {row["id"] for row in found}
        faults += [f"origins: there is no {model},{number}" for number in sorted(set(numbers) - there)]
    return faults
