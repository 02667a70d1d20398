"""Accept some reports and deliver their orders, with the gateway's own parts, in a process that may end anywhere."""

import asyncio
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec

from connectors.erp.rest import Settings as Erp
from crashes.erp import STRATEGIES
from gateway.core.asset import Plant, Site
from gateway.core.delivery import DeliveryState, ErpRef, Outcome
from gateway.core.order import WorkOrder, business_key
from gateway.core.ports import ErpAdapter, Interpreter, Store, Tx
from gateway.core.report import QualityReport
from gateway.core.secret import SecretRef
from gateway.core.units import Duration
from gateway.flow.around import Around
from gateway.flow.deliver import Deliverer
from gateway.flow.desk import Desk
from gateway.flow.patience import Patience
from gateway.flow.receive import take_report
from gateway.flow.reconcile import Reconciler
from gateway.flow.settle import Policy
from gateway.flow.takeup import take_up
from gateway.flow.words import Listening
from gateway.store.settings import Settings as StoreSettings

SECRET = b"crash bench"
SITE = "SZ1"
TURNS = 2000
LOOK_S = 0.01
HOP = timedelta(seconds=3)
OVER = {DeliveryState.DELIVERED, DeliveryState.PARKED}
POLICY = Policy(lanes=2, poll=timedelta(seconds=0.02), margin=timedelta(seconds=1), longest_wait=timedelta(seconds=2))
"""Fewer lanes than orders: one of them is taken by the commit that ends another."""


class Clock:
    """The wall clock, which hops ahead whenever there is only waiting left to do: nobody sleeps through a lease."""

    def __init__(self, ahead_s: float) -> None:
        self.ahead = timedelta(seconds=ahead_s)

    def __call__(self) -> datetime:
        """Give the time, aware UTC."""
        return datetime.now(UTC) + self.ahead


class Watched(Around):
    """An ERP of which one sees how many calls are under way: while there are some, the clock does not hop."""

    def __init__(self, inner: ErpAdapter) -> None:
        super().__init__(inner)
        self.flying = 0

    async def deliver(self, orders: Sequence[WorkOrder]) -> list[Outcome]:
        """Send."""
        with self._flight():
            return await super().deliver(orders)

    async def find(self, key: str) -> list[ErpRef]:
        """Ask."""
        with self._flight():
            return await super().find(key)

    @contextmanager
    def _flight(self) -> Iterator[None]:
        self.flying += 1
        try:
            yield
        finally:
            self.flying -= 1


class Job(msgspec.Struct, frozen=True):
    """What one process does: reports to accept (their ids go to `acks` once accepted), then everything delivered."""

    folder: str
    base_url: str
    token_url: str
    client_id: str
    client_secret: str
    idempotency: str
    names: Sequence[str]
    acks: str
    ahead_s: float = 0.0


def key_of(name: str) -> str:
    """Give the business key of the order that a report leads to."""
    return business_key(SECRET, SITE, "report", name)


def words_of(name: str) -> str:
    """Give a report's words: a trouble of its own, on a lot of its own."""
    return f"lot L{name.upper()} burrs on 3 parts"


def adapter(job: Job) -> ErpAdapter:
    """Open the ERP."""
    os.environ["CRASH_ERP_SECRET"] = job.client_secret
    _, more = STRATEGIES[job.idempotency]
    return Erp(
        name="main",
        base_url=job.base_url,
        token_url=job.token_url,
        client_id=job.client_id,
        client_secret=SecretRef(env="CRASH_ERP_SECRET"),
        idempotency=job.idempotency,  # type: ignore[arg-type]  # one of a table of ours
        timeout=Duration(2.0),
        settle=Duration(2.0),
        audience="erp",
        **more,
    ).open()


async def run(job: Job, interpreter: Interpreter) -> None:
    """Do a job to its end. Raises `TimeoutError` when it has none."""
    clock = Clock(job.ahead_s)
    store = StoreSettings(path=job.folder).open()
    erp = adapter(job)
    try:
        for name in job.names:
            report = QualityReport(id=name, text=words_of(name), reported_at=clock())
            await take_report(store, report, None, clock)
            _acknowledge(job, name)
        with ThreadPoolExecutor(1) as pool:
            await _read(store, interpreter, pool, clock)
        await _deliver(store, erp, clock)
    finally:
        await erp.close()
        await store.close()


def _acknowledge(job: Job, name: str) -> None:
    with Path(job.acks).open("a") as acks:
        acks.write(f"{name}\n")


async def _read(store: Store, interpreter: Interpreter, pool: ThreadPoolExecutor, clock: Clock) -> None:
    desk = Desk(Plant(Site(id=SITE), ()), SECRET, "main", "bench")
    wake = asyncio.Event()
    listening = Listening(store, interpreter, desk, pool, clock, wake, wake.set, lambda _: None)
    while await listening.step():
        pass


async def _deliver(store: Store, erp: ErpAdapter, clock: Clock) -> None:
    patience = Patience(clock, POLICY.longest_wait, erp.name)
    watched = Watched(erp)
    await take_up(store, watched, POLICY, clock)
    loops = (
        Deliverer(store, watched, clock, asyncio.Event(), POLICY, patience).run(),
        Reconciler(store, watched, clock, POLICY, patience).run(),
    )
    running = [asyncio.create_task(loop) for loop in loops]
    try:
        before: Stand = {}
        for _ in range(TURNS):
            now = await store.read(_stand)
            if {state for state, _ in now.values()} <= OVER:
                return
            if now == before and not watched.flying:
                clock.ahead += HOP
            before = now
            done, _ = await asyncio.wait(running, timeout=LOOK_S, return_when=asyncio.FIRST_COMPLETED)
            if done:
                raise RuntimeError("delivery ended by itself") from done.pop().exception()
        raise TimeoutError(f"not delivered after {TURNS} looks: {before}")
    finally:
        for loop in running:
            loop.cancel()
        await asyncio.gather(*running, return_exceptions=True)


Stand = dict[str, tuple[DeliveryState, int]]


def _stand(tx: Tx) -> Stand:
    return {one.order.key: (one.delivery.state, one.delivery.attempt) for one in tx.orders(limit=1000)}
