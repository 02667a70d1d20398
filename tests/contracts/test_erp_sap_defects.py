"""SAP: orders about the goods become defects of quality management, beside maintenance. Documented, not certified."""

from collections.abc import AsyncIterator, Iterator
from typing import Any, ClassVar

import msgspec
import pytest

from connectors.erp.sap import Settings
from gateway.core.delivery import Delivered, ErpRef, Idempotency, Rejected
from gateway.core.errors import Refused
from gateway.core.order import ProductRef
from gateway.core.ports import ErpAdapter
from gateway.core.units import decode
from tests.contracts.erp_adapter import ErpAdapterContract, OAuthContract
from tests.erp_planners import AtSapQuality
from tests.erp_plant import Planner
from tests.erp_process import SECRET, Erp, make_order, running_erp

ROOT = "/sap/opu/odata/sap/"
SERVICES = ["API_MAINTNOTIFICATION", "API_MAINTENANCEORDER;v=0002", "API_DEFECT_SRV"]
DEFECTS = f"{ROOT}API_DEFECT_SRV/A_Defect"
POST_DEFECT = {"method": "POST", "path": DEFECTS}
OWN = "YY1_ANDON_DEF"
SHOWN = {"status_property": "DefectLifecycleStatus", "begun": ["15"], "done": ["20"], "closing_property": "DefectClass"}
CODES = {"DefectCodeGroup": {"constant": "QM-E"}, "DefectCode": {"constant": "0001"}}


def opened(plant: Erp, defects: dict[str, Any] | None, *, token: bool = False, **fields: object) -> ErpAdapter:
    secret = {"env": "TEST_SAP_SECRET"}
    who = {"user": plant.ready["client_id"], "password": secret}
    if token:
        who = {
            "token_url": plant.ready["token_url"],
            "client_id": plant.ready["client_id"],
            "client_secret": secret,
            "audience": "erp",
        }
    row = {
        "name": "main",
        "base_url": plant.url,
        "timeout": "1s",
        "settle": "1s",
        "defects": None if defects is None else {"mapping": CODES, **defects},
        **who,
    }
    return msgspec.convert({**row, **fields}, Settings, dec_hook=decode).open()


@pytest.fixture(autouse=True)
def _secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_SAP_SECRET", SECRET)


@pytest.fixture(scope="module")
def process() -> Iterator[Erp]:
    with running_erp() as erp:
        yield erp


@pytest.fixture(scope="module")
def another() -> Iterator[Erp]:
    with running_erp() as erp:
        yield erp


@pytest.fixture
def plant(process: Erp) -> Erp:
    return fresh(process)


def fresh(process: Erp) -> Erp:
    process.faults()
    process.turn(
        "sap",
        repeatability="accepted",
        remembers=43200.0,
        slash=True,
        actions={"CompleteMaintNotification": "NOCO", "SetMaintOrdStsToMrkdForDeltn": "DLFL"},
        more={"DefectLifecycleStatus": 2, OWN: 20, "YY1_SHORT_DEF": 10},
        hidden=[],
        services=SERVICES,
    )
    return process


@pytest.fixture
async def erp(plant: Erp) -> AsyncIterator[ErpAdapter]:
    adapter = opened(plant, {})
    yield adapter
    await adapter.close()


def record(plant: Erp, key: str) -> dict[str, Any]:
    [found] = [order["order"] for order in plant.state()["orders"] if order["reference"] == key]
    return dict(found)


class TestRequestId(ErpAdapterContract):
    """Every order is a defect; our key stands in a field of the plant's own, and SAP honours a RequestID."""

    create: ClassVar[dict[str, str]] = POST_DEFECT
    ask: ClassVar[dict[str, str]] = {"method": "GET", "path": DEFECTS}
    change: ClassVar[dict[str, str]] = {"method": "PATCH", "path": ROOT}
    withdraw: ClassVar[dict[str, str]] = {"method": "DELETE", "path": DEFECTS}
    everything: ClassVar[str] = ROOT
    bad: ClassVar[dict[str, Any]] = {"asset": "M" * 19}

    def open(self, plant: Erp) -> ErpAdapter:
        every = ["maintenance", "quality"]
        return opened(plant, {"work_types": every, "key_property": OWN, "delete": True, **SHOWN})

    @pytest.fixture
    async def erp(self, plant: Erp) -> AsyncIterator[ErpAdapter]:
        plant.turn("sap", services=["API_DEFECT_SRV"])  # no order goes to maintenance: it need not be there
        adapter = self.open(plant)
        assert await adapter.verify() == []
        assert adapter.capabilities.idempotency is Idempotency.HEADER
        assert not adapter.capabilities.steps
        yield adapter
        await adapter.close()

    @pytest.fixture
    def planner(self, plant: Erp) -> Planner:
        return AtSapQuality(plant)


class TestLookup(OAuthContract):
    """The key stands at the start of the text, SAP honours no RequestID, and nothing is taken back."""

    create: ClassVar[dict[str, str]] = POST_DEFECT
    ask: ClassVar[dict[str, str]] = {"method": "GET", "path": DEFECTS}
    change: ClassVar[dict[str, str]] = {"method": "PATCH", "path": ROOT}
    withdraw: ClassVar[dict[str, str]] = {"method": "DELETE", "path": DEFECTS}
    everything: ClassVar[str] = ROOT
    bad: ClassVar[dict[str, Any]] = {"asset": "M" * 19}

    def open(self, plant: Erp) -> ErpAdapter:
        return opened(plant, {"work_types": ["maintenance", "quality"], **SHOWN}, token=True)

    @pytest.fixture
    def plant(self, another: Erp) -> Erp:
        return fresh(another)

    @pytest.fixture
    async def erp(self, plant: Erp) -> AsyncIterator[ErpAdapter]:
        plant.turn("sap", repeatability="unsupported")
        adapter = self.open(plant)
        assert await adapter.verify() == []
        assert adapter.capabilities.idempotency is Idempotency.LOOKUP
        yield adapter
        await adapter.close()

    @pytest.fixture
    def planner(self, plant: Erp) -> Planner:
        return AtSapQuality(plant)


class TestBoth:
    async def test_each_order_goes_where_its_kind_belongs(self, erp: ErpAdapter, plant: Erp) -> None:
        machine = make_order("both: machine", asset="M-01")
        product = ProductRef(material="HOUSING-7", order="1000123")
        goods = make_order("both: goods", asset="M-02", work_type="quality", title="外壳划痕" * 8, product=product)
        told = await erp.deliver([goods, machine])
        numbers = [outcome.ref.number for outcome in told if isinstance(outcome, Delivered)]
        assert numbers[0].startswith("A_Defect,$0000") and len(numbers[1]) == 12
        defect = record(plant, goods.key)
        assert defect["DefectText"] == f"{goods.key} {goods.title[:19]}"
        assert (defect["DefectCategory"], defect["DefectCodeCatalog"]) == ("06", "9")
        assert (defect["DefectCodeGroup"], defect["DefectCode"]) == ("QM-E", "0001")
        assert (defect["Equipment"], defect["Material"], defect["ManufacturingOrder"]) == (
            "M-02",
            "HOUSING-7",
            "1000123",
        )
        for order, number in zip((goods, machine), numbers, strict=True):
            assert [ref.number for ref in await erp.find(order.key)] == [number]
            assert (await erp.status(ErpRef(order.key, number))).state == "open"
        assert plant.commits(f"notification {goods.key}") == 0 and plant.commits(f"notification {machine.key}") == 1

    async def test_an_order_that_is_there_already_stays_where_it_is(self, erp: ErpAdapter, plant: Erp) -> None:
        goods = make_order("both: moved", work_type="quality")
        before = opened(plant, None)
        [first] = await before.deliver([goods])
        await before.close()
        [second] = await erp.deliver([goods])
        machine = make_order("both: moved back")
        all_of_them = opened(plant, {"work_types": ["maintenance", "quality"]})
        [third] = await all_of_them.deliver([machine])
        await all_of_them.close()
        [fourth] = await erp.deliver([machine])
        outcomes = [first, second, third, fourth]
        assert all(isinstance(outcome, Delivered) for outcome in outcomes), outcomes
        numbers = [outcome.ref.number for outcome in outcomes if isinstance(outcome, Delivered)]
        assert numbers[0] == numbers[1] and numbers[2] == numbers[3] and numbers[2].startswith("A_Defect,")
        assert (plant.commits(goods.key), plant.commits(machine.key)) == (1, 1)

    async def test_a_request_id_counts_only_where_every_service_says_so(self, erp: ErpAdapter, plant: Erp) -> None:
        assert erp.capabilities.idempotency is Idempotency.LOOKUP  # nobody has asked yet
        assert await erp.verify() == []
        assert erp.capabilities.idempotency is Idempotency.HEADER
        plant.turn("sap", repeatability="unsupported")
        [made] = await erp.deliver([make_order("both: one service", work_type="quality")])
        assert isinstance(made, Delivered)
        assert erp.capabilities.idempotency is Idempotency.LOOKUP

    async def test_a_defect_is_not_taken_back_unless_that_is_allowed(self, plant: Erp) -> None:
        adapter = opened(plant, {})
        order = make_order("both: no way back", work_type="quality")
        [made] = await adapter.deliver([order])
        assert isinstance(made, Delivered)
        told = await adapter.cancel(made.ref, order, "false alarm")
        assert isinstance(told, Rejected) and "defects.delete" in told.reason
        assert adapter.capabilities.cancels  # an order of maintenance can
        await adapter.close()

    async def test_what_somebody_else_has_changed_is_not_deleted(self, plant: Erp) -> None:
        adapter = opened(plant, {"delete": True})
        order = make_order("both: changed", work_type="quality")
        [made] = await adapter.deliver([order])
        assert isinstance(made, Delivered)
        AtSapQuality(plant).edit(made.ref, DefectClass="01")
        told = await adapter.cancel(made.ref, order, "false alarm")
        assert isinstance(told, Rejected) and "changed by somebody else" in told.reason
        assert record(plant, order.key)["DefectClass"] == "01"
        await adapter.close()

    async def test_without_a_status_the_end_of_a_defect_is_not_seen(self, erp: ErpAdapter, plant: Erp) -> None:
        [made] = await erp.deliver([make_order("both: no status", work_type="quality")])
        assert isinstance(made, Delivered)
        AtSapQuality(plant).finish(made.ref)
        now = await erp.status(made.ref)
        assert (now.status, now.state, now.closing_code) == ("", "open", None)

    async def test_a_defect_is_only_gone_when_both_questions_say_so(self, erp: ErpAdapter, plant: Erp) -> None:
        [made] = await erp.deliver([make_order("both: hidden", work_type="quality")])
        assert isinstance(made, Delivered)
        gone = ErpRef(made.ref.key, "A_Defect,$00000999999")
        assert (await erp.status(gone)).state == "cancelled"
        plant.faults({"kind": "forbidden", "method": "GET", "path": f"{DEFECTS}("})
        with pytest.raises(Refused, match="403"):
            await erp.status(gone)

    async def test_a_number_that_is_none_is_refused(self, erp: ErpAdapter) -> None:
        with pytest.raises(Refused, match="no number of an SAP defect"):
            await erp.status(ErpRef("AN", "A_Defect,1')/x"))

    async def test_a_defects_number_needs_defects(self, plant: Erp) -> None:
        adapter = opened(plant, None)
        with pytest.raises(Refused, match="defects are not set up"):
            await adapter.status(ErpRef("AN", "A_Defect,$00000000001"))
        await adapter.close()


@pytest.mark.parametrize(
    ("habits", "defects", "said"),
    [
        ({"services": SERVICES[:2]}, {}, "defects: the ERP answered 404"),
        ({"hidden": ["DefectText"]}, {}, "SAP does not filter by DefectText"),
        ({}, {"key_property": "YY1_SHORT_DEF"}, "holds 10 characters, a key has 20"),
        ({}, {"key_property": "YY1_OTHER"}, "defects.key_property: API_DEFECT_SRV has no such property as YY1_OTHER"),
        ({}, {"status_property": "Nope"}, "defects.status_property"),
        ({}, {"mapping": {"Colour": "impact"}}, "defects.mapping.Colour: API_DEFECT_SRV has no such property"),
        (
            {},
            {"mapping": {"DefectCode": {"constant": "00001"}}},
            "defects.mapping.DefectCode: '00001' is longer than 4",
        ),
    ],
)
async def test_what_is_wrong_with_defects_is_named_before_the_first_order(
    plant: Erp, habits: dict[str, object], defects: dict[str, Any], said: str
) -> None:
    plant.turn("sap", **habits)
    adapter = opened(plant, defects)
    faults = await adapter.verify()
    assert any(said in fault for fault in faults), faults
    await adapter.close()


async def test_no_more_defects_are_made_and_those_there_are_followed(plant: Erp) -> None:
    before, after = opened(plant, {}), opened(plant, {"work_types": []})
    order = make_order("no more", work_type="quality")
    [first] = await before.deliver([order])
    assert isinstance(first, Delivered) and (await after.status(first.ref)).state == "open"
    told = await after.deliver([order, make_order("no more: new", work_type="quality")])
    numbers = [outcome.ref.number for outcome in told if isinstance(outcome, Delivered)]
    assert numbers[0] == first.ref.number and numbers[1].isdecimal()
    await before.close()
    await after.close()
