"""Production orders coming in: each stored once, on its way to the line, with a line in the audit trail."""

from collections.abc import Sequence

import msgspec

from gateway.core.delivery import ProductionOrder
from gateway.core.errors import Conflict
from gateway.core.ports import Clock, Store, Tx


class TakenOrder(msgspec.Struct, frozen=True):
    """A production order that is on disk. `repeated` is not part of the answer: it is the same both times."""

    order: ProductionOrder
    repeated: bool


async def take_production_orders(
    store: Store, orders: Sequence[ProductionOrder], actor: str, now: Clock, to: str = ""
) -> list[TakenOrder]:
    """Store production orders, all or none, once per `order_id`, on their way to `to` when somebody is named.

    Raises `Conflict` when an id stands for another order.
    """
    at = now()

    def take(tx: Tx, order: ProductionOrder) -> TakenOrder:
        if tx.put_production_order(order, at, to):
            tx.note("production.taken", order.order_id, at, actor)
            return TakenOrder(order, repeated=False)
        if tx.production_order(order.order_id) != order:
            raise Conflict(f"production order {order.order_id} already says something else")
        return TakenOrder(order, repeated=True)

    return await store.write(lambda tx: [take(tx, order) for order in orders])
