"""Taking up what a gateway that is dead had in its hands, where the next one knows that no other is alive."""

from datetime import datetime

import structlog
from msgspec.structs import replace

from gateway.core.delivery import DeliveryState
from gateway.core.plural import plural
from gateway.core.ports import Clock, ErpAdapter, Store, Tx
from gateway.flow.settle import Policy, asks, doubtful

log: structlog.stdlib.BoundLogger = structlog.get_logger()

ENDED = "the gateway ended while it was sent"
_MOST = 10_000
"""More than can be in flight at once."""


async def take_up(store: Store, erp: ErpAdapter | None, policy: Policy, now: Clock) -> None:
    """End every lease in the store: nobody who holds one is alive. Only for who surely has the store alone.

    An order that was on its way is settled as one whose reply was lost just now: its request may still be under way,
    so what has to pass before it is asked for, or sent again, still passes. Orders for another ERP than this one keep
    their leases. Production orders are read back at once; events are sent again at once, under their ids.
    """
    at = now()

    def step(tx: Tx) -> tuple[int, int, int]:
        orders = 0 if erp is None else _orders(tx, erp, policy, at)
        productions, events = tx.free_productions(at), tx.free_events(at)
        if orders or productions or events:
            told = f"{plural(orders, 'order')}, {plural(productions, 'production order')} and {plural(events, 'event')}"
            tx.note("gateway.took_up", "gateway", at, f"{told} were in the hands of a gateway that ended")
        return orders, productions, events

    orders, productions, events = await store.write(step)
    if orders or productions or events:
        log.warning("gateway.took_up", orders=orders, productions=productions, events=events)


def _orders(tx: Tx, erp: ErpAdapter, policy: Policy, now: datetime) -> int:
    held = tx.leased(erp.name, _MOST)
    for delivery in held:
        tried, cause = delivery, ENDED
        if delivery.state is DeliveryState.UNCERTAIN:
            # Who looked into it may have asked once, which stands in the reason; or have sent the same once more. That
            # counts: an order that takes the process down each time must not do so for ever.
            again = 0 if asks(erp.capabilities) else 1
            tried, cause = replace(delivery, attempt=delivery.attempt + again), delivery.reason
        result = doubtful(tried, cause, erp.capabilities, policy, now)
        tx.settle(delivery, result.delivery)
        tx.note(result.event, delivery.key, now, result.detail)
    return len(held)
