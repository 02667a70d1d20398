"""The OPC UA source: one owner of the road from a socket to live values."""

import asyncio
import enum
import math
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import structlog
from asyncua import ua

from connectors.line.board import Board
from connectors.line.inbox import Inbox
from connectors.line.opcua.convert import Converter
from connectors.line.opcua.monitor import Monitor
from connectors.line.opcua.pump import Arrival, Pump
from connectors.line.opcua.security import advice, make_client
from connectors.line.opcua.settings import Node, Settings
from gateway.core.batch import Batch, TagState
from gateway.core.errors import Unreachable
from gateway.core.ports import NOTHING, Clock

log: structlog.stdlib.BoundLogger = structlog.get_logger()
_FAREWELL = 3.0  # seconds for closing session, channel and socket
_SLOW_DOWN = frozenset({"BadUserAccessDenied", "BadIdentityTokenRejected", "BadIdentityTokenInvalid"})


class Stage(enum.StrEnum):
    """Where the source stands on its road."""

    NEW = "new"
    CONNECTING = "connecting"
    SUBSCRIBING = "subscribing"
    VERIFYING = "verifying"
    LIVE = "live"
    CLOSED = "closed"


class OpcUa:
    """Values of one OPC UA server; a `LineSource`.

    Lives once: when the link is lost, `batches` raises `Unreachable` and a new source (with a new
    client, never the old one) is opened by the supervisor. A publish or a keep-alive must come within
    its interval, or the link counts as lost, however open its socket is.
    """

    def __init__(self, settings: Settings, nodes: Sequence[Node], now: Clock = lambda: datetime.now(UTC)) -> None:
        self._settings, self._now = settings, now
        self._board = Board(settings.name, nodes)
        self._monitor = Monitor(settings, nodes, self._board)
        self._converter = Converter(settings.name, nodes, self._monitor.rates, self._board)
        self._inbox: Inbox[Arrival] = Inbox()
        self._pictures = any(node.kind == "frame" for node in nodes)
        self._owner: asyncio.Task[None] | None = None
        self._closed = False
        self.stage = Stage.NEW

    @property
    def name(self) -> str:
        """The line's name in andon.toml."""
        return self._settings.name

    def tags(self) -> Sequence[TagState]:
        """How each node is doing."""
        return self._board.states()

    async def batches(self, memory: Mapping[str, bytes] = NOTHING) -> AsyncIterator[Batch]:
        """Give the values; see `LineSource`."""
        if self._closed or self._owner is not None:
            raise Unreachable(f"{self.name}: this source was used; open a new one")
        self._owner = asyncio.create_task(self._own(), name=f"opcua {self.name}")
        try:
            while arrivals := await self._inbox.take():
                batch = await self._convert(arrivals)
                if batch is not None:
                    yield batch
                self._inbox.committed()
                self._monitor.forget(self._converter.gone)
            if not self._closed:
                await self._raise_why(self._owner)
        finally:
            await self.close()

    async def close(self) -> None:
        """Leave the server: session, channel, socket. May be called at any time, twice too."""
        self._closed = True
        self.stage = Stage.CLOSED
        self._inbox.end()
        owner = self._owner
        if owner is None:
            return
        owner.cancel()
        await asyncio.wait({owner}, timeout=_FAREWELL + 2)
        if owner.done() and not owner.cancelled():
            owner.exception()  # seen: nobody else will ask

    async def _convert(self, arrivals: list[Arrival]) -> Batch | None:
        """Make the batch; pictures are decoded in a thread, for the loop waits for no processor."""
        if self._pictures:
            return await asyncio.to_thread(self._converter.batch, arrivals)
        return self._converter.batch(arrivals)

    async def _raise_why(self, owner: "asyncio.Task[None]") -> None:
        await asyncio.wait({owner}, timeout=_FAREWELL + 2)
        if owner.done() and not owner.cancelled() and (lost := owner.exception()) is not None:
            raise lost
        raise Unreachable(f"{self.name}: the link ended")

    async def _own(self) -> None:
        """Connect, activate, subscribe, verify, live; then leave, whatever happened."""
        client = None
        try:
            with self._translated():
                self.stage = Stage.CONNECTING
                client = await make_client(self._settings)
                async with asyncio.timeout(self._settings.timeout * 4):
                    await client.connect()
                self.stage = Stage.SUBSCRIBING
                async with asyncio.timeout(self._settings.timeout * 4 + len(self._monitor.nodes) / 100):
                    subscription, patience = await self._subscribe(client)
                self.stage = Stage.VERIFYING
                await self._work(client, subscription, patience)
        finally:
            self._inbox.end()
            if client is not None:
                await _leave(client)

    async def _subscribe(self, client: Any) -> tuple[int, float]:
        """Create the subscription and its items. Gives its id and how long silence may last, in seconds."""
        session = client.uaclient.session
        session.ensure_publish_loop = lambda: None  # the library's loop acknowledges before anything is stored
        beats = max(1, math.ceil(self._settings.keep_alive / self._settings.publish))
        params = ua.CreateSubscriptionParameters(
            RequestedPublishingInterval=self._settings.publish * 1000,
            RequestedMaxKeepAliveCount=beats,
            RequestedLifetimeCount=max(3 * beats, math.ceil(self._settings.survive / self._settings.publish)),
            MaxNotificationsPerPublish=10_000,
            PublishingEnabled=True,
        )
        made = await session.create_subscription(params, callback=lambda _: None)
        await self._monitor.read_limits(client)
        await self._monitor.mend(client, made.SubscriptionId)
        silence = made.RevisedPublishingInterval / 1000 * made.RevisedMaxKeepAliveCount
        return int(made.SubscriptionId), max(1.0, 1.5 * silence)

    async def _work(self, client: Any, subscription: int, patience: float) -> None:
        session = client.uaclient.session
        pump = Pump(session, subscription, self._settings.in_flight, self._inbox, self._now)
        async with asyncio.TaskGroup() as jobs:
            jobs.create_task(pump.run())
            jobs.create_task(self._guard(pump, patience))
            jobs.create_task(self._keep_mending(client, subscription))

    async def _guard(self, pump: Pump, patience: float) -> None:
        """End the link when neither a publish nor a keep-alive came in time. A slow commit is not silence."""
        started = pump.heard
        while True:
            await asyncio.sleep(min(0.25, patience / 4))
            if self.stage is Stage.VERIFYING and pump.heard > started:
                self.stage = Stage.LIVE
                log.info("line.live", source=self.name)
            if pump.listening and time.monotonic() - pump.heard > patience:
                raise Unreachable(f"{self.name}: no publish and no keep-alive for {patience:.1f} s")

    async def _keep_mending(self, client: Any, subscription: int) -> None:
        """Try the nodes that the server does not know again and again; the others go on meanwhile."""
        while True:
            await asyncio.sleep(self._settings.retry)
            if not self._monitor.complete:
                async with asyncio.timeout(self._settings.timeout * 4 + len(self._monitor.nodes) / 100):
                    await self._monitor.mend(client, subscription)

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """Turn what the library raises into `Unreachable`; a bug of ours stays what it is."""
        try:
            yield
        except Unreachable:
            raise
        except (ua.UaError, OSError, AssertionError) as lost:
            raise self._unreachable(lost) from lost
        except ExceptionGroup as several:
            for leaf in _leaves(several):
                if not isinstance(leaf, Unreachable | ua.UaError | OSError):
                    raise leaf from several
            raise self._unreachable(next(_leaves(several))) from several

    def _unreachable(self, lost: BaseException) -> Unreachable:
        if isinstance(lost, Unreachable):
            return lost
        slow = isinstance(lost, ua.UaStatusCodeError) and ua.StatusCode(lost.code).name in _SLOW_DOWN
        after = timedelta(minutes=1) if slow else None  # a wrong password, tried quickly, locks the account
        return Unreachable(f"{self.name}: {self._settings.endpoint}: {advice(lost)}", after=after)


def _leaves(lost: BaseException | None) -> Iterator[BaseException]:
    if isinstance(lost, BaseExceptionGroup):
        for part in lost.exceptions:
            yield from _leaves(part)
    elif lost is not None:
        yield lost


async def _leave(client: Any) -> None:
    """Close what is open. The link may be dead: nothing here may last or fail."""
    with suppress(ua.UaError, OSError, TimeoutError):
        async with asyncio.timeout(_FAREWELL):
            await client.disconnect()
    client.disconnect_socket()
    await asyncio.sleep(0)  # the transport closes in the next turn of the loop
