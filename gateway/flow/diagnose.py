"""Journal -> windows -> diagnoses -> episodes -> orders."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from dataclasses import replace as changed_to
from datetime import datetime, timedelta
from time import monotonic
from typing import Literal

import structlog
from msgspec.structs import replace

from gateway.core.asset import Asset, Plant
from gateway.core.capsule import Grounds, Terms
from gateway.core.diagnosis import Diagnosis, Fault
from gateway.core.episode import Decision, Episode, EpisodeState
from gateway.core.errors import AndonError
from gateway.core.order import business_key
from gateway.core.ports import Clock, Diagnoser, Store, Tx
from gateway.core.window import Window
from gateway.flow import amend, aside, grow, policy, seal
from gateway.flow.cut import Cutter
from gateway.flow.episode import Rules, closed, fold, seconded, told_before
from gateway.flow.false_alarm import lapsed

log: structlog.stdlib.BoundLogger = structlog.get_logger()

CURSOR = "diagnose"
BASELINES = "baselines"

_READ = 64
_IDLE_S = 0.5
_DEADLINE_S = 300.0
_MANY = 10_000
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
    software: str = ""
    public_url: str = ""
    false_within: timedelta = timedelta(0)

    @property
    def terms(self) -> Terms:
        """The rules, as they stand in an order's capsule."""
        return Terms(
            config=self.config,
            software=self.software,
            language=self.language,
            confirm=self.rules.confirm,
            clear=self.rules.clear,
            confidence=self.rules.confidence,
            limit=self.limit,
            public_url=self.public_url,
        )

    def key(self, asset: str, family: str, started_at: datetime) -> str:
        """Give the business key of a machine's trouble: site, asset, family and first window."""
        return business_key(self.secret, self.plant.site.id, asset, family, started_at.isoformat())

    def conclude(
        self, tx: Tx, seen: Diagnosis, window: Window, now: datetime, grounds: Grounds | None = None
    ) -> list[Episode]:
        """Write one diagnosis and all that follows from it; a window that was diagnosed before changes nothing."""
        if not tx.put_diagnosis(seen):
            return []
        changed = self.folded(tx.episodes(seen.asset, live=True, limit=_MANY), seen)
        return [self.put(tx, episode, seen, window, now, grounds) for episode in changed]

    def folded(self, live: Sequence[Episode], seen: Diagnosis) -> list[Episode]:
        """Fold a diagnosis into live episodes (pure)."""
        return fold(live, seen, self.rules, lambda family, at: self.key(seen.asset, family, at))

    def put(
        self,
        tx: Tx,
        episode: Episode,
        seen: Diagnosis,
        window: Window,
        now: datetime,
        grounds: Grounds | None = None,
    ) -> Episode:
        """Write an episode, and what follows from it: the order of one that was confirmed, its growth, its end."""
        if episode.state is EpisodeState.OPEN and not episode.ruled:
            episode = self._opened(tx, episode, seen, window, now, grounds)
        if episode.state is EpisodeState.CLOSED:
            tx.note("episode.closed", episode.key, now, episode.failure_mode)
            episode = lapsed(tx, episode, window, self.false_within, now)
        tx.put_episode(episode)
        return episode

    def _opened(
        self, tx: Tx, episode: Episode, seen: Diagnosis, window: Window, now: datetime, grounds: Grounds | None
    ) -> Episode:
        """Decide about a confirmed trouble, order it once, and have its order grow with it."""
        decision, key = self._decide(tx, episode, now)
        if decision is not episode.decision:
            tx.note("episode.decided", episode.key, now, f"{decision} {episode.failure_mode}")
        fresh = decision is Decision.ORDER and episode.decision is not Decision.ORDER
        episode = replace(episode, decision=decision)
        if fresh:
            self._order(tx, episode, seen, window, now, grounds)
            return replace(episode, said=grow.said(episode, seen.end))
        ordered = decision in (Decision.ORDER, Decision.JOINED)
        if not ordered or seen.fault is Fault.HEALTHY or not grow.speaks(episode, seen.end):
            return episode
        stored = tx.order(key)
        if stored is not None and not amend.stands(stored):
            return self._ended(tx, episode, key, seen.end)
        if stored is not None:
            amend.by_machine(tx, stored.order, episode, seen, window, grounds, self.plant, self.terms, now)
        return replace(episode, said=grow.said(episode, seen.end))

    @staticmethod
    def _ended(tx: Tx, episode: Episode, key: str, at: datetime) -> Episode:
        """End the trouble of an order that is over already: what goes on is a new one."""
        first = tx.episode(key)
        if key == episode.key or first is None:
            return closed(episode, at)
        tx.put_episode(closed(first, at))
        return episode

    def _decide(self, tx: Tx, episode: Episode, now: datetime) -> tuple[Decision, str]:
        """Decide about a confirmed trouble; give the key of the order that stands for it, too.

        A person's open order about it stands for both while it is open.
        """
        if episode.decision is Decision.ORDER:
            return Decision.ORDER, episode.key
        first = told_before(tx.episodes(episode.asset, live=True, limit=_MANY), episode)
        if first is None:
            asset = self.plant.asset(episode.asset) or Asset(id=episode.asset)
            return policy.of_machine(episode, asset, self.limit), episode.key
        if episode.decision is not Decision.JOINED:
            tx.put_episode(seconded(first, episode))
            tx.note("episode.witness", first.key, now, f"machine {episode.failure_mode} {episode.key}")
        return Decision.JOINED, first.key

    def _order(
        self, tx: Tx, episode: Episode, seen: Diagnosis, window: Window, now: datetime, grounds: Grounds | None
    ) -> None:
        order = seal.of_episode(tx, episode, seen, window, grounds, self.plant, self.terms)
        if tx.put_order(order, self.erp, now):
            tx.pin(order.key, window.journal)
            tx.note("order.made", order.key, now, f"machine {order.failure_mode} capsule {order.capsule}")


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
        rows = await self._store.read(lambda tx: tx.batches_after(at, limit=_READ))
        for number, batch in rows:
            cutter.add(number, batch)
            at = number
        windows = cutter.ready()
        for first in range(0, len(windows), _MOST):
            # Those that are cut and not written yet are not in the cutter any more: a crash must cut them again.
            last = first + _MOST >= len(windows)
            await self._conclude(windows[first : first + _MOST], cutter.oldest - 1 if last else 0)
        return at, len(rows) == _READ

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
