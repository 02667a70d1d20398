"""The models, loaded once, off the loop, when they are first needed: a job that runs again finds them there."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Executor

import structlog

from gateway.core.asset import Plant
from gateway.core.ports import Diagnoser, Interpreter
from gateway.core.report import Extraction, QualityReport
from gateway.runtime.settings import Settings

log: structlog.stdlib.BoundLogger = structlog.get_logger()


class Models:
    """The models of one configuration. The openers block and are called in the pool."""

    def __init__(
        self,
        settings: Settings,
        pool: Executor,
        diagnoser: Callable[[Settings], Diagnoser],
        interpreter: Callable[[Settings], Interpreter],
    ) -> None:
        self._settings, self._pool = settings, pool
        self._open_diagnoser, self._open_interpreter = diagnoser, interpreter
        self._diagnoser: Diagnoser | None = None
        self._interpreter: Interpreter | None = None

    def of(self, settings: Settings, touched: set[str]) -> "Models":
        """Give the models of another configuration, those that it does not touch taken over."""
        other = Models(settings, self._pool, self._open_diagnoser, self._open_interpreter)
        if "diagnose" not in touched:
            other._diagnoser = self._diagnoser
        if settings.language == self._settings.language:
            other._interpreter = self._interpreter
        return other

    async def diagnoser(self) -> Diagnoser:
        """Give the diagnosis models. Raises `Misconfigured` when the bundle is not what its manifest says."""
        if self._diagnoser is None:
            loop = asyncio.get_running_loop()
            self._diagnoser = await loop.run_in_executor(self._pool, self._open_diagnoser, self._settings)
            log.info("models.loaded", model=self._diagnoser.model)
        return self._diagnoser

    async def interpreter(self) -> Interpreter:
        """Give the engine that reads reports; without a network it is loaded with the first report.

        Raises `Misconfigured` as `diagnoser` does.
        """
        if self._interpreter is None and self._settings.language.engine == "lite":
            self._interpreter = Late(self._settings, self._open_interpreter)
        elif self._interpreter is None:
            loop = asyncio.get_running_loop()
            self._interpreter = await loop.run_in_executor(self._pool, self._open_interpreter, self._settings)
            log.info("language.loaded", engine=self._interpreter.engine)
        return self._interpreter


class Late:
    """The engine that needs no network, loaded with the first report: its words take 15 MiB, and many sites send none.

    Used by the threads of the pool.
    """

    def __init__(self, settings: Settings, opener: Callable[[Settings], Interpreter]) -> None:
        self._settings, self._opener = settings, opener
        self._inner: Interpreter | None = None
        self._loading = threading.Lock()

    @property
    def engine(self) -> str:
        """Name of the engine."""
        return self._settings.language.engine

    def interpret(self, report: QualityReport, plant: Plant) -> Extraction:
        """Read a report (see `Interpreter`)."""
        return self._loaded().interpret(report, plant)

    def _loaded(self) -> Interpreter:
        with self._loading:
            if self._inner is None:
                self._inner = self._opener(self._settings)
                log.info("language.loaded", engine=self._inner.engine)
            return self._inner
