"""Seeded stories of two gateways on one store: orders grow and are taken back; calls are lost, and clocks jump.

At the end the ERP has each order once and as it was said last, or, when it was taken back, as cancelled or not at
all. Some withdrawals are thought better of before they leave, some the ERP refuses because somebody has begun. Time is
virtual and the ERP is in memory. A failing seed is a test.
"""

import asyncio
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from gateway.core.delivery import (
    Capabilities,
    Delivered,
    ErpRef,
    Idempotency,
    Outcome,
    Rejected,
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

SETTLE = timedelta(seconds=60)
MEMORY = timedelta(hours=12)
BEGUN = 4
"""On every so many records somebody has begun: they are not taken back."""


class Killed(BaseException):
    """The process ends here and now: nothing is settled."""


@dataclass(slots=True)
class Record:
    """An order in the ERP."""

    key: str
    number: str
    version: int
    state: Any = "open"


@dataclass(slots=True)
class World:
    """The clock, the dice, and the ERP: `late` are requests that it carries out after they were given up."""

    dice: random.Random
    promises: Capabilities
    at: datetime = datetime(2026, 11, 21, 8, 0, tzinfo=UTC)
    records: list[Record] = field(default_factory=list)
    late: list[tuple[datetime, WorkOrder]] = field(default_factory=list)
    keys: dict[str, tuple[Record, datetime, int]] = field(default_factory=dict)
    rebuked: list[str] = field(default_factory=list)
    calm: bool = False
    wrong: timedelta = timedelta(0)

    def now(self) -> datetime:
        """Say what the gateways' clock shows, which may be wrong; the ERP's is right."""
        return self.at + self.wrong

    def make(self, order: WorkOrder) -> tuple[Record, bool]:
        how = self.promises.idempotency
        known = self.keys.get(order.key)
        if how is Idempotency.HEADER and known is not None and self.at - known[1] < MEMORY:
            if known[2] != order.version:
                self.rebuked.append(order.key)  # the same key with other bytes
            return known[0], False
        there = next((one for one in self.records if one.key == order.key), None)
        if there is not None and how in (Idempotency.UPSERT, Idempotency.CLIENT_ID):
            return there, False
        made = Record(order.key, str(len(self.records) + 1), order.version)
        self.records.append(made)
        self.keys[order.key] = (made, self.at, order.version)
        return made, True

    def forward(self, step: timedelta) -> None:
        then = self.at + step
        for due, order in [one for one in self.late if one[0] <= then]:
            self.late.remove((due, order))
            self.at = due
            self.make(order)
        self.at = then


class MemoryErp:
    """An ERP that keeps what it promises, and is otherwise as bad as the dice say."""

    name = "main"

    def __init__(self, world: World) -> None:
        self._world, self.capabilities = world, world.promises

    async def verify(self) -> list[str]:
        return []

    async def deliver(self, orders: Sequence[WorkOrder]) -> list[Outcome]:
        told: list[Outcome] = []
        stopped: set[str] = set()
        for order in orders:
            told.append(Unsent("behind another") if order.lane in stopped else self._create(order))
            if not isinstance(told[-1], Delivered):
                stopped.add(order.lane)
        return told

    def _create(self, order: WorkOrder) -> Outcome:
        def late() -> None:
            self._world.late.append((self._world.at + SETTLE * self._world.dice.random() * 0.95, order))

        return self._luck(lambda: self._world.make(order), late) or self._made(order)

    def _made(self, order: WorkOrder) -> Outcome:
        record, created = self._world.make(order)
        return Delivered(ErpRef(order.key, record.number, state=record.state), created)

    def _luck(self, do: Callable[[], object], late: Callable[[], None]) -> Outcome | None:
        luck = 1.0 if self._world.calm else self._world.dice.random()
        if luck < 0.12:
            if luck < 0.06:
                do()
            raise Killed
        if luck < 0.22:
            do()
            return Uncertain("lost reply")
        if luck < 0.30:
            late()
            return Uncertain("no answer")
        if luck < 0.38:
            return Uncertain("500")
        if luck < 0.46:
            return Unsent("closed")
        return Throttled(timedelta(seconds=5)) if luck < 0.50 else None

    async def find(self, key: str) -> list[ErpRef]:
        if not self._world.calm and self._world.dice.random() < 0.2:
            raise Unreachable("no answer")
        return [ErpRef(key, one.number, state=one.state) for one in self._world.records if one.key == key]

    async def status(self, ref: ErpRef) -> ErpRef:
        return ref

    async def amend(self, ref: ErpRef, before: WorkOrder, after: WorkOrder) -> Outcome:
        record = self._record(ref)
        assert before.version <= record.version <= after.version, "it was changed from what the ERP does not have"

        def change() -> None:
            record.version = after.version

        return self._luck(change, lambda: None) or self._done(change, ref)

    async def cancel(self, ref: ErpRef, order: WorkOrder, reason: str) -> Outcome:
        record = self._record(ref)
        if int(record.number) % BEGUN == 0:
            return Rejected("somebody has begun")

        def take_back() -> None:
            record.state = "cancelled"

        return self._luck(take_back, lambda: None) or self._done(take_back, ref)

    def _record(self, ref: ErpRef) -> Record:
        [found] = [one for one in self._world.records if (one.key, one.number) == (ref.key, ref.number)]
        return found

    @staticmethod
    def _done(do: Callable[[], None], ref: ErpRef) -> Outcome:
        do()
        return Delivered(ref, created=False)

    async def close(self) -> None:
        return None


@dataclass(slots=True)
class Gateway:
    """One of two that share a store; one that was killed begins again with nothing in its head."""

    store: Store
    world: World
    policy: Policy
    patience: Patience = field(init=False)

    def __post_init__(self) -> None:
        self.patience = Patience(self.world.now, self.policy.longest_wait)

    async def turn(self) -> None:
        erp, now = MemoryErp(self.world), self.world.now
        try:
            await Deliverer(self.store, erp, now, asyncio.Event(), self.policy, self.patience).step()
            await Reconciler(self.store, erp, now, self.policy, self.patience).step()
        except BaseExceptionGroup as group:
            if group.subgroup(Killed) is None:
                raise
            self.patience = Patience(now, self.policy.longest_wait)


PROMISES: dict[str, dict[str, Any]] = {
    "header": {"idempotency": Idempotency.HEADER, "replay_window": MEMORY},
    "header, batches": {"idempotency": Idempotency.HEADER, "replay_window": MEMORY, "batch": 8, "ordered": True},
    "upsert": {"idempotency": Idempotency.UPSERT, "overwrites": True},
    "client_id": {"idempotency": Idempotency.CLIENT_ID},
    "lookup": {"idempotency": Idempotency.LOOKUP},
    "lookup, batches": {"idempotency": Idempotency.LOOKUP, "batch": 8, "ordered": True},
}


@pytest.mark.parametrize("name", PROMISES)
@pytest.mark.parametrize("seed", range(2))
async def test_orders_that_grow_and_are_taken_back_end_as_they_were_said_last(
    tmp_path: Path, seed: int, name: str
) -> None:
    promises = Capabilities(**{"settle": SETTLE, "amends": True, "cancels": True, **PROMISES[name]})
    world = World(random.Random(seed), promises)
    store = StoreSettings(path=str(tmp_path)).open()
    gateways = [Gateway(store, world, Policy(doubts=1000, give_up_after=timedelta(days=900))) for _ in range(2)]
    waiting = [make_order(f"story {number}", asset=f"A-{number % 3}") for number in range(9)]
    for turn in range(400):
        world.calm = turn > 80
        if not world.calm:
            await _something(store, world, waiting)
        elif waiting:
            await store.write(_put(waiting.pop(0), world.now()))
        for gateway in gateways:
            await gateway.turn()
        world.forward(timedelta(seconds=world.dice.choice([0.5, 2, 10, 40, 70])))
        if world.calm and not waiting and await store.read(_settled):
            break
    for _ in range(12):  # ghosts are looked for, ever more rarely
        world.forward(timedelta(hours=1))
        await gateways[0].turn()
    rows = await store.read(_all)
    await store.close()
    assert world.rebuked == []
    for one in rows:
        standing = [
            record.version for record in world.records if record.key == one.order.key and record.state == "open"
        ]
        gone = one.delivery.withdraw != ""
        assert str(one.delivery.state) == ("WITHDRAWN" if gone else "DELIVERED"), one.delivery
        assert standing == ([] if gone else [one.order.version]), (one.delivery, world.records)


async def _something(store: Store, world: World, waiting: list[WorkOrder]) -> None:
    """Let an order come, grow, or be taken back, or the clock jump."""
    if world.dice.random() < 0.02:
        world.wrong = world.dice.choice([timedelta(0), timedelta(days=3), timedelta(days=-2)])
    if waiting and world.dice.random() < 0.3:
        await store.write(_put(waiting.pop(0), world.now()))
    rows = await store.read(_all)
    if rows and world.dice.random() < 0.2:
        order = world.dice.choice(rows).order
        grown = replace(order, version=order.version + 1, title=f"version {order.version + 1}")
        await store.write(lambda tx: tx.change_order(grown, world.now()))
    if rows and world.dice.random() < 0.05:
        key = world.dice.choice(rows).order.key
        await store.write(lambda tx: tx.withdraw_order(key, "false alarm", world.now()))
    if taken_back := [
        one.order.key for one in rows if one.delivery.withdraw and str(one.delivery.state) != "WITHDRAWN"
    ]:
        key = world.dice.choice(taken_back)
        if world.dice.random() < 0.3:
            await store.write(lambda tx: tx.stand_again(key, world.now()))


def _put(order: WorkOrder, at: datetime) -> Callable[[Tx], bool]:
    return lambda tx: tx.put_order(order, "main", at)


def _all(tx: Tx) -> list[StoredOrder]:
    return tx.orders(limit=1000)


def _settled(tx: Tx) -> bool:
    return all(str(one.delivery.state) in {"DELIVERED", "WITHDRAWN"} for one in _all(tx))
