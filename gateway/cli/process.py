"""The gateway as one process: one task group, the web server one more job, the signals ours."""

import asyncio
import signal
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import structlog

from gateway.core.errors import Misconfigured
from gateway.runtime.control import listening
from gateway.runtime.crew import Crew
from gateway.runtime.reload import Reloading
from gateway.runtime.settings import Settings
from gateway.runtime.wiring import Running, wire
from gateway.web.app import build
from gateway.web.server import WebServer

log: structlog.stdlib.BoundLogger = structlog.get_logger()

SWITCH_S = 0.0002
"""How long a computing thread may keep the interpreter from the event loop. CPython's 5 ms would be paid on every
answer of the loop while a report is read or a window diagnosed (`bench/accept.py`)."""


async def run(settings: Settings, ready: Callable[[str], None]) -> None:
    """Run until SIGTERM or SIGINT; `ready` gets the URL when requests are taken.

    Raises `Misconfigured` when a part cannot start as it is told to. Any other error of a job is a bug and
    ends the process, so that the supervisor outside starts it afresh.
    """
    sys.setswitchinterval(SWITCH_S)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    again = asyncio.Event()
    loop.add_signal_handler(signal.SIGHUP, again.set)
    async with wire(settings, asyncio.Event()) as running:
        server = WebServer(build(running.gateway), running.gateway)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(server.serve(), name="web")
                crew = Crew(group, partial(_count, running))
                crew.start(running.jobs)
                reloading = running.reloading(crew)
                await reloading.started()
                crew.start({"reload": partial(_reload, settings, reloading, again)})
                port = await server.started_on
                ready(f"http://{_shown(settings.api.host)}:{port}")
                log.info("gateway.up", config=settings.digest, sources=len(settings.sources))
                await stop.wait()
                log.info("gateway.stopping")
                server.stop()
                crew.end_all()
        except* Misconfigured as wrong:
            raise _first(wrong) from None
    log.info("gateway.down")


async def _reload(settings: Settings, reloading: Reloading, again: asyncio.Event) -> None:
    """Listen for `andon apply`, and for SIGHUP."""
    async with listening(Path(settings.store.path), reloading):
        while True:
            await again.wait()
            again.clear()
            await reloading.again()


def _count(running: Running, name: str) -> None:
    running.gateway.telemetry.restarts.labels(name).inc()


def _first(group: BaseExceptionGroup[Misconfigured]) -> Misconfigured:
    for error in group.exceptions:
        return _first(error) if isinstance(error, BaseExceptionGroup) else error
    raise AssertionError("an exception group is never empty")


def _shown(host: str) -> str:
    if host in {"0.0.0.0", "::"}:  # noqa: S104  (a comparison, not a bind)
        return "127.0.0.1"
    return f"[{host}]" if ":" in host else host
