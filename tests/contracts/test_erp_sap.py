"""The SAP adapter keeps the contract against what SAP documents, and what is special to it. Not certified."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar
from zoneinfo import ZoneInfo

import httpx2
import msgspec
import pytest

from connectors.erp.mapping import Rule
from connectors.erp.sap import SAMPLE, Settings
from connectors.erp.sap.values import NoValueError, Property, encoded, properties
from gateway.core.delivery import Delivered, ErpRef, Idempotency, Rejected, Throttled, Uncertain, Unsent
from gateway.core.errors import Misconfigured, Refused
from gateway.core.ports import ErpAdapter
from gateway.core.secret import SecretRef
from gateway.core.units import Duration, decode
from tests.contracts.erp_adapter import ErpAdapterContract, OAuthContract
from tests.erp_makes import deliver, sampled
from tests.erp_papers import certificate
from tests.erp_planners import AtSap
from tests.erp_plant import Planner
from tests.erp_process import SECRET, Erp, make_order, running_erp

ROOT = "/sap/opu/odata/sap/"
NOTIFICATIONS = f"{ROOT}API_MAINTNOTIFICATION/MaintenanceNotification"
ORDERS = f"{ROOT}API_MAINTENANCEORDER;v=0002/MaintenanceOrder"
POST_NOTIFICATION = {"method": "POST", "path": NOTIFICATIONS}
POST_ORDER = {"method": "POST", "path": ORDERS}
ASK = {"method": "GET", "path": NOTIFICATIONS}


def settings(plant: Erp, **fields: object) -> Settings:
    given: dict[str, object] = {
        "name": "main",
        "base_url": plant.url,
        "user": plant.ready["client_id"],
        "password": SecretRef(env="TEST_SAP_SECRET"),
        "timeout": Duration(1.0),
        "settle": Duration(1.0),
        "zone": "Asia/Shanghai",
    }
    return Settings(**{**given, **fields})  # type: ignore[arg-type]  # a table of test values


def with_token(plant: Erp, **fields: object) -> Settings:
    token: dict[str, object] = {
        "user": "",
        "password": None,
        "token_url": plant.ready["token_url"],
        "client_id": plant.ready["client_id"],
        "client_secret": SecretRef(env="TEST_SAP_SECRET"),
        "audience": "erp",
    }
    return settings(plant, **{**token, **fields})


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


@pytest.fixture
def calm() -> Iterator[Erp]:
    """Give an SAP that nobody else asks: its journal shows the newest thousand requests, and here they are counted."""
    with running_erp() as erp:
        yield fresh(erp)


def fresh(process: Erp) -> Erp:
    process.faults()
    actions = {"CompleteMaintNotification": "NOCO", "SetMaintOrdStsToMrkdForDeltn": "DLFL", "CloseOrder": "DLFL"}
    process.turn("sap", repeatability="accepted", remembers=43200.0, slash=True, actions=actions)
    return process


@pytest.fixture
async def erp(plant: Erp) -> AsyncIterator[ErpAdapter]:
    adapter = settings(plant, cancel_action="CloseOrder").open()
    yield adapter
    await adapter.close()


def record(plant: Erp, number: str) -> dict[str, Any]:
    [found] = [order["order"] for order in plant.state()["orders"] if int(order["number"][3:]) == int(number)]
    return dict(found)


def notifications(plant: Erp, key: str) -> int:
    return plant.commits(f"notification {key}")


class TestRequestId(ErpAdapterContract):
    """An SAP that honours RequestID, and from which nothing is taken back; replies to the notification are lost."""

    create: ClassVar[dict[str, str]] = POST_NOTIFICATION
    ask: ClassVar[dict[str, str]] = ASK
    change: ClassVar[dict[str, str]] = {"method": "PATCH", "path": ROOT}
    bad: ClassVar[dict[str, Any]] = {"asset": "M" * 19}

    def open(self, plant: Erp) -> ErpAdapter:
        return settings(plant, cancel_action="").open()

    @pytest.fixture
    def planner(self, plant: Erp) -> Planner:
        return AtSap(plant)

    @pytest.fixture
    async def erp(self, plant: Erp) -> AsyncIterator[ErpAdapter]:
        adapter = self.open(plant)
        assert await adapter.verify() == []
        assert adapter.capabilities.idempotency is Idempotency.HEADER
        assert adapter.capabilities.replay_window == timedelta(hours=6)
        yield adapter
        await adapter.close()


class TestLookup(OAuthContract):
    """An SAP that does not honour RequestID, behind OAuth2; replies to the order are lost."""

    create: ClassVar[dict[str, str]] = POST_ORDER
    ask: ClassVar[dict[str, str]] = ASK
    everything: ClassVar[str] = ROOT
    change: ClassVar[dict[str, str]] = {"method": "PATCH", "path": ROOT}
    bad: ClassVar[dict[str, Any]] = {"asset": "M" * 19}
    withdraw: ClassVar[dict[str, str]] = {"method": "POST", "path": f"{ROOT}API_MAINTENANCEORDER;v=0002/CloseOrder"}

    def open(self, plant: Erp) -> ErpAdapter:
        return with_token(plant, cancel_action="CloseOrder").open()

    @pytest.fixture
    def planner(self, plant: Erp) -> Planner:
        return AtSap(plant)

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


class TestDelivery:
    async def test_a_notification_has_our_key_and_the_order_is_made_from_it(self, erp: ErpAdapter, plant: Erp) -> None:
        title = "👩‍🔧" * 12 + "轴承"
        ref = await deliver(erp, "two steps", title=title)
        order = record(plant, ref.number)
        notification = record(plant, order["MaintenanceNotification"])
        assert len(ref.number) == 12 and notification["MaintNotifExtReferenceNumber"] == ref.key
        assert notification["NotificationText"] == "👩‍🔧" * 8 and order["Equipment"] == "M-07"
        assert (
            title in notification["MaintNotifLongTextForEdit"] and ref.key in notification["MaintNotifLongTextForEdit"]
        )
        assert notification["MalfunctionStartDate"] == "/Date(1795219200000)/"
        assert notification["MalfunctionStartTime"] == "PT16H00M00S"
        assert (notifications(plant, ref.key), plant.commits(ref.key)) == (1, 1)

    async def test_a_notification_without_its_order_is_not_an_order_yet(self, erp: ErpAdapter, plant: Erp) -> None:
        order = make_order("half")
        plant.faults({"kind": "error_before", "count": 1, **POST_ORDER})
        [outcome] = await erp.deliver([order])
        assert isinstance(outcome, Uncertain)
        assert await erp.find(order.key) == [] and notifications(plant, order.key) == 1
        [outcome] = await erp.deliver([order])
        assert isinstance(outcome, Delivered) and outcome.created
        assert (notifications(plant, order.key), plant.commits(order.key)) == (1, 1)

    async def test_a_wait_that_a_question_is_answered_with_is_kept(self, erp: ErpAdapter, plant: Erp) -> None:
        plant.faults({"kind": "throttle", "retry_after": 7, "count": 1, "method": "GET", "path": ROOT})
        [outcome] = await erp.deliver([make_order("asked too soon")])
        assert isinstance(outcome, Throttled) and outcome.after == timedelta(seconds=7)

    async def test_an_order_that_is_refused_names_its_notification(self, erp: ErpAdapter, plant: Erp) -> None:
        plant.faults({"kind": "refuse", "count": 1, **POST_ORDER})
        [outcome] = await erp.deliver([make_order("order refused")])
        assert isinstance(outcome, Rejected)
        assert "notification 0000" in outcome.reason and "ERROR_LOG" not in outcome.reason

    async def test_an_order_without_a_token_for_it_names_its_notification(self, erp: ErpAdapter, plant: Erp) -> None:
        await deliver(erp, "a session is there")
        plant.turn("sap", log_off=True)
        plant.faults({"kind": "forbidden", "method": "GET", "path": f"{ROOT}API_MAINTENANCEORDER;v=0002/"})
        [outcome] = await erp.deliver([make_order("no token for orders")])
        assert isinstance(outcome, Rejected), outcome
        assert "403" in outcome.reason and "its notification 0000" in outcome.reason

    async def test_a_repeated_request_id_is_carried_out_once(self, erp: ErpAdapter, plant: Erp) -> None:
        order = make_order("repeated")
        plant.faults({"kind": "ghost", "seconds": 1.5, "count": 1, **POST_NOTIFICATION})
        [first] = await erp.deliver([order])
        [second] = await erp.deliver([order])
        assert isinstance(first, Uncertain) and isinstance(second, Uncertain)
        await plant.until(lambda state: state["commits"].get(f"notification {order.key}") == 1)
        [third] = await erp.deliver([order])
        assert isinstance(third, Delivered)
        assert (notifications(plant, order.key), plant.commits(order.key)) == (1, 1)

    async def test_an_outdated_request_id_is_doubt_and_never_a_second_order(self, erp: ErpAdapter, plant: Erp) -> None:
        order = make_order("outdated")
        ref = await deliver(erp, "outdated")
        plant.turn("sap", repeatability="outdated", edit={"number": ref.number, "MaintenanceNotification": "0"})
        [outcome] = await erp.deliver([order])
        assert isinstance(outcome, Uncertain) and "RequestID" in outcome.cause
        assert (notifications(plant, order.key), plant.commits(order.key)) == (1, 1)

    async def test_a_code_is_never_cut_and_a_text_is(self, erp: ErpAdapter, plant: Erp) -> None:
        [outcome] = await erp.deliver([make_order("long code", asset="M" * 19)])
        assert isinstance(outcome, Rejected)
        assert "Equipment holds 18 characters" in outcome.reason
        assert notifications(plant, make_order("long code", asset="M" * 19).key) == 0

    async def test_many_at_once_have_a_session_each_and_lost_ones_are_opened_once_more(self, calm: Erp) -> None:
        adapter = settings(calm, connections=6).open()
        before = _fetches(calm)
        names = [f"csrf {number}" for number in range(6)]
        await asyncio.gather(*(deliver(adapter, name, asset=name) for name in names))
        opened = _fetches(calm) - before
        assert opened <= 2 * 6  # one for each of the two services, in each session
        for round_ in range(3):
            await asyncio.gather(*(deliver(adapter, f"{name} {round_}", asset=name) for name in names))
        assert _fetches(calm) - before <= 2 * 6  # sessions are used again
        calm.turn("sap", log_off=True)
        await asyncio.gather(*(deliver(adapter, f"again {name}", asset=name) for name in names))
        assert _fetches(calm) - before <= 4 * 6
        await adapter.close()

    async def test_one_write_after_the_other_needs_one_session(self, calm: Erp) -> None:
        adapter = settings(calm).open()
        before = _fetches(calm)
        for number in range(4):
            await deliver(adapter, f"alone {number}")
        assert _fetches(calm) == before + 2
        await adapter.close()

    async def test_who_gets_no_session_in_time_sent_nothing(self, plant: Erp) -> None:
        adapter = settings(plant, connections=1).open()
        plant.faults({"kind": "hang", "seconds": 30, "count": 2, **POST_NOTIFICATION})
        told = await asyncio.gather(*(adapter.deliver([make_order(f"queue {n}", asset=f"{n}")]) for n in range(3)))
        kinds = sorted(type(outcome).__name__ for [outcome] in told)
        assert kinds.count("Unsent") >= 1 and set(kinds) <= {"Unsent", "Uncertain", "Delivered"}
        await adapter.close()

    async def test_without_the_slash_or_the_cookie_there_is_no_service(self, plant: Erp) -> None:
        auth = httpx2.BasicAuth(plant.ready["client_id"], SECRET)
        service = f"{plant.url}{ROOT}API_MAINTNOTIFICATION"
        assert plant.http.get(service, auth=auth, headers={"x-csrf-token": "Fetch"}).status_code == 404
        told = plant.http.get(f"{service}/", auth=auth, headers={"x-csrf-token": "Fetch"})
        plant.http.cookies.clear()
        headers = {"x-csrf-token": told.headers["x-csrf-token"]}
        no = plant.http.post(f"{service}/MaintenanceNotification", auth=auth, headers=headers, json={})
        assert no.status_code == 403 and no.headers["x-csrf-token"] == "Required"


class TestChange:
    async def test_what_changed_is_written_in_both_and_what_a_planner_changed_is_kept(
        self, erp: ErpAdapter, plant: Erp
    ) -> None:
        before = make_order("amend")
        ref = await deliver(erp, "amend")
        plant.turn("sap", edit={"number": ref.number, "MaintenanceOrderDesc": "the planner's own"})
        after = msgspec.structs.replace(before, title="it grew", priority=1)
        for _ in range(2):
            outcome = await erp.amend(ref, before, after)
            assert isinstance(outcome, Delivered), outcome
            assert outcome.kept == ("MaintenanceOrderDesc",)
        order = record(plant, ref.number)
        notification = record(plant, order["MaintenanceNotification"])
        assert (order["MaintenanceOrderDesc"], order["MaintPriority"]) == ("the planner's own", "1")
        assert (notification["NotificationText"], notification["MaintPriority"]) == ("it grew", "1")

    async def test_a_change_in_between_is_read_anew(self, erp: ErpAdapter, plant: Erp) -> None:
        before = make_order("stale")
        ref = await deliver(erp, "stale")
        after = msgspec.structs.replace(before, priority=4)
        plant.faults({"kind": "slow", "seconds": 0.3, "method": "GET", "path": f"{ORDERS}('{ref.number}')"})
        change = asyncio.create_task(erp.amend(ref, before, after))
        await plant.until(lambda state: state["faults"][0]["fired"] >= 2)
        plant.turn("sap", edit={"number": ref.number, "MaintenanceActivityType": "101"})
        outcome = await change
        assert isinstance(outcome, Delivered), outcome
        told = record(plant, ref.number)
        assert (told["MaintPriority"], told["MaintenanceActivityType"]) == ("4", "101")

    async def test_an_order_is_taken_back_only_while_nobody_has_begun(self, erp: ErpAdapter, plant: Erp) -> None:
        order = make_order("cancel")
        ref = await deliver(erp, "cancel")
        for _ in range(2):
            outcome = await erp.cancel(ref, order, "false alarm")
            assert isinstance(outcome, Delivered) and outcome.ref.state == "cancelled"
        number = record(plant, ref.number)["MaintenanceNotification"]
        assert record(plant, number)["ConcatenatedActiveSystStsName"] == "NOCO"
        begun = await deliver(erp, "begun")
        plant.turn("sap", edit={"number": begun.number, "SystemStatusText": "REL MANC"})
        outcome = await erp.cancel(begun, make_order("begun"), "false alarm")
        assert isinstance(outcome, Rejected) and "REL" in outcome.reason

    async def test_an_order_gets_the_deletion_flag_where_nothing_else_is_said(self, plant: Erp) -> None:
        adapter = settings(plant).open()
        ref = await deliver(adapter, "cancel, flag")
        told = await adapter.cancel(ref, make_order("cancel, flag"), "false alarm")
        assert isinstance(told, Delivered) and told.ref.state == "cancelled"
        assert record(plant, ref.number)["SystemStatusText"] == "DLFL"
        await adapter.close()

    async def test_an_order_that_stays_as_it_was_is_not_taken_back(self, erp: ErpAdapter, plant: Erp) -> None:
        plant.turn("sap", actions={"CloseOrder": "CRTD", "CompleteMaintNotification": "NOCO"})
        ref = await deliver(erp, "cancel, nothing happens")
        told = await erp.cancel(ref, make_order("cancel, nothing happens"), "false alarm")
        assert isinstance(told, Rejected) and "CRTD all the same" in told.reason

    async def test_who_made_an_order_is_told_without_a_name(self, erp: ErpAdapter) -> None:
        ref = await deliver(erp, "maker")
        [found] = await erp.find(ref.key)
        assert found.maker and "ANDON" not in found.maker

    async def test_a_notification_that_somebody_works_on_stays_when_its_order_is_taken_back(
        self, erp: ErpAdapter, plant: Erp
    ) -> None:
        ref = await deliver(erp, "cancel, notification begun")
        number = record(plant, ref.number)["MaintenanceNotification"]
        plant.turn("sap", edit={"number": number, "ConcatenatedActiveSystStsName": "NOPR"})
        outcome = await erp.cancel(ref, make_order("cancel, notification begun"), "false alarm")
        assert isinstance(outcome, Delivered) and outcome.ref.state == "cancelled"
        assert record(plant, number)["ConcatenatedActiveSystStsName"] == "NOPR"

    async def test_an_order_is_taken_back_although_its_notification_cannot_be_read(
        self, erp: ErpAdapter, plant: Erp
    ) -> None:
        ref = await deliver(erp, "cancel, notification hidden")
        plant.faults({"kind": "forbidden", "method": "GET", "path": f"{NOTIFICATIONS}("})
        outcome = await erp.cancel(ref, make_order("cancel, notification hidden"), "false alarm")
        assert isinstance(outcome, Delivered) and outcome.ref.state == "cancelled"

    async def test_a_notification_alone_is_enough_where_that_is_wanted(self, plant: Erp) -> None:
        adapter = settings(plant, make_order=False, cancel_action="CompleteMaintNotification").open()
        ref = await deliver(adapter, "notification only")
        assert [found.number for found in await adapter.find(ref.key)] == [ref.number]
        told = await adapter.status(ref)
        assert (told.status, told.state) == ("OSNO", "open") and told.version
        outcome = await adapter.cancel(ref, make_order("notification only"), "false alarm")
        assert isinstance(outcome, Delivered) and outcome.ref.state == "done"
        assert plant.commits(ref.key) == 0
        await adapter.close()

    async def test_a_number_that_is_none_is_refused(self, erp: ErpAdapter) -> None:
        with pytest.raises(Refused):
            await erp.status(ErpRef("AN", "1')/x"))


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"notification": {"ZZ_COLOUR": "impact"}}, "mapping.ZZ_COLOUR"),
        ({"order": {"MaintenanceOrderType": {"constant": "PM001"}}}, "longer than 4"),
        ({"notification": {"RequiredEndDate": "due"}}, "SAP computes it from MaintPriority"),
        ({"cancel_action": "CloseIt"}, "API_MAINTENANCEORDER;v=0002 has no function import CloseIt"),
    ],
)
async def test_what_is_wrong_is_named_before_the_first_order(plant: Erp, fields: dict[str, Any], said: str) -> None:
    row = {
        "name": "main",
        "base_url": plant.url,
        "user": plant.ready["client_id"],
        "password": {"env": "TEST_SAP_SECRET"},
    }
    adapter = msgspec.convert({**row, **fields}, Settings, dec_hook=decode).open()
    faults = await adapter.verify()
    assert any(said in fault for fault in faults), faults
    await adapter.close()


async def test_a_wrong_password_is_named_and_not_shown(plant: Erp, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_SAP_SECRET", "wrong-one")
    adapter = settings(plant).open()
    [fault] = await adapter.verify()
    assert "401" in fault and "wrong-one" not in fault
    [outcome] = await adapter.deliver([make_order("wrong password")])
    assert isinstance(outcome, Throttled)
    await adapter.close()


async def test_a_look_up_that_is_not_answered_sends_nothing(plant: Erp) -> None:
    adapter = settings(plant).open()
    plant.faults({"kind": "error_before", **ASK})
    [outcome] = await adapter.deliver([make_order("no look-up")])
    assert isinstance(outcome, Unsent)
    assert notifications(plant, make_order("no look-up").key) == 0
    await adapter.close()


def test_the_sample_is_right(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAP_PASSWORD", "x")
    found = sampled(Settings, SAMPLE, "sap")
    assert found.replay_window == Duration(6 * 3600) and found.open().name == "main"


async def test_a_certificate_may_prove_the_client_to_the_token_endpoint(tmp_path: Path) -> None:
    public, private = certificate(tmp_path, "client")
    papers = {"cert_file": str(public), "key_file": str(private), "token_url": "https://t.example/oauth/token"}
    who = {"client_auth": "tls", "client_id": "andon", "user": None, "password": None}
    adapter = sampled(Settings, SAMPLE, "sap", **who, **papers).open()
    assert adapter.name == "main"
    await adapter.close()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"base_url": "http://sap.example"}, "plain text"),
        ({"timeout": "10min"}, "at most 1min"),
        ({"user": ""}, "who we are"),
        ({"user": "", "token_url": "https://t.example", "client_id": "c", "cert_file": "c.pem"}, "who we are"),
        ({"user": "", "token_url": "https://t.example", "client_id": "c", "client_auth": "tls"}, "who we are"),
        ({"zone": "Mars/Base"}, "time zone"),
        ({"client": "1"}, "client"),
    ],
)
def test_wrong_settings_are_named(change: dict[str, object], said: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=said):
        sampled(Settings, SAMPLE, "sap", **change)


def test_a_mapping_without_our_key_is_a_fault_at_start(plant: Erp) -> None:
    with pytest.raises(Misconfigured, match="MaintNotifExtReferenceNumber"):
        settings(plant, notification={"MaintNotifExtReferenceNumber": "asset"}).open()


def test_values_follow_the_metadata() -> None:
    known = properties(
        '<EntityType Name="Other"><Property Name="A" Type="Edm.Int32"/></EntityType>'
        '<EntityType Name="Mine"><Property Name="A" Type="Edm.String" MaxLength="3"/><Property Name="B"'
        ' Type="Edm.DateTimeOffset"/></EntityType>',
        "Mine",
    )
    assert known == {"A": Property("Edm.String", 3), "B": Property("Edm.DateTimeOffset")}
    named = (
        '<EntityType Name="MineType"><Property Name="A" Type="Edm.Byte"/></EntityType>'
        '<EntitySet Name="Mine" EntityType="x.MineType"/>'
    )
    assert properties(named, "Mine") == {"A": Property("Edm.Byte")} and properties(named, "Other") == {}
    at = datetime(2026, 11, 21, 23, 30, tzinfo=UTC)
    rules = {"A": Rule(source="title"), "B": Rule(source="due")}
    told = encoded({"A": "abcdef", "B": at.isoformat()}, rules, known, ZoneInfo("Asia/Shanghai"))
    assert told == {"A": "abc", "B": f"/Date({int(at.timestamp()) * 1000}+0000)/"}
    with pytest.raises(NoValueError, match="holds 3"):
        encoded({"A": "abcdef"}, {"A": Rule(source="asset")}, known, ZoneInfo("UTC"))


def _fetches(plant: Erp) -> int:
    return sum(line["method"] == "GET" and line["path"].endswith("/") for line in plant.state()["journal"])
