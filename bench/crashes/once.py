"""Accept some reports and deliver their orders, with the gateway's own parts, in a process that may end anywhere."""

import asyncio
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec

from connectors.erp.rest import Settings as Erp
from crashes.erp import STRATEGIES
from gateway.core.asset import Plant, Site
from gateway.core.delivery import DeliveryState
from gateway.core.order import business_key
from gateway.core.ports import ErpAdapter, Interpreter, Store
from gateway.core.report import QualityReport
from gateway.core.secret import SecretRef
from gateway.core.units import Duration
from gateway.flow.deliver import Deliverer
from gateway.flow.patience import Patience
from gateway.flow.receive import take_report
from gateway.flow.reconcile import Reconciler
from gateway.flow.settle import Policy
from gateway.flow.words import Desk, Listening
from gateway.store.settings import Settings as StoreSettings

SECRET = b"crash bench"
SITE = "SZ1"
TURNS = 400
HOP = timedelta(seconds=3)
OVER = {DeliveryState.DELIVERED, DeliveryState.PARKED}
POLICY = Policy(poll=timedelta(seconds=0.02), margin=timedelta(seconds=1), longest_wait=timedelta(seconds=2))


class Clock:
    """The wall clock, which hops ahead whenever there is only waiting left to do: nobody sleeps through a lease."""

    def __init__(self, ahead_s: float) -> None:
        self.ahead = timedelta(seconds=ahead_s)

    def __call__(self) -> datetime:
        """Give the time, aware UTC."""
        return datetime.now(UTC) + self.ahead


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
    deliverer = Deliverer(store, erp, clock, asyncio.Event(), POLICY, patience)
    reconciler = Reconciler(store, erp, clock, POLICY, patience)
    for _ in range(TURNS):
        done = await deliverer.step() + await reconciler.step()
        states = await store.read(lambda tx: {one.delivery.state for one in tx.orders(limit=1000)})
        if states <= OVER:
            return
        if not done:
            clock.ahead += HOP
    raise TimeoutError(f"not delivered after {TURNS} turns: {sorted(states)}")
