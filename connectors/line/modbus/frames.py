"""Frames: a question (or an order) as bytes, and the answer that has its shape. Pure.

Only answers are read here that we asked for: unit, function and length are known beforehand, so that an
answer is either exactly the one or it is not one.
"""

import struct
from contextlib import suppress
from typing import NamedTuple

from pymodbus.framer.rtu import FramerRTU

from connectors.line.modbus.address import Table

FUNCTIONS: dict[Table, int] = {"coil": 1, "discrete": 2, "holding": 3, "input": 4}
_NAMES = {
    1: "IllegalFunction",
    2: "IllegalDataAddress",
    3: "IllegalDataValue",
    4: "DeviceFailure",
    5: "Acknowledge",
    6: "DeviceBusy",
    8: "MemoryParityError",
    10: "GatewayPathUnavailable",
    11: "GatewayTargetFailedToRespond",
}
ILLEGAL_ADDRESS, ILLEGAL_VALUE = 2, 3
NOT_THERE = frozenset({10, 11})
_EXCEPTION = 0x80
_HEAD = struct.Struct(">HHHB")
_READ = struct.Struct(">BHH")
_WRITE_COIL, _WRITE_REGISTER, _WRITE_REGISTERS = 5, 6, 16


class Denied(Exception):
    """The unit answered with an exception; the connection is fine."""

    def __init__(self, code: int) -> None:
        super().__init__(_NAMES.get(code, f"exception {code}"))
        self.code = code


class Foreign(Exception):
    """The bytes are not the answer to the question. What follows cannot be trusted either."""


class Question(NamedTuple):
    """A read of so many `items` (registers, bits) of a table of a unit."""

    unit: int
    table: Table
    start: int
    items: int

    @property
    def function(self) -> int:
        """The function's number."""
        return FUNCTIONS[self.table]

    @property
    def body(self) -> bytes:
        """What follows the unit number."""
        return _READ.pack(FUNCTIONS[self.table], self.start, self.items)

    @property
    def size(self) -> int:
        """How many bytes follow the function's number in the answer."""
        return 1 + ((self.items + 7) // 8 if self.table in {"coil", "discrete"} else 2 * self.items)

    def values(self, said: bytes) -> bytes:
        """Take the values out of what follows the function's number. Raises `Foreign`."""
        if said[0] != self.size - 1:
            raise Foreign(f"answer of {said[0]} bytes instead of {self.size - 1}")
        return said[1:]


class Order(NamedTuple):
    """A write: its function, what follows the unit number, and what the answer repeats of it."""

    unit: int
    function: int
    body: bytes
    repeats: bytes

    @property
    def size(self) -> int:
        """How many bytes follow the function's number in the answer."""
        return len(self.repeats)

    def values(self, said: bytes) -> bytes:
        """Nothing, when the answer repeats what was written. Raises `Foreign`."""
        if said != self.repeats:
            raise Foreign("answer to another order")
        return b""


Request = Question | Order


def order(unit: int, table: Table, offset: int, words: tuple[int, ...]) -> Order:
    """Make a write of one coil (0 or 1), or of registers."""
    if table == "coil":
        said = struct.pack(">HH", offset, 0xFF00 if words[0] else 0)
        return Order(unit, _WRITE_COIL, bytes((_WRITE_COIL,)) + said, said)
    if len(words) == 1:
        said = struct.pack(">HH", offset, words[0])
        return Order(unit, _WRITE_REGISTER, bytes((_WRITE_REGISTER,)) + said, said)
    said = struct.pack(">HH", offset, len(words))
    written = struct.pack(f">B{len(words)}H", 2 * len(words), *words)
    return Order(unit, _WRITE_REGISTERS, bytes((_WRITE_REGISTERS,)) + said + written, said)


def mbap(request: Request, number: int) -> bytes:
    """Write a request for Modbus TCP; `number` is the transaction's."""
    body = request.body
    return _HEAD.pack(number, 0, len(body) + 1, request.unit) + body


def read_mbap(buffer: bytes | bytearray, request: Request, number: int) -> bytes | None:
    """Take the values of the answer; None while it is not whole. Raises `Denied` or `Foreign`."""
    if len(buffer) <= _HEAD.size:
        return None
    transaction, protocol, length, unit = _HEAD.unpack_from(buffer)
    function = buffer[_HEAD.size]
    if transaction != number or protocol or unit != request.unit or function & ~_EXCEPTION != request.function:
        raise Foreign("answer to another question")
    size = 1 if function & _EXCEPTION else request.size
    if length != 2 + size:
        raise Foreign(f"answer of {length - 2} bytes instead of {size}")
    whole = 6 + length
    if len(buffer) < whole:
        return None
    if len(buffer) > whole:
        raise Foreign("more than one answer")
    if function & _EXCEPTION:
        raise Denied(buffer[8])
    return request.values(bytes(buffer[8:whole]))


def rtu(request: Request) -> bytes:
    """Write a request for a serial line."""
    body = bytes((request.unit,)) + request.body
    return body + crc(body)


def read_rtu(buffer: bytes | bytearray, request: Request) -> bytes | None:
    """Find the values of the answer between noise, echoes and late answers; None while it is not there.

    Raises `Denied`. A serial line numbers nothing: unit, function, length and check sum make an answer ours.
    """
    function, size = request.function, request.size
    for at in range(len(buffer) - 4):
        if buffer[at] != request.unit:
            continue
        if buffer[at + 1] == function:
            end = at + 2 + size
            if len(buffer) >= end + 2 and crc(buffer[at:end]) == buffer[end : end + 2]:
                with suppress(Foreign):
                    return request.values(bytes(buffer[at + 2 : end]))
        elif buffer[at + 1] == function | _EXCEPTION and crc(buffer[at : at + 3]) == buffer[at + 3 : at + 5]:
            raise Denied(buffer[at + 2])
    return None


def crc(body: bytes | bytearray) -> bytes:
    """Give the check sum of an RTU frame."""
    number: int = FramerRTU.compute_CRC(bytes(body))
    return number.to_bytes(2, "big")
