"""Syslog over UDP: RFC 5424 and RFC 3164 lines of the machines."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated

import msgspec

from connectors.line.lines import Said, parse
from gateway.core.batch import Batch, TagState
from gateway.core.errors import Unreachable
from gateway.core.ports import NOTHING, Clock, LineSource
from gateway.core.reading import LogLine, Name
from gateway.core.units import Duration

SAMPLE = """
[line.syslog]
protocol = "syslog"
host = "0.0.0.0"
port = 5514
assets = { "m07-plc" = "M-07", "oven-agent" = "OVEN-1" }   # host name or application -> asset
"""


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A UDP port that takes syslog lines.

    `assets` maps a host name, an application name or a sender's address to an asset. A line of nobody
    known goes to `default`; without one, to its host name or sender, so that it is not lost. When more
    than `queue` lines wait, the newest are counted and dropped, and the next batch says how many.
    """

    name: Name
    host: str = "127.0.0.1"
    port: Annotated[int, msgspec.Meta(ge=0, le=65535)] = 5514
    assets: dict[str, Name] = {}
    default: str = ""
    queue: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] = 10_000
    gather: Duration = Duration(0.1)

    def open(self) -> LineSource:
        """Make the source; it binds its port when its first batch is asked for."""
        return Syslog(self)


class Syslog:
    """Log lines from one UDP port; a `LineSource`. UDP has no back-pressure: what is dropped is counted."""

    def __init__(self, settings: Settings, now: Clock = lambda: datetime.now(UTC)) -> None:
        self._settings, self._now = settings, now
        self._waiting: deque[LogLine] = deque()
        self._wake = asyncio.Event()
        self._transport: asyncio.DatagramTransport | None = None
        self._dropped = self._sequence = 0
        self._closed = False
        self._last: dict[str, datetime] = {}

    @property
    def name(self) -> str:
        """The line's name in andon.toml."""
        return self._settings.name

    @property
    def port(self) -> int:
        """The port that is bound; 0 before."""
        return 0 if self._transport is None else int(self._transport.get_extra_info("sockname")[1])

    def tags(self) -> Sequence[TagState]:
        """The port, and each asset that has said something."""
        bound = self._transport is not None and not self._closed
        detail = f"port {self.port}" if bound else "not bound"
        heard = [TagState(self.name, f"{asset}/log", healthy=True, last_at=at) for asset, at in self._last.items()]
        return [TagState(self.name, "udp", bound, detail), *heard]

    async def batches(self, memory: Mapping[str, bytes] = NOTHING) -> AsyncIterator[Batch]:
        """Give the lines; see `LineSource`. Raises `Unreachable` when the port cannot be bound."""
        if self._closed or self._transport is not None:
            raise Unreachable(f"{self.name}: this source was used; open a new one")
        try:
            await self._bind()
            while not self._closed:
                await self._wake.wait()
                if not self._closed:
                    await asyncio.sleep(self._settings.gather)  # lines come in bursts: one commit for each
                self._wake.clear()
                while batch := self._batch():
                    yield batch
        finally:
            await self.close()

    async def close(self) -> None:
        """Give the port back. May be called at any time, twice too."""
        self._closed = True
        if self._transport is not None:
            self._transport.close()
            await asyncio.sleep(0)  # the socket closes in the next turn of the loop
        self._wake.set()

    async def _bind(self) -> None:
        loop = asyncio.get_running_loop()
        place = (self._settings.host, self._settings.port)
        try:
            self._transport, _ = await loop.create_datagram_endpoint(lambda: _Ear(self._take), local_addr=place)
        except OSError as lost:
            raise Unreachable(f"{self.name}: cannot listen on {place[0]}:{place[1]}: {lost.strerror}") from lost

    def _take(self, data: bytes, sender: str) -> None:
        if len(self._waiting) >= self._settings.queue:
            self._dropped += 1
        else:
            at = self._now()
            said = parse(data, at)
            asset = self._asset_of(said, sender)
            if asset in self._last or len(self._last) < _MOST_ASSETS:
                self._last[asset] = at
            self._waiting.append(LogLine(asset, said.text, said.severity, said.at, at))
        self._wake.set()

    def _asset_of(self, said: Said, sender: str) -> str:
        assets = self._settings.assets
        for name in (said.host, said.app, sender):
            if name and name in assets:
                return assets[name]
        return self._settings.default or said.host or sender

    def _batch(self) -> Batch | None:
        if not self._waiting and not self._dropped:
            return None
        lines = tuple(self._waiting.popleft() for _ in range(min(len(self._waiting), _MOST_LINES)))
        note = f"gap: {self._dropped} lines dropped, the queue was full" if self._dropped else ""
        self._dropped = 0
        self._sequence += 1
        return Batch(self.name, self._sequence, self._now(), lines=lines, note=note)


_MOST_LINES = 1000
_MOST_ASSETS = 1000


class _Ear(asyncio.DatagramProtocol):
    def __init__(self, take: Callable[[bytes, str], None]) -> None:
        self._take = take

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self._take(data, addr[0])

    def error_received(self, exc: Exception) -> None:
        """Ignore it: an ICMP answer to a datagram concerns nobody who only listens."""
