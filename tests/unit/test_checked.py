"""Nothing is sent before the ERP was looked at; a wrong mapping is named, and the orders wait."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest
from structlog.testing import capture_logs

from gateway.core.advice import Advice
from gateway.core.delivery import Capabilities, Delivered, ErpRef, Idempotency, Outcome, Rejected, Unsent
from gateway.core.errors import Refused, Unreachable
from gateway.core.order import WorkOrder
from gateway.core.ports import ErpAdapter, Store
from gateway.flow.checked import Checked, Pace
from gateway.flow.seen_right import SeenRight
from tests.erp_process import make_order

FAST = Pace(
    failed=timedelta(milliseconds=10),
    longest=timedelta(milliseconds=20),
    well=timedelta(milliseconds=10),
    patience=timedelta(seconds=5),
)
WRONG = "main: mapping.x_colour: Issue has no such field"


class Plant:
    """An ERP whose metadata a test can change. `gate` holds every look back while it is closed."""

    name = "main"
    capabilities = Capabilities(idempotency=Idempotency.LOOKUP, amends=True, cancels=True)

    def __init__(self) -> None:
        self.faults: list[str] | Exception = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.looks = 0
        self.looked = asyncio.Event()
        self.sent: list[str] = []

    async def verify(self) -> list[str]:
        self.looks += 1
        self.looked.set()
        await self.gate.wait()
        if isinstance(self.faults, Exception):
            raise self.faults
        return list(self.faults)

    async def deliver(self, orders: Sequence[WorkOrder]) -> list[Outcome]:
        self.sent += [order.key for order in orders]
        return [Delivered(ErpRef(order.key, "1")) for order in orders]

    async def find(self, key: str) -> list[ErpRef]:
        return [ErpRef(key, "1")]

    async def status(self, ref: ErpRef) -> ErpRef:
        return ref

    async def amend(self, ref: ErpRef, before: WorkOrder, after: WorkOrder) -> Outcome:
        return Delivered(ref, created=False)

    async def cancel(self, ref: ErpRef, order: WorkOrder, reason: str) -> Outcome:
        return Rejected("somebody has begun")

    async def close(self) -> None:
        self.sent.append("closed")


@asynccontextmanager
async def looking(checked: Checked) -> AsyncIterator[None]:
    task = asyncio.create_task(checked.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


async def until(plant: Plant, looks: int) -> None:
    async with asyncio.timeout(10):
        while plant.looks < looks:
            plant.looked.clear()
            await plant.looked.wait()


async def test_a_wrong_mapping_is_named_and_orders_wait_until_it_is_right() -> None:
    plant, went = Plant(), asyncio.Event()
    erp: ErpAdapter = (checked := Checked(plant, well=went.set, pace=FAST))
    plant.faults = [WRONG]
    order, ref = make_order("waits"), ErpRef("k", "1")
    with capture_logs() as logs:
        async with looking(checked):
            for outcome in (
                *await erp.deliver([order, order]),
                await erp.amend(ref, order, order),
                await erp.cancel(ref, order, "false alarm"),
            ):
                assert outcome == Unsent(f"not verified: {WRONG}")
            assert plant.sent == [] and checked.faults == (WRONG,) and not went.is_set()
            assert await erp.find("k") == [ref] and await erp.status(ref) == ref
            await until(plant, plant.looks + 3)
            plant.faults = []
            async with asyncio.timeout(10):
                await went.wait()
            [outcome] = await erp.deliver([order])
            assert isinstance(outcome, Delivered) and checked.faults == ()
    # Said once, not at every look.
    assert [line["event"] for line in logs] == ["erp.not_as_mapped", "erp.verified"]
    assert logs[0]["faults"] == [WRONG] and logs[0]["orders_wait"] is True
    await erp.close()
    assert plant.sent[-1] == "closed"


async def test_the_first_order_waits_for_the_look_that_is_under_way() -> None:
    plant = Plant()
    checked = Checked(plant, pace=FAST)
    plant.gate.clear()
    async with looking(checked):
        sending = asyncio.create_task(checked.deliver([make_order("early")]))
        await until(plant, 1)
        assert plant.sent == []
        plant.gate.set()
        [outcome] = await sending
    assert isinstance(outcome, Delivered)


async def test_without_a_look_nothing_is_sent_and_the_order_does_not_wait_for_ever() -> None:
    checked = Checked(plant := Plant(), pace=Pace(patience=timedelta(milliseconds=20)))
    assert await checked.deliver([make_order("nobody looks")]) == [Unsent("not verified: nobody has looked yet")]
    assert plant.sent == []


async def test_the_operator_may_say_that_faults_are_only_told() -> None:
    plant = Plant()
    plant.faults = [WRONG]
    checked = Checked(plant, waits=False, pace=FAST)
    async with looking(checked):
        await until(plant, 2)
        [outcome] = await checked.deliver([make_order("all the same")])
    assert isinstance(outcome, Delivered) and checked.faults == (WRONG,)


async def test_an_erp_that_is_away_was_not_looked_at_and_comes_back_without_a_restart() -> None:
    plant = Plant()
    plant.faults = Unreachable("main: no answer")
    checked = Checked(plant, pace=FAST)
    async with looking(checked):
        await until(plant, 2)
        assert await checked.deliver([make_order("away")]) == [Unsent("not verified: main: no answer")]
        assert checked.faults == ()
        plant.faults = []
        await until(plant, plant.looks + 2)
        [outcome] = await checked.deliver([make_order("back")])
        assert isinstance(outcome, Delivered)
        # Once it was right, an ERP that is away hinders nothing here: its link says that itself.
        plant.faults = Unreachable("main: no answer")
        await until(plant, plant.looks + 2)
        [outcome] = await checked.deliver([make_order("away again")])
        assert isinstance(outcome, Delivered)


async def test_a_mapping_that_gets_wrong_while_it_runs_holds_orders_back() -> None:
    plant = Plant()
    checked = Checked(plant, pace=FAST)
    async with looking(checked):
        await until(plant, 2)
        plant.faults = [WRONG]
        await until(plant, plant.looks + 2)
        [outcome] = await checked.deliver([make_order("too late")])
        assert isinstance(outcome, Unsent)
        # That the ERP goes away then does not make it right.
        plant.faults = Unreachable("main: no answer")
        await until(plant, plant.looks + 2)
        [outcome] = await checked.deliver([make_order("too late, and away")])
        assert outcome == Unsent(f"not verified: {WRONG}")


async def test_advice_is_told_and_hinders_nothing() -> None:
    plant = Plant()
    plant.faults = [Advice("main: the API key ends on Friday")]
    checked = Checked(plant, pace=FAST)
    async with looking(checked):
        [outcome] = await checked.deliver([make_order("advised")])
    assert isinstance(outcome, Delivered) and checked.faults == ("main: the API key ends on Friday",)


@pytest.mark.parametrize("wrong", [Refused("the ERP answered 404"), TimeoutError()])
async def test_a_look_that_is_refused_is_a_fault_and_one_without_end_is_given_up(wrong: Exception) -> None:
    plant = Plant()
    plant.faults = wrong
    checked = Checked(plant, pace=FAST)
    async with looking(checked):
        [outcome] = await checked.deliver([make_order("refused")])
    assert isinstance(outcome, Unsent)
    assert ("404" in outcome.cause) is isinstance(wrong, Refused)
    assert bool(checked.faults) is isinstance(wrong, Refused)


async def test_what_was_found_right_before_a_restart_holds_while_nobody_can_look(store: Store) -> None:
    order, lost = make_order("after a restart"), Unreachable("main: ReadError after it was sent")
    async with looking(Checked(plant := Plant(), pace=FAST, seen=SeenRight(store, "main", "abc"))):
        await until(plant, 2)
    plant.faults = lost
    async with looking(again := Checked(plant, pace=FAST, seen=SeenRight(store, "main", "abc"))):
        [outcome] = await again.deliver([order])
        assert isinstance(outcome, Delivered)
    # Other settings, and settings that the last look found wrong, have to be looked at.
    async with looking(other := Checked(plant, pace=FAST, seen=SeenRight(store, "main", "def"))):
        await until(plant, plant.looks + 2)
        assert await other.deliver([order]) == [Unsent(f"not verified: {lost}")]
    plant.faults = []
    with capture_logs() as logs:
        async with looking(Checked(plant, pace=FAST, seen=SeenRight(store, "main", "abc"))):
            await until(plant, plant.looks + 3)
    assert [line["event"] for line in logs] == ["erp.verified"]
    plant.faults = [WRONG]
    async with looking(Checked(plant, pace=FAST, seen=SeenRight(store, "main", "abc"))):
        await until(plant, plant.looks + 2)
    plant.faults = lost
    async with looking(last := Checked(plant, pace=FAST, seen=SeenRight(store, "main", "abc"))):
        await until(plant, plant.looks + 2)
        assert await last.deliver([order]) == [Unsent(f"not verified: {lost}")]
