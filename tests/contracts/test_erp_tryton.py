"""The Tryton adapter keeps the contract against a real Tryton; what is there is counted in its own database."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime, timedelta
from time import monotonic
from typing import Any, ClassVar

import msgspec
import pytest

from connectors.erp.mapping import Rule
from connectors.erp.tryton import Settings
from connectors.erp.tryton.adapter import Tryton as TrytonAdapter
from connectors.erp.tryton.carrier import KNOWN, Carrier
from gateway.core.delivery import Delivered, ErpRef, Rejected, Throttled, Uncertain, Unsent
from gateway.core.errors import Refused, Unreachable
from gateway.core.order import Level
from gateway.core.ports import ErpAdapter
from gateway.core.secret import SecretRef
from gateway.core.units import Duration
from tests.contracts.erp_adapter import ErpAdapterContract
from tests.erp_plant import Planner
from tests.erp_process import make_order
from tests.faulty_link import Faults, FaultyLink
from tests.tryton import DATABASE, Tryton, running_tryton
from tests.tryton_link import TrytonPlant

pytestmark = pytest.mark.peer
replace = msgspec.structs.replace


@pytest.fixture(scope="module")
def tryton() -> Iterator[Tryton]:
    with running_tryton() as found:
        yield found


@pytest.fixture(autouse=True)
def _keys(tryton: Tryton, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("key", "planner_key", "stranger_key"):
        monkeypatch.setenv(f"TEST_TRYTON_{name.upper()}", tryton.facts[name])
    monkeypatch.setenv("TEST_TRYTON_NO_KEY", "0" * 128)


def settings(tryton: Tryton, url: str = "", key: str = "KEY", **fields: object) -> Settings:
    given: dict[str, object] = {
        "name": "main",
        "base_url": url or tryton.url,
        "database": DATABASE,
        "key": SecretRef(env=f"TEST_TRYTON_{key}"),
        "company": tryton.facts["company"],
        "origins": {asset: origin for asset, origin in tryton.facts["origins"].items() if asset != "M-07"},
        "origin": tryton.facts["origins"]["M-07"],
        "timeout": Duration(1.5),
        "settle": Duration(1.2),
    }
    return Settings(**{**given, **fields})  # type: ignore[arg-type]  # a table of test values


def production(tryton: Tryton, **mapping: object) -> dict[str, Any]:
    """Give the settings for production orders as carriers."""
    facts = tryton.facts
    return {
        "model": "production",
        "mapping": {
            **{name: Rule(constant=facts[name]) for name in ("product", "unit", "warehouse", "location")},
            "quantity": Rule(constant=1),
            "planned_date": "due",
            "planned_start_date": "detected_at",
            **mapping,
        },
    }


class AtTryton(Planner):
    """At a quality alert, by the planner's own key."""

    touched: ClassVar[str] = "description"
    other: ClassVar[str] = "title"

    def __init__(self, tryton: Tryton) -> None:
        self.tryton = tryton

    def fields(self, ref: ErpRef) -> dict[str, Any]:
        [row] = [row for row in self.tryton.orders_in_database(ref.key) if row["number"] == ref.number]
        return row

    def write(self, ref: ErpRef, text: str) -> None:
        self.tryton.ask("PUT", f"quality.alert/{self.fields(ref)['id']}", {"description": text})

    def begin(self, ref: ErpRef) -> None:
        self._press(ref, "process")

    def finish(self, ref: ErpRef) -> None:
        self._press(ref, "resolve")

    def drop(self, ref: ErpRef) -> None:
        self._press(ref, "defer")

    def _press(self, ref: ErpRef, button: str) -> None:
        row = self.fields(ref)
        for one in ("process", button) if row["state"] == "open" and button != "process" else (button,):
            self.tryton.ask("POST", f"quality.alert/{row['id']}/{one}", {})


class TestTryton(ErpAdapterContract):
    change: ClassVar[dict[str, str]] = {"method": "PUT", "path": "/api/orders"}
    withdraw: ClassVar[dict[str, str]] = {"method": "PUT", "path": "/api/orders"}
    bad: ClassVar[dict[str, Any]] = {"asset": "M-99"}

    def open(self, plant: TrytonPlant) -> TrytonAdapter:
        return settings(plant.tryton, plant.url).open()

    @pytest.fixture
    def planner(self, tryton: Tryton) -> Planner:
        return AtTryton(tryton)

    @pytest.fixture
    async def plant(self, tryton: Tryton) -> AsyncIterator[TrytonPlant]:  # the contract names the fixture only
        async with TrytonPlant(tryton).open() as plant:
            yield plant

    @pytest.fixture
    async def erp(self, request: pytest.FixtureRequest, plant: TrytonPlant) -> AsyncIterator[TrytonAdapter]:
        adapter = self.open(plant)
        if request.node.name == "test_one_bad_order_does_not_keep_the_others_out":
            origins = {"M-99": "quality.inspection,4711"}
            adapter = settings(plant.tryton, plant.url, origins=origins).open()
        yield adapter
        await adapter.close()

    async def test_a_revoked_token_is_replaced_within_the_call(self, erp: ErpAdapter, plant: TrytonPlant) -> None:
        """Tryton has no token: its key is for life. A key that counts no more leaves the ERP alone, and heals."""
        order = make_order("revoked")
        plant.faults({"kind": "unauthorized", "path": "/api/", "count": 1})
        [outcome] = await erp.deliver([order])
        assert isinstance(outcome, Throttled) and "key" in outcome.cause
        plant.faults()
        [outcome] = await erp.deliver([order])
        assert isinstance(outcome, Delivered)
        assert plant.commits(order.key) == 1

    async def test_without_a_token_nothing_is_sent(self, erp: ErpAdapter, plant: TrytonPlant) -> None:
        """What comes before an order is here the question for the fields."""
        order = make_order("no fields")
        plant.without_fields()
        [outcome] = await erp.deliver([order])
        assert isinstance(outcome, Unsent) and "500" in outcome.cause
        assert plant.commits(order.key) == 0
        [outcome] = await erp.deliver([order])
        assert isinstance(outcome, Delivered)

    async def test_an_amendment_whose_reply_is_lost_is_done_once_and_counts(
        self, erp: TrytonAdapter, plant: TrytonPlant
    ) -> None:
        before = make_order("lost amendment")
        [outcome] = await erp.deliver([before])
        assert isinstance(outcome, Delivered)
        after = replace(before, title="another title")
        for kind in ("lost_reply", "error_before"):
            plant.faults({"kind": kind, "count": 1, "method": "PUT", "path": "/api/orders"})
            told = await erp.amend(outcome.ref, before, after)
            assert isinstance(told, Uncertain if kind == "lost_reply" else Delivered)  # done already: nothing is sent
        told = await erp.amend(outcome.ref, before, after)
        assert isinstance(told, Delivered) and told.kept == ()
        [row] = plant.tryton.orders_in_database(before.key)
        assert row["title"].endswith("another title")

    async def test_a_planner_who_begins_during_a_withdrawal_wins(self, erp: TrytonAdapter, plant: TrytonPlant) -> None:
        for method, button, left in (("POST", "process", "processing"), ("PUT", "resolve", "resolved")):
            order = make_order(f"begun during {method}")
            [outcome] = await erp.deliver([order])
            assert isinstance(outcome, Delivered)
            plant.faults({"kind": "slow", "seconds": 0.3, "count": 1, "method": method, "path": "/api/orders"})
            async with asyncio.TaskGroup() as jobs:
                withdrawal = jobs.create_task(erp.cancel(outcome.ref, order, "over"))
                await plant.until(lambda state: state["faults"][0]["fired"] == 1)
                plant.tryton.ask("POST", f"quality.alert/{_record(plant.tryton, outcome.ref)}/{button}", {})
            assert isinstance(withdrawal.result(), Rejected), method
            plant.faults()
            assert isinstance(await erp.cancel(outcome.ref, order, "over"), Rejected)
            [row] = plant.tryton.orders_in_database(order.key)
            assert row["state"] == left

    @pytest.mark.parametrize("kind", ["lost_reply", "error_before"])
    async def test_a_withdrawal_goes_on_from_wherever_a_reply_was_lost(
        self, erp: TrytonAdapter, plant: TrytonPlant, kind: str
    ) -> None:
        order = make_order(f"withdrawal {kind}")
        [outcome] = await erp.deliver([order])
        assert isinstance(outcome, Delivered)
        fault = {"kind": kind, "count": 1, "path": "/api/orders"}
        for rule in ({"method": "PUT"}, {"method": "POST"}, {"method": "POST"}):
            plant.faults({**fault, **rule})
            if isinstance(told := await erp.cancel(outcome.ref, order, "over"), Delivered):
                break
            assert isinstance(told, Uncertain)
        plant.faults()
        told = await erp.cancel(outcome.ref, order, "over")
        assert isinstance(told, Delivered) and told.ref.state == "cancelled"
        [row] = plant.tryton.orders_in_database(order.key)
        assert row["state"] == "deferred" and row["description"].count("withdrawn]") == 1


@pytest.fixture
async def erp(tryton: Tryton) -> AsyncIterator[TrytonAdapter]:
    adapter = settings(tryton).open()
    yield adapter
    await adapter.close()


async def test_a_blind_second_request_makes_a_second_order(erp: TrytonAdapter, tryton: Tryton) -> None:
    order = make_order("twice")
    await erp.deliver([order])
    await erp.deliver([order])
    assert len(await erp.find(order.key)) == len(tryton.orders_in_database(order.key)) == 2


async def test_what_an_alert_is(erp: TrytonAdapter, tryton: Tryton) -> None:
    order = make_order("what it is", asset="M-08")
    [outcome] = await erp.deliver([order])
    [row] = tryton.orders_in_database(order.key)
    assert row["title"] == f"{order.key} {order.title}"
    assert row["origin"] == tryton.facts["origins"]["M-08"]
    assert order.description in row["description"] and order.key in row["description"]
    assert isinstance(outcome, Delivered)
    assert (outcome.ref.number, outcome.ref.status, outcome.ref.state) == (row["number"], "open", "open")
    assert outcome.ref.version.startswith(row["create_date"].replace(" ", "T"))


BYTES = {
    "a request that is swallowed": (Faults(swallow_request=True), 0),
    "a reply that is swallowed": (Faults(swallow_reply=True), 1),
    "a reply cut in its body": (Faults(cut_reply_after=250), 1),
    "a reply of garbage": (Faults(garbage=True), 1),
}


async def test_a_link_that_fails_below_http_leaves_one_order(tryton: Tryton) -> None:
    async def through(name: str, faults: Faults, made: int) -> None:
        order = make_order(name)
        async with FaultyLink("127.0.0.1", tryton.port).open() as link:
            adapter = settings(tryton, f"http://127.0.0.1:{link.port}").open()
            await adapter.deliver([make_order(f"{name}, before")])
            link.faults = faults
            [outcome] = await adapter.deliver([order])
            assert isinstance(outcome, Uncertain)
            link.faults = Faults()
            await _until(lambda: len(tryton.orders_in_database(order.key)) == made)
            assert len(await adapter.find(order.key)) == made
            await adapter.close()

    await asyncio.gather(*(through(name, *case) for name, case in BYTES.items()))


async def test_the_state_of_an_alert_is_told(erp: TrytonAdapter, tryton: Tryton) -> None:
    [outcome] = await erp.deliver([make_order("its state")])
    assert isinstance(outcome, Delivered)
    record = _record(tryton, outcome.ref)
    seen = []
    for button in ("process", "resolve"):
        tryton.ask("POST", f"quality.alert/{record}/{button}", {})
        told = await erp.status(outcome.ref)
        seen.append((told.status, told.state))
    assert seen == [("processing", "open"), ("resolved", "done")]
    assert told.version > outcome.ref.version


async def test_an_order_whose_title_a_planner_rewrote_is_still_found(erp: TrytonAdapter, tryton: Tryton) -> None:
    [outcome] = await erp.deliver([make_order("rewritten")])
    assert isinstance(outcome, Delivered)
    tryton.ask("PUT", f"quality.alert/{_record(tryton, outcome.ref)}", {"title": "bearing, see shift book"})
    assert (await erp.status(outcome.ref)).number == outcome.ref.number
    assert [ref.number for ref in await erp.find(outcome.ref.key)] == [outcome.ref.number]
    other = make_order("another")
    await erp.deliver([other])
    record = tryton.orders_in_database(other.key)[0]["id"]
    tryton.ask("PUT", f"quality.alert/{record}", {"description": f"see {outcome.ref.key}"})
    assert len(await erp.find(outcome.ref.key)) == 1
    with pytest.raises(Refused, match="any more"):
        await erp.status(replace(outcome.ref, number="999999"))


async def test_a_number_that_stands_for_two_orders_is_told_apart_by_the_key(tryton: Tryton) -> None:
    # Its description is the number here: two that are the same, as Tryton's own now and then are.
    carrier = replace(KNOWN["quality.alert"], number_field="description", note_field="")
    adapter = settings(tryton, carrier=carrier, mapping={"description": Rule(constant="same")}).open()
    first, second = make_order("number 1"), make_order("number 2")
    refs = [outcome.ref for outcome in await adapter.deliver([first, second]) if isinstance(outcome, Delivered)]
    assert [ref.number for ref in refs] == ["same", "same"]
    told = await adapter.amend(refs[1], second, replace(second, title="the second"))
    assert isinstance(told, Delivered)
    rows = [tryton.orders_in_database(order.key)[0] for order in (first, second)]
    assert [row["title"].endswith("the second") for row in rows] == [False, True]
    for row in rows:
        tryton.ask("PUT", f"quality.alert/{row['id']}", {"title": "rewritten"})
    told = await adapter.amend(refs[1], second, replace(second, title="another"))
    assert isinstance(told, Rejected) and "2 records" in told.reason
    await adapter.close()


async def test_only_what_nobody_changed_is_amended(erp: TrytonAdapter, tryton: Tryton) -> None:
    before = make_order("amended")
    [outcome] = await erp.deliver([before])
    assert isinstance(outcome, Delivered)
    record = _record(tryton, outcome.ref)
    tryton.ask("PUT", f"quality.alert/{record}", {"description": "the planner's words"})
    after = replace(before, title="M-07: outer race, now severe", description="another", asset="M-08")
    for _ in range(2):  # a repetition is the same
        told = await erp.amend(outcome.ref, before, after)
        assert isinstance(told, Delivered) and not told.created
        assert told.kept == ("description",)
    [row] = tryton.orders_in_database(before.key)
    assert row["title"] == f"{before.key} M-07: outer race, now severe"
    assert row["description"] == "the planner's words"
    assert row["origin"] == tryton.facts["origins"]["M-08"]


async def test_a_closed_alert_is_not_amended(erp: TrytonAdapter, tryton: Tryton) -> None:
    before = make_order("closed")
    [outcome] = await erp.deliver([before])
    assert isinstance(outcome, Delivered)
    for button in ("process", "resolve"):
        tryton.ask("POST", f"quality.alert/{_record(tryton, outcome.ref)}/{button}", {})
    told = await erp.amend(outcome.ref, before, replace(before, title="late"))
    assert isinstance(told, Rejected) and "resolved" in told.reason


async def test_an_order_that_nobody_has_begun_is_taken_back_once(erp: TrytonAdapter, tryton: Tryton) -> None:
    order = make_order("taken back")
    [outcome] = await erp.deliver([order])
    assert isinstance(outcome, Delivered)
    for _ in range(2):
        told = await erp.cancel(outcome.ref, order, "the alarm was a test")
        assert isinstance(told, Delivered) and told.ref.state == "cancelled"
    [row] = tryton.orders_in_database(order.key)
    assert row["state"] == "deferred"
    assert row["description"].count("withdrawn] the alarm was a test") == 1


async def test_a_planner_who_has_begun_wins_over_a_withdrawal(erp: TrytonAdapter, tryton: Tryton) -> None:
    order = make_order("begun")
    [outcome] = await erp.deliver([order])
    assert isinstance(outcome, Delivered)
    record = _record(tryton, outcome.ref)
    tryton.ask("POST", f"quality.alert/{record}/process", {})
    told = await erp.cancel(outcome.ref, order, "late")
    assert isinstance(told, Rejected) and "begun" in told.reason
    [row] = tryton.orders_in_database(order.key)
    assert row["state"] == "processing" and "withdrawn" not in row["description"]


async def test_a_withdrawal_that_was_cut_in_the_middle_goes_on(erp: TrytonAdapter, tryton: Tryton) -> None:
    order = make_order("cut withdrawal")
    [outcome] = await erp.deliver([order])
    assert isinstance(outcome, Delivered)
    record = _record(tryton, outcome.ref)
    tryton.ask("PUT", f"quality.alert/{record}", {"description": f"[{order.key} withdrawn] over"}, "key")
    tryton.ask("POST", f"quality.alert/{record}/process", {}, "key")
    told = await erp.cancel(outcome.ref, order, "over")
    assert isinstance(told, Delivered) and told.ref.status == "deferred"


async def test_the_evidence_is_linked_once(tryton: Tryton) -> None:
    adapter = settings(tryton, link="https://andon.example/orders/{key}").open()
    assert await adapter.verify() == []
    order = make_order("linked")
    [outcome] = await adapter.deliver([order])
    assert isinstance(outcome, Delivered)
    rows = tryton.rows("SELECT link, resource FROM ir_attachment WHERE name = ?", order.key)
    assert rows == [
        {
            "link": f"https://andon.example/orders/{order.key}",
            "resource": f"quality.alert,{_record(tryton, outcome.ref)}",
        }
    ]
    assert isinstance(await adapter.amend(outcome.ref, order, order), Delivered)
    assert tryton.rows("SELECT count(*) AS links FROM ir_attachment WHERE name = ?", order.key) == [{"links": 1}]
    await adapter.close()


async def test_production_orders_carry_orders_too(tryton: Tryton) -> None:
    adapter = settings(tryton, zone="Asia/Shanghai", **production(tryton)).open()
    assert await adapter.verify() == []
    due = datetime(2026, 11, 22, 20, 0, tzinfo=UTC)
    order = make_order("production", due=due)
    [outcome] = await adapter.deliver([order])
    assert isinstance(outcome, Delivered)
    [row] = tryton.orders_in_database(order.key, "production")
    assert outcome.ref.number == f"production,{row['id']}" and outcome.ref.status == "draft"
    assert row["planned_date"] == "2026-11-23"  # where the plant is, it is tomorrow already
    assert [ref.number for ref in await adapter.find(order.key)] == [outcome.ref.number]
    told = await adapter.amend(outcome.ref, order, replace(order, due=due + timedelta(days=2)))
    assert isinstance(told, Delivered) and told.kept == ()
    assert tryton.orders_in_database(order.key, "production")[0]["planned_date"] == "2026-11-25"
    told = await adapter.cancel(outcome.ref, order, "over")
    assert isinstance(told, Delivered) and told.ref.state == "cancelled"
    await adapter.close()


async def test_verify_names_what_is_wrong_before_the_first_order(tryton: Tryton) -> None:
    wrong: dict[str, dict[str, object]] = {
        "may not create quality.alert": {"key": "STRANGER_KEY"},
        "the key is not accepted": {"key": "NO_KEY"},
        "has no field x_failure": {"mapping": {"x_failure": "iso_mode"}},
        "number can only be read": {"mapping": {"number": "key"}},
        "there is no quality.inspection,4711": {"origin": "quality.inspection,4711"},
        "does not know the model no.such": {"origin": "no.such,1"},
        "is its module activated": {"model": "maintenance.request", "carrier": _carrier("open")},
        "has a state 'processing'": {"carrier": _carrier("open")},
        "origin must be filled": {"carrier": replace(KNOWN["quality.alert"], origin_field="")},
        "404": {"database": "elsewhere"},
    }
    for said, change in wrong.items():
        adapter = settings(tryton, **change).open()  # type: ignore[arg-type]  # a table of test values
        faults = await adapter.verify()
        assert any(said in fault for fault in faults), (said, faults)
        await adapter.close()


async def test_an_order_that_cannot_be_written_is_rejected_by_name_and_nothing_is_made(tryton: Tryton) -> None:
    wrong: dict[str, dict[str, object]] = {
        "no field x_failure": {"mapping": {"x_failure": "iso_mode"}},
        "no origin for M-99": {"origin": None},
        "not allowed to access": {"key": "STRANGER_KEY"},
        'field "Origin"': {"origin": "quality.inspection,4711"},
    }
    for said, change in wrong.items():
        adapter = settings(tryton, **change).open()  # type: ignore[arg-type]  # a table of test values
        order = make_order(said, asset="M-99")
        [outcome] = await adapter.deliver([order])
        assert isinstance(outcome, Rejected) and said in outcome.reason, (said, outcome)
        assert tryton.orders_in_database(order.key) == []
        await adapter.close()


async def test_the_origin_of_the_nearest_place_counts(tryton: Tryton) -> None:
    origins = tryton.facts["origins"]
    adapter = settings(tryton, origin=None, origins={"LINE-A": origins["M-08"], "SZ1": origins["M-07"]}).open()
    order = make_order("nearest", hierarchy=(Level("site", "SZ1"), Level("line", "LINE-A")))
    [outcome] = await adapter.deliver([order])
    assert isinstance(outcome, Delivered)
    assert tryton.orders_in_database(order.key)[0]["origin"] == origins["M-08"]
    await adapter.close()


async def test_a_tryton_that_is_not_there_is_surely_not_sent_to(tryton: Tryton) -> None:
    adapter = settings(tryton, "http://127.0.0.1:9").open()
    [outcome] = await adapter.deliver([make_order("nobody there")])
    assert isinstance(outcome, Unsent)
    for question in (adapter.verify(), adapter.find("AN000000000000000000")):
        with pytest.raises(Unreachable):
            await question
    order = make_order("nobody there")
    ref = ErpRef(order.key, "1")
    assert isinstance(await adapter.amend(ref, order, order), Unsent)
    assert isinstance(await adapter.cancel(ref, order, "over"), Unsent)
    await adapter.close()


def _carrier(*states: str) -> Carrier:
    return Carrier(key_field="title", origin_field="origin", states=dict.fromkeys(states, "open"))


def _record(tryton: Tryton, ref: ErpRef) -> int:
    """Give the number of an order's record in the database."""
    [row] = tryton.orders_in_database(ref.key)
    assert row["number"] == ref.number
    return int(row["id"])


async def _until(seen: Callable[[], bool]) -> None:
    deadline = monotonic() + 20
    while not seen():
        assert monotonic() < deadline
        await asyncio.sleep(0.02)
