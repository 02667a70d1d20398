"""Outbox, doubt and sweep against a real Tryton, which knows no key for repeating: one trouble, one order."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import monotonic

import pytest

from connectors.erp.tryton import Settings
from gateway.core.order import WorkOrder
from gateway.core.ports import ErpAdapter, Store, Tx
from gateway.core.secret import SecretRef
from gateway.core.units import Duration
from gateway.flow.deliver import Deliverer
from gateway.flow.patience import Patience
from gateway.flow.reconcile import Reconciler
from gateway.flow.settle import Policy
from gateway.store.settings import Settings as StoreSettings
from tests.erp_process import make_order
from tests.tryton import DATABASE, Tryton, running_tryton
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


def adapter(tryton: Tryton, url: str, settle: float) -> ErpAdapter:
    return Settings(
        name="main",
        base_url=url,
        database=DATABASE,
        key=SecretRef(env="TEST_TRYTON_KEY"),
        company=tryton.facts["company"],
        origin=tryton.facts["origins"]["M-07"],
        timeout=Duration(1.5),
        settle=Duration(settle),
    ).open()


def now() -> datetime:
    return datetime.now(UTC)


@asynccontextmanager
async def delivering(store: Store, erp: ErpAdapter, orders: Sequence[WorkOrder]) -> AsyncIterator[None]:
    """Put the orders, and run delivery and reconciliation as the gateway does."""
    policy = Policy(poll=timedelta(seconds=0.05), longest_wait=timedelta(seconds=1))
    patience, wake = Patience(now, policy.longest_wait, "main"), asyncio.Event()

    def put(tx: Tx) -> None:
        for order in orders:
            tx.put_order(order, "main", now())

    await store.write(put)
    try:
        async with asyncio.TaskGroup() as jobs:
            deliverer = Deliverer(store, erp, now, wake, policy, patience)
            reconciler = Reconciler(store, erp, now, policy, patience)
            tasks = [jobs.create_task(deliverer.run()), jobs.create_task(reconciler.run())]
            yield
            for task in tasks:
                task.cancel()
    finally:
        await erp.close()


async def delivered(store: Store, orders: Sequence[WorkOrder]) -> dict[str, str]:
    """Wait until all are DELIVERED; gives the numbers by key."""
    deadline = monotonic() + 60
    while True:
        held = await store.read(lambda tx: [tx.order(order.key) for order in orders])
        told = [one.delivery for one in held if one is not None]
        if all(str(one.state) == "DELIVERED" for one in told):
            return {one.key: str(one.erp_number) for one in told}
        assert monotonic() < deadline, [(one.state, one.reason) for one in told]
        await asyncio.sleep(0.03)


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


async def test_an_order_that_a_real_erp_makes_too_late_is_told_as_a_duplicate(
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


async def events(store: Store, order: WorkOrder) -> list[str]:
    lines = await store.read(lambda tx: list(tx.audit()))
    return [line.event for line in lines if line.subject == order.key]


def made(tryton: Tryton, orders: Sequence[WorkOrder]) -> int:
    return sum(len(tryton.orders_in_database(order.key)) for order in orders)


async def until(seen: Callable[[], bool]) -> None:
    deadline = monotonic() + 20
    while not seen():
        assert monotonic() < deadline
        await asyncio.sleep(0.02)
