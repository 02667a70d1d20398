"""The Dynamics 365 adapter keeps the contract against what Microsoft documents, and what is special to it."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any, ClassVar
from urllib.parse import quote

import httpx2
import msgspec
import pytest

from connectors.erp.dynamics import SAMPLE, Settings
from connectors.erp.dynamics.record import Linked, reading
from connectors.erp.http import Answer
from connectors.erp.mapping import Rule, Table
from gateway.core.delivery import Delivered, ErpRef, Idempotency, Rejected, Throttled, Uncertain
from gateway.core.errors import Misconfigured, Refused
from gateway.core.ports import ErpAdapter
from gateway.core.secret import SecretRef
from gateway.core.units import Duration
from tests.contracts.erp_adapter import OAuthContract
from tests.erp_makes import deliver, record, sampled
from tests.erp_planners import AtDesk
from tests.erp_plant import Planner
from tests.erp_process import SECRET, Erp, make_order, running_erp

ROOT = "/api/data/v9.2/"
CREATE = {"method": "PATCH", "path": f"{ROOT}msdyn_workorders(andon_key="}
ASSET = "msdyn_CustomerAsset@odata.bind"
PRIORITY = "msdyn_priority@odata.bind"
PRIORITIES = {str(number): f"/msdyn_priorities(00000000-0000-0000-0000-00000000000{number})" for number in range(1, 5)}


def settings(plant: Erp, **fields: object) -> Settings:
    given: dict[str, object] = {
        "name": "main",
        "base_url": plant.url,
        "token_url": plant.ready["token_url"],
        "client_id": plant.ready["client_id"],
        "client_secret": SecretRef(env="TEST_DYNAMICS_SECRET"),
        "timeout": Duration(1.0),
        "settle": Duration(1.0),
        "links": {ASSET: "/msdyn_customerassets(andon_asset='{}')"},
        "mapping": {ASSET: "asset", PRIORITY: Rule(source="priority", values=dict(PRIORITIES))},
    }
    return Settings(**{**given, **fields})  # type: ignore[arg-type]  # a table of test values


@pytest.fixture(autouse=True)
def _secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_DYNAMICS_SECRET", SECRET)


@pytest.fixture(scope="module")
def process() -> Iterator[Erp]:
    with running_erp() as erp:
        yield erp


@pytest.fixture
def plant(process: Erp) -> Erp:
    process.faults()
    rights = ["Create", "Read", "Write", "Append", "AppendTo"]
    process.turn("dynamics", key="Active", representation=True, locking=True, rights=rights)
    return process


@pytest.fixture
async def erp(plant: Erp) -> AsyncIterator[ErpAdapter]:
    adapter = settings(plant).open()
    yield adapter
    await adapter.close()


class AtDynamics(AtDesk):
    """At a Field Service, whose status is a code."""

    desk = "dynamics"
    touched: ClassVar[str] = "msdyn_workordersummary"
    other: ClassVar[str] = "msdyn_instructions"
    closing: ClassVar[str | None] = "BEARING"
    begun: ClassVar[dict[str, Any]] = {"msdyn_systemstatus": 690970002}
    done: ClassVar[dict[str, Any]] = {"msdyn_systemstatus": 690970003, "andon_closingcode": "BEARING"}
    dropped: ClassVar[dict[str, Any]] = {"msdyn_systemstatus": 690970005}

    def which(self, ref: ErpRef) -> dict[str, Any]:
        return {"key": ref.key}


class TestContract(OAuthContract):
    create: ClassVar[dict[str, str]] = CREATE
    ask: ClassVar[dict[str, str]] = {"method": "GET", "path": ROOT}
    change: ClassVar[dict[str, str]] = CREATE
    withdraw: ClassVar[dict[str, str]] = CREATE
    everything: ClassVar[str] = ROOT

    def open(self, plant: Any) -> ErpAdapter:
        return settings(plant, closing_column="andon_closingcode").open()

    @pytest.fixture
    def planner(self, plant: Erp) -> Planner:
        return AtDynamics(plant)


class TestDelivery:
    async def test_it_promises_what_create_only_gives(self, erp: ErpAdapter) -> None:
        told = erp.capabilities
        assert (told.idempotency, told.overwrites, told.precondition) == (Idempotency.UPSERT, False, "etag")
        assert told.amends and told.cancels and told.feedback == "poll"

    async def test_an_order_has_number_label_links_and_dates(self, erp: ErpAdapter, plant: Erp) -> None:
        order = make_order("whole", due=make_order("x").detected_at)
        [outcome] = await erp.deliver([order])
        assert isinstance(outcome, Delivered) and outcome.created
        assert (outcome.ref.status, outcome.ref.state) == ("Unscheduled", "open")
        assert outcome.ref.number.isdecimal() and outcome.ref.version.startswith('W/"')
        row = record(plant, order.key)
        assert row["msdyn_workordersummary"] == order.title and order.key in row["msdyn_instructions"]
        assert row["_msdyn_priority_value"] == "00000000-0000-0000-0000-000000000002"
        assert row["_msdyn_customerasset_value"]

    async def test_where_nothing_is_shown_back_the_order_is_read(self, erp: ErpAdapter, plant: Erp) -> None:
        plant.turn("dynamics", representation=False)
        ref = await deliver(erp, "204")
        assert ref.number.isdecimal() and ref.version
        assert plant.commits(ref.key) == 1

    async def test_what_a_planner_did_between_two_attempts_stays(self, erp: ErpAdapter, plant: Erp) -> None:
        order = make_order("planner in between")
        plant.faults({"kind": "lost_reply", "count": 1, **CREATE})
        [first] = await erp.deliver([order])
        assert isinstance(first, Uncertain)
        plant.turn("dynamics", edit={"key": order.key, "msdyn_workordersummary": "the planner's own"})
        [second] = await erp.deliver([order])
        assert isinstance(second, Delivered) and not second.created
        assert record(plant, order.key)["msdyn_workordersummary"] == "the planner's own"
        assert plant.commits(order.key) == 1

    async def test_another_order_under_our_key_is_refused_and_left_alone(self, erp: ErpAdapter, plant: Erp) -> None:
        order = make_order("foreign")
        await erp.deliver([order])
        strange = {"msdyn_workordersummary": "a pump", "msdyn_instructions": "oil it", "_msdyn_priority_value": None}
        plant.turn("dynamics", edit={"key": order.key, **strange})
        [outcome] = await erp.deliver([order])
        assert isinstance(outcome, Rejected)
        assert "as another order" in outcome.reason and "msdyn_workordersummary" in outcome.reason
        assert record(plant, order.key)["msdyn_workordersummary"] == "a pump"

    @pytest.mark.parametrize("kind", ["garbage", "truncated", "error_before"])
    async def test_what_cannot_be_read_back_stays_in_doubt(self, erp: ErpAdapter, plant: Erp, kind: str) -> None:
        order = make_order(f"not read back {kind}")
        await erp.deliver([order])
        plant.faults({"kind": kind, "method": "GET", "path": ROOT})
        [outcome] = await erp.deliver([order])
        assert isinstance(outcome, Uncertain)

    async def test_an_unknown_column_is_named(self, plant: Erp) -> None:
        adapter = settings(plant, mapping={"andon_colour": "impact"}).open()
        [outcome] = await adapter.deliver([make_order("unknown column")])
        assert isinstance(outcome, Rejected)
        assert "field andon_colour" in outcome.reason and "go.microsoft.com" not in outcome.reason
        await adapter.close()

    async def test_a_link_that_leads_nowhere_is_refused(self, plant: Erp) -> None:
        account = {"msdyn_serviceaccount@odata.bind": Rule(constant="/accounts(accountnumber='nobody')")}
        adapter = settings(plant, mapping=account).open()
        [outcome] = await adapter.deliver([make_order("no account")])
        assert isinstance(outcome, Rejected) and "Does Not Exist" in outcome.reason
        await adapter.close()

    async def test_a_refusal_names_no_user(self, erp: ErpAdapter, plant: Erp) -> None:
        plant.faults({"kind": "forbidden", "count": 1, **CREATE})
        [outcome] = await erp.deliver([make_order("forbidden")])
        assert isinstance(outcome, Rejected)
        assert "the privilege Create on msdyn_workorder is missing" in outcome.reason
        assert "ROBIN" not in outcome.reason and "1111" not in outcome.reason


class TestChange:
    async def test_what_grew_is_written_and_what_a_planner_changed_is_kept(self, erp: ErpAdapter, plant: Erp) -> None:
        before = make_order("amend")
        ref = await deliver(erp, "amend")
        plant.turn("dynamics", edit={"key": ref.key, "msdyn_workordersummary": "the planner's own"})
        after = msgspec.structs.replace(before, title="it grew", priority=1)
        for _ in range(2):
            outcome = await erp.amend(ref, before, after)
            assert isinstance(outcome, Delivered), outcome
            assert outcome.kept == ("msdyn_workordersummary",)
        row = record(plant, ref.key)
        assert row["msdyn_workordersummary"] == "the planner's own"
        assert row["_msdyn_priority_value"] == "00000000-0000-0000-0000-000000000001"
        assert "it grew" in row["msdyn_instructions"]

    async def test_a_change_in_between_is_read_anew(self, erp: ErpAdapter, plant: Erp) -> None:
        before = make_order("stale")
        ref = await deliver(erp, "stale")
        after = msgspec.structs.replace(before, priority=4)
        plant.faults({"kind": "slow", "seconds": 0.3, "count": 1, "method": "PATCH", "path": ROOT})
        change = asyncio.create_task(erp.amend(ref, before, after))
        await plant.until(lambda state: state["faults"][0]["fired"] == 1)
        plant.turn("dynamics", edit={"key": ref.key, "andon_failuremode": "noise"})
        outcome = await change
        assert isinstance(outcome, Delivered), outcome
        row = record(plant, ref.key)
        assert (row["andon_failuremode"], row["_msdyn_priority_value"][-1]) == ("noise", "4")

    async def test_an_order_is_taken_back_only_while_nobody_has_begun(self, erp: ErpAdapter, plant: Erp) -> None:
        ref = await deliver(erp, "cancel")
        for _ in range(2):
            outcome = await erp.cancel(ref, make_order("cancel"), "false alarm")
            assert isinstance(outcome, Delivered) and outcome.ref.state == "cancelled"
        assert record(plant, ref.key)["msdyn_systemstatus"] == 690970005
        begun = await deliver(erp, "begun")
        plant.turn("dynamics", edit={"key": begun.key, "msdyn_systemstatus": 690970002})
        outcome = await erp.cancel(begun, make_order("begun"), "false alarm")
        assert isinstance(outcome, Rejected) and "In Progress" in outcome.reason

    @pytest.mark.parametrize(
        ("code", "status", "state"),
        [
            (690970001, "Scheduled", "open"),
            (690970003, "Completed", "done"),
            (690970004, "Posted", "done"),
            (690970005, "Canceled", "cancelled"),
        ],
    )
    async def test_a_status_code_is_told_by_its_name(self, plant: Erp, code: int, status: str, state: str) -> None:
        adapter = settings(plant, closing_column="andon_closingcode").open()
        ref = await deliver(adapter, f"closed {code}")
        plant.turn("dynamics", edit={"key": ref.key, "msdyn_systemstatus": code, "andon_closingcode": "BEARING"})
        told = await adapter.status(ref)
        assert (told.status, told.state) == (status, state)
        assert told.closing_code == ("BEARING" if state in {"done", "cancelled"} else None)
        await adapter.close()


@pytest.mark.parametrize(
    ("fields", "habits", "said"),
    [
        ({"mapping": {"andon_colour": "impact"}}, {}, "mapping.andon_colour: the ERP has no such field"),
        ({"mapping": {"msdyn_workordersummary": Rule(source="title", longest=4000)}}, {}, "holds 2000 characters"),
        ({"mapping": {"msdyn_customerasset@odata.bind": Rule(constant="/x(1)")}}, {}, "msdyn_customerasset@odata.bind"),
        ({"mapping": {"andon_assetdown": Rule(constant="yes")}}, {}, "is boolean there, and string is sent"),
        ({"key_column": "andon_closing"}, {}, "key_column: the table has no column andon_closing"),
        ({"key_column": "msdyn_name"}, {}, "no active alternate key"),
        ({}, {"key": "Pending"}, "its index is Pending"),
        ({}, {"locking": False}, "optimistic concurrency"),
        ({}, {"rights": ["Create", "Read", "Write", "Append"]}, "prvAppendTomsdyn_workorder"),
    ],
)
async def test_what_is_wrong_is_named_before_the_first_order(
    plant: Erp, fields: dict[str, object], habits: dict[str, object], said: str
) -> None:
    plant.turn("dynamics", **habits)
    adapter = settings(plant, **fields).open()
    faults = await adapter.verify()
    assert any(said in fault for fault in faults), faults
    await adapter.close()


async def test_a_token_for_another_place_is_named(plant: Erp) -> None:
    adapter = settings(plant, scope="https://elsewhere.example/.default").open()
    faults = await adapter.verify()
    assert faults == ["main: the token is not accepted; see audience and scope"]
    [outcome] = await adapter.deliver([make_order("elsewhere")])
    assert isinstance(outcome, Throttled)
    await adapter.close()


async def test_a_wrong_secret_is_named_and_not_shown(plant: Erp, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_DYNAMICS_SECRET", "wrong-one")
    adapter = settings(plant).open()
    [fault] = await adapter.verify()
    assert "invalid_client" in fault and "wrong-one" not in fault
    await adapter.close()


def test_the_sample_is_right(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DYNAMICS_SECRET", "x")
    found = sampled(Settings, SAMPLE, "dynamics")
    assert found.scope == "https://contoso.crm.dynamics.com/.default"
    assert str(found.token_url).startswith("https://login.microsoftonline.com/00000000-")
    assert found.open().name == "main"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"base_url": "http://contoso.example"}, "plain text"),
        ({"tenant": ""}, "needs token_url"),
        ({"links": {ASSET: "msdyn_customerassets({})"}}, "begins with a slash"),
        ({"key_column": "andon key"}, "key_column"),
    ],
)
def test_wrong_settings_are_named(change: dict[str, object], said: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=said):
        sampled(Settings, SAMPLE, "dynamics", **change)


def test_a_link_that_is_none_is_a_fault_at_start(plant: Erp) -> None:
    with pytest.raises(Misconfigured, match="is no link"):
        settings(plant, links={}, mapping={ASSET: "asset"}).open()
    with pytest.raises(Misconfigured, match="filled in already"):
        settings(plant, mapping={"andon_key": "key"}).open()


def test_a_link_is_known_again_only_when_it_is_by_an_id_alone() -> None:
    whole = f"/msdyn_customerassets({'AB' * 4}-0000-0000-0000-000000000001)"
    by_id: Table = {ASSET: Rule(source="asset", values={"M-07": whole})}
    mixed: Table = {ASSET: Rule(source="asset", values={"M-07": whole, "M-08": "/msdyn_customerassets(a='8')"})}
    assert Linked(by_id, {}).sets == {ASSET: "msdyn_customerassets"}
    assert Linked(mixed, {}).sets == {}
    assert Linked(by_id, {ASSET: "/msdyn_customerassets(a='{}')"}).sets == {}
    body = Linked(by_id, {})
    row = b'{"_msdyn_customerasset_value": "abababab-0000-0000-0000-000000000001"}'
    shown = reading("msdyn_systemstatus", body.sets)(Answer(200, httpx2.Headers(), row)).body
    assert shown[ASSET] == body.fields(make_order("by id", asset="M-07"))[ASSET]


def test_links_are_encoded_and_an_asset_without_one_is_refused() -> None:
    table: Table = {ASSET: "asset", "b@odata.bind": Rule(source="asset", values={"M-07": "/things(1)"})}
    body = Linked(table, {ASSET: "/msdyn_customerassets(andon_asset='{}')"})
    told = body.fields(make_order("link", asset="M-07"))
    assert told == {ASSET: "/msdyn_customerassets(andon_asset='M-07')", "b@odata.bind": "/things(1)"}
    alone = Linked({ASSET: "asset"}, {ASSET: "/msdyn_customerassets(andon_asset='{}')"})
    assert (
        alone.fields(make_order("quote", asset="M'7/1"))[ASSET] == "/msdyn_customerassets(andon_asset='M%27%277%2F1')"
    )
    with pytest.raises(Refused, match="no link for 'M-08'"):
        body.fields(make_order("no link", asset="M-08"))


@pytest.mark.parametrize(
    "body", [b"", b"<html></html>", b'{"error":', b'{"error": "x"}', b"[1]", b'{"error":{"message":1}}']
)
def test_an_answer_that_is_none_is_read_without_a_fault(body: bytes) -> None:
    read = reading("msdyn_systemstatus", {})
    for status in (200, 400, 403, 500):
        said = read(Answer(status, httpx2.Headers(), body))
        assert said.status == status


class TestSimulator:
    """The simulated environment does what Microsoft documents, beyond what our adapter asks of it."""

    @pytest.fixture
    def http(self, plant: Erp) -> Iterator[httpx2.Client]:
        form = {"grant_type": "client_credentials", "scope": f"{plant.url}/.default"}
        who = (quote(plant.ready["client_id"], safe=""), quote(SECRET, safe=""))
        token = plant.http.post("/oauth/token", data=form, auth=who).json()["access_token"]
        headers = {"authorization": f"Bearer {token}"}
        with httpx2.Client(base_url=f"{plant.url}{ROOT}", headers=headers, trust_env=False) as client:
            yield client

    def test_an_upsert_without_a_condition_makes_and_then_writes_over(self, http: httpx2.Client) -> None:
        path = "msdyn_workorders(andon_key='AN-UPSERT')"
        made = http.patch(path, json={"msdyn_workordersummary": "one"})
        assert made.status_code == 204 and "/msdyn_workorders(0000" in made.headers["odata-entityid"]
        assert http.patch(path, json={"msdyn_workordersummary": "two"}).status_code == 204
        assert http.get(path).json()["msdyn_workordersummary"] == "two"

    def test_conditions_keep_from_making_and_from_writing_over(self, http: httpx2.Client) -> None:
        path = "msdyn_workorders(andon_key='AN-LIMIT')"
        assert http.patch(path, json={}, headers={"if-match": "*"}).status_code == 404
        assert http.patch(path, json={}, headers={"if-none-match": "*"}).status_code == 204
        again = http.patch(path, json={}, headers={"if-none-match": "*"})
        assert (again.status_code, again.json()["error"]["code"]) == (412, "")
        assert http.patch(path, json={}, headers={"if-match": 'W/"1"'}).status_code == 412
        assert http.patch(path, json={}, headers={"if-match": http.get(path).json()["@odata.etag"]}).status_code == 204

    def test_several_are_made_or_none(self, http: httpx2.Client) -> None:
        path = "msdyn_workorders/Microsoft.Dynamics.CRM.CreateMultiple"
        kind = {"@odata.type": "Microsoft.Dynamics.CRM.msdyn_workorder"}
        good = [{**kind, "andon_key": f"AN-MANY-{number}"} for number in range(3)]
        assert len(http.post(path, json={"Targets": good}).json()["Ids"]) == 3
        mixed = [{**kind, "andon_key": "AN-MANY-9"}, good[0]]
        assert http.post(path, json={"Targets": mixed}).status_code == 412
        assert http.get("msdyn_workorders(andon_key='AN-MANY-9')").status_code == 404

    def test_a_token_for_another_place_is_none(self, plant: Erp) -> None:
        assert plant.http.get(f"{ROOT}WhoAmI").status_code == 401
