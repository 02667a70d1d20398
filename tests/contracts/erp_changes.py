"""What every ERP adapter must keep about orders that are there: changes, withdrawals, and what people do meanwhile."""

import asyncio
from typing import Any, ClassVar

import pytest

from gateway.core.delivery import Delivered, ErpRef, Outcome, Rejected, Throttled, Uncertain
from gateway.core.order import WorkOrder
from gateway.core.ports import ErpAdapter
from tests.erp_plant import Planner, Plant
from tests.erp_process import make_order

WORDS = "the planner's own words"


class ErpChanges:
    """The promises about `amend`, `cancel` and `status`; what is not declared is refused and does nothing.

    `change` and `withdraw` say which requests change a record and take one back, as the faults know them.
    """

    change: ClassVar[dict[str, str]] = {"method": "PATCH", "path": "/api/orders"}
    withdraw: ClassVar[dict[str, str]] = {"method": "PATCH", "path": "/api/orders"}

    @pytest.fixture
    def planner(self) -> Planner:
        raise NotImplementedError("give a `planner`: see tests/erp_plant.py")

    async def test_an_amendment_writes_what_changed_once(self, erp: ErpAdapter, plant: Plant, planner: Planner) -> None:
        ref, before = await delivered(erp, "suite: amended")
        after = planner.grown(before)
        if not erp.capabilities.amends:
            await _refused(planner, ref, await erp.amend(ref, before, after))
            return
        first = await erp.amend(ref, before, after)
        assert isinstance(first, Delivered) and not first.created and first.kept == ()
        now = planner.fields(ref)
        assert _new(now[planner.touched], after) and _new(now[planner.other], after)
        version = (await erp.status(ref)).version
        again = await erp.amend(ref, before, after)
        assert isinstance(again, Delivered) and again.kept == () and planner.fields(ref) == now
        assert (await erp.status(ref)).version == version
        assert plant.commits(before.key) == 1

    async def test_what_a_planner_changed_stays_and_is_named(
        self, erp: ErpAdapter, plant: Plant, planner: Planner
    ) -> None:
        ref, before = await delivered(erp, "suite: planner's edit")
        after = planner.grown(before)
        planner.write(ref, WORDS)
        if not erp.capabilities.amends:
            await _refused(planner, ref, await erp.amend(ref, before, after))
            return
        for _ in range(2):
            told = await erp.amend(ref, before, after)
            assert isinstance(told, Delivered) and told.kept == (planner.touched,)
            now = planner.fields(ref)
            assert WORDS in str(now[planner.touched]) and _new(now[planner.other], after)
        assert plant.commits(before.key) == 1

    async def test_a_lost_reply_to_an_amendment_is_doubt_and_the_next_call_ends_it(
        self, erp: ErpAdapter, plant: Plant, planner: Planner
    ) -> None:
        ref, before = await delivered(erp, "suite: lost amendment")
        after = planner.grown(before)
        plant.faults({"kind": "lost_reply", "count": 1, **self.change})
        first = await erp.amend(ref, before, after)
        if not erp.capabilities.amends:
            await _refused(planner, ref, first)
            return
        assert isinstance(first, Uncertain), first
        plant.faults()
        told = await erp.amend(ref, before, after)
        assert isinstance(told, Delivered) and told.kept == ()
        assert _new(planner.fields(ref)[planner.other], after)

    async def test_a_planner_who_is_faster_than_an_amendment_wins_where_there_is_a_precondition(
        self, erp: ErpAdapter, plant: Plant, planner: Planner
    ) -> None:
        ref, before = await delivered(erp, "suite: stale")
        after = planner.grown(before)
        plant.faults({"kind": "slow", "seconds": 0.4, "count": 1, **self.change})
        if not erp.capabilities.amends:
            await _refused(planner, ref, await erp.amend(ref, before, after))
            return
        change = asyncio.create_task(erp.amend(ref, before, after))
        await plant.until(lambda state: state["faults"][0]["fired"] == 1)
        planner.write(ref, WORDS)
        told = await change
        if isinstance(told, Throttled):
            told = await erp.amend(ref, before, after)
        assert isinstance(told, Delivered), told
        now = planner.fields(ref)
        assert _new(now[planner.other], after)
        if erp.capabilities.precondition != "none":
            assert told.kept == (planner.touched,) and WORDS in str(now[planner.touched])

    async def test_a_silent_erp_ends_a_change_within_the_declared_deadline(
        self, erp: ErpAdapter, plant: Plant, planner: Planner
    ) -> None:
        ref, before = await delivered(erp, "suite: silent change")
        after = planner.grown(before)
        plant.faults({"kind": "hang", "seconds": 30, **self.change})
        async with asyncio.timeout(erp.capabilities.deadline.total_seconds()):
            told = await erp.amend(ref, before, after)
        if not erp.capabilities.amends:
            await _refused(planner, ref, told)
            return
        assert isinstance(told, Uncertain), told
        plant.faults()
        assert isinstance(await erp.amend(ref, before, after), Delivered)

    async def test_an_order_that_is_done_is_not_amended(self, erp: ErpAdapter, planner: Planner) -> None:
        ref, before = await delivered(erp, "suite: done and amended")
        planner.finish(ref)
        await _refused(planner, ref, await erp.amend(ref, before, planner.grown(before)))

    async def test_an_order_that_nobody_began_is_taken_back_once(
        self, erp: ErpAdapter, plant: Plant, planner: Planner
    ) -> None:
        ref, order = await delivered(erp, "suite: taken back")
        if not erp.capabilities.cancels:
            await _refused(planner, ref, await erp.cancel(ref, order, "false alarm"))
            assert (await erp.status(ref)).state == "open"
            return
        for _ in range(2):
            told = await erp.cancel(ref, order, "false alarm")
            assert isinstance(told, Delivered) and told.ref.state == "cancelled" and not told.created
        await self._cancelled(erp, ref)
        assert plant.commits(order.key) <= 1

    async def test_who_has_begun_wins_over_a_withdrawal(self, erp: ErpAdapter, planner: Planner) -> None:
        ref, order = await delivered(erp, "suite: begun")
        planner.begin(ref)
        await _refused(planner, ref, await erp.cancel(ref, order, "false alarm"))
        assert (await erp.status(ref)).state == "open"

    async def test_a_lost_reply_to_a_withdrawal_is_doubt_and_the_next_calls_end_it(
        self, erp: ErpAdapter, plant: Plant, planner: Planner
    ) -> None:
        ref, order = await delivered(erp, "suite: lost withdrawal")
        plant.faults({"kind": "lost_reply", "count": 1, **self.withdraw})
        told = await erp.cancel(ref, order, "false alarm")
        if not erp.capabilities.cancels:
            await _refused(planner, ref, told)
            return
        assert isinstance(told, Uncertain), told
        plant.faults()
        told = await erp.cancel(ref, order, "false alarm")
        assert isinstance(told, Delivered) and told.ref.state == "cancelled"
        await self._cancelled(erp, ref)

    async def test_the_status_says_what_became_of_an_order(self, erp: ErpAdapter, planner: Planner) -> None:
        ref, _ = await delivered(erp, "suite: status")
        now = await erp.status(ref)
        assert (now.key, now.number, now.state, now.closing_code) == (ref.key, ref.number, "open", None)
        planner.begin(ref)
        assert (await erp.status(ref)).state == "open"
        planner.finish(ref)
        done = await erp.status(ref)
        assert (done.state, done.closing_code) == ("done", planner.closing)
        if now.version:
            assert done.version
        if erp.capabilities.precondition == "etag":
            assert done.version != now.version
        other, _ = await delivered(erp, "suite: status dropped")
        planner.drop(other)
        assert (await erp.status(other)).state == "cancelled"

    async def test_a_second_delivery_undoes_a_planners_words_only_where_that_is_declared(
        self, erp: ErpAdapter, planner: Planner
    ) -> None:
        ref, order = await delivered(erp, "suite: overwritten")
        planner.write(ref, WORDS)
        [again] = await erp.deliver([order])
        assert isinstance(again, Delivered), again
        stays = WORDS in str(planner.fields(ref)[planner.touched])
        assert stays is not erp.capabilities.overwrites

    async def _cancelled(self, erp: ErpAdapter, ref: ErpRef) -> None:
        assert (await erp.status(ref)).state == "cancelled"


async def delivered(erp: ErpAdapter, name: str, **fields: Any) -> tuple[ErpRef, WorkOrder]:
    """Deliver an order about one trouble; gives what the ERP calls it, and the order."""
    order = make_order(name, **fields)
    [outcome] = await erp.deliver([order])
    assert isinstance(outcome, Delivered), outcome
    return outcome.ref, order


async def _refused(planner: Planner, ref: ErpRef, outcome: Outcome) -> None:
    """See that what is not declared, or comes too late, is refused with a reason and changes nothing."""
    assert isinstance(outcome, Rejected) and outcome.reason
    assert "It grew" not in str(planner.fields(ref)[planner.other])
    assert "it grew" not in str(planner.fields(ref)[planner.touched])


def _new(value: object, after: WorkOrder) -> bool:
    words = (after.title, after.description, after.asset or "-")
    return any(word in str(value) for word in words)
