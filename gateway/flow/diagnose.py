"""Journal -> windows -> diagnoses -> episodes -> orders."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from dataclasses import replace as changed_to
from datetime import datetime
from time import monotonic

import structlog

from gateway.core.capsule import Grounds
from gateway.core.diagnosis import Diagnosis
from gateway.core.episode import Decision, Episode
from gateway.core.errors import AndonError
from gateway.core.ports import Clock, Diagnoser, Store, Tx
from gateway.core.window import Window
from gateway.flow import aside, seal
from gateway.flow.book import Book
from gateway.flow.cut import Cutter
from gateway.flow.ruling import REPAIRED

log: structlog.stdlib.BoundLogger = structlog.get_logger()

CURSOR = "diagnose"
BASELINES = "baselines"

_READ = 64
_IDLE_S = 0.5
_DEADLINE_S = 300.0
_MOST = 32
"""Windows that are diagnosed in one go: memory is bounded after a long outage too."""


class Diagnosing:
    """Reads the journal behind the sources, cuts windows, has them diagnosed, and writes what follows.

    The cursor is committed with the diagnoses, so after a crash the same windows are cut again and
    what was written already is left as it is. A window that the models or the book cannot digest is
    written down as not judged, with the reason, and the next still goes.
    """

    def __init__(
        self,
        store: Store,
        diagnoser: Diagnoser,
        book: Book,
        cutter: Callable[[], Cutter],
        pool: Executor,
        now: Clock,
        wake: asyncio.Event,
        ordered: Callable[[], None],
        told: Callable[[Diagnosis, float], None],
    ) -> None:
        self._store, self._diagnoser, self._book = store, diagnoser, book
        self._new_cutter, self._pool, self._now = cutter, pool, now
        self._ordered, self._told = ordered, told
        self._wake = wake
        self.windows = 0

    def take(self, book: Book) -> None:
        """Take another book, from the next window on."""
        self._book = book

    async def run(self) -> None:
        """Go on until cancelled."""
        saved = await self._store.read(lambda tx: (tx.cursor(CURSOR), tx.get(BASELINES)))
        at, baselines = saved
        if baselines is not None:
            self._diagnoser.restore(baselines)
        cutter = self._new_cutter()
        while True:
            self._wake.clear()  # before the look: what is journalled meanwhile must wake us
            at, more = await self._step(cutter, at)
            if not more:
                try:
                    async with asyncio.timeout(_IDLE_S):
                        await self._wake.wait()
                except TimeoutError:
                    cutter.tick(self._now())

    async def _step(self, cutter: Cutter, at: int) -> tuple[int, bool]:
        """Take in what the journal has after `at`; tell how far it got and whether there is more."""
        rows, repaired = await self._store.read(lambda tx: (tx.batches_after(at, limit=_READ), tx.kept(REPAIRED)))
        for number, batch in rows:
            cutter.add(number, batch)
            at = number
        windows = cutter.ready()
        await self._forget(repaired, windows)
        for first in range(0, len(windows), _MOST):
            # Those that are cut and not written yet are not in the cutter any more: a crash must cut them again.
            last = first + _MOST >= len(windows)
            await self._conclude(windows[first : first + _MOST], cutter.oldest - 1 if last else 0)
        return at, len(rows) == _READ

    async def _forget(self, repaired: dict[str, bytes], windows: Sequence[Window]) -> None:
        """Forget what was normal for an asset when the first window after its repair is there.

        It is forgotten once: baselines and the word of the repair go in one transaction. A crash before it does it
        again, one after it not.
        """
        done = [asset for asset, at in repaired.items() if any(_after(window, asset, at) for window in windows)]
        if not done:
            return
        for asset in done:
            self._diagnoser.reset(asset)
        loop = asyncio.get_running_loop()
        baselines = await loop.run_in_executor(self._pool, self._diagnoser.baselines)
        await self._store.write(_Forget(done, baselines, self._now()))

    async def _conclude(self, windows: Sequence[Window], done: int) -> None:
        loop = asyncio.get_running_loop()
        began = monotonic()
        async with asyncio.timeout(_DEADLINE_S):
            judged = await loop.run_in_executor(self._pool, self._judge, windows)
            baselines = await loop.run_in_executor(self._pool, self._diagnoser.baselines)
        seen = [diagnosis for diagnosis, _ in judged]
        grounds = [stood_on for _, stood_on in judged]
        step = _Conclude(self._book, seen, grounds, windows, done, baselines, self._now())
        try:
            changed = await self._store.write(step)
        except AndonError:
            raise
        except Exception as bug:  # noqa: BLE001  (one window that does not fit must not hold up all the others)
            log.warning("windows.not_concluded", count=len(windows), **aside.told(bug))
            seen, changed = await self._one_by_one(step, type(bug).__name__)
        self.windows += len(windows)
        for diagnosis in seen:
            self._told(diagnosis, monotonic() - began)
        if any(episode.decision is Decision.ORDER for episode in changed):
            self._ordered()

    def _judge(self, windows: Sequence[Window]) -> list[tuple[Diagnosis, Grounds | None]]:
        """Diagnose; when the models break, each window alone, so that the one that breaks them is named."""
        try:
            return seal.judged(self._diagnoser, windows)
        except AndonError:
            raise
        except Exception as bug:  # noqa: BLE001  (whatever one window does to a model, the others must go on)
            log.warning("windows.not_judged", count=len(windows), **aside.told(bug))
            if len(windows) == 1:
                return [(_not_judged(windows[0], self._diagnoser.model, type(bug).__name__), None)]
        return [judged for window in windows for judged in self._judge([window])]

    async def _one_by_one(self, whole: "_Conclude", why: str) -> tuple[list[Diagnosis], list[Episode]]:
        seen, changed = list(whole.seen), list[Episode]()
        for place, (diagnosis, grounds, window) in enumerate(
            zip(whole.seen, whole.grounds, whole.windows, strict=True)
        ):
            alone = changed_to(whole, seen=[diagnosis], grounds=[grounds], windows=[window], done=0)
            try:
                changed += await self._store.write(alone)
            except AndonError:
                raise
            except Exception:  # noqa: BLE001  (told above, with its trace)
                seen[place] = _not_judged(window, diagnosis.model, why)
                await self._store.write(changed_to(alone, seen=[seen[place]]))
        await self._store.write(changed_to(whole, seen=[], grounds=[], windows=[]))
        return seen, changed


@dataclass(frozen=True, slots=True)
class _Conclude:
    """The step that writes some windows' diagnoses, what follows from them, and how far that is."""

    book: Book
    seen: Sequence[Diagnosis]
    grounds: Sequence[Grounds | None]
    windows: Sequence[Window]
    done: int
    baselines: bytes
    now: datetime

    def __call__(self, tx: Tx) -> list[Episode]:
        changed = [
            episode
            for diagnosis, grounds, window in zip(self.seen, self.grounds, self.windows, strict=True)
            for episode in self.book.conclude(tx, diagnosis, window, self.now, grounds)
        ]
        for diagnosis in self.seen:
            if diagnosis.remarks[:1] == (NOT_JUDGED,):
                tx.note("window.not_judged", diagnosis.asset, self.now, diagnosis.remarks[1])
        tx.advance(CURSOR, self.done)
        tx.put(BASELINES, self.baselines)
        return changed


@dataclass(frozen=True, slots=True)
class _Forget:
    """The step that keeps the baselines without those of repaired assets."""

    assets: Sequence[str]
    baselines: bytes
    now: datetime

    def __call__(self, tx: Tx) -> None:
        tx.put(BASELINES, self.baselines)
        for asset in self.assets:
            tx.forget(REPAIRED + asset)
            tx.note("baseline.forgotten", asset, self.now, "its order was carried out")


def _after(window: Window, asset: str, repaired: bytes) -> bool:
    return window.asset == asset and window.start >= datetime.fromisoformat(repaired.decode())


NOT_JUDGED = "this window could not be judged"


def _not_judged(window: Window, model: str, why: str) -> Diagnosis:
    return Diagnosis(
        window.asset,
        window.start,
        window.end,
        None,
        confidence=0.0,
        anomaly=0.0,
        severity=0.0,
        probabilities={},
        model=model,
        remarks=(NOT_JUDGED, f"{why} at {window.start.isoformat()}"),
        journal=window.journal,
    )
