"""What every store promises of orders on their way out: lanes, leases, doubt."""

import asyncio
from collections.abc import Callable
from datetime import timedelta

import msgspec
import pytest

from gateway.core.delivery import DeliveryState, StatusUpdate
from gateway.core.ports import Store, Tx, Watched
from gateway.flow.settle import delivered
from gateway.store.settings import Settings
from tests.contracts.store_rows import (
    LEASE,
    NOW,
    claim,
    claim_uncertain,
    order,
    put,
    settle,
    settle_as,
    version,
)
from tests.fakes import at


class Outbox:
    """Orders and their delivery."""

    async def test_an_order_is_put_once_with_its_delivery(self, store: Store) -> None:
        assert await store.write(lambda tx: tx.put_order(order("K1"), "erp", NOW))
        other = msgspec.structs.replace(order("K1"), title="another")
        assert not await store.write(lambda tx: tx.put_order(other, "erp", NOW))
        kept = await store.read(lambda tx: tx.order("K1"))
        assert kept is not None and kept.order == order("K1")
        assert (kept.delivery.state, kept.delivery.attempt, kept.delivery.lane) == (DeliveryState.WAITING, 0, "M-1")
        assert await store.read(lambda tx: tx.order("K2")) is None

    async def test_one_order_of_a_lane_goes_out_the_oldest_first(self, store: Store) -> None:
        await put(store, ("A1", "A"), ("A2", "A"), ("B1", "B"), ("N1", None), ("N2", None))
        first = await claim(store)
        assert [one.order.key for one in first] == ["A1", "B1", "N1", "N2"]
        told = first[0].delivery
        assert (told.state, told.attempt, told.since, told.lease_until) == (DeliveryState.SENDING, 1, NOW, NOW + LEASE)
        assert await claim(store) == []
        assert await settle(store, first[0], DeliveryState.DELIVERED)
        assert [one.order.key for one in await claim(store)] == ["A2"]

    async def test_the_limit_holds_and_another_erp_has_its_own_lanes(self, store: Store) -> None:
        await put(store, ("A1", "A"), ("B1", "B"), ("C1", "C"))
        await store.write(lambda tx: tx.put_order(order("A2", "A"), "mes", NOW))
        assert [one.order.key for one in await claim(store, limit=2)] == ["A1", "B1"]
        assert [one.order.key for one in await claim(store, erp="mes")] == ["A2"]

    async def test_new_orders_travel_with_the_oldest_of_their_lane_where_they_may(self, store: Store) -> None:
        await put(store, *((f"{lane}{n}", lane) for n in range(4) for lane in "AB"))
        [tried] = await claim(store, limit=1)
        await settle(store, tried, DeliveryState.WAITING)

        def deep(limit: int) -> Callable[[Tx], list[str]]:
            return lambda tx: [one.order.key for one in tx.claim("erp", at(1), LEASE, limit, depth=3)]

        assert await store.write(deep(2)) == ["A0", "B0", "B1", "B2"]  # A0 was tried before and goes alone
        assert await store.write(deep(2)) == []

    async def test_a_change_never_travels_with_the_new_orders_of_its_lane(self, store: Store) -> None:
        await put(store, ("A1", "A"), ("A2", "A"))
        await put(store, ("B1", "B"))
        for one in await claim(store):
            assert await settle_as(store, delivered(one.delivery, "7", at(1)).delivery, one)
        [other] = await claim(store, now=at(1))
        assert await settle_as(store, delivered(other.delivery, "8", at(1)).delivery, other)
        await put(store, ("A3", "A"), ("B2", "B"), ("A4", "A"))
        for key in ("A1", "A2"):
            assert await store.write(lambda tx, key=key: tx.change_order(version(key, 2), at(2)))

        def deep(*, new: bool) -> Callable[[Tx], list[str]]:
            return lambda tx: [one.order.key for one in tx.claim("erp", at(3), LEASE, 9, depth=3, new=new)]

        assert await store.write(deep(new=True)) == ["B2"]
        assert await store.write(deep(new=False)) == ["A1"]

    async def test_of_the_doubtful_orders_of_a_lane_the_oldest_is_looked_into_first(self, store: Store) -> None:
        await put(store, ("A1", "A"), ("A2", "A"), ("B1", "B"))
        taken = await store.write(lambda tx: tx.claim("erp", NOW, LEASE, 5, depth=2))
        for one in taken:
            await settle(store, one, DeliveryState.UNCERTAIN)
        asked = await claim_uncertain(store, at(1))
        assert [one.order.key for one in asked] == ["A1", "B1"]
        assert await claim_uncertain(store, at(1)) == []
        await settle(store, asked[0], DeliveryState.DELIVERED)
        assert [one.order.key for one in await claim_uncertain(store, at(1))] == ["A2"]

    async def test_an_order_that_waits_holds_its_lane_and_a_parked_one_frees_it(self, store: Store) -> None:
        await put(store, ("A1", "A"), ("A2", "A"))
        [one] = await claim(store)
        await settle(store, one, DeliveryState.WAITING, at(60))
        assert await claim(store) == []
        [one] = await claim(store, now=at(60))
        assert (one.order.key, one.delivery.attempt, one.delivery.since) == ("A1", 2, NOW)
        await settle(store, one, DeliveryState.PARKED)
        assert [one.order.key for one in await claim(store)] == ["A2"]

    async def test_an_uncertain_order_holds_its_lane_until_it_is_known(self, store: Store) -> None:
        await put(store, ("A1", "A"), ("A2", "A"))
        [one] = await claim(store)
        await settle(store, one, DeliveryState.UNCERTAIN, at(10))
        assert await claim(store, now=at(20)) == []
        assert await claim_uncertain(store, at(5)) == []
        [asked] = await claim_uncertain(store, at(10))
        assert (asked.delivery.state, asked.delivery.attempt) == (DeliveryState.UNCERTAIN, 1)
        assert await claim_uncertain(store, at(11)) == []
        [again] = await claim_uncertain(store, at(10) + LEASE)  # the first asker died
        assert not await settle(store, asked, DeliveryState.DELIVERED)
        assert await settle(store, again, DeliveryState.DELIVERED)
        assert [one.order.key for one in await claim(store, now=at(60))] == ["A2"]

    async def test_a_lease_that_ran_out_makes_it_uncertain_and_the_late_sender_is_refused(self, store: Store) -> None:
        await put(store, ("A1", "A"))
        [one] = await claim(store)
        assert await store.write(lambda tx: tx.expire(at(29))) == 0
        assert await store.write(lambda tx: tx.expire(at(31))) == 1
        for state in (DeliveryState.WAITING, DeliveryState.UNCERTAIN, DeliveryState.PARKED):
            assert not await settle(store, one, state)
        assert [one.order.key for one in await claim_uncertain(store, at(31))] == ["A1"]
        assert not await settle(store, one, DeliveryState.DELIVERED)

    async def test_what_the_erp_has_answered_counts_though_the_lease_was_ended_unless_somebody_asks_already(
        self, store: Store
    ) -> None:
        await put(store, ("A1", "A"), ("B1", "B"))
        one, other = await claim(store)
        assert await store.write(lambda tx: tx.expire(at(31))) == 2
        assert await settle(store, one, DeliveryState.DELIVERED)
        [asked] = await claim_uncertain(store, at(31))
        await settle(store, asked, DeliveryState.PARKED)
        assert await settle(store, other, DeliveryState.DELIVERED)
        states = await store.read(lambda tx: tx.order_counts())
        assert states == {"DELIVERED": 2}
        assert not await settle(store, one, DeliveryState.DELIVERED)

    async def test_what_somebody_holds_is_listed_and_what_waits_or_is_free_is_not(self, store: Store) -> None:
        await put(store, *((lane + "1", lane) for lane in "ABCDE"))
        for one in (await claim(store, limit=4))[1:]:
            state = DeliveryState.DELIVERED if one.order.key == "D1" else DeliveryState.UNCERTAIN
            await settle(store, one, state, at(60 if one.order.key == "C1" else 0))
        [asked] = await claim_uncertain(store, at(1))
        await store.write(lambda tx: tx.put_order(order("Z1", "Z"), "mes", NOW))
        await claim(store, erp="mes")
        held = await store.read(lambda tx: tx.leased("erp", 10))
        assert [(one.key, one.state) for one in held] == [("A1", "SENDING"), ("B1", "UNCERTAIN")]
        assert held[1] == asked.delivery
        assert await store.read(lambda tx: [one.key for one in tx.leased("erp", 1)]) == ["A1"]

    async def test_orders_are_watched_until_their_last_look_and_none_makes_room_for_another(self, store: Store) -> None:
        keys = [f"A{number}" for number in range(30)]
        await put(store, *((key, key) for key in keys))
        await store.write(lambda tx: tx.put_order(order("Z1"), "mes", NOW))

        def watch(tx: Tx) -> None:
            for number, key in enumerate(keys):
                tx.watch(Watched(key, at(30 - number), 3))
            tx.watch(Watched("Z1", at(1), 1))
            tx.watch(Watched("nobody's", at(1), 1))

        await store.write(watch)
        assert len(await store.read(lambda tx: tx.watched("erp"))) == 30
        due = await store.read(lambda tx: tx.watched("erp", at(3), 2))
        assert due == [Watched("A29", at(1), 3), Watched("A28", at(2), 3)]
        await store.write(lambda tx: (tx.watch(Watched("A29", at(90), 2)), tx.watch(Watched("A28", at(90), 0))))
        assert await store.read(lambda tx: [one.key for one in tx.watched("erp", at(3))]) == ["A27"]
        await store.write(lambda tx: tx.put_off_watched("erp", at(60)))
        assert await store.read(lambda tx: tx.watched("erp", at(59))) == []
        left = await store.read(lambda tx: tx.watched("erp"))
        assert len(left) == 29
        assert (left[0], left[-1]) == (Watched("A0", at(60), 3), Watched("A29", at(90), 2))
        assert await store.read(lambda tx: tx.watched("mes")) == [Watched("Z1", at(1), 1)]
        # Beyond what any look is planned ahead: a clock that has gone back planned it.
        due = await store.read(lambda tx: tx.watched("erp", at(9), 40, at(80)))
        assert due == [Watched("A29", at(90), 2)]
        await store.write(lambda tx: tx.put_off_watched("erp", at(20), at(80)))
        assert await store.read(lambda tx: [one.key for one in tx.watched("erp", at(20), 40)]) == ["A29"]

    async def test_a_doubt_is_as_old_as_the_first_attempt_that_counts(self, store: Store) -> None:
        await put(store, ("A1", "A"), ("B1", "B"))
        one, other = await claim(store)
        unsent = msgspec.structs.replace(one.delivery, state=DeliveryState.WAITING, attempt=0, lease_until=None)
        assert await settle_as(store, unsent, one)
        assert await settle(store, other, DeliveryState.WAITING, at(60))
        again = await claim(store, now=at(60))
        assert [(told.delivery.attempt, told.delivery.since) for told in again] == [(1, NOW), (2, NOW)]
        assert await store.write(lambda tx: tx.expire(at(60) + LEASE)) == 2
        asked = await claim_uncertain(store, at(60) + LEASE)
        assert [told.delivery.since for told in asked] == [at(60), NOW]

    async def test_settling_is_fenced_by_attempt(self, store: Store) -> None:
        await put(store, ("A1", "A"))
        [old] = await claim(store)
        await settle(store, old, DeliveryState.WAITING)
        [new] = await claim(store, now=at(1))
        assert not await settle(store, old, DeliveryState.DELIVERED)
        assert await settle(store, new, DeliveryState.DELIVERED)
        assert not await settle(store, new, DeliveryState.PARKED)

    @pytest.mark.parametrize("jump", [timedelta(hours=-1), timedelta(minutes=-10), timedelta(days=-2)])
    async def test_a_clock_that_goes_back_delays_nothing(self, store: Store, jump: timedelta) -> None:
        await put(store, ("A1", "A"), ("B1", "B"), ("C1", "C"))
        one, other, third = await claim(store)
        for told, state in ((one, DeliveryState.WAITING), (other, DeliveryState.UNCERTAIN)):
            await settle(store, told, state, at(30))
        then = NOW + jump
        assert [one.order.key for one in await claim(store, now=then)] == ["A1"]
        assert [one.order.key for one in await claim_uncertain(store, then)] == ["B1"]
        assert await store.write(lambda tx: tx.expire(then)) == 1
        assert not await settle(store, third, DeliveryState.UNCERTAIN)

    async def test_a_parked_order_is_sent_again_under_its_key(self, store: Store) -> None:
        await put(store, ("A1", "A"))
        assert not await store.write(lambda tx: tx.redeliver("A1", NOW))
        [one] = await claim(store)
        await settle(store, one, DeliveryState.PARKED)
        assert [kept.order.key for kept in await store.read(lambda tx: tx.orders(state="PARKED"))] == ["A1"]
        assert await store.write(lambda tx: tx.redeliver("A1", at(9)))
        [again] = await claim(store, now=at(9))
        assert (again.delivery.key, again.delivery.attempt, again.delivery.since) == ("A1", 2, NOW)

    async def test_two_processes_never_hold_one_lane(self, store: Store, settings: Settings) -> None:
        other = settings.open()
        await put(store, *((f"{lane}{n}", lane) for n in range(5) for lane in "ABCD"))
        sent: list[str] = []
        while len(sent) < 20:
            mine, theirs = await asyncio.gather(claim(store, limit=3), claim(other, limit=3))
            lanes = [one.delivery.lane for one in mine + theirs]
            assert len(set(lanes)) == len(lanes) > 0
            for one in mine + theirs:
                sent.append(one.order.key)
                assert await settle(store, one, DeliveryState.DELIVERED)
        await other.close()
        assert len(set(sent)) == 20
        assert all([key for key in sent if key[0] == lane] == [f"{lane}{n}" for n in range(5)] for lane in "ABCD")

    async def test_orders_are_found_by_time_and_asset(self, store: Store) -> None:
        for n in range(4):
            made = order(f"K{n}", f"M-{n % 2}", at(n))
            await store.write(lambda tx, made=made: tx.put_order(made, "erp", NOW))
        look = store.read
        assert [one.order.key for one in await look(lambda tx: tx.orders_between(at(1), at(3)))] == ["K1", "K2"]
        assert [one.order.key for one in await look(lambda tx: tx.orders_between(at(0), at(9), "M-1"))] == ["K1", "K3"]
        assert [one.order.key for one in await look(lambda tx: tx.orders(asset="M-0"))] == ["K2", "K0"]

    async def test_the_latest_word_of_the_erp_counts(self, store: Store) -> None:
        await put(store, ("K", "M"))

        def say(status: str, seconds: float, code: str | None = None) -> StatusUpdate:
            return StatusUpdate(key="K", number="7", status=status, closing_code=code, at=at(seconds))

        assert await store.write(lambda tx: tx.put_status(say("open", 10), NOW))
        assert not await store.write(lambda tx: tx.put_status(say("open", 11), NOW))
        assert await store.write(lambda tx: tx.put_status(say("closed", 20, "WORN"), NOW))
        assert not await store.write(lambda tx: tx.put_status(say("open", 15), NOW))
        unknown = StatusUpdate(key="Z", number="7", status="open")
        assert not await store.write(lambda tx: tx.put_status(unknown, NOW))
        kept = await store.read(lambda tx: tx.order("K"))
        assert kept is not None and (kept.erp_status, kept.closing_code) == ("closed", "WORN")
