"""Redelivery: a parked order, or a change that was refused, goes out once more under the same key."""

from datetime import datetime

import msgspec

from gateway.core.delivery import DeliveryState
from gateway.core.errors import Missing
from gateway.core.ports import StoredOrder, Tx


class SentAgain(msgspec.Struct, frozen=True):
    """An order after it was asked for again. `again` is False when it was on its way, or is as the ERP has it."""

    order: StoredOrder
    again: bool


def send_again(tx: Tx, key: str, at: datetime, actor: str = "") -> SentAgain:
    """Let an order wait again that is PARKED, or DELIVERED in an older version. Raises `Missing` without such an order.

    Never a second order: the key stays, and an ERP that may know it is asked first.
    """
    if tx.order(key) is None:
        raise Missing(f"no order {key}")
    again = tx.redeliver(key, at)
    if again:
        tx.note("order.redelivered", key, at, actor)
    held = tx.order(key)
    if held is None:
        raise Missing(f"no order {key}")
    return SentAgain(held, again)


def may_go_again(held: StoredOrder) -> bool:
    """Say whether `send_again` has something to send: what is parked, or a change that was refused."""
    way = held.delivery
    behind = way.state is DeliveryState.DELIVERED and way.sent is not None and way.sent < way.version
    return way.state is DeliveryState.PARKED or behind


def on_its_way(held: StoredOrder) -> bool:
    """Say whether a delivery goes on by itself."""
    return held.delivery.state in (DeliveryState.WAITING, DeliveryState.SENDING, DeliveryState.UNCERTAIN)
