"""What a person told of an order that the ERP had ended already gets an order of its own, once."""

from collections.abc import AsyncIterator, Iterator

import pytest
from msgspec.structs import replace

from gateway.core.delivery import StatusUpdate
from gateway.core.ports import Store
from gateway.flow.feedback import apply
from gateway.flow.withdraw import withdraw
from tests.erp_process import SECRET, Erp, running_erp
from tests.growing import TOLD, events
from tests.retold import MASKED, UNKNOWN, Desk, a_desk, delivered, taken_back, told


@pytest.fixture(scope="module")
def plant() -> Iterator[Erp]:
    with running_erp() as erp:
        yield erp


@pytest.fixture
async def desk(store: Store, plant: Erp, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Desk]:
    monkeypatch.setenv("TEST_ERP_SECRET", SECRET)
    async with a_desk(store, plant) as desk:
        yield desk


async def leads_to(desk: Desk, name: str) -> str:
    held = await desk.store.read(lambda tx: tx.report(name))
    assert held is not None and held.order_key is not None
    return held.order_key


async def stands_for(desk: Desk, name: str, *ended: str) -> None:
    """Make sure that one order of ours stands, that it says what was reported, and that nothing more comes."""
    for _ in range(3):
        await desk.turn()
        await desk.follow()
    words = await desk.words()
    [standing] = [key for key, word in words.items() if word == "OPEN"]
    assert words.keys() == {*ended, standing}
    assert await leads_to(desk, name) == standing
    [order] = [one.order for one in await desk.orders() if one.order.key == standing]
    assert MASKED in order.description
    assert await desk.store.read(lambda tx: tx.reports(unread=True)) == []
    assert len(await events(desk.store, "report.again")) == 1


@pytest.mark.parametrize("end", ["CLOSED", "CANCELLED"])
@pytest.mark.parametrize("first", ["person", "machine"])
async def test_a_report_that_an_order_took_in_after_its_end_in_the_erp_gets_a_new_order(
    desk: Desk, first: str, end: str
) -> None:
    key = await delivered(desk, first)
    desk.edit(key, status=end)
    name = await told(desk, "person", 7200)
    assert await leads_to(desk, name) == key
    await desk.send()
    await desk.follow()
    await stands_for(desk, name, key)


async def test_the_end_may_be_heard_before_the_change_has_left(desk: Desk) -> None:
    key = await delivered(desk, "person")
    desk.edit(key, status="CLOSED")
    name = await told(desk, "person", 7200)
    done = StatusUpdate(key=key, number="", status="CLOSED", at=desk.at, state="done")
    assert await desk.store.write(lambda tx: apply(tx, done, desk.at))
    await desk.listen()
    assert await leads_to(desk, name) != key
    await stands_for(desk, name, key)


async def test_an_order_that_is_kept_although_the_erp_has_ended_it_loses_no_report(desk: Desk) -> None:
    key = await delivered(desk, "person")
    desk.edit(key, status="CLOSED")
    await taken_back(desk, key, "person")
    name = await told(desk, "person", 60)
    assert await leads_to(desk, name) == key
    await desk.send()
    await desk.follow()
    await stands_for(desk, name, key)


async def test_a_report_that_was_told_to_the_erp_in_time_is_over_with_its_order(desk: Desk) -> None:
    key = await delivered(desk, "person")
    name = await told(desk, "person", 60)
    await desk.turn()
    desk.edit(key, status="CLOSED")
    await desk.follow()
    await desk.turn()
    assert await leads_to(desk, name) == key
    assert await desk.words() == {key: "CLOSED"}


async def test_what_a_person_called_off_makes_no_new_order_when_the_erp_has_ended_it(desk: Desk) -> None:
    key = await delivered(desk, "person")
    name = await told(desk, "person", 60)
    desk.edit(key, status="CLOSED")
    await withdraw(desk.store, key, "the sensor was loose", "cli", desk.now)
    for _ in range(3):
        await desk.turn()
        await desk.follow()
    assert await leads_to(desk, name) == key
    assert await desk.words() == {key: "CLOSED"}


async def test_what_a_person_decided_in_review_is_kept_when_a_report_is_concluded_again(desk: Desk) -> None:
    key = await delivered(desk, "person")
    desk.edit(key, status="CLOSED")
    name = await told(desk, "person", 7200)
    corrected = replace(TOLD, id=name, masked=MASKED, priority=1)
    await desk.store.write(lambda tx: (tx.read_report(corrected, key), tx.review_done(name)))
    await desk.follow()
    await stands_for(desk, name, key)
    held = await desk.store.read(lambda tx: tx.report(name))
    assert held is not None and held.reviewed and held.extraction == corrected
    assert {one.order.key: one.order.priority for one in await desk.orders()}[await leads_to(desk, name)] == 1


async def test_a_report_whose_own_order_was_given_up_for_one_that_had_ended_gets_a_third(desk: Desk) -> None:
    key = await delivered(desk, "person")
    await taken_back(desk, key, "person")
    desk.plant.faults(UNKNOWN)
    await desk.turn()
    name = await told(desk, "person", 60)
    desk.plant.faults()
    desk.edit(key, status="IN_PROGRESS")
    await desk.turn()  # refused: what was to be ordered goes into the first one
    assert await leads_to(desk, name) == key
    desk.edit(key, status="CLOSED")
    await desk.turn()
    await desk.follow()
    await stands_for(desk, name, key)
