"""Tags: what an address means, and how its raw value becomes a typed, scaled, checked reading."""

import math
from collections.abc import Iterable
from datetime import datetime
from typing import Annotated

import msgspec

from gateway.core.reading import Name, Quality, Reading, Value
from gateway.core.units import Duration

Address = Annotated[str, msgspec.Meta(min_length=1, max_length=512)]
OUT_OF_RANGE = "out of range"
NOT_FINITE = "not a finite number"
BEYOND = "beyond 64 bit"
_KINDS = {"memoryview": "a byte string", "bytes": "a byte string", "ndarray": "an array", "list": "an array"}
_SHORTEST = 0.01  # seconds
_LEAST, _MOST = -(2**63), 2**64 - 1


class Tag(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One tag of one asset at one address.

    The value is `raw * scale + offset`, in `unit`. A value outside `low`..`high` (in `unit`) is BAD,
    never coerced. A value that moved by less than `deadband` (in `unit`) is not sent again. `every`
    is how often the equipment is asked for it. Its last value is said again, marked as repeated and with
    the stamps that it had, after `heartbeat`. A value older than `stale_after` is no news any more.

    Rules over time (see `connectors.line.rules`) lower the quality: `most_rate`, the largest believable
    change per second, in `unit`; `stuck`, for how long a living signal may keep one value; `spike`, how
    many robust deviations a single value may leave the median of the last `spike_window` good ones;
    `missing`, which share of the samples that `every` promises may be absent within `missing_span`.
    """

    asset: Name
    tag: Name
    address: Address
    unit: str = ""
    low: float | None = None
    high: float | None = None
    scale: float = 1.0
    offset: float = 0.0
    deadband: Annotated[float, msgspec.Meta(ge=0)] = 0.0
    every: Duration | None = None
    heartbeat: Duration | None = None
    stale_after: Duration | None = None
    most_rate: Annotated[float, msgspec.Meta(gt=0)] | None = None
    stuck: Duration | None = None
    spike: Annotated[float, msgspec.Meta(ge=1, le=1000)] | None = None
    spike_window: Annotated[int, msgspec.Meta(ge=5, le=99)] = 21
    missing: Annotated[float, msgspec.Meta(ge=0, lt=1)] | None = None
    missing_span: Duration = Duration(60)

    def __post_init__(self) -> None:
        if self.low is not None and self.high is not None and self.low > self.high:
            raise ValueError(f"low {self.low} is above high {self.high}")
        if not math.isfinite(self.scale) or self.scale == 0 or not math.isfinite(self.offset):
            raise ValueError("scale must be finite and not 0, offset must be finite")
        for field in ("every", "heartbeat", "stale_after", "stuck", "missing_span"):
            length = getattr(self, field)
            if length is not None and length < (0 if field == "every" else _SHORTEST):
                raise ValueError(f"{field} must be at least {_SHORTEST * 1000:.0f}ms")

    @property
    def name(self) -> str:
        """How people call the tag: asset/tag."""
        return f"{self.asset}/{self.tag}"


class Times(msgspec.Struct, frozen=True):
    """The three timestamps of a value, aware UTC. The first two are None when the equipment has no clock."""

    sourced_at: datetime | None
    served_at: datetime | None
    received_at: datetime


def judge(tag: Tag, raw: object) -> tuple[Value, str]:
    """Type, scale and check a raw value. Gives the value and "", or None and the reason why it is bad."""
    if isinstance(raw, bool):
        return raw, ""
    if isinstance(raw, int | float):
        return _judge_number(tag, raw)
    if isinstance(raw, str):
        return readable(raw), ""
    if isinstance(raw, datetime):
        return raw.isoformat(), ""
    if raw is None:
        return None, "no value"
    return None, f"{_KINDS.get(type(raw).__name__, type(raw).__name__)} is not a value"


def readable(text: str) -> str:
    """Give text that can be stored and shown: what was no UTF-8 on the wire (GBK, Latin-1) becomes U+FFFD."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def _judge_number(tag: Tag, raw: float) -> tuple[Value, str]:
    if isinstance(raw, int) and not _LEAST <= raw <= _MOST:
        return None, BEYOND  # no store takes it, and one that did would give it back to nobody
    if isinstance(raw, float) and not math.isfinite(raw):
        return None, NOT_FINITE
    value = raw
    if tag.scale != 1.0 or tag.offset != 0.0:
        value = raw * tag.scale + tag.offset
        if not math.isfinite(value):
            return None, NOT_FINITE
    if (tag.low is not None and value < tag.low) or (tag.high is not None and value > tag.high):
        return None, OUT_OF_RANGE
    return value, ""


def bad(tag: Tag, why: str, received_at: datetime) -> Reading:
    """Give the reading of a tag that has no value."""
    return Reading(
        asset=tag.asset,
        tag=tag.tag,
        value=None,
        unit=tag.unit,
        quality=Quality.BAD,
        sourced_at=None,
        served_at=None,
        received_at=received_at,
        why=why,
    )


def distinct(tags: Iterable[Tag]) -> list[str]:
    """Name the tags that stand twice: one fault each."""
    seen: set[str] = set()
    faults: list[str] = []
    for tag in tags:
        if tag.name in seen:
            faults.append(f"tag {tag.name} stands twice")
        seen.add(tag.name)
    return faults
