"""Production orders from the ERP, in the plain form: taken in, and how they stand."""

from collections.abc import Sequence
from datetime import date, datetime
from pathlib import Path
from typing import Any, Literal
from urllib.parse import unquote

import msgspec
from litestar import Request, Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath

from gateway.core.delivery import A_DATE, ProductionOrder
from gateway.core.production import KEPT, JobState, Standing, StoredProduction
from gateway.core.reading import Moment
from gateway.flow.production import take_production_orders
from gateway.runtime.gateway import Gateway
from gateway.web.auth import caller_of
from gateway.web.bodies import read
from gateway.web.problems import FieldFault, Wrong
from gateway.web.reports import Limit

_ORDERS = "/production/orders"
_DATE_LENGTH = 10


class ProductionTaken(msgspec.Struct, frozen=True):
    """The production order is on disk."""

    order_id: str
    material_code: str
    quantity: float
    due_date: str
    status: Literal["accepted"] = "accepted"


class ProductionOrders(msgspec.Struct, frozen=True):
    """Production orders, newest first."""

    items: Sequence[ProductionOrder]


class ProductionNow(msgspec.Struct, frozen=True):
    """A production order as it stands. `state` is KEPT when it is handed to nobody; `job` is the line's own word."""

    order: ProductionOrder
    received_at: Moment
    state: Standing
    to: str = ""
    attempts: int = 0
    reason: str = ""
    job: JobState = ""
    job_at: Moment | None = None
    updated_at: Moment | None = None


@post(
    "/production/order",
    status_code=202,
    opt={"scope": "production:write", "reach": "everywhere", "once": "again", "body": ProductionOrder},
)
async def take(request: Request[Any, Any, Any], gateway: NamedDependency[Gateway]) -> Response[ProductionTaken]:
    """Take a production order in, once per `order_id`. The same order again gives the same answer."""
    order = await read(request, ProductionOrder, limit=gateway.api.max_body)
    check_date("due_date", order.due_date)
    if order.start_date is not None:
        check_date("start_date", order.start_date)
    actor = caller_of(request).subject
    [kept] = await take_production_orders(gateway.store, [order], actor, gateway.now, gateway.produce_to)
    gateway.wake_production()
    answer = ProductionTaken(order.order_id, order.material_code, order.quantity, order.due_date)
    return Response(answer, status_code=202, headers={"Idempotent-Replayed": "true"} if kept.repeated else None)


@get(_ORDERS, opt={"scope": "read", "reach": "everywhere"})
async def taken(gateway: NamedDependency[Gateway], limit: Limit = 100) -> ProductionOrders:
    """List the production orders that the ERP sent."""
    return ProductionOrders(await gateway.store.read(lambda tx: tx.production_orders(limit)))


@get(f"{_ORDERS}/{{order_id:path}}", opt={"scope": "read", "reach": "everywhere"})
async def standing(
    request: Request[Any, Any, Any], gateway: NamedDependency[Gateway], order_id: FromPath[Path]
) -> ProductionNow:
    """Show one production order, whether the line has it, and what the line made of it."""
    del order_id  # without the slashes that an id may begin or end with
    return now_of(await stored(gateway, after(request, _ORDERS)))


def after(request: Request[Any, Any, Any], route: str) -> str:
    """Give what stands in the address behind a route: ids of ERPs have slashes in them."""
    address = request.scope["raw_path"].decode("ascii", "replace")
    return unquote(address.partition(f"{route}/")[2])


async def stored(gateway: Gateway, order_id: str) -> StoredProduction:
    """Give a production order. Raises `Wrong` 404 without one."""
    found = await gateway.store.read(lambda tx: tx.production(order_id))
    if found is None:
        raise Wrong(404, "no such production order")
    return found


def now_of(held: StoredProduction) -> ProductionNow:
    """Give a production order as it stands."""
    one = held.handover
    if one is None or not one.to:
        return ProductionNow(held.order, held.received_at, KEPT)
    return ProductionNow(
        held.order,
        held.received_at,
        held.standing,
        to=one.to,
        attempts=one.attempt,
        reason=one.reason,
        job=one.job,
        job_at=one.job_at,
        updated_at=one.updated_at,
    )


def check_date(field: str, text: str) -> None:
    """Raise `Wrong` 400 for a day or a time that there is not."""
    try:
        date.fromisoformat(text) if len(text) == _DATE_LENGTH else datetime.fromisoformat(text)
    except ValueError as bad:
        fault = FieldFault(field, f"there is no such day or time: write it as {A_DATE}")
        raise Wrong(400, "the request is not as it should be", (fault,)) from bad
