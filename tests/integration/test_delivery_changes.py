"""Orders that grow or prove false, against a real Tryton: changed and taken back, and who has begun there wins."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from time import monotonic

import msgspec
import pytest

from gateway.core.delivery import DeliveryState
from gateway.core.order import WorkOrder
from gateway.core.ports import Store, StoredOrder
from gateway.store.settings import Settings as StoreSettings
from tests.erp_process import make_order
from tests.tryton import Tryton, running_tryton
from tests.tryton_delivery import adapter, delivered, delivering, now, until
from tests.tryton_link import TrytonPlant

pytestmark = pytest.mark.peer
CHANGE = {"method": "PUT", "path": "/api/orders"}


@pytest.fixture(scope="module")
def tryton() -> Iterator[Tryton]:
    with running_tryton() as found:
        yield found


@pytest.fixture
async def plant(tryton: Tryton) -> AsyncIterator[TrytonPlant]:
    async with TrytonPlant(tryton).open() as plant:
        yield plant


@pytest.fixture
async def store(tmp_path: Path, tryton: Tryton, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Store]:
    monkeypatch.setenv("TEST_TRYTON_KEY", tryton.facts["key"])
    store = StoreSettings(path=str(tmp_path)).open()
    yield store
    await store.close()


def worse(order: WorkOrder, version: int, **fields: object) -> WorkOrder:
    return msgspec.structs.replace(order, version=version, **{"title": f"version {version}", **fields})


async def seen(store: Store, key: str, state: DeliveryState, event: str) -> StoredOrder:
    """Wait until an order is in a state and its audit trail has an event."""
    deadline = monotonic() + 30
    while True:
        held, lines = await store.read(lambda tx: (tx.order(key), list(tx.audit())))
        assert held is not None
        told = [line.event for line in lines if line.subject == key]
        if held.delivery.state is state and event in told:
            return held
        assert monotonic() < deadline, (held.delivery, told)
        await asyncio.sleep(0.03)


async def audited(store: Store, key: str, event: str) -> list[str]:
    lines = await store.read(lambda tx: list(tx.audit()))
    return [line.detail for line in lines if line.subject == key and line.event == event]


async def test_what_grew_while_it_was_sent_is_amended_through_lost_replies(
    store: Store, plant: TrytonPlant, tryton: Tryton
) -> None:
    order = make_order("grows", asset="GROW")
    plant.faults(
        {"kind": "lost_reply", "count": 1, **CHANGE},
        {"kind": "error_before", "count": 1, **CHANGE},
        {"kind": "slow", "seconds": 0.3, "count": 1, "method": "POST", "path": "/api/orders"},
    )
    async with delivering(store, adapter(tryton, plant.url, 1.0), [order]):
        await until(lambda: plant.state()["faults"][2]["fired"] == 1)
        for number in (2, 3):
            assert await store.write(lambda tx, number=number: tx.change_order(worse(order, number), now()))
        held = await seen(store, order.key, DeliveryState.DELIVERED, "order.amended")
    assert held.delivery.sent == held.delivery.version == 3
    [row] = tryton.orders_in_database(order.key)
    assert row["title"].endswith("version 3")


async def test_a_change_never_overwrites_a_planner_and_names_what_was_left(
    store: Store, plant: TrytonPlant, tryton: Tryton
) -> None:
    order = make_order("planned", asset="PLAN")
    async with delivering(store, adapter(tryton, plant.url, 1.0), [order]):
        await delivered(store, [order])
        [row] = tryton.orders_in_database(order.key)
        title = f"{order.key} as the planner wants it"
        tryton.ask("PUT", f"quality.alert/{row['id']}", {"title": title})
        grown = worse(order, 2, description="it grew")
        assert await store.write(lambda tx: tx.change_order(grown, now()))
        await seen(store, order.key, DeliveryState.DELIVERED, "order.amended")
    [row] = tryton.orders_in_database(order.key)
    assert row["title"] == title and "it grew" in row["description"]
    [detail] = await audited(store, order.key, "order.amended")
    assert detail == "version 2, left as a planner has them: title"


async def test_a_false_alarm_is_taken_back_unless_somebody_has_begun(
    store: Store, plant: TrytonPlant, tryton: Tryton
) -> None:
    orders = [make_order(f"false {name}", asset=name) for name in ("untouched", "begun")]
    async with delivering(store, adapter(tryton, plant.url, 1.0), orders):
        await delivered(store, orders)
        [row] = tryton.orders_in_database(orders[1].key)
        tryton.ask("POST", f"quality.alert/{row['id']}/process", {})
        plant.faults({"kind": "lost_reply", "count": 1, **CHANGE})
        for order in orders:
            assert await store.write(lambda tx, key=order.key: tx.withdraw_order(key, "a false alarm", now()))
        await seen(store, orders[0].key, DeliveryState.WITHDRAWN, "order.withdrawn")
        begun = await seen(store, orders[1].key, DeliveryState.DELIVERED, "order.not_withdrawn")
    assert begun.delivery.reason.startswith("not taken back") and not begun.delivery.withdraw
    states = [row["state"] for order in orders for row in tryton.orders_in_database(order.key)]
    assert states == ["deferred", "processing"]  # an alert that is taken back is deferred


async def test_what_is_withdrawn_before_it_left_never_reaches_the_erp(
    store: Store, plant: TrytonPlant, tryton: Tryton
) -> None:
    first, second = (make_order(f"early {n}", asset="EARLY") for n in (1, 2))
    plant.faults({"kind": "slow", "seconds": 0.3, "count": 1, "method": "POST", "path": "/api/orders"})
    async with delivering(store, adapter(tryton, plant.url, 1.0), [first, second]):
        await until(lambda: plant.state()["faults"][0]["fired"] == 1)  # the second one waits behind it
        assert await store.write(lambda tx: tx.withdraw_order(second.key, "a false alarm", now()))
        await delivered(store, [first])
    held = await store.read(lambda tx: tx.order(second.key))
    assert held is not None and held.delivery.state is DeliveryState.WITHDRAWN
    assert tryton.orders_in_database(second.key) == []


async def test_what_is_withdrawn_in_doubt_is_taken_back_when_it_is_found(
    store: Store, plant: TrytonPlant, tryton: Tryton
) -> None:
    there, absent = (make_order(f"doubt {name}", asset=name) for name in ("there", "absent"))
    plant.faults(
        {"kind": "lost_reply", "reference": there.key, "count": 1, "method": "POST", "path": "/api/orders"},
        {"kind": "error_before", "reference": absent.key, "count": 1, "method": "POST", "path": "/api/orders"},
    )
    async with delivering(store, adapter(tryton, plant.url, 0.4), [there, absent]):
        await until(lambda: all(fault["fired"] == 1 for fault in plant.state()["faults"]))
        for order in (there, absent):
            await store.write(lambda tx, key=order.key: tx.withdraw_order(key, "a false alarm", now()))
        for order in (there, absent):
            await seen(store, order.key, DeliveryState.WITHDRAWN, "order.withdrawn")
    assert [row["state"] for row in tryton.orders_in_database(there.key)] == ["deferred"]
    assert tryton.orders_in_database(absent.key) == []


async def test_a_gateway_that_stops_during_a_change_goes_on_with_it(
    store: Store, plant: TrytonPlant, tryton: Tryton
) -> None:
    order = make_order("stopped", asset="STOP")
    async with delivering(store, adapter(tryton, plant.url, 1.0), [order]):
        await delivered(store, [order])
        plant.faults({"kind": "hang", "seconds": 30, "count": 1, **CHANGE})
        assert await store.write(lambda tx: tx.change_order(worse(order, 2), now()))
        await until(lambda: plant.state()["faults"][0]["fired"] == 1)
    async with delivering(store, adapter(tryton, plant.url, 1.0), []):
        await seen(store, order.key, DeliveryState.DELIVERED, "order.amended")
    [row] = tryton.orders_in_database(order.key)
    assert row["title"].endswith("version 2")
