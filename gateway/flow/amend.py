"""Amending: an order's next version, its evidence and capsule kept, in the transaction that made its trouble grow."""

from datetime import datetime

from gateway.core.asset import Plant
from gateway.core.capsule import Capsule, Grounds, Terms
from gateway.core.diagnosis import Diagnosis
from gateway.core.episode import Episode
from gateway.core.order import WorkOrder
from gateway.core.ports import StoredOrder, Tx
from gateway.core.report import Extraction, QualityReport
from gateway.core.status import OVER
from gateway.core.window import Window
from gateway.flow import grow, seal


def stands(stored: StoredOrder) -> bool:
    """Tell whether an order may still be changed: it is not taken back, and the ERP has not ended it."""
    return not stored.delivery.withdraw and stored.erp_state not in OVER


def by_machine(
    tx: Tx,
    before: WorkOrder,
    episode: Episode,
    seen: Diagnosis,
    window: Window,
    grounds: Grounds | None,
    plant: Plant,
    terms: Terms,
    now: datetime,
) -> bool:
    """Amend an order by what a machine shows; False when there is nothing in it for a planner."""
    if grow.by_machine(before, episode, seen, plant) is None:
        return False
    capsule = seal.shown(tx, before.key, before.version + 1, episode, seen, window, grounds, plant, terms)
    if not _amend(tx, before, capsule, now):
        return False
    tx.pin(before.key, window.journal)
    return True


def by_report(
    tx: Tx,
    before: WorkOrder,
    episode: Episode,
    told: Extraction,
    report: QualityReport,
    plant: Plant,
    terms: Terms,
    now: datetime,
    *,
    ruled: bool,
) -> bool:
    """Amend an order by what one more person tells; False when there is nothing new in it."""
    if grow.by_report(before, told, report, plant) is None:
        return False
    capsule = seal.reported(tx, before.key, before.version + 1, episode, told, report, plant, terms, ruled=ruled)
    return _amend(tx, before, capsule, now)


def _amend(tx: Tx, before: WorkOrder, capsule: Capsule, now: datetime) -> bool:
    after = grow.again(before, capsule, seal.keep(tx, capsule))
    if after is None or not tx.change_order(after, now):
        return False
    fields = ", ".join(field for field in grow.changed(before, after) if field != "capsule")
    tx.note("order.grown", after.key, now, f"version {after.version}: {fields} capsule {after.capsule}")
    return True
