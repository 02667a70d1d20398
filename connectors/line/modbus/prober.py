"""Prober: asks silent units now and then, at little cost to their neighbours."""

import asyncio
import time
from typing import Protocol

from connectors.line.modbus.breaker import Breaker, Probes
from connectors.line.modbus.frames import NOT_THERE, Denied, Question
from connectors.line.modbus.lanes import Lanes
from connectors.line.modbus.scan import Group
from connectors.line.modbus.wire import Silent, Wire
from gateway.core.errors import Unreachable

_LOOK_S = 1.0
_BREATH_S = 0.005


class Line(Protocol):
    """What a prober needs to know of the line."""

    @property
    def groups(self) -> list[Group]:
        """Its groups of tags."""

    @property
    def lanes(self) -> Lanes:
        """How many connections there may be."""

    @property
    def breakers(self) -> list[Breaker]:
        """One per unit."""

    def back(self, breaker: Breaker) -> None:
        """Read a unit again that answered."""


class Prober:
    """Asks over a connection of its own where the device allows one; elsewhere its question stands in line."""

    def __init__(self, line: Line, probes: Probes, shared: Wire, own: Wire) -> None:
        self._line, self._probes, self._shared, self._own = line, probes, shared, own

    async def run(self) -> None:
        """Ask as often as `Probes` allows, until cancelled."""
        try:
            while True:
                now = time.monotonic()
                at = self._probes.next(self._silent)
                await asyncio.sleep(_LOOK_S if at is None else min(max(_BREATH_S, at - now), _LOOK_S))
                breaker = self._probes.due(self._silent, time.monotonic())
                if breaker is not None:
                    await self._probe(breaker)
        finally:
            self._own.drop()

    @property
    def _silent(self) -> list[Breaker]:
        return [breaker for breaker in self._line.breakers if breaker.demoted]

    async def _probe(self, breaker: Breaker) -> None:
        wire = await self._free_wire()
        began = time.monotonic()
        if await self._answers(breaker, wire):
            self._line.back(breaker)
        else:
            now = time.monotonic()
            self._probes.asked(breaker, now, now - began)
        if wire is self._own:
            wire.drop()

    async def _free_wire(self) -> Wire:
        if self._line.lanes.most > 1:
            try:
                await self._own.connect()
            except Unreachable:
                return self._shared
            return self._own
        return self._shared

    async def _answers(self, breaker: Breaker, wire: Wire) -> bool:
        areas = [area for group in self._line.groups if group.breaker is breaker for area in group.areas]
        every = [Question(area.unit, area.table, block.start, block.count) for area in areas for block in area.blocks]
        question = every[self._probes.turn(breaker, len(every))]
        try:
            await wire.read(question, self._probes.timeout(breaker))
        except Denied as denied:
            return denied.code not in NOT_THERE
        except (Silent, Unreachable):
            return False
        return True
