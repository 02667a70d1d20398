"""What every store promises of production orders on their way to the line."""

from datetime import timedelta

import msgspec
import pytest

from gateway.core.delivery import ProductionOrder, ProductionParameter
from gateway.core.ports import Store
from gateway.core.production import Handover, HandoverState, StoredProduction
from tests.fakes import at

NOW = at(0)
LEASE = timedelta(seconds=30)
TO = "line.cell-a"


def made(order_id: str, **more: object) -> ProductionOrder:
    given = {"material_code": "GX-7", "quantity": 5, "due_date": "2026-12-01"}
    return ProductionOrder(order_id=order_id, **{**given, **more})  # type: ignore[arg-type]  # a table of test values


async def claim(store: Store, seconds: float = 0, to: str = TO) -> StoredProduction | None:
    return await store.write(lambda tx: tx.claim_production(to, at(seconds), LEASE))


async def taken(store: Store, seconds: float = 0) -> Handover:
    found = await claim(store, seconds)
    assert found is not None and found.handover is not None
    return found.handover


async def standing(store: Store, order_id: str) -> Handover:
    found = await store.read(lambda tx: tx.production(order_id))
    assert found is not None and found.handover is not None
    return found.handover


def ended(one: Handover, state: HandoverState, seconds: float = 0) -> Handover:
    return msgspec.structs.replace(one, state=state, due_at=at(seconds), updated_at=at(seconds))


class ProductionStoreContract:
    """The promises of `gateway.store.production`."""

    async def test_everything_of_an_order_comes_back(self, store: Store) -> None:
        order = made("P1", unit="pcs", priority=2, parameters=(ProductionParameter("colour", "红"),))
        assert await store.write(lambda tx: tx.put_production_order(order, NOW, TO))
        assert not await store.write(lambda tx: tx.put_production_order(order, at(9), "elsewhere"))
        found = await store.read(lambda tx: tx.production("P1"))
        waiting = Handover("P1", TO, HandoverState.WAITING, 0, NOW, updated_at=NOW)
        assert found == StoredProduction(order, NOW, waiting)
        assert await store.read(lambda tx: tx.production("P2")) is None

    async def test_one_order_of_a_lane_at_a_time_the_oldest_first(self, store: Store) -> None:
        for number, to in (("B", TO), ("A", TO), ("C", "line.cell-b")):
            await store.write(lambda tx, n=number, t=to: tx.put_production_order(made(n), NOW, t))  # type: ignore[misc]
        first = await taken(store)
        assert (first.order_id, first.state, first.attempt) == ("B", HandoverState.SENDING, 1)
        assert (first.lease_until, first.since) == (at(30), NOW)
        assert await claim(store, 1) is None
        other = await claim(store, to="line.cell-b")
        assert other is not None and other.order.order_id == "C"
        assert await store.write(lambda tx: tx.settle_production(first, ended(first, HandoverState.ACCEPTED)))
        assert (await taken(store)).order_id == "A"

    async def test_an_order_for_nobody_is_claimed_by_nobody(self, store: Store) -> None:
        await store.write(lambda tx: tx.put_production_order(made("P1"), NOW))
        assert await claim(store) is None
        assert await store.write(lambda tx: tx.redeliver_production("P1", TO, at(1)))
        assert (await taken(store, 1)).order_id == "P1"

    async def test_what_is_kept_for_nobody_is_listed_as_kept_and_as_nothing_else(self, store: Store) -> None:
        for number, to in (("P1", ""), ("P2", TO)):
            await store.write(lambda tx, n=number, t=to: tx.put_production_order(made(n), NOW, t))  # type: ignore[misc]
        for state, names in (("KEPT", ["P1"]), ("WAITING", ["P2"]), ("PARKED", [])):
            listed = await store.read(lambda tx, s=state: tx.productions(state=s))  # type: ignore[misc]
            assert [one.order.order_id for one in listed] == names
            assert {one.standing for one in listed} <= {state}

    async def test_a_lease_that_ran_out_is_doubt_and_holds_the_lane(self, store: Store) -> None:
        for number in ("P1", "P2"):
            await store.write(lambda tx, n=number: tx.put_production_order(made(n), NOW, TO))  # type: ignore[misc]
        first = await taken(store)
        again = await taken(store, 31)
        assert (again.order_id, again.state, again.attempt) == ("P1", HandoverState.UNCERTAIN, 1)
        assert "lease" in again.reason
        assert not await store.write(lambda tx: tx.settle_production(first, ended(first, HandoverState.ACCEPTED)))
        assert await claim(store, 32) is None
        assert await store.write(lambda tx: tx.settle_production(again, ended(again, HandoverState.PARKED)))
        assert (await taken(store, 33)).order_id == "P2"

    async def test_claims_of_the_dead_are_ended_and_what_was_sent_is_doubt(self, store: Store) -> None:
        lanes = {"P1": TO, "P2": TO, "P3": "line.cell-b", "P4": "line.cell-c"}
        for number, to in lanes.items():
            await store.write(lambda tx, n=number, t=to: tx.put_production_order(made(n), NOW, t))  # type: ignore[misc]
        first = await taken(store)
        doubted = await claim(store, to="line.cell-b")
        assert doubted is not None and doubted.handover is not None
        doubt = msgspec.structs.replace(ended(doubted.handover, HandoverState.UNCERTAIN), reason="no answer")
        assert await store.write(lambda tx: tx.settle_production(doubted.handover, doubt))
        assert await claim(store, 1, "line.cell-b") is not None
        assert await store.write(lambda tx: tx.free_productions(at(2))) == 2
        assert await store.write(lambda tx: tx.free_productions(at(2))) == 0
        one, other = await standing(store, "P1"), await standing(store, "P3")
        assert (one.state, one.attempt, one.due_at, one.lease_until) == (HandoverState.UNCERTAIN, 1, at(2), None)
        assert "ended" in one.reason
        assert (other.state, other.reason, other.lease_until) == (HandoverState.UNCERTAIN, "no answer", None)
        assert (await standing(store, "P2")).state is (await standing(store, "P4")).state is HandoverState.WAITING
        assert not await store.write(lambda tx: tx.settle_production(first, ended(first, HandoverState.ACCEPTED)))
        assert (await taken(store, 2)).order_id == "P1"

    @pytest.mark.parametrize("dead", [False, True])
    async def test_a_doubt_is_as_old_as_the_first_attempt_that_counts(self, store: Store, *, dead: bool) -> None:
        await store.write(lambda tx: tx.put_production_order(made("P1"), NOW, TO))
        first = await taken(store)
        unsent = msgspec.structs.replace(ended(first, HandoverState.WAITING, 60), attempt=0)
        assert await store.write(lambda tx: tx.settle_production(first, unsent))
        again = await taken(store, 60)
        assert (again.attempt, again.since) == (1, NOW)
        if dead:
            await store.write(lambda tx: tx.free_productions(at(61)))
        assert (await taken(store, 61 if dead else 91)).since == at(60)

    async def test_what_is_not_due_waits_but_not_for_a_clock_that_went_back(self, store: Store) -> None:
        await store.write(lambda tx: tx.put_production_order(made("P1"), NOW, TO))
        first = await taken(store)
        later = msgspec.structs.replace(ended(first, HandoverState.WAITING), due_at=at(20))
        assert await store.write(lambda tx: tx.settle_production(first, later))
        assert await claim(store, 10) is None
        assert (await taken(store, -120)).attempt == 2

    async def test_a_parked_order_frees_the_lane_and_may_be_handed_over_again(self, store: Store) -> None:
        for number in ("P1", "P2"):
            await store.write(lambda tx, n=number: tx.put_production_order(made(n), NOW, TO))  # type: ignore[misc]
        first = await taken(store)
        why = msgspec.structs.replace(ended(first, HandoverState.PARKED), reason="no such material")
        assert await store.write(lambda tx: tx.settle_production(first, why))
        second = await taken(store)
        assert second.order_id == "P2"
        assert not await store.write(lambda tx: tx.redeliver_production("P2", TO, at(1)))
        assert [one.order.order_id for one in await store.read(lambda tx: tx.productions(state="PARKED"))] == ["P1"]
        assert await store.write(lambda tx: tx.redeliver_production("P1", TO, at(1)))
        assert await store.write(lambda tx: tx.settle_production(second, ended(second, HandoverState.ACCEPTED, 1)))
        assert ((await taken(store, 1)).order_id, (await standing(store, "P1")).attempt) == ("P1", 2)

    async def test_the_lines_word_of_a_job_is_kept_and_its_end_stays(self, store: Store) -> None:
        await store.write(lambda tx: tx.put_production_order(made("P1"), NOW, TO))
        first = await taken(store)
        # The line may speak of the job before the answer to the handing over is written down.
        assert await store.write(lambda tx: tx.put_job("P1", "RUNNING", at(1)))
        assert await store.write(lambda tx: tx.settle_production(first, ended(first, HandoverState.ACCEPTED, 2)))
        assert not await store.write(lambda tx: tx.put_job("P1", "RUNNING", at(3)))
        assert [one.order.order_id for one in await store.read(lambda tx: tx.followed_productions(TO, at(5), 9))] == [
            "P1"
        ]
        await store.write(lambda tx: tx.asked_production("P1", at(6)))
        assert await store.read(lambda tx: tx.followed_productions(TO, at(5), 9)) == []
        assert await store.write(lambda tx: tx.put_job("P1", "COMPLETED", at(7)))
        assert not await store.write(lambda tx: tx.put_job("P1", "RUNNING", at(8)))
        assert not await store.write(lambda tx: tx.put_job("P9", "RUNNING", at(8)))
        assert await store.read(lambda tx: tx.followed_productions(TO, at(99), 9)) == []
        held = await standing(store, "P1")
        assert (held.state, held.job, held.job_at) == (HandoverState.ACCEPTED, "COMPLETED", at(7))
