"""Values in SAP's properties: types and lengths by `$metadata`, dates as OData V2 writes them."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from connectors.erp.mapping import Rule, Table, cut

NOTIFICATION: Table = {
    "MaintNotifExtReferenceNumber": "key",
    "NotificationType": Rule(constant="M2"),
    "NotificationText": Rule(source="title", longest=40),
    "MaintNotifLongTextForEdit": Rule(source="text", longest=1333),
    "TechnicalObject": "asset",
    "TechnicalObjectLabel": "asset",
    "TechObjIsEquipOrFuncnlLoc": Rule(constant="EAMS_EQUI"),
    "MaintPriority": "priority",
    "MaintenanceObjectIsDown": "asset_down",
    "MalfunctionStartDate": "detected_at",
    "MalfunctionStartTime": "detected_at",
}
"""What a notification gets when the settings say nothing else. A priority makes SAP compute the required dates."""

ORDER: Table = {
    "MaintenanceOrderType": Rule(constant="PM01"),
    "MaintenanceOrderDesc": Rule(source="title", longest=40),
    "Equipment": "asset",
    "MaintPriority": "priority",
}
"""What an order gets besides its notification."""

DEFECT: Table = {
    "DefectCategory": Rule(constant="06"),
    "DefectCodeCatalog": Rule(constant="9"),
    "DefectText": Rule(source="title", longest=40),
    "Equipment": "asset",
    "Material": "product.material",
    "ManufacturingOrder": "product.order",
}
"""What a defect gets when the settings say nothing else. Its quantity needs a unit, which only the plant knows."""

WORDS = frozenset({"title", "description", "text", "failure_mode", "cause", "effect", "action", "mechanism"})
"""Sources that are words, which may be cut. A code that is cut would be another code."""

# Bounded, each of them: a mebibyte that is no description must not keep the event loop for minutes.
_ENTITY = re.compile(r"<EntityType\b([^<>]{0,4000})>")
_SET = re.compile(r"<EntitySet\b([^<>]{0,4000})>")
_ACTION = re.compile(r"<FunctionImport\b([^<>]{0,4000})>")
_PROPERTY = re.compile(r"<Property\b([^<>]{0,4000})>")
_ATTRIBUTE = re.compile(r"(?<![\w:])([\w:]{1,100})\s{0,20}=\s{0,20}\"([^\"]{0,1000})\"")
_END = "</EntityType>"
_DIGITS = 10
_NUMBERS = frozenset({"Edm.Int16", "Edm.Int32", "Edm.Byte", "Edm.SByte"})


class NoValueError(ValueError):
    """A property cannot take a value; says which and why."""


class Property(msgspec.Struct, frozen=True):
    """One property: its type, the longest text that it takes, whether one may ask for entities by it."""

    type: str
    longest: int | None = None
    filterable: bool = True


def properties(document: str, entity: str) -> dict[str, Property]:
    """Read the properties of an entity set out of `$metadata`; {} when it is not there.

    Its type is called otherwise as a rule ("A_DefectType"); without a set of this name it is the type of this name.
    """
    sets = (dict(_ATTRIBUTE.findall(head)) for head in _SET.findall(document))
    name = (
        next((one.get("EntityType", "") for one in sets if one.get("Name") == entity), "").rpartition(".")[2] or entity
    )
    for head in _ENTITY.finditer(document):
        if dict(_ATTRIBUTE.findall(head[1])).get("Name") != name:
            continue
        inside = document[head.end() : document.find(_END, head.end())]
        rows = [dict(_ATTRIBUTE.findall(row)) for row in _PROPERTY.findall(inside)]
        return {
            row["Name"]: Property(
                row.get("Type", "Edm.String"), _length(row.get("MaxLength", "")), row.get("sap:filterable") != "false"
            )
            for row in rows
            if "Name" in row
        }
    return {}


def actions(document: str) -> frozenset[str]:
    """Read the names of the function imports out of `$metadata`."""
    return frozenset(dict(_ATTRIBUTE.findall(head)).get("Name", "") for head in _ACTION.findall(document))


def _length(told: str) -> int | None:
    """Read a MaxLength; None for "Max", and for one that nothing reaches."""
    return int(told) if told.isdecimal() and len(told) < _DIGITS else None


def encoded(
    fields: Mapping[str, Any], rules: Mapping[str, Rule], known: Mapping[str, Property], zone: ZoneInfo
) -> dict[str, Any]:
    """Give mapped fields as SAP takes them. Raises `NoValueError`."""
    return {name: _encoded(name, value, rules[name], known, zone) for name, value in fields.items()}


def units(text: str) -> int:
    """Count characters as SAP does, which keeps UTF-16: one for a Chinese character, two for most emoji."""
    return len(text.encode("utf-16-le")) // 2


def same(told: Any, ours: Any) -> bool:
    """Say whether what SAP shows is what we would write; nothing and an empty text are the same."""
    return bool(_plain(told) == _plain(ours))


def _encoded(name: str, value: Any, rule: Rule, known: Mapping[str, Property], zone: ZoneInfo) -> Any:
    kind = known.get(name)
    if kind is None:
        raise NoValueError(f"field {name}: SAP has no such property; see mapping")
    try:
        match kind.type:
            case "Edm.String":
                return _text(name, value, rule, kind)
            case "Edm.Boolean":
                return value if isinstance(value, bool) else str(value).lower() in {"true", "x", "1"}
            case "Edm.DateTime":
                day = _moment(value).astimezone(zone).date()
                return _ticks(datetime(day.year, day.month, day.day, tzinfo=UTC))
            case "Edm.DateTimeOffset":
                return _ticks(_moment(value), "+0000")
            case "Edm.Time":
                at = _moment(value).astimezone(zone)
                return f"PT{at.hour:02d}H{at.minute:02d}M{at.second:02d}S"
            case number if number in _NUMBERS:
                return int(value)
    except NoValueError:
        raise
    except (ValueError, TypeError):
        raise NoValueError(f"field {name} of type {kind.type} does not take {value!r}") from None
    return str(value)


def _text(name: str, value: Any, rule: Rule, kind: Property) -> str:
    text = ("X" if value else "") if isinstance(value, bool) else str(value)
    if kind.longest is None or units(text) <= kind.longest:
        return text
    if rule.source not in WORDS:
        raise NoValueError(f"field {name} holds {kind.longest} characters, {text!r} has {units(text)}; see mapping")
    return shortened(text, kind.longest)


def shortened(text: str, longest: int | None) -> str:
    """Cut a text to so many characters as SAP counts them, between what a reader sees as one."""
    if longest is None or units(text) <= longest:
        return text
    kept = longest
    while units(short := cut(text, kept)) > longest:
        kept -= 1
    return short


def _moment(value: Any) -> datetime:
    at = datetime.fromisoformat(str(value))
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def _ticks(at: datetime, offset: str = "") -> str:
    return f"/Date({int(at.timestamp() * 1000)}{offset})/"


def _plain(value: Any) -> Any:
    if value is None or value is False:
        return ""
    return value.strip() if isinstance(value, str) else value
