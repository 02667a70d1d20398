"""The Modbus source: polls by due time, without drift; a dead unit is left to a probe."""

import asyncio
import heapq
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import UTC, datetime

import structlog

from connectors.line.board import Board
from connectors.line.modbus.settings import Register, Settings
from connectors.line.modbus.units import Group, Unit
from connectors.line.modbus.wire import Wire
from gateway.core.batch import Batch, TagState
from gateway.core.errors import Unreachable
from gateway.core.ports import NOTHING, Clock
from gateway.core.reading import Reading

log: structlog.stdlib.BoundLogger = structlog.get_logger()


class Modbus:
    """Values of one Modbus TCP endpoint; a `LineSource`.

    One batch per due group of tags. The equipment has no clock: source and server time are None.
    Raises `Unreachable` when no connection can be made, or when no unit answers any more.
    """

    def __init__(self, settings: Settings, tags: Sequence[Register], now: Clock = lambda: datetime.now(UTC)) -> None:
        self._settings, self._now = settings, now
        self._board = Board(settings.name, tags)
        self._units = {number: Unit(number, settings.demote_after) for number in sorted(_numbers(settings, tags))}
        self._groups = _groups(settings, tags, self._units, self._board)
        self._wire = Wire(settings.host, settings.port, settings.timeout)
        self._sequence = 0
        self._found: list[Reading] = []
        self._prober: asyncio.Task[None] | None = None
        self._stop = asyncio.Event()
        self._used = False

    @property
    def name(self) -> str:
        """The line's name in andon.toml."""
        return self._settings.name

    def tags(self) -> Sequence[TagState]:
        """How each tag is doing."""
        return self._board.states()

    async def batches(self, memory: Mapping[str, bytes] = NOTHING) -> AsyncIterator[Batch]:
        """Give the values; see `LineSource`."""
        if self._used:
            raise Unreachable(f"{self.name}: this source was used; open a new one")
        self._used = True
        try:
            await self._wire.connect()
            self._prober = asyncio.create_task(self._probe(), name=f"modbus probe {self.name}")
            started = time.monotonic()
            spread = [started + group.every * place / len(self._groups) for place, group in enumerate(self._groups)]
            due = [(at if len(self._groups) > 8 else started, place) for place, at in enumerate(spread)]  # noqa: PLR2004
            heapq.heapify(due)
            while not self._stop.is_set():
                at, place = due[0]
                if not await self._sleep_until(at):
                    break
                group = self._groups[place]
                heapq.heapreplace(due, (_next(at, group.every, time.monotonic()), place))
                batch = self._batch([] if group.unit.demoted else await group.read(self._wire, self._now))
                if batch is not None:
                    yield batch
                self._check()
        except Unreachable:
            if not self._stop.is_set():
                raise
        finally:
            await self.close()

    async def close(self) -> None:
        """End polling and close the connections. May be called at any time, twice too."""
        self._used = True
        self._stop.set()
        self._wire.drop()
        prober = self._prober
        if prober is not None:
            prober.cancel()
            await asyncio.wait({prober}, timeout=1)
        await asyncio.sleep(0)  # the sockets close in the next turn of the loop

    async def _sleep_until(self, at: float) -> bool:
        """Wait for a due time; False when the source was closed meanwhile."""
        delay = at - time.monotonic()
        if delay <= 0:
            await asyncio.sleep(0)  # an overrun must not starve the others on this loop
            return not self._stop.is_set()
        try:
            async with asyncio.timeout(delay):
                await self._stop.wait()
        except TimeoutError:
            return True
        return False

    def _batch(self, readings: list[Reading]) -> Batch | None:
        readings, self._found = self._found + readings, []
        if not readings:
            return None
        self._sequence += 1
        return Batch(self.name, self._sequence, self._now(), tuple(readings))

    def _check(self) -> None:
        if all(unit.demoted for unit in self._units.values()):
            raise Unreachable(f"{self.name}: no unit answers at {self._settings.endpoint}")
        if self._prober is not None and self._prober.done() and not self._prober.cancelled():
            self._prober.result()

    async def _probe(self) -> None:
        """Ask demoted units now and then over a connection of its own: a dead one costs its neighbours nothing."""
        wire = Wire(self._settings.host, self._settings.port, self._settings.timeout)
        try:
            while True:
                await asyncio.sleep(self._settings.probe)
                for unit in self._units.values():
                    if unit.demoted and not self._found:  # nothing is piled up that nobody fetches
                        await self._probe_one(unit, wire)
                wire.drop()
        finally:
            wire.drop()

    async def _probe_one(self, unit: Unit, wire: Wire) -> None:
        group = next(group for group in self._groups if group.unit is unit)
        try:
            readings = await group.read(wire, self._now)
        except Unreachable:
            return  # a device that allows one connection only: the main one decides
        self._found += readings


def _numbers(settings: Settings, tags: Sequence[Register]) -> set[int]:
    return {settings.device if tag.device is None else tag.device for tag in tags}


def _groups(settings: Settings, tags: Sequence[Register], units: dict[int, Unit], board: Board) -> list[Group]:
    sorts: dict[tuple[int, float], list[tuple[int, Register]]] = {}
    for place, tag in enumerate(tags):
        number = settings.device if tag.device is None else tag.device
        sorts.setdefault((number, float(tag.every or settings.every)), []).append((place, tag))
    return [Group(settings, units[number], every, group, board) for (number, every), group in sorted(sorts.items())]


def _next(at: float, every: float, now: float) -> float:
    """The next due time on the group's own grid: late polls are left out, the grid does not move."""
    missed = max(0, int((now - at) // every))
    return at + every * (missed + 1)
