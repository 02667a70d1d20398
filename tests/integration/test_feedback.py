"""What the ERP tells on its own: applied once, by its time, and only a reason to ask where it is not proven."""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from gateway.core.delivery import DeliveryState, StatusUpdate
from gateway.core.episode import Episode, EpisodeState
from gateway.core.errors import Conflict, Missing
from gateway.core.ports import Store, StoredOrder, Tx
from gateway.flow.receive import Hint, take_hint, take_status
from gateway.flow.settle import changed, delivered, withdrawn
from gateway.flow.withdraw import withdraw
from gateway.store.settings import Settings
from tests.erp_process import make_order
from tests.fakes import at

ORDER = make_order("t1")
KEY = ORDER.key
EPISODE = Episode(KEY, "M-07", "bearing", "bearing_outer_race", "machine", EpisodeState.OPEN, at(0), at(1))


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    store = Settings(path=str(tmp_path / "data")).open()

    def fill(tx: Tx) -> None:
        tx.put_episode(EPISODE)
        tx.put_order(ORDER, "main", at(0))
        [claimed] = tx.claim("main", at(0), timedelta(seconds=30), 1)
        tx.settle(claimed.delivery, delivered(claimed.delivery, "WO-7", at(1)).delivery)

    await store.write(fill)
    yield store
    await store.close()


def word(status: str, seconds: float, **more: Any) -> StatusUpdate:
    return StatusUpdate(key=KEY, number="WO-7", status=status, at=at(seconds), **more)


async def told(store: Store, *updates: StatusUpdate, trusted: bool = True) -> list[bool]:
    """Tell each as an event of its own, heard long after it was said."""
    return [
        await take_status(store, update, f"e-{update.status}-{update.at}", "hash", lambda: at(900), trusted=trusted)
        for update in updates
    ]


async def trail(store: Store) -> list[tuple[str, str]]:
    lines = await store.read(lambda tx: list(tx.audit()))
    return [(line.event, line.detail) for line in lines if line.event != "order.delivered"]


async def kept(store: Store) -> StoredOrder:
    held = await store.read(lambda tx: tx.order(KEY))
    assert held is not None
    return held


async def live(store: Store) -> bool:
    return bool(await store.read(lambda tx: tx.episodes(live=True)))


async def test_old_news_neither_closes_the_episode_nor_stands_in_the_trail(store: Store) -> None:
    assert await told(store, word("In Progress", 60), word("Closed", 30)) == [True, True]
    assert await live(store)
    assert await trail(store) == [("order.status", "In Progress")]
    assert (await kept(store)).erp_status == "In Progress"


async def test_what_was_said_before_the_end_and_comes_after_it_changes_nothing(store: Store) -> None:
    await told(store, word("Closed", 60), word("In Progress", 30), word("Closed", 60.5))
    assert await trail(store) == [("order.status", "Closed"), ("episode.closed", "by the ERP: Closed")]
    [episode] = await store.read(lambda tx: tx.episodes())
    assert (episode.state, episode.closed_at) == (EpisodeState.CLOSED, at(60))


async def test_a_word_that_is_older_than_what_is_known_is_a_reason_to_ask(store: Store) -> None:
    await told(store, word("In Progress", 60))
    assert (await kept(store)).ask_at is None
    await told(store, word("In Progress", 50))
    assert (await kept(store)).ask_at is None
    await told(store, word("Closed", 30))
    [due] = await store.read(lambda tx: tx.followed("main", at(900), timedelta(days=9), 10))
    assert due.order.key == KEY


async def test_a_closing_code_that_comes_later_is_added_once(store: Store) -> None:
    coded = word("Closed", 60, closing_code="WORN")
    await told(store, word("Closed", 60))
    assert await take_status(store, coded, "one event", "hash", lambda: at(900))
    assert await take_status(store, coded, "another event", "hash", lambda: at(901))
    assert [line for line in await trail(store) if line[0] == "order.closing_code"] == [("order.closing_code", "WORN")]
    assert (await kept(store)).closing_code == "WORN"


async def test_an_order_that_is_opened_again_opens_its_episode_again(store: Store) -> None:
    await told(store, word("Closed", 60), word("In Progress", 90))
    [episode] = await store.read(lambda tx: tx.episodes(live=True))
    assert (episode.closed_at, episode.last_at, episode.upheld) == (None, at(90), True)
    assert await store.read(lambda tx: tx.kept("repaired/")) == {}
    await told(store, word("Completed", 120))
    assert not await live(store)
    assert [event for event, _ in await trail(store)] == [
        "order.status",
        "episode.closed",
        "order.status",
        "order.reopened",
        "episode.reopened",
        "order.status",
        "episode.closed",
    ]
    assert list(await store.read(lambda tx: tx.kept("repaired/"))) == ["M-07"]


async def test_what_the_erp_ruled_by_an_end_does_not_hold_when_it_opens_the_order_again(store: Store) -> None:
    await told(store, word("Cancelled", 60))
    [episode] = await store.read(lambda tx: tx.episodes())
    assert episode.ruled == "cancelled"
    await told(store, word("In Progress", 90))
    [episode] = await store.read(lambda tx: tx.episodes(live=True))
    assert episode.ruled == ""


async def test_an_order_that_we_took_back_and_the_erp_opens_again_stands_again(store: Store) -> None:
    await withdraw(store, KEY, "the sensor was loose", "cli", lambda: at(10))

    def cancelled(tx: Tx) -> None:
        [claimed] = tx.claim("main", at(11), timedelta(seconds=30), 1)
        tx.settle(claimed.delivery, withdrawn(claimed.delivery, "the sensor was loose", at(12)).delivery)

    await store.write(cancelled)
    await told(store, word("Cancelled", 60))
    assert (await kept(store)).delivery.state is DeliveryState.WITHDRAWN
    await told(store, word("In Progress", 90))
    held = await kept(store)
    assert (held.delivery.state, held.delivery.withdraw) == (DeliveryState.DELIVERED, "")
    [episode] = await store.read(lambda tx: tx.episodes(live=True))
    assert episode.ruled == ""
    [due] = await store.read(lambda tx: tx.followed("main", at(9000), timedelta(seconds=1), 10))
    assert due.order.key == KEY


async def test_what_the_erp_means_counts_before_its_word(store: Store) -> None:
    await told(store, word("ABGS", 60, state="done"))
    assert not await live(store) and (await kept(store)).erp_state == "done"


async def test_a_word_that_is_not_trusted_is_only_a_reason_to_ask(store: Store) -> None:
    assert await told(store, word("Closed", 60), trusted=False) == [True]
    assert await trail(store) == [] and await live(store)
    held = await kept(store)
    assert (held.erp_status, held.erp_state) == ("", "unknown") and held.ask_at is not None


async def test_an_event_counts_once_and_its_id_for_nothing_else(store: Store) -> None:
    given = word("Closed", 60)
    assert await take_status(store, given, "e1", "hash", lambda: at(900))
    assert not await take_status(store, given, "e1", "hash", lambda: at(901))
    with pytest.raises(Conflict):
        await take_status(store, given, "e1", "other", lambda: at(902))
    with pytest.raises(Missing):
        await take_status(store, StatusUpdate(key="AN0", number="1", status="x"), "e2", "hash", lambda: at(903))


async def test_a_hint_finds_its_order_by_the_erps_number_or_by_our_key(store: Store) -> None:
    for hint in (Hint("odoo", "WO-7"), Hint("odoo", "8", texts=(f"[{KEY}] bearing",)), Hint("odoo", KEY)):
        await store.write(lambda tx: tx.asked(KEY, at(10), at(1000)))
        assert await take_hint(store, hint, lambda: at(20)), hint
        assert (await kept(store)).ask_at != at(1000)
    for hint in (Hint("odoo", "8"), Hint("odoo", "8", texts=("AN00000000000000000Z",))):
        assert not await take_hint(store, hint, lambda: at(20)), hint


async def test_a_hint_with_facts_counts_once_per_source(store: Store) -> None:
    facts = ("maintenance.request", "WO-7", "2026-11-21 08:00:00")
    assert await take_hint(store, Hint("odoo", "WO-7", facts), lambda: at(20))
    assert not await take_hint(store, Hint("odoo", "WO-7", facts), lambda: at(21))
    assert await take_hint(store, Hint("frappe", "WO-7", facts), lambda: at(22))
    assert await take_hint(store, Hint("odoo", "WO-7", (*facts[:2], "2026-11-21 08:00:01")), lambda: at(23))
    assert await take_hint(store, Hint("odoo", "WO-7"), lambda: at(24))
    assert await take_hint(store, Hint("odoo", "WO-7"), lambda: at(25))


async def test_a_hint_about_an_order_that_is_on_its_way_waits_until_the_erp_has_it(store: Store) -> None:
    def sending(tx: Tx) -> None:
        tx.put_order(make_order("t2", "M-08"), "main", at(0))
        [claimed] = tx.claim("main", at(0), timedelta(seconds=30), 1)
        parked = changed(claimed.delivery, DeliveryState.PARKED, "no", at(1), timedelta(0))
        tx.settle(claimed.delivery, parked.delivery)

    await store.write(sending)
    assert await take_hint(store, Hint("odoo", "9", texts=(make_order("t2", "M-08").key,)), lambda: at(20))
    assert await store.read(lambda tx: tx.followed("main", at(20), timedelta(days=9), 10)) == []
