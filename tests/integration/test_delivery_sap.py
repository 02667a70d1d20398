"""An SAP order is made in two steps: what is withdrawn or grows between them leaves no notification behind."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from time import monotonic
from typing import Any

import msgspec
import pytest

from connectors.erp.sap import Settings
from gateway.core.delivery import Delivered, DeliveryState, ErpRef
from gateway.core.ports import ErpAdapter, Store, StoredOrder
from gateway.core.secret import SecretRef
from gateway.core.units import Duration
from gateway.store.settings import Settings as StoreSettings
from tests.erp_process import SECRET, Erp, make_order, running_erp
from tests.tryton_delivery import delivering, now

ROOT = "/sap/opu/odata/sap/"
POST_ORDER = {"method": "POST", "path": f"{ROOT}API_MAINTENANCEORDER;v=0002/MaintenanceOrder"}
LATER = {"kind": "throttle", "retry_after": 0.2, **POST_ORDER}


@pytest.fixture(scope="module")
def process() -> Iterator[Erp]:
    with running_erp() as erp:
        yield erp


@pytest.fixture(params=["accepted", "unsupported"])
def plant(process: Erp, request: pytest.FixtureRequest) -> Erp:
    process.faults()
    process.turn("sap", repeatability=request.param)
    return process


@pytest.fixture(autouse=True)
def _secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_SAP_SECRET", SECRET)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    store = StoreSettings(path=str(tmp_path)).open()
    yield store
    await store.close()


def adapter(plant: Erp) -> ErpAdapter:
    return Settings(
        name="main",
        base_url=plant.url,
        user=plant.ready["client_id"],
        password=SecretRef(env="TEST_SAP_SECRET"),
        timeout=Duration(2.0),
        settle=Duration(0.2),
    ).open()


def notification(plant: Erp, key: str) -> dict[str, Any]:
    [row] = [row for row in plant.state()["orders"] if row["reference"] == f"notification {key}"]
    return {"number": row["number"].removeprefix("WO-"), **row["order"]}


async def half_made(store: Store, plant: Erp, key: str) -> None:
    """Wait until the notification is there, and the order was asked to wait."""
    await plant.until(lambda state: state["commits"].get(f"notification {key}") == 1)
    await until(store, key, lambda held: held.delivery.state is DeliveryState.WAITING and held.delivery.attempt == 1)


async def until(store: Store, key: str, seen: Any) -> StoredOrder:
    deadline = monotonic() + 20
    while True:
        held = await store.read(lambda tx: tx.order(key))
        assert held is not None
        if seen(held):
            return held
        assert monotonic() < deadline, held.delivery
        await asyncio.sleep(0.02)


async def test_what_is_withdrawn_between_notification_and_order_leaves_no_notification_open(
    store: Store, plant: Erp
) -> None:
    order = make_order(f"half withdrawn {plant.state()['requests']}")
    plant.faults(LATER)
    async with delivering(store, adapter(plant), [order]):
        await half_made(store, plant, order.key)
        assert await store.write(lambda tx: tx.withdraw_order(order.key, "a false alarm", now()))
        await until(store, order.key, lambda held: held.delivery.state is DeliveryState.WITHDRAWN)
    assert notification(plant, order.key)["ConcatenatedActiveSystStsName"] == "NOCO"
    assert plant.commits(order.key) == 0


async def test_what_grows_between_notification_and_order_grows_in_both(store: Store, plant: Erp) -> None:
    order = make_order(f"half grown {plant.state()['requests']}")
    grown = msgspec.structs.replace(order, version=2, title="it grew", priority=1)
    plant.faults(LATER)
    async with delivering(store, adapter(plant), [order]):
        await half_made(store, plant, order.key)
        assert await store.write(lambda tx: tx.change_order(grown, now()))
        plant.faults()
        held = await until(store, order.key, lambda held: held.delivery.sent == 2)
    assert held.delivery.state is DeliveryState.DELIVERED
    [made] = [row["order"] for row in plant.state()["orders"] if row["reference"] == order.key]
    told = notification(plant, order.key)
    assert (made["MaintenanceOrderDesc"], told["NotificationText"]) == ("it grew", "it grew")
    assert (made["MaintPriority"], told["MaintPriority"]) == ("1", "1")


async def test_a_notification_that_somebody_works_on_stays_and_is_named(store: Store, plant: Erp) -> None:
    order = make_order(f"half begun {plant.state()['requests']}")
    plant.faults(LATER)
    async with delivering(store, adapter(plant), [order]):
        await half_made(store, plant, order.key)
        number = notification(plant, order.key)["number"]
        plant.turn("sap", edit={"number": number, "ConcatenatedActiveSystStsName": "NOPR"})
        assert await store.write(lambda tx: tx.withdraw_order(order.key, "a false alarm", now()))
        held = await until(store, order.key, lambda held: held.delivery.state is DeliveryState.PARKED)
    assert number in held.delivery.reason and "somebody has started" in held.delivery.reason
    assert notification(plant, order.key)["ConcatenatedActiveSystStsName"] == "NOPR"


async def test_nothing_is_taken_back_of_an_order_that_was_never_begun(plant: Erp) -> None:
    erp = adapter(plant)
    order = make_order(f"never begun {plant.state()['requests']}")
    told = await erp.cancel(ErpRef(order.key, ""), order, "a false alarm")
    assert isinstance(told, Delivered) and told.ref.number == ""
    await erp.close()
