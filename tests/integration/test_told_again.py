"""A trouble that is told of again while its order is being taken back: the ERP never has two of it that stand."""

import random
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta

import pytest

from gateway.core.delivery import DeliveryState
from gateway.core.episode import EpisodeState
from gateway.core.ports import Store
from gateway.flow.redeliver import send_again
from gateway.flow.withdraw import withdraw
from tests.erp_process import SECRET, Erp, running_erp
from tests.growing import HEALTHY, events, seen, shown
from tests.retold import DONE_UNHEARD, MASKED, UNKNOWN, WAYS, Desk, a_desk, delivered, taken_back, told


@pytest.fixture(scope="module")
def plant() -> Iterator[Erp]:
    with running_erp() as erp:
        yield erp


@pytest.fixture
async def desk(store: Store, plant: Erp, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Desk]:
    monkeypatch.setenv("TEST_ERP_SECRET", SECRET)
    async with a_desk(store, plant) as desk:
        yield desk


@pytest.mark.parametrize(("first", "again"), WAYS)
async def test_who_tells_again_before_a_withdrawal_has_left_keeps_the_order(desk: Desk, first: str, again: str) -> None:
    key = await delivered(desk, first)
    await taken_back(desk, key, first)
    await told(desk, again, 60)
    held = await desk.only()
    assert (held.order.key, held.delivery.withdraw) == (key, "")
    assert len(await events(desk.store, "order.kept")) == 1
    episode = await desk.store.read(lambda tx: tx.episode(key))
    assert episode is not None and (episode.state, episode.ruled) == (EpisodeState.OPEN, "")
    await told(desk, again, 120, severity=0.8)
    await desk.turn()
    held = await desk.only()
    assert await desk.words() == {key: "OPEN"}
    assert held.delivery.state is DeliveryState.DELIVERED and held.order.version > 1


@pytest.mark.parametrize(("first", "again"), WAYS)
@pytest.mark.parametrize("fault", [UNKNOWN, DONE_UNHEARD], ids=["lost", "done unheard"])
async def test_while_nobody_knows_of_a_withdrawal_the_next_order_waits_for_its_end(
    desk: Desk, first: str, again: str, fault: dict[str, str]
) -> None:
    key = await delivered(desk, first)
    await taken_back(desk, key, first)
    desk.plant.faults(fault)
    await desk.turn()
    await told(desk, again, 60)
    _, heir = await desk.orders()
    await desk.turn()
    assert heir.order.key not in await desk.words()
    desk.plant.faults()
    await desk.turn()
    await desk.turn()
    assert await desk.words() == {key: "CANCELLED", heir.order.key: "OPEN"}
    await told(desk, again, 120, severity=0.8)
    assert len(await desk.orders()) == 2


@pytest.mark.parametrize(("first", "again"), WAYS)
async def test_what_waited_for_a_withdrawal_that_is_refused_goes_into_the_order_that_stands(
    desk: Desk, first: str, again: str
) -> None:
    key = await delivered(desk, first)
    await taken_back(desk, key, first)
    desk.plant.faults(UNKNOWN)
    await desk.turn()
    name = await told(desk, again, 60, severity=0.8)
    _, heir = await desk.orders()
    desk.plant.faults()
    desk.edit(key, status="IN_PROGRESS")
    await desk.turn()
    await told(desk, again, 120, severity=0.8)
    await desk.turn()
    first_one, other = await desk.orders()
    assert await desk.words() == {key: "IN_PROGRESS"}
    assert other.delivery.state is DeliveryState.WITHDRAWN
    assert (first_one.delivery.state, first_one.delivery.withdraw) == (DeliveryState.DELIVERED, "")
    assert first_one.order.version > 1 and first_one.delivery.sent == first_one.order.version
    live = await desk.store.read(lambda tx: tx.episodes(live=True))
    assert {one.key for one in live if one.decision == "order"} == {key}
    assert not any(one.ruled for one in live)
    if again != "machine":
        assert f"{MASKED} 60" in first_one.order.description
        report = await desk.store.read(lambda tx: tx.report(name))
        assert report is not None and report.order_key == key
    assert heir.order.key == other.order.key


@pytest.mark.parametrize(("first", "again"), WAYS)
async def test_a_withdrawal_that_is_refused_because_the_order_is_over_lets_the_next_one_leave(
    desk: Desk, first: str, again: str
) -> None:
    key = await delivered(desk, first)
    await taken_back(desk, key, first)
    desk.plant.faults(UNKNOWN)
    await desk.turn()
    await told(desk, again, 60, severity=0.8)
    _, heir = await desk.orders()
    desk.plant.faults()
    desk.edit(key, status="CLOSED")
    await desk.turn()
    await desk.turn()
    await desk.follow()
    assert await desk.words() == {key: "CLOSED", heir.order.key: "OPEN"}
    ended, _ = await desk.orders()
    assert (ended.erp_state, ended.order.version) == ("done", 1)
    assert ended.delivery.reason.startswith("not taken back")
    await told(desk, again, 120, severity=0.8)
    assert len(await desk.orders()) == 2


@pytest.mark.parametrize(("first", "again"), WAYS)
async def test_an_order_that_was_taken_back_and_is_opened_again_has_the_next_one_given_up(
    desk: Desk, first: str, again: str
) -> None:
    key = await delivered(desk, first)
    await taken_back(desk, key, first)
    desk.plant.faults(UNKNOWN)
    await desk.turn()
    await told(desk, again, 60, severity=0.8)
    _, heir = await desk.orders()
    desk.plant.faults()
    await desk.turn()
    await desk.turn()
    assert await desk.words() == {key: "CANCELLED", heir.order.key: "OPEN"}
    await desk.hear(key, "CANCELLED", "cancelled")
    desk.edit(key, status="OPEN")
    await desk.hear(key, "OPEN", "open")
    await desk.send()
    await desk.turn()
    assert await desk.words() == {key: "OPEN", heir.order.key: "CANCELLED"}
    await told(desk, again, 120, severity=0.95)
    await desk.turn()
    first_one, other = await desk.orders()
    assert other.order.key == heir.order.key
    assert first_one.order.version > 1 and first_one.delivery.sent == first_one.order.version
    assert await events(desk.store, "order.beside") == []


@pytest.mark.parametrize("again", ["machine", "person"])
@pytest.mark.parametrize("first", ["machine", "person"])
async def test_a_newer_order_about_the_same_trouble_stays_beside_one_that_is_opened_again_and_is_named(
    desk: Desk, first: str, again: str
) -> None:
    key = await delivered(desk, first)
    await desk.hear(key, "CLOSED", "done")
    await told(desk, again, 60)
    await desk.send()
    _, newer = await desk.orders()
    await desk.hear(key, "IN_PROGRESS", "open")
    await desk.send()
    assert all(one.delivery.state is DeliveryState.DELIVERED for one in await desk.orders())
    [line] = await events(desk.store, "order.beside")
    assert newer.order.key in line


async def test_what_was_parked_in_doubt_holds_nobody_up_and_its_refusal_ends_the_other_order(desk: Desk) -> None:
    key = await delivered(desk, "person")
    await taken_back(desk, key, "person")
    desk.plant.faults(UNKNOWN)
    await desk.turn(doubts=1)
    desk.plant.faults()
    await told(desk, "person", 60)
    parked, heir = await desk.orders()
    assert parked.delivery.state is DeliveryState.PARKED
    desk.edit(key, status="CANCELLED")  # a person looked
    await desk.turn()
    assert (await desk.words())[heir.order.key] == "OPEN"
    desk.edit(key, status="IN_PROGRESS")  # and thought better of it
    await desk.store.write(lambda tx: send_again(tx, key, desk.at))
    for _ in range(3):
        await desk.send()
    assert await desk.words() == {key: "IN_PROGRESS", heir.order.key: "CANCELLED"}


async def test_a_withdrawal_that_was_done_unheard_is_not_taken_back_when_it_is_sent_again_to_a_busy_erp(
    desk: Desk,
) -> None:
    key = await delivered(desk, "person")
    await taken_back(desk, key, "person")
    desk.plant.faults(DONE_UNHEARD)
    await desk.turn(doubts=1)
    assert (await desk.only()).delivery.state is DeliveryState.PARKED
    await desk.store.write(lambda tx: send_again(tx, key, desk.at))
    desk.plant.faults({"kind": "throttle", "method": "PATCH"}, {"kind": "throttle", "method": "GET"})
    await desk.turn()
    desk.plant.faults()
    name = await told(desk, "person", 60)
    assert await events(desk.store, "order.kept") == []
    for _ in range(3):
        await desk.turn()
    _, heir = await desk.orders()
    assert await desk.words() == {key: "CANCELLED", heir.order.key: "OPEN"}
    report = await desk.store.read(lambda tx: tx.report(name))
    assert report is not None and report.order_key == heir.order.key


async def test_a_machine_that_is_clean_again_asks_only_once_for_what_the_erp_would_not_take_back(desk: Desk) -> None:
    key = await delivered(desk, "machine")
    desk.edit(key, status="IN_PROGRESS")
    await taken_back(desk, key, "machine")
    await desk.turn()
    await shown(desk.store, desk.began_s + 60, *[seen(0, HEALTHY)] * 40)
    await desk.turn()
    assert (
        len(await events(desk.store, "order.taken_back")) == len(await events(desk.store, "order.not_withdrawn")) == 1
    )


async def test_what_had_grown_before_a_withdrawal_that_is_refused_is_told_after_it(desk: Desk) -> None:
    key = await delivered(desk, "person")
    await told(desk, "person", 60)
    await taken_back(desk, key, "person")
    desk.edit(key, status="IN_PROGRESS")
    await desk.turn()
    await desk.turn()
    held = await desk.only()
    assert (held.delivery.state, held.order.version, held.delivery.sent) == (DeliveryState.DELIVERED, 2, 2)
    assert held.delivery.reason.startswith("not taken back")  # who asked for it sees the answer
    [asked] = await desk.store.read(lambda tx: tx.followed("main", desk.at, timedelta(days=9), 10))
    assert asked.order.key == key
    [record] = [one for one in desk.plant.state()["orders"] if one["reference"] == key]
    assert f"{MASKED} 60" in record["order"]["description"]


async def test_that_the_erp_would_not_take_an_order_back_is_seen_while_its_change_waits_and_after_it(
    desk: Desk,
) -> None:
    key = await delivered(desk, "person")
    await taken_back(desk, key, "person")
    desk.edit(key, status="IN_PROGRESS")
    await desk.turn()
    refused = (await desk.only()).delivery.reason
    assert refused.startswith("not taken back: ")
    await told(desk, "person", 60)
    assert (await desk.only()).delivery.reason == refused
    for fault, times in ((UNKNOWN, ""), (UNKNOWN, " (2 times)")):
        desk.plant.faults(fault)
        await desk.turn()
        waits = (await desk.only()).delivery
        assert waits.state is DeliveryState.WAITING
        assert waits.reason.startswith(f"{refused}; then: ") and waits.reason.count("; then: ") == 1
        assert waits.reason.endswith(times)
    desk.plant.faults()
    await desk.turn()
    done = (await desk.only()).delivery
    assert (done.state, done.sent, done.reason) == (DeliveryState.DELIVERED, 2, refused)
    await withdraw(desk.store, key, "the sensor was loose", "cli", desk.now)
    assert (await desk.only()).delivery.reason == ""


@pytest.mark.parametrize("seed", range(6))
async def test_whatever_is_told_and_taken_back_meanwhile_one_order_stands_at_most(desk: Desk, seed: int) -> None:
    dice = random.Random(seed)
    for step in range(40):
        seconds = 60.0 * step
        match dice.choice(["person", "person", "machine", "back", "back", "send", "send", "lost", "begin"]):
            case "back":
                for one in await desk.orders():
                    if not one.delivery.withdraw and dice.random() < 0.7:
                        await withdraw(desk.store, one.order.key, "the sensor was loose", "cli", desk.now)
            case "send":
                await desk.turn(doubts=1000)
            case "lost":
                desk.plant.faults(dice.choice([UNKNOWN, DONE_UNHEARD]))
                await desk.turn(doubts=1000)
                desk.plant.faults()
            case "begin":
                for key in [key for key, word in (await desk.words()).items() if word == "OPEN"]:
                    desk.edit(key, status="IN_PROGRESS")
            case who:
                await told(desk, who, seconds, dice.choice([0.3, 0.5, 0.8, 0.95]))
    await told(desk, "person", 60.0 * 41)
    for _ in range(4):
        await desk.turn()
    ends = {one.order.key: one for one in await desk.orders()}
    standing = [key for key, word in (await desk.words()).items() if word != "CANCELLED"]
    assert [key for key, one in ends.items() if one.delivery.state is DeliveryState.DELIVERED] == standing
    assert len(standing) == 1
    assert ends[standing[0]].delivery.sent == ends[standing[0]].order.version
