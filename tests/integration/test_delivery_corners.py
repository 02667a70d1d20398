"""Corners of delivery, with an ERP in memory: what a limit, a stop, a bug and a wrong clock may not do."""

import asyncio
import sqlite3
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from gateway.core.delivery import (
    Capabilities,
    Delivered,
    DeliveryState,
    ErpRef,
    Idempotency,
    Outcome,
    Rejected,
    Uncertain,
    Unsent,
)
from gateway.core.errors import Refused, Unreachable
from gateway.core.order import WorkOrder
from gateway.core.ports import Store, StoredOrder, T, Tx
from gateway.flow.ages import Ages
from gateway.flow.deliver import Deliverer
from gateway.flow.patience import Patience
from gateway.flow.reconcile import Reconciler
from gateway.flow.settle import Policy
from gateway.flow.single import single
from gateway.flow.sweep import watch
from tests.erp_process import make_order
from tests.fakes import Crowded

START = datetime(2026, 11, 21, 8, 0, tzinfo=UTC)
Answer = Callable[[WorkOrder], Outcome]


class Plain:
    """An ERP in memory that does what it is told; `answer` and `ask` put something else in its mouth."""

    name = "main"

    def __init__(self, **promises: Any) -> None:
        self.capabilities = Capabilities(
            **{"idempotency": Idempotency.LOOKUP, "amends": True, "cancels": True, **promises}
        )
        self.made: list[ErpRef] = []
        self.calls: list[str] = []
        self.flying = self.most = 0
        self.during: Callable[[], Awaitable[None]] | None = None
        self.answer: Answer = self.make
        self.ask: Callable[[str], list[ErpRef]] = self.held

    def make(self, order: WorkOrder) -> Outcome:
        ref = ErpRef(order.key, str(len(self.made) + 1), state="open")
        self.made.append(ref)
        return Delivered(ref)

    def held(self, key: str) -> list[ErpRef]:
        return [ref for ref in self.made if ref.key == key]

    async def _call(self, name: str) -> None:
        self.calls.append(name)
        self.flying += 1
        self.most = max(self.most, self.flying)
        await asyncio.sleep(0)
        if self.during is not None:
            await self.during()
        self.flying -= 1

    async def verify(self) -> list[str]:
        return []

    async def deliver(self, orders: Sequence[WorkOrder]) -> list[Outcome]:
        await self._call("deliver")
        return [self.answer(order) for order in orders]

    async def find(self, key: str) -> list[ErpRef]:
        await self._call("find")
        return self.ask(key)

    async def status(self, ref: ErpRef) -> ErpRef:
        return ref

    async def amend(self, ref: ErpRef, before: WorkOrder, after: WorkOrder) -> Outcome:
        await self._call("amend")
        return self.answer(after) if self.answer != self.make else Delivered(ref, created=before is after)

    async def cancel(self, ref: ErpRef, order: WorkOrder, reason: str) -> Outcome:
        await self._call("cancel")
        gone = msgspec.structs.replace(ref, state="cancelled", status=reason)
        self.made = [gone if one.number == ref.number and one.key == order.key else one for one in self.made]
        return Delivered(gone, created=False)

    async def close(self) -> None:
        return None


@dataclass(slots=True)
class Desk:
    """A store and both loops, in a time of their own."""

    store: Store
    erp: Plain
    policy: Policy = field(default_factory=Policy)
    at: datetime = START
    patience: Patience = field(init=False)

    def __post_init__(self) -> None:
        self.patience = Patience(self.now, self.policy.longest_wait)

    def now(self) -> datetime:
        return self.at

    @property
    def deliverer(self) -> Deliverer:
        return Deliverer(self.store, self.erp, self.now, asyncio.Event(), self.policy, self.patience)

    @property
    def reconciler(self) -> Reconciler:
        return Reconciler(self.store, self.erp, self.now, self.policy, self.patience)

    async def put(self, *orders: WorkOrder) -> None:
        for order in orders:
            await self.store.write(lambda tx, order=order: tx.put_order(order, "main", self.at))

    async def write(self, step: Callable[[Tx], object]) -> None:
        assert await self.store.write(step)

    async def held(self, order: WorkOrder) -> StoredOrder:
        found = await self.store.read(lambda tx: tx.order(order.key))
        assert found is not None
        return found

    async def state(self, order: WorkOrder) -> DeliveryState:
        return (await self.held(order)).delivery.state


def later(order: WorkOrder, version: int = 2) -> WorkOrder:
    return msgspec.structs.replace(order, version=version, title=f"version {version}")


async def test_changes_are_bounded_by_the_lanes_however_many_orders_a_request_may_carry(store: Store) -> None:
    desk = Desk(store, Plain(batch=10, ordered=True), Policy(lanes=2))
    old = [make_order(f"old {n}", asset=f"O-{n}") for n in range(12)]
    await desk.put(*old)
    while await desk.deliverer.step():
        pass
    assert desk.erp.calls == ["deliver"] * 2
    new = [make_order(f"new {n}", asset=f"N-{n}") for n in range(12)]
    await desk.put(*new)
    for order in old:
        await desk.write(lambda tx, order=order: tx.change_order(later(order), desk.at))
    while await desk.deliverer.step():
        assert desk.erp.most <= 2
    assert Counter(desk.erp.calls)["amend"] == 12
    assert {await desk.state(order) for order in (*old, *new)} == {DeliveryState.DELIVERED}


async def test_an_order_that_never_left_and_is_taken_back_is_withdrawn_without_a_question(store: Store) -> None:
    order, desk = make_order("one"), Desk(store, Plain(idempotency=Idempotency.NONE))
    await desk.put(order)

    async def taken_back() -> None:
        await desk.write(lambda tx: tx.withdraw_order(order.key, "false alarm", desk.at))

    desk.erp.during, desk.erp.answer = taken_back, lambda _: Unsent("no connection")
    await desk.deliverer.step()
    desk.erp.during = None
    desk.at += timedelta(minutes=1)
    await desk.deliverer.step()
    assert (await desk.state(order), desk.erp.calls) == (DeliveryState.WITHDRAWN, ["deliver"])


async def test_a_change_that_was_parked_in_doubt_is_tried_on_when_sent_again_and_that_counts_once(store: Store) -> None:
    order, desk = make_order("one"), Desk(store, Plain(), Policy(doubts=3))
    await desk.put(order)
    await desk.deliverer.step()
    await desk.write(lambda tx: tx.change_order(later(order), desk.at))
    desk.erp.answer = lambda _: Uncertain("500")

    async def tried() -> int:
        before = len(desk.erp.calls)
        for _ in range(9):
            desk.at += timedelta(minutes=1)
            await desk.deliverer.step()
        return len(desk.erp.calls) - before

    assert (await tried(), await desk.state(order)) == (3, DeliveryState.PARKED)
    desk.at += timedelta(days=5)
    for _ in range(2):
        await desk.write(lambda tx: tx.redeliver(order.key, desk.at))
        assert (await tried(), await desk.state(order)) == (2, DeliveryState.PARKED)


async def test_what_the_erp_has_answered_is_kept_by_a_gateway_that_is_stopped_while_the_disk_is_full(
    store: Store,
) -> None:
    crowded, erp = Crowded(store), Plain(idempotency=Idempotency.NONE)
    order, desk = make_order("one"), Desk(crowded, erp)
    await desk.put(order)

    def fills_up(order: WorkOrder) -> Outcome:
        crowded.full = True
        return erp.make(order)

    erp.answer = fills_up
    sending = asyncio.create_task(desk.deliverer.step())
    async with asyncio.timeout(10):
        await crowded.met.wait()
        sending.cancel()
        crowded.full = False
        with pytest.raises(asyncio.CancelledError):
            await sending
    assert (await desk.held(order)).delivery.erp_number == "1"
    assert await desk.state(order) is DeliveryState.DELIVERED


def broken(_: str) -> list[ErpRef]:
    raise KeyError("rows")


async def test_a_look_up_that_fails_by_a_bug_stops_no_other_order_and_sends_nothing_twice(store: Store) -> None:
    one, other = make_order("one", asset="A"), make_order("other", asset="B")
    desk = Desk(store, Plain())
    desk.erp.answer = lambda _: Uncertain("500")
    await desk.put(one)
    await desk.deliverer.step()
    desk.erp.ask, desk.erp.answer = broken, desk.erp.make
    await desk.put(other)
    desk.at += timedelta(hours=1)
    await desk.reconciler.step()
    await desk.deliverer.step()
    assert (await desk.state(one), await desk.state(other)) == (DeliveryState.UNCERTAIN, DeliveryState.DELIVERED)
    desk.at += timedelta(days=4)
    await desk.reconciler.step()
    assert await desk.state(one) is DeliveryState.PARKED
    await desk.write(lambda tx: tx.redeliver(one.key, desk.at))
    await desk.deliverer.step()
    assert desk.erp.held(one.key) == []
    desk.erp.ask = desk.erp.held
    for _ in range(9):
        desk.at += timedelta(minutes=5)
        await desk.reconciler.step()
        await desk.deliverer.step()
    assert (await desk.state(one), len(desk.erp.held(one.key))) == (DeliveryState.DELIVERED, 1)


@pytest.mark.parametrize(("lost", "asked"), [(Unreachable("away"), 1), (Refused("403"), 5), (KeyError("rows"), 5)])
async def test_an_erp_that_is_away_is_not_asked_about_one_ghost_after_the_other(
    store: Store, lost: Exception, asked: int
) -> None:
    desk = Desk(store, Plain())

    def lose(_: str) -> list[ErpRef]:
        raise lost

    desk.erp.ask = lose
    orders = [make_order(f"ghost {number}") for number in range(5)]
    await desk.put(*orders)
    for order in orders:
        await store.write(lambda tx, key=order.key: watch(tx, key, desk.at, timedelta(0)))
    desk.at += timedelta(minutes=1)
    await desk.reconciler.step()
    assert desk.erp.calls == ["find"] * asked
    assert bool(desk.patience.why) == (asked == 1)
    left = await store.read(lambda tx: tx.watched("main"))
    assert {one.left for one in left} == ({3} if asked == 1 else {2})


async def test_a_clock_that_was_ahead_when_an_order_left_makes_no_second_one(store: Store) -> None:
    order, desk = (
        make_order("one"),
        Desk(store, Plain(idempotency=Idempotency.HEADER, replay_window=timedelta(hours=12))),
    )
    await desk.put(order)
    desk.at += timedelta(days=2)

    def lost_reply(order: WorkOrder) -> Outcome:
        desk.erp.make(order)
        return Uncertain("no answer")

    desk.erp.answer = lost_reply
    await desk.deliverer.step()
    desk.at = START + timedelta(hours=13)  # the clock was put right, and the ERP has forgotten the key
    desk.erp.answer = desk.erp.make
    await desk.reconciler.step()
    assert (await desk.state(order), len(desk.erp.made)) == (DeliveryState.DELIVERED, 1)


@pytest.mark.parametrize("settle", [timedelta(0), timedelta(minutes=1)])
async def test_an_order_that_comes_after_it_was_taken_back_is_cancelled_also_where_the_key_counts(
    store: Store, settle: timedelta
) -> None:
    order, desk = make_order("one"), Desk(store, Plain(idempotency=Idempotency.HEADER, settle=settle))
    await desk.put(order)
    desk.erp.answer = lambda _: Uncertain("no answer")
    await desk.deliverer.step()
    await desk.write(lambda tx: tx.withdraw_order(order.key, "false alarm", desk.at))
    for _ in range(9):
        desk.at += timedelta(seconds=20)
        await desk.reconciler.step()
        await desk.deliverer.step()
    assert (await desk.state(order), desk.erp.calls.count("deliver")) == (DeliveryState.WITHDRAWN, 1)
    desk.erp.make(order)
    desk.at += timedelta(hours=1)
    await desk.reconciler.step()
    assert [ref.state for ref in desk.erp.made] == ["cancelled"]


async def test_a_doubt_is_looked_into_by_one_gateway_as_long_as_that_may_take(store: Store) -> None:
    deadline = timedelta(seconds=60)
    order, desk = (
        make_order("one"),
        Desk(store, Plain(idempotency=Idempotency.UPSERT, overwrites=True, deadline=deadline)),
    )
    await desk.put(order)
    desk.erp.answer = lambda _: Uncertain("500")
    await desk.deliverer.step()
    desk.erp.answer = lambda _: Rejected("the mapping was changed")
    desk.at += timedelta(minutes=10)

    async def slow() -> None:
        desk.at += deadline
        assert await store.write(lambda tx: tx.claim_uncertain("main", desk.at, deadline, 9)) == []

    desk.erp.during = slow
    await desk.reconciler.step()
    assert desk.erp.calls == ["deliver", "find", "deliver", "find"]
    assert await desk.state(order) is DeliveryState.PARKED


async def test_an_order_that_was_parked_in_doubt_and_is_sent_again_undoes_nothing_that_a_planner_did(
    store: Store,
) -> None:
    order, desk = make_order("one"), Desk(store, Plain(idempotency=Idempotency.UPSERT, overwrites=True))
    await desk.put(order)

    def lost_reply(order: WorkOrder) -> Outcome:
        desk.erp.make(order)
        return Uncertain("no answer")

    def away(_: str) -> list[ErpRef]:
        raise Unreachable("away")

    desk.erp.answer, desk.erp.ask = lost_reply, away
    await desk.deliverer.step()
    desk.at += timedelta(days=4)
    await desk.reconciler.step()
    assert await desk.state(order) is DeliveryState.PARKED
    desk.erp.answer, desk.erp.ask = desk.erp.make, desk.erp.held
    desk.at += timedelta(hours=1)
    await desk.write(lambda tx: tx.redeliver(order.key, desk.at))
    await desk.deliverer.step()
    assert (await desk.state(order), desk.erp.calls.count("deliver")) == (DeliveryState.DELIVERED, 1)


async def test_an_erp_that_takes_one_order_at_a_time_gets_none_from_reconciliation_meanwhile(store: Store) -> None:
    erp = Plain(idempotency=Idempotency.UPSERT, lane="connection")
    desk = Desk(store, erp)
    doubtful = [make_order(f"doubtful {n}", asset=f"D-{n}") for n in range(4)]
    await desk.put(*doubtful)
    erp.answer = lambda _: Uncertain("500")
    for _ in doubtful:
        await desk.deliverer.step()
    erp.answer = erp.make
    await desk.put(*(make_order(f"new {n}", asset=f"N-{n}") for n in range(4)))
    desk.at += timedelta(hours=1)
    alone = single(erp)
    deliverer = Deliverer(store, alone, desk.now, asyncio.Event(), desk.policy, desk.patience)
    reconciler = Reconciler(store, alone, desk.now, desk.policy, desk.patience)
    for _ in range(5):
        await asyncio.gather(deliverer.step(), reconciler.step())
    assert (erp.most, len(erp.made)) == (1, 8)


async def test_who_waits_too_long_for_an_erp_that_takes_one_order_at_a_time_has_sent_nothing() -> None:
    erp = Plain(lane="connection", deadline=timedelta(milliseconds=20))
    alone, over = single(erp), asyncio.Event()

    async def hang() -> None:
        await over.wait()

    erp.during = hang
    order = make_order("one")
    first = asyncio.create_task(alone.deliver([order]))
    await asyncio.sleep(0)
    [second] = await alone.deliver([make_order("two")])
    third = await alone.cancel(ErpRef(order.key, "1"), order, "false alarm")
    over.set()
    [done] = await first
    assert isinstance(done, Delivered) and isinstance(second, Unsent) and isinstance(third, Unsent)
    assert erp.calls == ["deliver"]


async def test_an_order_that_was_taken_back_and_never_arrives_needs_no_person(store: Store) -> None:
    order, desk = make_order("one"), Desk(store, Plain(settle=timedelta(minutes=1)), Policy(doubts=1))
    await desk.put(order)
    desk.erp.answer = lambda _: Uncertain("no answer")
    await desk.deliverer.step()
    await desk.write(lambda tx: tx.withdraw_order(order.key, "false alarm", desk.at))
    for _ in range(4):
        desk.at += timedelta(minutes=2)
        await desk.reconciler.step()
        await desk.deliverer.step()
    assert await desk.state(order) is DeliveryState.WITHDRAWN


class Ticking:
    """Two clocks of a desk: one that is set, and one that is not."""

    def __init__(self, desk: Desk) -> None:
        self.desk, self.seconds = desk, 0.0
        desk.patience = Patience(desk.now, desk.policy.longest_wait, ages=Ages(desk.now, lambda: self.seconds))
        desk.patience.ages.look()

    def run(self, time: timedelta) -> None:
        self.desk.at += time
        self.seconds += time.total_seconds()


async def test_a_clock_that_jumps_three_days_ahead_in_an_outage_gives_nothing_up(store: Store) -> None:
    desk, order = Desk(store, Plain()), make_order("jump")
    clocks = Ticking(desk)
    desk.erp.answer = lambda _: Unsent("no connection")
    await desk.put(order)
    for jump in (timedelta(0), timedelta(days=3), timedelta(days=30)):
        desk.at += jump
        clocks.run(timedelta(hours=1))
        await desk.deliverer.step()
        assert await desk.state(order) == "WAITING"
    clocks.run(timedelta(hours=72))
    await desk.deliverer.step()
    assert await desk.state(order) == "PARKED"


@pytest.mark.parametrize("back", [timedelta(0), timedelta(hours=6)])
async def test_a_clock_that_goes_back_makes_no_erp_remember_for_longer(store: Store, back: timedelta) -> None:
    erp = Plain(idempotency=Idempotency.HEADER, replay_window=timedelta(hours=12))
    desk, order = Desk(store, erp), make_order("forgotten")
    clocks = Ticking(desk)

    def lose(order: WorkOrder) -> Outcome:
        erp.make(order)
        return Uncertain("the reply was lost")

    erp.answer = lose
    await desk.put(order)
    await desk.deliverer.step()
    clocks.run(timedelta(hours=14))
    desk.at -= back
    await desk.reconciler.step()
    assert erp.calls == ["deliver", "find"]
    assert await desk.state(order) == "DELIVERED"
    assert len(erp.held(order.key)) == 1


@pytest.fixture
def clearing(store: Store) -> Desk:
    """An ERP that knows our number as long as it shows the order: an hour."""
    return Desk(store, Plain(idempotency=Idempotency.CLIENT_ID, replay_window=timedelta(hours=1)))


async def in_doubt(desk: Desk, name: str) -> WorkOrder:
    """Send an order whose reply is lost; it was made."""
    erp, order = desk.erp, make_order(name)

    def lose(order: WorkOrder) -> Outcome:
        erp.make(order)
        return Uncertain("the reply was lost")

    erp.answer = lose
    await desk.put(order)
    await desk.deliverer.step()
    erp.answer = erp.make
    assert await desk.state(order) == "UNCERTAIN"
    return order


async def test_what_was_in_doubt_and_may_have_been_cleared_is_never_sent_again_by_itself(clearing: Desk) -> None:
    order = await in_doubt(clearing, "cleared")
    clearing.at += timedelta(hours=1)
    clearing.erp.made.clear()  # it was done, and the list was cleared
    await clearing.reconciler.step()
    held = await clearing.held(order)
    assert held.delivery.state is DeliveryState.PARKED
    assert "look before it is sent again" in held.delivery.reason and "the reply was lost" in held.delivery.reason
    assert clearing.erp.calls == ["deliver", "find"]
    # A person who has looked sends it again; somebody else may have made it meanwhile, so it is asked for first.
    await clearing.write(lambda tx: tx.redeliver(order.key, clearing.at))
    await clearing.deliverer.step()
    assert clearing.erp.calls == ["deliver", "find", "find", "deliver"]
    assert await clearing.state(order) == "DELIVERED"


async def test_what_is_still_shown_is_delivered_however_old_the_doubt(clearing: Desk) -> None:
    order = await in_doubt(clearing, "shown")
    clearing.at += timedelta(days=1)
    await clearing.reconciler.step()
    assert await clearing.state(order) == "DELIVERED"
    assert clearing.erp.calls == ["deliver", "find"]


async def test_an_outage_before_the_first_request_does_not_make_the_doubt_older(clearing: Desk) -> None:
    order = make_order("outage first")
    clearing.erp.answer = lambda _: Unsent("no connection")
    await clearing.put(order)
    for _ in range(3):
        await clearing.deliverer.step()
        clearing.at += timedelta(hours=1)
    clearing.erp.answer = lambda _: Uncertain("nobody knows, and it never arrived")
    await clearing.deliverer.step()
    clearing.at += timedelta(minutes=1)
    clearing.erp.answer = clearing.erp.make
    await clearing.reconciler.step()
    assert clearing.erp.calls == ["deliver"] * 5
    assert await clearing.state(order) == "DELIVERED"


async def test_what_surely_did_not_arrive_is_remembered_from_its_next_request_on(store: Store) -> None:
    desk, order = Desk(store, Plain(idempotency=Idempotency.LOOKUP, replay_window=None)), make_order("from the next")
    desk.erp.answer = lambda _: Uncertain("500")
    await desk.put(order)
    await desk.deliverer.step()
    for _ in range(2):
        desk.at += timedelta(hours=1)
        await desk.reconciler.step()
    assert (await desk.held(order)).delivery.since is None
    await desk.deliverer.step()
    delivery = (await desk.held(order)).delivery
    assert (delivery.since, delivery.attempt) == (desk.at, 2)


class Stopping:
    """A store that stops somebody at the moment at which its second commit is done."""

    def __init__(self, inner: Store) -> None:
        self._inner = inner
        self.whom: asyncio.Task[None] | None = None
        self.commits = 0

    async def write(self, step: Callable[[Tx], T]) -> T:
        told = await self._inner.write(step)
        self.commits += 1
        if self.commits == 2 and self.whom is not None:
            self.whom.cancel()
            await asyncio.sleep(0)
        return told

    async def read(self, look: Callable[[Tx], T]) -> T:
        return await self._inner.read(look)

    async def close(self) -> None:
        await self._inner.close()


async def test_a_stop_right_after_the_commit_that_took_an_order_gives_it_back_unsent(store: Store) -> None:
    one, other = make_order("one"), make_order("other")
    stopping = Stopping(store)
    desk = Desk(stopping, Plain(idempotency=Idempotency.NONE))
    await Desk(store, desk.erp).put(one, other)
    running = stopping.whom = asyncio.create_task(desk.deliverer.run())
    with pytest.raises(asyncio.CancelledError):
        await running
    assert desk.erp.calls == ["deliver"]
    assert await desk.state(one) is DeliveryState.DELIVERED
    held = (await desk.held(other)).delivery
    assert (held.state, held.attempt, held.lease_until) == (DeliveryState.WAITING, 0, None)


async def test_a_lease_that_a_clock_has_ended_during_the_request_does_not_lose_the_answer(store: Store) -> None:
    order, desk = make_order("one"), Desk(store, Plain(idempotency=Idempotency.NONE))
    await desk.put(order)

    async def set_forward() -> None:
        desk.at += timedelta(minutes=30)
        await desk.store.write(lambda tx: tx.expire(desk.at))
        await desk.reconciler.step()

    desk.erp.during = set_forward
    await desk.deliverer.step()
    held = (await desk.held(order)).delivery
    assert (held.state, held.erp_number) == (DeliveryState.DELIVERED, "1")


def spoil(folder: Path, key: str) -> None:
    """Have an order hold what is no order."""
    database = sqlite3.connect(next(folder.glob("*.db")))
    with database:
        database.execute("UPDATE orders SET body = ? WHERE key = ?", (b"\0junk", key))
    database.close()


async def test_an_order_that_cannot_be_read_does_not_undo_what_the_erp_answered_for_another(
    store: Store, tmp_path: Path
) -> None:
    good, bad = make_order("good", asset="A"), make_order("bad", asset="B")
    desk = Desk(store, Plain(idempotency=Idempotency.NONE))
    await desk.put(good)

    async def spoilt() -> None:
        await desk.put(bad)
        spoil(tmp_path, bad.key)

    desk.erp.during = spoilt
    with pytest.raises(BaseExceptionGroup):
        async with asyncio.timeout(20):
            await desk.deliverer.run()
    assert await desk.state(good) is DeliveryState.DELIVERED
