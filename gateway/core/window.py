"""Window: everything about one asset over one span of time, with gaps and ages."""

from datetime import datetime

import msgspec

from gateway.core.reading import LogLine, ThermalFrame, Waveform


class Scalar(msgspec.Struct, frozen=True, gc=False):
    """Good values of one tag within a window. `age_s` is the last value's age at the window's end."""

    tag: str
    unit: str
    last: float
    mean: float
    low: float
    high: float
    count: int
    age_s: float


class Gap(msgspec.Struct, frozen=True, gc=False):
    """A span in which an input that was expected said nothing, or only bad values."""

    tag: str
    start: datetime
    end: datetime
    cause: str


class Window(msgspec.Struct, frozen=True):
    """One asset over [start, end), aware UTC, on a grid of absolute time.

    The same readings always give the same windows, so a replay meets the same (asset, start).
    `waveforms` are cut to the window and gap-free within themselves; `frame` is the latest picture;
    what is missing is said in `gaps` and never filled in.
    """

    asset: str
    start: datetime
    end: datetime
    scalars: tuple[Scalar, ...] = ()
    waveforms: tuple[Waveform, ...] = ()
    frame: ThermalFrame | None = None
    lines: tuple[LogLine, ...] = ()
    gaps: tuple[Gap, ...] = ()
    journal: tuple[int, ...] = ()

    def scalar(self, tag: str) -> Scalar | None:
        """Find a scalar by tag."""
        return next((scalar for scalar in self.scalars if scalar.tag == tag), None)
