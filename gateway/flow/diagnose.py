"""Journal -> windows -> diagnoses -> episodes -> orders."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from datetime import datetime
from time import monotonic
from typing import Literal

from msgspec.structs import replace

from gateway.core.asset import Asset, Plant
from gateway.core.diagnosis import Diagnosis
from gateway.core.episode import Decision, Episode, EpisodeState
from gateway.core.order import business_key
from gateway.core.ports import Clock, Diagnoser, Store, Tx
from gateway.core.window import Window
from gateway.flow import compose, evidence, policy
from gateway.flow.cut import Cutter
from gateway.flow.episode import Rules, fold

CURSOR = "diagnose"
BASELINES = "baselines"

_READ = 64
_IDLE_S = 0.5
_MOST = 32
"""Windows that are diagnosed in one go: memory is bounded after a long outage too."""


@dataclass(frozen=True, slots=True)
class Book:
    """What turns diagnoses into orders: the plant, the rules, the names. Shared by live and replay."""

    plant: Plant
    rules: Rules
    secret: bytes
    erp: str
    limit: float
    language: Literal["zh", "en"]
    config: str

    def key(self, asset: str, family: str, started_at: datetime) -> str:
        """Give the business key of a machine's trouble: site, asset, family and first window."""
        return business_key(self.secret, self.plant.site.id, asset, family, started_at.isoformat())

    def conclude(self, tx: Tx, seen: Diagnosis, window: Window, now: datetime) -> list[Episode]:
        """Write one diagnosis and all that follows from it; a window that was diagnosed before changes nothing."""
        if not tx.put_diagnosis(seen):
            return []
        changed = self.folded(tx.episodes(seen.asset, live=True), seen)
        return [self.put(tx, episode, seen, window, now) for episode in changed]

    def folded(self, live: Sequence[Episode], seen: Diagnosis) -> list[Episode]:
        """Fold a diagnosis into live episodes (pure)."""
        return fold(live, seen, self.rules, lambda family, at: self.key(seen.asset, family, at))

    def put(self, tx: Tx, episode: Episode, seen: Diagnosis, window: Window, now: datetime) -> Episode:
        """Write an episode; one that has just been confirmed gets its decision and, if so decided, its order."""
        if episode.state is EpisodeState.OPEN and episode.decision is not Decision.ORDER:
            asset = self.plant.asset(episode.asset) or Asset(id=episode.asset)
            decision = policy.of_machine(episode, asset, self.limit)
            if decision is not episode.decision:
                tx.note("episode.decided", episode.key, now, f"{decision} {episode.failure_mode}")
            episode = replace(episode, decision=decision)
            if decision is Decision.ORDER:
                kept = evidence.of_window(tx, window, seen)
                order = compose.of_episode(episode, seen, self.plant, kept, self.language, self.config)
                if tx.put_order(order, self.erp, now):
                    tx.note("order.made", order.key, now, f"machine {order.failure_mode}")
        if episode.state is EpisodeState.CLOSED:
            tx.note("episode.closed", episode.key, now, episode.failure_mode)
        tx.put_episode(episode)
        return episode


class Diagnosing:
    """Reads the journal behind the sources, cuts windows, has them diagnosed, and writes what follows.

    The cursor is committed with the diagnoses, so after a crash the same windows are cut again and
    what was written already is left as it is.
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

    async def run(self) -> None:
        """Go on until cancelled."""
        saved = await self._store.read(lambda tx: (tx.cursor(CURSOR), tx.get(BASELINES)))
        at, baselines = saved
        if baselines is not None:
            self._diagnoser.restore(baselines)
        cutter = self._new_cutter()
        while True:
            at, more = await self._step(cutter, at)
            if not more:
                self._wake.clear()
                try:
                    async with asyncio.timeout(_IDLE_S):
                        await self._wake.wait()
                except TimeoutError:
                    cutter.tick(self._now())

    async def _step(self, cutter: Cutter, at: int) -> tuple[int, bool]:
        """Take in what the journal has after `at`; tell how far it got and whether there is more."""
        rows = await self._store.read(lambda tx: tx.batches_after(at, limit=_READ))
        for number, batch in rows:
            cutter.add(number, batch)
            at = number
        windows = cutter.ready()
        for first in range(0, len(windows), _MOST):
            await self._conclude(windows[first : first + _MOST], cutter.oldest - 1)
        return at, len(rows) == _READ

    async def _conclude(self, windows: Sequence[Window], done: int) -> None:
        loop = asyncio.get_running_loop()
        began = monotonic()
        seen = await loop.run_in_executor(self._pool, self._diagnoser.diagnose, windows)
        baselines = await loop.run_in_executor(self._pool, self._diagnoser.baselines)
        now = self._now()

        def step(tx: Tx) -> list[Episode]:
            changed = [
                episode
                for diagnosis, window in zip(seen, windows, strict=True)
                for episode in self._book.conclude(tx, diagnosis, window, now)
            ]
            tx.advance(CURSOR, done)
            tx.put(BASELINES, baselines)
            return changed

        changed = await self._store.write(step)
        self.windows += len(windows)
        for diagnosis in seen:
            self._told(diagnosis, monotonic() - began)
        if any(episode.decision is Decision.ORDER for episode in changed):
            self._ordered()
