"""Declared write targets: the only way in which anything is written to a device, range-checked first."""

import math
import struct
from collections.abc import Sequence

import structlog

from connectors.line.modbus.address import NUMBERS, Address, decoder, parse
from connectors.line.modbus.frames import NOT_THERE, Denied, Order, Question, order
from connectors.line.modbus.wire import Silent, Wire
from connectors.line.modbus.wishes import Target
from gateway.core.errors import Doubtful, Refused, Unreachable
from gateway.core.reading import Value

log: structlog.stdlib.BoundLogger = structlog.get_logger()
_UNKNOWN = "whether it was written is not known: look at the equipment before you write again"


class Targets:
    """The targets of one line; see `Writable`."""

    def __init__(self, line: str, device: int, targets: Sequence[Target]) -> None:
        self._line, self._device = line, device
        self._declared = {target.name: target for target in targets}

    def names(self) -> list[str]:
        """Name every target."""
        return list(self._declared)

    async def write(self, wire: Wire, name: str, values: Sequence[Value]) -> list[Value]:
        """Check the value, then write it once. See `Writable`."""
        where = f"{self._line}/{name}"
        target = self._declared.get(name)
        if target is None:
            raise Refused(f"{where}: not declared; known: {', '.join(self._declared) or 'none'}")
        if len(values) != 1:
            raise Refused(f"{where}: takes one value, got {len(values)}")
        try:
            request = order_of(target, target.device or self._device, values[0])
        except ValueError as unfit:
            raise Refused(f"{where}: {unfit}; nothing was written") from unfit
        await wire.connect()
        try:
            await wire.read(request)
        except Denied as denied:
            if denied.code in NOT_THERE:
                raise Doubtful(f"{where}: {denied}; {_UNKNOWN}") from denied
            raise Refused(f"{where}: unit {request.unit} says {denied}") from denied
        except Silent as silence:
            raise Doubtful(f"{where}: {silence}; {_UNKNOWN}") from silence
        log.info("modbus.written", source=self._line, target=name)
        return []

    async def held_by(self, wire: Wire, name: str) -> Value:
        """Read what a target holds, in the unit of the plant. See `Readable`."""
        where = f"{self._line}/{name}"
        target = self._declared.get(name)
        if target is None:
            raise Refused(f"{where}: not declared; known: {', '.join(self._declared) or 'none'}")
        address = parse(target.address)
        question = Question(target.device or self._device, address.table, address.offset, address.count)
        await wire.connect()
        try:
            raw = await wire.read(question)
        except Denied as denied:
            raise Refused(f"{where}: unit {question.unit} says {denied}") from denied
        except Silent as silence:
            raise Unreachable(f"{where}: {silence}") from silence
        if address.is_bit:
            return bool(raw[0] & 1)
        held = decoder(address)([int.from_bytes(raw[at : at + 2]) for at in range(0, 2 * address.count, 2)])
        if not isinstance(held, int | float):
            raise Refused(f"{where}: holds no number")
        return held if target.scale == 1.0 and target.offset == 0.0 else held * target.scale + target.offset


def order_of(target: Target, unit: int, value: Value) -> Order:
    """Make the write of a value. Raises ValueError when the value does not fit. Pure."""
    address = parse(target.address)
    if address.is_bit:
        if not isinstance(value, bool):
            raise ValueError(f"{value!r} is not true or false")
        return order(unit, address.table, address.offset, (int(value),))
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"{value!r} is not a number")
    if target.low is None or target.high is None or not target.low <= value <= target.high:
        raise ValueError(f"{value:g} is not between {target.low:g} and {target.high:g}")
    return order(unit, address.table, address.offset, _words(target, address, value))


def _words(target: Target, address: Address, value: float) -> tuple[int, ...]:
    raw = value if target.scale == 1.0 and target.offset == 0.0 else (value - target.offset) / target.scale
    form = NUMBERS[address.kind]
    try:
        said = struct.pack(">" + form, raw if address.kind.startswith("float") else round(raw))
    except (struct.error, OverflowError) as beyond:
        raise ValueError(f"{value:g} does not fit into {address.kind}") from beyond
    places = address.wire
    sent = bytearray(len(said))
    for byte, place in zip(said, places, strict=True):
        sent[place] = byte
    return struct.unpack(f">{address.count}H", bytes(sent))
