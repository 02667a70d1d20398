"""Orders that the ERP has twice: in the end one stands, whatever is in the way, and none of a planner's is touched."""

from datetime import timedelta

import pytest
from msgspec.structs import replace

from gateway.core.delivery import Delivered, DeliveryState, ErpRef, Idempotency, Outcome, Throttled, Uncertain, Unsent
from gateway.core.order import WorkOrder
from gateway.core.ports import Store
from gateway.flow.ghosts import Ghosts
from gateway.flow.patience import Patience
from gateway.flow.sweep import watch
from tests.erp_process import make_order
from tests.integration.test_delivery_corners import Desk, Plain

SETTLE = timedelta(seconds=10)


class Busy(Plain):
    """An ERP that gives another answer to a cancelling, as long as there is one."""

    no: Outcome | None = None

    async def cancel(self, ref: ErpRef, order: WorkOrder, reason: str) -> Outcome:
        if self.no is None:
            return await super().cancel(ref, order, reason)
        await self._call("cancel")
        return self.no

    def standing(self) -> list[str]:
        return [one.number for one in self.made if one.state == "open"]


async def haunted(store: Store, name: str) -> tuple[Desk, Busy, WorkOrder]:
    """Have an order delivered and watched, with a ghost of it in the ERP."""
    erp, order = Busy(settle=SETTLE), make_order(name)
    desk = Desk(store, erp)
    await desk.put(order)
    await desk.deliverer.step()
    await store.write(lambda tx: watch(tx, order.key, desk.at, SETTLE))
    erp.make(order)
    return desk, erp, order


async def looked(desk: Desk, times: int, step: timedelta = timedelta(hours=2)) -> None:
    """Let the reconciler look, each time as after a start."""
    for _ in range(times):
        desk.at += step
        desk.patience = Patience(desk.now, timedelta(seconds=1))
        await desk.reconciler.step()


@pytest.mark.parametrize("no", [Throttled(timedelta(seconds=1)), Unsent("no connection"), Uncertain("500")])
async def test_a_ghost_whose_cancelling_has_no_answer_is_hunted_until_it_has_one(store: Store, no: Outcome) -> None:
    desk, erp, order = await haunted(store, "busy")
    erp.no = no
    await looked(desk, 6)
    [watched] = await store.read(lambda tx: tx.watched("main"))
    assert (erp.standing(), watched.left) == (["1", "2"], 3)
    erp.no = None
    await looked(desk, 1)
    assert erp.standing() == ["1"]
    assert (await store.read(lambda tx: tx.audit_of(order.key)))[-1].detail.endswith("2 cancelled")


async def test_a_ghost_that_nobody_cancels_is_said_once_and_given_up_at_last(store: Store) -> None:
    desk, erp, order = await haunted(store, "never")
    erp.no = Uncertain("500")
    reconciler = desk.reconciler
    for _ in range(100):
        desk.at += timedelta(hours=1)
        await reconciler.step()
    assert await store.read(lambda tx: tx.watched("main")) == []
    told = [one.detail for one in await store.read(lambda tx: tx.audit_of(order.key)) if one.event == "order.duplicate"]
    assert 1 <= len(told) <= 4 and all("2 NOT cancelled" in one for one in told)
    asked = len(erp.calls)
    await looked(desk, 3)
    assert len(erp.calls) == asked


async def test_one_ghost_that_is_not_cancelled_holds_no_other_up(store: Store) -> None:
    desk, erp, order = await haunted(store, "stubborn")
    other = make_order("other", asset="B")
    await desk.put(other)
    await desk.deliverer.step()
    erp.make(other)
    await store.write(lambda tx: watch(tx, other.key, desk.at, SETTLE))
    cancel = Plain.cancel

    async def stubborn(ref: ErpRef, which: WorkOrder, reason: str) -> Outcome:
        return Uncertain("500") if which.key == order.key else await cancel(erp, ref, which, reason)

    erp.cancel = stubborn  # type: ignore[method-assign]
    await looked(desk, 1)
    assert erp.standing() == ["1", "2", "3"]


async def test_a_kill_while_the_last_look_cancels_leaves_the_order_watched(store: Store) -> None:
    desk, erp, _ = await haunted(store, "killed")
    await store.write(lambda tx: tx.watch(replace(tx.watched("main")[0], left=1)))

    async def killed() -> None:
        if erp.calls[-1] == "cancel":
            raise SystemExit

    erp.during, erp.no = killed, Uncertain("never said")
    desk.at += timedelta(hours=2)
    with pytest.raises(SystemExit):
        await Ghosts(store, erp, desk.now, desk.policy, desk.patience).look(1)
    erp.during = erp.no = None
    await looked(desk, 1)
    assert erp.standing() == ["1"]
    assert await store.read(lambda tx: tx.watched("main")) == []


async def test_what_is_found_twice_when_doubt_ends_is_watched_until_one_stands(store: Store) -> None:
    erp, order = Busy(idempotency=Idempotency.LOOKUP, settle=SETTLE), make_order("found twice")
    desk = Desk(store, erp)
    erp.answer = lambda one: (erp.make(one), erp.make(one), Uncertain("no answer"))[-1]
    erp.no = Unsent("no connection")
    await desk.put(order)
    await desk.deliverer.step()
    await looked(desk, 2)
    assert (await desk.state(order), erp.standing()) == ("DELIVERED", ["1", "2"])
    erp.no = None
    await looked(desk, 1)
    assert erp.standing() == ["1"]


async def test_an_order_that_a_planner_opens_again_is_left_alone_and_its_ghost_is_not(store: Store) -> None:
    desk, erp, order = await haunted(store, "opened again")
    await desk.write(lambda tx: tx.withdraw_order(order.key, "false alarm", desk.at))
    await desk.deliverer.step()
    assert (await desk.state(order), erp.standing()) == ("WITHDRAWN", ["2"])
    erp.made[0] = replace(erp.made[0], state="open")
    await looked(desk, 3)
    assert erp.standing() == ["1"]


@pytest.mark.parametrize("back", [timedelta(minutes=30), timedelta(days=365)])
async def test_a_clock_that_goes_back_stops_no_hunt(store: Store, back: timedelta) -> None:
    erp, order = Busy(settle=SETTLE), make_order("clock")
    desk = Desk(store, erp)
    await desk.put(order)
    desk.at += back
    await desk.deliverer.step()
    await store.write(lambda tx: watch(tx, order.key, desk.at, SETTLE))
    desk.at -= back
    await looked(desk, 1, timedelta(seconds=1))
    erp.make(order)  # it comes as late as the ERP says, after the look that the wrong clock brought about
    await looked(desk, 1, 2 * SETTLE)
    assert erp.standing() == ["1", "2"]
    await looked(desk, 1, 3 * SETTLE)
    assert erp.standing() == ["1"]
    await looked(desk, 1, timedelta(hours=1))
    assert await store.read(lambda tx: tx.watched("main")) == []


async def test_an_erp_that_honours_no_key_though_the_settings_say_so_is_found_out(store: Store) -> None:
    order, desk = make_order("twice"), Desk(store, erp := Busy(idempotency=Idempotency.HEADER))
    await desk.put(order)

    def lost(order: WorkOrder) -> Outcome:
        erp.make(order)
        return Uncertain("the reply was lost")

    erp.answer = lost
    await desk.deliverer.step()
    erp.answer = erp.make
    for _ in range(3):
        desk.at += timedelta(minutes=2)
        await desk.reconciler.step()
    assert (await desk.state(order), erp.standing()) == (DeliveryState.DELIVERED, ["2"])
    trail = await store.read(lambda tx: [line.event for line in tx.audit_of(order.key)])
    assert "order.duplicate" in trail


async def test_an_erp_that_says_that_it_knew_the_key_is_not_asked_again(store: Store) -> None:
    order, desk = make_order("once"), Desk(store, erp := Busy(idempotency=Idempotency.HEADER))
    await desk.put(order)

    def lost(order: WorkOrder) -> Outcome:
        erp.make(order)
        return Uncertain("the reply was lost")

    erp.answer = lost
    await desk.deliverer.step()
    erp.answer = lambda order: Delivered(erp.held(order.key)[0], created=False)
    for _ in range(3):
        desk.at += timedelta(minutes=2)
        await desk.reconciler.step()
    assert (await desk.state(order), erp.calls) == (DeliveryState.DELIVERED, ["deliver", "deliver"])
