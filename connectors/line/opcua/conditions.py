"""Alarms and conditions: what an event says, as a log line and as a row of the live table. Pure."""

from collections import OrderedDict
from collections.abc import Sequence
from datetime import datetime

import msgspec

from connectors.line.lines import clean
from connectors.line.opcua.wishes import EventWish
from gateway.core.batch import Condition
from gateway.core.reading import LogLine

FIELDS: tuple[tuple[int, tuple[str, ...]], ...] = (
    (2041, ("EventId",)),
    (2041, ("EventType",)),
    (2041, ("SourceName",)),
    (2041, ("Time",)),
    (2041, ("Message",)),
    (2041, ("Severity",)),
    (2782, ()),  # the condition's own node id
    (2782, ("ConditionName",)),
    (2782, ("BranchId",)),
    (2782, ("Retain",)),
    (2881, ("AckedState", "Id")),
    (2881, ("ConfirmedState", "Id")),
    (2915, ("ActiveState", "Id")),
    (9341, ("LimitState", "CurrentState")),
)
"""What is asked of every event: the type that defines the field, and the path to it. An empty path is the node id."""
REFRESH_START, REFRESH_END, REFRESH_REQUIRED = "i=2787", "i=2788", "i=2789"
OVERFLOW = "i=3035"
_NOTICE, _WARNING = 5, 4
_LEVELS = ((801, 2), (601, 3), (401, 4), (201, 5), (1, 6))
_MOST = 10_000
_MOST_REMEMBERED = 1000
_NULL_NODES = frozenset({"", "i=0"})
_Key = tuple[str, str, str]
"""The source of events (by its name in the settings), the condition and its branch."""


class Happening(msgspec.Struct, frozen=True, kw_only=True):
    """One event in plain values. `active`, `acknowledged` and `confirmed` are None where it has no such state."""

    event_id: bytes
    type: str
    source: str
    at: datetime | None
    message: str
    severity: int
    condition: str = ""
    name: str = ""
    branch: str = ""
    retain: bool = False
    acknowledged: bool | None = None
    confirmed: bool | None = None
    active: bool | None = None
    level: str = ""


def happening(fields: Sequence[object]) -> Happening | None:
    """Read an event's fields, in the order of `FIELDS`; None when they are not those."""
    if len(fields) != len(FIELDS):
        return None
    event_id, kind, source, at, message, severity, node, name, branch, retain, acked, confirmed, active, level = fields
    return Happening(
        event_id=bytes(event_id) if isinstance(event_id, bytes | memoryview) else b"",
        type=_text(kind),
        source=clean(_text(source)),
        at=at if isinstance(at, datetime) else None,
        message=clean(_text(message)),
        severity=max(1, severity) if isinstance(severity, int) else 1,  # 0 comes with what is back to normal
        condition="" if _text(node) in _NULL_NODES else _text(node),
        name=clean(_text(name)),
        branch="" if _text(branch) in _NULL_NODES else _text(branch),
        retain=retain is True,
        acknowledged=_state(acked),
        confirmed=_state(confirmed),
        active=_state(active),
        level=clean(_text(level)),
    )


def severity_of(one: Happening) -> int:
    """Give the severity of RFC 5424 of an OPC UA severity (1 to 1000).

    An alarm that is active is a notice at least, one that is over a notice at most.
    """
    level = next((level for from_, level in _LEVELS if one.severity >= from_), _LEVELS[-1][1])
    if one.active is None:
        return level
    return min(level, _NOTICE) if one.active else max(level, _NOTICE)


def text_of(one: Happening) -> str:
    """Say what happened in one line: the condition, where, what, and in which state it is now."""
    states = []
    if one.active is not None:
        states.append(" ".join(filter(None, ("active", one.level))) if one.active else "inactive")
    if one.acknowledged is not None:
        states.append("acknowledged" if one.acknowledged else "unacknowledged")
    if one.confirmed is not None:
        states.append("confirmed" if one.confirmed else "unconfirmed")
    head = " ".join(filter(None, (one.source, one.name if one.name != one.source else "")))
    said = ": ".join(filter(None, (head, one.message)))
    return clean(f"{said} [{', '.join(states)}]" if states else said)


class Conditions:
    """The live table of conditions by source of events, and which events were told already.

    A refresh tells every condition again: an event that was told is not told twice, and what is not told
    any more is over. Bounded: the oldest go.
    """

    def __init__(self) -> None:
        self._live: OrderedDict[_Key, Condition] = OrderedDict()
        self._told: OrderedDict[_Key, bytes] = OrderedDict()
        self._refreshed: dict[str, set[_Key]] = {}
        self.changed = False

    def take(self, wish: EventWish, one: Happening, received_at: datetime) -> LogLine | None:
        """Note an event; gives the line to log, None when it was told before, or is not severe enough."""
        if one.type in {REFRESH_START, REFRESH_END, REFRESH_REQUIRED}:
            self._refresh(wish.name, one.type)
            return None
        if one.type == OVERFLOW:
            text = "the server's queue of events overflowed: events were lost"
            return LogLine(wish.asset, text, _WARNING, one.at, received_at)
        if one.severity < wish.severity_from:
            return None
        if one.condition and not self._note(wish, one, received_at):
            return None
        return LogLine(wish.asset, text_of(one), severity_of(one), one.at, received_at)

    def _refresh(self, name: str, said: str) -> None:
        """A refresh begins, or ends: what it did not tell is over."""
        if said == REFRESH_START:
            self._refreshed[name] = set()
        elif said == REFRESH_END and (told := self._refreshed.pop(name, None)) is not None:
            for key in [key for key in self._live if key[0] == name and key not in told]:
                del self._live[key]

    def _note(self, wish: EventWish, one: Happening, received_at: datetime) -> bool:
        key = (wish.name, one.condition, one.branch)
        if wish.name in self._refreshed:
            self._refreshed[wish.name].add(key)
        if one.retain:
            self._live[key] = Condition(
                asset=wish.asset,
                condition=one.condition,
                name=one.name,
                source=one.source,
                message=one.message,
                severity=one.severity,
                active=one.active,
                acknowledged=one.acknowledged,
                confirmed=one.confirmed,
                event_id=one.event_id.hex(),
                at=one.at or received_at,
            )
            self._live.move_to_end(key)
        else:
            self._live.pop(key, None)
        if one.event_id and self._told.get(key) == one.event_id:
            return False
        self._told[key] = one.event_id
        self._told.move_to_end(key)
        self.changed = True
        for table in (self._live, self._told):
            while len(table) > _MOST:
                table.popitem(last=False)
        return True

    def rows(self) -> list[Condition]:
        """Give the conditions that are worth a look, the latest last."""
        return list(self._live.values())

    def of_event(self, name: str, event_id: str) -> Condition | None:
        """Find the condition of a source of events by the id of its last event (hex)."""
        found = (row for key, row in list(self._live.items()) if key[0] == name and row.event_id == event_id.lower())
        return next(found, None)

    def remember(self) -> bytes:
        """Give what the next run must know in order not to tell an event twice."""
        self.changed = False
        rows = list(self._told.items())[-_MOST_REMEMBERED:]
        return msgspec.msgpack.encode([(*key, told) for key, told in rows])

    def recall(self, memory: bytes) -> None:
        """Take what the last run remembered; what cannot be read is as good as nothing."""
        try:
            rows = msgspec.msgpack.decode(memory, type=list[tuple[str, str, str, bytes]])
        except (msgspec.DecodeError, msgspec.ValidationError):
            return
        self._told.update({(name, condition, branch): told for name, condition, branch, told in rows})


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _state(value: object) -> bool | None:
    return value if isinstance(value, bool) else None
