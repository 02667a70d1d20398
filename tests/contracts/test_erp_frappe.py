"""The Frappe adapter keeps the contract against what Frappe's sources say, and what is special to it."""

import asyncio
import base64
import hmac
import json
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from typing import Any, ClassVar
from zoneinfo import ZoneInfo

import httpx2
import msgspec
import pytest

from connectors.erp.frappe import SAMPLE, Settings
from connectors.erp.frappe.door import read
from connectors.erp.frappe.values import Kind, NoValueError, same, written
from connectors.erp.http import Answer
from connectors.erp.keeper import Kept, Remembering
from connectors.erp.mapping import Rule
from gateway.core.delivery import Delivered, ErpRef, Idempotency, Rejected, Throttled, Uncertain, Unsent
from gateway.core.errors import Misconfigured, Refused, Unreachable
from gateway.core.ports import ErpAdapter
from gateway.core.secret import SecretRef
from gateway.core.units import Duration, decode
from tests.contracts.erp_adapter import ErpAdapterContract, OAuthContract
from tests.erp_makes import deliver, sampled
from tests.erp_planners import AtFrappe
from tests.erp_plant import Planner
from tests.erp_process import SECRET, Erp, make_order, running_erp

KEY = "0123456789abcdef"
V2, V1 = "/frappe/api/v2/document/Asset Repair", "/frappe/api/resource/Asset Repair"
MAKE = {"method": "POST", "path": V2}
LIST = {"method": "GET", "path": V2}
PUT = {"method": "PUT", "path": V2}
REPAIR = {"asset": "asset", "failure_date": "detected_at", "description": Rule(source="text", longest=4000)}


def settings(plant: Erp, **fields: object) -> Settings:
    given: dict[str, object] = {
        "name": "main",
        "base_url": f"{plant.url}/frappe",
        "api_key": SecretRef(env="TEST_FRAPPE_KEY"),
        "api_secret": SecretRef(env="TEST_FRAPPE_SECRET"),
        "zone": "Asia/Shanghai",
        "timeout": Duration(1.0),
    }
    return Settings(**{**given, **fields})  # type: ignore[arg-type]  # a table of test values


def with_token(plant: Erp, **fields: object) -> Settings:
    given: dict[str, object] = {
        "api_key": None,
        "api_secret": None,
        "client_id": plant.ready["client_id"],
        "client_secret": SecretRef(env="TEST_FRAPPE_CLIENT"),
        "refresh_token": SecretRef(env="TEST_FRAPPE_REFRESH"),
    }
    return settings(plant, **{**given, **fields})


@pytest.fixture(autouse=True)
def _secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_FRAPPE_KEY", "andon")
    monkeypatch.setenv("TEST_FRAPPE_SECRET", KEY)
    monkeypatch.setenv("TEST_FRAPPE_CLIENT", SECRET)
    monkeypatch.setenv("TEST_FRAPPE_REFRESH", "the-first-one")


@pytest.fixture(scope="module")
def process() -> Iterator[Erp]:
    with running_erp("--api-key", KEY) as erp:
        yield erp


@pytest.fixture(scope="module")
def another() -> Iterator[Erp]:
    with running_erp("--api-key", KEY) as erp:
        yield erp


@pytest.fixture(scope="module")
def third() -> Iterator[Erp]:
    with running_erp("--api-key", KEY) as erp:
        yield erp


def fresh(process: Erp) -> Erp:
    process.faults()
    process.turn("frappe", rights=["read", "create", "write"], any_asset=True, without=[], hook="", hook_secret="")
    return process


@pytest.fixture
def plant(process: Erp) -> Erp:
    return fresh(process)


@pytest.fixture
async def erp(plant: Erp) -> AsyncIterator[ErpAdapter]:
    adapter = settings(plant).open()
    yield adapter
    await adapter.close()


def record(plant: Erp, ref: ErpRef) -> dict[str, Any]:
    [found] = [order["order"] for order in plant.state()["orders"] if order["order"].get("name") == ref.number]
    return dict(found)


class TestByName(ErpAdapterContract):
    """Our key is the document's name; a second one is refused and read back."""

    create: ClassVar[dict[str, str]] = MAKE
    ask: ClassVar[dict[str, str]] = LIST
    bad: ClassVar[dict[str, Any]] = {"detected_at": None}
    change: ClassVar[dict[str, str]] = PUT
    withdraw: ClassVar[dict[str, str]] = PUT

    def open(self, plant: Erp) -> ErpAdapter:
        return settings(plant).open()

    @pytest.fixture
    def planner(self, plant: Erp) -> Planner:
        return AtFrappe(plant)

    async def test_an_order_is_a_document_whose_name_is_our_key(self, erp: ErpAdapter, plant: Erp) -> None:
        ref = await deliver(erp, "fields")
        told = record(plant, ref)
        assert ref.number == ref.key == told["name"]
        assert (told["asset"], told["repair_status"], ref.state) == ("M-07", "Pending", "open")
        # The site's clock shows Shanghai's time, and says no zone.
        assert told["failure_date"] == "2026-11-21 16:00:00"
        assert f"[{ref.key}]" in told["description"]
        assert erp.capabilities.idempotency is Idempotency.CLIENT_ID

    async def test_a_second_delivery_is_refused_as_a_duplicate_and_read_back(self, erp: ErpAdapter, plant: Erp) -> None:
        ref = await deliver(erp, "twice")
        plant.turn("frappe", edit={"name": ref.number, "description": "seen to by the planner"})
        [again] = await erp.deliver([make_order("twice")])
        assert isinstance(again, Delivered) and not again.created and again.ref.number == ref.number
        assert record(plant, ref)["description"] == "seen to by the planner"

    async def test_somebody_elses_document_of_our_name_is_not_taken_for_ours(self, erp: ErpAdapter, plant: Erp) -> None:
        order = make_order("another's")
        other = {"name": order.key, "doctype": "Asset Repair", "owner": "planner@plant.example", "description": "?"}
        plant.turn("frappe", make=other)
        [outcome] = await erp.deliver([order])
        assert isinstance(outcome, Rejected) and "neither our user made it" in outcome.reason

    async def test_a_duplicate_that_cannot_be_read_back_is_doubt(self, erp: ErpAdapter, plant: Erp) -> None:
        await deliver(erp, "not read back")
        plant.faults({"kind": "error_before", **LIST})
        [outcome] = await erp.deliver([make_order("not read back")])
        assert isinstance(outcome, Uncertain)

    async def test_a_machine_that_is_not_there_is_named(self, erp: ErpAdapter, plant: Erp) -> None:
        plant.turn("frappe", any_asset=False)
        [outcome] = await erp.deliver([make_order("no machine", asset="M-77")])
        assert isinstance(outcome, Rejected)
        assert outcome.reason == "the ERP answered 417: Could not find Asset: M-77"

    async def test_no_right_is_told_without_the_users_name(self, erp: ErpAdapter, plant: Erp) -> None:
        plant.turn("frappe", rights=["read"])
        [outcome] = await erp.deliver([make_order("no right")])
        assert isinstance(outcome, Rejected)
        assert "no right on Asset Repair" in outcome.reason and "Robin" not in outcome.reason

    async def test_a_key_that_is_not_accepted_pauses_and_makes_nothing(self, erp: ErpAdapter, plant: Erp) -> None:
        order = make_order("always 401")
        plant.faults({"kind": "unauthorized", "path": "/frappe/"})
        [outcome] = await erp.deliver([order])
        assert isinstance(outcome, Throttled) and "401" in outcome.cause
        assert plant.commits(order.key) == 0


class TestByUniqueField(OAuthContract):
    """The older interface: a unique Custom Field holds our key; tokens by a refresh token that turns."""

    create: ClassVar[dict[str, str]] = {"method": "POST", "path": V1}
    ask: ClassVar[dict[str, str]] = {"method": "GET", "path": V1}
    # What every call begins with; the token endpoint is under /frappe/api/method, too.
    everything: ClassVar[str] = "/frappe/api/method/frappe.desk"
    bad: ClassVar[dict[str, Any]] = {"detected_at": None}
    change: ClassVar[dict[str, str]] = {"method": "PUT", "path": V1}
    withdraw: ClassVar[dict[str, str]] = {"method": "PUT", "path": V1}

    def open(self, plant: Erp) -> ErpAdapter:
        return with_token(plant, api="v1", identity="field", key_field="custom_andon_key").open()

    @pytest.fixture
    def planner(self, plant: Erp) -> Planner:
        return AtFrappe(plant)

    @pytest.fixture
    def plant(self, another: Erp) -> Erp:
        return fresh(another)

    @pytest.fixture
    async def erp(self, plant: Erp) -> AsyncIterator[ErpAdapter]:
        # It may be used again: nothing keeps the newest for the next adapter of these tests.
        plant.tokens(refresh="the-first-one", rotate=False, fail=0)
        adapter = self.open(plant)
        yield adapter
        await adapter.close()

    async def test_a_document_gets_a_number_of_its_own(self, erp: ErpAdapter, plant: Erp) -> None:
        ref = await deliver(erp, "series")
        assert ref.number.startswith("ACC-ASR-2026-") and record(plant, ref)["custom_andon_key"] == ref.key
        assert erp.capabilities.idempotency is Idempotency.CLIENT_ID

    async def test_the_refresh_token_turns_and_the_newest_is_kept(self, plant: Erp) -> None:
        plant.tokens(refresh="the-first-one", rotate=True)
        keeper = Kept()
        adapter = with_token(plant, api="v1", identity="field", key_field="custom_andon_key").open()
        assert isinstance(adapter, Remembering)
        adapter.keep_with(keeper)
        await deliver(adapter, "turned")
        first = keeper.newest()
        assert first and first != "the-first-one"
        plant.revoke()
        await deliver(adapter, "turned again")
        assert keeper.newest() not in {"", first}
        await adapter.close()

    async def test_a_refresh_token_that_ended_is_named_with_what_to_do(self, plant: Erp) -> None:
        plant.tokens(refresh="another-one")
        adapter = with_token(plant, api="v1", identity="field", key_field="custom_andon_key").open()
        [fault] = await adapter.verify()
        assert "invalid_grant" in fault and "consent anew" in fault and "the-first-one" not in fault
        await adapter.close()


class TestLookup(ErpAdapterContract):
    """A field that is not unique: doubt is ended by looking up."""

    create: ClassVar[dict[str, str]] = MAKE
    ask: ClassVar[dict[str, str]] = LIST
    bad: ClassVar[dict[str, Any]] = {"detected_at": None}
    change: ClassVar[dict[str, str]] = PUT
    withdraw: ClassVar[dict[str, str]] = PUT

    def open(self, plant: Erp) -> ErpAdapter:
        given = {"identity": "lookup", "key_field": "custom_loose_key", "settle": Duration(1.6)}
        return settings(plant, **given).open()

    @pytest.fixture
    def planner(self, plant: Erp) -> Planner:
        return AtFrappe(plant)

    @pytest.fixture
    def plant(self, third: Erp) -> Erp:
        return fresh(third)

    @pytest.fixture
    async def erp(self, plant: Erp) -> AsyncIterator[ErpAdapter]:
        adapter = self.open(plant)
        assert adapter.capabilities.idempotency is Idempotency.LOOKUP
        yield adapter
        await adapter.close()


class TestChanges:
    async def test_what_changed_is_written_and_what_a_planner_changed_is_kept(
        self, erp: ErpAdapter, plant: Erp
    ) -> None:
        before = make_order("amend")
        ref = await deliver(erp, "amend")
        plant.turn("frappe", edit={"name": ref.number, "description": "the planner's own words"})
        after = msgspec.structs.replace(before, asset="M-08", description="worse now")
        for _ in range(2):
            outcome = await erp.amend(ref, before, after)
            assert isinstance(outcome, Delivered) and outcome.kept == ("description",) and not outcome.created
        told = record(plant, ref)
        assert (told["asset"], told["description"]) == ("M-08", "the planner's own words")
        assert sum(line["method"] == "PUT" and ref.key in line["path"] for line in plant.state()["journal"]) == 1

    async def test_a_change_in_between_is_seen_and_read_anew_once(self, erp: ErpAdapter, plant: Erp) -> None:
        before = make_order("stale")
        ref = await deliver(erp, "stale")
        after = msgspec.structs.replace(before, description="worse now", asset="M-08")
        plant.faults({"kind": "slow", "seconds": 0.4, "count": 1, **PUT})
        changing = asyncio.create_task(erp.amend(ref, before, after))
        await plant.until(lambda state: state["faults"][0]["fired"] == 1)
        plant.turn("frappe", edit={"name": ref.number, "description": "the planner was faster"})
        outcome = await changing
        assert isinstance(outcome, Delivered) and outcome.kept == ("description",)
        told = record(plant, ref)
        assert (told["asset"], told["description"]) == ("M-08", "the planner was faster")

    async def test_a_lost_reply_to_a_change_is_doubt_and_the_next_try_ends_it(
        self, erp: ErpAdapter, plant: Erp
    ) -> None:
        before = make_order("amend lost")
        ref = await deliver(erp, "amend lost")
        after = msgspec.structs.replace(before, asset="M-09")
        plant.faults({"kind": "lost_reply", "count": 1, **PUT})
        assert isinstance(await erp.amend(ref, before, after), Uncertain)
        again = await erp.amend(ref, before, after)
        assert isinstance(again, Delivered) and again.kept == ()
        assert record(plant, ref)["asset"] == "M-09"

    async def test_a_draft_that_nobody_began_is_taken_back_once_with_the_reason(
        self, erp: ErpAdapter, plant: Erp
    ) -> None:
        order = make_order("cancel")
        ref = await deliver(erp, "cancel")
        for _ in range(2):
            outcome = await erp.cancel(ref, order, "the sensor was loose")
            assert isinstance(outcome, Delivered) and outcome.ref.state == "cancelled"
        told = record(plant, ref)
        assert told["repair_status"] == "Cancelled" and told["description"].count("the sensor was loose") == 1
        late = await erp.amend(ref, order, msgspec.structs.replace(order, asset="M-01"))
        assert isinstance(late, Rejected) and "Cancelled" in late.reason

    @pytest.mark.parametrize("edit", [{"docstatus": 1}, {"repair_status": "Completed"}])
    async def test_who_has_begun_wins(self, erp: ErpAdapter, plant: Erp, edit: dict[str, object]) -> None:
        name = f"begun {edit}"
        ref = await deliver(erp, name)
        plant.turn("frappe", edit={"name": ref.number, **edit})
        outcome = await erp.cancel(ref, make_order(name), "false alarm")
        assert isinstance(outcome, Rejected) and "somebody has begun" in outcome.reason
        assert "false alarm" not in record(plant, ref)["description"]

    async def test_a_cancelled_document_is_cancelled_whatever_its_status_says(
        self, erp: ErpAdapter, plant: Erp
    ) -> None:
        ref = await deliver(erp, "docstatus")
        plant.turn("frappe", edit={"name": ref.number, "docstatus": 2})
        assert (await erp.status(ref)).state == "cancelled"
        with pytest.raises(Refused, match="no Asset Repair X-1 in the ERP"):
            await erp.status(ErpRef(ref.key, "X-1"))


class TestIssue:
    """Another DocType: rich text, no cancelled state of its own, a closing code."""

    @pytest.fixture
    async def erp(self, plant: Erp) -> AsyncIterator[ErpAdapter]:
        adapter = settings(plant, doctype="Issue").open()
        assert await adapter.verify() == []
        yield adapter
        await adapter.close()

    async def test_a_text_is_written_as_markup_and_a_closing_code_comes_back(self, erp: ErpAdapter, plant: Erp) -> None:
        ref = await deliver(erp, "issue", title="M-07: <bearing> & more")
        told = record(plant, ref)
        assert told["subject"] == "M-07: <bearing> & more" and told["priority"] == "High"
        assert "&lt;bearing&gt; &amp; more<br>" in told["description"]
        plant.turn("frappe", edit={"name": ref.number, "status": "Closed", "issue_type": "Bearing"})
        now = await erp.status(ref)
        assert (now.status, now.state, now.closing_code) == ("Closed", "done", "Bearing")

    async def test_one_that_was_closed_as_a_false_alarm_is_cancelled_and_not_done(
        self, erp: ErpAdapter, plant: Erp
    ) -> None:
        order = make_order("issue cancel")
        ref = await deliver(erp, "issue cancel")
        outcome = await erp.cancel(ref, order, "the sensor was loose")
        assert isinstance(outcome, Delivered) and outcome.ref.state == "cancelled"
        assert outcome.ref.closing_code is None
        assert record(plant, ref)["description"].count("the sensor was loose") == 1


@pytest.mark.parametrize(
    ("habits", "fields", "said"),
    [
        ({"rights": ["read", "write"]}, {}, "may not create Asset Repair"),
        ({"rights": ["create", "write"]}, {}, "may not read Asset Repair"),
        ({"without": ["description"]}, {}, "Asset Repair has no field description; see carrier"),
        ({}, {"doctype": "Asset Repare", "carrier": {"status_field": "s", "states": {}}}, "no DocType 'Asset Repare'"),
        ({}, {"mapping": {"asset": "asset", "failure_date": "detected_at", "x_colour": "impact"}}, "mapping.x_colour"),
        ({}, {"mapping": {"asset": "asset", "failure_date": "detected_at", "downtime": "impact"}}, "can only be read"),
        ({}, {"mapping": {"asset": "asset"}}, "Asset Repair.failure_date must be filled"),
        ({"any_asset": False}, {"mapping": {"asset": {"constant": "M-77"}, "failure_date": "due"}}, "no Asset 'M-77'"),
        ({}, {"identity": "field", "key_field": "custom_loose_key"}, "custom_loose_key is not unique"),
        ({}, {"identity": "field", "key_field": "custom_no_key"}, "make a Custom Field of type Data, unique"),
        (
            {},
            {"carrier": {"status_field": "repair_status", "states": {"Pending": "open"}}},
            "has a state 'Completed' that carrier.states does not know",
        ),
        (
            {},
            {"carrier": {"status_field": "repair_status", "states": {}, "cancel": {"repair_status": "Gone"}}},
            "carrier.cancel: field repair_status takes Pending, Completed, Cancelled, not 'Gone'",
        ),
    ],
)
async def test_what_is_wrong_is_named_before_the_first_order(
    plant: Erp, habits: dict[str, object], fields: dict[str, object], said: str
) -> None:
    plant.turn("frappe", **habits)
    row = {
        "name": "main",
        "base_url": f"{plant.url}/frappe",
        "api_key": {"env": "TEST_FRAPPE_KEY"},
        "api_secret": {"env": "TEST_FRAPPE_SECRET"},
        "mapping": {"asset": "asset", "failure_date": "detected_at"},
        **fields,
    }
    adapter = msgspec.convert(row, Settings, dec_hook=decode).open()
    faults = await adapter.verify()
    assert any(said in fault for fault in faults), faults
    assert not any("Robin" in fault or "robin" in fault for fault in faults)
    await adapter.close()


async def test_a_wrong_key_is_named_and_not_shown(plant: Erp, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_FRAPPE_SECRET", "another-key-altogether")
    adapter = settings(plant).open()
    [fault] = await adapter.verify()
    assert "not accepted" in fault and "another-key" not in fault
    await adapter.close()


async def test_an_erp_that_is_away_is_unreachable_and_nothing_was_sent(plant: Erp) -> None:
    adapter = settings(plant, base_url="http://127.0.0.1:9").open()
    with pytest.raises(Unreachable):
        await adapter.verify()
    [outcome] = await adapter.deliver([make_order("away")])
    assert isinstance(outcome, Unsent)
    await adapter.close()


async def test_its_webhook_is_signed_over_its_body(erp: ErpAdapter, plant: Erp) -> None:
    heard: asyncio.Queue[tuple[str, bytes]] = asyncio.Queue()

    async def hear(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        length = int(head.lower().split("content-length: ")[1].split("\r\n")[0])
        heard.put_nowait((head, await reader.readexactly(length)))
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(hear, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        signing = {"hook": f"http://127.0.0.1:{port}/web", "hook_secret": "s3cret"}
        plant.turn("frappe", **signing)
        ref = await deliver(erp, "hook heard")
        async with asyncio.timeout(20):
            head, body = await heard.get()
        plant.turn("frappe", hook="")
    signed = base64.b64encode(hmac.digest(b"s3cret", body, "sha256")).decode()
    assert f"x-frappe-webhook-signature: {signed}".lower() in head.lower()
    told = msgspec.json.decode(body)
    assert (told["doctype"], told["name"]) == ("Asset Repair", ref.number) and told["modified"]


def test_the_sample_is_right(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FRAPPE_KEY", "k")
    monkeypatch.setenv("FRAPPE_SECRET", "s")
    found = sampled(Settings, SAMPLE, "frappe")
    assert found.open().name == "main"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"base_url": "http://erpnext.example"}, "plain text"),
        ({"timeout": "10min"}, "at most 2min"),
        ({"api_secret": None}, "who we are"),
        ({"client_id": "c", "refresh_token": {"env": "X"}}, "who we are"),
        ({"api": "v1"}, "names documents itself"),
        ({"identity": "field"}, "needs key_field"),
        ({"doctype": "Quality Inspection"}, "say in carrier"),
        ({"zone": "Mars/Base"}, "not known"),
        ({"identity": "field", "key_field": "asset"}, "filled in already"),
    ],
)
def test_wrong_settings_are_named(change: dict[str, object], said: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=said):
        sampled(Settings, SAMPLE, "frappe", **change)


@pytest.mark.parametrize(("mapping", "said"), [({"a.b": "asset"}, "inside"), ({"asset": "no_such"}, "no field")])
def test_a_mapping_that_cannot_be_is_a_fault_at_start(plant: Erp, mapping: dict[str, str], said: str) -> None:
    with pytest.raises(Misconfigured, match=said):
        settings(plant, mapping=mapping).open()


def test_values_are_as_the_fields_take_them() -> None:
    shanghai = ZoneInfo("Asia/Shanghai")
    code, text = Rule(source="iso_mode"), Rule(source="title")
    at = datetime(2026, 11, 21, 20, 30, tzinfo=UTC).isoformat()
    assert written("d", at, code, Kind("Date"), shanghai) == "2026-11-22"
    assert written("t", at, code, Kind("Time"), shanghai) == "04:30:00"
    assert written("c", "true", code, Kind("Check"), shanghai) == 1
    assert written("w", "轴" * 141, text, Kind("Data", longest=140), shanghai) == "轴" * 140
    with pytest.raises(NoValueError, match="holds 3 characters"):
        written("w", "VIBX", code, Kind("Data", longest=3), shanghai)
    rich = Kind("Text Editor")
    ours = written("description", "first & last\nsecond", text, rich, shanghai)
    assert same("<p>first &amp; last</p><p>second</p>", ours, rich) and not same("<p>first</p>", ours, rich)
    assert same("9:30:00", "09:30:00", Kind("Time")) and same(
        "2026-11-21 16:00:00.000000", "2026-11-21 16:00:00", Kind("Datetime")
    )
    assert same(None, "", Kind("Data")) and not same("x", "", Kind("Data"))


MISSING = {"title": "Missing", "message": "<b>Asset</b>"}


@pytest.mark.parametrize(
    ("body", "kind", "said"),
    [
        ({"errors": [{"type": "MandatoryError", "exception": "Traceback ..", **MISSING}]}, "MandatoryError", True),
        ({"exc_type": "MandatoryError", "_server_messages": json.dumps([json.dumps(MISSING)])}, "MandatoryError", True),
        ({"exception": "frappe.exceptions.MandatoryError: [..]", "exc": "[]"}, "MandatoryError", False),
        ({"exc": "Traceback .."}, "", False),
        ([], "", False),
        ({"errors": "none", "_server_messages": "{"}, "", False),
    ],
)
def test_an_error_of_either_interface_is_read_without_its_insides(body: object, kind: str, *, said: bool) -> None:
    told = read(Answer(417, httpx2.Headers(), msgspec.json.encode(body)))
    assert (told.kind, told.words) == (kind, "Missing: Asset" if said else "")
