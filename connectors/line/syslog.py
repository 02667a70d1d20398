"""Syslog: RFC 5424 and RFC 3164 lines of the machines, over UDP, TCP (RFC 6587) or TLS (RFC 5425)."""

import asyncio
import ssl
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Literal

import msgspec

from connectors.files import FileName
from connectors.line.inbox import Inbox
from connectors.line.lines import Said, parse
from connectors.line.streams import Said as Heard
from connectors.line.streams import Streams, context_of
from gateway.core.batch import Batch, TagState
from gateway.core.errors import Unreachable
from gateway.core.plural import plural
from gateway.core.ports import NOTHING, Clock, LineSource
from gateway.core.reading import LogLine, Name
from gateway.core.units import Duration, Size

SAMPLE = """
[line.syslog]
protocol = "syslog"
host = "0.0.0.0"
port = 5514
assets = { "m07-plc" = "M-07", "oven-agent" = "OVEN-1" }   # host name or application -> asset

[line.syslog-tls]
protocol = "syslog"
transport = "tls"
host = "0.0.0.0"
port = 6514
certificate = "/etc/andon/pki/own.pem"
key = "/etc/andon/pki/own.key"
ca = "/etc/andon/pki/senders-ca.pem"     # senders must show a certificate of it
assets = { "m07-plc" = "M-07" }
"""
_MOST_LINES = 1000
_MOST_ASSETS = 1000
_LONGEST_NAME = 128


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A port that takes syslog lines.

    `assets` maps a host name, an application name or a sender's address to an asset. A line of nobody
    known goes to `default`; without one, to its host name or sender, so that it is not lost. UDP cannot be
    held back: when more than `queue` lines wait (of one sender, `per_sender`), the newest are counted and
    dropped, and the next batch says how many. TCP and TLS are held back: a connection is read on when what it said is
    committed. `connections` bounds them, `per_address` those of one address; a line longer than `longest` is
    cut; a connection that says nothing for `silence` is closed (0s: never).
    """

    name: Name
    transport: Literal["udp", "tcp", "tls"] = "udp"
    host: str = "127.0.0.1"
    port: Annotated[int, msgspec.Meta(ge=0, le=65535)] = 5514
    certificate: FileName | None = None
    key: FileName | None = None
    ca: FileName | None = None
    assets: dict[str, Name] = {}
    default: str = ""
    queue: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] = 10_000
    per_sender: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] = 5_000
    connections: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 64
    per_address: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 16
    longest: Size = Size(64 * 1024)
    silence: Duration = Duration(0)
    gather: Duration = Duration(0.1)

    def __post_init__(self) -> None:
        absent = [name for name in ("certificate", "key") if getattr(self, name) is None]
        if self.transport == "tls" and absent:
            raise ValueError(f'transport "tls" needs {", ".join(absent)}')
        if self.transport != "tls" and len(absent) + (self.ca is None) < 3:  # noqa: PLR2004 (all of them absent)
            raise ValueError('certificate, key and ca need transport = "tls"')
        if not 480 <= self.longest <= 1024 * 1024:  # noqa: PLR2004 (what every receiver takes, and a MiB)
            raise ValueError("longest must be between 480B and 1MiB")

    def open(self) -> LineSource:
        """Make the source; it binds its port when its first batch is asked for. Raises `Misconfigured`."""
        return Syslog(self)


class Syslog:
    """Log lines from one port; a `LineSource`."""

    def __init__(self, settings: Settings, now: Clock = lambda: datetime.now(UTC)) -> None:
        self._settings, self._now = settings, now
        self._waiting: deque[tuple[str, LogLine]] = deque()
        self._of: Counter[str] = Counter()
        self._wake = asyncio.Event()
        self._inbox: Inbox[Heard] = Inbox()
        silence = float(settings.silence) or None
        self._streams = Streams(self._inbox, settings.connections, settings.per_address, int(settings.longest), silence)
        self._transport: asyncio.DatagramTransport | None = None
        self._dropped = self._sequence = 0
        self._used = self._closed = False
        self._last: dict[str, datetime] = {}

    @property
    def name(self) -> str:
        """The line's name in andon.toml."""
        return self._settings.name

    @property
    def port(self) -> int:
        """The port that is bound; 0 before."""
        if self._settings.transport != "udp":
            return self._streams.port
        return 0 if self._transport is None else int(self._transport.get_extra_info("sockname")[1])

    def tags(self) -> Sequence[TagState]:
        """The port, and each asset that has said something."""
        bound = self.port != 0 and not self._closed
        detail = f"port {self.port}" if bound else "not bound"
        if bound and self._settings.transport != "udp":
            detail += f", {self._streams.count} connections"
        if self._streams.turned_away:
            detail += f", {self._streams.turned_away} turned away"
        if self._streams.cut:
            detail += f", {plural(self._streams.cut, 'line')} cut"
        heard = [TagState(self.name, f"{asset}/log", healthy=True, last_at=at) for asset, at in self._last.items()]
        return [TagState(self.name, self._settings.transport, bound, detail), *heard]

    async def batches(self, memory: Mapping[str, bytes] = NOTHING) -> AsyncIterator[Batch]:
        """Give the lines; see `LineSource`. Raises `Unreachable` when the port cannot be bound."""
        del memory  # a sender of syslog keeps no copy that could be asked for
        if self._used or self._closed:
            raise Unreachable(f"{self.name}: this source was used; open a new one")
        self._used = True
        try:
            if self._settings.transport == "udp":
                await self._bind()
                async for batch in self._datagrams():
                    yield batch
            else:
                await self._listen()
                async for batch in self._messages():
                    yield batch
        finally:
            await self.close()

    async def close(self) -> None:
        """Give the port back. May be called at any time, twice too."""
        self._closed = True
        self._wake.set()
        self._inbox.end()
        if self._transport is not None:
            self._transport.close()
            await asyncio.sleep(0)  # the socket closes in the next turn of the loop
        await self._streams.close()

    async def _datagrams(self) -> AsyncIterator[Batch]:
        while not self._closed:
            await self._wake.wait()
            if not self._closed:
                await asyncio.sleep(self._settings.gather)  # lines come in bursts: one commit for each
            self._wake.clear()
            while self._waiting or self._dropped:
                taken = [self._waiting.popleft() for _ in range(min(len(self._waiting), _MOST_LINES))]
                self._of.subtract(sender for sender, _ in taken)
                self._of = +self._of
                note = f"gap: {plural(self._dropped, 'line')} dropped, the queue was full" if self._dropped else ""
                self._dropped = 0
                yield self._batch([line for _, line in taken], note)

    async def _messages(self) -> AsyncIterator[Batch]:
        while heard := await self._inbox.take():
            lines = [self._line(message, sender) for sender, messages in heard for message in messages]
            for at in range(0, len(lines), _MOST_LINES):
                yield self._batch(lines[at : at + _MOST_LINES])
            self._inbox.committed()
            if self._closed:
                return

    async def _bind(self) -> None:
        loop = asyncio.get_running_loop()
        place = (self._settings.host, self._settings.port)
        try:
            self._transport, _ = await loop.create_datagram_endpoint(lambda: _Ear(self._take), local_addr=place)
        except OSError as lost:
            raise self._not_bound(lost) from lost

    async def _listen(self) -> None:
        context = None
        settings = self._settings
        if settings.certificate is not None and settings.key is not None:
            try:
                context = await asyncio.to_thread(context_of, settings.certificate, settings.key, settings.ca)
            except (OSError, ssl.SSLError) as no:
                raise Unreachable(f"{self.name}: certificate, key or ca cannot be used: {no.strerror or no}") from no
        try:
            await self._streams.open(settings.host, settings.port, context)
        except OSError as lost:
            raise self._not_bound(lost) from lost

    def _not_bound(self, lost: OSError) -> Unreachable:
        place = f"{self._settings.host}:{self._settings.port}"
        return Unreachable(f"{self.name}: cannot listen on {place}: {lost.strerror}")

    def _take(self, data: bytes, sender: str) -> None:
        if len(self._waiting) >= self._settings.queue or self._of[sender] >= self._settings.per_sender:
            self._dropped += 1
        else:
            self._of[sender] += 1
            self._waiting.append((sender, self._line(data, sender)))
        self._wake.set()

    def _line(self, data: bytes, sender: str) -> LogLine:
        at = self._now()
        said = parse(data, at)
        asset = self._asset_of(said, sender)
        if asset in self._last or len(self._last) < _MOST_ASSETS:
            self._last[asset] = at
        return LogLine(asset, said.text, said.severity, said.at, at)

    def _asset_of(self, said: Said, sender: str) -> str:
        assets = self._settings.assets
        for name in (said.host, said.app, sender):
            if name and name in assets:
                return assets[name]
        return self._settings.default or said.host[:_LONGEST_NAME] or sender

    def _batch(self, lines: Sequence[LogLine], note: str = "") -> Batch:
        self._sequence += 1
        return Batch(self.name, self._sequence, self._now(), lines=tuple(lines), note=note)


class _Ear(asyncio.DatagramProtocol):
    def __init__(self, take: Callable[[bytes, str], None]) -> None:
        self._take = take

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self._take(data, addr[0])

    def error_received(self, exc: Exception) -> None:
        """Ignore it: an ICMP answer to a datagram concerns nobody who only listens."""
