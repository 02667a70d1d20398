"""The work order table of Dynamics 365 Field Service, its metadata, and Dataverse's errors."""

from typing import Any

from simulators.erp.asgi import Response, json_response
from simulators.erp.columns import Column, Table, Wrong

KEY, NAME, ID, STATUS = "andon_key", "msdyn_name", "msdyn_workorderid", "msdyn_systemstatus"
TABLE, SET = "msdyn_workorder", "msdyn_workorders"
UNSCHEDULED, CANCELED = 690_970_000, 690_970_005
STATUSES = tuple(range(UNSCHEDULED, CANCELED + 1))
COLUMNS: Table = {
    ID: Column(writable=False),
    NAME: Column(longest=100),
    KEY: Column(longest=20),
    STATUS: Column("choice", choices=STATUSES),
    "msdyn_substatus": Column("link"),
    "msdyn_workordersummary": Column("memo", 2000),
    "msdyn_instructions": Column("memo", 2000),
    "msdyn_timefrompromised": Column("moment"),
    "msdyn_timetopromised": Column("moment"),
    "andon_failuremode": Column(longest=100),
    "andon_assetdown": Column("boolean"),
    "andon_priority": Column("integer"),
    "andon_closingcode": Column(longest=40),
    "createdon": Column("moment", writable=False),
    "modifiedon": Column("moment", writable=False),
}
LINKS = {
    "msdyn_serviceaccount": ("msdyn_serviceaccount", "account", "accounts"),
    "msdyn_workordertype": ("msdyn_workordertype", "msdyn_workordertype", "msdyn_workordertypes"),
    "msdyn_pricelist": ("msdyn_pricelist", "pricelevel", "pricelevels"),
    "msdyn_priority": ("msdyn_priority", "msdyn_priority", "msdyn_priorities"),
    "msdyn_CustomerAsset": ("msdyn_customerasset", "msdyn_customerasset", "msdyn_customerassets"),
}
"""Navigation property -> column, table and entity set that it leads to. Its capitals count."""
_TYPES = {
    "text": "String",
    "memo": "Memo",
    "moment": "DateTime",
    "choice": "Picklist",
    "boolean": "Boolean",
    "integer": "Integer",
    "link": "Lookup",
}
_CASTS = {"StringAttributeMetadata": "text", "MemoAttributeMetadata": "memo"}


def described(*, locking: bool, key: str) -> dict[str, Any]:
    """Give the entity definition with its columns and keys; `key` is the state of the alternate key's index."""
    keys = [{"LogicalName": "andon_key_unique", "KeyAttributes": [KEY], "EntityKeyIndexStatus": key}] if key else []
    columns = [
        {
            "LogicalName": name,
            "AttributeType": _TYPES[column.kind],
            "IsValidForCreate": column.writable,
            "IsValidForUpdate": column.writable,
            "MetadataId": f"00000000-0000-0000-0000-{number:012d}",
        }
        for number, (name, column) in enumerate(COLUMNS.items())
    ]
    return {
        "@odata.context": "$metadata#EntityDefinitions/$entity",
        "LogicalName": TABLE,
        "EntitySetName": SET,
        "IsOptimisticConcurrencyEnabled": locking,
        "Attributes": columns,
        "Keys": keys,
    }


def lengths(cast: str) -> dict[str, Any] | None:
    """Give the longest texts of one type of column, None for a cast that is none of ours."""
    kind = _CASTS.get(cast)
    if kind is None:
        return None
    rows = [
        {"LogicalName": name, "MaxLength": column.longest or 100}
        for name, column in COLUMNS.items()
        if column.kind == kind
    ]
    return {"value": rows}


def relations() -> dict[str, Any]:
    """Give where the links of a work order lead."""
    rows = [
        {
            "ReferencingAttribute": column,
            "ReferencingEntityNavigationPropertyName": navigation,
            "ReferencedEntity": table,
        }
        for navigation, (column, table, _) in LINKS.items()
    ]
    return {"value": rows}


def error(status: int, code: str, message: str, **headers: str) -> Response:
    """Give an error as Dataverse does."""
    return json_response(status, {"error": {"code": code, "message": message}}, odata_version="4.0", **headers)


def not_taken(wrong: Wrong) -> Response:
    """Say what is wrong with a column, in Dataverse's words."""
    match wrong.why:
        case "length":
            text = f"A validation error occurred. The length of the '{wrong.column}' attribute of the '{TABLE}' entity"
            return error(400, "0x80044331", f"{text} exceeded the maximum allowed length of '{wrong.detail}'.")
        case "choice":
            text = f"A validation error occurred. The value of '{wrong.column}' on record of type '{TABLE}'"
            return error(400, "0x80048408", f"{text} is outside the valid range.")
        case "unknown":
            inner = f"The property '{wrong.column}' does not exist on type 'Microsoft.Dynamics.CRM.{TABLE}'."
        case _:
            inner = f"Cannot convert the literal '{wrong.detail}' to the expected type for property '{wrong.column}'."
    head = f"Error identified in Payload provided by the user for Entity :'{SET}', For more information on this error"
    link = "please follow this help link https://go.microsoft.com/fwlink/?linkid=2195293"
    return error(400, "0x80048d19", f"{head} {link}  ---->  InnerException : Microsoft.OData.ODataException: {inner}")
