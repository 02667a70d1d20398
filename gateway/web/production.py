"""Production orders from the ERP."""

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any, Literal

import msgspec
from litestar import Request, Response, get, post
from litestar.di import NamedDependency

from gateway.core.delivery import ProductionOrder
from gateway.flow.receive import take_production_order
from gateway.runtime.gateway import Gateway
from gateway.web.auth import caller_of
from gateway.web.bodies import read
from gateway.web.problems import FieldFault, Wrong
from gateway.web.reports import Limit

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


@post(
    "/production/order",
    status_code=202,
    opt={"scope": "production:write", "reach": "everywhere", "once": "again", "body": ProductionOrder},
)
async def take(request: Request[Any, Any, Any], gateway: NamedDependency[Gateway]) -> Response[ProductionTaken]:
    """Take a production order in, once per `order_id`. The same order again gives the same answer."""
    order = await read(request, ProductionOrder, limit=gateway.api.max_body)
    _check_date(order.due_date)
    kept = await take_production_order(gateway.store, order, caller_of(request).subject, gateway.now)
    answer = ProductionTaken(order.order_id, order.material_code, order.quantity, order.due_date)
    return Response(answer, status_code=202, headers={"Idempotent-Replayed": "true"} if kept.repeated else None)


@get("/production/orders", opt={"scope": "read", "reach": "everywhere"})
async def taken(gateway: NamedDependency[Gateway], limit: Limit = 100) -> ProductionOrders:
    """List the production orders that the ERP sent."""
    return ProductionOrders(await gateway.store.read(lambda tx: tx.production_orders(limit)))


def _check_date(text: str) -> None:
    try:
        date.fromisoformat(text) if len(text) == _DATE_LENGTH else datetime.fromisoformat(text)
    except ValueError as bad:
        fault = FieldFault("due_date", "there is no such day or time")
        raise Wrong(400, "the request is not as it should be", (fault,)) from bad
