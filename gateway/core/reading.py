"""Readings: one value of one tag, its quality and its three timestamps."""

import enum
from datetime import datetime
from typing import Annotated

import msgspec

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=128)]
Moment = Annotated[datetime, msgspec.Meta(tz=True)]
Value = float | int | bool | str | None


class Quality(enum.IntEnum):
    """Quality of a value (OPC UA Part 8, severity bits of a StatusCode)."""

    GOOD = 0
    UNCERTAIN = 1
    BAD = 2


class Reading(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """One value of one tag, as the equipment said it.

    `value` is None whenever `quality` is BAD: a bad value never becomes a number. `why` names the
    reason (an OPC UA status name, a Modbus exception, a rule such as "out of range").
    `sourced_at` is the equipment's clock, `served_at` the server's, `received_at` ours; all aware
    UTC. A source without a clock leaves the first two None. `sequence` is the source's number of the
    message or scan that brought it (0: none). `repeated` marks a heartbeat: the same value was said
    again, with the stamp that it had; it shows that the source lives and is never a sample.
    """

    asset: str
    tag: str
    value: Value
    unit: str
    quality: Quality
    sourced_at: datetime | None
    served_at: datetime | None
    received_at: datetime
    why: str = ""
    sequence: int = 0
    repeated: bool = False

    @property
    def at(self) -> datetime:
        """The best known time of the value: source, then server, then receive time."""
        return self.sourced_at or self.served_at or self.received_at


class Waveform(msgspec.Struct, frozen=True, array_like=True):
    """A block of equally spaced samples.

    `samples` is little-endian float32, shape (n,), in `unit`; `sourced_at` is the time of the
    FIRST sample (aware UTC).
    """

    asset: str
    tag: str
    samples: bytes
    rate_hz: float
    unit: str
    quality: Quality
    sourced_at: datetime
    served_at: datetime | None
    received_at: datetime

    @property
    def at(self) -> datetime:
        """Time of the first sample."""
        return self.sourced_at

    @property
    def seconds(self) -> float:
        """Length of the block in seconds."""
        return len(self.samples) / 4 / self.rate_hz


class ThermalFrame(msgspec.Struct, frozen=True, array_like=True):
    """A radiometric picture: little-endian float32 degrees Celsius, row-major (height, width)."""

    asset: str
    tag: str
    pixels: bytes
    height: int
    width: int
    quality: Quality
    sourced_at: datetime
    served_at: datetime | None
    received_at: datetime

    @property
    def at(self) -> datetime:
        """Time of the exposure."""
        return self.sourced_at


class LogLine(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """One line that a machine logged. `severity` is that of RFC 5424 (0 emergency .. 7 debug)."""

    asset: str
    text: str
    severity: int
    sourced_at: datetime | None
    received_at: datetime

    @property
    def at(self) -> datetime:
        """The best known time of the line."""
        return self.sourced_at or self.received_at
