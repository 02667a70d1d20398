"""The live stream: each event encoded once, its bytes fanned out to every screen, bounded."""

import asyncio
import itertools
import zlib
from collections import deque
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import msgspec

from gateway.core.errors import Unreachable
from gateway.core.ports import Tx
from gateway.runtime.gateway import Gateway
from gateway.web.line import line_of
from gateway.web.pages.frame import frame_of
from gateway.web.problems import Wrong

TICK_S = 0.5
STATE_TICKS = 2
FRAME_S = 0.4
_BACKLOG = 8
_QUIET_S = 15.0
BYE = b"event: bye\ndata: \n\n"  # an event without a data line is not dispatched


def event(name: str, data: bytes) -> bytes:
    """Encode one event. Bytes, because `str.splitlines` also cuts at U+2028."""
    return b"event: %b\n" % name.encode() + b"".join(b"data: %b\n" % line for line in data.splitlines()) + b"\n"


class Outlet:
    """One screen's events. A slow screen loses the oldest; each event stands for itself."""

    def __init__(self, asset: str | None) -> None:
        self.asset = asset
        self._held: deque[bytes] = deque(maxlen=_BACKLOG)
        self._there = asyncio.Event()

    def put(self, message: bytes) -> None:
        """Hand an event over; never waits."""
        self._held.append(message)
        self._there.set()

    async def take(self) -> bytes:
        """Wait for the next event; a comment after 15 quiet seconds keeps proxies from closing."""
        try:
            async with asyncio.timeout(_QUIET_S):
                while not self._held:
                    self._there.clear()
                    await self._there.wait()
        except TimeoutError:
            return b": quiet\n\n"
        return self._held.popleft()


class Streams:
    """Looks at the line twice a second for all screens together, at the orders once, at a watched asset more often."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._outlets: set[Outlet] = set()
        self._wanted = asyncio.Event()
        self._digest = b""

    def check_room(self) -> None:
        """Raise `Wrong` 503 when too many screens watch. To be asked before an answer has begun."""
        if len(self._outlets) >= self._gateway.api.max_streams:
            raise Wrong(503, "too many live screens")

    @contextmanager
    def subscribe(self, asset: str | None) -> Iterator[Outlet]:
        """Open an outlet, and close it at the end."""
        outlet = Outlet(asset)
        self._outlets.add(outlet)
        self._gateway.telemetry.streams.set(len(self._outlets))
        self._wanted.set()
        try:
            yield outlet
        finally:
            self._outlets.discard(outlet)
            self._gateway.telemetry.streams.set(len(self._outlets))

    async def events(self, asset: str | None) -> AsyncIterator[bytes]:
        """Give one screen's events until the gateway stops."""
        with self.subscribe(asset) as outlet:
            yield b"retry: 1000\n\n"
            while not self._gateway.stopping.is_set():
                message = await outlet.take()
                yield message
                if message == BYE:
                    return
            yield BYE

    @asynccontextmanager
    async def running(self, _app: object = None) -> AsyncIterator[None]:
        """Run the jobs behind the streams while the application lives."""
        try:
            async with asyncio.TaskGroup() as jobs:
                tasks = [
                    jobs.create_task(self._tell_line(), name="stream-line"),
                    jobs.create_task(self._tell_frames(), name="stream-frames"),
                    jobs.create_task(self._say_goodbye(), name="stream-bye"),
                ]
                yield
                for task in tasks:
                    task.cancel()
        finally:
            self._end()

    async def _say_goodbye(self) -> None:
        await self._gateway.stopping.wait()
        self._end()

    def _end(self) -> None:
        self._put(BYE)

    async def _tell_line(self) -> None:
        for turn in itertools.count():
            await self._somebody()
            self._put(event("line", msgspec.json.encode(line_of(self._gateway))))
            digest = await self._state() if turn % STATE_TICKS == 0 else self._digest
            if digest != self._digest:
                self._digest = digest
                self._put(event("changed", digest))
            await asyncio.sleep(TICK_S)

    def _put(self, message: bytes) -> None:
        for outlet in self._outlets:
            outlet.put(message)

    async def _tell_frames(self) -> None:
        shown: dict[str, tuple[object, object]] = {}
        while True:
            await self._somebody()
            watched = {outlet.asset for outlet in self._outlets if outlet.asset is not None}
            shown = {asset: seen for asset, seen in shown.items() if asset in watched}
            for asset in watched:
                view = self._gateway.live.of(asset)
                seen = (view.waveform, view.frame)
                if asset in shown and all(old is new for old, new in zip(shown[asset], seen, strict=True)):
                    continue
                shown[asset] = seen
                frame = await asyncio.to_thread(frame_of, view, self._gateway.plant.asset(asset))
                message = event("frame", msgspec.json.encode(frame))
                for outlet in self._outlets:
                    if outlet.asset == asset:
                        outlet.put(message)
            await asyncio.sleep(FRAME_S)

    async def _somebody(self) -> None:
        """Wait until at least one screen watches."""
        while not self._outlets:
            self._wanted.clear()
            await self._wanted.wait()

    async def _state(self) -> bytes:
        """Give a word that changes when an order, an episode or the review list does."""

        def look(tx: Tx) -> list[object]:
            return [
                [
                    (held.order.key, held.order.version, held.delivery.state, held.erp_status)
                    for held in tx.orders(limit=200)
                ],
                [(held.key, held.state, held.decision, held.ruled) for held in tx.episodes(live=True, limit=200)],
                [held.report.id for held in tx.reports(route="review", limit=200)],
            ]

        try:
            seen = await self._gateway.store.read(look)
        except Unreachable:
            return self._digest
        return str(zlib.crc32(msgspec.json.encode(seen))).encode()
