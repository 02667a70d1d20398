"""The Maximo adapter keeps the contract against what IBM documents, and what is special to it. Not certified."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any, ClassVar

import httpx2
import msgspec
import pytest

from connectors.erp.http import Answer, reason_of
from connectors.erp.mapping import Rule
from connectors.erp.maximo import SAMPLE, Settings
from connectors.erp.maximo.record import reading
from gateway.core.delivery import Delivered, ErpRef, Idempotency, Rejected, Throttled, Uncertain
from gateway.core.errors import Misconfigured
from gateway.core.ports import ErpAdapter
from gateway.core.secret import SecretRef
from gateway.core.units import Duration
from tests.contracts.erp_adapter import ErpAdapterContract
from tests.erp_makes import deliver, record, sampled
from tests.erp_planners import AtDesk
from tests.erp_plant import Planner
from tests.erp_process import Erp, make_order, running_erp

ROOT = "/maximo/api/"
ORDERS = f"{ROOT}os/mxapiwodetail"
CREATE = {"method": "POST", "path": ORDERS}
TYPES = {
    "corrective-immediate": "EM",
    "corrective-deferred": "CM",
    "condition-based": "CBM",
    "predictive": "CBM",
    "inspection": "INSP",
}
KEY = "0123456789abcdef-maximo-key"


def settings(plant: Erp, **fields: object) -> Settings:
    given: dict[str, object] = {
        "name": "main",
        "base_url": plant.url,
        "site": "BEDFORD",
        "api_key": SecretRef(env="TEST_MAXIMO_KEY"),
        "timeout": Duration(1.0),
        "settle": Duration(1.0),
    }
    return Settings(**{**given, **fields})  # type: ignore[arg-type]  # a table of test values


@pytest.fixture(autouse=True)
def _secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_MAXIMO_KEY", KEY)


@pytest.fixture(scope="module")
def process() -> Iterator[Erp]:
    with running_erp("--api-key", KEY) as erp:
        yield erp


@pytest.fixture
def plant(process: Erp) -> Erp:
    process.faults()
    codes = {"duplicate": "BMXAA4129E", "stale": "BMXAA8229W", "stale_status": 400}
    process.turn("maximo", longest_number=25, echo=True, writes=True, **codes)
    return process


@pytest.fixture
async def erp(plant: Erp) -> AsyncIterator[ErpAdapter]:
    adapter = settings(plant).open()
    yield adapter
    await adapter.close()


class AtMaximo(AtDesk):
    """At a Maximo."""

    desk = "maximo"
    touched: ClassVar[str] = "description"
    other: ClassVar[str] = "description_longdescription"
    closing: ClassVar[str | None] = "BEARING"
    begun: ClassVar[dict[str, Any]] = {"status": "INPRG"}
    done: ClassVar[dict[str, Any]] = {"status": "COMP", "problemcode": "BEARING"}
    dropped: ClassVar[dict[str, Any]] = {"status": "CAN"}

    def which(self, ref: ErpRef) -> dict[str, Any]:
        return {"wonum": ref.number}


class TestContract(ErpAdapterContract):
    create: ClassVar[dict[str, str]] = CREATE
    ask: ClassVar[dict[str, str]] = {"method": "GET", "path": ROOT}
    change: ClassVar[dict[str, str]] = {"method": "POST", "path": f"{ORDERS}/"}
    withdraw: ClassVar[dict[str, str]] = {"method": "POST", "path": f"{ORDERS}/"}
    bad: ClassVar[dict[str, Any]] = {"activity": "no such"}

    def open(self, plant: Any) -> ErpAdapter:
        mapping = {"worktype": Rule(source="activity", values=dict(TYPES))}
        return settings(plant, closing_field="problemcode", mapping=mapping).open()

    @pytest.fixture
    def planner(self, plant: Erp) -> Planner:
        return AtMaximo(plant)


class TestDelivery:
    async def test_it_promises_that_our_number_counts(self, erp: ErpAdapter) -> None:
        told = erp.capabilities
        assert (told.idempotency, told.overwrites) == (Idempotency.CLIENT_ID, False)
        assert told.precondition == "timestamp" and told.amends and told.cancels

    async def test_an_order_has_our_number_and_its_site(self, erp: ErpAdapter, plant: Erp) -> None:
        order = make_order("whole", title="轴" * 120, due=make_order("x").detected_at)
        [outcome] = await erp.deliver([order])
        assert isinstance(outcome, Delivered) and outcome.created
        assert (outcome.ref.number, outcome.ref.status, outcome.ref.state) == (order.key, "WAPPR", "open")
        row = record(plant, order.key)
        assert (row["siteid"], row["assetnum"], row["wopriority"]) == ("BEDFORD", "M-07", 2)
        assert row["description"] == "轴" * 100 and "轴" * 120 in row["description_longdescription"]

    async def test_where_nothing_is_shown_back_the_order_is_read(self, erp: ErpAdapter, plant: Erp) -> None:
        plant.turn("maximo", echo=False)
        ref = await deliver(erp, "location only")
        assert ref.number == ref.key and ref.version
        after = msgspec.structs.replace(make_order("location only"), priority=1)
        assert isinstance(await erp.amend(ref, make_order("location only"), after), Delivered)
        assert record(plant, ref.key)["wopriority"] == 1

    @pytest.mark.parametrize("code", ["BMXAA4129E", "BMXAA4211E"])
    async def test_a_number_that_is_taken_is_read_back_whatever_the_message(
        self, erp: ErpAdapter, plant: Erp, code: str
    ) -> None:
        plant.turn("maximo", duplicate=code)
        order = make_order(f"twice {code}")
        plant.faults({"kind": "lost_reply", "count": 1, **CREATE})
        [first] = await erp.deliver([order])
        assert isinstance(first, Uncertain)
        plant.turn("maximo", edit={"wonum": order.key, "description": "the planner's own"})
        [second] = await erp.deliver([order])
        assert isinstance(second, Delivered) and not second.created
        assert record(plant, order.key)["description"] == "the planner's own"
        assert plant.commits(order.key) == 1

    async def test_another_order_under_our_number_is_refused_and_left_alone(self, erp: ErpAdapter, plant: Erp) -> None:
        order = make_order("foreign")
        await erp.deliver([order])
        plant.turn("maximo", edit={"wonum": order.key, "assetnum": "PUMP-1"})
        [outcome] = await erp.deliver([order])
        assert isinstance(outcome, Rejected) and "as another order; it differs in assetnum" in outcome.reason

    async def test_a_refusal_for_another_reason_is_a_refusal(self, plant: Erp) -> None:
        adapter = settings(plant, mapping={"colour": "impact"}).open()
        [outcome] = await adapter.deliver([make_order("unknown attribute")])
        assert isinstance(outcome, Rejected)
        assert "field colour" in outcome.reason and "BMXAA9117E" in outcome.reason
        await adapter.close()

    async def test_whether_it_was_taken_stays_open_while_nobody_answers(self, erp: ErpAdapter, plant: Erp) -> None:
        order = make_order("not answered")
        await erp.deliver([order])
        plant.faults({"kind": "error_before", "method": "GET", "path": ROOT})
        [outcome] = await erp.deliver([order])
        assert isinstance(outcome, Uncertain)

    async def test_the_key_is_in_its_header_and_never_in_the_address(self, plant: Erp) -> None:
        assert plant.http.get(f"{ORDERS}?lean=1&apikey={KEY}").status_code == 401
        good = plant.http.get(f'{ORDERS}?lean=1&oslc.where=wonum="X"', headers={"apikey": KEY})
        assert good.status_code == 200
        assert not any(KEY in line["path"] for line in plant.state()["journal"])

    async def test_a_refusal_names_no_user(self, erp: ErpAdapter, plant: Erp) -> None:
        plant.faults({"kind": "forbidden", "count": 1, **CREATE})
        [outcome] = await erp.deliver([make_order("forbidden")])
        assert outcome == Rejected("the ERP answered 403: BMXAA9051E")


class TestChange:
    async def test_what_grew_is_written_and_what_a_planner_changed_is_kept(self, erp: ErpAdapter, plant: Erp) -> None:
        before = make_order("amend")
        ref = await deliver(erp, "amend")
        plant.turn("maximo", edit={"wonum": ref.key, "description": "the planner's own"})
        after = msgspec.structs.replace(before, title="it grew", priority=1)
        for _ in range(2):
            outcome = await erp.amend(ref, before, after)
            assert isinstance(outcome, Delivered), outcome
            assert outcome.kept == ("description",)
        row = record(plant, ref.key)
        assert (row["description"], row["wopriority"]) == ("the planner's own", 1)
        assert row["description_longdescription"].startswith("it grew")

    @pytest.mark.parametrize("status", [400, 409, 412])
    async def test_a_change_in_between_is_read_anew(self, erp: ErpAdapter, plant: Erp, status: int) -> None:
        plant.turn("maximo", stale_status=status)
        before = make_order(f"stale {status}")
        ref = await deliver(erp, f"stale {status}")
        after = msgspec.structs.replace(before, priority=4)
        plant.faults({"kind": "slow", "seconds": 0.3, "count": 1, "method": "POST", "path": ROOT})
        change = asyncio.create_task(erp.amend(ref, before, after))
        await plant.until(lambda state: state["faults"][0]["fired"] == 1)
        plant.turn("maximo", edit={"wonum": ref.key, "location": "HALL-2"})
        outcome = await change
        assert isinstance(outcome, Delivered), outcome
        row = record(plant, ref.key)
        assert (row["location"], row["wopriority"]) == ("HALL-2", 4)

    async def test_an_order_is_taken_back_only_while_nobody_has_begun(self, erp: ErpAdapter, plant: Erp) -> None:
        ref = await deliver(erp, "cancel")
        for _ in range(2):
            outcome = await erp.cancel(ref, make_order("cancel"), "false alarm")
            assert isinstance(outcome, Delivered) and outcome.ref.state == "cancelled"
        assert record(plant, ref.key)["status"] == "CAN"
        begun = await deliver(erp, "begun")
        plant.turn("maximo", edit={"wonum": begun.key, "status": "INPRG"})
        outcome = await erp.cancel(begun, make_order("begun"), "false alarm")
        assert isinstance(outcome, Rejected) and "INPRG" in outcome.reason

    @pytest.mark.parametrize(
        ("status", "state"), [("APPR", "open"), ("COMP", "done"), ("CLOSE", "done"), ("OUROWN", "unknown")]
    )
    async def test_a_status_and_its_closing_code_are_told(self, plant: Erp, status: str, state: str) -> None:
        adapter = settings(plant, closing_field="problemcode").open()
        ref = await deliver(adapter, f"status {status}")
        plant.turn("maximo", edit={"wonum": ref.key, "status": status, "problemcode": "BEARING"})
        told = await adapter.status(ref)
        assert (told.status, told.state) == (status, state)
        assert told.closing_code == ("BEARING" if state == "done" else None)
        await adapter.close()


@pytest.mark.parametrize(
    ("fields", "habits", "said"),
    [
        ({"mapping": {"colour": "impact"}}, {}, "mapping.colour: the ERP has no such field"),
        ({"mapping": {"failurecode": "failure_mode"}}, {}, "holds 8 characters: say max = 8"),
        ({"mapping": {"wopriority": "impact"}}, {}, "is integer there, and string is sent"),
        ({}, {"longest_number": 10}, "wonum holds 10 characters and our number has 20"),
        ({"structure": "mxapinone"}, {}, "mxapinone"),
    ],
)
async def test_what_is_wrong_is_named_before_the_first_order(
    plant: Erp, fields: dict[str, object], habits: dict[str, object], said: str
) -> None:
    plant.turn("maximo", **habits)
    adapter = settings(plant, **fields).open()
    faults = await adapter.verify()
    assert any(said in fault for fault in faults), faults
    await adapter.close()


async def test_a_wrong_key_is_named_and_not_shown(plant: Erp, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_MAXIMO_KEY", "wrong-one")
    adapter = settings(plant).open()
    [fault] = await adapter.verify()
    assert "401" in fault and "wrong-one" not in fault
    [outcome] = await adapter.deliver([make_order("wrong key")])
    assert isinstance(outcome, Throttled) and "wrong-one" not in outcome.cause
    await adapter.close()


async def test_a_site_that_is_none_is_refused(plant: Erp) -> None:
    adapter = settings(plant, site="NOWHERE").open()
    [outcome] = await adapter.deliver([make_order("no site")])
    assert isinstance(outcome, Rejected) and "NOWHERE is not a valid site" in outcome.reason
    await adapter.close()


def test_the_sample_is_right(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAXIMO_API_KEY", "x")
    found = sampled(Settings, SAMPLE, "maximo")
    assert found.site == "BEDFORD" and found.open().name == "main"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"base_url": "http://maximo.plant.example"}, "plain text"),
        ({"site": 'BED"FORD'}, "site"),
        ({"site": "BEDFORDSHIRE"}, "site"),
        ({"structure": "mx/api"}, "structure"),
    ],
)
def test_wrong_settings_are_named(change: dict[str, object], said: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=said):
        sampled(Settings, SAMPLE, "maximo", **change)


def test_without_the_key_it_does_not_open(plant: Erp) -> None:
    with pytest.raises(ValueError, match="needs api_key"):
        settings(plant, api_key=None)


@pytest.mark.parametrize("mapping", [{"wonum": Rule(source="asset")}, {"siteid": Rule(source="hierarchy.site")}])
def test_a_mapping_that_breaks_the_promise_is_a_fault_at_start(plant: Erp, mapping: dict[str, Rule]) -> None:
    with pytest.raises(Misconfigured, match=next(iter(mapping))):
        settings(plant, mapping=mapping).open()


@pytest.mark.parametrize(
    ("named", "said"),
    [
        ({"errorattrname": "location"}, "field location: BMXAA2661E - YES is not a valid location."),
        ({"errorattrname": 5}, "BMXAA2661E - YES is not a valid location."),
        ({}, "BMXAA2661E - YES is not a valid location."),
    ],
)
def test_a_refusal_names_the_attribute_where_maximo_does(named: dict[str, object], said: str) -> None:
    error = {"reasonCode": "BMXAA2661E", "message": "BMXAA2661E - YES is not a valid location.", "statusCode": "400"}
    body = msgspec.json.encode({"Error": error | named})
    assert reason_of(reading(())(Answer(400, httpx2.Headers(), body)).answer) == said


@pytest.mark.parametrize(
    "body", [b"", b"<html></html>", b'{"Error":', b'{"Error": "x"}', b"[1]", b'{"Error":{"reasonCode":1}}']
)
def test_an_answer_that_is_none_is_read_without_a_fault(body: bytes) -> None:
    read = reading(("BMXAA8229W",))
    for status in (200, 400, 403, 500):
        assert read(Answer(status, httpx2.Headers(), body)).status == status
