"""The OPC UA source: the values of one server, and what can be asked of it beside them."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import UTC, datetime

from msgspec.structs import replace

from connectors.line.board import WAITING
from connectors.line.inbox import Inbox
from connectors.line.opcua.inspection import inspect
from connectors.line.opcua.keeper import Keeper
from connectors.line.opcua.link import Link, Stage
from connectors.line.opcua.pump import Arrival
from connectors.line.opcua.redundancy import every_endpoint
from connectors.line.opcua.resume import identity_of, recall
from connectors.line.opcua.settings import Node, Settings
from connectors.line.opcua.targets import Targets
from connectors.opcua.session import FAREWELL_S
from gateway.core.batch import Batch, Condition, TagCheck, TagState
from gateway.core.errors import Unreachable
from gateway.core.ports import NOTHING, Clock
from gateway.core.reading import Value


class OpcUa:
    """Values of one OPC UA server; a `LineSource`, `Writable`, `Readable` and `Alarming`.

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
        self._settings, self._nodes, self._own_ends = settings, nodes, own_ends
        self._inbox: Inbox[Arrival] = Inbox()
        self._keeper = Keeper(settings, nodes, self._inbox, now)
        self._link = Link(settings, self._inbox, now, self._keeper)
        self._targets = Targets(settings, self._keeper.events)
        self._pictures = any(node.kind == "frame" for node in nodes)
        self._owner: asyncio.Task[None] | None = None
        self._closed = False

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

    @property
    def endpoint(self) -> str:
        """The server that is listened to, or was tried last."""
        return self._link.endpoint

    def tags(self) -> Sequence[TagState]:
        """How each node and each source of events is doing."""
        states = self._keeper.board.states()
        if self.stage is not Stage.LIVE:
            states = [replace(it, detail=str(self.stage)) if it.detail == WAITING else it for it in states]
        return [*states, *self._keeper.events.states()]

    def conditions(self) -> Sequence[Condition]:
        """Give the alarms and conditions that the server wants looked at."""
        return self._keeper.events.conditions()

    def targets(self) -> Sequence[str]:
        """Name what may be written; see `Writable`."""
        return self._targets.names()

    async def write(self, target: str, values: Sequence[Value]) -> list[Value]:
        """Write to a declared target; see `Writable`."""
        return await self._targets.write(self._link.client, target, values)

    async def held_by(self, target: str) -> Value:
        """Read what a declared target holds; see `Readable`."""
        return await self._targets.held_by(self._link.client, target)

    async def inspect(self) -> Sequence[TagCheck]:
        """Read every tag once and compare it with the settings; see `Inspectable`."""
        return await inspect(self._settings, self._nodes)

    async def batches(self, memory: Mapping[str, bytes] = NOTHING) -> AsyncIterator[Batch]:
        """Give the values; see `LineSource`."""
        if self._closed or self._owner is not None:
            raise Unreachable(f"{self.name}: this source was used; open a new one")
        self._keeper.recall(memory)
        kept = recall(memory, every_endpoint(self._settings), identity_of(self._settings))
        self._owner = asyncio.create_task(self._link.run(kept), name=f"opcua {self.name}")
        try:
            while arrivals := await self._inbox.take():
                yield await self._batch(arrivals)
                self._link.stays = True
                self._inbox.committed()
                self._keeper.committed()
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
        news, self._link.news = self._link.news, {}
        if self._pictures:
            return await asyncio.to_thread(self._keeper.batch, arrivals, news)
        return self._keeper.batch(arrivals, news)

    async def _raise_why(self, owner: "asyncio.Task[None]") -> None:
        await asyncio.wait({owner}, timeout=FAREWELL_S + 2)
        if owner.done() and not owner.cancelled() and (lost := owner.exception()) is not None:
            raise lost
        raise Unreachable(f"{self.name}: the link ended")
