"""The words of B2MML, and what MESA's schema lets pass: enumerations, times, priorities (pure)."""

import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, Literal

from connectors.erp.rest.plan import State

RELEASE = "V0700"
WORK_TYPES = frozenset({"Production", "Maintenance", "Quality", "Inventory", "Mixed", "Other"})
OPEN = frozenset({"Waiting", "Pending", "Dispatched", "Ready"})
"""Nobody has begun."""
BEGUN = frozenset({"Running", "Held", "Suspended", "Paused"})
DONE = frozenset({"Completed", "Closed"})
CANCELLED = frozenset({"Cancelled", "Aborted"})
STATUSES = OPEN | BEGUN | DONE | CANCELLED | {"Other"}
LEVELS: Mapping[str, str] = {
    "enterprise": "Enterprise",
    "site": "Site",
    "area": "Area",
    "line": "ProductionLine",
    "work_unit": "WorkUnit",
}
"""Our levels of the equipment hierarchy, and those of ISA-95."""
_ENUMS: Mapping[str, frozenset[str]] = {
    "WorkType": WORK_TYPES,
    "DispatchStatus": STATUSES - {"Paused"},
    "EquipmentLevel": frozenset({*LEVELS.values(), "ProcessCell", "Unit", "ProductionUnit", "WorkCell", "Other"}),
    "DataType": frozenset({"string", "double", "integer", "boolean", "dateTime", "uriReference"}),
}
_TIMES = frozenset({"StartTime", "EndTime", "PublishedDate", "CreationDateTime"})
_NAMED = ("JobOrder", "JobOrderParameter", "ParameterChild", "EquipmentRequirement", "PhysicalAssetRequirement")
_ZONED = re.compile(r"T.*(Z|[+-]\d{2}:\d{2})$")


def word(value: object) -> str:
    """Read an enumeration: {"$": "Running"}, or the bare word that some write; "" when it is none."""
    inner = value.get("$") if isinstance(value, Mapping) else value
    return inner if isinstance(inner, str) else ""


def meaning(status: str) -> State:
    """Say what a DispatchStatus or JobState means to us."""
    if status in OPEN | BEGUN:
        return "open"
    return "done" if status in DONE else "cancelled" if status in CANCELLED else "unknown"


def faults(value: Any, at: str = "") -> Iterator[str]:
    """Name what is wrong with a message although MESA's schema lets it pass."""
    if isinstance(value, list):
        for number, one in enumerate(value):
            yield from faults(one, f"{at}[{number}]")
        return
    if not isinstance(value, dict):
        return
    for name, one in value.items():
        place = f"{at}.{name}" if at else name
        if name == "Command":
            yield f"{place}: a command orders execution"
        yield from _wrong(name, one, place)
        yield from faults(one, place)


def _wrong(name: str, value: Any, place: str) -> Iterator[str]:
    if name in _ENUMS and not (isinstance(value, dict) and value.get("$") in _ENUMS[name]):
        yield f'{place}: {value!r} is none of {{"$": {sorted(_ENUMS[name])}}}'
    if name in _TIMES and not _is_time(value):
        yield f"{place}: {value!r} is no time with a zone"
    if name == "Priority" and (isinstance(value, bool) or not isinstance(value, int)):
        yield f"{place}: {value!r} is no whole number"
    if name in _NAMED and isinstance(value, list):
        yield from (
            f"{place}[{number}]: the ID is missing"
            for number, one in enumerate(value)
            if not (isinstance(one, dict) and isinstance(one.get("ID"), str) and one["ID"])
        )


def _is_time(value: object) -> bool:
    if not isinstance(value, str) or not _ZONED.search(value):
        return False
    try:
        datetime.fromisoformat(value)
    except ValueError:
        return False
    return True


Verb = Literal["Process", "Get", "Change", "Cancel"]
