"""Lanes of the outbox under any order of claims, settlements, expiries and clock jumps."""

from datetime import timedelta
from pathlib import Path

import msgspec
from hypothesis import Phase
from hypothesis import settings as sample
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, multiple, rule

from gateway.core.delivery import DeliveryState
from gateway.core.ports import Claimed
from gateway.store.engine import sqlite_writer
from gateway.store.schema import bring_up
from gateway.store.store import Transaction
from tests.contracts.store import LEASE, NOW, order, settled

FLYING = {DeliveryState.SENDING, DeliveryState.UNCERTAIN}
PHASES = [Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink]  # explaining traces every line of SQLAlchemy
SETTLED = {DeliveryState.DELIVERED, DeliveryState.PARKED}


class Lanes(RuleBasedStateMachine):
    """A few lanes, senders that die or answer late, and a clock that jumps."""

    claims = Bundle("claims")

    def __init__(self) -> None:
        super().__init__()
        self.engine = sqlite_writer(Path(":memory:"))
        self.now = NOW
        self.made: list[str] = []
        self.delivered: set[str] = set()

    @initialize()
    def open(self) -> None:
        bring_up(self.engine)

    @rule(asset=st.sampled_from(["A", "B", "C"]))
    def order(self, asset: str) -> None:
        key = f"{asset}{len(self.made)}"
        with self.engine.begin() as connection:
            assert Transaction(connection).put_order(order(key, asset), "erp", self.now)
        self.made.append(key)

    @rule(target=claims, limit=st.integers(1, 4))
    def claim(self, limit: int) -> object:
        before = self.states()
        with self.engine.begin() as connection:
            taken = Transaction(connection).claim("erp", self.now, LEASE, limit)
        for one in taken:
            ahead = [key for key in self.made[: self.made.index(one.order.key)] if key[0] == one.order.key[0]]
            assert all(before[key] in SETTLED for key in ahead), "an older order of the lane was passed over"
        return multiple(*taken)

    @rule(target=claims, limit=st.integers(1, 4))
    def ask(self, limit: int) -> object:
        with self.engine.begin() as connection:
            return multiple(*Transaction(connection).claim_uncertain("erp", self.now, LEASE, limit))

    @rule(claimed=consumes(claims), to=st.sampled_from(DeliveryState), wait_s=st.integers(0, 90))
    def settle(self, claimed: Claimed, to: DeliveryState, wait_s: int) -> None:
        if to is DeliveryState.SENDING:
            return  # the sender died
        news = msgspec.structs.replace(settled(claimed, to, self.now + timedelta(seconds=wait_s)), updated_at=self.now)
        with self.engine.begin() as connection:
            ours = Transaction(connection).settle(claimed.delivery, news)
        if ours and to is DeliveryState.DELIVERED:
            self.delivered.add(claimed.order.key)

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
            with self.engine.begin() as connection:
                assert Transaction(connection).redeliver(key, self.now) == parked

    @invariant()
    def never_two_of_a_lane_are_in_flight(self) -> None:
        flying = [key[0] for key, state in self.states().items() if state in FLYING]
        assert len(flying) == len(set(flying))

    @invariant()
    def nothing_is_lost_and_what_is_delivered_stays_so(self) -> None:
        states = self.states()
        assert sorted(states) == sorted(self.made)
        assert all(states[key] is DeliveryState.DELIVERED for key in self.delivered)

    def states(self) -> dict[str, DeliveryState]:
        with self.engine.begin() as connection:
            found = Transaction(connection).orders(limit=1000)
        return {one.order.key: one.delivery.state for one in found}

    def teardown(self) -> None:
        """Whatever happened: a well-behaved sender brings every order home in a bounded number of turns."""
        with self.engine.begin() as connection:
            tx = Transaction(connection)
            for key in self.made:
                tx.redeliver(key, self.now)
            for _ in range(2 * len(self.made) + 2):
                self.now += timedelta(minutes=2)
                tx.expire(self.now)
                for one in [*tx.claim("erp", self.now, LEASE, 10), *tx.claim_uncertain("erp", self.now, LEASE, 10)]:
                    assert tx.settle(one.delivery, settled(one, DeliveryState.DELIVERED))
            left = [one.order.key for one in tx.orders(limit=1000) if one.delivery.state is not DeliveryState.DELIVERED]
        self.engine.dispose()
        assert left == []


TestLanes = Lanes.TestCase
TestLanes.settings = sample(max_examples=60, stateful_step_count=30, deadline=None, phases=PHASES)
