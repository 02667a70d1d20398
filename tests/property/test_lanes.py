"""Lanes of the outbox under any order of claims, changes, withdrawals and their ends, expiries and clock jumps."""

from datetime import timedelta
from pathlib import Path

import msgspec
from hypothesis import Phase
from hypothesis import settings as sample
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, multiple, rule

from gateway.core.delivery import Delivery, DeliveryState
from gateway.core.ports import Claimed, StoredOrder
from gateway.flow.settle import delivered
from gateway.store.engine import sqlite_writer
from gateway.store.schema import bring_up
from gateway.store.store import Transaction
from tests.contracts.store_rows import LEASE, NOW, order, settled

FLYING = {DeliveryState.SENDING, DeliveryState.UNCERTAIN}
PHASES = [Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink]  # explaining traces every line of SQLAlchemy
SETTLED = {DeliveryState.DELIVERED, DeliveryState.PARKED, DeliveryState.WITHDRAWN}
OUTCOMES = [state for state in DeliveryState if state is not DeliveryState.SENDING]


class Lanes(RuleBasedStateMachine):
    """A few lanes, senders that die or answer late, and a clock that jumps."""

    claims = Bundle("claims")

    def __init__(self) -> None:
        super().__init__()
        self.engine = sqlite_writer(Path(":memory:"))
        self.now = NOW
        self.made: list[str] = []
        self.version: dict[str, int] = {}
        self.there: dict[str, int] = {}
        self.taken_back: set[str] = set()

    @initialize()
    def open(self) -> None:
        bring_up(self.engine)

    @rule(asset=st.sampled_from(["A", "B", "C"]))
    def order(self, asset: str) -> None:
        key = f"{asset}{len(self.made)}"
        with self.engine.begin() as connection:
            assert Transaction(connection).put_order(order(key, asset), "erp", self.now)
        self.made.append(key)
        self.version[key] = 1

    @rule(data=st.data())
    def change(self, data: st.DataObject) -> None:
        if self.made:
            key = data.draw(st.sampled_from(self.made))
            news = msgspec.structs.replace(order(key, key[0]), version=self.version[key] + 1)
            with self.engine.begin() as connection:
                changed = Transaction(connection).change_order(news, self.now)
                assert not Transaction(connection).change_order(news, self.now), "one version was taken twice"
            assert changed == (key not in self.taken_back)
            self.version[key] += changed

    @rule(data=st.data())
    def withdraw(self, data: st.DataObject) -> None:
        if self.made:
            key = data.draw(st.sampled_from(self.made))
            with self.engine.begin() as connection:
                assert Transaction(connection).withdraw_order(key, "false", self.now) == (key not in self.taken_back)
            self.taken_back.add(key)

    @rule(data=st.data())
    def stand(self, data: st.DataObject) -> None:
        """Take a withdrawal back: never one that may have left."""
        if self.made:
            key = data.draw(st.sampled_from(self.made))
            before = self.orders()[key].delivery
            with self.engine.begin() as connection:
                stands = Transaction(connection).stand_again(key, self.now)
            if stands:
                assert before.withdraw and before.state is not DeliveryState.SENDING
                assert before.erp_number is None or before.sending is None
                self.taken_back.discard(key)

    @rule(target=claims, limit=st.integers(1, 4))
    def claim(self, limit: int) -> object:
        before = self.states()
        with self.engine.begin() as connection:
            taken = Transaction(connection).claim("erp", self.now, LEASE, limit)
        for one in taken:
            ahead = [key for key in self.made[: self.made.index(one.order.key)] if key[0] == one.order.key[0]]
            assert all(before[key] in SETTLED for key in ahead), "an older order of the lane was passed over"
            assert one.order.version == one.delivery.sending
            assert (one.sent.version if one.sent else None) == one.delivery.sent == self.there.get(one.order.key)
        return multiple(*taken)

    @rule(target=claims, limit=st.integers(1, 4))
    def ask(self, limit: int) -> object:
        with self.engine.begin() as connection:
            return multiple(*Transaction(connection).claim_uncertain("erp", self.now, LEASE, limit))

    @rule(claimed=consumes(claims), to=st.sampled_from([*OUTCOMES, None]), wait_s=st.integers(0, 90))
    def settle(self, claimed: Claimed, to: DeliveryState | None, wait_s: int) -> None:
        if to is None:
            return  # the sender died
        asked = claimed.delivery.state is DeliveryState.UNCERTAIN  # a look alone takes nothing back
        if to is DeliveryState.WITHDRAWN and (asked or not claimed.delivery.withdraw):
            to = DeliveryState.DELIVERED
        if to is DeliveryState.DELIVERED and claimed.delivery.task == "cancel":
            to = DeliveryState.WITHDRAWN
        news = msgspec.structs.replace(self.outcome(claimed, to, wait_s), updated_at=self.now)
        with self.engine.begin() as connection:
            if Transaction(connection).settle(claimed.delivery, news) and to is DeliveryState.DELIVERED:
                self.there[claimed.order.key] = claimed.order.version

    def outcome(self, claimed: Claimed, to: DeliveryState, wait_s: int = 0) -> Delivery:
        if to is DeliveryState.DELIVERED:
            return delivered(claimed.delivery, "4711", self.now).delivery
        return settled(claimed, to, self.now + timedelta(seconds=wait_s))

    @rule(seconds=st.sampled_from([1, 10, 31, 60, 3600, -5, -3600, -172800]))
    def clock(self, seconds: int) -> None:
        self.now += timedelta(seconds=seconds)

    @rule()
    def expire(self) -> None:
        with self.engine.begin() as connection:
            Transaction(connection).expire(self.now)

    @rule(data=st.data())
    def redeliver(self, data: st.DataObject) -> None:
        if self.made:
            key = data.draw(st.sampled_from(self.made))
            parked = self.states()[key] is DeliveryState.PARKED
            # A change is never refused here, so that nothing stays DELIVERED in an older version.
            with self.engine.begin() as connection:
                assert Transaction(connection).redeliver(key, self.now) == parked

    @invariant()
    def never_two_of_a_lane_are_in_flight(self) -> None:
        flying = [key[0] for key, state in self.states().items() if state in FLYING]
        assert len(flying) == len(set(flying))

    @invariant()
    def nothing_is_lost_and_what_is_there_stays_known(self) -> None:
        found = self.orders()
        assert sorted(found) == sorted(self.made)
        for key, one in found.items():
            assert one.delivery.sent == self.there.get(key)
            assert (one.delivery.erp_number is not None) == (key in self.there)
            if one.delivery.state is DeliveryState.DELIVERED:
                assert one.delivery.sent == one.delivery.version and not one.delivery.withdraw

    def states(self) -> dict[str, DeliveryState]:
        return {key: one.delivery.state for key, one in self.orders().items()}

    def orders(self) -> dict[str, StoredOrder]:
        with self.engine.begin() as connection:
            return {one.order.key: one for one in Transaction(connection).orders(limit=1000)}

    def teardown(self) -> None:
        """Whatever happened: a well-behaved sender brings every order home in a bounded number of turns."""
        with self.engine.begin() as connection:
            tx = Transaction(connection)
            for key in self.made:
                tx.redeliver(key, self.now)
            for _ in range(2 * sum(self.version.values()) + 2 * len(self.made) + 2):
                self.now += timedelta(minutes=2)
                tx.expire(self.now)
                for one in [*tx.claim("erp", self.now, LEASE, 10), *tx.claim_uncertain("erp", self.now, LEASE, 10)]:
                    over = one.delivery.task in ("cancel", "drop")
                    end = DeliveryState.WITHDRAWN if over else DeliveryState.DELIVERED
                    assert tx.settle(one.delivery, self.outcome(one, end))
            found = tx.orders(limit=1000)
            ends = {one.order.key: one.delivery.state for one in found}
            versions = {one.order.key: one.delivery.sent for one in found if one.order.key not in self.taken_back}
        self.engine.dispose()
        back = {key: key in self.taken_back for key in self.made}
        assert ends == {k: DeliveryState.WITHDRAWN if gone else DeliveryState.DELIVERED for k, gone in back.items()}
        assert versions == {key: self.version[key] for key in self.made if not back[key]}


TestLanes = Lanes.TestCase
TestLanes.settings = sample(max_examples=60, stateful_step_count=30, deadline=None, phases=PHASES)
