"""The Odoo adapter keeps the contract against the recorded behaviour of an Odoo 19, and what is special to it."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

import msgspec
import pytest

from connectors.erp.odoo import SAMPLE, Settings
from connectors.erp.odoo.fields import Kind, same, written
from gateway.core.delivery import Delivered, ErpRef, Idempotency, Rejected, Throttled, Uncertain, Unsent
from gateway.core.errors import Misconfigured, Refused, Unreachable
from gateway.core.ports import ErpAdapter
from gateway.core.secret import SecretRef
from gateway.core.units import Duration, decode
from tests.contracts.erp_adapter import ErpAdapterContract
from tests.erp_makes import deliver, sampled
from tests.erp_planners import AtOdoo
from tests.erp_plant import Planner
from tests.erp_process import Erp, make_order, running_erp

KEY = "0123456789abcdef0123456789abcdef01234567"
LOAD = {"method": "POST", "path": "/json/2/maintenance.request/load"}
SEARCH = {"method": "POST", "path": "/json/2/ir.model.data/search_read"}
WRITE = {"method": "POST", "path": "/json/2/maintenance.request/write"}


def settings(plant: Erp, **fields: object) -> Settings:
    given: dict[str, object] = {
        "name": "main",
        "base_url": plant.url,
        "api_key": SecretRef(env="TEST_ODOO_KEY"),
        "unknown_equipment": "leave_out",
        "timeout": Duration(1.0),
    }
    return Settings(**{**given, **fields})  # type: ignore[arg-type]  # a table of test values


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
    process.turn("odoo", manager=True, installed=True, key_expires="", work=0.0)
    return process


@pytest.fixture
async def erp(plant: Erp) -> AsyncIterator[ErpAdapter]:
    adapter = settings(plant).open()
    yield adapter
    await adapter.close()


def record(plant: Erp, ref: ErpRef) -> dict[str, Any]:
    [found] = [order["order"] for order in plant.state()["orders"] if int(order["number"][3:]) == int(ref.number)]
    return dict(found)


class TestOdoo(ErpAdapterContract):
    create: ClassVar[dict[str, str]] = LOAD
    ask: ClassVar[dict[str, str]] = SEARCH
    change: ClassVar[dict[str, str]] = WRITE
    withdraw: ClassVar[dict[str, str]] = WRITE

    def open(self, plant: Erp) -> ErpAdapter:
        return settings(plant).open()

    @pytest.fixture
    def planner(self, plant: Erp) -> Planner:
        return AtOdoo(plant)

    async def test_a_key_that_is_not_accepted_pauses_and_makes_nothing(self, erp: ErpAdapter, plant: Erp) -> None:
        order = make_order("always 401")
        plant.faults({"kind": "unauthorized", "path": "/json/"})
        [outcome] = await erp.deliver([order])
        assert isinstance(outcome, Throttled) and "401" in outcome.cause
        assert plant.commits(order.key) == 0

    async def test_an_order_is_a_maintenance_request_with_its_key_and_its_machine(
        self, erp: ErpAdapter, plant: Erp
    ) -> None:
        ref = await deliver(erp, "fields", title="M-07: <bearing> & more", due=datetime(2026, 11, 22, 7, tzinfo=UTC))
        told = record(plant, ref)
        assert (told["name"], told["equipment_id"], told["priority"]) == ("M-07: <bearing> & more", 7, "2")
        assert told["maintenance_type"] == "preventive" and told["kanban_state"] == "normal"
        assert (told["request_date"], told["schedule_end"]) == ("2026-11-21", "2026-11-22 07:00:00")
        assert "&lt;bearing&gt; &amp; more<br>" in told["description"] and ref.key in told["description"]
        assert erp.capabilities.idempotency is Idempotency.UPSERT

    async def test_what_a_planner_changed_survives_a_second_delivery(self, erp: ErpAdapter, plant: Erp) -> None:
        ref = await deliver(erp, "planner edit")
        plant.turn("odoo", edit={"id": int(ref.number), "name": "seen to by the planner"})
        [again] = await erp.deliver([make_order("planner edit")])
        assert isinstance(again, Delivered) and not again.created and again.ref.number == ref.number
        assert record(plant, ref)["name"] == "seen to by the planner"

    async def test_one_bad_order_of_a_batch_does_not_keep_the_others_out(self, plant: Erp) -> None:
        adapter = settings(plant, equipment={"M-99": 99}).open()
        orders = [make_order(f"batch {asset}", asset=asset) for asset in ("M-01", "M-99", "M-02")]
        first, bad, last = await adapter.deliver(orders)
        assert isinstance(first, Delivered) and isinstance(last, Delivered)
        assert isinstance(bad, Rejected) and "field equipment_id: No matching record" in bad.reason
        assert [plant.commits(order.key) for order in orders] == [1, 0, 1]
        await adapter.close()

    async def test_a_good_batch_is_one_request(self, erp: ErpAdapter, plant: Erp) -> None:
        await erp.verify()
        before = _loads(plant)
        outcomes = await erp.deliver([make_order(f"one of ten {n}", asset=f"M-{n:02d}") for n in range(1, 11)])
        assert all(isinstance(outcome, Delivered) for outcome in outcomes)
        assert _loads(plant) == before + 1

    async def test_two_at_once_on_one_machine_cannot_be_serialized_and_are_sent_later(
        self, erp: ErpAdapter, plant: Erp
    ) -> None:
        plant.turn("odoo", work=0.3)
        orders = [make_order(f"serial {number}", asset="M-03") for number in range(2)]
        outcomes = [one for [one] in await asyncio.gather(*(erp.deliver([order]) for order in orders))]
        kinds = sorted(type(outcome).__name__ for outcome in outcomes)
        assert kinds == ["Delivered", "Throttled"]
        [waits] = [outcome for outcome in outcomes if isinstance(outcome, Throttled)]
        assert "could not serialize access" in waits.cause
        for order in orders:
            await erp.deliver([order])
        assert [plant.commits(order.key) for order in orders] == [1, 1]

    async def test_a_machine_that_odoo_does_not_know_is_named(self, plant: Erp) -> None:
        adapter = settings(plant, unknown_equipment="refuse").open()
        [outcome] = await adapter.deliver([make_order("no machine", asset="M-77")])
        assert isinstance(outcome, Rejected)
        assert "field equipment_id" in outcome.reason and "'M-77'" in outcome.reason
        await adapter.close()

    async def test_equipment_of_the_same_batch_stays_known_when_the_memory_is_full(
        self, plant: Erp, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("connectors.erp.odoo.filler._MOST_KNOWN", 0)
        adapter = settings(plant, unknown_equipment="refuse").open()
        await adapter.deliver([make_order("met before", asset="M-01")])
        told = await adapter.deliver([make_order("full: old", asset="M-01"), make_order("full: new", asset="M-02")])
        await adapter.close()
        assert all(isinstance(outcome, Delivered) for outcome in told), told

    async def test_no_right_is_told_without_the_users_name(self, erp: ErpAdapter, plant: Erp) -> None:
        plant.turn("odoo", manager=False)
        [outcome] = await erp.deliver([make_order("no right")])
        assert isinstance(outcome, Rejected)
        assert "Equipment Manager" in outcome.reason and "Robin" not in outcome.reason

    async def test_a_look_up_that_is_not_answered_sends_nothing(self, erp: ErpAdapter, plant: Erp) -> None:
        order = make_order("no look-up")
        plant.faults({"kind": "error_before", **SEARCH})
        [outcome] = await erp.deliver([order])
        assert isinstance(outcome, Unsent)
        assert plant.commits(order.key) == 0


class TestAmend:
    async def test_what_changed_is_written_and_what_a_planner_changed_is_kept(
        self, erp: ErpAdapter, plant: Erp
    ) -> None:
        before = make_order("amend")
        ref = await deliver(erp, "amend")
        plant.turn("odoo", edit={"id": int(ref.number), "name": "the planner's own words"})
        after = msgspec.structs.replace(before, priority=1, title="it grew", description="worse now")
        outcome = await erp.amend(ref, before, after)
        assert isinstance(outcome, Delivered) and outcome.kept == ("name",)
        told = record(plant, ref)
        assert (told["name"], told["priority"]) == ("the planner's own words", "3")
        assert "worse now" in told["description"]
        writes = _count(plant, "/write")
        again = await erp.amend(ref, before, after)
        assert isinstance(again, Delivered) and again.kept == ("name",) and again.ref.version
        assert _count(plant, "/write") == writes

    async def test_a_lost_reply_to_a_change_is_doubt_and_the_next_try_ends_it(
        self, erp: ErpAdapter, plant: Erp
    ) -> None:
        before = make_order("amend lost")
        ref = await deliver(erp, "amend lost")
        after = msgspec.structs.replace(before, priority=4)
        plant.faults({"kind": "lost_reply", "count": 1, **WRITE})
        outcome = await erp.amend(ref, before, after)
        assert isinstance(outcome, Uncertain)
        again = await erp.amend(ref, before, after)
        assert isinstance(again, Delivered) and again.kept == ()
        assert record(plant, ref)["priority"] == "0"

    async def test_a_request_that_nobody_began_is_taken_back_once_with_the_reason(
        self, erp: ErpAdapter, plant: Erp
    ) -> None:
        order = make_order("cancel")
        ref = await deliver(erp, "cancel")
        for _ in range(2):
            outcome = await erp.cancel(ref, order, "the sensor was loose")
            assert isinstance(outcome, Delivered) and outcome.ref.state == "cancelled"
        told = record(plant, ref)
        assert told["archive"] is True and told["description"].count("the sensor was loose") == 1
        late = await erp.amend(ref, order, msgspec.structs.replace(order, priority=1))
        assert isinstance(late, Rejected) and "cancelled" in late.reason

    async def test_a_request_that_somebody_began_is_not_taken_back(self, erp: ErpAdapter, plant: Erp) -> None:
        ref = await deliver(erp, "begun")
        plant.turn("odoo", edit={"id": int(ref.number), "stage_id": 2})
        outcome = await erp.cancel(ref, make_order("begun"), "false alarm")
        assert isinstance(outcome, Rejected) and "In Progress" in outcome.reason
        assert record(plant, ref)["archive"] is False

    async def test_status_says_stage_meaning_version_and_closing_code(self, plant: Erp) -> None:
        adapter = settings(plant, closing_field="x_closing_code").open()
        ref = await deliver(adapter, "status")
        told = await adapter.status(ref)
        assert (told.status, told.state, told.closing_code) == ("New Request", "open", None)
        assert told.version.startswith("20")
        plant.turn("odoo", edit={"id": int(ref.number), "stage_id": 3, "x_closing_code": "BRG"})
        told = await adapter.status(ref)
        assert (told.status, told.state, told.closing_code) == ("Repaired", "done", "BRG")
        with pytest.raises(Refused, match="no request 999999"):
            await adapter.status(ErpRef(ref.key, "999999"))
        await adapter.close()


async def test_its_webhook_is_unsigned_and_what_nobody_takes_is_lost(erp: ErpAdapter, plant: Erp) -> None:
    heard: asyncio.Queue[tuple[str, dict[str, Any]]] = asyncio.Queue()

    async def hear(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        length = int(head.split("content-length: ")[1].split("\r\n")[0])
        heard.put_nowait((head, msgspec.json.decode(await reader.readexactly(length))))
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    plant.turn("odoo", hook="http://127.0.0.1:9/nobody")
    await deliver(erp, "hook lost")
    server = await asyncio.start_server(hear, "127.0.0.1", 0)
    async with server:
        plant.turn("odoo", hook=f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/web")
        ref = await deliver(erp, "hook heard")
        async with asyncio.timeout(20):
            head, told = await heard.get()
        plant.turn("odoo", hook="")
    assert (told["_model"], told["id"]) == ("maintenance.request", int(ref.number))
    assert "signature" not in head and heard.empty()


@pytest.mark.parametrize(
    ("habits", "fields", "said"),
    [
        ({"manager": False}, {}, "may not create maintenance.request"),
        ({"installed": False}, {}, "is the module installed"),
        ({"key_expires": "2026-01-01 00:00:00"}, {}, "ends at 2026-01-01"),
        ({}, {"equipment_by": "x_tag"}, "has no field 'x_tag'"),
        ({}, {"equipment": {"M-99": 99}}, "equipment.M-99: there is no equipment 99"),
        ({}, {"cancel": {"active": False}}, "no field 'active'"),
        ({}, {"mapping": {"name": "title", "x_colour": "impact"}}, "mapping.x_colour"),
        ({}, {"mapping": {"name": "title", "done": "asset_down"}}, "can only be read"),
        ({}, {"mapping": {"name": "title", "maintenance_team_id": {"constant": 8}}}, "no maintenance.team 8"),
        (
            {},
            {"mapping": {"name": "title", "priority": {"from": "priority", "values": {"1": "9"}}}},
            "takes 0, 1, 2, 3",
        ),
    ],
)
async def test_what_is_wrong_is_named_before_the_first_order(
    plant: Erp, habits: dict[str, object], fields: dict[str, object], said: str
) -> None:
    plant.turn("odoo", **habits)
    row = {"name": "main", "base_url": plant.url, "api_key": {"env": "TEST_ODOO_KEY"}, **fields}
    adapter = msgspec.convert(row, Settings, dec_hook=decode).open()
    faults = await adapter.verify()
    assert any(said in fault for fault in faults), faults
    await adapter.close()


async def test_a_wrong_key_is_named_and_not_shown(plant: Erp, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_ODOO_KEY", "another-key-altogether")
    adapter = settings(plant).open()
    [fault] = await adapter.verify()
    assert "not accepted" in fault and "another-key" not in fault
    await adapter.close()


async def test_a_key_that_lasts_is_not_complained_about(plant: Erp) -> None:
    later = datetime.now(UTC) + timedelta(days=60)
    plant.turn("odoo", key_expires=f"{later:%Y-%m-%d %H:%M:%S}")
    adapter = settings(plant).open()
    assert await adapter.verify() == []
    await adapter.close()


async def test_an_erp_that_is_away_is_unreachable(plant: Erp) -> None:
    adapter = settings(plant, base_url="http://127.0.0.1:9").open()
    with pytest.raises(Unreachable):
        await adapter.verify()
    await adapter.close()


def test_the_sample_is_right(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ODOO_KEY", "x")
    found = sampled(Settings, SAMPLE, "odoo")
    assert found.equipment == {"PRESS-1": 12} and found.open().name == "main"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"base_url": "http://odoo.example"}, "plain text"),
        ({"timeout": "10min"}, "at most 5min"),
        ({"batch": 0}, "batch"),
    ],
)
def test_wrong_settings_are_named(change: dict[str, object], said: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=said):
        sampled(Settings, SAMPLE, "odoo", **change)


@pytest.mark.parametrize(
    ("mapping", "said"), [({"priority": "priority"}, "mapping.name"), ({"name": "title", "a.b": "asset"}, "inside")]
)
def test_a_mapping_that_cannot_be_is_a_fault_at_start(plant: Erp, mapping: dict[str, str], said: str) -> None:
    with pytest.raises(Misconfigured, match=said):
        settings(plant, mapping=mapping).open()


def test_html_counts_by_its_words() -> None:
    html = Kind("html")
    ours = written("description", "first & last\nsecond", html)
    assert same("<p>first &amp; last<br/>second</p>", ours, html)
    assert not same("<p>first &amp; last<br/>third</p>", ours, html)
    nothing: Any = False  # as Odoo says it
    assert same(nothing, None, html) and not same(nothing, ours, html)


def _loads(plant: Erp) -> int:
    return _count(plant, "/load")


def _count(plant: Erp, end: str) -> int:
    return sum(line["path"].endswith(end) for line in plant.state()["journal"])
