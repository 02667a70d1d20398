"""Orders of two kinds over one connection: delivered, grown, withdrawn and followed, and the flow does not know it."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from time import monotonic
from typing import Any

import msgspec
import pytest

from connectors.erp.odoo import Settings as Odoo
from connectors.erp.sap import Settings as Sap
from gateway.core.delivery import DeliveryState
from gateway.core.ports import ErpAdapter, Store, StoredOrder
from gateway.core.units import decode
from gateway.store.settings import Settings as StoreSettings
from tests.erp_process import SECRET, Erp, make_order, running_erp
from tests.tryton_delivery import delivered, delivering, now

KEY = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture(scope="module")
def process() -> Iterator[Erp]:
    with running_erp("--api-key", KEY) as erp:
        erp.turn("odoo", enterprise=True)
        erp.turn("sap", actions={"CompleteMaintNotification": "NOCO", "SetMaintOrdStsToMrkdForDeltn": "DLFL"})
        yield erp


@pytest.fixture
async def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Store]:
    monkeypatch.setenv("TEST_KEY", KEY)
    monkeypatch.setenv("TEST_PASSWORD", SECRET)
    store = StoreSettings(path=str(tmp_path)).open()
    yield store
    await store.close()


def odoo(plant: Erp) -> ErpAdapter:
    row = {"name": "main", "base_url": plant.url, "api_key": {"env": "TEST_KEY"}, "timeout": "5s"}
    return msgspec.convert({**row, "quality": {"cancel": {"stage_id": 5}}}, Odoo, dec_hook=decode).open()


def sap(plant: Erp) -> ErpAdapter:
    row = {"name": "main", "base_url": plant.url, "timeout": "5s", "settle": "1s"}
    who = {"user": plant.ready["client_id"], "password": {"env": "TEST_PASSWORD"}}
    return msgspec.convert({**row, **who, "defects": {"delete": True}}, Sap, dec_hook=decode).open()


async def until(store: Store, key: str, seen: Callable[[StoredOrder], bool]) -> StoredOrder:
    deadline = monotonic() + 30
    while True:
        held = await store.read(lambda tx: tx.order(key))
        assert held is not None
        if seen(held):
            return held
        assert monotonic() < deadline, held.delivery
        await asyncio.sleep(0.02)


def texts(plant: Erp, key: str) -> str:
    rows: list[dict[str, Any]] = [row["order"] for row in plant.state()["orders"] if row["reference"] == key]
    assert len(rows) == 1
    return str(rows[0])


@pytest.mark.parametrize(("make", "quality"), [(odoo, "quality.alert,"), (sap, "A_Defect,$")], ids=["odoo", "sap"])
async def test_orders_of_two_kinds_share_a_connection(
    store: Store, process: Erp, make: Callable[[Erp], ErpAdapter], quality: str
) -> None:
    machine = make_order(f"{quality} machine", asset="M-01")
    goods = make_order(f"{quality} goods", asset="M-01", work_type="quality")
    false = make_order(f"{quality} false", asset="M-02", work_type="quality")
    async with delivering(store, make(process), [machine, goods, false]):
        numbers = await delivered(store, [machine, goods, false])
        for order in (machine, goods):
            grown = msgspec.structs.replace(order, version=2, title="it grew")
            assert await store.write(lambda tx, grown=grown: tx.change_order(grown, now()))
            await until(store, order.key, lambda held: held.delivery.sent == 2)
        assert await store.write(lambda tx: tx.withdraw_order(false.key, "a false alarm", now()))
        await until(store, false.key, lambda held: held.delivery.state is DeliveryState.WITHDRAWN)
    assert [number.startswith(quality) for number in (numbers[machine.key], numbers[goods.key])] == [False, True]
    assert "it grew" in texts(process, machine.key) and "it grew" in texts(process, goods.key)
    left = [row["order"] for row in process.state()["orders"] if row["reference"] == false.key]
    assert [row.get("stage_id") for row in left] == ([5] if make is odoo else [])
