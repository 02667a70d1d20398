"""Redundancy: a set of servers, of which one is listened to (OPC UA Part 4, non-transparent redundancy)."""

import asyncio
from collections.abc import Sequence

import structlog
from asyncua import ua

from connectors.line.opcua.about import read_attributes, value_of
from connectors.line.opcua.resume import Kept
from connectors.line.opcua.security import Andon, advice
from connectors.line.opcua.session import enter, leave
from connectors.line.opcua.settings import Settings
from gateway.core.errors import Unreachable

log: structlog.stdlib.BoundLogger = structlog.get_logger()
HEALTHY = 200
"""ServiceLevel from here on is healthy (Part 4, 6.6.2.4.2); below, data are missing or maintenance is on."""
_WATCH_S = 5.0
_LEVEL = ua.NodeId(ua.ObjectIds.Server_ServiceLevel)
_LOST = (Unreachable, ua.UaError, OSError, AssertionError)


def every_endpoint(settings: Settings) -> tuple[str, ...]:
    """Give the endpoints of the set; the first is the preferred one."""
    return tuple(dict.fromkeys((settings.endpoint, *settings.endpoints)))


async def enter_one(settings: Settings, kept: Kept) -> tuple[Andon, str, bool]:
    """Enter the server that was listened to last, or the next one that is well; of ailing ones the best.

    Gives the client, the endpoint, and whether the session is the kept one. Raises `Unreachable` with what
    is wrong with each when there is none, the library's errors when there is but one.
    """
    endpoints = every_endpoint(settings)
    last = kept.session.endpoint if kept.session is not None else ""
    best: tuple[int, Andon, str, bool] | None = None
    faults: list[str] = []
    for endpoint in sorted(endpoints, key=lambda one: one != last):
        try:
            client, ours = await enter(settings, endpoint, kept.session if endpoint == last else None)
        except _LOST as lost:
            if len(endpoints) == 1:
                raise
            faults.append(f"{endpoint}: {advice(lost)}")
            continue
        if len(endpoints) == 1:
            return client, endpoint, ours
        level = await level_of(client)
        if best is not None and level <= best[0]:
            await leave(client, stay=ours)
            continue
        if best is not None:
            await leave(best[1], stay=best[3])
        best = (level, client, endpoint, ours)
        if level >= HEALTHY:
            break
    if best is None:
        raise Unreachable(f"no server of the set can be reached: {'; '.join(faults)}")
    level, client, endpoint, ours = best
    log.info("opcua.server.chosen", source=settings.name, endpoint=endpoint, level=level, faults=faults)
    return client, endpoint, ours


async def level_of(client: Andon) -> int:
    """Read the ServiceLevel; 255 where there is none."""
    [answer] = await read_attributes(client, [(_LEVEL, ua.AttributeIds.Value)], 1)
    level = value_of(answer)
    return int(level) if level is not None else 255


async def watch(client: Andon, settings: Settings, endpoint: str) -> None:
    """Look at the ServiceLevel from time to time. Raises `Unreachable` when another server of the set is better."""
    others = [one for one in every_endpoint(settings) if one != endpoint]
    wait = _WATCH_S
    while others:
        await asyncio.sleep(min(wait, settings.keep_alive * (wait / _WATCH_S)))
        level = await level_of(client)
        if level >= HEALTHY:
            wait = _WATCH_S
            continue
        better = await _best(settings, others)
        if better > level:
            raise Unreachable(f"ServiceLevel is {level} and another server of the set has {better}")
        wait = min(wait * 2, 60.0)  # nobody is better: ask less and less often


async def _best(settings: Settings, endpoints: Sequence[str]) -> int:
    best = -1
    for endpoint in endpoints:
        try:
            client, _ = await enter(settings, endpoint, None)
        except _LOST:
            continue
        try:
            best = max(best, await level_of(client))
        finally:
            await leave(client, stay=False)
    return best
