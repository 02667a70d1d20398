"""The OPC UA source: values of one server as batches, with what the next run must know."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import count

from msgspec.structs import replace

from connectors.line.board import WAITING, Board
from connectors.line.inbox import Inbox
from connectors.line.opcua.about import About
from connectors.line.opcua.convert import Converter
from connectors.line.opcua.events import Events
from connectors.line.opcua.groups import plans
from connectors.line.opcua.link import Link, Part, Stage
from connectors.line.opcua.monitor import Monitor
from connectors.line.opcua.pump import Arrival
from connectors.line.opcua.resume import identity_of, marked, recall
from connectors.line.opcua.session import FAREWELL_S
from connectors.line.opcua.settings import Node, Settings
from connectors.line.opcua.subscribe import digest, key_of
from gateway.core.batch import Batch, TagState
from gateway.core.errors import Unreachable
from gateway.core.ports import NOTHING, Clock


class OpcUa:
    """Values of one OPC UA server; a `LineSource`.

    Lives once: when the link is lost, `batches` raises `Unreachable` and a new source (with a new
    client, never the old one) is opened by the supervisor. It goes on where the last one's commits ended,
    be it that the line was cut or that the gateway was killed: session, subscriptions and the last
    committed sequence numbers are in the memory of each batch. Closing leaves the session on the server,
    to come back to, once something of it was committed.
    """

    def __init__(
        self,
        settings: Settings,
        nodes: Sequence[Node],
        now: Clock = lambda: datetime.now(UTC),
        own_ends: datetime | None = None,
    ) -> None:
        self._settings, self._nodes, self._now = settings, list(nodes), now
        self._own_ends = own_ends
        self._board = Board(settings.name, self._nodes)
        self._rates = {place: node.rate_hz for place, node in enumerate(nodes) if node.rate_hz}
        self._converter = Converter(settings.name, self._nodes, self._rates, self._board)
        self._events = Events(settings) if settings.event else None
        self._inbox: Inbox[Arrival] = Inbox()
        self._link = Link(settings, settings.endpoint, self._inbox, now, self._parts, self._missed)
        self._pictures = any(node.kind == "frame" for node in nodes)
        self._owner: asyncio.Task[None] | None = None
        self._closed = False
        self._numbers = count(1)
        self._marks: dict[int, int] = {}

    @property
    def name(self) -> str:
        """The line's name in andon.toml."""
        return self._settings.name

    def expiries(self) -> Mapping[str, datetime]:
        """When our certificate and the server's end (aware UTC), by whose it is: `own`, `server`."""
        own = {} if self._own_ends is None else {"own": self._own_ends}
        return {**own, **self._link.expiries}

    @property
    def stage(self) -> Stage:
        """Where the link stands."""
        return Stage.CLOSED if self._closed else self._link.stage

    def tags(self) -> Sequence[TagState]:
        """How each node and each source of events is doing."""
        states = self._board.states()
        if self.stage is not Stage.LIVE:
            states = [replace(it, detail=str(self.stage)) if it.detail == WAITING else it for it in states]
        return states if self._events is None else [*states, *self._events.states()]

    async def batches(self, memory: Mapping[str, bytes] = NOTHING) -> AsyncIterator[Batch]:
        """Give the values; see `LineSource`."""
        if self._closed or self._owner is not None:
            raise Unreachable(f"{self.name}: this source was used; open a new one")
        kept = recall(memory, self._settings.endpoint, identity_of(self._settings))
        self._owner = asyncio.create_task(self._link.run(kept), name=f"opcua {self.name}")
        try:
            while arrivals := await self._inbox.take():
                yield await self._batch(arrivals)
                self._link.stays = True
                self._inbox.committed()
                for part in self._link.parts:
                    if isinstance(part.member, Monitor):
                        part.member.forget(self._converter.gone)
            if not self._closed:
                await self._raise_why(self._owner)
        finally:
            await self.close()

    async def close(self) -> None:
        """Leave the server. May be called at any time, twice too."""
        self._closed = True
        self._inbox.end()
        owner = self._owner
        if owner is None:
            return
        owner.cancel()
        await asyncio.wait({owner}, timeout=FAREWELL_S + 2)
        if owner.done() and not owner.cancelled():
            owner.exception()  # seen: nobody else will ask

    async def _batch(self, arrivals: list[Arrival]) -> Batch:
        """Make the batch; pictures are decoded in a thread, for the loop waits for no processor."""
        if self._pictures:
            made = await asyncio.to_thread(self._converter.batch, arrivals)
        else:
            made = self._converter.batch(arrivals)
        batch = made or Batch(self.name, 0, arrivals[-1].received_at)
        lines = () if self._events is None else [
            line for arrival in arrivals for line in self._events.lines(arrival.events, arrival.received_at)
        ]  # fmt: skip
        return replace(batch, sequence=next(self._numbers), lines=tuple(lines), memory=self._memory(arrivals))

    def _memory(self, arrivals: Sequence[Arrival]) -> dict[str, bytes]:
        """Say what the next run must know when this batch is committed."""
        news, self._link.news = self._link.news, {}
        streams = [part.stream for part in self._link.parts if part.stream is not None]
        self._marks = {stream.id: self._marks.get(stream.id, stream.mark) for stream in streams}
        for arrival in arrivals:
            if arrival.subscription in self._marks:
                self._marks[arrival.subscription] = arrival.sequence
        return {**news, **marked(self._marks)}

    def _parts(self, about: About) -> list[Part]:
        """Sort the tags into subscriptions, now that the server's limits are known."""
        keys = [key_of(self._settings, node) for node in self._nodes]
        parts: list[Part] = []
        for plan in plans(self._settings, self._nodes, about.limits.items_per_subscription):
            monitor = Monitor(self._settings, self._nodes, self._board, plan)
            monitor.about, monitor.rates = about, self._rates
            parts.append(Part(monitor, keys))
        if self._events is not None:
            parts.append(Part(self._events, [digest(wish) for wish in self._settings.event]))
        return parts

    def _missed(self, part: Part, why: str) -> None:
        """Values of these tags may have been missed."""

    async def _raise_why(self, owner: "asyncio.Task[None]") -> None:
        await asyncio.wait({owner}, timeout=FAREWELL_S + 2)
        if owner.done() and not owner.cancelled() and (lost := owner.exception()) is not None:
            raise lost
        raise Unreachable(f"{self.name}: the link ended")
