"""Keeper: what the link brings becomes batches; what was missed becomes gaps, or is read from history."""

import asyncio
import threading
from collections.abc import Coroutine, Mapping, Sequence
from datetime import datetime
from itertools import count

from msgspec.structs import replace

from connectors.line.board import Board
from connectors.line.inbox import Inbox
from connectors.line.opcua.about import About
from connectors.line.opcua.convert import Converter
from connectors.line.opcua.events import Events
from connectors.line.opcua.fills import Fill, Fills
from connectors.line.opcua.groups import plans
from connectors.line.opcua.history import Historian
from connectors.line.opcua.ledger import Ledger, Missed
from connectors.line.opcua.link import Part
from connectors.line.opcua.monitor import Monitor
from connectors.line.opcua.past import Past
from connectors.line.opcua.pump import Arrival
from connectors.line.opcua.reached import Reached
from connectors.line.opcua.resume import marked
from connectors.line.opcua.settings import Node, Settings
from connectors.line.opcua.subscribe import digest, key_of
from connectors.opcua.security import Andon
from gateway.core.batch import Batch, SourceGap
from gateway.core.ports import Clock
from gateway.core.series import moment, ticks

LOST = "messages lost"
_EVENTS = "events"


class Keeper:
    """Holds what lasts as long as a source: what the tags said last, what is missing, how far it is committed."""

    def __init__(self, settings: Settings, nodes: Sequence[Node], inbox: Inbox[Arrival], now: Clock) -> None:
        self._settings, self._nodes, self._inbox, self._now = settings, list(nodes), inbox, now
        self.board = Board(settings.name, nodes, settings.stale_after)
        self.events = Events(settings)
        self._rates = {place: node.rate_hz for place, node in enumerate(nodes) if node.rate_hz}
        self._converter = Converter(settings.name, nodes, self._rates, self.board)
        aside = Board(settings.name, nodes)  # what is old says nothing of how a tag is doing
        self._old = Converter(settings.name, nodes, self._rates, aside)
        self._keys = [digest((node.asset, node.tag, node.address)) for node in nodes]
        self._places = {key: place for place, key in enumerate(self._keys)}
        self._ledger, self._fills = Ledger(self._keys), Fills()
        self._historian = Historian(settings, self._nodes, self._places.get, self._fills, inbox, now)
        self._past = Past(settings, inbox, now)
        self._lock = threading.Lock()
        self._numbers = count(1)
        self._parts: list[Part] = []
        self._about: About | None = None
        self._marks: dict[int, int] = {}
        self._reached = Reached()

    def recall(self, memory: Mapping[str, bytes]) -> None:
        """Take up what the last run left."""
        self._ledger.recall(memory)
        self._fills.recall(memory)
        self._past.recall(memory)
        self._reached.recall(memory)
        self.events.table.recall(memory.get(_EVENTS, b""))

    def parts(self, about: About) -> list[Part]:
        """Sort the tags into subscriptions, now that the server's limits are known."""
        keys = [key_of(self._settings, node) for node in self._nodes]
        self._about, self._parts = about, []
        for plan in plans(self._settings, self._nodes, about.limits.items_per_subscription):
            monitor = Monitor(self._settings, self._nodes, self.board, plan, self._learned)
            monitor.about, monitor.rates = about, self._rates
            self._parts.append(Part(monitor, keys))
        if self._settings.event:
            self._parts.append(Part(self.events, [digest(wish) for wish in self._settings.event]))
        return self._parts

    def _learned(self, nodes: Mapping[int, Node]) -> None:
        self._converter.learn(nodes)
        self._old.learn(nodes)

    def lost(self, part: Part, why: str) -> None:
        """Values of these tags may have been missed."""
        with self._lock:
            self._ledger.doubt(part.member.plan.places, why, self._reached.until)
            self._reached.forget(part.member.plan.name)
            if part.member is self.events:
                self._past.doubt(why)

    def confirm(self, at: datetime) -> None:
        """The server lives and has nothing new."""
        self.board.confirm(at)

    def jobs(self, client: Andon) -> list[Coroutine[None, None, None]]:
        """Give what is to be done while the link is live."""
        assert self._about is not None  # noqa: S101 (the parts were asked for first)
        jobs = [self._historian.run(client, self._about.limits)]
        if self._settings.event:
            jobs.append(self._past.run(client, self.events))
        if self._converter.pulse is not None:
            jobs.append(self._beat(self._converter.pulse))
        return jobs

    async def _beat(self, pulse: float) -> None:
        while True:
            await asyncio.sleep(pulse)
            await self._inbox.offer(Arrival((), self._now(), beat=True))

    def batch(self, arrivals: Sequence[Arrival], news: Mapping[str, bytes]) -> Batch:
        """Make one batch of all that arrived. `news` is what the link wants remembered with it. Any thread."""
        with self._lock:
            return self._batch(arrivals, news)

    def _batch(self, arrivals: Sequence[Arrival], news: Mapping[str, bytes]) -> Batch:
        missed: list[Missed] = []
        gaps: list[SourceGap] = []
        live: list[Arrival] = []
        old: list[Arrival] = []
        for arrival in arrivals:
            if arrival.history is None:
                live.append(self._noted(arrival, missed))
            else:
                self._fills.advance(arrival.history)
                gaps += arrival.history.gaps
                if arrival.history.events:
                    self._past.closed()
                old.append(arrival)
        if missed:
            gaps += self._missed(missed)
        made = self._joined(self._converter.batch(live), self._old.batch(old), arrivals)
        lines = [line for one in live if one.events for line in self.events.lines(one.events, one.received_at)]
        lines += [line for one in old if one.events for line in self._past.lines(one.events, one.received_at)]
        return replace(
            made,
            sequence=next(self._numbers),
            lines=tuple(lines),
            gaps=tuple(gaps),
            memory=self._memory(arrivals, news),
        )

    def _joined(self, live: Batch | None, old: Batch | None, arrivals: Sequence[Arrival]) -> Batch:
        at = arrivals[-1].received_at
        batch = live or Batch(self._settings.name, 0, at)
        beat = self._converter.heartbeats(at) if any(arrival.beat for arrival in arrivals) else None
        for more in (old, beat):
            if more is not None:
                batch = replace(
                    batch,
                    readings=(*batch.readings, *more.readings),
                    series=(*batch.series, *more.series),
                    waveforms=(*batch.waveforms, *more.waveforms),
                    frames=(*batch.frames, *more.frames),
                )
        return batch

    def _noted(self, arrival: Arrival, missed: list[Missed]) -> Arrival:
        """Note what was said last; what is told again is left out."""
        part = next((one for one in self._parts if one.stream and one.stream.id == arrival.subscription), None)
        if part is not None and arrival.missing:
            self._ledger.doubt(part.member.plan.places, LOST, self._reached.until)
        if part is not None and part.made is not None and part.member is not self.events:
            self._reached.take(part.member.plan.name, arrival.published, part.made.margin)
        received = ticks(arrival.received_at)
        values = [self._ledger.take(one, missed, received) for one in arrival.values]
        changes = [change for change in arrival.changes if self._ledger.take_one(change, missed, received)]
        events = self._past.fresh(arrival.events) if arrival.events else ()
        return arrival._replace(values=values, changes=changes, events=events, missing=0)

    def _missed(self, missed: Sequence[Missed]) -> list[SourceGap]:
        """Have what is missing read from history; without it, it is a gap at once."""
        if self._settings.on_gap == "mark":
            return self._marked(missed)
        taken = self._fills.add(
            Fill(self._keys[one.place], one.after, one.before, self._ledger.since(one), one.cause) for one in missed
        )
        self._historian.wake()
        return self._marked(missed[taken:])

    def _marked(self, missed: Sequence[Missed]) -> list[SourceGap]:
        gaps: list[SourceGap] = []
        for cause in sorted({one.cause for one in missed}):
            found = [one for one in missed if one.cause == cause]
            tags = tuple((self._nodes[one.place].asset, self._nodes[one.place].tag) for one in found)
            start, end = moment(min(map(self._ledger.since, found))), moment(max(one.before for one in found))
            if start is not None and end is not None:
                gaps.append(SourceGap(tags, start, end, cause))
        return gaps

    def _memory(self, arrivals: Sequence[Arrival], news: Mapping[str, bytes]) -> dict[str, bytes]:
        """Say what the next run must know when this batch is committed."""
        streams = [part.stream for part in self._parts if part.stream is not None]
        self._marks = {stream.id: self._marks.get(stream.id, stream.mark) for stream in streams}
        for arrival in arrivals:
            if arrival.subscription in self._marks:
                self._marks[arrival.subscription] = arrival.sequence
        monitors = [part.member.plan.name for part in self._parts if part.member is not self.events]
        told = {**self._past.memory(), **self._reached.memory(monitors)}
        if self.events.table.changed:
            told[_EVENTS] = self.events.table.remember()
        return {**news, **marked(self._marks), **self._ledger.memory(), **self._fills.memory(), **told}

    def committed(self) -> None:
        """The batch is committed; nodes that turned out to be gone are wanted again."""
        if not self._converter.gone:
            return
        gone = set(self._converter.gone)
        for part in self._parts:
            if isinstance(part.member, Monitor):
                part.member.forget(self._converter.gone)
        with self._lock:
            self._ledger.doubt(gone, "the node was gone")
