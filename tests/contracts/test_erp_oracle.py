"""The Oracle Fusion adapter keeps the contract against what Oracle documents, and what is special to it."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any, ClassVar

import httpx2
import msgspec
import pytest
from joserfc.jwk import ECKey, KeySet

from connectors.erp.http import Answer
from connectors.erp.mapping import Rule
from connectors.erp.oracle import SAMPLE, Settings
from connectors.erp.oracle.record import VERSION, read
from gateway.core.delivery import Delivered, ErpRef, Idempotency, Rejected, Throttled, Uncertain
from gateway.core.errors import Misconfigured
from gateway.core.ports import ErpAdapter
from gateway.core.secret import SecretRef
from gateway.core.units import Duration
from tests.contracts.erp_adapter import OAuthContract
from tests.erp_makes import deliver, record, sampled
from tests.erp_planners import AtDesk
from tests.erp_plant import Planner
from tests.erp_process import SECRET, Erp, make_order, running_erp

ROOT = "/fscmRestApi/resources/11.13.18.05/"
ORDERS = f"{ROOT}maintenanceWorkOrders"
CREATE = {"method": "POST", "path": ORDERS}
ASK = {"method": "GET", "path": ROOT}
CHANGE = {"method": "PATCH", "path": ORDERS}


def settings(plant: Erp, **fields: object) -> Settings:
    given: dict[str, object] = {
        "name": "main",
        "base_url": plant.url,
        "organization": "SZ1",
        "auth": "basic",
        "user": plant.ready["client_id"],
        "password": SecretRef(env="TEST_ORACLE_SECRET"),
        "timeout": Duration(1.0),
        "settle": Duration(1.0),
    }
    return Settings(**{**given, **fields})  # type: ignore[arg-type]  # a table of test values


@pytest.fixture(autouse=True)
def _secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_ORACLE_SECRET", SECRET)


@pytest.fixture(scope="module")
def process() -> Iterator[Erp]:
    with running_erp() as erp:
        yield erp


@pytest.fixture(scope="module")
def another() -> Iterator[Erp]:
    with running_erp() as erp:
        yield erp


def fresh(process: Erp) -> Erp:
    process.faults()
    process.turn("oracle", upsert=True, writes=True)
    return process


@pytest.fixture
def plant(process: Erp) -> Erp:
    return fresh(process)


@pytest.fixture
async def erp(plant: Erp) -> AsyncIterator[ErpAdapter]:
    adapter = settings(plant).open()
    yield adapter
    await adapter.close()


class AtOracle(AtDesk):
    """At an Oracle. Its work order has one text; how urgent it is says that it grew, too."""

    desk = "oracle"
    touched: ClassVar[str] = "WorkOrderDescription"
    other: ClassVar[str] = "urgency"
    begun: ClassVar[dict[str, Any]] = {"WorkOrderStatusCode": "ORA_RELEASED"}
    done: ClassVar[dict[str, Any]] = {"WorkOrderStatusCode": "ORA_COMPLETED"}
    dropped: ClassVar[dict[str, Any]] = {"WorkOrderStatusCode": "ORA_CANCELED"}

    def fields(self, ref: ErpRef) -> dict[str, Any]:
        row = super().fields(ref)
        return {**row, "urgency": "It grew, see to it today." if row["WorkOrderPriority"] == 1 else "as it was"}


class TestAssertion(OAuthContract):
    """OAuth2, where the client signs who it is; all other tests are by user and password."""

    create: ClassVar[dict[str, str]] = CREATE
    ask: ClassVar[dict[str, str]] = ASK
    change: ClassVar[dict[str, str]] = CHANGE
    withdraw: ClassVar[dict[str, str]] = CHANGE
    bad: ClassVar[dict[str, Any]] = {"activity": "a" * 31}
    everything: ClassVar[str] = ROOT

    def open(self, plant: Any) -> ErpAdapter:
        token: dict[str, object] = {
            "auth": "oauth2",
            "token_url": plant.ready["token_url"],
            "client_id": plant.ready["client_id"],
            "client_auth": "private_key_jwt",
            "client_key": SecretRef(env="TEST_ORACLE_KEY"),
            "client_key_id": "andon-1",
            "assertion_audience": plant.ready["issuer"],
            "audience": "erp",
        }
        return settings(plant, mapping={"WorkOrderSubTypeCode": "activity"}, **token).open()

    @pytest.fixture
    def plant(self, another: Erp, monkeypatch: pytest.MonkeyPatch) -> Erp:
        key = ECKey.generate_key("P-256", {"kid": "andon-1"})
        monkeypatch.setenv("TEST_ORACLE_KEY", key.as_pem(private=True).decode())
        another.tokens(client_jwks=KeySet([key]).as_dict(private=False))
        return fresh(another)

    @pytest.fixture
    def planner(self, plant: Erp) -> Planner:
        return AtOracle(plant)


class TestDelivery:
    async def test_it_says_that_a_second_create_writes_over(self, erp: ErpAdapter) -> None:
        told = erp.capabilities
        assert (told.idempotency, told.overwrites, told.precondition) == (Idempotency.UPSERT, True, "etag")
        assert told.amends and told.cancels and told.feedback == "poll"

    async def test_an_order_is_of_its_organization_and_asset(self, erp: ErpAdapter, plant: Erp) -> None:
        order = make_order("whole", due=make_order("x").detected_at)
        [outcome] = await erp.deliver([order])
        assert isinstance(outcome, Delivered) and outcome.created
        assert (outcome.ref.number, outcome.ref.status, outcome.ref.state) == (order.key, "ORA_UNRELEASED", "open")
        row = record(plant, order.key)
        assert (row["OrganizationCode"], row["AssetNumber"], row["WorkOrderPriority"]) == ("SZ1", "M-07", 2)
        assert row["WorkOrderDescription"].startswith(order.title) and order.key in row["WorkOrderDescription"]
        assert row["PlannedCompletionDate"] == "2026-11-21T08:00:00Z"

    async def test_the_same_order_again_is_the_same_order(self, erp: ErpAdapter, plant: Erp) -> None:
        order = make_order("again")
        [first] = await erp.deliver([order])
        [second] = await erp.deliver([order])
        assert isinstance(first, Delivered) and isinstance(second, Delivered)
        assert first.created and not second.created
        assert plant.commits(order.key) == 1

    async def test_an_oracle_that_does_not_upsert_makes_no_second_order_either(
        self, erp: ErpAdapter, plant: Erp
    ) -> None:
        plant.turn("oracle", upsert=False)
        order = make_order("no upsert")
        plant.faults({"kind": "lost_reply", "count": 1, **CREATE})
        [first] = await erp.deliver([order])
        [second] = await erp.deliver([order])
        assert isinstance(first, Uncertain)
        assert isinstance(second, Delivered) and not second.created
        plant.turn("oracle", edit={"number": order.key, "AssetNumber": "PUMP-1"})
        [third] = await erp.deliver([order])
        assert isinstance(third, Rejected) and "it differs in AssetNumber" in third.reason
        assert plant.commits(order.key) == 1

    async def test_an_unknown_attribute_is_named(self, plant: Erp) -> None:
        adapter = settings(plant, mapping={"Colour": "impact"}).open()
        [outcome] = await adapter.deliver([make_order("unknown attribute")])
        assert isinstance(outcome, Rejected) and "field Colour" in outcome.reason
        await adapter.close()

    async def test_what_is_required_is_named_without_a_code(self, plant: Erp) -> None:
        adapter = settings(plant).open()
        [outcome] = await adapter.deliver([make_order("no asset", asset=None)])
        assert isinstance(outcome, Rejected)
        assert "field AssetNumber" in outcome.reason and "JBO" not in outcome.reason
        await adapter.close()

    async def test_an_asset_is_never_cut(self, plant: Erp) -> None:
        adapter = settings(plant, mapping={"AssetNumber": Rule(source="asset", longest=5)}).open()
        [outcome] = await adapter.deliver([make_order("long asset", asset="M-0001")])
        assert isinstance(outcome, Rejected) and "AssetNumber holds 5 characters" in outcome.reason
        assert plant.commits(make_order("long asset", asset="M-0001").key) == 0
        await adapter.close()


class TestChange:
    async def test_what_grew_is_written_and_what_a_planner_changed_is_kept(self, erp: ErpAdapter, plant: Erp) -> None:
        before = make_order("amend")
        ref = await deliver(erp, "amend")
        plant.turn("oracle", edit={"number": ref.key, "WorkOrderDescription": "the planner's own"})
        after = msgspec.structs.replace(before, title="it grew", priority=1)
        for _ in range(2):
            outcome = await erp.amend(ref, before, after)
            assert isinstance(outcome, Delivered), outcome
            assert outcome.kept == ("WorkOrderDescription",)
        row = record(plant, ref.key)
        assert (row["WorkOrderDescription"], row["WorkOrderPriority"]) == ("the planner's own", 1)

    async def test_a_change_in_between_is_read_anew(self, erp: ErpAdapter, plant: Erp) -> None:
        before = make_order("stale")
        ref = await deliver(erp, "stale")
        after = msgspec.structs.replace(before, priority=4)
        plant.faults({"kind": "slow", "seconds": 0.3, "count": 1, "method": "PATCH", "path": ROOT})
        change = asyncio.create_task(erp.amend(ref, before, after))
        await plant.until(lambda state: state["faults"][0]["fired"] == 1)
        plant.turn("oracle", edit={"number": ref.key, "WorkOrderSubTypeCode": "ORA_PLANNED"})
        outcome = await change
        assert isinstance(outcome, Delivered), outcome
        row = record(plant, ref.key)
        assert (row["WorkOrderSubTypeCode"], row["WorkOrderPriority"]) == ("ORA_PLANNED", 4)

    async def test_an_order_is_taken_back_only_while_nobody_has_begun(self, erp: ErpAdapter, plant: Erp) -> None:
        ref = await deliver(erp, "cancel")
        for _ in range(2):
            outcome = await erp.cancel(ref, make_order("cancel"), "false alarm")
            assert isinstance(outcome, Delivered) and outcome.ref.state == "cancelled"
        row = record(plant, ref.key)
        assert (row["WorkOrderStatusCode"], row["CanceledReason"]) == ("ORA_CANCELED", "false alarm")
        begun = await deliver(erp, "begun")
        plant.turn("oracle", edit={"number": begun.key, "WorkOrderStatusCode": "ORA_RELEASED"})
        outcome = await erp.cancel(begun, make_order("begun"), "false alarm")
        assert isinstance(outcome, Rejected) and "ORA_RELEASED" in outcome.reason

    @pytest.mark.parametrize(
        ("status", "state"),
        [("ORA_ON_HOLD", "open"), ("ORA_COMPLETED", "done"), ("ORA_CLOSED", "done"), ("OUR_OWN", "unknown")],
    )
    async def test_a_status_is_told(self, erp: ErpAdapter, plant: Erp, status: str, state: str) -> None:
        ref = await deliver(erp, f"status {status}")
        plant.turn("oracle", edit={"number": ref.key, "WorkOrderStatusCode": status})
        told = await erp.status(ref)
        assert (told.status, told.state) == (status, state)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"mapping": {"Colour": "impact"}}, "mapping.Colour: the ERP has no such field"),
        ({"mapping": {"WorkOrderDescription": "title"}}, "holds 240 characters: say max = 240"),
        ({"mapping": {"WorkOrderId": Rule(constant=1)}}, "mapping.WorkOrderId: can only be read"),
        ({"mapping": {"WorkOrderPriority": "impact"}}, "is integer there, and string is sent"),
    ],
)
async def test_what_is_wrong_is_named_before_the_first_order(plant: Erp, fields: dict[str, object], said: str) -> None:
    adapter = settings(plant, **fields).open()
    faults = await adapter.verify()
    assert any(said in fault for fault in faults), faults
    await adapter.close()


async def test_a_wrong_password_is_named_and_not_shown(plant: Erp, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_ORACLE_SECRET", "wrong-one")
    adapter = settings(plant).open()
    [fault] = await adapter.verify()
    assert "401" in fault and "wrong-one" not in fault
    [outcome] = await adapter.deliver([make_order("wrong password")])
    assert isinstance(outcome, Throttled) and "wrong-one" not in outcome.cause
    await adapter.close()


async def test_a_user_without_the_right_is_refused(erp: ErpAdapter, plant: Erp) -> None:
    plant.turn("oracle", writes=False)
    [outcome] = await erp.deliver([make_order("no right")])
    assert outcome == Rejected("the ERP answered 403")


def test_the_sample_is_right(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORACLE_PASSWORD", "x")
    found = sampled(Settings, SAMPLE, "oracle")
    assert found.organization == "SZ1" and found.open().name == "main"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"base_url": "http://acme.example"}, "plain text"),
        ({"user": ""}, "needs user"),
        ({"organization": ""}, "organization"),
        ({"resources": "fscmRestApi"}, "resources"),
    ],
)
def test_wrong_settings_are_named(change: dict[str, object], said: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=said):
        sampled(Settings, SAMPLE, "oracle", **change)


@pytest.mark.parametrize("mapping", [{"WorkOrderNumber": "asset"}, {"OrganizationCode": "hierarchy.site"}])
def test_a_mapping_that_breaks_the_promise_is_a_fault_at_start(plant: Erp, mapping: dict[str, str]) -> None:
    with pytest.raises(Misconfigured, match=next(iter(mapping))):
        settings(plant, mapping=mapping).open()


@pytest.mark.parametrize(
    ("links", "version"),
    [
        ([{"rel": "self", "properties": {"changeIndicator": "ACED"}}], '"ACED"'),
        ([{"rel": "self", "properties": {"changeIndicator": '"ACED"'}}], '"ACED"'),
        ([{"rel": "parent", "properties": {"changeIndicator": "ACED"}}], ""),
        ([None, {"rel": "self"}], ""),
        (None, ""),
    ],
)
def test_the_version_of_a_record_is_in_its_own_link(links: object, version: str) -> None:
    body = msgspec.json.encode({"items": [{"links": links}]})
    assert read(Answer(200, httpx2.Headers(), body)).body["items"][0][VERSION] == version


@pytest.mark.parametrize(
    "body", [b"", b"<html></html>", b'{"title":', b'{"o:errorDetails": []}', b"[1]", b'{"o:errorDetails":[1]}']
)
def test_an_answer_that_is_none_is_read_without_a_fault(body: bytes) -> None:
    for status in (200, 400, 403, 500):
        assert read(Answer(status, httpx2.Headers(), body)).status == status
