"""Health and metrics: is it alive, has it started, can it take work, and the numbers."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Literal

import msgspec
from litestar import Response, get
from litestar.di import NamedDependency

from gateway.core.batch import TagState
from gateway.core.delivery import DeliveryState
from gateway.core.errors import Unreachable
from gateway.core.ports import Counts, Held, Tx
from gateway.runtime.gateway import Gateway
from gateway.runtime.telemetry import MEDIA_TYPE

_DEADLINE_S = 3.0
_STALE = timedelta(seconds=30)
_NAMED = 3
_LOG = "/log"
_TEXT = MEDIA_TYPE.removesuffix("; charset=utf-8")  # Litestar says it of every text
_HEADERS = {"Cache-Control": "no-store"}


class Alive(msgspec.Struct, frozen=True):
    """The process answers."""

    status: Literal["pass"]
    version: str


class PartHealth(msgspec.Struct, frozen=True):
    """One source: how many of its nodes are well, the bad ones by name, the age of its newest data.

    `why` says in words what ails it; empty when nothing does.
    """

    status: Literal["pass", "warn"]
    why: str
    healthy: int
    bad: Mapping[str, str]
    age_s: float | None


class Ready(msgspec.Struct, frozen=True):
    """Whether work can be taken. `degraded` names the parts that ail while the rest goes on.

    `troubles` are those that are no source, such as an ERP that is left alone: the part's name and why.
    """

    status: Literal["pass", "warn", "fail"]
    version: str
    config: str
    model: str
    store: str
    sources: Mapping[str, PartHealth]
    degraded: Sequence[str]
    troubles: Sequence[str]
    journal: Held
    parts: Mapping[str, str]


@get("/health/live", opt={"scope": "public"})
async def live(gateway: NamedDependency[Gateway]) -> Response[Alive]:
    """Say that the process answers."""
    return Response(Alive("pass", gateway.version), headers=_HEADERS)


@get("/health/startup", opt={"scope": "public"})
async def startup(gateway: NamedDependency[Gateway]) -> Response[Alive]:
    """Say that it has started: the web server is the last part that does."""
    return Response(Alive("pass", gateway.version), headers=_HEADERS)


@get("/health/ready", opt={"scope": "public"}, responses={})
async def ready(gateway: NamedDependency[Gateway]) -> Response[Ready]:
    """Say whether work can be taken; 503 only when the store cannot, an ailing part is named."""
    store = await _store_word(gateway)
    sources = _sources(gateway)
    troubles = gateway.troubles()
    ailing = [name for name, part in sources.items() if part.status != "pass"]
    degraded = sorted(ailing + [trouble.partition(":")[0] for trouble in troubles])
    status: Literal["pass", "warn", "fail"] = "fail" if store != "pass" else "warn" if degraded else "pass"
    named = (gateway.version, gateway.config, gateway.model)
    found = Ready(status, *named, store, sources, degraded, troubles, gateway.held(), gateway.parts)
    return Response(found, status_code=503 if status == "fail" else 200, headers=_HEADERS)


@get("/metrics", opt={"scope": "read", "reach": "everywhere"}, include_in_schema=False)
async def metrics(gateway: NamedDependency[Gateway]) -> Response[bytes]:
    """Give the numbers in the Prometheus text format."""

    def look(tx: Tx) -> tuple[Counts, dict[str, int], dict[tuple[str, str], int]]:
        return tx.counts(), tx.order_counts(), tx.outgoing_counts()

    counted, states, events = await gateway.store.read(look)
    gateway.telemetry.set_events(events)
    gateway.telemetry.set_orders({state: states.get(state, 0) for state in DeliveryState})
    for name in ("readings", "windows", "diagnoses", "episodes", "orders", "reports"):
        gateway.telemetry.stored.labels(name).set(getattr(counted, name))
    for source, part in _sources(gateway).items():
        gateway.telemetry.tags.labels(source, "healthy").set(part.healthy)
        gateway.telemetry.tags.labels(source, "bad").set(len(part.bad))
        if part.age_s is not None:
            gateway.telemetry.data_age.labels(source).set(part.age_s)
    for (source, rule), times in _findings(gateway.sources()).items():
        gateway.telemetry.findings.labels(source, rule).set(times)
    for source, offset in gateway.live.clocks.offsets().items():
        gateway.telemetry.clock_offset.labels(source).set(offset.total_seconds())
    return Response(gateway.telemetry.text(), media_type=_TEXT, headers=_HEADERS)


def _findings(states: Sequence[TagState]) -> dict[tuple[str, str], int]:
    found: dict[tuple[str, str], int] = {}
    for state in states:
        for rule, times in state.found.items():
            found[state.source, rule] = found.get((state.source, rule), 0) + times
    return found


async def _store_word(gateway: Gateway) -> str:
    def look(tx: Tx) -> Counts:
        return tx.counts()

    try:
        async with asyncio.timeout(_DEADLINE_S):
            await gateway.store.read(look)
    except Unreachable as lost:
        return str(lost)
    except TimeoutError:
        return f"no answer within {_DEADLINE_S:g} s"
    return "pass"


def _sources(gateway: Gateway) -> dict[str, PartHealth]:
    now = gateway.now()
    states = gateway.sources()
    found = {}
    for source in sorted({state.source for state in states}):
        own = [state for state in states if state.source == source]
        newest = max((state.last_at for state in own if state.last_at is not None), default=None)
        age_s = round((now - newest).total_seconds(), 3) if newest is not None else None
        bad = {state.name: state.detail for state in own if not state.healthy} | _stale(own, now)
        why = "; ".join([*_ills(bad, len(own)), *_silence(own, now)])
        found[source] = PartHealth(
            status="warn" if why else "pass",
            why=why,
            healthy=len(own) - len(bad),
            bad=bad,
            age_s=age_s,
        )
    return found


def _ills(bad: Mapping[str, str], among: int) -> list[str]:
    """Name the first few that ail; once for all when the whole source has one reason, such as a lost link."""
    if len(bad) == among and len(set(bad.values())) == 1:
        return [next(iter(bad.values())) or "not healthy"]
    named = [f"{name}: {detail or 'not healthy'}" for name, detail in list(bad.items())[:_NAMED]]
    return named if len(bad) <= _NAMED else [*named, f"{len(bad) - _NAMED} more"]


def _stale(states: Sequence[TagState], now: datetime) -> dict[str, str]:
    """Name the tags whose last value is older than their freshness allows, however well their source says it is."""
    found = {}
    for state in states:
        if state.healthy and state.stale_after is not None and state.last_at is not None:
            age_s = (now - state.last_at).total_seconds()
            if age_s > state.stale_after:
                found[state.name] = f"no value for {age_s:.0f} s (stale after {state.stale_after:g} s)"
    return found


def _silence(states: Sequence[TagState], now: datetime) -> list[str]:
    """Say that a source gives no values any more. A log is no measurement: its silence says nothing."""
    measured = [
        state.last_at
        for state in states
        if state.last_at is not None and state.stale_after is None and not state.name.endswith(_LOG)
    ]
    if not measured or now - max(measured) <= _STALE:
        return []
    return [f"no value for {(now - max(measured)).total_seconds():.0f} s"]
