"""The structure of the B2MML-JSON messages that the simulated MES takes: properties, which are needed, which words.

As in MESA's schema nothing else is allowed; what that schema lets pass (bare words, times, priorities) is refused here.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

ORDER = "JobOrder"


@dataclass(frozen=True, slots=True)
class Shape:
    """An object: its properties, each with the shape of its value, and those that are needed."""

    properties: dict[str, Any] = field(default_factory=dict)
    needed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Many:
    """A list of one shape; `least` entries."""

    of: Any
    least: int = 0


@dataclass(frozen=True, slots=True)
class Word:
    """An enumeration, as {"$": word}; no words: any text."""

    words: frozenset[str] = frozenset()
    attributes: tuple[str, ...] = ()


TEXT, TIME, WHOLE, ANY = "text", "time", "whole number", "anything"
_WORK = Word(frozenset({"Production", "Maintenance", "Quality", "Inventory", "Mixed", "Other"}))
_STATUS = Word(
    frozenset(
        {
            "Waiting",
            "Pending",
            "Cancelled",
            "Dispatched",
            "Ready",
            "Running",
            "Completed",
            "Aborted",
            "Held",
            "Suspended",
            "Closed",
            "Other",
        }
    )
)
_LEVEL = Word(
    frozenset({"Enterprise", "Site", "Area", "ProcessCell", "Unit", "ProductionLine", "WorkCell", "WorkUnit", "Other"})
)
_TYPE = Word(frozenset({"string", "double", "integer", "boolean", "dateTime", "uriReference"}))
_VALUE = Shape({"ValueString": TEXT, "DataType": _TYPE, "UnitOfMeasure": TEXT, "Key": TEXT}, ("ValueString",))
_CHILD = Shape({"ID": TEXT, "Value": Many(_VALUE)}, ("ID",))
_PARAMETER = Shape({"ID": TEXT, "Value": Many(_VALUE), "ParameterChild": Many(_CHILD)}, ("ID",))
_SCOPE = Shape({"EquipmentID": TEXT, "EquipmentLevel": _LEVEL}, ("EquipmentID",))
_SCOPE.properties["HierarchyScopeChild"] = _SCOPE
_JOB = Shape(
    {
        "ID": TEXT,
        "Version": TEXT,
        "WorkType": _WORK,
        "Priority": WHOLE,
        "DispatchStatus": _STATUS,
        "PublishedDate": TIME,
        "StartTime": TIME,
        "EndTime": TIME,
        "Description": Many(Word(attributes=("@languageID",))),
        "HierarchyScope": _SCOPE,
        "PhysicalAssetRequirement": Many(
            Shape({"ID": TEXT, "PhysicalAssetID": Many(TEXT, 1), "PhysicalAssetUse": TEXT}, ("ID",))
        ),
        "EquipmentRequirement": Many(
            Shape({"ID": TEXT, "EquipmentID": Many(TEXT, 1), "EquipmentLevel": _LEVEL}, ("ID",))
        ),
        "JobOrderParameter": Many(_PARAMETER),
    },
    ("ID",),
)
CHANGEABLE = frozenset(_JOB.properties) - {"ID", "DispatchStatus", "PublishedDate"}
_AREA = Shape(
    {"CreationDateTime": TIME, "BODID": TEXT, "Sender": Shape({"LogicalID": TEXT}, ("LogicalID",))},
    ("CreationDateTime", "BODID", "Sender"),
)
_CRITERIA = Many(
    Shape(
        {
            "ActionExpression": Many(Word(attributes=("@actionCode",)), 1),
            "ChangeStatus": Shape({"Reason": Many(Word())}),
        },
        ("ActionExpression",),
    ),
    1,
)
_LIST = Many(Shape({"ID": TEXT, ORDER: Many(_JOB, 1)}, ("ID", ORDER)), 1)


def _message(verb: str, said: Shape) -> Shape:
    data = Shape({verb: said, "JobList": _LIST}, (verb, "JobList"))
    parts = {"@releaseID": TEXT, "ApplicationArea": _AREA, "DataArea": data}
    return Shape(parts, ("@releaseID", "ApplicationArea", "DataArea"))


_ACTION = Shape({"ActionCriteria": _CRITERIA}, ("ActionCriteria",))
MESSAGES = {
    "ProcessJobList": _message(
        "Process",
        Shape({"@acknowledgeCode": TEXT, "ActionCriteria": _CRITERIA}, ("@acknowledgeCode", "ActionCriteria")),
    ),
    "ChangeJobList": _message("Change", _ACTION),
    "CancelJobList": _message("Cancel", _ACTION),
    "GetJobList": _message("Get", Shape()),
}


def faults(value: Any, shape: Any, at: str) -> Iterator[tuple[str, str]]:
    """Name each place that is wrong, and why."""
    match shape:
        case Shape():
            yield from _of_object(value, shape, at)
        case Many():
            if not isinstance(value, list) or len(value) < shape.least:
                yield at, "is no list, or an empty one"
            else:
                for number, one in enumerate(value):
                    yield from faults(one, shape.of, f"{at}[{number}]")
        case Word():
            yield from _of_word(value, shape, at)
        case _:
            if not _fits(value, shape):
                yield at, f"is no {shape}"


def _of_object(value: Any, shape: Shape, at: str) -> Iterator[tuple[str, str]]:
    if not isinstance(value, dict):
        yield at, "is no object"
        return
    for name in shape.needed:
        if name not in value:
            yield f"{at}.{name}", "is missing"
    for name, one in value.items():
        if name not in shape.properties:
            yield f"{at}.{name}", "is not allowed"
        else:
            yield from faults(one, shape.properties[name], f"{at}.{name}")


def _of_word(value: Any, shape: Word, at: str) -> Iterator[tuple[str, str]]:
    if not isinstance(value, dict) or not isinstance(value.get("$"), str):
        yield at, "is not written as an object with $"
        return
    if set(value) - {"$", *shape.attributes}:
        yield at, "has attributes that are not allowed"
    if shape.words and value["$"] not in shape.words:
        yield at, f"{value['$']} is none of its words"


def _fits(value: Any, kind: str) -> bool:
    if kind == WHOLE:
        return isinstance(value, int) and not isinstance(value, bool)
    if kind == ANY:
        return True
    if not isinstance(value, str) or not value:
        return False
    if kind == TIME:
        try:
            return datetime.fromisoformat(value).tzinfo is not None
        except ValueError:
            return False
    return True
