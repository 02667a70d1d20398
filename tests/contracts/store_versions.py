"""What every store promises of orders that change: versions, withdrawals, the word of the ERP."""

from collections.abc import Callable
from datetime import timedelta

import msgspec

from gateway.core.delivery import DeliveryState, StatusUpdate
from gateway.core.ports import Store, Tx
from gateway.flow.settle import delivered, refused, withdrawn
from tests.contracts.store_rows import NOW, claim, claim_uncertain, order, put, settle, settle_as, version
from tests.fakes import at


class Versions:
    """Versions, withdrawals, following."""

    async def test_an_order_that_the_erp_has_is_amended_from_the_version_that_it_has(self, store: Store) -> None:
        await put(store, ("A1", "A"))
        [one] = await claim(store)
        assert (one.sent, one.delivery.task) == (None, "create")
        assert await settle_as(store, delivered(one.delivery, "7", at(1)).delivery, one)
        assert await store.write(lambda tx: tx.change_order(version("A1", 2), at(2)))
        assert not await store.write(lambda tx: tx.change_order(version("A1", 2), at(2)))
        assert not await store.write(lambda tx: tx.change_order(version("A1", 4), at(2)))
        assert await store.write(lambda tx: tx.change_order(version("A1", 3), at(2)))
        [two] = await claim(store, now=at(3))
        assert (two.delivery.task, two.delivery.attempt, two.delivery.since) == ("amend", 1, at(3))
        assert two.sent is not None and (two.sent.version, two.order.version, two.order.title) == (1, 3, "title 3")
        looked = await store.read(lambda tx: [tx.order_version("A1", n) for n in range(5)])
        assert [one and one.title for one in looked] == [None, "Bearing", "title 2", "title 3", None]

    async def test_what_an_attempt_may_have_taken_along_is_sent_again_before_what_came_after_it(
        self, store: Store
    ) -> None:
        await put(store, ("A1", "A"))
        [one] = await claim(store)
        assert await store.write(lambda tx: tx.change_order(version("A1", 2), at(1)))
        await settle(store, one, DeliveryState.UNCERTAIN)
        [asked] = await claim_uncertain(store, at(2))
        assert asked.order.version == 1
        assert await settle_as(store, delivered(asked.delivery, "7", at(3)).delivery, asked)
        [two] = await claim(store, now=at(3))
        assert (two.delivery.task, two.order.version) == ("amend", 2)

    async def test_what_never_left_goes_out_in_its_newest_version(self, store: Store) -> None:
        await put(store, ("A1", "A"))
        assert await store.write(lambda tx: tx.change_order(version("A1", 2), at(1)))
        [one] = await claim(store, now=at(1))
        assert (one.order.version, one.sent, one.delivery.sending) == (2, None, 2)

    async def test_a_withdrawn_order_is_never_sent_or_is_taken_back(self, store: Store) -> None:
        await put(store, ("A1", "A"), ("B1", "B"), ("C1", "C"))
        [one] = await claim(store, limit=1)
        assert await settle_as(store, delivered(one.delivery, "7", at(1)).delivery, one)
        [flying] = await claim(store, limit=1)
        for key in ("A1", "B1", "C1"):
            assert await store.write(lambda tx, key=key: tx.withdraw_order(key, "false alarm", at(2)))
            assert not await store.write(lambda tx, key=key: tx.withdraw_order(key, "again", at(2)))
            assert not await store.write(lambda tx, key=key: tx.change_order(version(key, 2), at(2)))
        found = await store.read(lambda tx: {key: tx.order(key) for key in ("A1", "B1", "C1")})
        assert [one and str(one.delivery.state) for one in found.values()] == ["WAITING", "SENDING", "WITHDRAWN"]
        [back] = await claim(store, now=at(3))
        assert (back.order.key, back.delivery.task, back.delivery.withdraw) == ("A1", "cancel", "false alarm")
        assert await settle_as(store, delivered(flying.delivery, "8", at(4)).delivery, flying)
        [back] = await claim(store, now=at(4))
        assert (back.order.key, back.delivery.task) == ("B1", "cancel")

    async def test_a_withdrawal_of_which_nothing_left_is_taken_back_and_what_had_changed_goes_out(
        self, store: Store
    ) -> None:
        await put(store, ("A1", "A"), ("B1", "B"))
        for one in await claim(store):
            assert await settle_as(store, delivered(one.delivery, "7", at(1)).delivery, one)
        assert await store.write(lambda tx: tx.change_order(version("B1", 2), at(2)))
        assert not await store.write(lambda tx: tx.stand_again("A1", at(3)))
        for key, then in (("A1", DeliveryState.DELIVERED), ("B1", DeliveryState.WAITING)):
            assert await store.write(lambda tx, key=key: tx.withdraw_order(key, "false alarm", at(3)))
            assert await store.write(lambda tx, key=key: tx.stand_again(key, at(4)))
            assert not await store.write(lambda tx, key=key: tx.stand_again(key, at(5)))
            held = await store.read(lambda tx, key=key: tx.order(key))
            assert held is not None and (held.delivery.state, held.delivery.withdraw) == (then, "")
        [changed] = await claim(store, now=at(6))
        assert (changed.order.key, changed.order.version, changed.delivery.task) == ("B1", 2, "amend")

    async def test_orders_that_are_being_taken_back_are_found_until_that_is_over(self, store: Store) -> None:
        await put(store, ("A1", "A"), ("B1", "B"), ("C1", "C"))
        for one in await claim(store, limit=2):
            assert await settle_as(store, delivered(one.delivery, "7", at(1)).delivery, one)
        assert await store.read(lambda tx: tx.being_taken_back()) == []
        for key in ("A1", "B1", "C1"):
            assert await store.write(lambda tx, key=key: tx.withdraw_order(key, "false alarm", at(2)))
        assert await store.read(lambda tx: tx.being_taken_back()) == ["B1", "A1"]
        assert await store.read(lambda tx: tx.being_taken_back(limit=1)) == ["B1"]
        back, _ = await claim(store, now=at(3))
        assert await settle_as(store, withdrawn(back.delivery, "false alarm", at(4)).delivery, back)
        assert await store.read(lambda tx: tx.being_taken_back()) == ["B1"]

    async def test_a_withdrawal_that_may_have_left_is_not_taken_back(self, store: Store) -> None:
        await put(store, ("A1", "A"))
        [made] = await claim(store)
        assert await settle_as(store, delivered(made.delivery, "7", at(1)).delivery, made)
        assert await store.write(lambda tx: tx.withdraw_order("A1", "false alarm", at(2)))
        [flying] = await claim(store, now=at(3))
        assert not await store.write(lambda tx: tx.stand_again("A1", at(4)))
        await settle(store, flying, DeliveryState.WAITING)  # in doubt: the next attempt asks once more
        assert not await store.write(lambda tx: tx.stand_again("A1", at(5)))
        [again] = await claim(store, now=at(6))
        await settle(store, again, DeliveryState.PARKED)
        assert await store.write(lambda tx: tx.redeliver("A1", at(7)))
        assert not await store.write(lambda tx: tx.stand_again("A1", at(8)))
        [more] = await claim(store, now=at(9))
        assert (more.delivery.attempt, more.delivery.since) == (2, at(9))  # those before count as one

    async def test_a_withdrawal_that_surely_never_left_is_taken_back(self, store: Store) -> None:
        await put(store, ("A1", "A"), ("B1", "B"))
        [made, doubtful] = await claim(store)
        assert await settle_as(store, delivered(made.delivery, "7", at(1)).delivery, made)
        assert await store.write(lambda tx: tx.withdraw_order("A1", "false alarm", at(2)))
        [tried] = await claim(store, now=at(3))
        unsent = msgspec.structs.replace(tried.delivery, attempt=0, sending=None, lease_until=None)
        assert await settle_as(store, msgspec.structs.replace(unsent, state=DeliveryState.WAITING), tried)
        assert await store.write(lambda tx: tx.stand_again("A1", at(4)))
        assert await store.write(lambda tx: tx.withdraw_order("B1", "false alarm", at(4)))
        assert not await store.write(lambda tx: tx.stand_again("B1", at(5)))  # it is being sent
        await settle(store, doubtful, DeliveryState.UNCERTAIN)
        assert await store.write(lambda tx: tx.stand_again("B1", at(6)))
        [asked] = await claim_uncertain(store, at(7))
        assert (asked.delivery.task, asked.delivery.withdraw) == ("create", "")

    async def test_an_order_in_another_ones_lane_waits_for_it(self, store: Store) -> None:
        await put(store, ("A1", "A"))
        assert await store.write(lambda tx: tx.put_order(order("B1", None), "erp", NOW, "A"))
        [first] = await claim(store)
        assert first.order.key == "A1" and await claim(store) == []
        assert await settle_as(store, delivered(first.delivery, "7", at(1)).delivery, first)
        assert [one.order.key for one in await claim(store, now=at(2))] == ["B1"]

    async def test_what_the_erp_has_ended_is_neither_changed_nor_taken_back(self, store: Store) -> None:
        await put(store, ("A1", "A"))
        [one] = await claim(store)
        assert await settle_as(store, delivered(one.delivery, "7", at(1)).delivery, one)
        said = StatusUpdate(key="A1", number="7", status="closed", at=at(2), state="done")
        assert await store.write(lambda tx: tx.put_status(said, at(2)))
        assert not await store.write(lambda tx: tx.change_order(version("A1", 2), at(3)))
        assert not await store.write(lambda tx: tx.withdraw_order("A1", "false alarm", at(3)))

    async def test_what_the_erp_has_opened_again_is_changed_taken_back_and_followed_again(self, store: Store) -> None:
        await put(store, ("A1", "A"))
        [one] = await claim(store)
        assert await settle_as(store, delivered(one.delivery, "7", at(1)).delivery, one)
        await store.write(
            lambda tx: tx.put_status(StatusUpdate(key="A1", number="7", status="closed", at=at(2), state="done"), at(2))
        )
        await store.write(lambda tx: tx.asked("A1", at(2)))
        assert await store.read(lambda tx: tx.followed("erp", at(900), timedelta(seconds=1), 10)) == []
        await store.write(
            lambda tx: tx.put_status(StatusUpdate(key="A1", number="7", status="open", at=at(3), state="open"), at(3))
        )
        await store.write(lambda tx: tx.asked("A1", None))
        assert len(await store.read(lambda tx: tx.followed("erp", at(900), timedelta(seconds=1), 10))) == 1
        assert await store.write(lambda tx: tx.change_order(version("A1", 2), at(4)))
        [two] = await claim(store, now=at(5))
        assert (two.delivery.task, two.order.version) == ("amend", 2)
        assert await settle_as(store, delivered(two.delivery, "7", at(6)).delivery, two)
        assert await store.write(lambda tx: tx.withdraw_order("A1", "false alarm", at(7)))

    async def test_an_order_that_was_taken_back_and_is_opened_again_there_stands_again(self, store: Store) -> None:
        await put(store, ("A1", "A"), ("B1", "B"))
        [one] = await claim(store, limit=1)
        assert await settle_as(store, delivered(one.delivery, "7", at(1)).delivery, one)
        for key in ("A1", "B1"):
            assert await store.write(lambda tx, key=key: tx.withdraw_order(key, "false alarm", at(2)))
        [back] = await claim(store, now=at(3))
        assert await settle_as(store, withdrawn(back.delivery, "false alarm", at(4)).delivery, back)
        assert await store.write(lambda tx: tx.stand_again("A1", at(5)))
        assert not await store.write(lambda tx: tx.stand_again("B1", at(5)))  # it was never there
        held = await store.read(lambda tx: [(one.delivery.state, one.delivery.withdraw) for one in tx.orders()])
        assert sorted(held) == [(DeliveryState.DELIVERED, ""), (DeliveryState.WITHDRAWN, "false alarm")]

    async def test_a_refused_change_can_be_tried_again(self, store: Store) -> None:
        await put(store, ("A1", "A"))
        [one] = await claim(store)
        assert await settle_as(store, delivered(one.delivery, "7", at(1)).delivery, one)
        assert not await store.write(lambda tx: tx.redeliver("A1", at(2)))
        assert await store.write(lambda tx: tx.change_order(version("A1", 2), at(2)))
        [two] = await claim(store, now=at(2))
        assert await settle_as(store, refused(two.delivery, "it is closed", at(3)).delivery, two)
        held = await store.read(lambda tx: tx.order("A1"))
        assert held is not None and (held.delivery.state, held.delivery.sent) == (DeliveryState.DELIVERED, 1)
        assert await store.write(lambda tx: tx.redeliver("A1", at(4)))
        [again] = await claim(store, now=at(4))
        assert again.sent is not None and (again.sent.version, again.order.version) == (1, 2)
        assert again.delivery.attempt == 1  # the refusal ended what was in doubt

    async def test_orders_are_followed_until_the_erp_has_ended_them(self, store: Store) -> None:
        await put(store, ("A1", "A"), ("B1", "B"), ("C1", "C"), ("D1", "D"))
        for one in await claim(store, limit=3):
            await settle_as(store, delivered(one.delivery, one.order.key, at(1)).delivery, one)

        def followed(now: float, first: float = 8) -> Callable[[Tx], list[str]]:
            wait = timedelta(seconds=first)
            return lambda tx: [one.order.key for one in tx.followed("erp", at(now), wait, 10)]

        assert await store.read(followed(8)) == []
        assert await store.read(followed(9)) == ["A1", "B1", "C1"]
        await store.write(lambda tx: tx.asked("A1", at(9), at(20)))
        await store.write(lambda tx: tx.asked("B1", at(9), at(15)))
        assert await store.read(followed(14)) == ["C1"]
        assert await store.read(followed(20)) == ["B1", "A1", "C1"]
        held = await store.read(lambda tx: tx.order("A1"))
        assert held is not None and (held.asked_at, held.ask_at) == (at(9), at(20))
        await store.write(lambda tx: tx.asked("B1", at(20)))
        assert await store.read(followed(999_999)) == ["A1", "C1"]
        held = await store.read(lambda tx: tx.order("B1"))
        assert held is not None and (held.asked_at, held.ask_at) == (at(20), None)
        for key in ("B1", "D1"):
            await store.write(lambda tx, key=key: tx.asked(key, None))
        assert await store.read(followed(10)) == ["B1", "C1"]

    async def test_a_clock_that_goes_back_does_not_end_following(self, store: Store) -> None:
        await put(store, ("A1", "A"), ("B1", "B"))
        for one in await claim(store, limit=2):
            await settle_as(store, delivered(one.delivery, one.order.key, at(1)).delivery, one)
        await store.write(lambda tx: tx.asked("A1", at(5), at(300)))
        then, wait = NOW - timedelta(days=30), timedelta(seconds=300)
        assert [one.order.key for one in await store.read(lambda tx: tx.followed("erp", then, wait, 10))] == [
            "A1",
            "B1",
        ]

    async def test_orders_are_found_by_the_erps_number(self, store: Store) -> None:
        await put(store, ("A1", "A"), ("B1", "B"))
        for one in await claim(store, limit=2):
            await settle_as(store, delivered(one.delivery, "7", at(1)).delivery, one)
        assert await store.read(lambda tx: tx.numbered("7")) == ["A1", "B1"]
        assert await store.read(lambda tx: tx.numbered("8")) == []

    async def test_a_word_that_came_twice_is_no_news_and_counts_from_its_newest_time(self, store: Store) -> None:
        await put(store, ("K", "M"))

        def say(status: str, seconds: float, code: str | None = None) -> Callable[[Tx], bool]:
            word = StatusUpdate(key="K", number="7", status=status, closing_code=code, at=at(seconds))
            return lambda tx: tx.put_status(word, at(99))

        assert await store.write(say("open", 10))
        assert not await store.write(say("open", 30))
        assert not await store.write(say("closed", 20))
        assert await store.write(say("closed", 40))
        assert await store.write(say("closed", 35, "WORN"))
        held = await store.read(lambda tx: tx.order("K"))
        assert held is not None and (held.erp_status, held.erp_state, held.closing_code) == ("closed", "done", "WORN")
