"""Odoo: orders of the quality become quality alerts, beside requests, over one link. Documented, not certified."""

from collections.abc import AsyncIterator, Iterator
from typing import Any, ClassVar

import msgspec
import pytest

from connectors.erp.odoo import Settings
from gateway.core.delivery import Delivered, ErpRef, Idempotency, Rejected
from gateway.core.errors import Misconfigured, Refused
from gateway.core.ports import ErpAdapter
from gateway.core.units import decode
from tests.contracts.erp_adapter import ErpAdapterContract
from tests.erp_planners import AtOdooQuality
from tests.erp_plant import Planner
from tests.erp_process import Erp, make_order, running_erp

KEY = "0123456789abcdef0123456789abcdef01234567"
LOAD = {"method": "POST", "path": "/json/2/quality.alert/load"}
WRITE = {"method": "POST", "path": "/json/2/quality.alert/write"}
CANCEL = {"stage_id": 5}


def opened(plant: Erp, quality: dict[str, Any], **fields: object) -> ErpAdapter:
    row = {
        "name": "main",
        "base_url": plant.url,
        "api_key": {"env": "TEST_ODOO_KEY"},
        "unknown_equipment": "leave_out",
        "timeout": "1s",
        "quality": quality,
    }
    return msgspec.convert({**row, **fields}, Settings, dec_hook=decode).open()


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_ODOO_KEY", KEY)


@pytest.fixture(scope="module")
def process() -> Iterator[Erp]:
    with running_erp("--api-key", KEY) as erp:
        yield erp


@pytest.fixture
def plant(process: Erp) -> Erp:
    process.faults()
    process.turn("odoo", manager=True, installed=True, enterprise=True, key_expires="", work=0.0)
    return process


@pytest.fixture
async def erp(plant: Erp) -> AsyncIterator[ErpAdapter]:
    adapter = opened(plant, {"cancel": CANCEL})
    yield adapter
    await adapter.close()


def record(plant: Erp, key: str) -> dict[str, Any]:
    [found] = [order["order"] for order in plant.state()["orders"] if order["reference"] == key]
    return dict(found)


class TestAlerts(ErpAdapterContract):
    """Every order is an alert."""

    create: ClassVar[dict[str, str]] = LOAD
    ask: ClassVar[dict[str, str]] = {"method": "POST", "path": "/json/2/ir.model.data/search_read"}
    change: ClassVar[dict[str, str]] = WRITE
    withdraw: ClassVar[dict[str, str]] = WRITE

    def open(self, plant: Erp) -> ErpAdapter:
        return opened(plant, {"work_types": ["maintenance", "quality"], "cancel": CANCEL})

    @pytest.fixture
    async def erp(self, plant: Erp) -> AsyncIterator[ErpAdapter]:
        adapter = self.open(plant)
        yield adapter
        await adapter.close()

    @pytest.fixture
    def planner(self, plant: Erp) -> Planner:
        return AtOdooQuality(plant)


class TestBoth:
    async def test_each_order_goes_where_its_kind_belongs_in_one_call(self, erp: ErpAdapter, plant: Erp) -> None:
        machine = make_order("both: machine", asset="M-01")
        goods = make_order("both: goods", asset="M-02", work_type="quality", title="Scratches on the housing")
        told = await erp.deliver([goods, machine])
        numbers = [outcome.ref.number for outcome in told if isinstance(outcome, Delivered)]
        assert numbers[0].startswith("quality.alert,") and numbers[1].isdecimal()
        alert = record(plant, goods.key)
        assert (alert["title"], alert["priority"], alert["model"]) == (goods.title, "2", "quality.alert")
        assert goods.key in alert["description"] and record(plant, machine.key)["equipment_id"] == 1
        for order, number in zip((goods, machine), numbers, strict=True):
            assert [ref.number for ref in await erp.find(order.key)] == [number]
            assert (await erp.status(ErpRef(order.key, number))).state == "open"
        assert erp.capabilities.idempotency is Idempotency.UPSERT

    async def test_an_order_that_is_there_in_another_model_is_not_made_again(self, erp: ErpAdapter, plant: Erp) -> None:
        order = make_order("both: moved", work_type="quality")
        before = opened(plant, {"work_types": []})
        [first] = await before.deliver([order])
        await before.close()
        [second] = await erp.deliver([order])
        assert isinstance(first, Delivered) and isinstance(second, Delivered)
        assert (second.ref.number, second.created) == (first.ref.number, False)
        assert first.ref.number.isdecimal() and plant.commits(order.key) == 1

    async def test_a_number_of_one_model_is_none_of_the_other(self, erp: ErpAdapter) -> None:
        [outcome] = await erp.deliver([make_order("both: number", work_type="quality")])
        assert isinstance(outcome, Delivered)
        _, _, record_id = outcome.ref.number.partition(",")
        with pytest.raises(Refused, match=f"no request {record_id}"):
            await erp.status(ErpRef(outcome.ref.key, record_id))
        with pytest.raises(Refused, match="no record of a model"):
            await erp.status(ErpRef(outcome.ref.key, f"res.users,{record_id}"))

    async def test_without_the_app_machines_are_still_seen_to(self, plant: Erp) -> None:
        plant.turn("odoo", enterprise=False)
        adapter = opened(plant, {"team": 1})
        [fault] = await adapter.verify()
        assert "main: quality: " in fault and "Quality, of Odoo Enterprise" in fault
        machine = make_order("both: community", asset="M-01")
        goods = make_order("both: community goods", work_type="quality")
        first, second = await adapter.deliver([goods, machine])
        assert isinstance(first, Rejected) and "quality.alert" in first.reason
        assert isinstance(second, Delivered)
        await adapter.close()

    async def test_an_alert_is_only_taken_back_where_it_is_said_how(self, plant: Erp) -> None:
        adapter = opened(plant, {})
        order = make_order("both: no way back", work_type="quality")
        [made] = await adapter.deliver([order])
        assert isinstance(made, Delivered)
        told = await adapter.cancel(made.ref, order, "false alarm")
        assert isinstance(told, Rejected) and "quality.cancel" in told.reason
        assert adapter.capabilities.cancels  # a request can
        await adapter.close()


@pytest.mark.parametrize(
    ("habits", "quality", "said"),
    [
        ({"manager": False}, {}, "may not create quality.alert; it needs the group User of Quality"),
        ({}, {"team": 8}, "quality.mapping.team_id: there is no quality.alert.team 8"),
        ({}, {"mapping": {"equipment_id": "asset"}}, "quality.mapping.equipment_id: quality.alert has no such field"),
        ({}, {"cancel": {"archive": True}}, "quality.alert has no field 'archive'; see quality.cancel"),
        ({}, {"cancel": {"stage_id": 9}}, "quality.cancel.stage_id: there is no quality.alert.stage 9"),
        ({}, {"closing_field": "x_code"}, "quality.closing_field"),
    ],
)
async def test_what_is_wrong_with_alerts_is_named_before_the_first_order(
    plant: Erp, habits: dict[str, object], quality: dict[str, Any], said: str
) -> None:
    plant.turn("odoo", **habits)
    adapter = opened(plant, quality)
    faults = await adapter.verify()
    assert any(said in fault for fault in faults), faults
    await adapter.close()


async def test_a_request_is_not_looked_at_where_every_order_is_an_alert(plant: Erp) -> None:
    plant.turn("odoo", installed=False)
    adapter = opened(plant, {"work_types": ["maintenance", "quality"]})
    assert await adapter.verify() == []
    await adapter.close()


def test_a_mapping_of_alerts_that_cannot_be_is_a_fault_at_start(plant: Erp) -> None:
    with pytest.raises(Misconfigured, match=r"quality\.mapping"):
        opened(plant, {"mapping": {"a.b": "asset"}})


def test_two_models_need_more_time(plant: Erp) -> None:
    with pytest.raises(msgspec.ValidationError, match="at most 3min"):
        opened(plant, {}, timeout="4min")
