"""Corners of delivery, with an ERP in memory: what a limit, a stop, a bug and a wrong clock may not do."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from gateway.core.delivery import Capabilities, Delivered, DeliveryState, ErpRef, Idempotency, Outcome
from gateway.core.order import WorkOrder
from gateway.core.ports import Store, StoredOrder, Tx
from gateway.flow.deliver import Deliverer
from gateway.flow.patience import Patience
from gateway.flow.reconcile import Reconciler
from gateway.flow.settle import Policy
from gateway.store.settings import Settings as StoreSettings
from tests.erp_process import make_order

START = datetime(2026, 11, 21, 8, 0, tzinfo=UTC)
Answer = Callable[[WorkOrder], Outcome]


class Plain:
    """An ERP in memory that does what it is told; `answer` and `ask` put something else in its mouth."""

    name = "main"

    def __init__(self, **promises: Any) -> None:
        self.capabilities = Capabilities(
            **{"idempotency": Idempotency.LOOKUP, "amends": True, "cancels": True, **promises}
        )
        self.made: list[ErpRef] = []
        self.calls: list[str] = []
        self.flying = self.most = 0
        self.answer: Answer = self.make
        self.ask: Callable[[str], list[ErpRef]] = self.held

    def make(self, order: WorkOrder) -> Outcome:
        ref = ErpRef(order.key, str(len(self.made) + 1), state="open")
        self.made.append(ref)
        return Delivered(ref)

    def held(self, key: str) -> list[ErpRef]:
        return [ref for ref in self.made if ref.key == key]

    async def _call(self, name: str) -> None:
        self.calls.append(name)
        self.flying += 1
        self.most = max(self.most, self.flying)
        await asyncio.sleep(0)
        self.flying -= 1

    async def verify(self) -> list[str]:
        return []

    async def deliver(self, orders: Sequence[WorkOrder]) -> list[Outcome]:
        await self._call("deliver")
        return [self.answer(order) for order in orders]

    async def find(self, key: str) -> list[ErpRef]:
        await self._call("find")
        return self.ask(key)

    async def status(self, ref: ErpRef) -> ErpRef:
        return ref

    async def amend(self, ref: ErpRef, before: WorkOrder, after: WorkOrder) -> Outcome:
        await self._call("amend")
        return self.answer(after) if self.answer != self.make else Delivered(ref, created=before is after)

    async def cancel(self, ref: ErpRef, order: WorkOrder, reason: str) -> Outcome:
        await self._call("cancel")
        gone = msgspec.structs.replace(ref, state="cancelled", status=reason)
        self.made = [gone if one.number == ref.number and one.key == order.key else one for one in self.made]
        return Delivered(gone, created=False)

    async def close(self) -> None:
        return None


@dataclass(slots=True)
class Desk:
    """A store and both loops, in a time of their own."""

    store: Store
    erp: Plain
    policy: Policy = field(default_factory=Policy)
    at: datetime = START
    patience: Patience = field(init=False)

    def __post_init__(self) -> None:
        self.patience = Patience(self.now, self.policy.longest_wait)

    def now(self) -> datetime:
        return self.at

    @property
    def deliverer(self) -> Deliverer:
        return Deliverer(self.store, self.erp, self.now, asyncio.Event(), self.policy, self.patience)

    @property
    def reconciler(self) -> Reconciler:
        return Reconciler(self.store, self.erp, self.now, self.policy, self.patience)

    async def put(self, *orders: WorkOrder) -> None:
        for order in orders:
            await self.store.write(lambda tx, order=order: tx.put_order(order, "main", self.at))

    async def write(self, step: Callable[[Tx], object]) -> None:
        assert await self.store.write(step)

    async def held(self, order: WorkOrder) -> StoredOrder:
        found = await self.store.read(lambda tx: tx.order(order.key))
        assert found is not None
        return found

    async def state(self, order: WorkOrder) -> DeliveryState:
        return (await self.held(order)).delivery.state


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    store = StoreSettings(path=str(tmp_path)).open()
    yield store
    await store.close()


def later(order: WorkOrder, version: int = 2) -> WorkOrder:
    return msgspec.structs.replace(order, version=version, title=f"version {version}")


async def test_changes_are_bounded_by_the_lanes_however_many_orders_a_request_may_carry(store: Store) -> None:
    desk = Desk(store, Plain(batch=10, ordered=True), Policy(lanes=2))
    old = [make_order(f"old {n}", asset=f"O-{n}") for n in range(12)]
    await desk.put(*old)
    while await desk.deliverer.step():
        pass
    assert desk.erp.calls == ["deliver"] * 2
    new = [make_order(f"new {n}", asset=f"N-{n}") for n in range(12)]
    await desk.put(*new)
    for order in old:
        await desk.write(lambda tx, order=order: tx.change_order(later(order), desk.at))
    while await desk.deliverer.step():
        assert desk.erp.most <= 2
    assert Counter(desk.erp.calls)["amend"] == 12
    assert {await desk.state(order) for order in (*old, *new)} == {DeliveryState.DELIVERED}
