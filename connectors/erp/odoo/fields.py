"""Values in Odoo's fields: as `load` takes them, as `write` takes them, and whether two are the same."""

from collections.abc import Mapping
from datetime import UTC, datetime
from html import escape
from typing import Any

import msgspec

from connectors.erp.mapping import Rule, Table
from connectors.erp.markup import words

Value = str | int | float | bool

REQUEST: Table = {
    "name": Rule(source="title", longest=200),
    "description": Rule(source="text", longest=8000),
    "equipment_id": "asset",
    "priority": Rule(source="priority", values={"1": "3", "2": "2", "3": "1", "4": "0"}),
    "maintenance_type": Rule(
        source="activity",
        values={
            "corrective-immediate": "corrective",
            "corrective-deferred": "corrective",
            "condition-based": "preventive",
            "predictive": "preventive",
            "inspection": "preventive",
        },
    ),
    "kanban_state": Rule(source="asset_down", values={"true": "blocked", "false": "normal"}),
    "request_date": "detected_at",
    "schedule_date": "required_start",
    "schedule_end": "due",
}
"""What a maintenance request gets when the settings say nothing else."""


class Kind(msgspec.Struct, frozen=True):
    """What `fields_get` says of one field. `choices` are the values of a selection, `relation` the other model."""

    type: str
    required: bool = False
    readonly: bool = False
    relation: str = ""
    choices: tuple[str, ...] = ()


class NoValueError(ValueError):
    """A field cannot take a value; says which and why."""


def kinds(said: Any) -> dict[str, Kind]:
    """Read the answer of `fields_get`. Raises ValueError for what is none."""
    if not isinstance(said, Mapping) or not all(isinstance(one, Mapping) and "type" in one for one in said.values()):
        raise ValueError("the answer is no list of fields")
    return {
        str(name): Kind(
            str(one["type"]),
            one.get("required") is True,
            one.get("readonly") is True,
            str(one.get("relation") or ""),
            _choices(one.get("selection")),
        )
        for name, one in said.items()
    }


def _choices(selection: Any) -> tuple[str, ...]:
    rows = selection if isinstance(selection, list) else []
    return tuple(str(choice[0]) for choice in rows if isinstance(choice, list) and choice)


def written(name: str, value: Value, kind: Kind) -> Value:
    """Give a mapped value as `write` takes it; a moment in UTC. Raises `NoValueError`."""
    if kind.type == "selection" and kind.choices and str(value) not in kind.choices:
        raise NoValueError(f"field {name} takes {', '.join(kind.choices)}, not {value!r}")
    try:
        found = _written(value, kind)
    except ValueError:
        raise NoValueError(f"field {name} of type {kind.type} does not take {value!r}") from None
    if found is None:
        raise NoValueError(f"field {name} of type {kind.type} takes no value of an order")
    return found


def _written(value: Value, kind: Kind) -> Value | None:
    match kind.type:
        case "html":
            return "<br>".join(escape(line) for line in str(value).split("\n"))
        case "datetime":
            return _moment(value).strftime("%Y-%m-%d %H:%M:%S")
        case "date":
            return _moment(value).strftime("%Y-%m-%d")
        case "integer" | "many2one":
            return int(value)
        case "float" | "monetary":
            return float(value)
        case "boolean":
            return value if isinstance(value, bool) else str(value).lower() in {"1", "true", "yes"}
        case "char" | "text" | "selection":
            return str(value)
    return None


def loaded(name: str, value: Value | None, kind: Kind) -> tuple[str, str]:
    """Give a written value as column and text of `load`; None is an empty text."""
    column = f"{name}/.id" if kind.type == "many2one" else name
    if value is None:
        return column, ""
    return column, ("1" if value else "0") if isinstance(value, bool) else str(value)


def same(told: Any, ours: Value | None, kind: Kind) -> bool:
    """Say whether what Odoo shows is what we would write. Html counts by its words, nothing is False there."""
    if kind.type == "many2one":
        told = told[0] if isinstance(told, list) and told else None
    if kind.type == "boolean":
        return bool(told) == bool(ours)
    if told is False or told is None or told == "":
        return ours is None or ours == ""
    if ours is None:
        return False
    if kind.type == "html":
        return words(str(told)) == words(str(ours))
    if kind.type in {"float", "monetary"}:
        return abs(float(told) - float(ours)) < 1e-6  # noqa: PLR2004  Odoo rounds to the field's digits
    return str(told).strip() == str(ours).strip()


def stamp(told: Any) -> datetime | None:
    """Read a time of Odoo, naive and UTC, as aware; None for none."""
    try:
        return datetime.fromisoformat(str(told)).replace(tzinfo=UTC)
    except ValueError:
        return None


def _moment(value: Value) -> datetime:
    at = datetime.fromisoformat(str(value))
    return at.astimezone(UTC) if at.tzinfo else at.replace(tzinfo=UTC)
