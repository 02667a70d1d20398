"""Sparkplug payloads as an edge node writes them: protobuf by field number, of our own making."""

import struct
from collections.abc import Sequence


def number(field: int, value: int) -> bytes:
    """A varint field."""
    return packed(field << 3) + packed(value & 0xFFFF_FFFF_FFFF_FFFF)


def packed(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def span(field: int, data: bytes) -> bytes:
    """A field of bytes, text or another message."""
    return packed(field << 3 | 2) + packed(len(data)) + data


def single(field: int, value: float) -> bytes:
    return packed(field << 3 | 5) + struct.pack("<f", value)


def double(field: int, value: float) -> bytes:
    return packed(field << 3 | 1) + struct.pack("<d", value)


def metric(
    name: str = "",
    value: object = None,
    datatype: int = 0,
    *,
    alias: int | None = None,
    at: int | None = None,
    historical: bool = False,
    properties: bytes = b"",
) -> bytes:
    """A metric; the value's field follows from the data type (0: from the value)."""
    out = span(1, name.encode()) if name else b""
    if alias is not None:
        out += number(2, alias)
    if at is not None:
        out += number(3, at)
    if datatype:
        out += number(4, datatype)
    if historical:
        out += number(5, 1)
    if properties:
        out += span(9, properties)
    return out + _value(value, datatype)


def _value(value: object, datatype: int) -> bytes:
    match value:
        case None:
            return number(7, 1)
        case bool():
            return number(14, int(value))
        case int() if datatype in {4, 8, 13}:
            return number(11, value)
        case int():
            return number(10, value & 0xFFFF_FFFF)
        case float() if datatype == 9:
            return single(12, value)
        case float():
            return double(13, value)
        case str():
            return span(15, value.encode())
        case bytes():
            return span(17 if datatype == 16 else 16, value)
    raise TypeError(value)


def properties(**values: int | str) -> bytes:
    """A property set."""
    out = b"".join(span(1, name.encode()) for name in values)
    for value in values.values():
        body = number(1, 3) + number(3, value) if isinstance(value, int) else number(1, 12) + span(8, value.encode())
        out += span(2, body)
    return out


def dataset(columns: Sequence[str], types: Sequence[int], rows: Sequence[Sequence[float]]) -> bytes:
    """A table of doubles."""
    out = number(1, len(columns)) + b"".join(span(2, name.encode()) for name in columns)
    out += b"".join(number(3, kind) for kind in types)
    for row in rows:
        out += span(4, b"".join(span(1, double(4, cell)) for cell in row))
    return out


def payload(*metrics: bytes, seq: int | None = None, at: int = 1_700_000_000_000) -> bytes:
    """A whole message."""
    out = number(1, at) + b"".join(span(2, one) for one in metrics)
    return out + (number(3, seq) if seq is not None else b"")
