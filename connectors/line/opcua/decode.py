"""Publish responses, decoded: a fast road for plain data changes, the library's for all else."""

import struct
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import numpy as np
from asyncua import ua
from asyncua.ua.ua_binary import struct_from_binary

_EPOCH = datetime(1601, 1, 1, tzinfo=UTC)
_MOST_TICKS = 2_650_467_743_990_000_000  # the end of the year 9999
_PUBLISH_RESPONSE = b"\x01\x00\x3d\x03"  # ns=0;i=829
_DATA_CHANGE = b"\x01\x00\x2b\x03\x01"  # ns=0;i=811 with a binary body
_ARRAY, _DIMENSIONS = 0x80, 0x40
_SCALARS: dict[int, struct.Struct] = {
    1: struct.Struct("<?"),
    2: struct.Struct("<b"),
    3: struct.Struct("<B"),
    4: struct.Struct("<h"),
    5: struct.Struct("<H"),
    6: struct.Struct("<i"),
    7: struct.Struct("<I"),
    8: struct.Struct("<q"),
    9: struct.Struct("<Q"),
    10: struct.Struct("<f"),
    11: struct.Struct("<d"),
}
_COLUMNS = {
    2: "<i1", 3: "<u1", 4: "<i2", 5: "<u2", 6: "<i4", 7: "<u4", 8: "<i8", 9: "<u8", 10: "<f4", 11: "<f8",
}  # fmt: skip
_STRING, _BYTES = 12, 15
_HAS_VALUE, _HAS_STATUS, _HAS_SOURCE, _HAS_SERVER, _HAS_SOURCE_PICO, _HAS_SERVER_PICO = 1, 2, 4, 8, 16, 32
_U32, _I32, _I64 = struct.Struct("<I"), struct.Struct("<i"), struct.Struct("<q")
_RESPONSE = struct.Struct("<qII")


class Change(NamedTuple):
    """One data change: the client handle, the value, the status code, source and server time."""

    handle: int
    value: object
    status: int
    sourced_at: datetime | None
    served_at: datetime | None


class Message(NamedTuple):
    """One publish response. `changes` is empty for a keep-alive; `lost` is a status that ends the subscription."""

    subscription: int
    sequence: int
    changes: Sequence[Change]
    lost: str = ""
    keep_alive: bool = False


class Unusual(Exception):
    """Not a plain data change: the library's decoder takes it."""


def decode(body: Any) -> Message:
    """Decode a publish response (a buffer that stands at its type id). Falls back to the library's decoder."""
    try:
        return fast(bytes(body))
    except (Unusual, IndexError, struct.error, UnicodeDecodeError, ValueError):
        return generic(struct_from_binary(ua.PublishResponse, body.copy()))


def fast(data: bytes) -> Message:
    """Decode a plain data change or a keep-alive from its bytes. Raises `Unusual` for everything else."""
    if data[:4] != _PUBLISH_RESPONSE:
        raise Unusual
    _, _, result = _RESPONSE.unpack_from(data, 4)
    at = 20
    if result or data[at] or data[at + 1 : at + 5] not in {b"\xff\xff\xff\xff", b"\0\0\0\0"}:
        raise Unusual  # a fault, diagnostics or a string table
    at += 5
    if data[at : at + 3] != b"\0\0\0":
        raise Unusual  # an additional header
    at += 3
    (subscription,) = _U32.unpack_from(data, at)
    (available,) = _I32.unpack_from(data, at + 4)
    at += 8 + 4 * max(available, 0) + 1
    (sequence,) = _U32.unpack_from(data, at)
    (parts,) = _I32.unpack_from(data, at + 12)
    at += 16
    if parts <= 0:
        return Message(subscription, sequence, (), keep_alive=True)
    changes: list[Change] = []
    for _ in range(parts):
        if data[at : at + 5] != _DATA_CHANGE:
            raise Unusual
        (length,) = _I32.unpack_from(data, at + 5)
        at += 9
        if length < 4 or at + length > len(data):  # noqa: PLR2004 (the count alone takes 4 bytes)
            raise Unusual
        _changes(data, at, at + length, changes)
        at += length
    return Message(subscription, sequence, changes)


def _changes(data: bytes, at: int, end: int, changes: list[Change]) -> None:
    (count,) = _I32.unpack_from(data, at)
    at += 4
    if count <= 0:
        return
    if count >= _WORTH_COLUMNS and (columns := _uniform(data, at, end, count)) is not None:
        changes.extend(columns)
        return
    moments: dict[int, datetime] = {}
    for _ in range(count):
        at = _one(data, at, changes, moments)
    if at > end or data[end - 4 : end] not in {b"\xff\xff\xff\xff", b"\0\0\0\0"}:
        raise Unusual


_WORTH_COLUMNS = 16


def _uniform(data: bytes, at: int, end: int, count: int) -> list[Change] | None:
    """Decode items of one mask and one scalar type as columns; None when they are not."""
    mask = data[at + 4]
    if not mask & _HAS_VALUE or mask & ~0x3F:
        return None
    column = _COLUMNS.get(data[at + 5])
    if column is None:
        return None
    fields = [("handle", "<u4"), ("mask", "u1"), ("kind", "u1"), ("value", column)]
    fields += [
        (name, form)
        for bit, name, form in (
            (_HAS_STATUS, "status", "<u4"),
            (_HAS_SOURCE, "source", "<i8"),
            (_HAS_SOURCE_PICO, "source_pico", "<u2"),
            (_HAS_SERVER, "server", "<i8"),
            (_HAS_SERVER_PICO, "server_pico", "<u2"),
        )
        if mask & bit
    ]
    kind = np.dtype(fields)
    if at + count * kind.itemsize != end - 4:
        return None
    items = np.frombuffer(data, kind, count, at)
    if not ((items["mask"] == mask) & (items["kind"] == data[at + 5])).all():
        return None
    nothing = [None] * count
    statuses = items["status"].tolist() if mask & _HAS_STATUS else [0] * count
    sources = _moments(items["source"].tolist()) if mask & _HAS_SOURCE else nothing
    servers = _moments(items["server"].tolist()) if mask & _HAS_SERVER else nothing
    return list(map(Change, items["handle"].tolist(), items["value"].tolist(), statuses, sources, servers))


def _moments(ticks: list[int]) -> list[datetime | None]:
    known: dict[int, datetime | None] = {}
    return [known[tick] if tick in known else known.setdefault(tick, moment(tick)) for tick in ticks]


def moment(ticks: int) -> datetime | None:
    """Turn OPC UA time (100 ns since 1601) into aware UTC. 0 means that there is none."""
    if ticks <= 0:
        return None
    return _EPOCH + timedelta(microseconds=min(ticks, _MOST_TICKS) // 10)


def _one(data: bytes, at: int, changes: list[Change], moments: dict[int, datetime]) -> int:
    (handle,) = _U32.unpack_from(data, at)
    mask = data[at + 4]
    if mask & ~0x3F:
        raise Unusual
    at += 5
    value: object = None
    if mask & _HAS_VALUE:
        value, at = _variant(data, at)
    status, source, server = 0, None, None
    if mask & _HAS_STATUS:
        (status,) = _U32.unpack_from(data, at)
        at += 4
    if mask & _HAS_SOURCE:
        source = _remembered(_I64.unpack_from(data, at)[0], moments)
        at += 8
    if mask & _HAS_SOURCE_PICO:
        at += 2
    if mask & _HAS_SERVER:
        server = _remembered(_I64.unpack_from(data, at)[0], moments)
        at += 8
    if mask & _HAS_SERVER_PICO:
        at += 2
    changes.append(Change(handle, value, status, source, server))
    return at


def _remembered(ticks: int, moments: dict[int, datetime]) -> datetime | None:
    found = moments.get(ticks)
    if found is None and (found := moment(ticks)) is not None:
        moments[ticks] = found
    return found


def _variant(data: bytes, at: int) -> tuple[object, int]:
    kind = data[at]
    at += 1
    scalar = _SCALARS.get(kind)
    if scalar is not None:
        return scalar.unpack_from(data, at)[0], at + scalar.size
    if kind == 0:
        return None, at
    if kind in {_STRING, _BYTES}:
        return _text(data, at, kind)
    if kind & _ARRAY and (column := _COLUMNS.get(kind & 0x3F)) is not None:
        return _array(data, at, column, shaped=bool(kind & _DIMENSIONS))
    raise Unusual


def _text(data: bytes, at: int, kind: int) -> tuple[object, int]:
    (length,) = _I32.unpack_from(data, at)
    at += 4
    if length < 0:
        return None, at
    if at + length > len(data):
        raise Unusual
    raw = data[at : at + length]
    return (raw if kind == _BYTES else raw.decode()), at + length


def _array(data: bytes, at: int, column: str, *, shaped: bool) -> tuple[object, int]:
    (count,) = _I32.unpack_from(data, at)
    at += 4
    if count < 0:
        raise Unusual
    values = np.frombuffer(data, column, count, at)
    at += values.nbytes
    if not shaped:
        return values, at
    (rank,) = _I32.unpack_from(data, at)
    at += 4
    if not 0 < rank <= 4:  # noqa: PLR2004 (nobody sends more)
        raise Unusual
    shape = struct.unpack_from(f"<{rank}i", data, at)
    if min(shape) < 0 or int(np.prod(shape, dtype=object)) != count:
        raise Unusual
    return values.reshape(shape), at + 4 * rank


def generic(response: Any) -> Message:
    """Turn the library's publish response into a message."""
    response.ResponseHeader.ServiceResult.check()
    result = response.Parameters
    note = result.NotificationMessage
    parts = note.NotificationData or []
    changes: list[Change] = []
    lost = ""
    for part in parts:
        if isinstance(part, ua.DataChangeNotification):
            changes.extend(change_of(item.ClientHandle, item.Value) for item in part.MonitoredItems or [])
        elif isinstance(part, ua.StatusChangeNotification):
            status = part.Status if isinstance(part.Status, ua.StatusCode) else ua.StatusCode(part.Status)
            lost = lost or ("" if status.is_good() else status.name)
    return Message(int(result.SubscriptionId), int(note.SequenceNumber), changes, lost, keep_alive=not parts)


def change_of(handle: int, value: Any) -> Change:
    """Turn the library's DataValue into a change."""
    status = value.StatusCode
    return Change(
        handle=int(handle),
        value=None if value.Value is None else _plain(value.Value.Value),
        status=0 if status is None else int(status.value),
        sourced_at=_aware(value.SourceTimestamp),
        served_at=_aware(value.ServerTimestamp),
    )


_PLAIN: tuple[tuple[type, Callable[[Any], object]], ...] = (
    (ua.LocalizedText, lambda text: text.Text or ""),
    (ua.QualifiedName, lambda name: name.Name or ""),
    (ua.StatusCode, lambda status: status.name),
    (ua.NodeId, lambda node: node.to_string()),
)


def _plain(value: Any) -> object:
    for kind, turn in _PLAIN:
        if isinstance(value, kind):
            return turn(value)
    if isinstance(value, datetime):
        return _aware(value)
    return value


def _aware(at: datetime | None) -> datetime | None:
    if at is None or at.year == _EPOCH.year:
        return None
    return at if at.tzinfo is not None else at.replace(tzinfo=UTC)
