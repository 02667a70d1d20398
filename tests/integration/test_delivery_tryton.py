"""Outbox, doubt and sweep against a real Tryton, which knows no key for repeating: one trouble, one order."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from time import monotonic

import pytest

from gateway.core.order import WorkOrder
from gateway.core.ports import Store
from gateway.store.settings import Settings as StoreSettings
from tests.erp_process import make_order
from tests.tryton import Tryton, running_tryton
from tests.tryton_delivery import adapter, delivered, delivering, events, until
from tests.tryton_link import TrytonPlant

pytestmark = pytest.mark.peer
CREATE = {"method": "POST", "path": "/api/orders"}


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


def storm(name: str, count: int) -> list[WorkOrder]:
    return [make_order(f"{name} {number}", asset=f"{name}-{number % 6}") for number in range(count)]


def assert_exactly_once(tryton: Tryton, orders: Sequence[WorkOrder], numbers: dict[str, str]) -> None:
    """Tryton's own database has each order once, under the number that we hold, in order per asset."""
    place = {}
    for order in orders:
        [row] = tryton.orders_in_database(order.key)
        assert row["number"] == numbers[order.key]
        place[order.key] = row["id"]
    for asset in {order.asset for order in orders}:
        places = [place[order.key] for order in orders if order.asset == asset]
        assert places == sorted(places)


async def test_a_real_erp_without_keys_gets_each_order_once_through_every_fault(
    store: Store, plant: TrytonPlant, tryton: Tryton
) -> None:
    orders = storm("storm", 18)
    plant.faults(
        {"kind": "lost_reply", "probability": 0.25, "count": 4, **CREATE},
        {"kind": "error_after", "probability": 0.2, "count": 2, **CREATE},
        {"kind": "error_before", "probability": 0.15, "count": 2, **CREATE},
        {"kind": "truncated", "probability": 0.15, "count": 1, **CREATE},
        {"kind": "ghost", "probability": 0.2, "count": 1, "seconds": 1.4, **CREATE},
        {"kind": "error_before", "probability": 0.2, "count": 2, "method": "GET"},
        seed=11,
    )
    async with delivering(store, adapter(tryton, plant.url, 1.2), orders):
        numbers = await delivered(store, orders)
    assert sum(fault["fired"] for fault in plant.state()["faults"]) >= 8
    assert_exactly_once(tryton, orders, numbers)


async def test_a_real_erp_that_is_killed_while_orders_come_in_has_each_of_them_once(
    store: Store, tryton: Tryton
) -> None:
    orders = storm("killed", 30)
    async with delivering(store, adapter(tryton, tryton.url, 1.0), orders):
        await until(lambda: made(tryton, orders) >= 8)
        tryton.kill()
        await asyncio.to_thread(tryton.start)
        numbers = await delivered(store, orders)
    assert_exactly_once(tryton, orders, numbers)


async def test_an_order_that_a_real_erp_makes_too_late_is_cancelled_and_told(
    store: Store, plant: TrytonPlant, tryton: Tryton
) -> None:
    order = make_order("ghost", asset="G-1")
    plant.faults({"kind": "ghost", "seconds": 1.6, "count": 1, **CREATE})
    # The settle time was set too short for this ERP: the sweep is what still finds it.
    async with delivering(store, adapter(tryton, plant.url, 0.1), [order]):
        await delivered(store, [order])
        await until(lambda: plant.commits(order.key) == 2)
        deadline = monotonic() + 20
        while "order.duplicate" not in await events(store, order):
            assert monotonic() < deadline
            await asyncio.sleep(0.05)
    rows = tryton.orders_in_database(order.key)
    assert sorted(row["state"] for row in rows) == ["deferred", "open"]  # how an alert of Tryton is taken back
    held = await store.read(lambda tx: tx.order(order.key))
    assert held is not None
    assert [row["number"] for row in rows if row["state"] == "open"] == [held.delivery.erp_number]


async def test_a_planners_copy_of_an_order_is_no_ghost_of_ours(
    store: Store, plant: TrytonPlant, tryton: Tryton
) -> None:
    order = make_order("copied", asset="K-1")
    plant.faults({"kind": "ghost", "seconds": 1.6, "count": 1, **CREATE})
    async with delivering(store, adapter(tryton, plant.url, 0.1), [order]):
        await delivered(store, [order])
        [row] = tryton.orders_in_database(order.key)
        copy = {"title": f"{row['title']} (copy)", "company": row["company"], "origin": row["origin"]}
        tryton.ask("POST", "quality.alert", copy)
        deadline = monotonic() + 20
        while "order.duplicate" not in await events(store, order):
            assert monotonic() < deadline
            await asyncio.sleep(0.05)
    states = {row["title"].endswith("(copy)"): set[str]() for row in tryton.orders_in_database(order.key)}
    for row in tryton.orders_in_database(order.key):
        states[row["title"].endswith("(copy)")].add(row["state"])
    assert states == {True: {"open"}, False: {"open", "deferred"}}


def made(tryton: Tryton, orders: Sequence[WorkOrder]) -> int:
    return sum(len(tryton.orders_in_database(order.key)) for order in orders)
