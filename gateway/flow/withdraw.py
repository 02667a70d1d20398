"""Withdrawal: a person takes an order back."""

import re
from datetime import datetime
from functools import partial

import msgspec

from gateway.core.delivery import DeliveryState
from gateway.core.errors import Missing, Refused
from gateway.core.ports import Clock, Store, StoredOrder, Tx
from gateway.core.status import OVER
from gateway.flow.ruling import Ruling, rule
from gateway.flow.takes_back import Closed, needs_the_erp, open_to_it

_CONTROL = re.compile(r"[\x00-\x1f\x7f\x85\u2028\u2029]+")
_LONGEST = 200


class Withdrawn(msgspec.Struct, frozen=True):
    """An order that is taken back. `state` is that of its delivery: WITHDRAWN, or the ERP has yet to be told."""

    key: str
    state: DeliveryState
    reason: str


async def withdraw(
    store: Store,
    key: str,
    reason: str,
    actor: str,
    now: Clock,
    *,
    ruling: Ruling = "false",
    closed: Closed = open_to_it,
) -> Withdrawn:
    """Take an order back, in one transaction with its audit line and what it makes of the trouble.

    What nothing of was sent yet is WITHDRAWN at once; else the ERP is asked to cancel it, and may refuse because
    somebody has begun. `reason` goes to the ERP. Asked again, it gives the first answer. Raises `Missing` without
    such an order, `Refused` when the reason is empty, when the ERP has ended the order, and when it has the order and
    `closed` says of it, by its name, why nothing is taken back there.
    """
    told = _CONTROL.sub(" ", reason).strip()[:_LONGEST]
    if not told:
        raise Refused("say why the order is taken back: the reason goes to the ERP")
    return await store.write(partial(_step, key=key, reason=told, actor=actor, at=now(), ruling=ruling, closed=closed))


def may_be_taken_back(held: StoredOrder, closed: Closed = open_to_it) -> bool:
    """Say whether an order stands, and can be taken back: nobody did, the ERP has not ended it, and it takes some."""
    way = held.delivery
    if needs_the_erp(held) and closed(way.erp):
        return False
    return not way.withdraw and way.state is not DeliveryState.WITHDRAWN and held.erp_state not in OVER


def _step(tx: Tx, *, key: str, reason: str, actor: str, at: datetime, ruling: Ruling, closed: Closed) -> Withdrawn:
    stored = tx.order(key)
    if stored is None:
        raise Missing(f"no order {key}")
    if stored.delivery.withdraw:
        return Withdrawn(key, stored.delivery.state, stored.delivery.withdraw)
    if needs_the_erp(stored) and (why := closed(stored.delivery.erp)):
        raise Refused(why)
    if not tx.withdraw_order(key, reason, at):
        raise Refused(f"order {key} has come to its end in the ERP: {stored.erp_status or stored.erp_state}")
    tx.note("order.taken_back", key, at, f"{actor}: {reason}"[:_LONGEST])
    rule(tx, key, ruling, at, actor)
    after = tx.order(key) or stored
    return Withdrawn(key, after.delivery.state, reason)
