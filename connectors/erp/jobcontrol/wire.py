"""The structures of ISA-95 Job Control on the wire: each field in its order, optional ones behind a mask of bits.

Written and read here, because the library registers structures for a whole process by a number that every server
gives anew.
"""

import struct
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from asyncua import ua
from asyncua.common.utils import Buffer
from asyncua.ua import ua_binary

NAMESPACE = "http://opcfoundation.org/UA/ISA95-JOBCONTROL_V2/"
ENCODINGS = {"JobOrder": 5014, "JobResponse": 5026, "JobOrderAndState": 5032}
"""The numbers of the binary encodings in that namespace."""
_MOST = 100_000
BROKEN = (ua.UaError, struct.error, ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)
"""What the library raises on bytes that are none of its own."""
_DEEPEST = 32

Structure = Mapping[str, Any]


class Unreadable(ValueError):
    """The bytes are not such a structure."""


class Field(NamedTuple):
    """One field: its name, its type (a structure of `SHAPES`, or a built-in type), and how it may occur."""

    name: str
    kind: str
    many: bool = False
    optional: bool = False


def _resource(use: str) -> tuple[Field, ...]:
    return (
        Field("ID", "String"),
        Field("Description", "LocalizedText", many=True, optional=True),
        Field(use, "String", optional=True),
        Field("Quantity", "String", optional=True),
        Field("EngineeringUnits", "EUInformation", optional=True),
        Field("Properties", "Property", many=True, optional=True),
    )


def _valued(kind: str, more: str) -> tuple[Field, ...]:
    return (
        Field("ID", "String"),
        Field("Value", "Variant"),
        Field("Description", "LocalizedText", many=True, optional=True),
        Field("EngineeringUnits", "EUInformation", optional=True),
        Field(more, kind, many=True, optional=True),
    )


def _resources(ending: str) -> tuple[Field, ...]:
    kinds = ("Personnel", "Equipment", "PhysicalAsset", "Material")
    return tuple(Field(f"{kind}{ending}", kind, many=True, optional=True) for kind in kinds)


SHAPES: dict[str, tuple[Field, ...]] = {
    "Parameter": _valued("Parameter", "Subparameters"),
    "Property": _valued("Property", "Subproperties"),
    "Personnel": _resource("PersonnelUse"),
    "Equipment": _resource("EquipmentUse"),
    "PhysicalAsset": _resource("PhysicalAssetUse"),
    "Material": (
        *(
            Field(name, "String", optional=True)
            for name in ("MaterialClassID", "MaterialDefinitionID", "MaterialLotID", "MaterialSublotID")
        ),
        Field("Description", "LocalizedText", many=True, optional=True),
        Field("MaterialUse", "String", optional=True),
        Field("Quantity", "String", optional=True),
        Field("EngineeringUnits", "EUInformation", optional=True),
        Field("Properties", "Property", many=True, optional=True),
    ),
    "WorkMaster": (
        Field("ID", "String"),
        Field("Description", "LocalizedText", optional=True),
        Field("Parameters", "Parameter", many=True, optional=True),
    ),
    "State": (
        Field("BrowsePath", "RelativePath"),
        Field("StateText", "LocalizedText"),
        Field("StateNumber", "UInt32"),
    ),
    "JobOrder": (
        Field("JobOrderID", "String"),
        Field("Description", "LocalizedText", many=True, optional=True),
        Field("WorkMasterID", "WorkMaster", many=True, optional=True),
        Field("StartTime", "DateTime", optional=True),
        Field("EndTime", "DateTime", optional=True),
        Field("Priority", "Int16", optional=True),
        Field("JobOrderParameters", "Parameter", many=True, optional=True),
        *_resources("Requirements"),
    ),
    "JobOrderAndState": (Field("JobOrder", "JobOrder"), Field("State", "State", many=True)),
    "JobResponse": (
        Field("JobResponseID", "String"),
        Field("Description", "LocalizedText", optional=True),
        Field("JobOrderID", "String"),
        Field("StartTime", "DateTime", optional=True),
        Field("EndTime", "DateTime", optional=True),
        Field("JobState", "State", many=True),
        Field("JobResponseData", "Parameter", many=True, optional=True),
        *_resources("Actuals"),
    ),
}
_SIMPLE = ("String", "DateTime", "Int16", "UInt32")
_WRITE: dict[str, Callable[[Any], bytes]] = {
    **{name: getattr(ua_binary.Primitives, name).pack for name in _SIMPLE},
    "Variant": ua_binary.variant_to_binary,
    **dict.fromkeys(("LocalizedText", "EUInformation", "RelativePath"), ua_binary.struct_to_binary),
}
_READ: dict[str, Callable[[Buffer], Any]] = {
    **{name: getattr(ua_binary.Primitives, name).unpack for name in _SIMPLE},
    "Variant": ua_binary.variant_from_binary,
    "LocalizedText": lambda data: ua_binary.struct_from_binary(ua.LocalizedText, data),
    "EUInformation": lambda data: ua_binary.struct_from_binary(ua.EUInformation, data),
    "RelativePath": lambda data: ua_binary.struct_from_binary(ua.RelativePath, data),
}


def boxed(kind: str, value: Structure, index: int) -> ua.ExtensionObject:
    """Put a structure into the box that travels; `index` is the namespace's on this server."""
    return ua.ExtensionObject(TypeId=ua.NodeId(ENCODINGS[kind], index), Body=encode(kind, value))


def unboxed(kind: str, box: object, index: int) -> dict[str, Any]:
    """Take a structure out of its box. Raises `Unreadable`."""
    if not isinstance(box, ua.ExtensionObject) or not isinstance(box.Body, bytes):
        raise Unreadable(f"no {kind} but {type(box).__name__}")
    if box.TypeId != ua.NodeId(ENCODINGS[kind], index):
        raise Unreadable(f"no {kind} but {box.TypeId}")
    return decode(kind, box.Body)


def name_of(box: object, index: int) -> str:
    """Read the JobOrderID of a boxed JobOrderAndState, and no more: a list may be long. Raises `Unreadable`."""
    if not isinstance(box, ua.ExtensionObject) or not isinstance(box.Body, bytes):
        raise Unreadable(f"no JobOrderAndState but {type(box).__name__}")
    if box.TypeId != ua.NodeId(ENCODINGS["JobOrderAndState"], index):
        raise Unreadable(f"no JobOrderAndState but {box.TypeId}")
    data = Buffer(box.Body)
    try:
        _READ["UInt32"](data)
        return str(_READ["String"](data) or "")
    except BROKEN as bad:
        raise Unreadable(f"no JobOrderAndState: {bad or type(bad).__name__}"[:200]) from bad


def encode(kind: str, value: Structure) -> bytes:
    """Write a structure; an optional field that is missing is left out. Raises KeyError for one that is needed."""
    shape = SHAPES[kind]
    optional = [one for one in shape if one.optional]
    mask = sum(1 << bit for bit, one in enumerate(optional) if one.name in value)
    parts = [_WRITE["UInt32"](mask)] if optional else []
    for one in shape:
        if one.optional and one.name not in value:
            continue
        given = value[one.name]
        if one.many:
            parts.append(len(given).to_bytes(4, "little"))
            parts += [_written(one.kind, item) for item in given]
        else:
            parts.append(_written(one.kind, given))
    return b"".join(parts)


def decode(kind: str, body: bytes) -> dict[str, Any]:
    """Read a structure. Raises `Unreadable` for bytes that are none."""
    try:
        return _structure(kind, Buffer(body), 0)
    except BROKEN as bad:
        raise Unreadable(f"no {kind}: {bad or type(bad).__name__}"[:200]) from bad


def _written(kind: str, value: Any) -> bytes:
    return encode(kind, value) if kind in SHAPES else _WRITE[kind](value)


def _structure(kind: str, data: Buffer, depth: int) -> dict[str, Any]:
    if depth > _DEEPEST:
        raise Unreadable("too deep")
    shape = SHAPES[kind]
    optional = [one for one in shape if one.optional]
    mask = int(_READ["UInt32"](data)) if optional else 0
    there = {one.name for bit, one in enumerate(optional) if mask >> bit & 1}
    found: dict[str, Any] = {}
    for one in shape:
        if one.optional and one.name not in there:
            continue
        if not one.many:
            found[one.name] = _read(one.kind, data, depth)
            continue
        count = int.from_bytes(data.read(4), "little", signed=True)
        if count > _MOST:
            raise Unreadable(f"{count} of {one.name}")
        found[one.name] = [_read(one.kind, data, depth) for _ in range(max(0, count))]
    return found


def _read(kind: str, data: Buffer, depth: int) -> Any:
    return _structure(kind, data, depth + 1) if kind in SHAPES else _READ[kind](data)
