"""The work order of IBM Maximo, its JSON schema, and the errors of its REST API."""

from typing import Any

from simulators.erp.asgi import Response, json_response
from simulators.erp.columns import Column, Table, Wrong

NUMBER, SITE, STATUS, STAMP, STRUCTURE = "wonum", "siteid", "status", "_rowstamp", "mxapiwodetail"
WAITING, CANCELLED = "WAPPR", "CAN"
STATUSES = ("WAPPR", "APPR", "WSCH", "WMATL", "WPCOND", "INPRG", "COMP", "CLOSE", "CAN")
COLUMNS: Table = {
    NUMBER: Column(longest=25, once=True),
    SITE: Column(longest=8, once=True, needed=True),
    "description": Column(longest=100),
    "description_longdescription": Column("memo", 32000),
    "assetnum": Column(longest=25),
    "location": Column(longest=25),
    "worktype": Column(longest=5),
    "wopriority": Column("integer"),
    "problemcode": Column(longest=8),
    "failurecode": Column(longest=8),
    "reportdate": Column("moment"),
    "targstartdate": Column("moment"),
    "targcompdate": Column("moment"),
    STATUS: Column(longest=16, choices=STATUSES),
    "status_description": Column(writable=False),
    "workorderid": Column("integer", writable=False),
    "changedate": Column("moment", writable=False),
}
_SUBTYPES = {"integer": "INTEGER", "moment": "DATETIME", "boolean": "YORN"}


def schema(longest_number: int) -> dict[str, Any]:
    """Give the JSON schema of the object structure."""
    properties: dict[str, dict[str, Any]] = {}
    for name, column in COLUMNS.items():
        kind = {"integer": "integer", "boolean": "boolean"}.get(column.kind, "string")
        limit = longest_number if name == NUMBER else column.longest
        row: dict[str, Any] = {"type": kind, "title": name, "subType": _SUBTYPES.get(column.kind, "ALN")}
        properties[name] = row | ({"maxLength": limit} if limit else {})
    properties["wplabor"] = {"type": "array", "cardinality": "MULTIPLE", "relation": "WPLABOR"}
    return {
        "$schema": "http://json-schema.org/draft-04/schema#",
        "resource": STRUCTURE.upper(),
        "title": "WORKORDER",
        "type": "object",
        "pk": [SITE, NUMBER],
        "required": [SITE],
        "properties": properties,
    }


def error(status: int, code: str, message: str) -> Response:
    """Give an error as Maximo does; `lean` or not, it has this form."""
    more = {"href": f"https://maximo.example/maximo/api/error/messages/{code}"}
    told = {"reasonCode": code, "message": f"{code} - {message}", "statusCode": str(status)}
    return json_response(status, {"Error": {"extendedError": {"moreInfo": more}, **told}})


def not_taken(wrong: Wrong) -> Response:
    """Say what is wrong with an attribute, in Maximo's words."""
    name = wrong.column
    match wrong.why:
        case "unknown":
            return error(400, "BMXAA9117E", f"The OSLC resource has no property {name}.")
        case "length":
            text = f"The string specified for {name.upper()} is greater than the maximum length of {wrong.detail}."
            return error(400, "BMXAA4121E", text)
        case "missing":
            return error(
                400, "BMXAA4195E", f"A value is required for the {name.upper()} field on the WORKORDER object."
            )
        case "read only":
            return error(400, "BMXAA4147E", f"The field {name.upper()} is read-only.")
        case _:
            return error(400, "BMXAA4190E", f"{name.upper()} {wrong.detail} is not in the value list.")
