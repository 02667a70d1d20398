"""The Modbus source: finished scans become batches; gaps are told, what was learned is kept."""

import ssl
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import groupby

import structlog
from msgspec.structs import replace

from connectors.line.board import Board
from connectors.line.judge import Judge
from connectors.line.modbus.address import parse
from connectors.line.modbus.area import Area
from connectors.line.modbus.breaker import Breaker, Probes
from connectors.line.modbus.cost import GAP
from connectors.line.modbus.inspect import look
from connectors.line.modbus.lanes import Lanes
from connectors.line.modbus.memory import Heard, Memory
from connectors.line.modbus.poller import Poller
from connectors.line.modbus.scan import Group, Scan, ill_column
from connectors.line.modbus.settings import Register, Settings
from connectors.line.modbus.targets import Targets
from connectors.line.modbus.wire import Wire
from connectors.line.tags import Times
from gateway.core.batch import Batch, SourceGap, TagCheck, TagState
from gateway.core.errors import Unreachable
from gateway.core.ports import NOTHING, Clock
from gateway.core.reading import Quality, Reading, Value
from gateway.core.series import Series
from gateway.core.units import Duration

log: structlog.stdlib.BoundLogger = structlog.get_logger()
_WATCH_S = 10.0
_WORTH = 0.3
_MANY = 8


class Modbus:
    """Values of one Modbus endpoint; a `LineSource`, `Writable` and `Inspectable`.

    A batch holds the scans that were finished meanwhile, numbers in columns. The equipment has no clock:
    source and server time are None. Raises `Unreachable` when no connection can be made, when no unit
    answers any more, and when polling stopped for whatever reason.
    """

    def __init__(
        self,
        settings: Settings,
        tags: Sequence[Register],
        tls: ssl.SSLContext | None = None,
        now: Clock = lambda: datetime.now(UTC),
    ) -> None:
        self._settings, self._now = settings, now
        self._tags = [_freshened(settings, tag) for tag in tags]
        self._board = Board(settings.name, self._tags)
        beat = None if settings.heartbeat is None else float(settings.heartbeat)
        self._judge = Judge(self._tags, self._board, every=float(settings.every), heartbeat=beat)
        self._beaten_at = 0.0
        self._targets = Targets(settings.name, settings.device, settings.target)
        self._groups = _groups(settings, self._tags)
        place = settings.place
        lanes = Lanes(settings.connections, shared=place.is_shared)
        if settings.one_at_a_time:
            lanes.most = min(lanes.most, len({group.breaker.unit for group in self._groups}))
        areas = [area for group in self._groups for area in group.areas]
        self._memory = Memory(areas, lanes)
        wire = partial(Wire, place, float(settings.timeout), tls, settings.tls.server_name if settings.tls else "")
        probes = Probes(float(settings.probe), float(settings.timeout))
        self._wire = wire
        self._poller = Poller(settings.name, self._groups, lanes, probes, wire, now)
        self._poller.one_at_a_time = settings.one_at_a_time
        self._sequence = self._scans = 0
        self._heard_at: datetime | None = None
        self._used = self._closed = False

    @property
    def name(self) -> str:
        """The line's name in andon.toml."""
        return self._settings.name

    @property
    def requests(self) -> int:
        """How many reads were answered."""
        return self._poller.requests

    def tags(self) -> Sequence[TagState]:
        """How each tag is doing; the detail of a well one says when its group cannot keep its time."""
        states, table = self._board.states(), self._poller.table
        if table is None:
            return states
        for group in self._groups:
            detail = table.detail(group.place)
            if detail:
                for place in group.places:
                    if states[place].healthy and not states[place].detail:
                        states[place] = replace(states[place], detail=detail)
        return states

    def targets(self) -> Sequence[str]:
        """Name what may be written; see `Writable`."""
        return self._targets.names()

    async def write(self, target: str, values: Sequence[Value]) -> list[Value]:
        """Write to a declared target, over the first connection; see `Writable`."""
        if self._closed or not self._poller.connected:
            raise Unreachable(f"{self.name}/{target}: the line is not connected; nothing was written")
        return await self._targets.write(self._poller.first, target, values)

    async def held_by(self, target: str) -> Value:
        """Read what a declared target holds, over the first connection; see `Readable`."""
        if self._closed or not self._poller.connected:
            raise Unreachable(f"{self.name}/{target}: the line is not connected")
        return await self._targets.held_by(self._poller.first, target)

    async def inspect(self) -> Sequence[TagCheck]:
        """Read each tag once and say what it looks like; see `Inspectable`."""
        wire = self._wire()
        try:
            return await look(wire, self._tags, self._settings)
        finally:
            wire.drop()

    async def batches(self, memory: Mapping[str, bytes] = NOTHING) -> AsyncIterator[Batch]:
        """Give the values; see `LineSource`."""
        if self._used:
            raise Unreachable(f"{self.name}: this source was used; open a new one")
        self._used = True
        self._poller.cost, heard = self._memory.recall(memory, self._now())
        self._missed(heard)
        self._bridge()
        try:
            await self._poller.start()
            while not self._closed:
                batch = self._batch(await self._poller.take(self._patience_s, self._judge.pulse))
                if batch is not None:
                    yield batch
                self._bridge()
                self._poller.check(self._settings.endpoint)
        except Unreachable as lost:
            if self._closed:
                return
            if self._heard_at is not None:
                self._sequence += 1
                kept = self._memory.last(self._heard_at, str(lost).removeprefix(f"{self.name}: "))
                yield Batch(self.name, self._sequence, self._now(), memory=kept)
            raise
        finally:
            await self.close()

    async def close(self) -> None:
        """End polling and close the connections. May be called at any time, twice too."""
        self._used = self._closed = True
        await self._poller.close()

    @property
    def _patience_s(self) -> float:
        """How long no question may come to an end: the fastest group that is asked sets it."""
        fastest = min((group.every for group in self._groups if not group.breaker.demoted), default=0.0)
        return _WATCH_S + 3 * (fastest + self._settings.timeout)

    def _batch(self, scans: Sequence[Scan]) -> Batch | None:
        series: list[Series] = []
        readings: list[Reading] = []
        gaps: list[SourceGap] = []
        for scan in scans:
            self._scans += 1
            gaps += self._gap(scan)
            for found in scan.found():
                series += self._judge.series(found.columns, found.at, self._scans)
                times = Times(None, None, found.at)
                said = [
                    self._judge.text(place, text, Quality.GOOD, "", times, self._scans) for place, text in found.texts
                ]
                readings += [reading for reading in said if reading is not None]
            for ill in scan.ill:
                column = ill_column(ill, self._judge.words.number, Quality.BAD)
                series += self._judge.series([column], ill.at, self._scans)
        now = self._now()
        if self._judge.pulse is not None and time.monotonic() - self._beaten_at >= self._judge.pulse:
            self._beaten_at = time.monotonic()
            again, texts = self._judge.heartbeats(now)
            series, readings = series + again, readings + texts
        if not (scans or series or readings):
            return None
        self._sequence += 1
        memory = self._memory.news(self._poller.cost, self._heard_at, now)
        return Batch(
            self.name, self._sequence, now, tuple(readings), series=tuple(series), gaps=tuple(gaps), memory=memory
        )

    def _missed(self, heard: Heard | None) -> None:
        """What the line said since the last run was not heard."""
        if heard is not None and heard.at < self._now():
            for group in self._groups:
                group.heard_at, group.lost_from, group.lost_why = heard.at, heard.at, heard.why

    def _gap(self, scan: Scan) -> list[SourceGap]:
        """Tell of the time in which a group could not be read, once it can be read again."""
        group, at = scan.group, scan.last_at
        if at is None:
            if group.breaker.demoted and group.lost_from is None:
                group.lost_from, group.lost_why = group.heard_at, scan.silent
            return []
        start, group.lost_from, group.heard_at = group.lost_from, None, at
        self._heard_at = at
        if start is None or at - start <= timedelta(seconds=2 * group.every):
            return []
        names = tuple((self._tags[place].asset, self._tags[place].tag) for place in group.places)
        return [SourceGap(names, start, at, group.lost_why)]

    def _bridge(self) -> None:
        """Read over as many unused registers as is worth it, once that is known."""
        if self._settings.gap is not None or not self._poller.cost.known:
            return
        gap = self._poller.cost.gap
        for group in self._groups:
            for area in group.areas:
                if abs(gap - area.gap) > max(_MANY, _WORTH * area.gap) and area.bridge(gap):
                    log.info("modbus.gap", source=self.name, registers=gap, reads=group.requests)


def _freshened(settings: Settings, tag: Register) -> Register:
    """The tag with the age from which its value is stale."""
    if tag.stale_after is not None:
        return tag
    age = settings.stale_after or Duration(3 * float(tag.every or settings.every) + settings.timeout)
    return replace(tag, stale_after=age)


def _groups(settings: Settings, tags: Sequence[Register]) -> list[Group]:
    sorts: dict[tuple[int, float], list[int]] = {}
    for place, tag in enumerate(tags):
        unit = settings.device if tag.device is None else tag.device
        sorts.setdefault((unit, float(tag.every or settings.every)), []).append(place)
    gap = GAP if settings.gap is None else settings.gap
    breakers = {unit: Breaker(unit, settings.demote_after) for unit, _ in sorts}
    groups = []
    for number, ((unit, every), places) in enumerate(sorted(sorts.items())):
        addressed = sorted(((place, parse(tags[place].address)) for place in places), key=lambda item: item[1].table)
        areas = [
            Area(unit, table, list(items), gap=gap, span=settings.span, every=every)
            for table, items in groupby(addressed, key=lambda item: item[1].table)
        ]
        groups.append(Group(number, breakers[unit], every, areas))
    return groups
