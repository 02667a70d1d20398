"""The outbox: who may send which order, and what became of it."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import takewhile
from typing import Any

import msgspec
from sqlalchemy import (
    Connection,
    Update,
    and_,
    case,
    func,
    insert,
    null,
    or_,
    select,
    update,
)

from gateway.core.delivery import Delivery, DeliveryState
from gateway.core.order import WorkOrder
from gateway.core.ports import Claimed
from gateway.store import claims
from gateway.store.clock import times
from gateway.store.documents import unpack
from gateway.store.part import Part
from gateway.store.tables import outbox

_SURE = {DeliveryState.DELIVERED, DeliveryState.WITHDRAWN}


def _settlement(claimed: Delivery, settled: Delivery) -> dict[str, Any]:
    """Give the values that `claims.SETTLE` is carried out with."""
    flies = settled.state is DeliveryState.SENDING
    return {
        "of_key": claimed.key,
        "of_attempt": claimed.attempt,
        "of_state": claimed.state.value,
        "of_lease": claimed.lease_until,
        "sure": claimed.state is DeliveryState.SENDING and settled.state in _SURE,
        "there": settled.state is DeliveryState.DELIVERED,
        "tried": claimed.sending if claimed.sending is not None else claimed.version,
        "may_be_taken_back": claimed.task != "cancel",
        "stands_again": settled.withdraw != claimed.withdraw,
        "new_state": settled.state.value,
        "new_attempt": settled.attempt,
        "new_since": settled.since,
        "new_due_at": settled.due_at,
        "new_withdraw": settled.withdraw,
        "new_lease_until": settled.lease_until if flies else None,
        "new_reason": settled.reason,
        "new_erp_number": settled.erp_number,
        "new_updated_at": settled.updated_at or claimed.updated_at or settled.due_at,
        "new_sending": settled.sending,
        "new_sent": settled.sent,
    }


def delivery_of(values: Sequence[Any]) -> Delivery:
    """Make a delivery of the values of `claims.COLUMNS`."""
    row = dict(zip(claims.FIELDS, values, strict=True))
    return Delivery(**{**row, "state": DeliveryState(row["state"])})


def put_delivery(connection: Connection, delivery: Delivery) -> None:
    """Add the outbox row of an order."""
    connection.execute(insert(outbox), msgspec.structs.asdict(delivery))


class Outbox(Part):
    """Deliveries in lanes: per ERP and asset one order is in flight at most, the oldest first.

    A lane is held by its oldest WAITING order and by any that is SENDING or UNCERTAIN; DELIVERED and
    PARKED free it. A stored time is passed, too, when it lies more than `clock.LONGEST_WAIT` ahead or the row
    was written after `now`: the clock has gone back, and waiting for it to catch up would be a stall.
    """

    def claim(
        self, erp: str, now: datetime, lease: timedelta, limit: int, depth: int = 1, *, new: bool = False
    ) -> list[Claimed]:
        """Take due orders for sending: SENDING, one attempt more, ours until `now + lease`.

        Of at most `limit` lanes the oldest, and with it up to `depth` in all that are new and stand right behind it.
        `new` takes only those of which nothing ever left, which can share a request.
        """
        given = {"erp": erp, "limit": limit, **times(now)}
        heads = self._db.execute(claims.NEW_HEADS if new else claims.HEADS, given).all()
        numbers = [number for number, *_ in heads]
        if depth > 1:
            for number, lane, is_new in heads:
                numbers += self._behind(number, lane, erp, depth - 1) if is_new else []
        return self._taken(numbers, claims.SEND, {"now": now, "lease": now + lease})

    def claim_uncertain(self, erp: str, now: datetime, lease: timedelta, limit: int) -> list[Claimed]:
        """Take due UNCERTAIN orders to ask the ERP about; they stay UNCERTAIN, ours until `now + lease`.

        Of each lane the oldest, for what never arrived is sent again.
        """
        given = {"erp": erp, "limit": limit, **times(now)}
        numbers = list(self._db.execute(claims.DOUBTFUL, given).scalars())
        return self._taken(numbers, claims.ASK, {"now": now, "lease": now + lease})

    def expire(self, now: datetime) -> int:
        """Make UNCERTAIN, and due, what is SENDING beyond its lease; gives how many."""
        return self._db.execute(claims.EXPIRE, times(now)).rowcount

    def leased(self, erp: str, limit: int) -> list[Delivery]:
        """Give what somebody holds, the oldest first: what is SENDING, and what is UNCERTAIN and being looked into."""
        looked_into = and_(outbox.c.state == DeliveryState.UNCERTAIN, outbox.c.lease_until.is_not(None))
        held = and_(outbox.c.erp == erp, or_(outbox.c.state == DeliveryState.SENDING, looked_into))
        look = select(*claims.COLUMNS).where(held).order_by(outbox.c.number).limit(limit)
        return [delivery_of(row) for row in self._db.execute(look)]

    def settle(self, claimed: Delivery, settled: Delivery) -> bool:
        """Write down what became of a claimed delivery; False when the claim is no longer ours (nothing changes).

        A lease is given up unless the delivery goes on SENDING. An order that was changed, or is to be taken back,
        since the claim waits again instead of being DELIVERED. Where a lease has ended and nobody asks yet, that an
        order is there, or was taken back, is true all the same.
        """
        return self._db.execute(claims.SETTLE, _settlement(claimed, settled)).rowcount == 1

    def order_counts(self) -> dict[str, int]:
        """How many orders there are, by the state of their delivery."""
        look = select(outbox.c.state, func.count()).group_by(outbox.c.state)
        return {state: int(count) for state, count in self._db.execute(look)}

    def redeliver(self, key: str, now: datetime) -> bool:
        """Send a PARKED order again under the same key; False when it is not parked.

        Attempts go on counting and `since` stays: the ERP may still know the key from the first time. What is done to
        an order that is there may be done twice: it is counted anew, from one where it may be done already: that must
        not be forgotten when the next attempt surely has no effect. An order that is DELIVERED in an older version,
        because its change was refused, is changed again.
        """
        there, begun = outbox.c.erp_number.is_not(None), outbox.c.sending.is_not(None)
        news = {
            "state": DeliveryState.WAITING,
            "attempt": case((and_(there, begun), 1), (there, 0), else_=outbox.c.attempt),
            "since": case((there, null()), else_=outbox.c.since),
            "due_at": now,
            "lease_until": None,
            "reason": "",
            "updated_at": now,
        }
        behind = and_(outbox.c.state == DeliveryState.DELIVERED, outbox.c.sent < outbox.c.version)
        which = and_(outbox.c.key == key, or_(outbox.c.state == DeliveryState.PARKED, behind))
        return self._db.execute(update(outbox).where(which).values(news)).rowcount == 1

    def _taken(self, numbers: Sequence[int], how: Update, given: dict[str, Any]) -> list[Claimed]:
        """Mark these rows, and give them with their orders, the oldest first."""
        if not numbers:
            return []
        self._db.execute(how, {"numbers": numbers, **given})
        return [_claimed(row) for row in self._db.execute(claims.TAKEN, {"numbers": numbers})]

    def _behind(self, number: int, lane: str, erp: str, limit: int) -> list[int]:
        """Give the numbers of the orders right behind one in its lane, as far as nothing of them ever left."""
        behind = self._db.execute(claims.BEHIND, {"erp": erp, "lane": lane, "number": number, "limit": limit})
        return [row.number for row in takewhile(lambda row: row.new, behind)]


def _claimed(row: Sequence[Any]) -> Claimed:
    body, sent, *values = row
    delivery = delivery_of(values)
    has = None if delivery.sent is None else unpack(sent, WorkOrder)
    return Claimed(delivery, unpack(body, WorkOrder), has)
