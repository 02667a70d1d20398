"""The maintenance work order of Oracle Fusion, its `describe`, and the errors of its REST framework."""

import json
from typing import Any

from simulators.erp.asgi import Response
from simulators.erp.columns import Column, Table, Wrong

RESOURCE, ID, NUMBER, STATUS = "maintenanceWorkOrders", "WorkOrderId", "WorkOrderNumber", "WorkOrderStatusCode"
UNRELEASED, CANCELED = "ORA_UNRELEASED", "ORA_CANCELED"
STATUSES = (UNRELEASED, "ORA_RELEASED", "ORA_ON_HOLD", "ORA_COMPLETED", "ORA_CLOSED", CANCELED)
COLUMNS: Table = {
    ID: Column("integer", writable=False),
    NUMBER: Column(longest=120, once=True),
    "OrganizationId": Column("integer", once=True),
    "OrganizationCode": Column(longest=18, once=True),
    "WorkOrderDescription": Column(longest=240),
    "AssetNumber": Column(longest=80, once=True, needed=True),
    "WorkOrderTypeCode": Column(longest=30, choices=("CORRECTIVE", "PREVENTIVE")),
    "WorkOrderSubTypeCode": Column(longest=30),
    "WorkOrderPriority": Column("integer"),
    STATUS: Column(longest=30, choices=STATUSES),
    "CanceledReason": Column(longest=240),
    "PlannedStartDate": Column("moment"),
    "PlannedCompletionDate": Column("moment"),
    "LastUpdateDate": Column("moment", writable=False),
}
_TYPES = {"text": "string", "integer": "integer", "moment": "datetime", "boolean": "boolean"}
ERROR = "application/vnd.oracle.adf.error+json"


def described() -> dict[str, Any]:
    """Give `describe` of the resource."""
    attributes: list[dict[str, Any]] = []
    for name, column in COLUMNS.items():
        row = {
            "name": name,
            "type": _TYPES[column.kind],
            "updatable": column.writable and not column.once,
            "mandatory": column.needed,
            "queryable": True,
            "allowChanges": "never" if not column.writable else "inCreate" if column.once else "always",
        }
        attributes.append(row | ({"precision": column.longest} if column.longest else {}))
    return {"Resources": {RESOURCE: {"discrColumnType": False, "title": "Work Orders", "attributes": attributes}}}


def error(status: int, title: str, *details: dict[str, str]) -> Response:
    """Give an error as the framework does from version 2 on."""
    body = {"title": title, "status": str(status), "o:errorDetails": list(details)}
    return Response(status, json.dumps(body).encode(), {"content-type": ERROR})


def detail(code: str, text: str, path: str = "") -> dict[str, str]:
    """Give one detail of an error."""
    return {"detail": text, "o:errorCode": code} | ({"o:errorPath": f"/{path}"} if path else {})


def not_taken(wrong: Wrong) -> Response:
    """Say what is wrong with an attribute, in the framework's words."""
    name = wrong.column
    match wrong.why:
        case "unknown":
            told = detail("27511", f"URL request parameter {name} cannot be used in this context.", name)
        case "length":
            text = f"The attribute {name} exceeds the maximum length of {wrong.detail}."
            told = detail("27011", f"JBO-27011: {text}", name)
        case "missing":
            told = detail("27014", f"JBO-27014: Attribute {name} in MaintenanceWorkOrder is required.", name)
        case "read only":
            told = detail("27008", f"JBO-27008: Attribute set for {name} in view object WorkOrder failed.", name)
        case _:
            told = detail("27010", f"JBO-27010: Attribute {name} has the invalid value {wrong.detail}.", name)
    return error(400, "Bad Request", told)
