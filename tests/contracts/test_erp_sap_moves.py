"""SAP: an order stays where it was begun, whatever the settings say now, and a cancelled one never stands for it."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from typing import Any

import msgspec
import pytest

from connectors.erp.sap import Settings
from gateway.core.delivery import Delivered, Outcome, Rejected, Throttled, Uncertain, Unsent
from gateway.core.order import WorkOrder
from gateway.core.ports import ErpAdapter
from gateway.core.units import decode
from tests.erp_planners import AtSap, AtSapQuality
from tests.erp_process import SECRET, Erp, make_order, running_erp

ROOT = "/sap/opu/odata/sap/"
MAINTENANCE = ["API_MAINTNOTIFICATION", "API_MAINTENANCEORDER;v=0002"]
NOTIFICATIONS = f"{ROOT}API_MAINTNOTIFICATION/"
POST_ORDER = {"method": "POST", "path": f"{ROOT}API_MAINTENANCEORDER;v=0002/MaintenanceOrder"}
POST_DEFECT = {"method": "POST", "path": f"{ROOT}API_DEFECT_SRV/A_Defect"}
LATER = {"kind": "throttle", "retry_after": 1, **POST_ORDER}
EVERY: dict[str, Any] = {"work_types": ["maintenance", "quality"], "delete": True}
GOODS: dict[str, Any] = {"work_types": ["quality"]}

Open = Callable[[dict[str, Any] | None], ErpAdapter]


@pytest.fixture(scope="module")
def process() -> Iterator[Erp]:
    with running_erp() as erp:
        yield erp


@pytest.fixture
def plant(process: Erp, monkeypatch: pytest.MonkeyPatch) -> Erp:
    monkeypatch.setenv("TEST_SAP_SECRET", SECRET)
    process.faults()
    process.turn("sap", repeatability="unsupported", services=[*MAINTENANCE, "API_DEFECT_SRV"])
    return process


@pytest.fixture
async def opened(plant: Erp) -> AsyncIterator[Open]:
    """Open adapters by what they say of defects, as a gateway does that is started with other settings."""
    async with AsyncExitStack() as stack:

        def one(defects: dict[str, Any] | None) -> ErpAdapter:
            who = {"user": plant.ready["client_id"], "password": {"env": "TEST_SAP_SECRET"}}
            row = {"name": "main", "base_url": plant.url, "timeout": "1s", "settle": "1s", "defects": defects}
            adapter = msgspec.convert({**row, **who}, Settings, dec_hook=decode).open()
            stack.push_async_callback(adapter.close)
            return adapter

        yield one


async def sent(adapter: ErpAdapter, order: WorkOrder) -> Outcome:
    [told] = await adapter.deliver([order])
    return told


def half(plant: Erp, key: str) -> str:
    [row] = [row for row in plant.state()["orders"] if row["reference"] == f"notification {key}"]
    return f"{int(row['number'].removeprefix('WO-')):012d}"


@pytest.mark.parametrize("defects", [EVERY, GOODS], ids=["every order to defects", "orders about the goods"])
async def test_an_order_in_doubt_in_maintenance_does_not_become_a_defect(
    plant: Erp, opened: Open, defects: dict[str, Any]
) -> None:
    order = make_order(f"moved in doubt {plant.state()['requests']}", work_type="quality")
    plant.faults({"kind": "lost_reply", "count": 1, **POST_ORDER})
    assert isinstance(await sent(opened(None), order), Uncertain)
    now = opened(defects)
    told = await sent(now, order)
    assert isinstance(told, Delivered) and not told.created and told.ref.number.isdecimal()
    assert [ref.number for ref in await now.find(order.key)] == [told.ref.number]
    assert plant.commits(order.key) == 1


@pytest.mark.parametrize("defects", [EVERY, GOODS], ids=["every order to defects", "orders about the goods"])
async def test_an_order_that_is_half_made_in_maintenance_is_refused_by_its_notification(
    plant: Erp, opened: Open, defects: dict[str, Any]
) -> None:
    order = make_order(f"moved half {plant.state()['requests']}", work_type="quality")
    plant.faults(LATER)
    assert isinstance(await sent(opened(None), order), Throttled)
    plant.faults()
    number, now = half(plant, order.key), opened(defects)
    told = await sent(now, order)
    assert isinstance(told, Rejected) and f"notification {number}" in told.reason
    assert plant.commits(order.key) == 0
    # A person who has completed it sends the order again.
    plant.turn("sap", edit={"number": number, "ConcatenatedActiveSystStsName": "NOCO"})
    again = await sent(now, order)
    assert isinstance(again, Delivered) and again.created and again.ref.number.startswith("A_Defect,")


async def test_a_half_made_order_is_finished_where_it_was_begun_while_orders_go_there(plant: Erp, opened: Open) -> None:
    order = make_order(f"finished {plant.state()['requests']}")
    plant.faults(LATER)
    assert isinstance(await sent(opened(None), order), Throttled)
    plant.faults()
    told = await sent(opened(GOODS), order)
    assert isinstance(told, Delivered) and told.ref.number.isdecimal()
    assert (plant.commits(f"notification {order.key}"), plant.commits(order.key)) == (1, 1)


async def test_a_maintenance_that_no_order_goes_to_need_not_be_there(plant: Erp, opened: Open) -> None:
    goods, all_of_them = opened(GOODS), opened(EVERY)
    kinds = ("none is there", "none for this user")
    for kind in kinds:
        plant.turn("sap", services=["API_DEFECT_SRV"] if kind == kinds[0] else [*MAINTENANCE, "API_DEFECT_SRV"])
        plant.faults(*([{"kind": "forbidden", "path": NOTIFICATIONS}] if kind == kinds[1] else []))
        first = make_order(f"{kind}, all {plant.state()['requests']}")
        made = await sent(all_of_them, first)
        assert isinstance(made, Delivered) and made.ref.number.startswith("A_Defect,"), made
        assert [ref.number for ref in await all_of_them.find(first.key)] == [made.ref.number]
        second = make_order(f"{kind}, goods {plant.state()['requests']}", work_type="quality")
        told = await sent(goods, second)
        assert isinstance(told, Rejected), told  # orders go there: what cannot be looked at may hold it
        assert plant.commits(second.key) == 0


async def test_a_maintenance_that_does_not_answer_keeps_defects_waiting(plant: Erp, opened: Open) -> None:
    order = make_order(f"no answer {plant.state()['requests']}")
    plant.faults({"kind": "unavailable", "path": NOTIFICATIONS})
    assert isinstance(await sent(opened(EVERY), order), Throttled | Unsent)
    assert plant.commits(order.key) == 0


async def test_of_two_defects_the_one_that_stands_counts(plant: Erp, opened: Open) -> None:
    order, adapter = make_order(f"two defects {plant.state()['requests']}"), opened(EVERY)
    plant.faults({"kind": "ghost", "seconds": 1.5, "count": 1, **POST_DEFECT})
    assert isinstance(await sent(adapter, order), Uncertain)
    first = await sent(adapter, order)
    await plant.until(lambda state: state["commits"].get(order.key) == 2)
    assert isinstance(first, Delivered)
    AtSapQuality(plant).edit(first.ref, IsDeleted="X")
    told = await sent(adapter, order)
    assert isinstance(told, Delivered) and told.ref.number != first.ref.number and told.ref.state == "open"


async def test_of_two_orders_from_a_notification_the_one_that_stands_counts(plant: Erp, opened: Open) -> None:
    order, adapter = make_order(f"two orders {plant.state()['requests']}"), opened(GOODS)
    plant.faults({"kind": "ghost", "seconds": 1.5, "count": 1, **POST_ORDER})
    assert isinstance(await sent(adapter, order), Uncertain)
    first = await sent(adapter, order)
    await plant.until(lambda state: state["commits"].get(order.key) == 2)
    assert isinstance(first, Delivered)
    AtSap(plant).edit(first.ref, SystemStatusText="DLFL")
    told = await sent(adapter, order)
    assert isinstance(told, Delivered) and told.ref.number != first.ref.number and told.ref.state == "open"
