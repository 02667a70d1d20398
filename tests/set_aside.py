"""A store in which something of every kind was set aside, for the tests that put it back."""

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from gateway.core.delivery import ProductionOrder
from gateway.core.event import Event
from gateway.core.order import WorkOrder
from gateway.core.ports import Claimed, Tx
from gateway.core.production import HandoverState
from gateway.core.report import Extraction, QualityReport
from gateway.flow.settle import delivered, parked, refused
from tests.fakes import batch, value
from tests.integration.edge_rig import work_order

NOW = datetime.now(UTC)
LEASE = timedelta(seconds=30)
FRESH, PARKED, THERE, BEHIND = (work_order(name) for name in ("fresh", "parked", "there", "behind"))


def claimed(tx: Tx, order: WorkOrder) -> Claimed:
    [one] = [one for one in tx.claim("main", NOW, LEASE, 99) if one.order.key == order.key]
    return one


def fill(tx: Tx) -> None:
    """One order of each kind: parked, delivered, behind (its change was refused), and one of which nothing left."""
    for order in (PARKED, THERE, BEHIND):
        assert tx.put_order(order, "main", NOW)
        one = claimed(tx, order)
        result = parked(one.delivery, "=unknown equipment", NOW) if order is PARKED else delivered(
            one.delivery, f"WO-{order.source.id}", NOW
        )  # fmt: skip
        assert tx.settle(one.delivery, result.delivery)
        tx.note(result.event, order.key, NOW, result.detail)
    assert tx.change_order(msgspec.structs.replace(BEHIND, version=2, priority=1, title="Worse"), NOW)
    one = claimed(tx, BEHIND)
    no = refused(one.delivery, "work has begun", NOW)
    assert tx.settle(one.delivery, no.delivery)
    tx.note(no.event, BEHIND.key, NOW, no.detail)
    assert tx.put_order(FRESH, "main", NOW)


def event(name: str) -> Event:
    return Event(
        id=name,
        name="order.made",
        source="urn:andon:SZ1",
        subject=PARKED.key,
        time=NOW,
        sequence=1,
        data=b'{"key":"x"}',
    )


def fill_all(tx: Tx) -> None:
    """Something set aside of every kind."""
    fill(tx)
    order = ProductionOrder(order_id="PO-1", material_code="MAT", quantity=1, due_date="2026-12-01")
    tx.put_production_order(order, NOW, "erp.press")
    held = tx.claim_production("erp.press", NOW, LEASE)
    assert held is not None and held.handover is not None
    way = held.handover
    no = msgspec.structs.replace(way, state=HandoverState.PARKED, reason="no such recipe", updated_at=NOW)
    assert tx.settle_production(way, no)
    for name in ("evt_1", "evt_2"):
        tx.put_event("mes", event(name), NOW)
        [one] = tx.claim_events("mes", NOW, LEASE, 1)
        tx.settle_event(one, msgspec.structs.replace(one, state="PARKED", reason="410 Gone", updated_at=NOW))
    for name, why in (("r-failed", ("failed", "ValueError")), ("r-unsure", ("asset_unresolved",))):
        tx.take_report(QualityReport(id=name, text="张伟 says pump", reported_at=NOW), NOW)
        read = Extraction(id=name, intent=None, fine_intent=None, asset=None, why=why, masked="▇▇ says pump")
        tx.read_report(read, None)
    for number in range(2):
        tx.append(batch(number, number, value("M-07", "speed", number, 1.0)))


def put_aside(tx: Any) -> None:
    tx.set_aside({1: "MsgpackError: truncated"}, NOW)


ALL = {
    f"order:{PARKED.key}", f"change:{BEHIND.key}", "production:PO-1", "event:mes/evt_1", "event:mes/evt_2",
    "report:r-failed", "batch:1",
}  # fmt: skip
