"""A look at every tag before the line runs: where it points, what is there, which byte order fits better."""

from collections.abc import Sequence

import msgspec
from msgspec.structs import replace

from connectors.line.modbus.address import Address, Order, decoder, parse, plain
from connectors.line.modbus.frames import Denied, Question
from connectors.line.modbus.settings import Register, Settings
from connectors.line.modbus.wire import Silent, Wire
from connectors.line.tags import judge
from gateway.core.batch import TagCheck

ORDERS: tuple[Order, ...] = ("ABCD", "CDAB", "BADC", "DCBA")
_MOST_TEXT = 60
_TINY, _HUGE = 1e-9, 1e12


async def look(wire: Wire, tags: Sequence[Register], settings: Settings) -> list[TagCheck]:
    """Read each tag once. Raises `Unreachable`. A unit that is silent is not asked again."""
    checks: list[TagCheck] = []
    silent: dict[int, str] = {}
    for tag in tags:
        unit = settings.device if tag.device is None else tag.device
        address = parse(tag.address)
        where = f"unit {unit}, {plain(address)}"
        if unit in silent:
            checks.append(TagCheck(tag.name, ok=False, said=f"{where}: not asked: {silent[unit]}"))
            continue
        try:
            raw = await wire.read(Question(unit, address.table, address.offset, address.count))
        except Denied as denied:
            checks.append(TagCheck(tag.name, ok=False, said=f"{where}: {_advice(denied, address)}"))
        except Silent as silence:
            silent[unit] = f"unit {unit}: {silence}"
            checks.append(TagCheck(tag.name, ok=False, said=f"{where}: {silence}"))
        else:
            ok, said = _judged(tag, address, raw)
            checks.append(TagCheck(tag.name, ok=ok, said=f"{where}: {said}"))
    return checks


def _advice(denied: Denied, address: Address) -> str:
    if denied.code == 1:
        return f"{denied}: the device has no {address.table} table"
    if denied.code == 2:  # noqa: PLR2004 (IllegalDataAddress)
        near = f"@{address.offset - 1}" if address.offset else "@1"
        return f"{denied}: there is no such register; counted from 1 or from 0? ({near} is next to it)"
    return str(denied)


def _judged(tag: Register, address: Address, raw: bytes) -> tuple[bool, str]:
    """Say what the tag shows; when that is out of range, what the other byte orders would show."""
    value, why = value_of(tag, address, raw)
    if not why and not _odd(address, value):
        return True, shown(value, tag.unit)
    said = _told(tag, address, raw, why) if why else shown(value, tag.unit)
    if not address.is_bit and address.count > 1 and not address.kind.startswith("string"):
        fits = []
        for order in ORDERS:
            other, unfit = value_of(tag, replace(address, order=order), raw)
            if order != address.order and not unfit and not _odd(address, other):
                fits.append(f"{shown(other, tag.unit)} as {order}")
        if fits:
            return False, f"{said} as {address.order}; {' or '.join(fits)}: is the byte order right?"
    return not why, said


def _told(tag: Register, address: Address, raw: bytes, why: str) -> str:
    """Say why a value is none, and what stands there: it tells a wrong limit from a wrong register."""
    value, unfit = value_of(replace(tag, low=None, high=None), address, raw)
    if unfit:
        return why
    ends = f" ({'' if tag.low is None else f'{tag.low:g}'} to {'' if tag.high is None else f'{tag.high:g}'})"
    return f"{why}{ends}: {shown(value, tag.unit)}"


def _odd(address: Address, value: object) -> bool:
    """Whether a float is so tiny or huge that its bytes are rather in another order."""
    if not isinstance(value, float) or not address.kind.startswith("float"):
        return False
    return value != 0 and not _TINY < abs(value) < _HUGE


def value_of(tag: Register, address: Address, raw: bytes) -> tuple[object, str]:
    """Decode, scale and check the bytes of one tag: the value and "", or None and why not."""
    return judge(tag, decoder(address)(items_of(address, raw)))


def items_of(address: Address, raw: bytes) -> list[int]:
    """The registers (or the bit) of an answer."""
    if address.is_bit:
        return [raw[0] & 1]
    return [int.from_bytes(raw[at : at + 2]) for at in range(0, 2 * address.count, 2)]


def shown(value: object, unit: str = "") -> str:
    """Write a value for people."""
    if isinstance(value, bool):
        return "on" if value else "off"
    text = f"{value:.6g}" if isinstance(value, float) else msgspec.json.encode(value).decode()[:_MOST_TEXT]
    return f"{text} {unit}".strip()
