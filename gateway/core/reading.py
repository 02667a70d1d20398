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
    UTC. A source without a clock leaves the first two None.
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


class Batch(msgspec.Struct, frozen=True):
    """What a source gives in one go; journalled in one transaction before anything acts on it.

    `sequence` counts per source and run, from 1. `note` says what is worth knowing about the batch,
    such as "gap" after a lost link.
    """

    source: str
    sequence: int
    received_at: datetime
    readings: tuple[Reading, ...] = ()
    waveforms: tuple[Waveform, ...] = ()
    frames: tuple[ThermalFrame, ...] = ()
    lines: tuple[LogLine, ...] = ()
    note: str = ""

    @property
    def count(self) -> int:
        """Number of values in the batch; a waveform, a frame or a line counts as one."""
        return len(self.readings) + len(self.waveforms) + len(self.frames) + len(self.lines)


class TagState(msgspec.Struct, frozen=True):
    """How a node, register or unit is doing, for `andon doctor` and /health/ready."""

    source: str
    name: str
    healthy: bool
    detail: str = ""
    last_at: datetime | None = None
