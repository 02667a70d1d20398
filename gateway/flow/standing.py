"""Orders that stand after all: told of while they are taken back, kept by the ERP, or opened there again.

One trouble has at most one order that stands. Evidence of a trouble whose order is being taken back takes the
withdrawal back as long as nothing of it has left. Later nobody knows what the ERP will say: then the new order, the
heir, waits in the lane behind the withdrawal, leaves when that is confirmed, and is given up when it is refused.
"""

from collections.abc import Iterable, Iterator
from datetime import datetime

from msgspec.structs import replace

from gateway.core.capsule import read_plant
from gateway.core.delivery import DeliveryState
from gateway.core.episode import Decision, Episode, EpisodeState
from gateway.core.order import WorkOrder
from gateway.core.ports import StoredOrder, Tx
from gateway.core.status import OVER
from gateway.flow import amend
from gateway.flow.dossier import opened
from gateway.flow.episode import SAME_REPORT, closed, may_be_one, merged, seconded, told_before, witness
from gateway.flow.ruling import REPAIRED

_LONGEST = 200
_WHY = {
    "en": "The same trouble as {key}, which is being worked on.",
    "zh": "与正在处理的 {key} 为同一故障。",
}
_MANY = 10_000


def kept_if_unbegun(tx: Tx, known: Iterable[Episode], at: datetime, who: str) -> tuple[Episode | None, list[Episode]]:
    """Have the order of a trouble that shows itself again stand again, when its withdrawal has not left.

    `known` are the episodes that may be this trouble, `who` says what shows it. Gives the episode that is open again,
    or else those whose withdrawal is under way.
    """
    going = list(_taken_back(tx, known))
    for episode in going:
        if tx.stand_again(episode.key, at):
            tx.note("order.kept", episode.key, at, f"{who} tells of it before its withdrawal has left"[:_LONGEST])
            return reopened(tx, episode, at, "its order was not taken back"), []
    return None, going


def behind(tx: Tx, going: Iterable[Episode], heir: str) -> str | None:
    """Name the heir of the orders that are under way to be taken back; give the lane in which it waits for them."""
    lane = None
    for episode in going:
        stored = tx.order(episode.key)
        lane = lane or (stored.delivery.lane if stored is not None else None)
        tx.put_episode(replace(tx.episode(episode.key) or episode, heir=heir))
    return lane


def overruled(tx: Tx, key: str, at: datetime) -> None:
    """Take a ruling back: the ERP keeps the order, because somebody has begun. The trouble is what it was before.

    Else whoever tells of it next would open a second order beside the one that is being worked on. The heir that
    waits for this is given up, and what it said is said in the order that stands.
    """
    episode, order = tx.episode(key), tx.order(key)
    if episode is None or order is None or order.erp_state in OVER or not (episode.ruled or episode.heir):
        return
    heir = episode.heir
    stands = reopened(tx, episode, at, f"the ERP keeps its order: {episode.ruled or 'the withdrawal'} does not hold")
    if heir:
        _inherit(tx, stands, heir, at)


def opened_again(tx: Tx, order: StoredOrder, at: datetime) -> None:
    """Open the episode of an order that the ERP has opened again; `at` is when it did.

    Whoever tells of the trouble next joins it. What the ERP ruled by its end does not hold, nor that it was repaired.
    An order that we took back stands again: somebody there thinks otherwise. Its heir is given up then. Another order
    about what may be the same trouble stays, and the trail names it.
    """
    key = order.order.key
    episode = tx.episode(key)
    if order.delivery.withdraw and not (order.delivery.state is DeliveryState.WITHDRAWN and tx.stand_again(key, at)):
        return
    if order.ask_at is None and order.asked_at is not None:
        tx.asked(key, None)  # it was over, and asked about no more
    if order.delivery.state is DeliveryState.DELIVERED and (order.delivery.sent or 0) < order.delivery.version:
        tx.redeliver(key, at)  # refused because it was over
    if episode is None or not (episode.ruled or episode.state is EpisodeState.CLOSED):
        return
    repaired = REPAIRED + episode.asset
    if episode.closed_at is not None and tx.get(repaired) == episode.closed_at.isoformat().encode():
        tx.forget(repaired)
    heir, again = episode.heir, replace(episode, last_at=max(episode.last_at, at))
    stands = reopened(tx, again, at, "the ERP has opened its order again")
    if heir:
        _inherit(tx, stands, heir, at)
    for other in _beside(tx, stands):
        tx.note("order.beside", key, at, f"{other} stands too, about what may be the same trouble"[:_LONGEST])


def reopened(tx: Tx, episode: Episode, at: datetime, why: str) -> Episode:
    """Open an episode again, and those that a machine had joined to it, whatever was ruled."""
    ruling = episode.ruled
    live = replace(episode, state=EpisodeState.OPEN, closed_at=None, misses=0)
    stands = replace(live, ruled="", upheld=True, heir="")
    tx.put_episode(stands)
    tx.note("episode.reopened", episode.key, at, why[:_LONGEST])
    if ruling and stands.source == "report" and stands.asset:
        for other in tx.episodes(stands.asset, live=True, limit=_MANY):
            if other.decision is Decision.JOINED and other.ruled == ruling and told_before([stands], other) is not None:
                tx.put_episode(replace(other, ruled=""))
    return stands


def _beside(tx: Tx, stands: Episode) -> list[str]:
    """Give the keys of the other orders that stand about what may be the same trouble."""
    since = stands.started_at - SAME_REPORT
    known = tx.episodes(stands.asset or None, live=True, since=None if stands.asset else since, limit=_MANY)
    others = [other for other in known if other.key != stands.key and other.decision is Decision.ORDER]
    found = [tx.order(other.key) for other in others if may_be_one(stands, other)]
    return [one.order.key for one in found if one is not None and amend.stands(one)]


def _taken_back(tx: Tx, known: Iterable[Episode]) -> Iterator[Episode]:
    """Give the episodes whose order is being taken back and has no heir that stands."""
    for episode in known:
        stored = tx.order(episode.key)
        if stored is None or not stored.delivery.withdraw or stored.erp_state in OVER:
            continue
        heir = tx.order(episode.heir) if episode.heir else None
        if stored.delivery.state is not DeliveryState.WITHDRAWN and (heir is None or not amend.stands(heir)):
            yield episode


def _inherit(tx: Tx, stands: Episode, key: str, at: datetime) -> None:
    """Give an heir up for the order that stands, and say in that what the heir's reports said."""
    heir, order = tx.episode(key), tx.order(key)
    if heir is None or order is None:
        return
    why = _WHY[order.order.language].format(key=stands.key)
    if not tx.withdraw_order(key, why, at):
        return
    tx.note("order.taken_back", key, at, why)
    if heir.source == "report":
        tx.put_episode(closed(heir, at))
    elif stands.source == "report":
        # The machine goes on showing it, and says so in the order that stands by its next window.
        tx.put_episode(replace(heir, decision=Decision.JOINED, said=None))
        stands = seconded(stands, heir)
    else:
        tx.put_episode(replace(closed(heir, at), decision=Decision.JOINED))
        stands = merged(stands, heir)
    if heir.source == "report" or stands.source == "machine":
        tx.note("episode.closed", key, at, f"one with {stands.key}")
    for name in heir.reports:
        told = tx.report(name)
        if told is None or told.extraction is None:
            continue
        stands = stands if name in stands.reports else witness(stands, told.report)
        if told.order_key == key:
            tx.read_report(told.extraction, stands.key)
    tx.put_episode(stands)
    for version in range(1, order.order.version + 1):
        if (said := tx.order_version(key, version)) is not None:
            _say_again(tx, stands, said, at)


def _say_again(tx: Tx, stands: Episode, said: WorkOrder, at: datetime) -> None:
    """Amend the order that stands by the report that a version of another one stood on, if it stood on one."""
    document = tx.blob(said.capsule) if said.capsule is not None else None
    known = opened(document[0]) if document is not None else None
    if known is None or known.told is None:
        return
    told, plant, before = tx.report(known.told.report), tx.blob(known.told.plant.sha256), tx.order(stands.key)
    if told is None or told.extraction is None or plant is None or before is None:
        return
    where, ruled = read_plant(plant[0]), known.told.ruled
    amend.by_report(tx, before.order, stands, told.extraction, told.report, where, known.terms, at, ruled=ruled)
