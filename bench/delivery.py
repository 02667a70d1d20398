"""Orders delivered exactly once: to a real Tryton, and to the simulated ERP, beside bare POSTs to the same server.

The baseline does no more than send one order after the other: no store, no key, no doubt. Ours commits before and
after every request. What was made is counted in the ERP's own database.
"""

import argparse
import asyncio
import contextlib
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import httpx2
import msgspec
from crashes.erp import ROOT, Erp, simulated
from outage import made, posted
from report import Row, publish, quiet

from connectors.erp.rest import Settings
from connectors.erp.rest.plan import Batch
from connectors.erp.tryton import Settings as TrytonSettings
from gateway.core.delivery import Delivered, Outcome
from gateway.core.order import WorkOrder, business_key
from gateway.core.ports import ErpAdapter, Tx
from gateway.core.secret import SecretRef
from gateway.core.units import Duration
from gateway.flow.deliver import Deliverer
from gateway.flow.patience import Patience
from gateway.flow.reconcile import Reconciler
from gateway.flow.settle import Policy
from gateway.store.settings import Settings as StoreSettings

sys.path.append(str(ROOT))  # the real Tryton is started as the tests start it

FASTEST, SHARE = 1000.0, 0.9
LIMIT_S = 300.0
WARM = 40
ROUNDS = 4
_READ = "company create_date create_uid description number origin state title write_date write_uid"
_ALERT = "/andon/rest/model/quality.alert?" + "&".join(f"f={name}" for name in _READ.split())
"""The same request as ours: the same fields are written, and the same are read back."""
BATCH = Batch(
    path="/api/orders/batch",
    rows="orders",
    item="order",
    key="key",
    answers="results",
    record="order",
    error="problem",
    size=100,
    ordered=True,
)


def orders(count: int, assets: int) -> list[WorkOrder]:
    """Make orders; assets take turns."""
    at = datetime.now(UTC)
    found = []
    for number in range(count):
        asset = f"M-{number % assets:03d}"
        key = business_key(b"delivery bench", asset, str(number), at.isoformat())
        found.append(msgspec.structs.replace(made(number, at), key=key, asset=asset))
    return found


async def delivered(erp: ErpAdapter, wanted: Sequence[WorkOrder], lanes: int) -> float:
    """Deliver orders as the gateway does; gives the seconds from the first claim to the last settlement."""
    policy = Policy(lanes=lanes)
    patience, wake = Patience(_now, policy.longest_wait, erp.name), asyncio.Event()
    with tempfile.TemporaryDirectory() as folder:
        store = StoreSettings(path=folder).open()

        def put(tx: Tx) -> None:
            for order in wanted:
                tx.put_order(order, erp.name, _now())

        def left(tx: Tx) -> int:
            return sum(count for state, count in tx.order_counts().items() if state != "DELIVERED")

        answers, over = 0, asyncio.Event()

        def answered(outcome: Outcome) -> None:
            nonlocal answers
            answers += isinstance(outcome, Delivered)
            if answers >= len(wanted):
                over.set()

        await store.write(put)
        began = time.monotonic()
        jobs = [
            asyncio.create_task(Deliverer(store, erp, _now, wake, policy, patience, answered).run()),
            asyncio.create_task(Reconciler(store, erp, _now, policy, patience, answered).run()),
        ]
        # Who looks into the store all the time takes a part of the machine: the end begins with the last answer.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LIMIT_S):
                await over.wait()
                while await store.read(left):  # noqa: ASYNC110 (it ends in the store)
                    await asyncio.sleep(0.002)
        took = time.monotonic() - began
        for job in jobs:
            job.cancel()
        await asyncio.gather(*jobs, return_exceptions=True)
        await erp.close()
        await store.close()
    return took


def _now() -> datetime:
    return datetime.now(UTC)


def adapter(erp: Erp, *, batch: bool, idempotency: str = "header") -> ErpAdapter:
    """Open the simulated ERP."""
    os.environ["DELIVERY_ERP_SECRET"] = erp.ready["client_secret"]
    return Settings(
        name="main",
        base_url=erp.ready["base_url"],
        token_url=erp.ready["token_url"],
        client_id=erp.ready["client_id"],
        client_secret=SecretRef(env="DELIVERY_ERP_SECRET"),
        audience="erp",
        idempotency=idempotency,  # type: ignore[arg-type]  # one of the strategies
        timeout=Duration(10),
        batch=BATCH if batch else None,
    ).open()


def to_the_simulated(count: int) -> Iterator[Row]:
    """Measure with 8 and 200 assets, in requests of many orders and of one."""
    with tempfile.TemporaryDirectory() as folder, simulated("header", Path(folder)) as erp:
        bare = posted(erp, 400)
        for assets, batch in ((8, True), (200, True), (8, False)):
            wanted = orders(count if batch else count // 4, assets)
            took = asyncio.run(delivered(adapter(erp, batch=batch), wanted, 16))
            there = erp.commits()
            right = all(there.get(order.key) == 1 for order in wanted)
            rate = len(wanted) / took
            what = f"simulated ERP, {assets} assets, {'up to 100' if batch else 'one'} a request"
            note = f"{len(wanted)} orders in {took:.1f} s, each once: {right}; baseline: bare POSTs, one by one"
            well = right and (rate >= FASTEST or not batch)
            yield Row(what, rate, bare, "orders/s", rate / bare, "1000" if batch else "-", well, note)


def to_tryton(count: int) -> Iterator[Row]:
    """Measure against a real Tryton; without one the row says so."""
    from tests.tryton import missing  # noqa: PLC0415  (see sys.path above)

    what = "a real Tryton, 8 assets"
    if missing():
        yield Row(what, None, None, "orders/s", None, "0.9 x", None, missing())
        return
    with _tryton() as (url, facts, there):
        os.environ["DELIVERY_TRYTON_KEY"] = facts["key"]
        settings = TrytonSettings(
            name="main",
            base_url=url,
            database="andon",
            key=SecretRef(env="DELIVERY_TRYTON_KEY"),
            company=facts["company"],  # type: ignore[arg-type]  # a number
            origin=facts["origins"]["M-07"],  # type: ignore[index]  # a table
        )
        # Both sides load what they need, and Tryton its caches, before anything is timed.
        _bare_tryton(url, facts, WARM, "warm")
        asyncio.run(delivered(settings.open(), orders(WARM, 8), 16))
        wanted = orders(count, 8)
        share, took, bared = count // ROUNDS, 0.0, 0.0
        for turn in range(ROUNDS):
            # In turns: these machines become slower and faster while one looks.
            bared += _bare_tryton(url, facts, share // 2, f"before {turn}")
            took += asyncio.run(delivered(settings.open(), wanted[turn * share : (turn + 1) * share], 16))
            bared += _bare_tryton(url, facts, share - share // 2, f"after {turn}")
        right = all(there(order.key) == 1 for order in wanted)
    rate, bare = count / took, count / bared
    note = f"{count} orders in {took:.1f} s, each once: {right}; baseline: bare POSTs in turns with them, one by one"
    yield Row(what, rate, bare, "orders/s", rate / bare, "0.9 x", right and rate >= SHARE * bare, note)


@contextmanager
def _tryton() -> Iterator[tuple[str, dict[str, str], Callable[[str], int]]]:
    from tests.tryton import running_tryton  # noqa: PLC0415

    with running_tryton() as found:
        yield found.url, found.facts, lambda key: len(found.orders_in_database(key))


def _bare_tryton(url: str, facts: dict[str, str], count: int, name: str) -> float:
    """Send bare requests, one after the other; gives the seconds."""
    with httpx2.Client(base_url=url, trust_env=False, timeout=30) as http:
        headers = {"authorization": f"Bearer {facts['key']}"}
        began = time.monotonic()
        for number in range(count):
            body = {
                "title": f"BARE-{name}-{number} M-07: outer race of the bearing",
                "company": facts["company"],
                "origin": facts["origins"]["M-07"],  # type: ignore[index]  # a table
                "description": "M-07: outer race of the bearing\n\n[BARE]",
            }
            http.post(_ALERT, json=body, headers=headers).raise_for_status()
        return time.monotonic() - began


def main() -> int:
    """Run and publish; exit 1 when an order is not there exactly once."""
    parser = argparse.ArgumentParser(prog="bench/delivery.py", description="Measure: delivery.")
    parser.add_argument("--quick", action="store_true", help="fewer orders")
    parser.add_argument("--only", choices=("simulated", "tryton"), help="this one alone")
    parser.add_argument("-o", dest="output", choices=("table", "json"), default="table", help="form of the output")
    given = parser.parse_args()
    quiet()
    rows: list[Row] = []
    if given.only != "tryton":
        rows += to_the_simulated(4000 if given.quick else 20_000)
    if given.only != "simulated":
        rows += to_tryton(200 if given.quick else 1000)
    publish("delivery", rows, given.output)
    return 1 if any("each once: False" in row.note for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
