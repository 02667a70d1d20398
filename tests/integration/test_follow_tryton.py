"""Orders in a real Tryton, which tells nobody of anything: how they stand is found out by asking."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from gateway.core.ports import ErpAdapter, Store, StoredOrder
from gateway.flow.follow import Follower, Pace
from gateway.flow.patience import Patience
from gateway.store.settings import Settings as StoreSettings
from tests.erp_process import make_order
from tests.tryton import Tryton, running_tryton
from tests.tryton_delivery import adapter, delivered, delivering, events

pytestmark = pytest.mark.peer


@dataclass(slots=True)
class Clock:
    """Wall clock that a test can push forward."""

    ahead: timedelta = field(default_factory=timedelta)

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.ahead


@pytest.fixture(scope="module")
def tryton() -> Iterator[Tryton]:
    with running_tryton() as found:
        yield found


@pytest.fixture
async def store(tmp_path: Path, tryton: Tryton, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Store]:
    monkeypatch.setenv("TEST_TRYTON_KEY", tryton.facts["key"])
    store = StoreSettings(path=str(tmp_path)).open()
    yield store
    await store.close()


@pytest.fixture
async def erp(tryton: Tryton, store: Store) -> AsyncIterator[ErpAdapter]:
    del store  # it brings the key
    asking = adapter(tryton, tryton.url, 1.0)
    yield asking
    await asking.close()


async def test_an_alert_is_asked_about_until_it_is_resolved_also_over_a_crash_of_the_erp(
    store: Store, tryton: Tryton, erp: ErpAdapter
) -> None:
    order = make_order("followed", detected_at=datetime.now(UTC))
    async with delivering(store, adapter(tryton, tryton.url, 1.0), [order]):
        await delivered(store, [order])
    clock = Clock()
    patience = Patience(clock, timedelta(seconds=30))
    follower = Follower(store, erp, clock, asyncio.Event(), Pace(), patience)

    async def later(wait: timedelta = timedelta(minutes=10)) -> StoredOrder:
        clock.ahead += wait
        await follower.step()
        held = await store.read(lambda tx: tx.order(order.key))
        assert held is not None
        return held

    [row] = tryton.orders_in_database(order.key)
    assert ((await later()).erp_status, (await later()).erp_state) == ("open", "open")
    tryton.ask("POST", f"quality.alert/{row['id']}/process", {})
    assert (await later()).erp_status == "processing"
    tryton.kill()
    assert (await later()).erp_status == "processing"
    await asyncio.to_thread(tryton.start)
    tryton.ask("POST", f"quality.alert/{row['id']}/resolve", {})
    held = await later(timedelta(hours=2))
    assert (held.erp_status, held.erp_state) == ("resolved", "done")
    assert (await events(store, order)).count("order.status") == 3
    assert "order.unreadable" not in await events(store, order)
