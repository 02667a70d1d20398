"""What a killed gateway had in its hands is taken up by the next one at once, where no other can be alive."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx2
import pytest
from msgspec.structs import replace

from connectors.erp.rest import Settings as Rest
from gateway.core.delivery import Delivery, DeliveryState
from gateway.core.order import WorkOrder
from gateway.core.ports import ErpAdapter, Store
from gateway.core.secret import SecretRef
from gateway.core.units import Duration
from gateway.flow.patience import Patience
from gateway.flow.reconcile import Reconciler
from gateway.flow.settle import Policy
from gateway.flow.takeup import ENDED, take_up
from gateway.runtime.settings import load, parse
from gateway.runtime.wiring import wire
from gateway.store.settings import Settings as StoreSettings
from tests.erp_process import SECRET, Erp, make_order, running_erp
from tests.postgres import Server, postgres
from tests.rig import launch, until

__all__ = ["postgres"]

CREATE = {"method": "POST", "path": "/api/orders"}
SETTLE = timedelta(seconds=20)
LEASE = timedelta(minutes=4)
NOW = datetime(2026, 11, 21, 8, 0, tzinfo=UTC)
POLICY = Policy(longest_wait=timedelta(seconds=4))
CONFIG = """
[site]
id = "SZ1"
[store]
path = "{folder}/store"
{url}
[api]
port = 0
anonymous = ["read", "reports:write"]
[language]
engine = "lite"
[[asset]]
id = "P-1"
aliases = ["pump 1"]
[erp.main]
protocol = "rest"
base_url = "{erp.url}"
token_url = "{erp.ready[token_url]}"
client_id = "{erp.ready[client_id]}"
client_secret = {{ env = "TEST_ERP_SECRET" }}
idempotency = "{idempotency}"
settle = "{settle}"
"""


@pytest.fixture(scope="module")
def _plant() -> Iterator[Erp]:
    with running_erp("--profile", "header") as erp:
        yield erp


@pytest.fixture
def plant(_plant: Erp, monkeypatch: pytest.MonkeyPatch) -> Erp:
    monkeypatch.setenv("TEST_ERP_SECRET", SECRET)
    _plant.faults()
    return _plant


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    store = StoreSettings(path=str(tmp_path / "store")).open()
    yield store
    await store.close()


def adapter(plant: Erp, idempotency: str, name: str = "main") -> ErpAdapter:
    return Rest(
        name=name,
        base_url=plant.url,
        token_url=plant.ready["token_url"],
        client_id=plant.ready["client_id"],
        client_secret=SecretRef(env="TEST_ERP_SECRET"),
        audience="erp",
        idempotency=idempotency,  # type: ignore[arg-type]  # one of a table of ours
        settle=Duration(SETTLE.total_seconds()),
    ).open()


async def put(store: Store, *orders: WorkOrder) -> None:
    for order in orders:
        await store.write(lambda tx, order=order: tx.put_order(order, "main", NOW))  # type: ignore[misc]


async def standing(store: Store, order: WorkOrder) -> Delivery:
    found = await store.read(lambda tx: tx.order(order.key))
    assert found is not None
    return found.delivery


async def test_what_was_on_its_way_is_in_doubt_at_once_and_ends_without_its_lease(store: Store, plant: Erp) -> None:
    erp, order, next_one = adapter(plant, "header"), make_order("died", asset="D-1"), make_order("next", asset="D-1")
    await put(store, order, next_one)
    await store.write(lambda tx: tx.claim("main", NOW, LEASE, 9))
    await erp.deliver([order])  # and the process is gone: nobody marks it
    at = NOW + timedelta(seconds=2)
    await take_up(store, erp, POLICY, lambda: at)
    left = await standing(store, order)
    assert (left.state, left.attempt, left.reason, left.lease_until) == (DeliveryState.UNCERTAIN, 1, ENDED, None)
    assert at <= left.due_at <= at + POLICY.longest_wait
    assert (await standing(store, next_one)).state is DeliveryState.WAITING
    at = left.due_at
    assert await Reconciler(store, erp, lambda: at, POLICY, Patience(lambda: at, POLICY.longest_wait)).step() == 1
    assert (await standing(store, order)).state is DeliveryState.DELIVERED
    assert plant.commits(order.key) == 1
    told = await store.read(lambda tx: [line.event for line in tx.audit() if line.subject in (order.key, "gateway")])
    assert told == ["order.uncertain", "gateway.took_up", "order.delivered"]
    await erp.close()


async def test_an_erp_that_is_asked_has_its_time_to_settle_first(store: Store, plant: Erp) -> None:
    erp, order = adapter(plant, "lookup"), make_order("settles", asset="S-1")
    await put(store, order)
    await store.write(lambda tx: tx.claim("main", NOW, LEASE, 9))
    at = NOW + timedelta(seconds=2)
    await take_up(store, erp, POLICY, lambda: at)
    assert (await standing(store, order)).due_at == at + SETTLE
    reconciler = Reconciler(store, erp, lambda: at, POLICY, Patience(lambda: at, POLICY.longest_wait))
    at += SETTLE - timedelta(seconds=1)
    assert await reconciler.step() == 0
    at += timedelta(seconds=1)
    assert await reconciler.step() == 1
    assert "not found" in (await standing(store, order)).reason
    await erp.close()


async def test_a_doubt_that_was_being_looked_into_is_looked_into_again_with_what_is_known(
    store: Store, plant: Erp
) -> None:
    erp, order = adapter(plant, "lookup"), make_order("looked", asset="L-1")
    await put(store, order)
    [claimed] = await store.write(lambda tx: tx.claim("main", NOW, LEASE, 9))
    known = "looked up once, not found (no answer)"
    doubt = replace(claimed.delivery, state=DeliveryState.UNCERTAIN, reason=known, lease_until=None)
    await store.write(lambda tx: tx.settle(claimed.delivery, doubt))
    assert await store.write(lambda tx: tx.claim_uncertain("main", NOW, LEASE, 9))
    at = NOW + timedelta(seconds=2)
    await take_up(store, erp, POLICY, lambda: at)
    left = await standing(store, order)
    assert (left.state, left.reason, left.due_at) == (DeliveryState.UNCERTAIN, known, at + SETTLE)
    assert left.lease_until is None
    await erp.close()


async def test_an_order_that_takes_its_process_down_each_time_ends_with_a_person(store: Store, plant: Erp) -> None:
    erp, order = adapter(plant, "header"), make_order("poison", asset="X-1")
    await put(store, order)
    clock = [NOW]
    await store.write(lambda tx: tx.claim("main", clock[0], LEASE, 9))
    for number in range(1, POLICY.doubts):
        await take_up(store, erp, POLICY, lambda: clock[0])
        left = await standing(store, order)
        assert (left.state, left.attempt) == (DeliveryState.UNCERTAIN, number)
        clock[0] = left.due_at
        assert await store.write(
            lambda tx: tx.claim_uncertain("main", clock[0], LEASE, 9)
        )  # and it sends it, and is gone
    await take_up(store, erp, POLICY, lambda: clock[0])
    reconciler = Reconciler(store, erp, lambda: clock[0], POLICY, Patience(lambda: clock[0], POLICY.longest_wait))
    for _ in range(2):
        clock[0] += POLICY.longest_wait
        await reconciler.step()
        clock[0] += SETTLE
    left = await standing(store, order)
    assert (left.state, "never arrived" in left.reason) == (DeliveryState.PARKED, True)
    assert plant.commits(order.key) == 0
    await erp.close()


async def test_what_is_for_another_erp_keeps_its_lease_and_without_an_erp_nothing_is_done(
    store: Store, plant: Erp
) -> None:
    erp, order = adapter(plant, "header", "mes"), make_order("other", asset="O-1")
    await put(store, order)
    await store.write(lambda tx: tx.claim("main", NOW, LEASE, 9))
    before = await standing(store, order)
    for one in (erp, None):
        await take_up(store, one, POLICY, lambda: NOW)
    assert await standing(store, order) == before
    assert await store.read(lambda tx: list(tx.audit())) == []
    await erp.close()


@pytest.mark.parametrize("shared", [False, pytest.param(True, marks=pytest.mark.postgres)])
async def test_only_on_a_store_of_its_own_does_a_gateway_end_the_leases_of_others(
    request: pytest.FixtureRequest, tmp_path: Path, plant: Erp, *, shared: bool
) -> None:
    server: Server | None = request.getfixturevalue("postgres") if shared else None
    url = "" if server is None else f'url = "{server.database()}"'
    settings = parse(CONFIG.format(folder=tmp_path, url=url, erp=plant, idempotency="header", settle="1s"))
    order = make_order("shared", asset="P-1")
    store = settings.store.open()
    now = datetime.now(UTC)
    await put(store, order)
    [claimed] = await store.write(lambda tx: tx.claim("main", now, LEASE, 9))
    async with wire(settings, asyncio.Event()):
        left = await standing(store, order)
    await store.close()
    if shared:  # its gateway may be alive on another machine
        assert left == claimed.delivery
    else:
        assert (left.state, left.reason) == (DeliveryState.UNCERTAIN, ENDED)


@pytest.mark.kill
async def test_after_kill_minus_9_an_order_on_its_way_is_delivered_in_seconds(tmp_path: Path, plant: Erp) -> None:
    config = tmp_path / "andon.toml"
    # Deadlines as they are by default: the lease is minutes long.
    config.write_text(CONFIG.format(folder=tmp_path, url="", erp=plant, idempotency="header", settle="1s"))
    command = ("gateway.cli.main", "up", "-c", str(config))
    plant.faults({"kind": "lost_hang", "seconds": 60, "count": 1, **CREATE})
    before = plant.state()["commits"]
    gateway = await launch(tmp_path / "one.log", *command)
    try:
        body = {"id": "r1", "text": "lot L77 burrs on 3 flanges", "reported_at": datetime.now(UTC).isoformat()}
        async with httpx2.AsyncClient(timeout=10) as http:
            assert (await http.post(f"{gateway.ready['url']}/api/v1/reports", json=body)).status_code == 202
        await plant.until(lambda state: len(state["commits"]) > len(before))
    finally:
        await gateway.kill()
    gateway = await launch(tmp_path / "two.log", *command)
    store = load(str(config)).store.open()

    async def delivered() -> bool:
        return await store.read(lambda tx: [str(one.delivery.state) for one in tx.orders()]) == ["DELIVERED"]

    try:
        await until(delivered, f"the order to be delivered\n{gateway.said()}", 20)
        assert await gateway.stop() == 0, gateway.said()
        [stored] = await store.read(lambda tx: tx.orders())
        assert plant.commits(stored.order.key) == 1
    finally:
        await store.close()
        await gateway.kill()
