"""Rulings: a person's word, or the ERP's, on an order, and what it makes of the trouble behind it."""

from collections.abc import Collection
from datetime import datetime
from typing import Literal

from msgspec.structs import replace

from gateway.core.episode import Decision, Episode, EpisodeState
from gateway.core.ports import StoredOrder, Tx
from gateway.flow.episode import closed, told_before

Ruling = Literal["false", "cancelled"]

REPAIRED = "repaired/"
"""Under this name and the asset's stands that what was normal for the asset has to be learnt anew."""

_LONGEST = 200
_MANY = 10_000


def rule(tx: Tx, key: str, ruling: Ruling, at: datetime, why: str) -> None:
    """Keep what was ruled on an order with its episode, once; the first ruling stays.

    A person's trouble is over with it. A machine's, and one that a machine joined to it, lives on in silence while
    the machine goes on showing it: who said that it is none must not get the same order again at once.
    """
    episode = tx.episode(key)
    if episode is None or episode.ruled:
        return
    for joined in _joined(tx, episode):
        tx.put_episode(replace(joined, ruled=ruling))
    silent = episode.source == "machine" and episode.state is EpisodeState.OPEN
    tx.put_episode(replace(episode, ruled=ruling) if silent else closed(episode, at, ruling))
    tx.note("episode.ruled", key, at, f"{ruling}: {why}"[:_LONGEST])
    if not silent and episode.state is not EpisodeState.CLOSED:
        tx.note("episode.closed", key, at, why[:_LONGEST])


def by_erp(tx: Tx, order: StoredOrder, at: datetime, false_codes: Collection[str] = ()) -> None:
    """End the episode of an order that the ERP has ended at `at`: what shows itself after that is a new trouble.

    A closing code that means a false alarm, and an order that was cancelled there, are rulings. A machine whose order
    was carried out has been repaired: what is normal for it is learnt anew.
    """
    key, code = order.order.key, order.closing_code or ""
    episode = tx.episode(key)
    if episode is None or order.delivery.withdraw:
        return  # we took it back ourselves, and what that means was ruled then
    if code and code.casefold() in {each.casefold() for each in false_codes}:
        rule(tx, key, "false", at, f"by the ERP: {code}")
    elif order.erp_state == "cancelled":
        rule(tx, key, "cancelled", at, f"by the ERP: {code or order.erp_status}")
    elif episode.state is not EpisodeState.CLOSED:
        tx.put_episode(closed(episode, at))
        tx.note("episode.closed", key, at, f"by the ERP: {code or order.erp_status}"[:_LONGEST])
        if order.order.asset and order.order.work_type == "maintenance" and order.order.activity != "inspection":
            tx.put(REPAIRED + order.order.asset, at.isoformat().encode())


def _joined(tx: Tx, episode: Episode) -> list[Episode]:
    """Give the open machine's troubles that stand behind a person's order."""
    if episode.source == "machine" or not episode.asset:
        return []
    return [
        other
        for other in tx.episodes(episode.asset, live=True, limit=_MANY)
        if other.decision is Decision.JOINED and other.state is EpisodeState.OPEN and not other.ruled
        if told_before([episode], other) is not None
    ]
