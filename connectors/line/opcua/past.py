"""Past events: those that were told while we were not there, read from the server's event history."""

import asyncio
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec
import structlog
from asyncua import ua
from asyncua.ua.ua_binary import struct_from_binary

from connectors.line.inbox import Inbox
from connectors.line.opcua.about import read_attributes, value_of, why_of
from connectors.line.opcua.conditions import Happening, happening, severity_of, text_of
from connectors.line.opcua.decode import Event
from connectors.line.opcua.events import FIRST_HANDLE, Events
from connectors.line.opcua.fills import Progress
from connectors.line.opcua.pump import Arrival
from connectors.line.opcua.settings import Settings
from connectors.line.opcua.variant import plain
from connectors.opcua.address import parse
from gateway.core.batch import SourceGap
from gateway.core.ports import Clock
from gateway.core.reading import LogLine
from gateway.core.series import NEVER, moment, ticks

log: structlog.stdlib.BoundLogger = structlog.get_logger()
_NAME = "past"
_READABLE = 4
"""EventNotifier bit: the node has a history of events that can be read."""
_PAGE = 1000
_MOST_IDS = 10_000
_REMEMBERED = 256
_PATIENCE_S = 60.0


class _Kept(msgspec.Struct, frozen=True, array_like=True):
    """What stands in memory: the newest event's time, the last ids, and since when events are missing, and why."""

    newest: int
    ids: tuple[bytes, ...]
    since: int = NEVER
    cause: str = ""


class Past:
    """Knows which events were told; has the missing ones read when the subscription had to be made anew."""

    def __init__(self, settings: Settings, inbox: Inbox[Arrival], now: Clock) -> None:
        self._settings, self._inbox, self._now = settings, inbox, now
        self._ids: OrderedDict[bytes, None] = OrderedDict()
        self._newest, self._since, self._cause = NEVER, NEVER, ""
        self._wake = asyncio.Event()
        self._moved = False

    def recall(self, memory: Mapping[str, bytes]) -> None:
        """Take up what the last run left; what is damaged is as good as none."""
        try:
            kept = msgspec.msgpack.decode(memory.get(_NAME, b""), type=_Kept)
        except (msgspec.DecodeError, msgspec.ValidationError):
            return
        self._newest, self._since, self._cause = kept.newest, kept.since, kept.cause
        self._ids.update(dict.fromkeys(kept.ids))
        if kept.cause:
            self._wake.set()

    def memory(self) -> dict[str, bytes]:
        """Give what the next run must know."""
        if not self._moved:
            return {}
        self._moved = False
        ids = tuple(self._ids)[-_REMEMBERED:]
        return {_NAME: msgspec.msgpack.encode(_Kept(self._newest, ids, self._since, self._cause))}

    def doubt(self, cause: str) -> None:
        """Events may be missing from now on, until they were read."""
        if self._newest == NEVER:
            return  # nothing was ever heard: it begins now
        if not self._cause:
            self._since, self._cause = self._newest, cause
            self._moved = True
        self._wake.set()

    def fresh(self, events: Sequence[Event]) -> list[Event]:
        """Note events, and leave those out that were told; of conditions their own table knows which were."""
        return [event for event in events if self._note(event)]

    def lines(self, events: Sequence[Event], received_at: datetime) -> list[LogLine]:
        """Turn past events that were not told into log lines. The table of conditions is about now: it stays."""
        lines: list[LogLine] = []
        for event in events:
            one, wish = happening(event.fields), self._settings.event[event.handle - FIRST_HANDLE]
            told = one is not None and _key(event, one) in self._ids
            self._note(event)
            if one is not None and not told and one.severity >= wish.severity_from:
                lines.append(LogLine(wish.asset, text_of(one), severity_of(one), one.at, received_at))
        return lines

    def _note(self, event: Event) -> bool:
        """Note an event. Gives False for one that was told before and is of no condition."""
        one = happening(event.fields)
        if one is None or not one.event_id:
            return True
        key = _key(event, one)
        told = key in self._ids
        self._ids[key] = None
        self._newest = max(self._newest, ticks(one.at))
        self._moved = True
        while len(self._ids) > _MOST_IDS:
            self._ids.popitem(last=False)
        return bool(one.condition) or not told

    def closed(self) -> None:
        """What was missing was read, or cannot be: part of the batch that says so."""
        self._since, self._cause, self._moved = NEVER, "", True

    async def run(self, client: Any, events: Events) -> None:
        """Read what is missing, whenever something is, until the link is lost. Raises the library's errors then."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            if self._cause:
                await self._read_all(client, events)

    async def _read_all(self, client: Any, events: Events) -> None:
        floor, until = moment(self._since), self._now()
        if floor is None:
            return
        span = timedelta(seconds=self._settings.history_span)
        start = max(floor - timedelta(seconds=1), until - span)
        namespaces = await client.get_namespace_array()
        gaps: list[SourceGap] = []
        for place, wish in enumerate(self._settings.event):
            name = parse(wish.source).node_id(namespaces)
            read = False
            if name is not None and self._settings.on_gap != "mark":
                details = ua.ReadEventDetails(
                    NumValuesPerNode=_PAGE,
                    StartTime=start.replace(tzinfo=None),
                    EndTime=until.replace(tzinfo=None),
                    Filter=await events.filter_of(client, place, namespaces),
                )
                read = await self._read(client, place, ua.NodeId.from_string(name), details)
            tags = ((wish.asset, wish.name),)
            gaps.append(SourceGap(tags, floor, until, self._cause, "history" if read else ""))
        log.info("opcua.events.history", source=self._settings.name, filled=sum(bool(gap.filled) for gap in gaps))
        await self._inbox.offer(Arrival((), self._now(), history=Progress(gaps=gaps, events=True)))

    async def _read(self, client: Any, place: int, node: Any, details: Any) -> bool:
        """Read one source's events, page by page. Gives whether there is a history that was read to its end."""
        [level] = await read_attributes(client, [(node, ua.AttributeIds.EventNotifier)], 1)
        if not int(value_of(level) or 0) & _READABLE:
            return False
        point: bytes | None = None
        for _ in range(max(1, self._settings.history_most // _PAGE)):
            result = await _ask(client, details, node, point)
            if result is None or why_of(result):
                return False
            found = [
                Event(FIRST_HANDLE + place, tuple(plain(field.Value) for field in one.EventFields or []))
                for one in getattr(result.HistoryData, "Events", None) or ()
            ]
            if found:
                await self._inbox.offer(Arrival((), self._now(), events=found, history=Progress()))
            point = result.ContinuationPoint or None
            if point is None:
                return True
        return False


async def _ask(client: Any, details: Any, node: Any, point: bytes | None) -> Any:
    request = ua.HistoryReadRequest()
    request.Parameters = ua.HistoryReadParameters(
        HistoryReadDetails=details,
        TimestampsToReturn=ua.TimestampsToReturn.Both,
        ReleaseContinuationPoints=False,
        NodesToRead=[ua.HistoryReadValueId(NodeId=node, IndexRange="", ContinuationPoint=point)],
    )
    try:
        body = await client.uaclient.session._send_request(request, timeout=_PATIENCE_S)  # noqa: SLF001 (pinned)
    except TimeoutError:
        return None
    response = struct_from_binary(ua.HistoryReadResponse, body)
    return (response.Results or [None])[0]


def _key(event: Event, one: Happening) -> bytes:
    """Name an event as one source of events told it: another source tells it too."""
    return event.handle.to_bytes(4, "little") + one.event_id
