"""The DocTypes of ERPNext that an order needs: their fields, and Frappe's checks and errors in both interfaces."""

import json
import re
from typing import Any

from simulators.erp.asgi import Response, json_response

Row = dict[str, Any]
_LINE = 140
_DATE, _MOMENT = re.compile(r"\d{4}-\d\d-\d\d"), re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d{1,6})?")


def _field(name: str, kind: str, **more: object) -> dict[str, object]:
    return {"fieldname": name, "fieldtype": kind, "label": name.replace("_", " ").title(), "reqd": 0, **more}


DOCTYPES: dict[str, list[dict[str, object]]] = {
    "Asset Repair": [
        _field("asset", "Link", options="Asset", reqd=1),
        _field("company", "Link", options="Company", fetch_from="asset.company"),
        _field("asset_name", "Read Only", fetch_from="asset.asset_name", read_only=1),
        _field("naming_series", "Select", options="ACC-ASR-.YYYY.-", reqd=1),
        _field("section_break_5", "Section Break"),
        _field("failure_date", "Datetime", reqd=1),
        _field("repair_status", "Select", options="Pending\nCompleted\nCancelled", default="Pending"),
        _field("completion_date", "Datetime"),
        _field("cost_center", "Link", options="Cost Center"),
        _field("stock_items", "Table", options="Asset Repair Consumed Item"),
        _field("description", "Long Text"),
        _field("actions_performed", "Long Text"),
        _field("downtime", "Data", read_only=1),
        _field("custom_andon_key", "Data", unique=1),
        _field("custom_loose_key", "Data"),
    ],
    "Issue": [
        _field("naming_series", "Select", options="ISS-.YYYY.-"),
        _field("subject", "Data", reqd=1),
        _field("customer", "Link", options="Customer"),
        _field("status", "Select", options="Open\nReplied\nOn Hold\nResolved\nClosed", default="Open"),
        _field("priority", "Link", options="Issue Priority"),
        _field("issue_type", "Link", options="Issue Type"),
        _field("description", "Text Editor"),
        _field("opening_date", "Date", default="Today", read_only=1),
        _field("response_by", "Datetime", read_only=1),
        _field("via_customer_portal", "Check", default="0"),
        _field("custom_confidence", "Percent"),
    ],
}
LINKED: dict[str, tuple[str, ...]] = {
    "Asset": tuple(f"M-{number:02d}" for number in range(13)),
    "Issue Priority": ("High", "Medium", "Low"),
    "Issue Type": ("Bearing", "Electrical"),
    "Company": ("ACME",),
}
"""Documents that are there to be linked to; an Asset may be called anything while `Habits.assets` says so."""


class NotTakenError(Exception):
    """A document that Frappe refuses: the name of its exception, status, words."""

    def __init__(self, kind: str, status: int, message: str, title: str = "Message") -> None:
        super().__init__(message)
        self.kind, self.status, self.title = kind, status, title


def checked(doctype: str, row: Row, *, any_asset: bool) -> Row:
    """Give a document as it is kept: fields that nobody knows vanish without a word. Raises NotTakenError."""
    known = {str(one["fieldname"]): one for one in DOCTYPES[doctype]}
    kept = {name: value for name, value in row.items() if name in known and not known[name].get("read_only")}
    for name, field in known.items():
        if kept.get(name) in (None, "") and field.get("default") not in (None, "Today"):
            kept[name] = field["default"]
        if kept.get(name) in (None, "") and field["fieldtype"] == "Select" and field["reqd"]:
            kept[name] = str(field["options"]).split("\n")[0]
        if field["reqd"] and kept.get(name) in (None, ""):
            raise NotTakenError(
                "MandatoryError", 417, f"Error: Value missing for {doctype}: {field['label']}", "Missing Fields"
            )
    for name, value in kept.items():
        _check(known[name], value, any_asset=any_asset)
    return kept


def _check(field: dict[str, object], value: object, *, any_asset: bool) -> None:
    kind, label, options = str(field["fieldtype"]), field["label"], str(field.get("options", ""))
    if value in (None, ""):
        return
    if kind in {"Data", "Select", "Link"} and len(str(value)) > _LINE:
        text = f"'{label}' ({str(value)[:20]}) will get truncated, as max characters allowed is {_LINE}"
        raise NotTakenError("CharacterLengthExceededError", 417, text, "Value too big")
    if kind == "Select" and value not in options.split("\n"):
        words = '", "'.join(options.split("\n"))
        raise NotTakenError("ValidationError", 417, f'{label} cannot be "{value}". It should be one of "{words}"')
    if kind == "Link" and value not in LINKED.get(options, ()) and not (options == "Asset" and any_asset):
        raise NotTakenError("LinkValidationError", 417, f"Could not find {label}: {value}")
    if (kind == "Date" and not _DATE.fullmatch(str(value))) or (
        kind == "Datetime" and not _MOMENT.fullmatch(str(value))
    ):
        raise NotTakenError("ValidationError", 417, f"{value} is not a valid {kind.lower()}", "Invalid Date")


def told(*, v1: bool, data: object, key: str = "data") -> Response:
    """Give an answer: v2 says `data` always, v1 says `message` for a method."""
    return json_response(200, {key if v1 else "data": data})


def error(status: int, kind: str, message: str, title: str = "Message", *, v1: bool) -> Response:
    """Give an error as each interface does, with its traceback and its markup."""
    insides = f'Traceback (most recent call last):\n  File "apps/frappe/frappe/app.py", line 114\n{kind}: {message}\n'
    said = {"message": f"<b>{message}</b>", "title": title, "indicator": "red"}
    if v1:
        return json_response(
            status,
            {
                "exception": f"frappe.exceptions.{kind}: {message}",
                "exc_type": kind,
                "exc": json.dumps([insides]),
                "_server_messages": json.dumps([json.dumps({**said, "raise_exception": 1})]),
            },
        )
    return json_response(status, {"errors": [{"type": kind, "exception": insides, **said}]})
