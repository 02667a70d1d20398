"""Readings: one value of one tag, its quality and its three timestamps."""

import enum
from datetime import datetime
from typing import Annotated, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

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
    """A radiometric picture, row-major (height, width).

    `pixels` are numbers of this `form` (little-endian float32, or a camera's own uint16): as raw as they
    came. Degrees Celsius are `raw * scale + offset`; ask `celsius` for them.
    """

    asset: str
    tag: str
    pixels: bytes
    height: int
    width: int
    quality: Quality
    sourced_at: datetime
    served_at: datetime | None
    received_at: datetime
    form: Literal["<f4", "<u2"] = "<f4"
    scale: float = 1.0
    offset: float = 0.0

    @property
    def at(self) -> datetime:
        """Time of the exposure."""
        return self.sourced_at

    @property
    def is_whole(self) -> bool:
        """Whether there are as many pixels as height and width say, and any."""
        return 0 < self.height * self.width * np.dtype(self.form).itemsize == len(self.pixels)

    def celsius(self) -> NDArray[np.float32]:
        """Give degrees Celsius, float32, shape (height, width). Raises ValueError when it is not whole."""
        raw = np.frombuffer(self.pixels, self.form).reshape(self.height, self.width)
        return degrees(raw, self.scale, self.offset)


def degrees(raw: NDArray[np.float32 | np.uint16], scale: float, offset: float) -> NDArray[np.float32]:
    """Give `raw * scale + offset` as float32, in which a uint16 is exact; float32 that needs neither is not copied."""
    if scale == 1.0 and offset == 0.0:
        return raw.astype(np.float32, copy=False)
    exact = raw.astype(np.float32)
    np.multiply(exact, scale, out=exact)
    np.add(exact, offset, out=exact)
    return exact


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
