"""An ERP that is away for long leaves one line in the trail of an order, which says how often it was tried."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from connectors.erp.rest import Settings
from gateway.core.delivery import DeliveryState
from gateway.core.ports import Store
from gateway.core.secret import SecretRef
from gateway.flow.deliver import Deliverer
from gateway.flow.patience import Patience
from gateway.flow.settle import Policy
from tests.erp_process import SECRET, Erp, make_order, running_erp

ORDER = make_order("told once")


@pytest.fixture
def plant() -> Iterator[Erp]:
    with running_erp() as erp:
        yield erp


async def test_a_reason_that_lasts_is_told_once_and_its_count_with_the_end(
    store: Store, plant: Erp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEST_ERP_SECRET", SECRET)
    erp = Settings(
        name="main",
        base_url=plant.url,
        token_url=plant.ready["token_url"],
        client_id=plant.ready["client_id"],
        client_secret=SecretRef(env="TEST_ERP_SECRET"),
        audience="erp",
        idempotency="header",
        fields_in="order",
    ).open()
    clock = [datetime(2026, 11, 21, 8, 0, tzinfo=UTC)]
    plant.faults({"kind": "throttle", "method": "POST", "count": 5, "retry_after": 1})
    await store.write(lambda tx: tx.put_order(ORDER, "main", clock[0]))
    reasons = []
    for _ in range(6):
        clock[0] += timedelta(minutes=2)
        patience = Patience(lambda: clock[0], timedelta(seconds=30))
        await Deliverer(store, erp, lambda: clock[0], asyncio.Event(), Policy(), patience).step()
        held = await store.read(lambda tx: tx.order(ORDER.key))
        assert held is not None
        reasons.append(held.delivery.reason)
    await erp.close()
    why = reasons[0]
    assert reasons == [why, *(f"{why} ({times} times)" for times in (2, 3, 4, 5)), ""]
    assert held.delivery.state is DeliveryState.DELIVERED
    trail = await store.read(lambda tx: [(line.event, line.detail) for line in tx.audit_of(ORDER.key)])
    assert sorted(event for event, _ in trail) == ["order.delivered", "order.waiting"]
    assert dict(trail)["order.delivered"].endswith(f"; before that 5 times: {why}")
