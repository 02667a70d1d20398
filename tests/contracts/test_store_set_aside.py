"""What every store promises about things that were set aside: on SQLite and on PostgreSQL."""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from gateway.core.delivery import StatusUpdate
from gateway.core.errors import Missing, Refused
from gateway.core.ports import Store, Tx
from gateway.flow import parked
from gateway.store.settings import Settings
from tests.postgres import Server, postgres
from tests.set_aside import ALL, BEHIND, FRESH, NOW, PARKED, THERE, fill, fill_all, put_aside

__all__ = ["postgres"]


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    settings = Settings(path=str(tmp_path / "data"))
    if request.param == "postgres":
        server: Server = request.getfixturevalue("postgres")
        settings = Settings(url=server.database())
    store = settings.open()
    yield store
    await store.close()


def keys(tx: Tx, **wanted: Any) -> set[str]:
    return {held.order.key for held in tx.orders(**wanted)}


async def test_orders_are_found_by_what_they_have_to_do_and_by_what_was_refused(store: Store) -> None:
    await store.write(fill)
    cases: list[tuple[dict[str, Any], set[str]]] = [
        ({"task": "create"}, {FRESH.key, PARKED.key}),
        ({"task": "amend"}, set()),
        ({"behind": True}, {BEHIND.key}),
        ({"erp": "main", "state": "DELIVERED"}, {THERE.key, BEHIND.key}),
        ({"erp": "other"}, set()),
        ({"erp_state": "unknown", "asset": "M-07", "limit": 1}, {FRESH.key}),
    ]
    for wanted, found in cases:
        assert await store.read(lambda tx, wanted=wanted: keys(tx, **wanted)) == found, wanted
    await store.write(lambda tx: (tx.withdraw_order(THERE.key, "no", NOW), tx.withdraw_order(FRESH.key, "no", NOW)))
    assert await store.read(lambda tx: keys(tx, task="cancel")) == {THERE.key}
    assert await store.read(lambda tx: tx.order_counts()) == {
        "PARKED": 1, "WAITING": 1, "WITHDRAWN": 1, "DELIVERED": 1,
    }  # fmt: skip
    ended = StatusUpdate(key=BEHIND.key, number="2", status="Done", state="done")
    await store.write(lambda tx: tx.put_status(ended, NOW))
    assert await store.read(lambda tx: keys(tx, behind=True)) == set(), "the ERP has ended it: nothing is behind"


async def test_everything_set_aside_is_listed_and_put_back_once(store: Store) -> None:
    await store.write(fill_all)
    await store.write(put_aside)
    found = await store.read(parked.listed)
    assert ({one.name for one in found.items}, found.more) == (ALL, False)
    few = await store.read(lambda tx: parked.listed(tx, ("event",), 1))
    assert (len(few.items), few.more) == (1, True)
    before = await store.read(lambda tx: tx.held())
    for name in sorted(ALL):
        await store.write(lambda tx, name=name: parked.retry(tx, name, NOW, "test", "erp.press"))
        with pytest.raises(Missing):
            await store.write(lambda tx, name=name: parked.retry(tx, name, NOW, "test", "erp.press"))
    assert (await store.read(parked.listed)).items == ()
    now = await store.read(lambda tx: tx.held())
    assert (now.values, now.aside, before.aside) == (before.values + 1, 0, 1)
    back = await store.read(lambda tx: [number for number, each in tx.batches_after(0) if each.count])
    assert back == [1, 2]


async def test_what_is_given_up_is_gone_and_orders_are_not(store: Store) -> None:
    await store.write(fill_all)
    await store.write(put_aside)
    for name in sorted(ALL):
        if name.startswith(("order:", "change:")):
            with pytest.raises(Refused):
                await parked.drop(store, name, "by hand", lambda: NOW, "test")
        else:
            await parked.drop(store, name, "by hand", lambda: NOW, "test")
    left = await store.read(parked.listed)
    assert {one.kind for one in left.items} == {"order", "change"}
    assert await store.read(lambda tx: tx.held().aside) == 0
    told = await store.read(lambda tx: tx.audit_of("PO-1"))
    assert [(line.event, line.detail) for line in told] == [("production.dropped", "test: by hand")]
    assert await store.write(lambda tx: tx.redeliver_production("PO-1", "erp.press", NOW + timedelta(seconds=1)))
