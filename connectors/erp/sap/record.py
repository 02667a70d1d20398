"""Notifications, orders and defects as SAP gives them: which is which, their numbers, what their statuses mean."""

import re
from typing import Any, Literal

import msgspec

from connectors.erp.maker import maker
from gateway.core.delivery import ErpRef
from gateway.core.errors import Refused


class Kind(msgspec.Struct, frozen=True):
    """One entity set of one service; `number` is the property that is its key, `status` has its system statuses."""

    service: str
    entity: str
    number: str
    status: str = ""


NOTIFICATION = Kind(
    "API_MAINTNOTIFICATION", "MaintenanceNotification", "MaintenanceNotification", "ConcatenatedActiveSystStsName"
)
ORDER = Kind("API_MAINTENANCEORDER;v=0002", "MaintenanceOrder", "MaintenanceOrder", "SystemStatusText")
DEFECT = Kind("API_DEFECT_SRV", "A_Defect", "DefectInternalID")
REFERENCE, LONG_TEXT, CREATED_BY = "MaintNotifExtReferenceNumber", "MaintNotifLongTextForEdit", "CreatedByUser"
_DONE, _GONE = {"TECO", "CLSD", "NOCO"}, {"DLFL"}
BEGUN = {"REL", "PCNF", "CNF", "NOPR"}
"""System statuses of an order that somebody has begun."""
_LONGEST_NUMBER = 12
_DEFECT = re.compile(r"[A-Za-z0-9$]{1,12}")

Row = dict[str, Any]


def number_of(row: Row, name: str) -> str:
    """Give the number of a notification or an order, "" for what is none."""
    value = row.get(name)
    return value if isinstance(value, str) and value.isdecimal() and len(value) <= _LONGEST_NUMBER else ""


def digits(number: str) -> str:
    """Give a number that may stand in an address. Raises `Refused` for anything else."""
    if not number.isdecimal() or len(number) > _LONGEST_NUMBER:
        raise Refused(f"{number[:20]!r} is no number of an SAP order")
    return number


def is_defect(number: str) -> bool:
    """Say whether a number, as we call it, is a defect's."""
    return number.startswith(f"{DEFECT.entity},")


def defect_of(row: Row) -> str:
    """Give the internal id of a defect ("$00000000372"), "" for what is none."""
    value = row.get(DEFECT.number)
    return value if isinstance(value, str) and _DEFECT.fullmatch(value) else ""


def defect_id(number: str) -> str:
    """Give the id that a defect's number means, as it may stand in an address. Raises `Refused`."""
    found = number.removeprefix(f"{DEFECT.entity},")
    if not _DEFECT.fullmatch(found):
        raise Refused(f"{number[:40]!r} is no number of an SAP defect")
    return found


def ref_of(key: str, row: Row, kind: Kind, etag: str = "") -> ErpRef:
    """Give a notification or an order as ours; DLFL is cancelled, TECO, CLSD and NOCO are done."""
    status = str(row.get(kind.status) or "")
    words = set(status.split())
    state: Literal["open", "done", "cancelled", "unknown"] = "open" if words else "unknown"
    if words & _DONE:
        state = "done"
    if words & _GONE:
        state = "cancelled"
    code = str(row.get("MaintenanceActivityType") or "") if state == "done" else ""
    return ErpRef(
        key,
        str(row.get(kind.number, "")),
        status[:64],
        version=etag,
        closing_code=code or None,
        state=state,
        maker=maker(row.get(CREATED_BY)),
    )


def etag_in(row: Row) -> str:
    """Give the ETag that stands in an entity of a list, "" where there is none."""
    inner = row.get("__metadata")
    told = inner.get("etag") if isinstance(inner, dict) else None
    return told if isinstance(told, str) else ""
