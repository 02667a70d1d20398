"""Redundancy: a set of servers, of which one is listened to (OPC UA Part 4, non-transparent redundancy)."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

import structlog
from asyncua import ua

from connectors.line.opcua.about import read_attributes, value_of
from connectors.line.opcua.resume import Kept
from connectors.line.opcua.settings import Settings
from connectors.opcua.kept import Session
from connectors.opcua.security import Andon, advice
from connectors.opcua.session import enter, leave
from gateway.core.errors import Unreachable

log: structlog.stdlib.BoundLogger = structlog.get_logger()
HEALTHY = 200
"""ServiceLevel from here on is healthy (Part 4, 6.6.2.4.2); below, data are missing or maintenance is on."""
_WATCH_S = 5.0
_LOOK_S = 60.0
"""How often at most the preferred server is looked at while another one is listened to."""
_LEVEL = ua.NodeId(ua.ObjectIds.Server_ServiceLevel)
_LOST = (Unreachable, ua.UaError, OSError, AssertionError)


def every_endpoint(settings: Settings) -> tuple[str, ...]:
    """Give the endpoints of the set; the first is the preferred one."""
    return tuple(dict.fromkeys((settings.endpoint, *settings.endpoints)))


async def enter_one(settings: Settings, kept: Kept) -> tuple[Andon, str, bool]:
    """Enter the server that was listened to last, or the next one that is well; of ailing ones the best.

    When it was decided to go back to another one (`kept.turn`), that one comes first. Gives the client, the
    endpoint, and whether the session is the kept one. Raises `Unreachable` with what is wrong with each when
    there is none, the library's errors when there is but one.
    """
    endpoints = every_endpoint(settings)
    last = kept.session.endpoint if kept.session is not None else ""
    if len(endpoints) == 1:
        client, ours = await enter(settings, settings.endpoint, kept.session)
        return client, settings.endpoint, ours
    best: _Entered | None = None
    faults: list[str] = []
    try:
        for endpoint in sorted(endpoints, key=lambda one: (one != kept.turn, one != last)):
            try:
                found = await _enter(settings, endpoint, kept.session if endpoint == last else None)
            except _LOST as lost:
                faults.append(f"{endpoint}: {advice(lost)}")
                continue
            worse, best = (found, best) if best is not None and found.level <= best.level else (best, found)
            if worse is not None:
                await leave(worse.client, stay=worse.ours)
            if best.level >= HEALTHY:
                break
    except BaseException:
        if best is not None:
            await leave(best.client, stay=best.ours)
        raise
    if best is None:
        raise Unreachable(f"no server of the set can be reached: {'; '.join(faults)}")
    log.info("opcua.server.chosen", source=settings.name, endpoint=best.endpoint, level=best.level, faults=faults)
    return best.client, best.endpoint, best.ours


class _Entered(NamedTuple):
    """A server of the set with a session of ours; `ours` says whether it is the kept one."""

    level: int
    client: Andon
    endpoint: str
    ours: bool


async def _enter(settings: Settings, endpoint: str, session: Session | None) -> _Entered:
    """Enter a server and read how it is doing; on failure nothing stays open."""
    client, ours = await enter(settings, endpoint, session)
    try:
        async with asyncio.timeout(settings.timeout * 2):
            return _Entered(await level_of(client), client, endpoint, ours)
    except BaseException:
        await leave(client, stay=ours)
        raise


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
    return max([await _look(settings, endpoint) for endpoint in endpoints])


async def _look(settings: Settings, endpoint: str) -> int:
    """Read the ServiceLevel of a server that is not listened to; -1 when it cannot be had."""
    try:
        found = await _enter(settings, endpoint, None)
    except _LOST:
        return -1
    await leave(found.client, stay=False)
    return found.level


async def go_back(settings: Settings, endpoint: str, turn: Callable[[str], Awaitable[object]]) -> None:
    """Go back to the preferred server once it has been well for `go_back` at a stretch, whenever it is looked at.

    `turn` has it remembered that the next link shall begin there. Raises `Unreachable` then, so that it does.
    """
    if endpoint == settings.endpoint or not settings.go_back:
        return
    well_since: float | None = None
    while True:
        await asyncio.sleep(min(_LOOK_S, settings.go_back / 4))
        if await _look(settings, settings.endpoint) < HEALTHY:
            well_since = None
            continue
        now = time.monotonic()
        well_since = now if well_since is None else well_since
        if now - well_since >= settings.go_back:
            await turn(settings.endpoint)
            raise Unreachable(f"the preferred server {settings.endpoint} is well again")
