"""History: what the server wrote down while we were not there, read in pages and offered like what is published."""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

import structlog
from asyncua import ua
from asyncua.ua.ua_binary import struct_from_binary

from connectors.line.inbox import Inbox
from connectors.line.opcua.about import in_batches, read_attributes, value_of, why_of
from connectors.line.opcua.decode import change_of
from connectors.line.opcua.fills import Fill, Fills, Progress
from connectors.line.opcua.profiles import Limits
from connectors.line.opcua.pump import Arrival
from connectors.line.opcua.settings import Node, Settings
from connectors.line.opcua.values import Change, sift
from connectors.opcua.address import parse
from gateway.core.batch import SourceGap
from gateway.core.ports import Clock
from gateway.core.series import moment, ticks

log: structlog.stdlib.BoundLogger = structlog.get_logger()
_PAGE = 1000
"""Values of one node in one answer."""
_NODES = 50
_MOST_NODES = 1000
_READABLE = 4
"""AccessLevel bit: the node has a history that can be read."""
_LIMIT = ua.NodeId(ua.ObjectIds.Server_ServerCapabilities_OperationLimits_MaxNodesPerHistoryReadData)
_PATIENCE_S = 60.0
_BACK = 5_000_000
"""How far before the loss is read (microseconds): a slow tag's last value may have been on its way."""
_TOGETHER = 60_000_000
_SECOND = 1_000_000
_MOST_GAPS = 64


@dataclass(slots=True)
class _Span:
    """One fill while it is read. `first` and `last` are the source times that history gave in it (microseconds)."""

    fill: Fill
    place: int
    node: Any
    first: int | None = None
    last: int | None = None
    pages: int = 0
    proven: bool = False
    point: bytes | None = None
    why: str = ""

    def take(self, answer: Any, changes: list[Change]) -> None:
        """Take one page: what lies between the two values that are known."""
        self.why = why_of(answer)
        self.point = None if self.why else answer.ContinuationPoint or None
        if self.why:
            return
        self.pages += 1
        for value in getattr(answer.HistoryData, "DataValues", None) or ():
            change = change_of(self.place, value)
            at = ticks(change.sourced_at or change.served_at)
            self.proven |= at == self.fill.after
            if max(self.fill.after, self.last or 0) < at < self.fill.before:
                self.first = self.first or at
                self.last = at
                changes.append(change)


class Historian:
    """Works the list of fills off, in order, as long as the link lives.

    Every page is committed before the next is read, with how far it reached, so that a crash in the middle
    neither loses nor repeats a value. A node that has no history, or whose history fails, fails alone:
    its gap stays.
    """

    def __init__(
        self,
        settings: Settings,
        nodes: Sequence[Node],
        place_of: Callable[[bytes], int | None],
        fills: Fills,
        inbox: Inbox[Arrival],
        now: Clock,
    ) -> None:
        self._settings, self._nodes, self._place_of = settings, nodes, place_of
        self._fills, self._inbox, self._now = fills, inbox, now
        self._wake = asyncio.Event()
        self._levels: dict[Any, bool] = {}

    def wake(self) -> None:
        """There are new fills."""
        self._wake.set()

    async def run(self, client: Any, limits: Limits) -> None:
        """Read until the link is lost. Raises the library's errors then."""
        most = _NODES
        while True:
            self._wake.clear()
            if len(self._fills):
                most = min(_NODES, await _most_nodes(client))
            while len(self._fills):
                await self._front(client, limits, most)
            await self._wake.wait()

    async def _front(self, client: Any, limits: Limits, most: int) -> None:
        """Work off the front of the list: those that have no history at a stroke, the others some at a time."""
        spans = await self._spans(client, limits, self._fills.front(_MOST_NODES))
        read = self._has_history(spans[0])
        alike = list(takewhile(lambda span: self._has_history(span) == read, spans))
        if read:
            start = spans[0].fill.start
            alike = list(takewhile(lambda span: abs(span.fill.start - start) < _TOGETHER, alike))[:most]
            await self._read(client, alike)
        gaps = self._gaps(alike)
        log.info("opcua.history", source=self._settings.name, tags=len(alike), read=read, gaps=len(gaps))
        await self._offer(Progress({}, len(alike), gaps), ())

    async def _spans(self, client: Any, limits: Limits, fills: Sequence[Fill]) -> list[_Span]:
        namespaces = await client.get_namespace_array()
        spans: list[_Span] = []
        for fill in fills:
            place = self._place_of(fill.key)
            name = None if place is None else parse(self._nodes[place].address).node_id(namespaces)
            spans.append(_Span(fill, place or 0, None if name is None else ua.NodeId.from_string(name)))
        fresh = [span.node for span in spans if span.node is not None and span.node not in self._levels]
        answers = await read_attributes(
            client, [(node, ua.AttributeIds.AccessLevel) for node in fresh], limits.nodes_per_read
        )
        for node, answer in zip(fresh, answers, strict=True):
            self._levels[node] = bool(int(value_of(answer) or 0) & _READABLE)
        return spans

    def _has_history(self, span: _Span) -> bool:
        return self._levels.get(span.node, False)

    async def _read(self, client: Any, spans: Sequence[_Span]) -> None:
        """Read these spans side by side, page by page; each page is committed before the next."""
        before = max(span.fill.before for span in spans)
        floor = min(max(span.fill.after, span.fill.start - _BACK) for span in spans)
        floor = min(floor, max(span.fill.after for span in spans))  # the last value that we have proves it complete
        floor = max(floor, before - int(self._settings.history_span * 1e6))
        details = ua.ReadRawModifiedDetails(
            IsReadModified=False,
            StartTime=_clock(floor),
            EndTime=_clock(before),
            NumValuesPerNode=_PAGE,
            ReturnBounds=False,
        )
        left = list(spans)
        numbers = {id(span): number for number, span in enumerate(spans)}
        while left:
            changes: list[Change] = []
            answers = await in_batches(lambda part: _ask(client, details, part), left, len(left))
            for span, answer in zip(left, answers, strict=True):
                span.take(answer, changes)
            reached = {numbers[id(span)]: span.last for span in left if span.last is not None}
            left = [span for span in left if span.point and span.pages * _PAGE < self._settings.history_most]
            if changes:
                await self._offer(Progress(reached), changes)
        kept = [span for span in spans if span.point]
        if kept:  # a server holds few continuation points for a session; whether it lets go is its own affair
            with suppress(ua.UaError):
                await in_batches(lambda part: _ask(client, details, part, release=True), kept, len(kept))

    def _gaps(self, spans: Sequence[_Span]) -> list[SourceGap]:
        """Say what came of it: the spans that history closed, and what is still open."""
        proven = any(span.proven for span in spans)
        outcomes = [
            (span.fill.cause, filled, span.place, start, end)
            for span in spans
            for filled, start, end in self._outcome(span, proven=proven)
        ]
        gaps: list[SourceGap] = []
        for (cause, filled), found in _grouped(outcomes):
            tags = tuple((self._nodes[place].asset, self._nodes[place].tag) for place, _, _ in found)
            start, end = min(one[1] for one in found), max(one[2] for one in found)
            gaps.append(SourceGap(tags, _time(start), _time(end), cause, "history" if filled else ""))
        return gaps

    def _outcome(self, span: _Span, *, proven: bool) -> Iterable[tuple[str, int, int]]:
        """Split a span into what history closed and what it left open."""
        fill = span.fill
        if self._place_of(fill.key) is None:
            return  # no tag of ours any more
        cut_short = span.point is not None and span.last is not None
        end = span.last if cut_short and span.last is not None else fill.before
        if span.proven or (proven and fill.after < fill.start):
            yield "history", fill.start, end
        elif span.first is not None:
            yield "history", span.first, end
            yield "", min(fill.start, span.first), span.first
        else:
            yield "", fill.start, fill.before
            return
        if end < fill.before:
            yield "", end, fill.before

    async def _offer(self, progress: Progress, changes: Iterable[Change]) -> None:
        values, rest = sift(changes)
        await self._inbox.offer(Arrival(rest, self._now(), values=values, history=progress))


def _grouped(
    outcomes: Sequence[tuple[str, str, int, int, int]],
) -> list[tuple[tuple[str, str], list[tuple[int, int, int]]]]:
    """Put tags together whose spans are alike to a second; all of one cause when there would be too many records."""
    alike: list[tuple[tuple[str, str], list[tuple[int, int, int]]]] = []
    whole: dict[tuple[str, str], list[tuple[int, int, int]]] = {}
    for cause, filled, place, start, end in outcomes:
        whole.setdefault((cause, filled), []).append((place, start, end))
        if len(alike) > _MOST_GAPS:
            continue
        for what, found in alike:
            _, since, until = found[0]
            if what == (cause, filled) and abs(start - since) <= _SECOND and abs(end - until) <= _SECOND:
                found.append((place, start, end))
                break
        else:
            alike.append(((cause, filled), [(place, start, end)]))
    return alike if len(alike) <= _MOST_GAPS else list(whole.items())


async def _ask(client: Any, details: Any, spans: Sequence[_Span], *, release: bool = False) -> Sequence[Any]:
    """Ask for a page of each span, or let go of the rest. A slow server costs these spans, not the link."""
    request = ua.HistoryReadRequest()
    request.Parameters = ua.HistoryReadParameters(
        HistoryReadDetails=details,
        TimestampsToReturn=ua.TimestampsToReturn.Both,
        ReleaseContinuationPoints=release,
        NodesToRead=[
            ua.HistoryReadValueId(NodeId=one.node, IndexRange="", ContinuationPoint=one.point) for one in spans
        ],
    )
    try:
        body = await client.uaclient.session._send_request(request, timeout=_PATIENCE_S)  # noqa: SLF001 (pinned)
    except TimeoutError:
        return [ua.UaStatusCodeError(ua.StatusCodes.BadNoData)] * len(spans)
    response = struct_from_binary(ua.HistoryReadResponse, body)
    response.ResponseHeader.ServiceResult.check()
    results: Sequence[Any] = response.Results
    return results


async def _most_nodes(client: Any) -> int:
    """Say how many nodes the server takes in one HistoryRead."""
    [answer] = await read_attributes(client, [(_LIMIT, ua.AttributeIds.Value)], 1)
    return int(value_of(answer) or 0) or _NODES


def _time(at: int) -> Any:
    return moment(at)


def _clock(at: int) -> Any:
    """The library wants times without a zone, in UTC."""
    found = moment(at)
    return None if found is None else found.replace(tzinfo=None)
