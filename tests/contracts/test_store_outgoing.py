"""What every store promises about events on their way out: on SQLite and on PostgreSQL."""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
from msgspec.structs import replace

from gateway.core.event import Event, Outgoing, Subscriber
from gateway.core.ports import Store, Tx
from gateway.store.settings import Settings
from tests.fakes import at
from tests.postgres import Server, postgres

__all__ = ["postgres"]

LEASE = timedelta(seconds=30)


def event(name: str, subject: str = "AN1") -> Event:
    return Event(
        id=name,
        name="order.made",
        source="urn:andon:SZ1",
        subject=subject,
        time=at(0),
        sequence=1,
        data='{"key":"外圈"}'.encode(),
    )


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    if request.param == "sqlite":
        return Settings(path=str(tmp_path / "data"))
    server: Server = request.getfixturevalue("postgres")
    return Settings(url=server.database())


@pytest.fixture
async def store(settings: Settings) -> AsyncIterator[Store]:
    store = settings.open()
    yield store
    await store.close()


async def put(store: Store, *events: Event, subscriber: str = "mes") -> None:
    def step(tx: Tx) -> None:
        for one in events:
            assert tx.put_event(subscriber, one, at(0))

    await store.write(step)


async def claim(store: Store, seconds: float, limit: int = 10, subscriber: str = "mes") -> list[Outgoing]:
    return await store.write(lambda tx: tx.claim_events(subscriber, at(seconds), LEASE, limit))


async def test_a_subscriber_is_where_it_was_left_after_opening_again(settings: Settings) -> None:
    first = settings.open()
    off = Subscriber(name="mes", number=7, off_at=at(1), off_why="410", place="abc")
    await first.write(lambda tx: tx.put_subscriber(replace(off, number=3, off_at=None)))
    await first.write(lambda tx: tx.put_subscriber(off))
    await first.close()
    second = settings.open()
    assert await second.read(lambda tx: tx.subscriber("mes")) == off
    assert await second.read(lambda tx: tx.subscribers()) == [off]
    assert await second.read(lambda tx: tx.subscriber("other")) is None
    await second.close()


async def test_an_event_is_in_a_queue_once_and_comes_back_whole(store: Store) -> None:
    await put(store, event("e1"))
    assert await store.write(lambda tx: tx.put_event("mes", event("e1"), at(5))) is False
    assert await store.write(lambda tx: tx.put_event("cmms", event("e1"), at(5))) is True
    [held] = await store.read(lambda tx: tx.outgoing("mes"))
    assert (held.event, held.state, held.attempt, held.made_at) == (event("e1"), "WAITING", 0, at(0))
    assert await store.read(lambda tx: tx.outgoing_counts()) == {("mes", "WAITING"): 1, ("cmms", "WAITING"): 1}


async def test_events_of_one_subject_are_claimed_one_at_a_time_and_in_order(store: Store) -> None:
    await put(store, event("e1"), event("e2"), event("e3", "AN2"))
    taken = await claim(store, 1)
    assert [(one.event.id, one.attempt) for one in taken] == [("e1", 1), ("e3", 1)]
    assert await claim(store, 2) == []
    assert await store.write(lambda tx: tx.settle_event(taken[0], None)) is True
    assert [one.event.id for one in await claim(store, 3)] == ["e2"]


async def test_a_parked_event_lets_the_next_of_its_subject_go(store: Store) -> None:
    await put(store, event("e1"), event("e2"))
    [first] = await claim(store, 1)
    parked = replace(first, state="PARKED", reason="given up", lease_until=None)
    assert await store.write(lambda tx: tx.settle_event(first, parked)) is True
    assert [one.event.id for one in await claim(store, 2)] == ["e2"]
    [held] = await store.read(lambda tx: tx.outgoing(state="PARKED"))
    assert held.reason == "given up"


async def test_one_subscriber_never_holds_another(store: Store) -> None:
    await put(store, event("e1"))
    await put(store, event("e1"), subscriber="cmms")
    [mine] = await claim(store, 1)
    assert mine.subscriber == "mes"
    [theirs] = await claim(store, 1, subscriber="cmms")
    assert theirs.subscriber == "cmms"


async def test_who_lost_the_lease_settles_nothing_and_the_event_is_due_again(store: Store) -> None:
    await put(store, event("e1"))
    [first] = await claim(store, 1)
    assert await claim(store, 30) == []
    [second] = await claim(store, 32)
    assert second.attempt == 2
    assert await store.write(lambda tx: tx.settle_event(first, None)) is False
    assert await store.write(lambda tx: tx.settle_event(second, None)) is True
    assert await store.read(lambda tx: tx.outgoing("mes")) == []


async def test_claims_of_the_dead_are_ended_and_nothing_else_is_touched(store: Store) -> None:
    await put(store, event("e1"), event("e2", "AN2"), event("e3", "AN3"))
    first, second = await claim(store, 1, limit=2)
    later = replace(second, due_at=at(300), lease_until=None, updated_at=at(1))
    await store.write(lambda tx: tx.settle_event(second, later))
    assert await store.write(lambda tx: tx.free_events(at(2))) == 1
    assert await store.write(lambda tx: tx.settle_event(first, None)) is False
    again = await claim(store, 2)
    assert [(one.event.id, one.attempt) for one in again] == [("e1", 2), ("e3", 1)]


async def test_an_event_is_not_due_before_its_time_unless_the_clock_went_back(store: Store) -> None:
    await put(store, event("e1"))
    [first] = await claim(store, 1)
    later = replace(first, due_at=at(301), lease_until=None, updated_at=at(1))
    await store.write(lambda tx: tx.settle_event(first, later))
    assert await claim(store, 300) == []
    assert len(await claim(store, -7200)) == 1  # written by a clock that was two hours ahead


async def test_only_a_parked_event_is_sent_again_or_given_up(store: Store) -> None:
    await put(store, event("e1"), event("e2", "AN2"))
    assert await store.write(lambda tx: tx.resend_event("mes", "e1", at(1))) is False
    assert await store.write(lambda tx: tx.drop_event("mes", "e1")) is False
    for one in await claim(store, 1):
        parked = replace(one, state="PARKED", attempt=10, lease_until=None)
        await store.write(lambda tx, one=one, parked=parked: tx.settle_event(one, parked))
    assert await claim(store, 2) == []
    assert await store.write(lambda tx: tx.resend_event("mes", "e1", at(3))) is True
    assert await store.write(lambda tx: tx.drop_event("mes", "e2")) is True
    [again] = await claim(store, 3)
    assert (again.event.id, again.attempt, again.made_at) == ("e1", 1, at(3))


async def test_a_subscriber_is_forgotten_with_its_queue_and_no_other_is_touched(store: Store) -> None:
    await put(store, event("e1"), event("e2"))
    await put(store, event("e1"), subscriber="cmms")
    for name in ("mes", "cmms"):
        await store.write(lambda tx, name=name: tx.put_subscriber(Subscriber(name=name, number=1)))
    assert await store.write(lambda tx: tx.forget_subscriber("mes")) == 2
    assert await store.write(lambda tx: tx.forget_subscriber("mes")) == 0
    assert [one.name for one in await store.read(lambda tx: tx.subscribers())] == ["cmms"]
    assert await store.read(lambda tx: tx.outgoing_counts()) == {("cmms", "WAITING"): 1}


async def test_the_end_of_the_trail_is_its_newest_line(store: Store) -> None:
    assert await store.read(lambda tx: tx.audit_end()) == 0
    await store.write(lambda tx: tx.note("order.made", "AN1", at(0)))
    await store.write(lambda tx: tx.note("order.made", "AN2", at(0)))
    assert await store.read(lambda tx: tx.audit_end()) == 2
