"""The outbox: who may send which order, and what became of it."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import takewhile
from typing import Any

import msgspec
from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Connection,
    Integer,
    String,
    and_,
    bindparam,
    case,
    exists,
    func,
    insert,
    literal_column,
    null,
    or_,
    select,
    update,
)

from gateway.core.delivery import Delivery, DeliveryState
from gateway.core.order import WorkOrder
from gateway.core.ports import Claimed
from gateway.store.part import Part
from gateway.store.tables import order_versions, orders, outbox, unpack

LONGEST_WAIT = timedelta(hours=1)
"""No back-off and no lease is longer; a stored time further ahead was written by a clock that has since gone back."""

_SKEW = timedelta(minutes=1)
_FIELDS = Delivery.__struct_fields__
COLUMNS = tuple(outbox.c[name] for name in _FIELDS)
"""The columns of a `Delivery`, in its order."""
_NEW = and_(outbox.c.attempt == 0, outbox.c.erp_number.is_(None), outbox.c.withdraw == "")
"""Nothing of it ever left, and it is to be made: what can share a request."""


def _bound(name: str, kind: Any = None) -> BindParameter[Any]:
    return bindparam(f"new_{name}", type_=outbox.c[name].type if kind is None else kind)


# Written out: SQLite takes the index of those that wait only where it sees the word itself.
_WAITING = literal_column("'WAITING'", String)
_MOVED_ON = or_(
    outbox.c.version > bindparam("tried", type_=Integer),
    and_(bindparam("may_be_taken_back", type_=Integer) == 1, outbox.c.withdraw != ""),
)
_AGAIN = and_(bindparam("there", type_=Integer) == 1, _MOVED_ON)
# Made once: putting this statement together costs more than the database needs to carry it out.
_SETTLE = (
    update(outbox)
    .where(
        outbox.c.key == bindparam("of_key"),
        outbox.c.attempt == bindparam("of_attempt"),
        outbox.c.state == bindparam("of_state"),
        outbox.c.lease_until.is_not_distinct_from(bindparam("of_lease", type_=outbox.c.lease_until.type)),
    )
    .values(
        {
            "state": case((_AGAIN, DeliveryState.WAITING.value), else_=_bound("state")),
            "attempt": case((_AGAIN, 0), else_=_bound("attempt")),
            "since": case((_AGAIN, null()), else_=_bound("since")),
            "due_at": case((_AGAIN, _bound("updated_at")), else_=_bound("due_at")),
            "withdraw": case(
                (bindparam("stands_again", type_=Integer) == 1, _bound("withdraw")), else_=outbox.c.withdraw
            ),
            **{name: _bound(name) for name in ("lease_until", "reason", "erp_number", "updated_at", "sending", "sent")},
        }
    )
)


def _settlement(claimed: Delivery, settled: Delivery) -> dict[str, Any]:
    """Give the values that `_SETTLE` is carried out with."""
    flies = settled.state is DeliveryState.SENDING
    return {
        "of_key": claimed.key,
        "of_attempt": claimed.attempt,
        "of_state": claimed.state.value,
        "of_lease": claimed.lease_until,
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
    """Make a delivery of the values of `COLUMNS`."""
    row = dict(zip(_FIELDS, values, strict=True))
    return Delivery(**{**row, "state": DeliveryState(row["state"])})


def put_delivery(connection: Connection, delivery: Delivery) -> None:
    """Add the outbox row of an order."""
    connection.execute(insert(outbox), msgspec.structs.asdict(delivery))


class Outbox(Part):
    """Deliveries in lanes: per ERP and asset one order is in flight at most, the oldest first.

    A lane is held by its oldest WAITING order and by any that is SENDING or UNCERTAIN; DELIVERED and
    PARKED free it. A stored time is passed, too, when it lies more than `LONGEST_WAIT` ahead or the row
    was written after `now`: the clock has gone back, and waiting for it to catch up would be a stall.
    """

    def claim(
        self, erp: str, now: datetime, lease: timedelta, limit: int, depth: int = 1, *, new: bool = False
    ) -> list[Claimed]:
        """Take due orders for sending: SENDING, one attempt more, ours until `now + lease`.

        Of at most `limit` lanes the oldest, and with it up to `depth` in all that are new and stand right behind it.
        `new` takes only those of which nothing ever left, which can share a request.
        """
        ahead, flying = outbox.alias(), outbox.alias()
        heads = (
            select(func.min(ahead.c.number)).where(ahead.c.erp == erp, ahead.c.state == _WAITING).group_by(ahead.c.lane)
        )
        busy = select(flying.c.lane).where(
            flying.c.erp == erp, flying.c.state.in_((DeliveryState.SENDING, DeliveryState.UNCERTAIN))
        )
        free = and_(outbox.c.number.in_(heads), outbox.c.lane.not_in(busy))
        due = and_(outbox.c.erp == erp, outbox.c.state == DeliveryState.WAITING, _passed(outbox.c.due_at, now), free)
        if new:
            due = and_(due, _NEW)
        news = {
            "state": DeliveryState.SENDING,
            "attempt": outbox.c.attempt + 1,
            "lease_until": now + lease,
            "since": func.coalesce(outbox.c.since, now),
            # What an attempt may have taken along stays what is sent, until that attempt is settled.
            "sending": func.coalesce(outbox.c.sending, outbox.c.version),
            "due_at": now,
            "updated_at": now,
        }
        return self._take(due, limit, news, depth)

    def claim_uncertain(self, erp: str, now: datetime, lease: timedelta, limit: int) -> list[Claimed]:
        """Take due UNCERTAIN orders to ask the ERP about; they stay UNCERTAIN, ours until `now + lease`.

        Of each lane the oldest, for what never arrived is sent again.
        """
        unleased = or_(outbox.c.lease_until.is_(None), _passed(outbox.c.lease_until, now))
        ahead = outbox.alias()
        first = ~exists().where(
            ahead.c.erp == outbox.c.erp,
            ahead.c.lane == outbox.c.lane,
            ahead.c.state == DeliveryState.UNCERTAIN,
            ahead.c.number < outbox.c.number,
        )
        mine = and_(outbox.c.erp == erp, outbox.c.state == DeliveryState.UNCERTAIN, first)
        due = and_(mine, _passed(outbox.c.due_at, now), unleased)
        # The due time moves too: one that a clock ahead of ours wrote would come back when this lease ends.
        return self._take(due, limit, {"lease_until": now + lease, "due_at": now, "updated_at": now})

    def expire(self, now: datetime) -> int:
        """Make UNCERTAIN, and due, what is SENDING beyond its lease; gives how many."""
        late = and_(outbox.c.state == DeliveryState.SENDING, _passed(outbox.c.lease_until, now))
        news = {
            "state": DeliveryState.UNCERTAIN,
            "due_at": now,
            "lease_until": None,
            "reason": "the sender's lease ran out",
            "updated_at": now,
        }
        return self._db.execute(update(outbox).where(late).values(news)).rowcount

    def settle(self, claimed: Delivery, settled: Delivery) -> bool:
        """Write down what became of a claimed delivery; False when the claim is no longer ours (nothing changes).

        A lease is given up unless the delivery goes on SENDING. An order that was changed, or is to be taken back,
        since the claim waits again instead of being DELIVERED.
        """
        return self._db.execute(_SETTLE, _settlement(claimed, settled)).rowcount == 1

    def order_counts(self) -> dict[str, int]:
        """How many orders there are, by the state of their delivery."""
        look = select(outbox.c.state, func.count()).group_by(outbox.c.state)
        return {state: int(count) for state, count in self._db.execute(look)}

    def redeliver(self, key: str, now: datetime) -> bool:
        """Send a PARKED order again under the same key; False when it is not parked.

        Attempts go on counting and `since` stays: the ERP may still know the key from the first time. What is done to
        an order that is there may be done twice: it is counted anew. An order that is DELIVERED in an older version,
        because its change was refused, is changed again.
        """
        there = outbox.c.erp_number.is_not(None)
        news = {
            "state": DeliveryState.WAITING,
            "attempt": case((there, 0), else_=outbox.c.attempt),
            "since": case((there, null()), else_=outbox.c.since),
            "due_at": now,
            "lease_until": None,
            "reason": "",
            "updated_at": now,
        }
        behind = and_(outbox.c.state == DeliveryState.DELIVERED, outbox.c.sent < outbox.c.version)
        which = and_(outbox.c.key == key, or_(outbox.c.state == DeliveryState.PARKED, behind))
        return self._db.execute(update(outbox).where(which).values(news)).rowcount == 1

    def _take(self, which: ColumnElement[bool], limit: int, news: dict[str, Any], depth: int = 1) -> list[Claimed]:
        look = (
            select(outbox.c.number, outbox.c.lane, outbox.c.erp, _NEW.label("new"))
            .where(which)
            .order_by(outbox.c.number)
            .limit(limit)
            .with_for_update(skip_locked=True, of=outbox)
        )
        heads = self._db.execute(look).all()
        if not heads:
            return []
        numbers = [number for number, *_ in heads]
        if depth > 1:
            for number, lane, erp, is_new in heads:
                numbers += self._behind(number, lane, erp, depth - 1) if is_new else []
        self._db.execute(update(outbox).where(outbox.c.number.in_(numbers)).values(news))
        sending, sent = order_versions.alias(), order_versions.alias()
        taken = (
            select(func.coalesce(sending.c.body, orders.c.body), func.coalesce(sent.c.body, orders.c.body), *COLUMNS)
            .join(outbox, outbox.c.key == orders.c.key)
            .outerjoin(sending, and_(sending.c.key == outbox.c.key, sending.c.version == outbox.c.sending))
            .outerjoin(sent, and_(sent.c.key == outbox.c.key, sent.c.version == outbox.c.sent))
            .where(outbox.c.number.in_(numbers))
            .order_by(outbox.c.number)
        )
        return [_claimed(row) for row in self._db.execute(taken)]

    def _behind(self, number: int, lane: str, erp: str, limit: int) -> list[int]:
        """Give the numbers of the orders right behind one in its lane, as far as nothing of them ever left."""
        look = (
            select(outbox.c.number, _NEW.label("new"))
            .where(
                outbox.c.erp == erp,
                outbox.c.lane == lane,
                outbox.c.state == DeliveryState.WAITING,
                outbox.c.number > number,
            )
            .order_by(outbox.c.number)
            .limit(limit)
            .with_for_update(of=outbox)
        )
        return [row.number for row in takewhile(lambda row: row.new, self._db.execute(look))]


def _claimed(row: Sequence[Any]) -> Claimed:
    body, sent, *values = row
    delivery = delivery_of(values)
    has = None if delivery.sent is None else unpack(sent, WorkOrder)
    return Claimed(delivery, unpack(body, WorkOrder), has)


def _passed(column: ColumnElement[datetime], now: datetime) -> ColumnElement[bool]:
    return or_(column <= now, column > now + LONGEST_WAIT, outbox.c.updated_at > now + _SKEW)
