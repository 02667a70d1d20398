"""An order sent again, and one taken back: what a planner does to an order from outside."""

from typing import Annotated, Any, Literal

import msgspec
from litestar import Request, post
from litestar.di import NamedDependency
from litestar.params import FromPath

from gateway.core.delivery import DeliveryState
from gateway.core.errors import Conflict, Missing
from gateway.core.ports import StoredOrder, Tx
from gateway.flow.redeliver import SentAgain, on_its_way, send_again
from gateway.flow.withdraw import withdraw
from gateway.runtime.gateway import Gateway
from gateway.web.auth import caller_of, reaches
from gateway.web.bodies import read
from gateway.web.problems import Wrong


class Cancellation(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Why an order is taken back; the reason goes to the ERP, so no person's name belongs in it.

    `false`: there was no trouble. `cancelled`: there was, and nobody shall work on it.
    """

    reason: Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
    ruling: Literal["false", "cancelled"] = "false"


class OrderStands(msgspec.Struct, frozen=True):
    """How an order's delivery stands now. `task` is what has to be done next, "" when nothing has.

    `version` is the newest, `sent` the one that the ERP has.
    """

    key: str
    state: DeliveryState
    task: Literal["", "create", "amend", "cancel", "drop"]
    version: int
    sent: int | None
    erp_number: str | None
    reason: str


@post("/orders/{key:str}/redeliver", status_code=200, opt={"scope": "orders:write", "reach": "own", "once": "again"})
async def redeliver(
    request: Request[Any, Any, Any], gateway: NamedDependency[Gateway], key: FromPath[str]
) -> OrderStands:
    """Send a parked order once more under its key, or a change that the ERP refused. One on its way stays as it is."""
    actor = caller_of(request).subject or "anonymous"

    def step(tx: Tx) -> SentAgain:
        _seen(gateway, request, tx.order(key))
        done = send_again(tx, key, gateway.now(), actor)
        if not done.again and not on_its_way(done.order):
            raise Conflict(f"order {key} is {done.order.delivery.state}: there is nothing to send again")
        return done

    done = await gateway.store.write(step)
    gateway.wake_delivery()
    return _stands(done.order)


@post(
    "/orders/{key:str}/cancel",
    status_code=200,
    opt={"scope": "orders:write", "reach": "own", "once": "again", "body": Cancellation},
)
async def cancel(request: Request[Any, Any, Any], gateway: NamedDependency[Gateway], key: FromPath[str]) -> OrderStands:
    """Take an order back. What was never sent is dropped; else the ERP is asked to cancel it, and may refuse.

    422 when the ERP has ended the order, and when it takes no order back at all.

    The same again gives the first answer.
    """
    asked = await read(request, Cancellation, limit=gateway.api.max_body)
    _seen(gateway, request, await gateway.store.read(lambda tx: tx.order(key)))
    actor = caller_of(request).subject or "anonymous"
    closed = gateway.takes_nothing_back
    await withdraw(gateway.store, key, asked.reason, actor, gateway.now, ruling=asked.ruling, closed=closed)
    gateway.wake_delivery()
    held = await gateway.store.read(lambda tx: tx.order(key))
    if held is None:
        raise Missing(f"no order {key}")
    return _stands(held)


def _seen(gateway: Gateway, request: Request[Any, Any, Any], held: StoredOrder | None) -> None:
    """Raise `Wrong` 404 for an order that is not there, or not for this caller."""
    if held is None or not reaches(gateway, caller_of(request), held.order.asset):
        raise Wrong(404, "no such order")


def _stands(held: StoredOrder) -> OrderStands:
    way = held.delivery
    rests = way.state in (DeliveryState.DELIVERED, DeliveryState.WITHDRAWN)
    task = "" if rests else way.task
    return OrderStands(held.order.key, way.state, task, way.version, way.sent, way.erp_number, way.reason)
