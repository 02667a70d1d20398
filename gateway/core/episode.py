"""Episode: one trouble on one asset, from its first sign to its closing."""

import enum
from datetime import datetime
from typing import Literal

import msgspec


class EpisodeState(enum.StrEnum):
    """CANDIDATE has been seen but is not confirmed; OPEN is a trouble; CLOSED is over."""

    CANDIDATE = "candidate"
    OPEN = "open"
    CLOSED = "closed"


class Episode(msgspec.Struct, frozen=True):
    """One trouble on one asset.

    `key` is the business key of the order that belongs to it; at most one. `hits` counts the windows
    or reports that confirmed it, `misses` the clean windows since the last hit. All times aware UTC.
    """

    key: str
    asset: str
    failure_mode: str
    source: Literal["machine", "report"]
    state: EpisodeState
    started_at: datetime
    last_at: datetime
    hits: int = 1
    misses: int = 0
    peak_confidence: float = 0.0
    peak_severity: float = 0.0
    ordered: bool = False
    closed_at: datetime | None = None
    reports: tuple[str, ...] = ()
