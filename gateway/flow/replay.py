"""Recorded readings or orders once more, dry or for real. A real one cannot make a second order."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import Executor
from datetime import datetime, timedelta

import msgspec

from gateway.core.batch import Batch
from gateway.core.capsule import Grounds
from gateway.core.delivery import DeliveryState
from gateway.core.diagnosis import Diagnosis
from gateway.core.episode import Episode, EpisodeState
from gateway.core.ports import Diagnoser, Store, StoredOrder, Tx
from gateway.core.status import OVER
from gateway.core.window import Window
from gateway.flow import seal
from gateway.flow.book import Book
from gateway.flow.cut import Cutter
from gateway.flow.redeliver import may_go_again, send_again

_READ = 64
NEAR = timedelta(minutes=5)
"""A trouble found again this near to a known episode of the same family is that episode."""


class Found(msgspec.Struct, frozen=True):
    """A trouble that the replay found. `verdict` is what became of it (`would order`, `known`, `ordered`, `noted`)."""

    key: str
    asset: str
    failure_mode: str
    started_at: datetime
    confidence: float
    verdict: str


class Replayed(msgspec.Struct, frozen=True):
    """What a replay went through."""

    batches: int
    windows: int
    troubles: tuple[Found, ...]


class Span(msgspec.Struct, frozen=True):
    """What is replayed: received in [since, until), aware UTC, of one asset or of all."""

    since: datetime
    until: datetime
    asset: str | None = None


async def diagnose(
    store: Store,
    diagnoser: Diagnoser,
    book: Book,
    cutter: Cutter,
    span: Span,
    pool: Executor,
    *,
    dry_run: bool,
    now: datetime,
) -> Replayed:
    """Put recorded readings through diagnosis again, on episodes of its own.

    A confirmed trouble that the store already knows (same key, or an episode of the same asset and
    family near it) is `known`. In a real run the others get their episode and order; the key is made of
    the same facts as in the first run, so the store refuses a second one.
    """
    batches = windows = 0
    shadow: dict[str, Episode] = {}
    opened: dict[str, tuple[Episode, Diagnosis, Window, Grounds | None]] = {}
    async for number, batch in _recorded(store, span):
        batches += 1
        cutter.add(number, batch)
        ready = [window for window in cutter.ready() if span.asset in {None, window.asset}]
        windows += len(ready)
        await _fold(ready, diagnoser, book, pool, shadow, opened)
    cutter.tick(span.until + timedelta(minutes=1))
    while late := cutter.ready():
        rest = [window for window in late if span.asset in {None, window.asset}]
        windows += len(rest)
        await _fold(rest, diagnoser, book, pool, shadow, opened)
    found = [
        await store.write(_Settle(book, *trouble, dry_run=dry_run, now=now))
        if not dry_run
        else await store.read(_Settle(book, *trouble, dry_run=dry_run, now=now))
        for trouble in opened.values()
    ]
    return Replayed(batches, windows, tuple(found))


async def _fold(
    ready: Sequence[Window],
    diagnoser: Diagnoser,
    book: Book,
    pool: Executor,
    shadow: dict[str, Episode],
    opened: dict[str, tuple[Episode, Diagnosis, Window, Grounds | None]],
) -> None:
    if not ready:
        return
    loop = asyncio.get_running_loop()
    judged = await loop.run_in_executor(pool, seal.judged, diagnoser, ready)
    for (seen, grounds), window in zip(judged, ready, strict=True):
        live = [episode for episode in shadow.values() if episode.state is not EpisodeState.CLOSED]
        for episode in book.folded(live, seen):
            shadow[episode.key] = episode
            if episode.state is EpisodeState.OPEN:
                opened.setdefault(episode.key, (episode, seen, window, grounds))


class _Settle:
    """The step that compares a replayed trouble with the store, and in a real run writes it."""

    def __init__(
        self,
        book: Book,
        episode: Episode,
        seen: Diagnosis,
        window: Window,
        grounds: Grounds | None,
        *,
        dry_run: bool,
        now: datetime,
    ) -> None:
        self._book, self._episode, self._seen, self._window = book, episode, seen, window
        self._grounds = grounds
        self._dry_run, self._now = dry_run, now

    def __call__(self, tx: Tx) -> Found:
        episode = self._episode
        if tx.order(episode.key) is not None or self._known(tx):
            return self._found("known")
        if self._dry_run:
            return self._found("would order")
        put = self._book.put(tx, episode, self._seen, self._window, self._now, self._grounds)
        tx.note("replay.applied", episode.key, self._now, episode.failure_mode)
        return self._found("ordered" if tx.order(put.key) is not None else "noted")

    def _known(self, tx: Tx) -> bool:
        mine = self._episode
        return any(
            other.family == mine.family
            and other.decision is not None  # a candidate that was dropped was never confirmed
            and other.started_at - NEAR <= mine.last_at
            and mine.started_at <= (other.closed_at or other.last_at) + NEAR
            for other in tx.episodes(mine.asset, since=mine.started_at - timedelta(days=30), limit=1000)
        )

    def _found(self, verdict: str) -> Found:
        mine = self._episode
        return Found(mine.key, mine.asset, mine.failure_mode, mine.started_at, mine.peak_confidence, verdict)


async def _recorded(store: Store, span: Span) -> AsyncIterator[tuple[int, Batch]]:
    after = 0
    while True:
        rows = await store.read(_Look(span, after))
        for row in rows:
            yield row
        if len(rows) < _READ:
            return
        after = rows[-1][0]


class _Look:
    def __init__(self, span: Span, after: int) -> None:
        self._span, self._after = span, after

    def __call__(self, tx: Tx) -> list[tuple[int, Batch]]:
        return tx.batches(self._span.since, self._span.until, after=self._after, limit=_READ)


class Redelivery(msgspec.Struct, frozen=True):
    """One order that a delivery replay looked at."""

    key: str
    asset: str | None
    failure_mode: str
    state: str
    verdict: str


async def deliver(
    store: Store, span: Span, *, dry_run: bool, now: datetime, wake: Callable[[], None]
) -> list[Redelivery]:
    """Put recorded orders through delivery again.

    What is delivered stays (`delivered already`), what waits is left to its lane, what is uncertain is
    left to reconciliation, and what was taken back stays so; what is parked waits again, with the same key, and so
    does a change that the ERP refused.
    """

    def step(tx: Tx) -> list[Redelivery]:
        done = []
        for stored in tx.orders_between(span.since, span.until, span.asset):
            verdict, state = _verdict(stored), str(stored.delivery.state)
            if verdict in (_SEND, _CHANGE) and not dry_run and send_again(tx, stored.order.key, now).again:
                verdict = "waits again"
            done.append(Redelivery(stored.order.key, stored.order.asset, stored.order.failure_mode, state, verdict))
        return done

    rows = await (store.read(step) if dry_run else store.write(step))
    wake()
    return rows


_SEND, _CHANGE = "would be sent", "would be changed"
_REST = {
    DeliveryState.DELIVERED: "delivered already",
    DeliveryState.WAITING: "waits in its lane",
    DeliveryState.SENDING: "is being sent",
    DeliveryState.UNCERTAIN: "is being reconciled",
    DeliveryState.WITHDRAWN: "taken back",
}


def _verdict(stored: StoredOrder) -> str:
    way = stored.delivery
    if way.state is DeliveryState.PARKED:
        return _SEND
    if way.state is DeliveryState.DELIVERED and stored.erp_state in OVER:
        return "has ended in the ERP"
    if way.state is DeliveryState.DELIVERED and may_go_again(stored):
        return _CHANGE
    return _REST[way.state]
