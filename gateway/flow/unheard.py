"""Reports that an order took in too late: the ERP ended it before it had their words, and they are concluded anew."""

from datetime import datetime

from gateway.core.delivery import DeliveryState
from gateway.core.episode import Episode
from gateway.core.ports import StoredOrder, Tx
from gateway.core.status import OVER
from gateway.flow.dossier import opened

_LONGEST = 200


def free(tx: Tx, key: str, at: datetime) -> None:
    """Free the reports behind the versions of an order that the ERP never had, when it has ended the order.

    They wait to be concluded once more: the trouble that they tell of is a new one. Once per order that ended so,
    for a freed report leads to it no longer. What is on its way, or in doubt, is settled first. What we took back, or
    a person called off, is over with its reports.
    """
    stored = tx.order(key)
    if stored is None or stored.erp_state not in OVER or stored.delivery.withdraw or _under_way(stored):
        return
    sent, episode = stored.delivery.sent, tx.episode(key)
    if sent is None or (episode is not None and _called_off(episode, stored)):
        return
    for version in range(sent + 1, stored.delivery.version + 1):
        name = _report_of(tx, key, version)
        if name is not None and tx.conclude_again(name, key):
            tx.note("report.again", name, at, f"order {key} had ended before the ERP had these words"[:_LONGEST])


def _under_way(stored: StoredOrder) -> bool:
    return stored.delivery.sending is not None and stored.delivery.state is not DeliveryState.DELIVERED


def _called_off(episode: Episode, stored: StoredOrder) -> bool:
    """Say whether a person ruled on it, and not the ERP by the end that it gave."""
    by_code, by_end = bool(stored.closing_code), stored.erp_state == "cancelled"
    return (episode.ruled == "false" and not by_code) or (episode.ruled == "cancelled" and not by_end)


def _report_of(tx: Tx, key: str, version: int) -> str | None:
    """Give the report that a version of an order stands on, when it stands on one."""
    order = tx.order_version(key, version)
    document = tx.blob(order.capsule) if order is not None and order.capsule is not None else None
    known = opened(document[0]) if document is not None else None
    return known.told.report if known is not None and known.told is not None else None
