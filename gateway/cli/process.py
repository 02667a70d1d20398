"""The gateway as one process: one task group, the web server one more job, the signals ours."""

import asyncio
import signal
import sys
from collections.abc import Callable
from functools import partial

import structlog

from gateway.core.errors import Misconfigured
from gateway.runtime.settings import Settings
from gateway.runtime.supervise import supervise
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
    async with wire(settings, asyncio.Event()) as running:
        server = WebServer(build(running.gateway), running.gateway)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(server.serve(), name="web")
                jobs = [
                    group.create_task(supervise(name, job, partial(_count, running)), name=name)
                    for name, job in running.jobs.items()
                ]
                port = await server.started_on
                ready(f"http://{_shown(settings.api.host)}:{port}")
                log.info("gateway.up", config=settings.digest, sources=len(settings.sources))
                await stop.wait()
                log.info("gateway.stopping")
                server.stop()
                for job in jobs:
                    job.cancel()
        except* Misconfigured as wrong:
            raise _first(wrong) from None
    log.info("gateway.down")


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
