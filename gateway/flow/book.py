"""The book: what a diagnosis makes of the troubles of an asset, and of the orders behind them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from msgspec.structs import replace

from gateway.core.asset import Asset, Plant
from gateway.core.capsule import Grounds, Terms
from gateway.core.diagnosis import Diagnosis, Fault
from gateway.core.episode import Decision, Episode, EpisodeState
from gateway.core.order import business_key
from gateway.core.ports import Tx
from gateway.core.window import Window
from gateway.flow import amend, grow, policy, seal, standing
from gateway.flow.episode import SAME_REPORT, Rules, closed, fold, merged, ruled_before, seconded, told_before
from gateway.flow.false_alarm import lapsed

_MANY = 10_000


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
        if decision is Decision.ORDER and episode.decision is not Decision.ORDER:
            return self._ordered(tx, episode, seen, window, now, grounds)
        if decision is not episode.decision:
            tx.note("episode.decided", episode.key, now, f"{decision} {episode.failure_mode}")
        return self._grown(tx, replace(episode, decision=decision), key, seen, window, now, grounds)

    def _ordered(
        self, tx: Tx, episode: Episode, seen: Diagnosis, window: Window, now: datetime, grounds: Grounds | None
    ) -> Episode:
        """Order a trouble. One whose order is being taken back goes on with that, as long as it can be kept."""
        again, going = standing.kept_if_unbegun(
            tx, self._ruled(tx, episode), now, f"the machine ({episode.failure_mode})"
        )
        if again is not None and again.source == "machine":
            one = self._one(tx, again, episode, now)
            return self._grown(tx, one, one.key, seen, window, now, grounds)
        if again is not None:  # a person told of it first
            return self._opened(tx, episode, seen, window, now, grounds)
        tx.note("episode.decided", episode.key, now, f"{Decision.ORDER} {episode.failure_mode}")
        episode = replace(episode, decision=Decision.ORDER)
        order = seal.of_episode(tx, episode, seen, window, grounds, self.plant, self.terms)
        if tx.put_order(order, self.erp, now, standing.behind(tx, going, order.key)):
            tx.pin(order.key, window.journal)
            tx.note("order.made", order.key, now, f"machine {order.failure_mode} capsule {order.capsule}")
        return replace(episode, said=grow.said(episode, seen.end))

    def _grown(
        self,
        tx: Tx,
        episode: Episode,
        key: str,
        seen: Diagnosis,
        window: Window,
        now: datetime,
        grounds: Grounds | None,
    ) -> Episode:
        """Have the order of this key grow with a trouble, as far as it is ordered and has something new to say."""
        ordered = episode.decision in (Decision.ORDER, Decision.JOINED)
        if not ordered or seen.fault is Fault.HEALTHY or not grow.speaks(episode, seen.end):
            return episode
        stored = tx.order(key)
        if stored is not None and not amend.stands(stored):
            return self._ended(tx, episode, key, seen.end)
        if stored is not None:
            amend.by_machine(tx, stored.order, episode, seen, window, grounds, self.plant, self.terms, now)
        return replace(episode, said=grow.said(episode, seen.end))

    @staticmethod
    def _ruled(tx: Tx, episode: Episode) -> list[Episode]:
        """Give the troubles that somebody ruled on lately and that this one goes on with."""
        since = episode.started_at - SAME_REPORT
        return ruled_before(tx.episodes(episode.asset, since=since, limit=_MANY), episode)

    @staticmethod
    def _one(tx: Tx, first: Episode, more: Episode, now: datetime) -> Episode:
        """Make one trouble of two: the first goes on, whose order stands."""
        tx.put_episode(replace(closed(more, more.last_at), decision=Decision.JOINED))
        tx.note("episode.closed", more.key, now, f"one with {first.key}")
        return merged(first, more)

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
