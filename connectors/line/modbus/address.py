"""Register addresses as integrators write them: `holding:40103:float32:CDAB`, `coil:17`, `holding:10:bit3`."""

import re
import struct
from collections.abc import Callable, Sequence
from typing import Literal, cast

import msgspec

Table = Literal["coil", "discrete", "input", "holding"]
Order = Literal["ABCD", "CDAB", "BADC", "DCBA"]
_MODICON = {"discrete": 1, "input": 3, "holding": 4}
_HIGHEST = 65_535
_LONGEST = 125
NUMBERS = {
    "int16": "h",
    "uint16": "H",
    "int32": "i",
    "uint32": "I",
    "int64": "q",
    "uint64": "Q",
    "float32": "f",
    "float64": "d",
}
_EXAMPLE = "for example holding:40103:float32:CDAB, input:12:int16, coil:17, holding:10:bit3 or holding:110:string8"


class Address(msgspec.Struct, frozen=True):
    """What a tag reads: `count` registers (or one bit) of a table from the zero-based `offset`."""

    table: Table
    offset: int
    kind: str
    order: Order = "ABCD"
    count: int = 1

    @property
    def is_bit(self) -> bool:
        """Whether the table holds bits."""
        return self.table in {"coil", "discrete"}

    @property
    def wire(self) -> list[int]:
        """Where the bytes of the value, most significant first, stand among its bytes on the wire."""
        words = range(self.count)[::-1] if self.order in {"CDAB", "DCBA"} else range(self.count)
        first, second = (1, 0) if self.order in {"BADC", "DCBA"} else (0, 1)
        return [2 * word + part for word in words for part in (first, second)]


def parse(text: str) -> Address:
    """Read an address. Raises ValueError with an example.

    40001 to 49999 and 400001 to 465536 (30001.. for input, 10001.. for discrete) are Modicon numbers:
    40103 is offset 102. Every other number is the zero-based offset; `@40103` always is.
    """
    parts = text.split(":")
    table = parts[0]
    if table not in {"coil", "discrete", "input", "holding"} or not 2 <= len(parts) <= 4:  # noqa: PLR2004
        raise ValueError(f"{text!r} is not a register address; {_EXAMPLE}")
    offset = _offset(table, parts[1], text)
    if table in {"coil", "discrete"}:
        if len(parts) > 2 and parts[2] != "bool":  # noqa: PLR2004
            raise ValueError(f"{text!r}: a {table} is a bit and has no type")
        return Address(cast("Table", table), offset, "bool")
    kind = parts[2] if len(parts) > 2 else "uint16"  # noqa: PLR2004
    order = parts[3].upper() if len(parts) > 3 else "ABCD"  # noqa: PLR2004
    order = {"AB": "ABCD", "BA": "BADC"}.get(order, order)
    if order not in {"ABCD", "CDAB", "BADC", "DCBA"}:
        raise ValueError(f"{text!r}: the byte order is ABCD, CDAB, BADC or DCBA")
    count = _count(kind, text)
    if offset + count > _HIGHEST + 1:
        raise ValueError(f"{text!r} ends behind register {_HIGHEST}")
    return Address(cast("Table", table), offset, kind, cast("Order", order), count)


def _offset(table: str, number: str, text: str) -> int:
    raw = number.startswith("@")
    digits = number.removeprefix("@")
    if not (digits.isascii() and digits.isdigit()):
        raise ValueError(f"{text!r}: {number!r} is not a register number; {_EXAMPLE}")
    offset = int(digits)
    first = _MODICON.get(table)
    if first is not None and not raw:
        for size in (10_000, 100_000):
            if first * size < offset <= first * size + min(size - 1, _HIGHEST + 1):
                return offset - first * size - 1
    if offset > _HIGHEST:
        raise ValueError(f"{text!r}: offsets end at {_HIGHEST}")
    return offset


def _count(kind: str, text: str) -> int:
    if kind in NUMBERS:
        return struct.calcsize("<" + NUMBERS[kind]) // 2
    if (bit := re.fullmatch(r"bit(\d{1,2})", kind)) and int(bit[1]) < 16:  # noqa: PLR2004 (bits of a register)
        return 1
    if (length := re.fullmatch(r"string(\d{1,3})", kind)) and 0 < int(length[1]) <= 2 * _LONGEST:
        return (int(length[1]) + 1) // 2
    raise ValueError(f"{text!r}: {kind!r} is not a type; known: {', '.join(NUMBERS)}, bit0..bit15, string1..string250")


def plain(address: Address) -> str:
    """Say where the address points, both ways: for people who check a configuration."""
    first = _MODICON.get(address.table)
    modicon = f" (Modicon {first}{address.offset + 1:05d})" if first else ""
    return f"{address.table} offset {address.offset}{modicon}, {address.kind} {address.order}"


def bytes_of(registers: Sequence[int], order: Order) -> bytes:
    """Bring registers into big-endian bytes: CDAB swaps words, BADC bytes, DCBA both."""
    words = registers[::-1] if order in {"CDAB", "DCBA"} else registers
    code = "<" if order in {"BADC", "DCBA"} else ">"
    return struct.pack(f"{code}{len(words)}H", *words)


def decoder(address: Address) -> Callable[[Sequence[int]], object]:
    """Give the function from an address' registers (or bits) to its raw value."""
    if address.is_bit:
        return lambda bits: bool(bits[0])
    if address.kind.startswith("bit"):
        mask = 1 << int(address.kind[3:])
        return lambda registers: bool(int.from_bytes(bytes_of(registers, address.order)) & mask)
    if address.kind.startswith("string"):
        raw = struct.Struct(f">{address.count}H")
        return lambda registers: text_of(raw.pack(*registers), address)
    if address.kind == "uint16" and address.order in {"ABCD", "CDAB"}:
        return lambda registers: registers[0]
    form = struct.Struct(">" + NUMBERS[address.kind])
    words = struct.Struct(f"{'<' if address.order in {'BADC', 'DCBA'} else '>'}{address.count}H")
    if address.order in {"CDAB", "DCBA"}:
        return lambda registers: form.unpack(words.pack(*registers[::-1]))[0]
    return lambda registers: form.unpack(words.pack(*registers))[0]


def text_of(raw: bytes, address: Address) -> str:
    """Read a text from its bytes as they came: up to NUL, without what does not print."""
    ordered = bytes(raw[place] for place in address.wire)[: int(address.kind.removeprefix("string"))]
    text = ordered.split(b"\0", 1)[0].decode("utf-8", "replace")
    return "".join(letter for letter in text if letter.isprintable()).rstrip()
