"""48 hours without the ERP: 5,760 orders, two a minute, drained in order per asset once it is back.

When it went down it had made some orders whose replies were lost, and by the time it comes back it has forgotten
their keys (24 h). Time runs as fast as the gateway's own steps allow; the drain runs in real time. The baseline is a
loop of bare POSTs to the same ERP, one after the other.
"""

import argparse
import asyncio
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx2
import msgspec
from crashes.erp import Erp, simulated
from report import Row, publish, quiet

from connectors.erp.rest import Settings
from gateway.core.delivery import DeliveryState
from gateway.core.order import SourceRef, WorkOrder, business_key
from gateway.core.ports import ErpAdapter, Store, Tx
from gateway.core.secret import SecretRef
from gateway.core.units import Duration
from gateway.flow.deliver import Deliverer
from gateway.flow.patience import Patience
from gateway.flow.reconcile import Reconciler
from gateway.flow.settle import Policy
from gateway.store.settings import Settings as StoreSettings

HOURS, PER_HOUR, QUICK, ASSETS = 48, 120, 18, 20
FASTEST = 50.0
"""Orders a second that the drain must reach."""
STEP = timedelta(minutes=10)
DRAIN_S = 300.0
BARE = 400
POLICY = Policy(poll=timedelta(seconds=0.05), longest_wait=timedelta(seconds=1))


class Clock:
    """The wall clock, pushed ahead through the outage."""

    def __init__(self) -> None:
        self.ahead = timedelta(0)

    def __call__(self) -> datetime:
        """Give the time, aware UTC."""
        return datetime.now(UTC) + self.ahead


def made(number: int, at: datetime) -> WorkOrder:
    """Make the n-th order; assets take turns."""
    asset = f"M-{number % ASSETS:02d}"
    return WorkOrder(
        key=business_key(b"outage bench", "SZ1", asset, str(number)),
        version=1,
        work_type="maintenance",
        activity="condition-based",
        title=f"{asset}: outer race of the bearing",
        description="",
        language="en",
        hierarchy=(),
        asset=asset,
        component="bearing",
        priority=2,
        impact="degraded",
        asset_down=False,
        failure_mode="bearing_outer_race",
        iso_mode="VIB",
        detection="condition monitoring",
        detected_at=at,
        source=SourceRef("machine", str(number)),
    )


def adapter(erp: Erp) -> ErpAdapter:
    """Open the ERP: it honours Idempotency-Key, and remembers one for a day."""
    os.environ["OUTAGE_ERP_SECRET"] = erp.ready["client_secret"]
    return Settings(
        name="main",
        base_url=erp.ready["base_url"],
        token_url=erp.ready["token_url"],
        client_id=erp.ready["client_id"],
        client_secret=SecretRef(env="OUTAGE_ERP_SECRET"),
        audience="erp",
        idempotency="header",
        replay_window=Duration(24 * 3600),
        timeout=Duration(2.0),
        settle=Duration(1.0),
    ).open()


class Side:
    """The gateway's delivery over one store, with a clock of its own."""

    def __init__(self, store: Store, erp: ErpAdapter, clock: Clock) -> None:
        patience = Patience(clock, POLICY.longest_wait, erp.name)
        self.store, self.clock, self.wake = store, clock, asyncio.Event()
        self.deliverer = Deliverer(store, erp, clock, self.wake, POLICY, patience)
        self.reconciler = Reconciler(store, erp, clock, POLICY, patience)

    async def put(self, numbers: Sequence[int]) -> None:
        """Commit orders."""
        at = self.clock()

        def step(tx: Tx) -> None:
            for number in numbers:
                tx.put_order(made(number, at), "main", at)

        await self.store.write(step)

    async def left(self) -> int:
        """Count, up to one, what is not delivered."""

        def look(tx: Tx) -> int:
            return sum(len(tx.orders(state=state, limit=1)) for state in DeliveryState if state != "DELIVERED")

        return await self.store.read(look)


async def outage(folder: Path, per_hour: int) -> list[Row]:
    """Go through it; gives the rows."""
    store = StoreSettings(path=str(folder / "store")).open()
    clock, total = Clock(), HOURS * per_hour
    try:
        with simulated("header", folder) as erp:
            opened = adapter(erp)
            side = Side(store, opened, clock)
            # Made by the ERP, and nobody was told: the worst that can be left behind by an outage.
            erp.faults([{"kind": "lost_reply", "path": "/api/orders", "method": "POST"}], 1)
            await side.put(range(ASSETS))
            while len(erp.commits()) < ASSETS:
                await side.deliverer.step()
            port = httpx2.URL(erp.ready["base_url"]).port
        for number in range(ASSETS, total, per_hour // 6):
            clock.ahead += STEP
            await side.put(range(number, min(total, number + per_hour // 6)))
            await side.deliverer.step()
            await side.reconciler.step()
        await opened.close()
        with simulated("header", folder, "--port", str(port)) as erp:
            erp.habits(retention=0.001)  # a day is over: it knows no key of then
            return await drained(store, erp, clock, total)
    finally:
        await store.close()


async def drained(store: Store, erp: Erp, clock: Clock, total: int) -> list[Row]:
    """Drain, count in the ERP's own database, and hold it against bare requests."""
    opened = adapter(erp)
    side = Side(store, opened, clock)
    began = time.monotonic()
    jobs = [asyncio.create_task(side.deliverer.run()), asyncio.create_task(side.reconciler.run())]
    while await side.left() and time.monotonic() - began < DRAIN_S:  # noqa: ASYNC110 (what ends it is in the store)
        await asyncio.sleep(0.1)
    took = time.monotonic() - began
    for job in jobs:
        job.cancel()
    await asyncio.gather(*jobs, return_exceptions=True)
    await opened.close()
    there = erp.commits()
    keys = [made(number, clock()).key for number in range(total)]
    lost = sum(key not in there for key in keys)
    place = {key: at for at, (_, key) in enumerate(erp.in_order())}
    lanes = [[place[key] for key in keys[asset::ASSETS] if key in place] for asset in range(ASSETS)]
    swapped = sum(lane != sorted(lane) for lane in lanes)
    bare = await asyncio.to_thread(posted, erp, BARE)
    rate = (len(there) - ASSETS) / took
    note = f"{total} orders of {HOURS} h in {took:.1f} s; baseline: {BARE} bare POSTs one after the other"
    twice = sum(count - 1 for count in there.values())
    return [
        Row("drained after the outage", rate, bare, "orders/s", rate / bare, "50", rate >= FASTEST, note),
        Row("lost", lost, None, "orders", None, "0", not lost, "counted in the ERP's own database"),
        Row(
            "duplicates",
            twice,
            None,
            "orders",
            None,
            "0",
            not twice,
            f"{ASSETS} were there, their keys forgotten",
        ),
        Row("assets out of order", swapped, None, "assets", None, "0", not swapped, f"{ASSETS} assets"),
    ]


def posted(erp: Erp, count: int) -> float:
    """Send bare requests; gives how many a second."""
    with httpx2.Client(base_url=erp.ready["base_url"], trust_env=False, timeout=10) as http:
        form = {
            "grant_type": "client_credentials",
            "client_id": erp.ready["client_id"],
            "client_secret": erp.ready["client_secret"],
            "audience": "erp",
        }
        token = http.post(erp.ready["token_url"], data=form).json()["access_token"]
        began = time.monotonic()
        for number in range(count):
            body = msgspec.json.encode({"reference": f"BARE{number}", "title": "a trouble", "equipment": "BARE"})
            headers = {"authorization": f"Bearer {token}", "idempotency-key": f'"bare-{number}"'}
            headers["content-type"] = "application/json"
            http.post("/api/orders", content=body, headers=headers).raise_for_status()
        return count / (time.monotonic() - began)


def main() -> int:
    """Run and publish; exit 1 when an order was lost, made twice, or came out of order."""
    parser = argparse.ArgumentParser(prog="bench/outage.py", description="Measure: outage.")
    parser.add_argument("--quick", action="store_true", help="864 orders instead of 5,760")
    parser.add_argument("-o", dest="output", choices=("table", "json"), default="table", help="form of the output")
    given = parser.parse_args()
    quiet()
    with tempfile.TemporaryDirectory() as folder:
        rows = asyncio.run(outage(Path(folder), QUICK if given.quick else PER_HOUR))
    publish("outage", rows, given.output)
    return 0 if all(row.ok for row in rows[1:]) else 1


if __name__ == "__main__":
    sys.exit(main())
