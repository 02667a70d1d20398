"""How long a key is known: thirty days without a setting, and what was never answered no longer."""

from datetime import timedelta
from pathlib import Path

from gateway.flow.retain import Bounds, Retention
from gateway.runtime.making import bounds_of
from gateway.runtime.settings import parse
from tests.integration.edge_rig import PRODUCTION, Edge, bearer, serving

ORDER = "/api/v1/production/order"
OTHER = PRODUCTION | {"order_id": "PO-2"}


def keyed() -> dict[str, str]:
    return bearer("production:write") | {"Idempotency-Key": '"order-0001"'}


async def retained(edge: Edge, bounds: Bounds, days: float) -> None:
    """Look after the store as the gateway does, that many days from now."""
    at = edge.gateway.now() + timedelta(days=days)
    await Retention(edge.gateway.store, bounds, lambda: at, lambda _: None).look()


async def test_a_key_is_known_for_thirty_days_and_new_after_them(tmp_path: Path) -> None:
    bounds = bounds_of(parse(""))
    assert bounds.keep_inbox == timedelta(days=30)
    async with serving(tmp_path) as edge:
        assert (await edge.client.post(ORDER, json=PRODUCTION, headers=keyed())).status_code == 202
        await retained(edge, bounds, 29.9)
        again = await edge.client.post(ORDER, json=PRODUCTION, headers=keyed())
        other = await edge.client.post(ORDER, json=OTHER, headers=keyed())
        assert (again.status_code, other.status_code) == (202, 422)
        assert again.headers["idempotent-replayed"] == "true"
        await retained(edge, bounds, 30.1)
        fresh = await edge.client.post(ORDER, json=OTHER, headers=keyed())
        assert fresh.status_code == 202 and "idempotent-replayed" not in fresh.headers
        assert (await edge.written())[1] == 2


async def test_what_the_key_did_is_not_undone_when_it_is_forgotten(tmp_path: Path) -> None:
    async with serving(tmp_path) as edge:
        assert (await edge.client.post(ORDER, json=PRODUCTION, headers=keyed())).status_code == 202
        await retained(edge, bounds_of(parse("")), 31)
        again = await edge.client.post(ORDER, json=PRODUCTION, headers=keyed())
        changed = await edge.client.post(ORDER, json=PRODUCTION | {"quantity": 7}, headers=bearer("production:write"))
        assert (again.status_code, changed.status_code) == (202, 409)
        assert (await edge.written())[1] == 1
