"""Delivery as it runs: who is next goes out with the commit that ends the one before, and nobody is forgotten."""

import asyncio
import random
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from gateway.core.delivery import Capabilities, Delivered, DeliveryState, ErpRef, Idempotency, Outcome, Throttled
from gateway.core.order import WorkOrder
from gateway.core.ports import Store, T, Tx
from gateway.flow.deliver import Deliverer
from gateway.flow.patience import Patience
from gateway.flow.settle import Policy
from gateway.store.settings import Settings as StoreSettings
from tests.erp_process import make_order

LIMIT_S = 60
NO_POLL = timedelta(hours=1)
"""Nobody is woken by the clock: what is forgotten stays."""


class Counting:
    """A store that counts what is written."""

    def __init__(self, inner: Store) -> None:
        self._inner = inner
        self.writes = 0

    async def write(self, step: Callable[[Tx], T]) -> T:
        self.writes += 1
        return await self._inner.write(step)

    async def read(self, look: Callable[[Tx], T]) -> T:
        return await self._inner.read(look)

    async def close(self) -> None:
        await self._inner.close()


class Busy:
    """An ERP in memory that takes its time, by chance; `flying` are the requests in flight of each asset."""

    name = "main"

    def __init__(self, chance: random.Random, **promises: Any) -> None:
        self.capabilities = Capabilities(idempotency=Idempotency.HEADER, **promises)
        self.there: dict[str, list[str]] = defaultdict(list)
        self.flying: dict[str, int] = defaultdict(int)
        self.most = self.most_of_one = 0
        self.throttled = 0
        self._chance = chance

    async def deliver(self, orders: Sequence[WorkOrder]) -> list[Outcome]:
        assets = {order.asset for order in orders}
        for asset in assets:
            self.flying[asset] += 1
        self.most = max(self.most, sum(self.flying.values()))
        self.most_of_one = max(self.most_of_one, *self.flying.values())
        for _ in range(self._chance.randrange(20)):
            await asyncio.sleep(0)
        for asset in assets:
            self.flying[asset] -= 1
        if self.throttled:
            self.throttled -= 1
            return [Throttled(timedelta(0), "busy") for _ in orders]
        for order in orders:
            self.there[order.asset].append(order.key)
        return [Delivered(ErpRef(order.key, order.key)) for order in orders]

    async def verify(self) -> list[str]:
        return []

    async def find(self, key: str) -> list[ErpRef]:
        raise AssertionError(f"{key}: nobody was in doubt")

    async def status(self, ref: ErpRef) -> ErpRef:
        return ref

    async def amend(self, ref: ErpRef, before: WorkOrder, after: WorkOrder) -> Outcome:
        raise AssertionError((ref, before, after))

    async def cancel(self, ref: ErpRef, order: WorkOrder, reason: str) -> Outcome:
        raise AssertionError((ref, order, reason))

    async def close(self) -> None:
        return None


async def until_delivered(store: Store, erp: Busy, orders: Sequence[WorkOrder], policy: Policy) -> None:
    """Let a deliverer run until all is there; the orders are committed while it runs."""
    wake = asyncio.Event()
    patience = Patience(_now, policy.longest_wait)
    running = asyncio.create_task(Deliverer(store, erp, _now, wake, policy, patience).run())
    try:
        async with asyncio.timeout(LIMIT_S):
            for order in orders:
                await store.write(lambda tx, order=order: tx.put_order(order, "main", _now()))
                wake.set()
            while await store.read(_waiting):
                assert not running.done()
                await asyncio.sleep(0)
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running


def _now() -> datetime:
    return datetime.now(UTC)


def _waiting(tx: Tx) -> int:
    return sum(count for state, count in tx.order_counts().items() if state != DeliveryState.DELIVERED)


def _of(assets: int, each: int) -> list[WorkOrder]:
    return [make_order(f"{turn}", asset=f"M-{asset}") for turn in range(each) for asset in range(assets)]


@pytest.mark.parametrize("seed", range(8))
async def test_without_a_clock_to_wake_it_nothing_is_forgotten_and_no_lane_has_two_in_flight(
    tmp_path: Path, seed: int
) -> None:
    chance = random.Random(seed)
    store = StoreSettings(path=str(tmp_path)).open()
    try:
        orders = _of(chance.randint(1, 9), 6)
        erp, lanes = Busy(chance), chance.randint(1, 5)
        await until_delivered(store, erp, orders, Policy(lanes=lanes, poll=NO_POLL))
    finally:
        await store.close()
    assert erp.most <= lanes
    assert erp.most_of_one == 1
    wanted: dict[str, list[str]] = defaultdict(list)
    for order in orders:
        wanted[order.asset].append(order.key)
    assert erp.there == wanted


async def test_one_commit_ends_a_request_and_takes_the_next(tmp_path: Path) -> None:
    store = Counting(StoreSettings(path=str(tmp_path)).open())
    try:
        orders = _of(4, 10)
        for order in orders:
            await store.write(lambda tx, order=order: tx.put_order(order, "main", _now()))
        store.writes = 0
        await until_delivered(store, Busy(random.Random(1)), [], Policy(lanes=4, poll=NO_POLL))
    finally:
        await store.close()
    # One each, and a few where a lane was at its end and somebody had to look for another one.
    assert len(orders) <= store.writes <= 1.5 * len(orders)


async def test_an_erp_that_is_busy_for_a_while_gets_all_of_them_afterwards(tmp_path: Path) -> None:
    store = StoreSettings(path=str(tmp_path)).open()
    try:
        orders, erp = _of(3, 4), Busy(random.Random(3))
        erp.throttled = 2
        await until_delivered(store, erp, orders, Policy(lanes=3, poll=timedelta(seconds=0.05)))
    finally:
        await store.close()
    assert sorted(key for keys in erp.there.values() for key in keys) == sorted(order.key for order in orders)
