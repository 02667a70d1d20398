"""Units: what is asked of one device number, how often, and whether it answers."""

from collections.abc import Sequence
from datetime import datetime
from itertools import groupby

import structlog

from connectors.line.board import Board
from connectors.line.modbus.address import Table, decoder, parse
from connectors.line.modbus.packing import Block, cleave, cut_of, pack
from connectors.line.modbus.settings import Register, Settings
from connectors.line.modbus.wire import ILLEGAL_ADDRESS, NOT_THERE, Denied, Silent, Wire
from connectors.line.tags import Gate, bad, judge
from gateway.core.ports import Clock
from gateway.core.reading import Quality, Reading

log: structlog.stdlib.BoundLogger = structlog.get_logger()
_MOST_BITS = 2000
_BIT_GAP = 500


class Unit:
    """One device number with its breaker: failures in a row demote it, one answer brings it back."""

    def __init__(self, number: int, demote_after: int) -> None:
        self.number = number
        self._demote_after, self._failures = demote_after, 0

    @property
    def demoted(self) -> bool:
        """Whether only the probe asks it."""
        return self._failures >= self._demote_after

    def fail(self) -> bool:
        """Count a failure; True when this one demotes the unit."""
        self._failures += 1
        return self._failures == self._demote_after

    def answer(self) -> bool:
        """Note an answer; True when it brings the unit back."""
        back, self._failures = self.demoted, 0
        return back


class Group:
    """Tags of one unit and one rate, read together. The plan is made anew when the device refuses a part."""

    def __init__(
        self, settings: Settings, unit: Unit, every: float, tags: Sequence[tuple[int, Register]], board: Board
    ) -> None:
        self.unit, self.every = unit, every
        self._settings, self._board = settings, board
        self._gate = Gate()
        self._banded = {tag.name: tag for _, tag in tags if tag.deadband}
        self._tables: list[Area] = []
        ordered = sorted(((parse(tag.address).table, place, tag) for place, tag in tags), key=lambda item: item[:2])
        for table, items in groupby(ordered, key=lambda item: item[0]):
            self._tables.append(Area(table, [(place, tag) for _, place, tag in items], settings))

    async def read(self, wire: Wire, now: Clock) -> list[Reading]:
        """Read every block. A unit that does not answer gives BAD readings; it is not asked for the rest."""
        readings: list[Reading] = []
        for area in self._tables:
            try:
                await area.read(wire, self.unit, now, readings, self._board)
            except Silent as silence:
                if self.unit.fail():
                    log.warning("modbus.unit.demoted", source=self._settings.name, unit=self.unit.number)
                return self._all_bad(f"unit {self.unit.number}: {silence}", now())
        if self.unit.answer():
            log.info("modbus.unit.back", source=self._settings.name, unit=self.unit.number)
        return [reading for reading in readings if self._passes(reading)] if self._banded else readings

    def _passes(self, reading: Reading) -> bool:
        tag = self._banded.get(f"{reading.asset}/{reading.tag}")
        return tag is None or self._gate.passes(tag, reading)

    def _all_bad(self, why: str, at: datetime) -> list[Reading]:
        readings = []
        for area in self._tables:
            for place, tag in area.tags:
                self._board.heard(place, at, why)
                readings.append(bad(tag, why, at))
        return readings


class Area:
    """Tags of one table of one unit, with the plan of reads and what the device refused."""

    def __init__(self, table: Table, tags: list[tuple[int, Register]], settings: Settings) -> None:
        self.table, self.tags = table, tags
        addresses = [parse(tag.address) for _, tag in tags]
        self._spans = [(address.offset, address.count) for address in addresses]
        self._decoders = [decoder(address) for address in addresses]
        bits = table in {"coil", "discrete"}
        self._gap = min(_BIT_GAP, settings.gap * 16) if bits else settings.gap
        self._most = _MOST_BITS if bits else settings.span
        self._cuts: set[int] = set()
        self._blocks: list[Block] = []
        self._plan()

    def _plan(self) -> None:
        self._blocks = pack(self._spans, gap=self._gap, most=self._most, cuts=self._cuts)

    async def read(self, wire: Wire, unit: Unit, now: Clock, readings: list[Reading], board: Board) -> None:
        """Read all blocks into `readings`. Raises `Silent` when the unit does not answer."""
        known = len(self._cuts)
        for block in self._blocks:
            await self._read_block(block, wire, unit, now, readings, board)
        if len(self._cuts) != known:
            self._plan()

    async def _read_block(
        self, block: Block, wire: Wire, unit: Unit, now: Clock, readings: list[Reading], board: Board
    ) -> bool:
        """Read one block; False when the device refused a part of it.

        A block with an illegal address is halved until the hole is found. Only the cut that both sides
        survive is remembered: the hole is never bridged again, and no more is torn apart than it takes.
        """
        try:
            words = await wire.read(self.table, block.start, block.count, unit.number)
        except Denied as denied:
            if denied.code in NOT_THERE:
                raise Silent(str(denied)) from denied
            cut = cut_of(block, self._spans) if denied.code == ILLEGAL_ADDRESS else None
            if cut is not None:
                parts = [
                    await self._read_block(part, wire, unit, now, readings, board)
                    for part in cleave(block, self._spans, cut)
                ]
                if all(parts):
                    self._cuts.add(cut)
                return False
            if denied.code == ILLEGAL_ADDRESS:
                self._cuts |= {block.start, block.end}
            self._refused(block, str(denied), now(), readings, board)
            return False
        self._decode(block, words, now(), readings, board)
        return True

    def _refused(self, block: Block, why: str, at: datetime, readings: list[Reading], board: Board) -> None:
        for index in block.places:
            place, tag = self.tags[index]
            board.heard(place, at, why)
            readings.append(bad(tag, why, at))

    def _decode(self, block: Block, words: Sequence[int], at: datetime, readings: list[Reading], board: Board) -> None:
        for index in block.places:
            place, tag = self.tags[index]
            offset, count = self._spans[index]
            first = offset - block.start
            value, why = judge(tag, self._decoders[index](words[first : first + count]))
            board.heard(place, at, why)
            quality = Quality.BAD if why else Quality.GOOD
            readings.append(Reading(tag.asset, tag.tag, value, tag.unit, quality, None, None, at, why))
