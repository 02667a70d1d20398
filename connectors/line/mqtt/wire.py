"""Sparkplug B payloads: protobuf read by field number, and the one command that we send. Pure.

The numbers are those of the Sparkplug 3.0 specification (Payload, Metric, PropertySet, DataSet). Unknown
fields are passed over, as protobuf asks; what is torn or too deep is `Unreadable`.
"""

import struct
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import msgspec
import numpy as np

from connectors.line.shapes import Unfit

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_LONGEST_VARINT = 10
_MOST_METRICS = 100_000
_MOST_CELLS = 1_000_000
_BITS = {1: 8, 2: 16, 3: 32, 4: 64, 5: 8, 6: 16, 7: 32, 8: 64}
_SIGNED, _WHOLE = (1, 2, 3, 4), range(1, 9)
FLOAT, DOUBLE, BOOLEAN, STRING, DATETIME, TEXT, UUID, DATASET, BYTES, FILE = range(9, 19)
_ARRAYS = {22: "<i1", 23: "<i2", 24: "<i4", 25: "<i8", 26: "<u1", 27: "<u2", 28: "<u4", 29: "<u8", 30: "<f4", 31: "<f8"}
_BOOLEANS, _STRINGS, _TIMES = 32, 33, 34
_NAMES = {1: "Int8", 2: "Int16", 3: "Int32", 4: "Int64", 5: "UInt8", 6: "UInt16", 7: "UInt32", 8: "UInt64"}


class Unreadable(ValueError):
    """The bytes are no Sparkplug payload."""


class DataSet(msgspec.Struct, frozen=True):
    """A table: its columns by name, each with its data type, and its rows."""

    columns: tuple[str, ...]
    types: tuple[int, ...]
    rows: tuple[tuple[object, ...], ...]

    def column(self, name: str) -> list[object]:
        """Give a column. Raises `Unfit` when there is none of that name."""
        if name not in self.columns:
            raise Unfit(f"the DataSet has no column {name!r}")
        place = self.columns.index(name)
        return [row[place] for row in self.rows if place < len(row)]


class Metric(msgspec.Struct, frozen=True):
    """One metric as it stood in the message. `raw` is not typed yet: `value_of` does that.

    `at` is milliseconds since 1970, None without a stamp. `quality` is the property Quality (0 bad, 192 good,
    500 stale), None when it says nothing.
    """

    name: str = ""
    alias: int | None = None
    at: int | None = None
    datatype: int = 0
    historical: bool = False
    null: bool = False
    raw: object = None
    unit: str = ""
    quality: int | None = None


class Payload(msgspec.Struct, frozen=True):
    """A message: its stamp (milliseconds since 1970), its number 0..255 and its metrics."""

    at: int | None
    seq: int | None
    metrics: tuple[Metric, ...]


def decode(payload: bytes) -> Payload:
    """Read a payload. Raises `Unreadable`."""
    at = seq = None
    metrics: list[Metric] = []
    for number, value in _fields(payload):
        if number == 1:
            at = _integer(value)
        elif number == 2:  # noqa: PLR2004 (field numbers of the specification, here and below)
            if len(metrics) >= _MOST_METRICS:
                raise Unreadable(f"more than {_MOST_METRICS} metrics")
            metrics.append(_metric(_span(value)))
        elif number == 3:  # noqa: PLR2004
            seq = _integer(value)
    return Payload(at, seq, tuple(metrics))


def _fields(data: bytes) -> Iterator[tuple[int, object]]:
    """Give number and raw value of each field: int of a varint, 4 or 8 bytes of a fixed one, else its bytes."""
    at, end = 0, len(data)
    while at < end:
        key, at = _varint(data, at)
        number, wire = key >> 3, key & 7
        if wire == _VARINT:
            value, at = _varint(data, at)
            yield number, value
            continue
        if wire == _BYTES:
            size, at = _varint(data, at)
        elif wire in {_FIXED64, _FIXED32}:
            size = 8 if wire == _FIXED64 else 4
        else:
            raise Unreadable(f"wire type {wire}")
        if at + size > end:
            raise Unreadable("torn")
        yield number, data[at : at + size]
        at += size


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for place, byte in enumerate(data[at : at + _LONGEST_VARINT]):
        value |= (byte & 127) << (7 * place)
        if byte < 128:  # noqa: PLR2004 (the last byte of a varint)
            return value & 0xFFFF_FFFF_FFFF_FFFF, at + place + 1
    raise Unreadable("torn number")


def _integer(value: object) -> int:
    if not isinstance(value, int):
        raise Unreadable("a number is expected")
    return value


def _span(value: object) -> bytes:
    if not isinstance(value, bytes):
        raise Unreadable("bytes are expected")
    return value


def _text(value: object) -> str:
    try:
        return _span(value).decode()
    except UnicodeDecodeError as no:
        raise Unreadable("a text is not UTF-8") from no


def _fixed(value: object, form: str) -> float:
    span = _span(value)
    if len(span) != struct.calcsize(form):
        raise Unreadable("a fixed number has another length")
    return float(struct.unpack(form, span)[0])


def _metric(data: bytes) -> Metric:
    said: dict[str, object] = {}
    for number, value in _fields(data):
        match number:
            case 1:
                said["name"] = _text(value)
            case 2:
                said["alias"] = _integer(value)
            case 3:
                said["at"] = _integer(value)
            case 4:
                said["datatype"] = _integer(value)
            case 5:
                said["historical"] = bool(_integer(value))
            case 7:
                said["null"] = bool(_integer(value))
            case 9:
                said |= _properties(_span(value))
            case 10 | 11:
                said["raw"] = _integer(value)
            case 12:
                said["raw"] = _fixed(value, "<f")
            case 13:
                said["raw"] = _fixed(value, "<d")
            case 14:
                said["raw"] = bool(_integer(value))
            case 15:
                said["raw"] = _text(value)
            case 16:
                said["raw"] = _span(value)
            case 17:
                said["raw"] = _dataset(_span(value))
            case _:
                pass  # transient, metadata, templates, extensions: nothing of ours
    return msgspec.convert(said, Metric)


def _properties(data: bytes) -> dict[str, object]:
    """Read the two properties that we know: Quality and engUnit."""
    keys: list[str] = []
    values: list[object] = []
    for number, value in _fields(data):
        if number == 1:
            keys.append(_text(value))
        elif number == 2:  # noqa: PLR2004
            values.append(_property(_span(value)))
    known = dict(zip(keys, values, strict=False))
    said: dict[str, object] = {}
    if isinstance(known.get("Quality"), int):
        said["quality"] = known["Quality"]
    if isinstance(known.get("engUnit"), str):
        said["unit"] = known["engUnit"]
    return said


def _property(data: bytes) -> object:
    for number, value in _fields(data):
        if number in {3, 4}:
            return _integer(value)
        if number == 8:  # noqa: PLR2004
            return _text(value)
    return None


def _dataset(data: bytes) -> DataSet:
    columns: list[str] = []
    types: list[int] = []
    rows: list[bytes] = []
    for number, value in _fields(data):
        if number == 2:  # noqa: PLR2004
            columns.append(_text(value))
        elif number == 3:  # noqa: PLR2004
            if isinstance(value, bytes):  # packed
                at = 0
                while at < len(value):
                    kind, at = _varint(value, at)
                    types.append(kind)
            else:
                types.append(_integer(value))
        elif number == 4:  # noqa: PLR2004
            rows.append(_span(value))
    if len(rows) * max(1, len(columns)) > _MOST_CELLS:
        raise Unreadable(f"a DataSet of more than {_MOST_CELLS} cells")
    return DataSet(tuple(columns), tuple(types), tuple(_row(row, types) for row in rows))


def _row(data: bytes, types: list[int]) -> tuple[object, ...]:
    cells = [_span(value) for number, value in _fields(data) if number == 1]
    return tuple(_cell(cell, types[place] if place < len(types) else 0) for place, cell in enumerate(cells))


def _cell(data: bytes, kind: int) -> object:
    raw: object = None
    for number, value in _fields(data):
        match number:
            case 1 | 2:
                raw = _integer(value)
            case 3:
                raw = _fixed(value, "<f")
            case 4:
                raw = _fixed(value, "<d")
            case 5:
                raw = bool(_integer(value))
            case 6:
                raw = _text(value)
            case _:
                pass
    try:
        return None if raw is None else value_of(raw, kind)
    except Unfit as no:
        raise Unreadable(str(no)) from no


def value_of(raw: object, datatype: int) -> object:
    """Give a raw value the type that its birth declared: int, float, bool, str, bytes, list or `DataSet`.

    Integers are the two's complement of their width; one that does not fit its type is refused, never cut.
    Raises `Unfit` with the reason.
    """
    if datatype in _WHOLE:
        return _whole(raw, datatype)
    if datatype in {FLOAT, DOUBLE}:
        if isinstance(raw, float):
            return raw
    elif datatype == BOOLEAN:
        if isinstance(raw, bool):
            return raw
    elif datatype in {STRING, TEXT, UUID}:
        if isinstance(raw, str):
            return raw
    elif datatype == DATETIME:
        if isinstance(raw, int) and (at := moment_of(raw)) is not None:
            return at
    elif datatype == DATASET:
        if isinstance(raw, DataSet):
            return raw
    elif isinstance(raw, bytes):
        return _of_bytes(raw, datatype)
    raise Unfit(f"a {type(raw).__name__} came for data type {datatype}")


def _whole(raw: object, datatype: int) -> int:
    if not isinstance(raw, int) or isinstance(raw, bool):
        raise Unfit(f"a {type(raw).__name__} came for {_NAMES[datatype]}")
    bits = _BITS[datatype]
    if datatype not in _SIGNED:
        if raw >> bits:
            raise Unfit(f"{raw} is no {_NAMES[datatype]}")
        return raw
    for carried in (bits, 32, 64):  # encoders extend the sign to the field's width, or do not
        if carried >= bits and raw >> carried == 0:
            value = raw - (1 << carried) if raw >> (carried - 1) else raw
            if -(1 << (bits - 1)) <= value < 1 << (bits - 1):
                return value
    raise Unfit(f"{raw} is no {_NAMES[datatype]}")


def _of_bytes(raw: bytes, datatype: int) -> object:
    if datatype in {BYTES, FILE}:
        return raw
    if datatype in _ARRAYS:
        kind = np.dtype(_ARRAYS[datatype])
        if len(raw) % kind.itemsize:
            raise Unfit(f"{len(raw)} bytes do not hold whole values of data type {datatype}")
        return np.frombuffer(raw, kind).tolist()
    if datatype == _TIMES:
        if len(raw) % 8:
            raise Unfit(f"{len(raw)} bytes do not hold whole times")
        return [moment_of(int(at)) for at in np.frombuffer(raw, "<u8")]
    if datatype == _BOOLEANS:
        count = int.from_bytes(raw[:4], "little")
        if len(raw) < 4 or count > 8 * (len(raw) - 4):  # noqa: PLR2004 (four bytes of count)
            raise Unfit("the bits of a Boolean array are torn")
        return np.unpackbits(np.frombuffer(raw, np.uint8, offset=4))[:count].astype(bool).tolist()
    if datatype == _STRINGS:
        return [part.decode("utf-8", "replace") for part in raw.split(b"\0")[:-1]]
    raise Unfit(f"data type {datatype} is not taken")


def moment_of(milliseconds: int) -> datetime | None:
    """Turn milliseconds since 1970 into aware UTC; None beyond the year 9999."""
    try:
        return _EPOCH + timedelta(milliseconds=milliseconds)
    except OverflowError:
        return None


def rebirth(at: datetime) -> bytes:
    """Write the command "say again what you are" (Node Control/Rebirth = true)."""
    stamp = _number(1, (at - _EPOCH) // timedelta(milliseconds=1))
    name = b"Node Control/Rebirth"
    metric = b"\x0a" + bytes([len(name)]) + name + _number(4, BOOLEAN) + _number(14, 1)
    return stamp + b"\x12" + bytes([len(metric)]) + metric


def _number(field: int, value: int) -> bytes:
    return _packed(field << 3) + _packed(value)


def _packed(value: int) -> bytes:
    out = bytearray()
    while value > 127:  # noqa: PLR2004 (seven bits a byte)
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)
