"""The line: every tag with value, unit, quality and age."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal

import msgspec
from litestar import Request, get
from litestar.di import NamedDependency

from gateway.core.reading import Moment, Reading, Value
from gateway.runtime.gateway import Gateway
from gateway.web.auth import caller_of, reaches


class TagNow(msgspec.Struct, frozen=True):
    """The latest value of one tag. `age_s` counts from the best known time of the value."""

    tag: str
    value: Value
    unit: str
    quality: Literal["good", "uncertain", "bad"]
    at: Moment
    age_s: float
    why: str = ""


class GapNow(msgspec.Struct, frozen=True):
    """A span for which a source has no values of these tags; `filled` names what closed it ("history")."""

    source: str
    tags: Sequence[str]
    start: Moment
    end: Moment
    cause: str
    filled: str


class AssetNow(msgspec.Struct, frozen=True):
    """One asset as it is now. `fault` is the latest verdict, None for "I don't know"; `gaps` come oldest first."""

    asset: str
    name: str
    line: str
    tags: Sequence[TagNow]
    fault: str | None
    confidence: float | None
    anomaly: float | None
    age_s: float | None
    gaps: Sequence[GapNow] = ()


class SourceNow(msgspec.Struct, frozen=True):
    """A node, register or link of a source and how it is doing."""

    source: str
    name: str
    healthy: bool
    detail: str
    age_s: float | None


class Line(msgspec.Struct, frozen=True):
    """The whole line at one moment."""

    at: Moment
    assets: Sequence[AssetNow]
    sources: Sequence[SourceNow]


@get("/line", opt={"scope": "read", "reach": "own"})
async def line(request: Request[Any, Any, Any], gateway: NamedDependency[Gateway]) -> Line:
    """Show every asset's tags, verdict and sources; to a token for some lines its assets alone."""
    seen, caller = line_of(gateway), caller_of(request)
    if caller.lines is None:
        return seen
    assets = [asset for asset in seen.assets if reaches(gateway, caller, asset.asset)]
    return Line(at=seen.at, assets=assets, sources=())


def line_of(gateway: Gateway) -> Line:
    """Give the line as it is now, in the order of the settings; what the settings do not know comes last."""
    now = gateway.now()
    known = [asset.id for asset in gateway.plant.assets]
    names = [*known, *(name for name in gateway.live.assets() if name not in known)]
    return Line(
        at=now,
        assets=[_asset(gateway, name, now) for name in names],
        sources=[
            SourceNow(state.source, state.name, state.healthy, state.detail, _age(state.last_at, now))
            for state in gateway.sources()
        ],
    )


def _asset(gateway: Gateway, name: str, now: datetime) -> AssetNow:
    view, asset = gateway.live.of(name), gateway.plant.asset(name)
    tags = [_tag(reading, now) for reading in view.readings]
    times = [reading.at for reading in view.readings if reading.value is not None]
    times += [big.at for big in (view.waveform, view.frame) if big is not None]
    verdict = view.diagnosis
    return AssetNow(
        asset=name,
        name=asset.name if asset is not None else "",
        line=asset.line if asset is not None else "",
        tags=tags,
        fault=verdict.fault.value if verdict is not None and verdict.fault is not None else None,
        confidence=verdict.confidence if verdict is not None else None,
        anomaly=verdict.anomaly if verdict is not None else None,
        age_s=_age(max(times, default=None), now),
        gaps=[GapNow(gap.source, gap.tags, gap.start, gap.end, gap.cause, gap.filled) for gap in view.gaps],
    )


def _tag(reading: Reading, now: datetime) -> TagNow:
    quality: tuple[Literal["good", "uncertain", "bad"], ...] = ("good", "uncertain", "bad")
    return TagNow(
        tag=reading.tag,
        value=reading.value,
        unit=reading.unit,
        quality=quality[reading.quality],
        at=reading.at,
        age_s=_age(reading.at, now) or 0.0,
        why=reading.why,
    )


def _age(at: datetime | None, now: datetime) -> float | None:
    return None if at is None else round(max(0.0, (now - at).total_seconds()), 3)
