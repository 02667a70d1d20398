"""Crew: the jobs that run, by name; each can be ended and begun again while the others go on."""

import asyncio
from collections.abc import Callable, Mapping

import structlog

from gateway.core.errors import Misconfigured
from gateway.runtime.line import Job
from gateway.runtime.supervise import supervise

log: structlog.stdlib.BoundLogger = structlog.get_logger()

_END_S = 20.0


class Crew:
    """Jobs under supervision in one task group. `restarted` is told whenever one is run again."""

    def __init__(self, group: asyncio.TaskGroup, restarted: Callable[[str], None]) -> None:
        self._group, self._restarted = group, restarted
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._trial: dict[str, str] = {}

    def start(self, jobs: Mapping[str, Job], *, on_trial: bool = False) -> None:
        """Begin jobs. One on trial that fails for good is named by `failed` instead of ending the process."""
        for name, job in jobs.items():
            if on_trial:
                self._trial[name] = ""
            self._tasks[name] = self._group.create_task(self._run(name, job), name=name)

    async def end(self, names: set[str]) -> None:
        """End jobs and wait until they have. Raises TimeoutError for one that does not."""
        ending = [self._tasks.pop(name) for name in sorted(names) if name in self._tasks]
        for task in ending:
            task.cancel()
        if ending:
            async with asyncio.timeout(_END_S):
                await asyncio.wait(ending)
        for name in names:
            self._trial.pop(name, None)

    def end_all(self) -> None:
        """Ask all jobs to end, without waiting."""
        for task in self._tasks.values():
            task.cancel()

    def failed(self, name: str) -> str:
        """Say why a job on trial failed for good; empty while it has not."""
        return self._trial.get(name, "")

    def trust(self) -> None:
        """End the trial: from now on a failure ends the process."""
        self._trial.clear()

    async def _run(self, name: str, job: Job) -> None:
        try:
            await supervise(name, job, self._restarted)
        except Exception as wrong:  # whatever a new configuration does must not end what ran before it
            if name not in self._trial:
                raise
            told = str(wrong) if isinstance(wrong, Misconfigured) else f"{type(wrong).__name__}: {wrong}"
            self._trial[name] = told or type(wrong).__name__
            log.warning("job.failed_on_trial", job=name, why=self._trial[name])
