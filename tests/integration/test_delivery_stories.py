"""Seeded stories of crashes, lost replies and jumping clocks: every order once, none twice, in order per asset.

Time is virtual and the ERP is in memory, so a story of days takes a second. A failing seed is a test.
"""

import asyncio
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from gateway.core.delivery import (
    Capabilities,
    Delivered,
    ErpRef,
    Idempotency,
    Outcome,
    Throttled,
    Uncertain,
    Unsent,
)
from gateway.core.errors import Unreachable
from gateway.core.order import WorkOrder
from gateway.core.ports import Store, StoredOrder, Tx
from gateway.flow.deliver import Deliverer
from gateway.flow.patience import Patience
from gateway.flow.reconcile import Reconciler
from gateway.flow.settle import Policy
from gateway.store.settings import Settings as StoreSettings
from tests.erp_process import make_order

START = datetime(2026, 11, 21, 8, 0, tzinfo=UTC)
SETTLE = timedelta(seconds=60)
MEMORY = timedelta(hours=12)


class Killed(BaseException):
    """The process ends here and now: nothing is settled."""


@dataclass(slots=True)
class World:
    """The clock, the dice and the ERP's records."""

    dice: random.Random
    at: datetime = START
    made: list[tuple[str, str]] = field(default_factory=list)
    ghosts: list[tuple[datetime, WorkOrder]] = field(default_factory=list)
    keys: dict[str, tuple[str, datetime]] = field(default_factory=dict)
    calm: bool = False

    def now(self) -> datetime:
        return self.at

    def make(self, order: WorkOrder, *, honours: bool) -> tuple[str, bool]:
        """Make an order as an ERP does; one that honours keys makes none twice while it remembers."""
        known = self.keys.get(order.key)
        if honours and known is not None and self.at - known[1] < MEMORY:
            return known[0], False
        number = str(len(self.made) + 1)
        self.made.append((order.key, number))
        self.keys[order.key] = (number, self.at)
        return number, True

    def forward(self, step: timedelta, *, honours: bool) -> None:
        then = self.at + step
        for due, order in [ghost for ghost in self.ghosts if ghost[0] <= then]:
            self.ghosts.remove((due, order))
            self.at = due  # an ERP does not wait for our clock, and knows the key as it did at that time
            self.make(order, honours=honours)
        self.at = then


class MemoryErp:
    """An ERP that keeps what it promises, and is otherwise as bad as the dice say."""

    def __init__(self, world: World, idempotency: Idempotency) -> None:
        self._world = world
        self.name = "main"
        self.capabilities = Capabilities(
            idempotency=idempotency,
            replay_window=MEMORY if idempotency is Idempotency.HEADER else None,
            settle=SETTLE,
        )
        self._honours = idempotency is Idempotency.HEADER

    async def verify(self) -> list[str]:
        return []

    async def deliver(self, orders: Sequence[WorkOrder]) -> list[Outcome]:
        return [self._deliver(order) for order in orders]

    def _deliver(self, order: WorkOrder) -> Outcome:
        world = self._world
        luck = 1.0 if world.calm else world.dice.random()
        if luck < 0.08:
            raise Killed
        if luck < 0.14:
            world.make(order, honours=self._honours)
            raise Killed
        if luck < 0.24:
            world.make(order, honours=self._honours)
            return Uncertain("lost reply")
        if luck < 0.32:
            # Late, but within the time that the ERP promises.
            world.ghosts.append((world.at + SETTLE * world.dice.random() * 0.95, order))
            return Uncertain("no answer")
        if luck < 0.40:
            return Uncertain("500")
        if luck < 0.48:
            return Unsent("closed")
        if luck < 0.54:
            return Throttled(timedelta(seconds=world.dice.choice([1, 30, 600])))
        number, created = world.make(order, honours=self._honours)
        return Delivered(ErpRef(order.key, number), created)

    async def find(self, key: str) -> list[ErpRef]:
        if not self._world.calm and self._world.dice.random() < 0.2:
            raise Unreachable("no answer")
        return [ErpRef(key, number) for made, number in self._world.made if made == key]

    async def status(self, ref: ErpRef) -> ErpRef:
        return ref

    async def close(self) -> None:
        return None


async def _turn(store: Store, erp: MemoryErp, world: World, patience: Patience, policy: Policy) -> Patience:
    """One turn of both loops; a process that was killed starts again with nothing in its head."""

    try:
        await Deliverer(store, erp, world.now, asyncio.Event(), policy, patience).step()
        await Reconciler(store, erp, world.now, policy, patience).step()
    except BaseExceptionGroup as group:
        if group.subgroup(Killed) is None:
            raise
        return Patience(world.now, policy.longest_wait)
    return patience


@pytest.mark.parametrize("idempotency", [Idempotency.HEADER, Idempotency.LOOKUP])
@pytest.mark.parametrize("seed", range(10))
async def test_a_story_of_crashes_and_lost_replies_ends_with_every_order_once(
    tmp_path: Path, seed: int, idempotency: Idempotency
) -> None:
    world = World(random.Random(seed))
    erp, policy = MemoryErp(world, idempotency), Policy(doubts=1000)
    store = StoreSettings(path=str(tmp_path)).open()
    orders = [make_order(f"story {number}", asset=f"A-{number % 3}") for number in range(12)]
    waiting = list(orders)
    patience = Patience(world.now, policy.longest_wait)
    honours = idempotency is Idempotency.HEADER
    for turn in range(400):
        world.calm = turn > 60
        if waiting and world.dice.random() < 0.5:
            await store.write(_put(waiting.pop(0), world.at))
        patience = await _turn(store, erp, world, patience, policy)
        jump = world.dice.choice([0.5, 2, 10, 40, 70]) if world.dice.random() < 0.98 else 3600 * 5
        world.forward(timedelta(seconds=jump), honours=honours)
        if not waiting and {str(one.delivery.state) for one in await store.read(_all)} == {"DELIVERED"}:
            break
    rows = await store.read(_all)
    await store.close()
    world.forward(timedelta(hours=1), honours=honours)
    assert [(str(one.delivery.state), one.delivery.reason) for one in rows] == [("DELIVERED", "")] * len(orders)
    assert sorted(key for key, _ in world.made) == sorted(order.key for order in orders)
    numbers = dict(world.made)
    assert {one.order.key: one.delivery.erp_number for one in rows} == numbers
    for asset in {order.asset for order in orders}:
        places = [int(numbers[order.key]) for order in orders if order.asset == asset]
        assert places == sorted(places)


def _put(order: WorkOrder, at: datetime) -> Callable[[Tx], bool]:
    def step(tx: Tx) -> bool:
        return tx.put_order(order, "main", at)

    return step


def _all(tx: Tx) -> list[StoredOrder]:
    return tx.orders(limit=1000)
