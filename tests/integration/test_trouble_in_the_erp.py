"""A trouble from its first window to its end, as the ERP has it: one record, which grows, or is cancelled."""

import asyncio
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from connectors.erp.rest import Settings
from connectors.erp.rest.plan import Amend, Cancel
from gateway.core.episode import EpisodeState
from gateway.core.ports import ErpAdapter, Store
from gateway.core.secret import SecretRef
from gateway.flow.follow import Follower, Pace
from gateway.flow.patience import Patience
from gateway.flow.receive import Hint, take_hint
from gateway.flow.withdraw import withdraw
from tests.erp_process import SECRET, Erp, running_erp
from tests.growing import HEALTHY, TOLD, heard, seen, shown, the_order
from tests.tryton_delivery import delivering, now

PLACE = "/api/orders/{number}"


@pytest.fixture(scope="module")
def plant() -> Iterator[Erp]:
    with running_erp() as erp:
        yield erp


@pytest.fixture
def erp(plant: Erp, monkeypatch: pytest.MonkeyPatch) -> ErpAdapter:
    monkeypatch.setenv("TEST_ERP_SECRET", SECRET)
    return Settings(
        name="main",
        base_url=plant.url,
        token_url=plant.ready["token_url"],
        client_id=plant.ready["client_id"],
        client_secret=SecretRef(env="TEST_ERP_SECRET"),
        audience="erp",
        idempotency="header",
        fields_in="order",
        precondition="etag",
        amend=Amend(path=PLACE),
        cancel=Cancel(path=PLACE, body={"status": "CANCELLED"}, reason="closing_code"),
    ).open()


def record(state: dict[str, Any], asset: str) -> dict[str, Any]:
    """The ERP's only record about an asset."""
    [found] = [order for order in state["orders"] if order["equipment"] == asset]
    return dict(found)


def status(state: dict[str, Any], asset: str) -> str:
    """How the ERP's records about an asset stand, joined; "" while there is none."""
    return " ".join(order["status"] for order in state["orders"] if order["equipment"] == asset)


async def test_a_trouble_that_grows_stays_one_record_and_a_planners_title_stays_his(
    store: Store, erp: ErpAdapter, plant: Erp
) -> None:
    async with delivering(store, erp, []):
        await shown(store, 0, *[seen(0, severity=0.3)] * 3)
        first = record(await plant.until(lambda state: status(state, "M") != ""), "M")
        assert first["order"]["priority"] == 3
        plant.edit(first["number"], title="bearing, ask Mei for the key")
        await shown(store, 6, *[seen(0, severity=0.8)] * 5)
        await plant.until(lambda state: record(state, "M")["order"]["priority"] == 2)
        await heard(store, "r1", replace(TOLD, masked="it smokes", machine_down=True, priority=1))
        state = await plant.until(lambda state: record(state, "M")["order"]["priority"] == 1)
    last = record(state, "M")
    assert last["title"] == "bearing, ask Mei for the key"
    assert "it smokes" in last["order"]["description"]
    assert (last["reference"], last["number"]) == (first["reference"], first["number"])


async def test_a_false_alarm_is_cancelled_and_the_next_trouble_is_a_new_record(
    store: Store, erp: ErpAdapter, plant: Erp
) -> None:
    sick, clean = [seen(0, asset="F")] * 3, [seen(0, HEALTHY, asset="F")] * 5
    async with delivering(store, erp, []):
        await shown(store, 0, *sick)
        await plant.until(lambda state: status(state, "F") != "")
        await shown(store, 6, *clean)
        first = record(await plant.until(lambda state: status(state, "F") == "CANCELLED"), "F")
        assert first["closing_code"].startswith("False alarm")
        await shown(store, 30, *sick)
        state = await plant.until(lambda state: status(state, "F").count(" ") == 1)
    assert status(state, "F").split().count("CANCELLED") == 1


async def test_what_a_person_called_off_is_cancelled_once_and_not_made_again_while_the_machine_shows_it(
    store: Store, erp: ErpAdapter, plant: Erp
) -> None:
    async with delivering(store, erp, []):
        await shown(store, 0, *[seen(0, asset="P")] * 3)
        key = record(await plant.until(lambda state: status(state, "P") != ""), "P")["reference"]
        await withdraw(store, key, "the sensor was loose", "cli", now)
        await plant.until(lambda state: status(state, "P") == "CANCELLED")
        await shown(store, 6, *[seen(0, asset="P")] * 30)
        held = await store.read(lambda tx: tx.orders(asset="P"))
        # Another asset's order passes all the same: what would have been made for this one is made by then.
        await shown(store, 80, *[seen(0, asset="Q")] * 3)
        state = await plant.until(lambda state: status(state, "Q") != "")
    assert len(held) == 1
    assert status(state, "P") == "CANCELLED"


@pytest.mark.parametrize("source", ["machine", "person"])
async def test_who_tells_again_of_what_the_erp_would_not_take_back_joins_the_order_that_is_worked_on(
    store: Store, erp: ErpAdapter, plant: Erp, source: str
) -> None:
    async with delivering(store, erp, []):
        if source == "machine":
            await shown(store, 3000, *[seen(0)] * 3)
        else:
            await heard(store, "w1", replace(TOLD, id="w1"), 3000)
        first = await the_order(store)
        key = first.order.key
        await plant.until(lambda state: key in state["commits"])
        [number] = [order["number"] for order in plant.state()["orders"] if order["reference"] == key]
        plant.edit(number, status="IN_PROGRESS")
        await withdraw(store, key, "the sensor was loose", "cli", now)
        async with asyncio.timeout(20):
            while "order.not_withdrawn" not in await audited(store, key):  # noqa: ASYNC110 (what ends it is in the store)
                await asyncio.sleep(0.02)
        joined = await heard(store, "w2", replace(TOLD, id="w2", masked="it is very loud now"), 3060)
    assert joined == key
    assert len(await store.read(lambda tx: tx.orders())) == 1
    assert "episode.reopened" in await audited(store, key)


@pytest.mark.parametrize("source", ["machine", "person"])
@pytest.mark.parametrize("end", ["CLOSED", "CANCELLED"])
async def test_who_tells_of_an_order_that_a_planner_has_opened_again_joins_it(
    store: Store, erp: ErpAdapter, plant: Erp, source: str, end: str
) -> None:
    begun = {"CLOSED": 5000, "CANCELLED": 7000}[end]
    name = f"{end} {source}"
    async with delivering(store, erp, []):
        if source == "machine":
            await shown(store, begun, *[seen(0)] * 3)
        else:
            await heard(store, name, replace(TOLD, id=name), begun)
        key = (await the_order(store)).order.key
        await plant.until(lambda state: key in state["commits"])
        [number] = [order["number"] for order in plant.state()["orders"] if order["reference"] == key]
        plant.edit(number, status=end, closing_code="WORN")
        await asked(store, erp, number)
        assert (await the_order(store)).erp_state in {"done", "cancelled"}
        plant.edit(number, status="OPEN", closing_code=None)
        await asked(store, erp, number)
        episode = await store.read(lambda tx: tx.episode(key))
        assert episode is not None and (episode.state, episode.ruled) == (EpisodeState.OPEN, "")
        if source == "machine":
            await shown(store, begun + 60, *[seen(0, severity=0.8)] * 2)
        assert await heard(store, f"{name} 2", replace(TOLD, id=f"{name} 2", masked="still loud"), begun + 70) == key
        await plant.until(lambda state: "still loud" in said(state, key))
    assert len(await store.read(lambda tx: tx.orders())) == 1


async def asked(store: Store, erp: ErpAdapter, number: str) -> None:
    """Have the ERP asked about an order, as after a hint."""
    async with asyncio.timeout(20):
        while (await the_order(store)).delivery.erp_number is None:  # noqa: ASYNC110 (what ends it is in the store)
            await asyncio.sleep(0.02)
    assert await take_hint(store, Hint("test", number), now)
    assert await Follower(store, erp, now, asyncio.Event(), Pace(), Patience(now, timedelta(seconds=1))).step() == 1


def said(state: dict[str, Any], key: str) -> str:
    """What the ERP's record of this key says."""
    [found] = [order for order in state["orders"] if order["reference"] == key]
    return str(found["order"]["description"])


async def audited(store: Store, key: str) -> list[str]:
    """The events about an order or its episode."""
    return [line.event for line in await store.read(lambda tx: tx.audit_of(key))]
