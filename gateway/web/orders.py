"""Orders, and the episodes and diagnoses behind them."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

import msgspec
from litestar import Request, get
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, QueryParameter

from gateway.core.delivery import DeliveryState
from gateway.core.diagnosis import Diagnosis
from gateway.core.episode import Episode
from gateway.core.ports import StoredOrder
from gateway.runtime.gateway import Gateway
from gateway.web.auth import caller_of, reaches
from gateway.web.problems import Wrong
from gateway.web.reports import Limit

AssetName = Annotated[str | None, QueryParameter(max_length=128)]


class Orders(msgspec.Struct, frozen=True):
    """Orders, newest first."""

    items: Sequence[StoredOrder]


class Episodes(msgspec.Struct, frozen=True):
    """Episodes, newest first."""

    items: Sequence[Episode]


class Diagnoses(msgspec.Struct, frozen=True):
    """Diagnoses, newest first."""

    items: Sequence[Diagnosis]


@get("/orders", opt={"scope": "read", "reach": "asset"})
async def orders(
    gateway: NamedDependency[Gateway],
    delivery: Annotated[DeliveryState | None, QueryParameter(name="state")] = None,
    asset: AssetName = None,
    limit: Limit = 100,
) -> Orders:
    """List work orders with their delivery and the ERP's last word."""
    name = delivery.value if delivery is not None else None
    return Orders(await gateway.store.read(lambda tx: tx.orders(state=name, asset=asset, limit=limit)))


@get("/orders/{key:str}", opt={"scope": "read", "reach": "own"})
async def order(request: Request[Any, Any, Any], gateway: NamedDependency[Gateway], key: FromPath[str]) -> StoredOrder:
    """Show one work order. To a token for other lines it does not exist."""
    found = await gateway.store.read(lambda tx: tx.order(key))
    if found is None or not reaches(gateway, caller_of(request), found.order.asset):
        raise Wrong(404, "no such order")
    return found


@get("/episodes", opt={"scope": "read", "reach": "asset"})
async def episodes(
    gateway: NamedDependency[Gateway],
    asset: AssetName = None,
    live: FromQuery[Literal["true", "false"]] = "false",
    limit: Limit = 100,
) -> Episodes:
    """List troubles; `live=true` leaves out those that are over."""
    found = await gateway.store.read(lambda tx: tx.episodes(asset, live=live == "true", limit=limit))
    return Episodes(found)


@get("/diagnoses", opt={"scope": "read", "reach": "asset"})
async def diagnoses(gateway: NamedDependency[Gateway], asset: AssetName = None, limit: Limit = 100) -> Diagnoses:
    """List the verdicts on windows."""
    return Diagnoses(await gateway.store.read(lambda tx: tx.diagnoses(asset, limit=limit)))
