"""Delivery to a real Tryton as the gateway does it: both loops over a store, until something is seen."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from time import monotonic

from connectors.erp.tryton import Settings
from gateway.core.order import WorkOrder
from gateway.core.ports import ErpAdapter, Store, Tx
from gateway.core.secret import SecretRef
from gateway.core.units import Duration
from gateway.flow.deliver import Deliverer
from gateway.flow.patience import Patience
from gateway.flow.reconcile import Reconciler
from gateway.flow.settle import Policy
from tests.tryton import DATABASE, Tryton


def adapter(tryton: Tryton, url: str, settle: float) -> ErpAdapter:
    return Settings(
        name="main",
        base_url=url,
        database=DATABASE,
        key=SecretRef(env="TEST_TRYTON_KEY"),
        company=tryton.facts["company"],
        origin=tryton.facts["origins"]["M-07"],
        timeout=Duration(1.5),
        settle=Duration(settle),
    ).open()


def now() -> datetime:
    return datetime.now(UTC)


@asynccontextmanager
async def delivering(store: Store, erp: ErpAdapter, orders: Sequence[WorkOrder]) -> AsyncIterator[None]:
    """Put the orders, and run delivery and reconciliation as the gateway does."""
    policy = Policy(poll=timedelta(seconds=0.05), longest_wait=timedelta(seconds=1))
    patience, wake = Patience(now, policy.longest_wait, "main"), asyncio.Event()

    def put(tx: Tx) -> None:
        for order in orders:
            tx.put_order(order, "main", now())

    await store.write(put)
    try:
        async with asyncio.TaskGroup() as jobs:
            deliverer = Deliverer(store, erp, now, wake, policy, patience)
            reconciler = Reconciler(store, erp, now, policy, patience)
            tasks = [jobs.create_task(deliverer.run()), jobs.create_task(reconciler.run())]
            yield
            for task in tasks:
                task.cancel()
    finally:
        await erp.close()


async def delivered(store: Store, orders: Sequence[WorkOrder]) -> dict[str, str]:
    """Wait until all are DELIVERED; gives the numbers by key."""
    deadline = monotonic() + 60
    while True:
        held = await store.read(lambda tx: [tx.order(order.key) for order in orders])
        told = [one.delivery for one in held if one is not None]
        if all(str(one.state) == "DELIVERED" for one in told):
            return {one.key: str(one.erp_number) for one in told}
        assert monotonic() < deadline, [(one.state, one.reason) for one in told]
        await asyncio.sleep(0.03)


async def events(store: Store, order: WorkOrder) -> list[str]:
    lines = await store.read(lambda tx: list(tx.audit()))
    return [line.event for line in lines if line.subject == order.key]


async def until(seen: Callable[[], bool]) -> None:
    deadline = monotonic() + 20
    while not seen():
        assert monotonic() < deadline
        await asyncio.sleep(0.02)
