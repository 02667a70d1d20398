"""The data types of ISA-95 Job Control v2, under the numbers of the standard, in an OPC UA server's address space."""

from typing import NamedTuple

from asyncua import Server, ua
from asyncua.common.manage_nodes import create_data_type, create_encoding

URI = "http://opcfoundation.org/UA/ISA95-JOBCONTROL_V2/"
_BASIC = {
    "String": ua.ObjectIds.String,
    "DateTime": ua.ObjectIds.DateTime,
    "Int16": ua.ObjectIds.Int16,
    "UInt32": ua.ObjectIds.UInt32,
    "Variant": ua.ObjectIds.BaseDataType,
    "LocalizedText": ua.ObjectIds.LocalizedText,
    "EUInformation": ua.ObjectIds.EUInformation,
    "RelativePath": ua.ObjectIds.RelativePath,
}
TYPES: dict[str, tuple[int, int, str]] = {
    "ISA95PropertyDataType": (
        3002,
        5002,
        """
        ID:String Value:Variant Description:LocalizedText[]? EngineeringUnits:EUInformation?
        Subproperties:ISA95PropertyDataType[]?
        """,
    ),
    "ISA95ParameterDataType": (
        3003,
        5005,
        """
        ID:String Value:Variant Description:LocalizedText[]? EngineeringUnits:EUInformation?
        Subparameters:ISA95ParameterDataType[]?
        """,
    ),
    "ISA95EquipmentDataType": (
        3005,
        5008,
        """
        ID:String Description:LocalizedText[]? EquipmentUse:String? Quantity:String?
        EngineeringUnits:EUInformation? Properties:ISA95PropertyDataType[]?
        """,
    ),
    "ISA95StateDataType": (3006, 5029, "BrowsePath:RelativePath StateText:LocalizedText StateNumber:UInt32"),
    "ISA95WorkMasterDataType": (
        3007,
        5011,
        """
        ID:String Description:LocalizedText? Parameters:ISA95ParameterDataType[]?
        """,
    ),
    "ISA95MaterialDataType": (
        3010,
        5017,
        """
        MaterialClassID:String? MaterialDefinitionID:String? MaterialLotID:String?
        MaterialSublotID:String? Description:LocalizedText[]? MaterialUse:String? Quantity:String?
        EngineeringUnits:EUInformation? Properties:ISA95PropertyDataType[]?
        """,
    ),
    "ISA95PersonnelDataType": (
        3011,
        5020,
        """
        ID:String Description:LocalizedText[]? PersonnelUse:String? Quantity:String?
        EngineeringUnits:EUInformation? Properties:ISA95PropertyDataType[]?
        """,
    ),
    "ISA95PhysicalAssetDataType": (
        3012,
        5023,
        """
        ID:String Description:LocalizedText[]? PhysicalAssetUse:String? Quantity:String?
        EngineeringUnits:EUInformation? Properties:ISA95PropertyDataType[]?
        """,
    ),
    "ISA95JobOrderDataType": (
        3008,
        5014,
        """
        JobOrderID:String Description:LocalizedText[]? WorkMasterID:ISA95WorkMasterDataType[]?
        StartTime:DateTime? EndTime:DateTime? Priority:Int16?
        JobOrderParameters:ISA95ParameterDataType[]? PersonnelRequirements:ISA95PersonnelDataType[]?
        EquipmentRequirements:ISA95EquipmentDataType[]?
        PhysicalAssetRequirements:ISA95PhysicalAssetDataType[]?
        MaterialRequirements:ISA95MaterialDataType[]?
        """,
    ),
    "ISA95JobResponseDataType": (
        3013,
        5026,
        """
        JobResponseID:String Description:LocalizedText? JobOrderID:String StartTime:DateTime?
        EndTime:DateTime? JobState:ISA95StateDataType[] JobResponseData:ISA95ParameterDataType[]?
        PersonnelActuals:ISA95PersonnelDataType[]? EquipmentActuals:ISA95EquipmentDataType[]?
        PhysicalAssetActuals:ISA95PhysicalAssetDataType[]? MaterialActuals:ISA95MaterialDataType[]?
        """,
    ),
    "ISA95JobOrderAndStateDataType": (3015, 5032, "JobOrder:ISA95JobOrderDataType State:ISA95StateDataType[]"),
}
"""Each type: its number, that of its binary encoding, and its fields; [] is a list, ? is optional."""


class _Part(NamedTuple):
    name: str
    kind: str
    many: bool
    optional: bool


def _parts(text: str) -> list[_Part]:
    found = []
    for word in text.split():
        name, _, kind = word.partition(":")
        optional = kind.endswith("?")
        kind = kind.rstrip("?")
        found.append(_Part(name, kind.removesuffix("[]"), kind.endswith("[]"), optional))
    return found


async def add_types(server: Server, index: int) -> None:
    """Add the types in namespace `index`, and have the library make its classes of them."""
    for name, (number, encoding, fields) in TYPES.items():
        node = await create_data_type(
            server.nodes.base_structure_type, ua.NodeId(number, index), ua.QualifiedName(name, index)
        )
        binary = await create_encoding(node, ua.NodeId(encoding, index), ua.QualifiedName("Default Binary", 0))
        parts = _parts(fields)
        some = any(part.optional for part in parts)
        made = ua.StructureDefinition(
            DefaultEncodingId=binary.nodeid,
            BaseDataType=server.nodes.base_structure_type.nodeid,
            StructureType=ua.StructureType.StructureWithOptionalFields if some else ua.StructureType.Structure,
            Fields=[_field(part, index) for part in parts],
        )
        await node.write_data_type_definition(made)
    await server.load_data_type_definitions()


def _field(part: _Part, index: int) -> ua.StructureField:
    kind = ua.NodeId(_BASIC[part.kind]) if part.kind in _BASIC else ua.NodeId(TYPES[part.kind][0], index)
    return ua.StructureField(
        Name=part.name,
        Description=ua.LocalizedText(part.name),
        DataType=kind,
        ValueRank=ua.ValueRank.OneDimension if part.many else ua.ValueRank.Scalar,
        ArrayDimensions=[0] if part.many else None,
        IsOptional=part.optional,
    )
