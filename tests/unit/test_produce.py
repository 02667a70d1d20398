"""Production orders handed over: what each outcome and each look makes of an order, on a real store."""

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta

import pytest

from gateway.core.delivery import (
    Delivered,
    ErpRef,
    Outcome,
    ProductionOrder,
    ProductionParameter,
    Throttled,
    Uncertain,
    Unsent,
)
from gateway.core.errors import Doubtful, Refused, Unreachable
from gateway.core.ports import Store
from gateway.core.production import Handover, HandoverState, JobState
from gateway.core.reading import Value
from gateway.flow.handing import MARK, Plan, Seen, ToTargets, Write, alike, valued
from gateway.flow.produce import Producer
from gateway.flow.settle import Policy
from tests.fakes import Crowded, at

TO = "line.cell"
WAIT = timedelta(seconds=30)
PLAN = Plan(
    "cell",
    (Write("order-id", ("$order_id",)), Write("material", ("$material_code",)), Write("quantity", ("$quantity",))),
    Write("start", (True,)),
)


def made(order_id: str = "PO-1") -> ProductionOrder:
    return ProductionOrder(order_id=order_id, material_code="GX-7", quantity=5.0, due_date="2026-12-01")


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> datetime:
        return at(self.seconds)


class Cell:
    """A line that holds what is written; `fault` is raised at a target, before or after it took the value."""

    def __init__(self) -> None:
        self.held: dict[str, Value] = {}
        self.wrote: list[str] = []
        self.before: dict[str, Exception] = {}
        self.after: dict[str, Exception] = {}
        self.unread: Exception | None = None
        self.open = True

    def targets(self) -> Sequence[tuple[str, str]]:
        return [("cell", name) for name in ("order-id", "material", "quantity", "start")] if self.open else []

    async def write(self, line: str, target: str, values: Sequence[Value]) -> list[Value]:
        if target in self.before:
            raise self.before.pop(target)
        self.wrote.append(target)
        [self.held[target]] = values
        if target in self.after:
            raise self.after.pop(target)
        return []

    async def held_by(self, line: str, target: str) -> Value:
        if self.unread is not None:
            raise self.unread
        return self.held.get(target)


class Told:
    """A receiver that says what it is told to."""

    name, deadline, follows = TO, timedelta(seconds=1), True

    def __init__(self, *outcomes: Outcome) -> None:
        self.outcomes = list(outcomes)
        self.seen: Seen | Exception = Seen(taken=True)
        self.given: list[str] = []
        self.state: JobState = ""
        self.asked = asyncio.Event()

    async def give(self, order: ProductionOrder) -> Outcome:
        self.given.append(order.order_id)
        self.asked.set()
        outcome = self.outcomes.pop(0) if self.outcomes else Delivered(ErpRef(order.order_id, order.order_id))
        if isinstance(outcome, Uncertain) and outcome.cause == "never":
            await asyncio.sleep(30)
        return outcome

    async def look(self, order: ProductionOrder) -> Seen:
        if isinstance(self.seen, Exception):
            raise self.seen
        return self.seen

    async def job(self, order_id: str) -> JobState:
        return self.state


@pytest.fixture
def clock() -> Clock:
    return Clock()


def producer(store: Store, hand: ToTargets | Told, clock: Clock, **policy: timedelta) -> Producer:
    given = Policy(**policy)  # type: ignore[arg-type]  # a table of test values
    return Producer(store, hand, clock, asyncio.Event(), given, timedelta(seconds=10), timedelta(hours=1))


def to_targets(store: Store, cell: Cell, clock: Clock, plan: Plan = PLAN) -> ToTargets:
    return ToTargets(store, cell, plan, clock, timedelta(seconds=1))


async def put(store: Store, *names: str) -> None:
    for name in names:
        await store.write(lambda tx, name=name: tx.put_production_order(made(name), at(0), TO))  # type: ignore[misc]


async def now(store: Store, name: str = "PO-1") -> Handover:
    found = await store.read(lambda tx: tx.production(name))
    assert found is not None and found.handover is not None
    return found.handover


async def trail(store: Store) -> list[str]:
    lines = await store.read(lambda tx: list(tx.audit()))
    return [line.event for line in lines]


async def test_an_order_is_written_in_declared_order_with_the_trigger_last(store: Store, clock: Clock) -> None:
    cell = Cell()
    await put(store, "PO-1")
    work = producer(store, to_targets(store, cell, clock), clock)
    assert await work.step() and not await work.step()
    assert cell.wrote == ["order-id", "material", "quantity", "start"]
    assert cell.held == {"order-id": "PO-1", "material": "GX-7", "quantity": 5, "start": True}
    assert (await now(store)).state is HandoverState.ACCEPTED
    asked = ["line.write.asked", "line.write.done"] * 4
    assert await trail(store) == ["production.sending", *asked, "production.accepted"]
    assert await store.read(lambda tx: tx.get(MARK + "PO-1")) is None


async def test_a_line_that_is_not_open_is_waited_for_and_nothing_is_written(store: Store, clock: Clock) -> None:
    cell = Cell()
    cell.open = False
    await put(store, "PO-1")
    work = producer(store, to_targets(store, cell, clock), clock)
    assert await work.step()
    held = await now(store)
    assert (held.state, held.attempt, cell.wrote) == (HandoverState.WAITING, 0, [])
    assert "not open" in held.reason
    cell.open, clock.seconds = True, 60
    assert await work.step()
    assert (await now(store)).state is HandoverState.ACCEPTED


async def test_a_refused_value_parks_the_order_and_the_next_goes(store: Store, clock: Clock) -> None:
    cell = Cell()
    cell.before["quantity"] = Refused("cell/quantity: 5 is not in 1 to 4")
    await put(store, "PO-1", "PO-2")
    work = producer(store, to_targets(store, cell, clock), clock)
    assert await work.step() and await work.step()
    assert (await now(store)).reason == "cell/quantity: 5 is not in 1 to 4"
    assert [(await now(store, name)).state for name in ("PO-1", "PO-2")] == [
        HandoverState.PARKED,
        HandoverState.ACCEPTED,
    ]


async def test_doubt_before_the_trigger_has_no_effect_and_is_written_again(store: Store, clock: Clock) -> None:
    cell = Cell()
    cell.after["material"] = Doubtful("no answer in time")
    await put(store, "PO-1")
    work = producer(store, to_targets(store, cell, clock), clock)
    await work.step()
    held = await now(store)
    assert (held.state, held.attempt) == (HandoverState.WAITING, 0)
    assert "start" not in cell.held
    clock.seconds = 60
    await work.step()
    assert (await now(store)).state is HandoverState.ACCEPTED
    assert cell.wrote.count("start") == 1


async def test_a_trigger_in_doubt_is_read_back_and_never_pulled_again(store: Store, clock: Clock) -> None:
    for took, ends in ((True, HandoverState.ACCEPTED), (False, HandoverState.PARKED)):
        cell = Cell()
        name = f"PO-{took}"
        (cell.after if took else cell.before)["start"] = Doubtful("no answer in time")
        await put(store, name)
        work = producer(store, to_targets(store, cell, clock), clock)
        await work.step()
        assert (await now(store, name)).state is HandoverState.UNCERTAIN
        clock.seconds += 60
        await work.step()
        held = await now(store, name)
        assert held.state is ends
        assert cell.wrote.count("start") == int(took)
    assert "look at it before you hand it over again" in held.reason


async def test_while_the_trigger_of_the_last_order_stands_the_next_waits(store: Store, clock: Clock) -> None:
    cell = Cell()
    await put(store, "PO-1", "PO-2")
    work = producer(store, to_targets(store, cell, clock), clock)
    await work.step()
    await work.step()
    held = await now(store, "PO-2")
    assert (held.state, held.attempt, cell.held["order-id"]) == (HandoverState.WAITING, 0, "PO-1")
    assert "start still holds True" in held.reason
    cell.held["start"], clock.seconds = False, 60
    await work.step()
    assert ((await now(store, "PO-2")).state, cell.held["order-id"]) == (HandoverState.ACCEPTED, "PO-2")


async def test_a_trigger_that_nobody_takes_back_is_taken_back_first(store: Store, clock: Clock) -> None:
    cell = Cell()
    plan = Plan("cell", PLAN.writes, PLAN.trigger, Write("start", (False,)))
    await put(store, "PO-1", "PO-2")
    work = producer(store, to_targets(store, cell, clock, plan), clock)
    assert await work.step() and await work.step()
    assert cell.wrote == ["start", "order-id", "material", "quantity", "start"] * 2
    assert (await now(store, "PO-2")).state is HandoverState.ACCEPTED


async def test_a_line_that_cannot_be_read_is_written_all_the_same_and_parked_in_doubt(
    store: Store, clock: Clock
) -> None:
    cell = Cell()
    cell.unread = Refused("it cannot be read")
    cell.after["start"] = Doubtful("no answer in time")
    await put(store, "PO-1")
    work = producer(store, to_targets(store, cell, clock), clock)
    await work.step()
    clock.seconds = 60
    await work.step()
    held = await now(store)
    assert held.state is HandoverState.PARKED and "cannot be read back" in held.reason
    cell.unread = Unreachable("no link")
    await put(store, "PO-2")
    await work.step()
    assert (await now(store, "PO-2")).state is HandoverState.WAITING


async def test_a_crash_before_the_trigger_is_handed_over_again(store: Store, clock: Clock) -> None:
    cell = Cell()
    await put(store, "PO-1")
    await store.write(lambda tx: tx.claim_production(TO, at(0), timedelta(seconds=5)))
    clock.seconds = 10
    work = producer(store, to_targets(store, cell, clock), clock)
    await work.step()
    assert (await now(store)).state is HandoverState.WAITING
    await work.step()
    held = await now(store)
    assert (held.state, held.attempt, cell.wrote.count("start")) == (HandoverState.ACCEPTED, 2, 1)


async def test_a_crash_after_the_trigger_is_read_back(store: Store, clock: Clock) -> None:
    cell = Cell()
    cell.held = {"order-id": "PO-1", "material": "GX-7", "quantity": 5, "start": True}
    await put(store, "PO-1")
    await store.write(lambda tx: (tx.claim_production(TO, at(0), timedelta(seconds=5)), tx.put(MARK + "PO-1", b"x")))
    clock.seconds = 10
    await producer(store, to_targets(store, cell, clock), clock).step()
    assert ((await now(store)).state, cell.wrote) == (HandoverState.ACCEPTED, [])


async def test_without_a_trigger_what_reads_otherwise_is_written_again(store: Store, clock: Clock) -> None:
    cell = Cell()
    cell.before["quantity"] = Doubtful("no answer in time")
    await put(store, "PO-1")
    work = producer(store, to_targets(store, cell, clock, Plan("cell", PLAN.writes)), clock)
    await work.step()
    assert (await now(store)).state is HandoverState.UNCERTAIN
    for _ in range(2):
        clock.seconds += 60
        await work.step()
    assert (await now(store)).state is HandoverState.ACCEPTED
    assert cell.held["quantity"] == 5


async def test_a_line_that_does_not_answer_the_look_keeps_the_order_in_doubt(store: Store, clock: Clock) -> None:
    hand = Told(Uncertain("no answer"))
    await put(store, "PO-1", "PO-2")
    work = producer(store, hand, clock)
    await work.step()
    for lost in (Unreachable("no link"), TimeoutError()):
        hand.seen = lost
        clock.seconds += 60
        await work.step()
        held = await now(store)
        assert (held.state, held.attempt, held.reason) == (HandoverState.UNCERTAIN, 1, "no answer")
    hand.seen = Unreachable("no link")
    clock.seconds += 73 * 3600
    await work.step()
    assert (await now(store)).state is HandoverState.PARKED
    assert hand.given == ["PO-1"], "the lane was held all the time"


async def test_what_was_not_taken_is_handed_over_again_but_not_for_ever(store: Store, clock: Clock) -> None:
    hand = Told(*[Uncertain("no answer")] * 3)
    hand.seen = Seen(taken=False)
    await put(store, "PO-1")
    work = producer(store, hand, clock, doubts=3)  # type: ignore[arg-type]  # a number
    for _ in range(6):
        await work.step()
        clock.seconds += 60
    held = await now(store)
    assert (held.state, held.attempt, len(hand.given)) == (HandoverState.PARKED, 3, 3)
    assert "never taken" in held.reason


async def test_what_is_not_shown_after_a_long_time_may_have_been_made_and_cleared(store: Store, clock: Clock) -> None:
    hand = Told(Uncertain("no answer"))
    hand.seen = Seen(taken=False)
    await put(store, "PO-1")
    work = producer(store, hand, clock)
    await work.step()
    clock.seconds = 3700
    await work.step()
    held = await now(store)
    assert (held.state, hand.given) == (HandoverState.PARKED, ["PO-1"])
    assert "made and cleared" in held.reason


async def test_an_outage_before_the_first_attempt_does_not_make_the_doubt_older(store: Store, clock: Clock) -> None:
    hand = Told(Unsent("no link"), Unsent("no link"), Uncertain("no answer"))
    hand.seen = Seen(taken=False)
    await put(store, "PO-1")
    work = producer(store, hand, clock)
    for _ in range(3):
        await work.step()
        clock.seconds += 3000
    clock.seconds -= 2900
    await work.step()
    await work.step()
    assert ((await now(store)).state, len(hand.given)) == (HandoverState.ACCEPTED, 4)


async def test_what_surely_did_not_arrive_is_in_doubt_from_its_next_attempt_on(store: Store, clock: Clock) -> None:
    hand = Told(Uncertain("no answer"), Uncertain("no answer"))
    hand.seen = Seen(taken=False)
    await put(store, "PO-1")
    work = producer(store, hand, clock)
    for _ in range(2):
        await work.step()
        clock.seconds += 3000
        await work.step()
        assert (await now(store)).state is HandoverState.WAITING
    await work.step()
    assert ((await now(store)).state, len(hand.given)) == (HandoverState.ACCEPTED, 3)


async def test_a_throttling_receiver_is_left_alone_as_long_as_it_asks(store: Store, clock: Clock) -> None:
    hand = Told(Throttled(timedelta(seconds=20), "busy"))
    await put(store, "PO-1")
    work = producer(store, hand, clock)
    await work.step()
    clock.seconds = 19
    assert not await work.step()
    clock.seconds = 20
    assert await work.step()
    assert (await now(store)).state is HandoverState.ACCEPTED


async def test_an_order_that_could_not_be_handed_over_for_days_is_for_a_person(store: Store, clock: Clock) -> None:
    hand = Told(Unsent("no link"), Unsent("no link"))
    await put(store, "PO-1")
    work = producer(store, hand, clock, give_up_after=timedelta(hours=1))
    await work.step()
    clock.seconds = 3700
    await work.step()
    assert (await now(store)).reason == "given up: no link"


async def test_a_stop_in_the_middle_is_doubt(store: Store, clock: Clock) -> None:
    hand = Told(Uncertain("never"))
    hand.deadline = timedelta(seconds=60)  # type: ignore[misc]  # of this one
    await put(store, "PO-1")
    running = asyncio.create_task(producer(store, hand, clock).run())
    async with asyncio.timeout(10):
        await hand.asked.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    held = await now(store)
    assert held.state is HandoverState.UNCERTAIN and "stopped" in held.reason


async def test_jobs_are_followed_to_their_end(store: Store, clock: Clock) -> None:
    hand = Told(Delivered(ErpRef("PO-1", "PO-1", "AllowedToStart", state="open")))
    await put(store, "PO-1")
    work = producer(store, hand, clock)
    await work.step()
    seen = [(await now(store)).job]
    for state in ("RUNNING", "INTERRUPTED", "RUNNING", "COMPLETED", "RUNNING"):
        hand.state = state  # type: ignore[assignment]  # one of them
        clock.seconds += 11
        await work.follow()
        seen.append((await now(store)).job)
    assert seen == ["WAITING", "RUNNING", "INTERRUPTED", "RUNNING", "COMPLETED", "COMPLETED"]
    told = [event for event in await trail(store) if event.startswith("production.job.")]
    assert told == [f"production.job.{state.lower()}" for state in seen[:5]]


async def test_a_receiver_is_not_asked_more_often_than_it_should_be(store: Store, clock: Clock) -> None:
    hand = Told()
    await put(store, "PO-1")
    work = producer(store, hand, clock)
    await work.step()
    await work.follow()
    hand.state = "RUNNING"
    clock.seconds = 9
    await work.follow()
    assert (await now(store)).job == ""
    clock.seconds = 11
    await work.follow()
    assert (await now(store)).job == "RUNNING"


def test_values_come_from_the_order_and_what_it_does_not_say_is_refused() -> None:
    order = ProductionOrder(
        order_id="PO-1",
        material_code="GX-7",
        quantity=2.5,
        due_date="2026-12-01",
        parameters=(ProductionParameter("colour", "红"),),
    )
    write = Write("x", ("$quantity", "$parameter.colour", 7, "plain"))
    assert valued(write, order) == [2.5, "红", 7, "plain"]
    for name in ("$unit", "$priority", "$parameter.size"):
        with pytest.raises(ValueError, match=name.removeprefix("$").removeprefix("parameter.")):
            valued(Write("x", (name,)), order)


@pytest.mark.parametrize(
    ("held", "written", "same"),
    [
        (5, 5, True),
        (5.0, 5, True),
        (2.4000000953674316, 2.4, True),
        (1, True, False),
        (True, True, True),
        ("5", 5, False),
        (None, 5, False),
        (2.5, 2.4, False),
    ],
)
def test_a_target_holds_what_was_written_or_it_does_not(held: Value, written: Value, *, same: bool) -> None:
    assert alike(held, written) is same


class Silent(Told):
    """A receiver that does not tell of one order, in a way of its own."""

    lost: Exception = Refused("not yours")

    async def job(self, order_id: str) -> JobState:
        if order_id == "PO-1":
            raise self.lost
        return await super().job(order_id)


@pytest.mark.parametrize(
    ("lost", "heard"), [(Refused("no"), True), (KeyError("x"), True), (Unreachable("away"), False)]
)
async def test_a_job_that_the_line_does_not_tell_of_keeps_no_other_from_being_heard(
    store: Store, clock: Clock, *, lost: Exception, heard: bool
) -> None:
    hand = Silent()
    hand.lost, hand.state = lost, "RUNNING"
    await put(store, "PO-1", "PO-2")
    work = producer(store, hand, clock)
    await work.step()
    await work.step()
    await work.follow()
    assert (await now(store, "PO-2")).job == ("RUNNING" if heard else "")


async def test_a_look_that_fails_by_a_bug_keeps_the_order_in_doubt(store: Store, clock: Clock) -> None:
    hand = Told(Uncertain("no answer"))
    hand.seen = KeyError("jobs")
    await put(store, "PO-1")
    work = producer(store, hand, clock)
    await work.step()
    clock.seconds += 60
    await work.step()
    assert (await now(store)).state is HandoverState.UNCERTAIN


async def test_a_clock_that_was_ahead_makes_no_order_twice(store: Store, clock: Clock) -> None:
    hand = Told(Uncertain("no answer"))
    hand.seen = Seen(taken=False)
    await put(store, "PO-1")
    work = producer(store, hand, clock)
    clock.seconds = 48 * 3600
    await work.step()
    clock.seconds = 6 * 3600  # the clock was put right, and the line has made and cleared it
    await work.step()
    assert ((await now(store)).state, hand.given) == (HandoverState.PARKED, ["PO-1"])


async def test_what_the_line_has_answered_is_kept_by_a_gateway_that_is_stopped_while_the_disk_is_full(
    store: Store, clock: Clock
) -> None:
    crowded = Crowded(store)

    class Filling(Told):
        async def give(self, order: ProductionOrder) -> Outcome:
            crowded.full = True
            return await super().give(order)

    await put(store, "PO-1")
    running = asyncio.create_task(producer(crowded, Filling(), clock).run())
    async with asyncio.timeout(10):
        await crowded.met.wait()
        running.cancel()
        crowded.full = False
        with pytest.raises(asyncio.CancelledError):
            await running
    assert (await now(store)).state is HandoverState.ACCEPTED
