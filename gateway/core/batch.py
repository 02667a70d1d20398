"""Batch: what a source gives in one go, the gaps it knows of, and how its tags are doing."""

from collections.abc import Iterator
from datetime import datetime
from typing import Literal

import msgspec

from gateway.core.reading import LogLine, Reading, ThermalFrame, Waveform
from gateway.core.series import Series, every


class SourceGap(msgspec.Struct, frozen=True, array_like=True):
    """A span [start, end), aware UTC, in which values of these tags ((asset, tag) pairs) were made that are not here.

    `cause` says why in the field's words ("server restarted", "queue overflow"). `filled` says what
    closed it: the server's history, or nothing yet. A gap is a fact: it is journalled, shown and part of
    the diagnosis, whether it was filled or not.
    """

    tags: tuple[tuple[str, str], ...]
    start: datetime
    end: datetime
    cause: str
    filled: Literal["", "history"] = ""


class Batch(msgspec.Struct, frozen=True):
    """What a source gives in one go; journalled in one transaction before anything acts on it.

    `sequence` counts per source and run, from 1. `note` says what is worth knowing about the batch.
    `memory` is what the source wants to be told again after a restart, by name: it is committed in the
    same transaction, but beside the journal and not in it; a name that is absent stays as it was, an
    empty value forgets it.
    """

    source: str
    sequence: int
    received_at: datetime
    readings: tuple[Reading, ...] = ()
    waveforms: tuple[Waveform, ...] = ()
    frames: tuple[ThermalFrame, ...] = ()
    lines: tuple[LogLine, ...] = ()
    note: str = ""
    series: tuple[Series, ...] = ()
    gaps: tuple[SourceGap, ...] = ()
    memory: dict[str, bytes] = {}

    @property
    def count(self) -> int:
        """Number of values in the batch; a waveform, a frame or a line counts as one."""
        whole = len(self.readings) + len(self.waveforms) + len(self.frames) + len(self.lines)
        return whole + sum(block.count for block in self.series)

    def values(self) -> Iterator[Reading]:
        """Give every reading, those in columns too."""
        return every(self.readings, self.series)


class TagState(msgspec.Struct, frozen=True):
    """How a node, register or unit is doing, for `andon doctor` and /health/ready.

    `stale_after` (seconds) is the age from which its last value is no news any more; None: it may be silent.
    `found` counts what each rule of the tag found since the source was opened.
    """

    source: str
    name: str
    healthy: bool
    detail: str = ""
    last_at: datetime | None = None
    stale_after: float | None = None
    found: dict[str, int] = {}


class TagCheck(msgspec.Struct, frozen=True):
    """What one look at a tag, or at a part of its source, showed. `said` says what it is, or what is wrong."""

    name: str
    ok: bool
    said: str


class Condition(msgspec.Struct, frozen=True, kw_only=True):
    """An alarm or condition that the equipment wants looked at. A state that it does not have is None.

    `severity` is the equipment's own (OPC UA: 1 to 1000). `event_id` (hex) names its last event: what is
    acknowledged. `at` is aware UTC.
    """

    asset: str
    condition: str
    name: str
    source: str
    message: str
    severity: int
    active: bool | None
    acknowledged: bool | None
    confirmed: bool | None
    event_id: str
    at: datetime
