"""Notifications and orders as SAP gives them: which is which, their numbers, what their statuses mean."""

from typing import Any, Literal

from gateway.core.delivery import ErpRef
from gateway.core.errors import Refused

NOTIFICATIONS, NOTIFICATION = "API_MAINTNOTIFICATION", "MaintenanceNotification"
ORDERS, ORDER = "API_MAINTENANCEORDER;v=0002", "MaintenanceOrder"
REFERENCE, STATUS, LONG_TEXT = (
    "MaintNotifExtReferenceNumber",
    "ConcatenatedActiveSystStsName",
    "MaintNotifLongTextForEdit",
)
_DONE, _GONE = {"TECO", "CLSD", "NOCO"}, {"DLFL"}
BEGUN = {"REL", "PCNF", "CNF", "NOPR"}
"""System statuses of an order that somebody has begun."""

Row = dict[str, Any]


def number_of(row: Row, name: str) -> str:
    """Give the number of a notification or an order, "" for what is none."""
    value = row.get(name)
    return value if isinstance(value, str) and value.isdecimal() and len(value) <= 12 else ""  # noqa: PLR2004  CHAR 12


def digits(number: str) -> str:
    """Give a number that may stand in an address. Raises `Refused` for anything else."""
    if not number.isdecimal() or len(number) > 12:  # noqa: PLR2004  CHAR 12
        raise Refused(f"{number[:20]!r} is no number of an SAP order")
    return number


def ref_of(key: str, row: Row, entity: str, etag: str = "") -> ErpRef:
    """Give a notification or an order as ours; DLFL is cancelled, TECO, CLSD and NOCO are done."""
    status = str(row.get(STATUS) or "")
    words = set(status.split())
    state: Literal["open", "done", "cancelled", "unknown"] = "open" if words else "unknown"
    if words & _DONE:
        state = "done"
    if words & _GONE:
        state = "cancelled"
    code = str(row.get("MaintenanceActivityType") or "") if state == "done" else ""
    return ErpRef(key, str(row.get(entity, "")), status[:64], version=etag, closing_code=code or None, state=state)
