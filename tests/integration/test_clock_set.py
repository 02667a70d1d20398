"""The machine's clock is set while the gateway runs and its ERP is away: nothing is given up for that."""

import asyncio
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import monotonic

import pytest

from gateway.core.delivery import Delivery, DeliveryState
from gateway.runtime import making
from gateway.runtime.settings import parse
from gateway.runtime.wiring import wire
from tests.erp_process import make_order
from tests.rig import until

CONFIG = """
[site]
id = "SZ1"
[store]
path = "{folder}/store"
[language]
engine = "lite"
[orders]
verify = "warn"
[erp.main]
protocol = "rest"
base_url = "http://127.0.0.1:9"
auth = "none"
idempotency = "header"
"""


@pytest.mark.parametrize("set_at_once", [True, False])
async def test_an_order_waits_through_a_clock_that_jumps_and_is_given_up_when_it_is_old(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, set_at_once: bool
) -> None:
    ahead = [timedelta(0)]
    monkeypatch.setattr(making, "now", lambda: datetime.now(UTC) + ahead[0])
    # Of the two clocks one is set, or both have gone on: then the days are real.
    passed = [0.0]
    monkeypatch.setattr("gateway.runtime.hall.monotonic", lambda: monotonic() + passed[0])
    order = make_order("clock", asset="C-1")
    async with wire(parse(CONFIG.format(folder=tmp_path)), asyncio.Event()) as running:
        store = running.gateway.store
        await store.write(lambda tx: tx.put_order(order, "main", making.now()))

        async def held() -> Delivery:
            found = await store.read(lambda tx: tx.order(order.key))
            assert found is not None
            return found.delivery

        async def tried_since(then: datetime) -> bool:
            one = await held()
            settled = one.reason and one.state is not DeliveryState.SENDING
            return bool(settled) and one.updated_at is not None and one.updated_at >= then

        job = asyncio.create_task(running.jobs["deliver"]())
        await until(lambda: tried_since(datetime.min.replace(tzinfo=UTC)), "a first attempt", 20)
        ahead[0] += timedelta(days=4)
        if not set_at_once:
            passed[0] += timedelta(days=4).total_seconds()
        then = making.now()
        await until(lambda: tried_since(then), "an attempt after the jump", 20)
        assert (await held()).state is (DeliveryState.WAITING if set_at_once else DeliveryState.PARKED)
        job.cancel()
        with suppress(asyncio.CancelledError):
            await job
