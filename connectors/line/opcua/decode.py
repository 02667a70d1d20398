"""Publish responses, decoded: a fast road for data changes, the library's for all else."""

import struct
from collections.abc import Sequence
from typing import Any, NamedTuple

from asyncua import ua
from asyncua.ua.ua_binary import struct_from_binary

from connectors.line.opcua.changes import Patterns, read_items
from connectors.line.opcua.values import Change, Values, sift
from connectors.line.opcua.variant import Unusual, aware, plain
from gateway.core.series import NEVER, ticks

_PUBLISH_RESPONSE = b"\x01\x00\x3d\x03"  # ns=0;i=829
_DATA_CHANGE = b"\x01\x00\x2b\x03\x01"  # ns=0;i=811 with a binary body
_U32, _I32 = struct.Struct("<I"), struct.Struct("<i")
_RESPONSE = struct.Struct("<qII")
_NOTIFICATION = struct.Struct("<Iqi")
"""SequenceNumber, PublishTime (100 ns since 1601), number of notifications."""
_TO_1970 = 11_644_473_600_000_000


class Event(NamedTuple):
    """One event: the client handle of the item, and the fields that its filter chose, as plain values."""

    handle: int
    fields: tuple[object, ...]


class Message(NamedTuple):
    """One publish response. Nothing in it is a keep-alive; `lost` is a status that ends the subscription.

    `values` are the numbers, in columns; `changes` is what is no number. `published` is when the server says that
    it sent the message (microseconds since 1970 UTC; `NEVER` when it does not, or sent it again).
    """

    subscription: int
    sequence: int
    changes: Sequence[Change] = ()
    lost: str = ""
    keep_alive: bool = False
    values: Sequence[Values] = ()
    events: Sequence[Event] = ()
    published: int = NEVER


class Decoder:
    """Decodes the publish responses of one session; it remembers how their items stood, and is quicker for it."""

    def __init__(self) -> None:
        self._patterns: Patterns = {}

    def decode(self, body: Any) -> Message:
        """Decode a publish response (a buffer that stands at its type id). Falls back to the library's decoder.

        Raises `ua.UaError` when the bytes are no publish response, or one that says no.
        """
        try:
            return fast(bytes(body), self._patterns)
        except (Unusual, IndexError, struct.error, ValueError):
            return generic(_parsed(body))


def _parsed(body: Any) -> Any:
    try:
        return struct_from_binary(ua.PublishResponse, body.copy())
    except ua.UaError:
        raise
    # What a server sends is no bug of ours, and the library's parser fails in every way that a parser can.
    except Exception as fault:
        raise ua.UaError("the publish response cannot be decoded") from fault


def fast(data: bytes, patterns: Patterns) -> Message:
    """Decode data changes or a keep-alive from their bytes, with the patterns of earlier ones.

    Raises `Unusual`, IndexError, struct.error or ValueError for everything else.
    """
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
    sequence, filetime, parts = _NOTIFICATION.unpack_from(data, at)
    published = filetime // 10 - _TO_1970 if filetime > 0 else NEVER
    at += 16
    if parts <= 0:
        return Message(subscription, sequence, keep_alive=True, published=published)
    values: list[Values] = []
    changes: list[Change] = []
    for _ in range(parts):
        if data[at : at + 5] != _DATA_CHANGE:
            raise Unusual
        (length,) = _I32.unpack_from(data, at + 5)
        at += 9
        if length < 4 or at + length > len(data):  # noqa: PLR2004 (the count alone takes 4 bytes)
            raise Unusual
        read_items(data, at, at + length, values, changes, patterns)
        at += length
    return Message(subscription, sequence, changes, values=values, published=published)


def generic(response: Any) -> Message:
    """Turn the library's publish response into a message."""
    response.ResponseHeader.ServiceResult.check()
    note = response.Parameters.NotificationMessage
    message = of_notification(int(response.Parameters.SubscriptionId), note)
    return message._replace(published=ticks(aware(note.PublishTime)))


def of_notification(subscription: int, note: Any) -> Message:
    """Turn the library's notification message (of a publish, or one that was published again) into a message."""
    parts = note.NotificationData or []
    changes: list[Change] = []
    events: list[Event] = []
    lost = ""
    for part in parts:
        if isinstance(part, ua.DataChangeNotification):
            changes.extend(change_of(item.ClientHandle, item.Value) for item in part.MonitoredItems or [])
        elif isinstance(part, ua.EventNotificationList):
            events.extend(_event(event) for event in part.Events or [])
        elif isinstance(part, ua.StatusChangeNotification):
            status = part.Status if isinstance(part.Status, ua.StatusCode) else ua.StatusCode(part.Status)
            lost = lost or ("" if status.is_good() else status.name)
    values, rest = sift(changes)
    return Message(subscription, int(note.SequenceNumber), rest, lost, not parts, values, events)


def _event(event: Any) -> Event:
    return Event(int(event.ClientHandle), tuple(plain(field.Value) for field in event.EventFields or []))


def change_of(handle: int, value: Any) -> Change:
    """Turn the library's DataValue into a change."""
    status = value.StatusCode
    return Change(
        handle=int(handle),
        value=None if value.Value is None else plain(value.Value.Value),
        status=0 if status is None else int(status.value),
        sourced_at=aware(value.SourceTimestamp),
        served_at=aware(value.ServerTimestamp),
    )
