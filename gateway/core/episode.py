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


class Decision(enum.StrEnum):
    """What policy made of a confirmed trouble.

    JOINED: another order stands for it, too: a person reported it first, or the trouble was known before.
    """

    NOTE = "note"
    REVIEW = "review"
    ORDER = "order"
    JOINED = "joined"


class Said(msgspec.Struct, frozen=True, gc=False):
    """What the order says last of a machine's trouble: how severe (0..1), which failure mode, by the window up to when.

    Growth is held against this, so that a window is judged without reading the order.
    """

    severity: float
    failure_mode: str
    at: datetime


class Episode(msgspec.Struct, frozen=True):
    """One trouble on one asset.

    `key` is the business key of the order that belongs to it; at most one. `family` groups the failure
    modes that are one trouble to a planner (a bearing, whichever race); `tally` sums the confidence
    that each mode of the family got, and the best one is `failure_mode`. `hits` counts the windows or
    reports that confirmed it, `misses` the clean windows against it. `codes` are the ISO 14224 and
    product codes by which a repeated report is recognised. `subject` stands for the asset when there
    is none (a lot or an order number). All times aware UTC.

    `said` is None while a machine's trouble has no part in an order. `ruled` is the learning label: who looked, or the
    machine itself, showed that there was no trouble, or the order was cancelled. A machine's trouble that a
    person ruled on lives on in silence until it is over or gets worse, so that it is not ordered again at once.

    `upheld`: its order stood against a ruling, so that clean windows alone do not call it false any more. `heir` is the
    key of the order that was made while its own was being taken back, and nobody knew yet what the ERP would say.
    """

    key: str
    asset: str
    family: str
    failure_mode: str
    source: Literal["machine", "report"]
    state: EpisodeState
    started_at: datetime
    last_at: datetime
    hits: int = 1
    misses: int = 0
    peak_confidence: float = 0.0
    peak_severity: float = 0.0
    tally: dict[str, float] = {}
    codes: tuple[str, ...] = ()
    subject: str = ""
    decision: Decision | None = None
    closed_at: datetime | None = None
    reports: tuple[str, ...] = ()
    said: Said | None = None
    ruled: Literal["", "false", "cancelled"] = ""
    upheld: bool = False
    heir: str = ""
