"""The few models of Odoo that requests and alerts need: fields, import of texts, domains.

The alert's are those of Quality in Odoo Enterprise as modules that build on it show them; none was recorded.
"""

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from simulators.erp.book import Order

Row = dict[str, Any]
REQUEST, ALERT = "maintenance.request", "quality.alert"


@dataclass(frozen=True, slots=True)
class Carrier:
    """A model that carries orders: its stages (from `done` on it is done), what a new one has and needs."""

    stages: tuple[str, ...]
    done: int
    made: Row
    needs: str = ""


CARRIERS = {
    REQUEST: Carrier(
        ("New Request", "In Progress", "Repaired", "Scrap"),
        3,
        {"stage_id": 1, "kanban_state": "normal", "maintenance_team_id": 1, "archive": False},
        "name",
    ),
    # The last stage is one of the plant's own.
    ALERT: Carrier(
        ("New", "Confirmed", "Action Proposed", "Solved", "Withdrawn"), 4, {"stage_id": 1, "team_id": 1, "name": "New"}
    ),
}


def model_of(order: Order) -> str:
    """Give the model of a record."""
    return str(order.body.get("model", REQUEST))


def _field(kind: str, **more: object) -> dict[str, object]:
    return {"type": kind, "required": False, "readonly": False, "store": True, **more}


def _choice(*words: str) -> dict[str, object]:
    return _field("selection", selection=[[word, word.title()] for word in words])


def _to(model: str, **more: object) -> dict[str, object]:
    return _field("many2one", relation=model, **more)


FIELDS: dict[str, dict[str, dict[str, object]]] = {
    "maintenance.request": {
        "name": _field("char", required=True),
        "description": _field("html"),
        "company_id": _to("res.company", required=True),
        "equipment_id": _to("maintenance.equipment"),
        "category_id": _to("maintenance.equipment.category", readonly=True),
        "maintenance_team_id": _to("maintenance.team", required=True),
        "maintenance_type": _choice("corrective", "preventive"),
        "priority": _choice("0", "1", "2", "3"),
        "kanban_state": {**_choice("normal", "blocked", "done"), "required": True},
        "stage_id": _to("maintenance.stage"),
        "done": _field("boolean", readonly=True),
        "archive": _field("boolean"),
        "request_date": _field("date"),
        "schedule_date": _field("datetime"),
        "schedule_end": _field("datetime"),
        "close_date": _field("date"),
        "x_failure_code": _field("char"),
        "x_closing_code": _field("char"),
        "write_date": _field("datetime", readonly=True),
    },
    "quality.alert": {
        "name": _field("char"),
        "title": _field("char"),
        "description": _field("html"),
        "company_id": _to("res.company", required=True),
        "team_id": _to("quality.alert.team", required=True),
        "stage_id": _to("quality.alert.stage"),
        "reason_id": _to("quality.reason"),
        "product_id": _to("product.product"),
        "priority": _choice("0", "1", "2", "3"),
        "action_corrective": _field("html"),
        "action_preventive": _field("html"),
        "date_assign": _field("datetime"),
        "date_close": _field("datetime"),
        "write_date": _field("datetime", readonly=True),
    },
    "quality.alert.stage": {
        "name": _field("char"),
        "sequence": _field("integer"),
        "done": _field("boolean"),
        "team_ids": _field("many2many", relation="quality.alert.team"),
    },
    "quality.alert.team": {"name": _field("char")},
    "maintenance.equipment": {"name": _field("char"), "serial_no": _field("char")},
    "maintenance.team": {"name": _field("char")},
    "maintenance.stage": {"name": _field("char"), "sequence": _field("integer"), "done": _field("boolean")},
    "ir.model.data": {
        "module": _field("char"),
        "name": _field("char"),
        "model": _field("char"),
        "res_id": _field("many2one_reference"),
    },
    "res.users.apikeys": {"name": _field("char"), "scope": _field("char"), "expiration_date": _field("datetime")},
}


class ImportFault(Exception):
    """A row that `load` does not take, and the field that it names."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


def imported(model: str, fields: list[str], row: list[str], equipment: list[str]) -> Row:
    """Read one row of texts as values. Raises `ImportFault`, ValueError for an unknown field."""
    values: Row = {}
    for path, text in zip(fields, row, strict=True):
        name, _, way = path.partition("/")
        if name == "id":
            values["id"] = text
            continue
        known = FIELDS[model].get(name)
        if known is None:
            raise ValueError(f"Invalid field name '{name}'")
        if not isinstance(text, str):
            raise ImportFault(name, f"a value of {name} is no text")
        values[name] = _imported(name, known, way, text, equipment)
    if CARRIERS[model].needs and not values.get(CARRIERS[model].needs):
        raise ImportFault("name", "Missing required value for the field 'Subjects' (name)")
    return values


def _imported(name: str, known: dict[str, object], way: str, text: str, equipment: list[str]) -> object:
    if text == "":
        return False
    match known["type"]:
        case "many2one":
            number = int(text) if way == ".id" and text.isdigit() else 0
            limit = len(equipment) if name == "equipment_id" else 9
            if not 0 < number <= limit:
                kind = "database id" if way == ".id" else "name"
                raise ImportFault(name, f"No matching record found for {kind} '{text}' in field '{name}'")
            return number
        case "selection":
            words = [word for word, _ in known["selection"]]  # type: ignore[attr-defined]  # a list, see `_choice`
            if text not in words:
                raise ImportFault(name, f"Value '{text}' not found in selection field '{name}'")
            return text
        case "boolean":
            return text in {"1", "true", "True"}
        case "date" | "datetime":
            shape = r"\d{4}-\d\d-\d\d" + (r" \d\d:\d\d:\d\d" if known["type"] == "datetime" else "")
            if not re.fullmatch(shape, text):
                raise ImportFault(name, f"'{text}' does not seem to be a valid {known['type']} for field '{name}'")
            return text
    return text


def shown(order: Order, equipment: list[str]) -> Row:
    """Give a record as `search_read` shows it: a reference is [id, name], nothing is False, html is tidied."""
    stage, fields = int(order.body.get("stage_id") or 1), FIELDS[model_of(order)]
    carrier = CARRIERS[model_of(order)]
    row: Row = dict.fromkeys(fields, False) | {
        name: value for name, value in order.body.items() if name in fields and value is not None
    }
    if row.get("equipment_id"):
        row["equipment_id"] = [row["equipment_id"], f"Machine {equipment[int(row['equipment_id']) - 1]}"]
    for name, words in (("maintenance_team_id", "Internal Maintenance"), ("team_id", "Main Quality Team")):
        if row.get(name):
            row[name] = [row[name], words]
    if row["description"]:
        row["description"] = f"<p>{str(row['description']).replace('<br>', '<br/>')}</p>"
    moment = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(order.updated_at))
    computed = {"done": stage >= carrier.done} if "done" in fields else {}
    return row | {
        "id": order.id,
        "stage_id": [stage, carrier.stages[stage - 1]],
        **computed,
        "company_id": [1, "My Company"],
        "write_date": moment,
    }


_TESTS: dict[str, Callable[[Any, Any], bool]] = {
    "=": lambda value, wanted: bool(value == wanted),
    "in": lambda value, wanted: value in wanted,
    "ilike": lambda value, wanted: str(wanted).lower() in str(value).lower(),
}


def found(rows: list[Row], domain: list[list[Any]]) -> list[Row]:
    """Give the rows that fit every condition. Raises KeyError for a field that is not there."""
    return [
        row
        for row in rows
        if all(
            _TESTS[how](row[name][0] if isinstance(row[name], list) else row[name], wanted)
            for name, how, wanted in domain
        )
    ]
