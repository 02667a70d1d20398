"""The entities of SAP that an order needs: their properties with type and length, and SAP Gateway's errors."""

from typing import Any

from simulators.erp.asgi import Response, json_response

NOTIFICATIONS, ORDERS, DEFECTS = "API_MAINTNOTIFICATION", "API_MAINTENANCEORDER;v=0002", "API_DEFECT_SRV"
ENTITIES = {NOTIFICATIONS: "MaintenanceNotification", ORDERS: "MaintenanceOrder", DEFECTS: "A_Defect"}
STATUS = {"MaintenanceNotification": "ConcatenatedActiveSystStsName", "MaintenanceOrder": "SystemStatusText"}
KEYS = {**{name: name for name in ENTITIES.values()}, "A_Defect": "DefectInternalID"}
_S, _B, _D, _T, _O = "Edm.String", "Edm.Boolean", "Edm.DateTime", "Edm.Time", "Edm.DateTimeOffset"
_N, _I = "Edm.Decimal", "Edm.Int32"
PROPERTIES: dict[str, dict[str, tuple[str, int | None]]] = {
    NOTIFICATIONS: {
        "MaintenanceNotification": (_S, 12),
        "NotificationType": (_S, 2),
        "NotificationText": (_S, 40),
        "MaintNotifLongTextForEdit": (_S, 1333),
        "TechnicalObject": (_S, 40),
        "TechObjIsEquipOrFuncnlLoc": (_S, 20),
        "TechnicalObjectLabel": (_S, 40),
        "FunctionalLocation": (_S, 30),
        "MaintPriority": (_S, 1),
        "MalfunctionEffect": (_S, 1),
        "MaintenanceObjectIsDown": (_B, None),
        "MalfunctionStartDate": (_D, None),
        "MalfunctionStartTime": (_T, None),
        "RequiredStartDate": (_D, None),
        "RequiredEndDate": (_D, None),
        "MaintenancePlanningPlant": (_S, 4),
        "MaintenancePlannerGroup": (_S, 3),
        "MainWorkCenter": (_S, 8),
        "MainWorkCenterPlant": (_S, 4),
        "ReportedByUser": (_S, 12),
        "MaintNotifExtReferenceNumber": (_S, 20),
        "ConcatenatedActiveSystStsName": (_S, 224),
        "LastChangeDateTime": (_O, None),
    },
    ORDERS: {
        "MaintenanceOrder": (_S, 12),
        "MaintenanceOrderType": (_S, 4),
        "MaintenanceOrderDesc": (_S, 40),
        "MaintenanceNotification": (_S, 12),
        "Equipment": (_S, 18),
        "FunctionalLocation": (_S, 30),
        "MaintPriority": (_S, 1),
        "MaintPriorityType": (_S, 2),
        "MaintOrdBasicStartDateTime": (_O, None),
        "MaintOrdBasicEndDateTime": (_O, None),
        "MaintenancePlanningPlant": (_S, 4),
        "MainWorkCenter": (_S, 8),
        "MainWorkCenterPlant": (_S, 4),
        "MaintenanceActivityType": (_S, 3),
        "CreatedByUser": (_S, 12),
        "SystemStatusText": (_S, 40),
    },
    # As the packages of SAP's Cloud SDK for this service list them (2.1.0, cloud and on premise alike).
    DEFECTS: {
        "DefectInternalID": (_S, 12),
        "Defect": (_S, 11),
        "DefectCategory": (_S, 2),
        "CreatedByUser": (_S, 12),
        "CreationDate": (_D, None),
        "LastChangedByUser": (_S, 12),
        "LastChangeDate": (_D, None),
        "DefectText": (_S, 40),
        "DefectCodeCatalog": (_S, 1),
        "DefectCodeGroup": (_S, 8),
        "DefectCode": (_S, 4),
        "DefectObjectCodeCatalog": (_S, 1),
        "DefectObjectCodeGroup": (_S, 8),
        "DefectObjectCode": (_S, 4),
        "DefectiveQuantity": (_N, None),
        "DefectiveQuantityUnit": (_S, 3),
        "ManufacturingOrder": (_S, 12),
        "ManufacturingOrderOperation": (_S, 4),
        "DefectClass": (_S, 2),
        "NumberOfDefects": (_I, None),
        "WorkCenterTypeCode": (_S, 2),
        "MainWorkCenterPlant": (_S, 4),
        "MainWorkCenter": (_S, 8),
        "Equipment": (_S, 18),
        "FunctionalLocation": (_S, 40),
        "IsDeleted": (_S, 1),
        "DefectOrigin": (_S, 1),
        "Material": (_S, 40),
        "Plant": (_S, 4),
        "InspectionLot": (_S, 12),
        "CatalogProfile": (_S, 9),
        "ChangedDateTime": (_O, None),
    },
}


class NotTakenError(Exception):
    """A property that SAP does not take."""

    def __init__(self, target: str, message: str) -> None:
        super().__init__(message)
        self.target = target


def known(service: str, more: dict[str, int]) -> dict[str, tuple[str, int | None]]:
    """Give the properties of a service. `more` are texts of a defect beyond the published ones, and their lengths."""
    return PROPERTIES[service] | ({name: (_S, longest) for name, longest in more.items()} if service == DEFECTS else {})


def checked(service: str, body: dict[str, Any], more: dict[str, int]) -> dict[str, Any]:
    """Hold a body against the properties. Raises `NotTakenError`."""
    properties = known(service, more)
    for name, value in body.items():
        if name not in properties:
            raise NotTakenError(name, f"Property '{name}' is invalid for entity '{ENTITIES[service]}'")
        kind, longest = properties[name]
        if kind == _B and not isinstance(value, bool):
            raise NotTakenError(name, f"Property '{name}' at offset '1' has invalid value")
        if kind not in (_B, _I) and value is not None and not isinstance(value, str):
            raise NotTakenError(name, f"Property '{name}' at offset '1' has invalid value")
        if longest is not None and value is not None and len(value.encode("utf-16-le")) // 2 > longest:
            raise NotTakenError(name, f"Property '{name}' has invalid value: maximum length is {longest}")
        if kind == _D and value is not None and not value.startswith("/Date("):
            raise NotTakenError(name, f"Property '{name}' has no date")
    return body


def error(status: int, code: str, message: str, target: str = "") -> Response:
    """Give an error as OData V2 has it, with the insides that SAP Gateway adds."""
    detail = {"code": code, "message": message, "propertyref": "", "severity": "error", "target": target}
    inner = {
        "application": {"component_id": "PM", "service_id": "API_MAINTNOTIFICATION", "service_version": "0001"},
        "transactionid": "F4DE2F8C4B2E0110E0065A0E8AD8A9C1",
        "Error_Resolution": {"SAP_Transaction": "Run transaction /IWFND/ERROR_LOG on SAP Gateway hub system"},
        "errordetails": [detail],
    }
    return json_response(
        status, {"error": {"code": code, "message": {"lang": "en", "value": message}, "innererror": inner}}
    )


def metadata(service: str, more: dict[str, int], hidden: list[str], actions: list[str]) -> bytes:
    """Give the `$metadata` document of a service; one cannot ask for entities by what is `hidden`."""
    imports = "".join(f'<FunctionImport Name="{name}" m:HttpMethod="POST"/>' for name in actions)
    rows = "".join(
        f'<Property Name="{name}" Type="{kind}"{f" MaxLength={chr(34)}{longest}{chr(34)}" if longest else ""}'
        f'{chr(32) + "sap:filterable=" + chr(34) + "false" + chr(34) if name in hidden else ""} sap:label="x"/>'
        for name, (kind, longest) in known(service, more).items()
    )
    entity = ENTITIES[service]
    return (
        '<?xml version="1.0" encoding="utf-8"?><edmx:Edmx Version="1.0"><edmx:DataServices><Schema Namespace="cds_api">'
        f'<EntityType Name="{entity}Type"><Key><PropertyRef Name="{KEYS[entity]}"/></Key>{rows}</EntityType>'
        '<EntityType Name="OtherType"><Property Name="Elsewhere" Type="Edm.String"/></EntityType>'
        '<EntityContainer Name="cds_api_Entities"><EntitySet Name="Other" EntityType="cds_api.OtherType"/>'
        f'<EntitySet Name="{entity}" EntityType="cds_api.{entity}Type"/>{imports}</EntityContainer>'
        "</Schema></edmx:DataServices></edmx:Edmx>"
    ).encode()
