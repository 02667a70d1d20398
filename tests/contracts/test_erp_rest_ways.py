"""What the generic settings offer beside the contract: samples, metadata, harmless requests, credentials, batches."""

import asyncio
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from connectors.erp.mapping import DEFAULT, Body
from connectors.erp.rest import Settings
from connectors.erp.rest.adapter import Rest
from connectors.erp.rest.plan import Amend, Batch, Cancel, Create, Metadata, Probe, Record
from connectors.erp.rest.samples import SAMPLES
from gateway.core.delivery import Delivered, Rejected, Throttled, Uncertain, Unsent
from gateway.core.secret import SecretRef
from gateway.core.units import Duration, decode
from tests.contracts.erp_changes import delivered
from tests.contracts.test_erp_rest import CHANGES, fresh, settings
from tests.erp_planners import AtGeneric
from tests.erp_process import SECRET, Erp, make_order, running_erp


@pytest.fixture(scope="module")
def process() -> Iterator[Erp]:
    with running_erp("--profile", "lookup") as erp:
        yield erp


@pytest.fixture
def plant(process: Erp, monkeypatch: pytest.MonkeyPatch) -> Erp:
    for name in ("TEST_ERP_SECRET", "ERP_SECRET"):
        monkeypatch.setenv(name, SECRET)
    return fresh(process)


def sample(name: str, **over: Any) -> Settings:
    row = tomllib.loads(SAMPLES[name])["erp"]["main"]
    assert row.pop("protocol") == "rest"
    return msgspec.convert({"name": "main", **row, **over}, Settings, dec_hook=decode)


def posts(plant: Erp) -> int:
    return int(plant.state()["posts"])


@pytest.mark.parametrize("name", SAMPLES)
def test_every_sample_can_be_opened_and_promises_its_way(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for secret in ("ERP_SECRET", "ERP_KEY", "ERP_PASSWORD"):
        monkeypatch.setenv(secret, "x")
    over = {"cert_file": None, "key_file": None} if name == "lookup" else {}
    adapter = sample(name, **over).open()
    assert adapter.capabilities.idempotency == name
    assert adapter.capabilities.amends is (name in {"header", "upsert"})
    if name == "lookup":
        with pytest.raises(Exception, match="cert_file"):
            sample(name, cert_file=str(tmp_path / "none.crt")).open()


async def test_the_sample_is_right_for_the_simulated_erp(plant: Erp) -> None:
    plant.habits(profile="header")
    adapter = sample("header", base_url=plant.url, token_url=plant.ready["token_url"], client_id="andon-gateway").open()
    assert await adapter.verify() == []
    ref, before = await delivered(adapter, "sample")
    told = await adapter.amend(ref, before, AtGeneric(plant).grown(before))
    assert isinstance(told, Delivered)
    told = await adapter.cancel(told.ref, before, "false alarm")
    assert isinstance(told, Delivered) and told.ref.closing_code == "false alarm"
    plant.habits(profile="lookup")
    await adapter.close()


MISFITS: dict[str, tuple[dict[str, Any], str]] = {
    "a field that is not there": ({"colour": "impact"}, "mapping.colour: the ERP has no such field"),
    "a text that is too long": ({"title": {"from": "title", "max": 200}}, "mapping.title: holds 80 characters"),
    "a text without an end": ({"title": "title"}, "say max = 80"),
    "a code that is not taken": (
        {"priority": {"from": "priority", "values": {"1": 7}}},
        "mapping.priority: 7: the ERP takes 1, 2, 3, 4 only",
    ),
    "words where a number goes": ({"priority": "impact"}, "mapping.priority: is integer there, and string is sent"),
    "a constant of another kind": ({"quantity": {"constant": "three"}}, "mapping.quantity: is number there"),
    "a part of a field that has none": ({"title.text": "title"}, "mapping.title.text: the ERP has no such field"),
}


@pytest.mark.parametrize("case", MISFITS)
@pytest.mark.parametrize(
    "metadata",
    [
        Metadata(path="/api/schema"),
        Metadata(path="/api/openapi.json", schema="components.schemas.NewOrder"),
    ],
    ids=["json-schema", "openapi"],
)
async def test_a_mapping_that_does_not_fit_is_named_before_the_first_order(
    plant: Erp, case: str, metadata: Metadata
) -> None:
    change, said = MISFITS[case]
    table = {"reference": "key", "title": {"from": "title", "max": 80}, **change}
    if "title.text" in change:
        del table["title"]
    mapping = msgspec.convert(table, Settings.__annotations__["mapping"])
    adapter = settings(plant, "lookup", metadata=metadata, mapping=mapping).open()
    faults = await adapter.verify()
    assert any(said in fault for fault in faults), faults
    await adapter.close()


async def test_the_default_mapping_fits_the_simulated_erp(plant: Erp) -> None:
    adapter = settings(plant, "lookup", metadata=Metadata(path="/api/schema")).open()
    assert await adapter.verify() == []
    await adapter.close()


async def test_what_must_be_filled_and_a_description_that_is_none_are_named(plant: Erp) -> None:
    adapter = settings(plant, "lookup", metadata=Metadata(path="/api/schema"), mapping={"reference": "key"}).open()
    assert any("mapping.title: is missing" in fault for fault in await adapter.verify())
    await adapter.close()
    for metadata, said in (
        (Metadata(path="/api/nothing"), "no description of an order at /api/nothing"),
        (Metadata(path="/api/openapi.json"), "no schema with properties"),
    ):
        adapter = settings(plant, "lookup", metadata=metadata).open()
        assert any(said in fault for fault in await adapter.verify()), said
        await adapter.close()


async def test_a_user_who_may_only_read_is_named_before_the_first_order(plant: Erp) -> None:
    plant.habits(writes=False)
    adapter = settings(plant, "lookup", probe=Probe(path="/api/orders")).open()
    [fault] = await adapter.verify()
    assert "OPTIONS /api/orders allows GET, OPTIONS only" in fault
    await adapter.close()


async def test_a_dry_run_is_an_order_that_nobody_gets(plant: Erp) -> None:
    probe = Probe(method="POST", path="/api/orders", params={"dry_run": "true"}, asset="M-01")
    adapter = settings(plant, "lookup", probe=probe).open()
    before = plant.state()["commits"]
    assert await adapter.verify() == []
    assert plant.state()["commits"] == before
    await adapter.close()
    mapping = msgspec.convert(
        {"reference": "key", "title": "title", "priority": {"constant": 9}}, Settings.__annotations__["mapping"]
    )
    adapter = settings(plant, "lookup", probe=probe, mapping=mapping).open()
    [fault] = await adapter.verify()
    assert "field priority" in fault and "is 1 to 4" in fault
    await adapter.close()


async def test_a_key_in_a_header_is_enough_and_one_that_is_wrong_is_said_without_it(
    plant: Erp, monkeypatch: pytest.MonkeyPatch
) -> None:
    form = {"grant_type": "client_credentials", "client_id": plant.ready["client_id"], "client_secret": SECRET}
    token = plant.http.post(plant.ready["token_url"], data={**form, "audience": "erp"}).json()["access_token"]
    for value, well in ((token, True), ("wrong-key", False)):
        monkeypatch.setenv("TEST_ERP_KEY", value)
        given = {"auth": "api_key", "api_key": SecretRef(env="TEST_ERP_KEY"), "api_key_scheme": "Bearer"}
        adapter = settings(plant, "lookup", token_url=None, client_secret=None, **given).open()
        faults = await adapter.verify()
        [outcome] = await adapter.deliver([make_order(f"api key {well}")])
        if well:
            assert faults == [] and isinstance(outcome, Delivered)
        else:
            assert "401" in faults[0] and "wrong-key" not in faults[0]
            assert isinstance(outcome, Throttled) and outcome.cause.endswith("the key is not accepted")
        await adapter.close()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"auth": "basic", "user": "a"}, 'auth = "basic" needs password'),
        ({"auth": "api_key"}, 'auth = "api_key" needs api_key'),
        ({"client_id": ""}, 'auth = "oauth2" needs client_id'),
        ({"precondition": "timestamp"}, "needs version_field"),
        ({"amend": {"path": "/x/{numbr}"}}, "no slot {numbr}"),
        ({"find": {"path": "/x?key={key}"}}, "find"),
        ({"states": {"open": ["A"], "done": ["a"]}}, "stands for two states"),
        ({"batch": {"path": "/x", "size": 1}}, "size"),
        ({"idempotency": "header", "batch": {"path": "/x"}}, "needs batch.key"),
        ({"key_value": "{nothing}"}, "no slot {nothing}"),
        ({"orders_path": "orders"}, "orders_path"),
        ({"lookup_param": ""}, "lookup_param"),
    ],
)
def test_settings_that_cannot_be_are_named(given: dict[str, Any], said: str) -> None:
    with pytest.raises(msgspec.ValidationError) as caught:
        sample("none", **given)
    assert said in str(caught.value)


async def test_a_batch_is_one_request(plant: Erp) -> None:
    adapter = settings(plant, "lookup").open()
    before = posts(plant)
    orders = [make_order(f"one request {number}", asset=f"M-{number}") for number in range(50)]
    outcomes = await adapter.deliver(orders)
    assert [outcome.ref.key for outcome in outcomes if isinstance(outcome, Delivered)] == [o.key for o in orders]
    assert posts(plant) == before + 1
    await adapter.close()


async def test_a_batch_that_was_refused_as_a_whole_is_sent_row_by_row(plant: Erp) -> None:
    plant.habits(atomic=True)
    adapter = settings(plant, "lookup").open()
    before = posts(plant)
    orders = [make_order(f"atomic {number}", priority=9 if number == 1 else 2) for number in range(4)]
    outcomes = await adapter.deliver(orders)
    assert [type(outcome) for outcome in outcomes] == [Delivered, Rejected, Delivered, Delivered]
    assert posts(plant) == before + 1 + 4
    assert [plant.commits(order.key) for order in orders] == [1, 0, 1, 1]
    await adapter.close()


@pytest.mark.parametrize("kind", ["lost_reply", "error_after", "truncated", "garbage", "error_before", "throttle"])
async def test_a_batch_in_trouble_is_sent_by_nobody_a_second_time(plant: Erp, kind: str) -> None:
    adapter = settings(plant, "lookup").open()
    orders = [make_order(f"batch {kind} {number}") for number in range(3)]
    plant.faults({"kind": kind, "count": 1, "path": "/api/orders/batch"})
    before = posts(plant)
    outcomes = await adapter.deliver(orders)
    expected = Throttled if kind == "throttle" else Uncertain
    assert all(isinstance(outcome, expected) for outcome in outcomes), outcomes
    assert posts(plant) == before + 1
    made = 0 if kind in {"error_before", "throttle"} else 1
    assert [plant.commits(order.key) for order in orders] == [made] * 3
    await adapter.close()


async def test_an_answer_that_says_nothing_of_each_order_is_doubt_about_all(plant: Erp) -> None:
    batch = CHANGES["batch"]
    assert isinstance(batch, Batch)
    for change in ({"answers": "nothing"}, {"status": "nothing", "record": "nothing"}):
        adapter = settings(plant, "lookup", batch=msgspec.structs.replace(batch, **change)).open()
        outcomes = await adapter.deliver([make_order(f"unclear {sorted(change)} {number}") for number in range(2)])
        assert all(isinstance(outcome, Uncertain) for outcome in outcomes)
        await adapter.close()


async def test_rows_for_which_no_time_is_left_are_surely_not_sent(plant: Erp) -> None:
    adapter = settings(plant, "lookup", batch=None, timeout=Duration(0.3)).open()
    plant.faults({"kind": "hang", "seconds": 5, "method": "POST", "path": "/api/orders"})
    orders = [make_order(f"no time {number}") for number in range(5)]
    outcomes = await adapter.deliver(orders)
    kinds = [type(outcome) for outcome in outcomes]
    assert kinds[0] is Uncertain and kinds[-1] is Unsent and kinds == sorted(kinds, key=[Uncertain, Unsent].index)
    await adapter.close()


async def test_a_planner_who_begins_during_a_withdrawal_wins_by_the_etag(plant: Erp) -> None:
    adapter = settings(plant, "lookup").open()
    ref, order = await delivered(adapter, "begun meanwhile")
    plant.faults({"kind": "slow", "seconds": 0.4, "count": 1, "method": "PATCH", "path": "/api/orders"})
    withdrawal = asyncio.create_task(adapter.cancel(ref, order, "false alarm"))
    await plant.until(lambda state: state["faults"][0]["fired"] == 1)
    AtGeneric(plant).begin(ref)
    told = await withdrawal
    assert isinstance(told, Rejected) and "IN_PROGRESS" in told.reason
    await adapter.close()


async def test_without_a_version_a_change_under_a_precondition_is_refused(plant: Erp) -> None:
    adapter = settings(plant, "lookup", precondition="timestamp", version_field="no_such").open()
    ref, before = await delivered(adapter, "no version")
    told = await adapter.amend(ref, before, AtGeneric(plant).grown(before))
    assert isinstance(told, Rejected) and "see precondition" in told.reason
    await adapter.close()


async def test_an_order_made_by_patch_under_our_key_is_found_there(plant: Erp) -> None:
    plant.habits(patches_new=True)
    create = Create(path="/api/orders/{key}", method="PATCH", headers={"if-none-match": "*"}, taken=(412,))
    adapter = settings(plant, "upsert", create=create, batch=None, create_only=True).open()
    order = make_order("by patch")
    first, second = [(await adapter.deliver([order]))[0] for _ in range(2)]
    assert isinstance(first, Delivered) and isinstance(second, Delivered) and not second.created
    assert plant.commits(order.key) == 1
    await adapter.close()


async def test_places_without_slots_that_end_the_path_are_refused_before_anything_is_sent(plant: Erp) -> None:
    adapter = settings(plant, "lookup", amend=Amend(path="/api/orders/{id}"), cancel=Cancel(path="/x/{id}")).open()
    ref, order = await delivered(adapter, "dots")
    before = plant.state()["requests"]
    told = await adapter.cancel(msgspec.structs.replace(ref, number=".."), order, "false alarm")
    assert isinstance(told, Rejected) and "dots" in told.reason
    assert plant.state()["requests"] == before
    await adapter.close()


async def test_what_is_told_by_location_alone_has_its_number_from_there_or_is_read(plant: Erp) -> None:
    plant.habits(quiet=True)
    for record in (Record(number_header="location", fields="order"), Record(fields="order")):
        adapter = read_as(plant, record)
        ref, _ = await delivered(adapter, f"quiet {record.number_header}")
        assert ref.number.startswith("WO-") and (await adapter.status(ref)).state == "open"
        await adapter.close()


async def test_what_is_deleted_to_take_it_back_stays_taken_back(plant: Erp) -> None:
    adapter = settings(plant, "lookup", cancel=Cancel(path="/api/orders/{number}", method="DELETE")).open()
    ref, order = await delivered(adapter, "deleted")
    for _ in range(2):
        told = await adapter.cancel(ref, order, "false alarm")
        assert isinstance(told, Delivered) and told.ref.state == "cancelled"
    assert plant.commits(order.key) == 0
    begun, order = await delivered(adapter, "not deleted")
    AtGeneric(plant).begin(begun)
    assert isinstance(await adapter.cancel(begun, order, "false alarm"), Rejected)
    assert plant.commits(order.key) == 1
    await adapter.close()


async def test_an_order_whose_key_stands_in_its_address_alone_is_ours_whatever_a_planner_did(plant: Erp) -> None:
    mapping = msgspec.convert({"title": {"from": "title", "max": 80}}, Settings.__annotations__["mapping"])
    adapter = settings(plant, "upsert", create_only=True, batch=None, mapping=mapping).open()
    ref, order = await delivered(adapter, "key in the address")
    AtGeneric(plant).write(ref, "the planner's own words")
    [again] = await adapter.deliver([order])
    assert isinstance(again, Delivered) and not again.created and again.ref.number == ref.number
    assert [found.number for found in await adapter.find(order.key)] == [ref.number]
    assert await adapter.find(make_order("never made").key) == []
    await adapter.close()


async def test_an_answer_about_another_order_is_doubt(plant: Erp) -> None:
    # Its reference is not where the settings say: what is there is another thing in every answer.
    adapter = read_as(plant, Record(key="status", fields="order"))
    [outcome] = await adapter.deliver([make_order("another order")])
    assert isinstance(outcome, Uncertain) and "another order" in outcome.cause
    await adapter.close()


def read_as(plant: Erp, record: Record) -> Rest:
    """Make an adapter whose plan says otherwise where a record has its number."""
    found = settings(plant, "lookup")
    door, tokens = found.door({})
    return Rest(msgspec.structs.replace(found.plan(), record=record), door, Body(DEFAULT, "reference", 20), tokens)
