"""Frames: a question as bytes, and the answer that has its shape. Pure.

Only answers are read here that we asked for: unit, function and length are known beforehand, so that an
answer is either exactly the one or it is not one.
"""

import struct
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
_HEAD = struct.Struct(">HHHBB")
_ASK = struct.Struct(">BBHH")


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
    def size(self) -> int:
        """How many bytes of values the answer holds."""
        return (self.items + 7) // 8 if self.table in {"coil", "discrete"} else 2 * self.items


def mbap(question: Question, number: int) -> bytes:
    """Write a question for Modbus TCP; `number` is the transaction's."""
    unit, table, start, count = question
    return struct.pack(">HHHBBHH", number, 0, 6, unit, FUNCTIONS[table], start, count)


def read_mbap(buffer: bytes | bytearray, question: Question, number: int) -> bytes | None:
    """Take the values of the answer; None while it is not whole. Raises `Denied` or `Foreign`."""
    if len(buffer) < _HEAD.size:
        return None
    transaction, protocol, length, unit, function = _HEAD.unpack_from(buffer)
    asked = FUNCTIONS[question.table]
    if transaction != number or protocol or unit != question.unit or function & ~_EXCEPTION != asked:
        raise Foreign("answer to another question")
    whole = 6 + length
    size = 1 if function & _EXCEPTION else 1 + question.size
    if length != 2 + size:
        raise Foreign(f"answer of {length - 2} bytes instead of {size}")
    if len(buffer) < whole:
        return None
    if len(buffer) > whole:
        raise Foreign("more than one answer")
    if function & _EXCEPTION:
        raise Denied(buffer[8])
    if buffer[8] != question.size:
        raise Foreign(f"answer of {buffer[8]} bytes instead of {question.size}")
    return bytes(buffer[9:whole])


def rtu(question: Question) -> bytes:
    """Write a question for a serial line."""
    unit, table, start, count = question
    body = _ASK.pack(unit, FUNCTIONS[table], start, count)
    return body + crc(body)


def read_rtu(buffer: bytes | bytearray, question: Question) -> bytes | None:
    """Find the values of the answer between noise, echoes and late answers; None while it is not there.

    Raises `Denied`. A serial line numbers nothing: unit, function, length and check sum make an answer ours.
    """
    asked, size = FUNCTIONS[question.table], question.size
    for at in range(len(buffer) - 4):
        if buffer[at] != question.unit:
            continue
        if buffer[at + 1] == asked and buffer[at + 2] == size:
            end = at + 3 + size
            if len(buffer) >= end + 2 and crc(buffer[at:end]) == buffer[end : end + 2]:
                return bytes(buffer[at + 3 : end])
        elif buffer[at + 1] == asked | _EXCEPTION and crc(buffer[at : at + 3]) == buffer[at + 3 : at + 5]:
            raise Denied(buffer[at + 2])
    return None


def crc(body: bytes | bytearray) -> bytes:
    """Give the check sum of an RTU frame."""
    number: int = FramerRTU.compute_CRC(bytes(body))
    return number.to_bytes(2, "big")
