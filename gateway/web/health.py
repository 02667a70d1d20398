"""Health and metrics: is it alive, has it started, can it take work, and the numbers."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Literal

import msgspec
from litestar import Response, get
from litestar.di import NamedDependency

from gateway.core.errors import Unreachable
from gateway.core.ports import Counts, Tx
from gateway.runtime.gateway import Gateway
from gateway.runtime.telemetry import MEDIA_TYPE

_DEADLINE_S = 3.0
_STALE = timedelta(seconds=30)
_MOST = 1000
_UNSETTLED = ("WAITING", "SENDING", "UNCERTAIN", "PARKED")
_HEADERS = {"Cache-Control": "no-store"}


class Alive(msgspec.Struct, frozen=True):
    """The process answers."""

    status: Literal["pass"]
    version: str


class PartHealth(msgspec.Struct, frozen=True):
    """One source: how many of its nodes are well, the bad ones by name, the age of its newest data."""

    status: Literal["pass", "warn"]
    healthy: int
    bad: Mapping[str, str]
    age_s: float | None


class Ready(msgspec.Struct, frozen=True):
    """Whether work can be taken. `degraded` names the parts that ail while the rest goes on."""

    status: Literal["pass", "warn", "fail"]
    version: str
    config: str
    model: str
    store: str
    sources: Mapping[str, PartHealth]
    degraded: Sequence[str]


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
    """Say whether work can be taken; 503 only when the store cannot, an ailing source is named."""
    store = await _store_word(gateway)
    sources = _sources(gateway)
    degraded = sorted(name for name, part in sources.items() if part.status != "pass")
    status: Literal["pass", "warn", "fail"] = "fail" if store != "pass" else "warn" if degraded else "pass"
    found = Ready(status, gateway.version, gateway.config, gateway.model, store, sources, degraded)
    return Response(found, status_code=503 if status == "fail" else 200, headers=_HEADERS)


@get("/metrics", opt={"scope": "read"}, include_in_schema=False)
async def metrics(gateway: NamedDependency[Gateway]) -> Response[bytes]:
    """Give the numbers in the Prometheus text format."""

    def look(tx: Tx) -> tuple[Counts, dict[str, int]]:
        return tx.counts(), {state: len(tx.orders(state=state, limit=_MOST)) for state in _UNSETTLED}

    counted, states = await gateway.store.read(look)
    gateway.telemetry.set_orders({**states, "DELIVERED": counted.orders - sum(states.values())})
    for name in ("readings", "windows", "diagnoses", "episodes", "orders", "reports"):
        gateway.telemetry.stored.labels(name).set(getattr(counted, name))
    return Response(gateway.telemetry.text(), media_type=MEDIA_TYPE, headers=_HEADERS)


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
        stale = newest is None or now - newest > _STALE
        bad = {state.name: state.detail for state in own if not state.healthy}
        found[source] = PartHealth(
            status="warn" if bad or stale else "pass",
            healthy=sum(state.healthy for state in own),
            bad=bad,
            age_s=round((now - newest).total_seconds(), 3) if newest is not None else None,
        )
    return found
