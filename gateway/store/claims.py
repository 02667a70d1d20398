"""The statements that take rows of the outbox and write down what became of them.

Made once: putting such a statement together costs more than the database needs to carry it out.
"""

from datetime import datetime
from typing import Any

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Integer,
    Select,
    String,
    and_,
    bindparam,
    case,
    exists,
    func,
    literal_column,
    null,
    or_,
    select,
    update,
)

from gateway.core.delivery import Delivery, DeliveryState
from gateway.store.clock import passed
from gateway.store.tables import order_versions, orders, outbox

FIELDS = Delivery.__struct_fields__
COLUMNS = tuple(outbox.c[name] for name in FIELDS)
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
_OURS = and_(
    outbox.c.state == bindparam("of_state"),
    outbox.c.lease_until.is_not_distinct_from(bindparam("of_lease", type_=outbox.c.lease_until.type)),
)
# A clock that was set ended the lease during the request: what the ERP has answered is true all the same.
_ENDED_EARLY = and_(
    bindparam("sure", type_=Integer) == 1,
    outbox.c.state.in_((DeliveryState.UNCERTAIN, DeliveryState.PARKED)),
    outbox.c.lease_until.is_(None),
)
SETTLE = (
    update(outbox)
    .where(
        outbox.c.key == bindparam("of_key"),
        outbox.c.attempt == bindparam("of_attempt"),
        or_(_OURS, _ENDED_EARLY),
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


def _passed(column: ColumnElement[datetime]) -> ColumnElement[bool]:
    """Say whether a stored time is over; carried out with `clock.times`."""
    return passed(column, outbox.c.updated_at, now=_NOW, far=_FAR, ahead=_AHEAD)


def _heads(*more: ColumnElement[bool]) -> Select[Any]:
    """The oldest that waits in each lane, where nothing is in flight or in doubt."""
    ahead, flying = outbox.alias(), outbox.alias()
    oldest = select(func.min(ahead.c.number)).where(ahead.c.erp == _ERP, ahead.c.state == _WAITING)
    busy = select(flying.c.lane).where(
        flying.c.erp == _ERP, flying.c.state.in_((DeliveryState.SENDING, DeliveryState.UNCERTAIN))
    )
    return (
        select(outbox.c.number, outbox.c.lane, _NEW.label("new"))
        .where(
            outbox.c.erp == _ERP,
            outbox.c.state == DeliveryState.WAITING,
            _passed(outbox.c.due_at),
            outbox.c.number.in_(oldest.group_by(ahead.c.lane)),
            outbox.c.lane.not_in(busy),
            *more,
        )
        .order_by(outbox.c.number)
        .limit(_LIMIT)
        .with_for_update(skip_locked=True, of=outbox)
    )


def _doubtful() -> Select[Any]:
    """The oldest in doubt of each lane, where nobody asks about it."""
    ahead = outbox.alias()
    older = exists().where(
        ahead.c.erp == outbox.c.erp,
        ahead.c.lane == outbox.c.lane,
        ahead.c.state == DeliveryState.UNCERTAIN,
        ahead.c.number < outbox.c.number,
    )
    return (
        select(outbox.c.number)
        .where(
            outbox.c.erp == _ERP,
            outbox.c.state == DeliveryState.UNCERTAIN,
            ~older,
            _passed(outbox.c.due_at),
            or_(outbox.c.lease_until.is_(None), _passed(outbox.c.lease_until)),
        )
        .order_by(outbox.c.number)
        .limit(_LIMIT)
        .with_for_update(skip_locked=True, of=outbox)
    )


def _orders() -> Select[Any]:
    """Rows with the order as it is to be sent, and as the ERP has it."""
    sending, sent = order_versions.alias(), order_versions.alias()
    return (
        select(func.coalesce(sending.c.body, orders.c.body), func.coalesce(sent.c.body, orders.c.body), *COLUMNS)
        .join(outbox, outbox.c.key == orders.c.key)
        .outerjoin(sending, and_(sending.c.key == outbox.c.key, sending.c.version == outbox.c.sending))
        .outerjoin(sent, and_(sent.c.key == outbox.c.key, sent.c.version == outbox.c.sent))
        .where(_THESE)
        .order_by(outbox.c.number)
    )


_TIME = outbox.c.due_at.type
_NOW, _FAR, _AHEAD, _LEASE = (bindparam(name, type_=_TIME) for name in ("now", "far", "ahead", "lease"))
_ERP, _LIMIT = bindparam("erp", type_=String), bindparam("limit", type_=Integer)
_THESE = outbox.c.number.in_(bindparam("numbers", expanding=True))
HEADS, NEW_HEADS, DOUBTFUL, TAKEN = _heads(), _heads(_NEW), _doubtful(), _orders()
BEHIND = (
    select(outbox.c.number, _NEW.label("new"))
    .where(
        outbox.c.erp == _ERP,
        outbox.c.lane == bindparam("lane"),
        outbox.c.state == DeliveryState.WAITING,
        outbox.c.number > bindparam("number"),
    )
    .order_by(outbox.c.number)
    .limit(_LIMIT)
    .with_for_update(of=outbox)
)
SEND = (
    update(outbox)
    .where(_THESE)
    .values(
        state=DeliveryState.SENDING,
        attempt=outbox.c.attempt + 1,
        lease_until=_LEASE,
        since=func.coalesce(outbox.c.since, _NOW),
        # What an attempt may have taken along stays what is sent, until that attempt is settled.
        sending=func.coalesce(outbox.c.sending, outbox.c.version),
        due_at=_NOW,
        updated_at=_NOW,
    )
)
# The due time moves too: one that a clock ahead of ours wrote would come back when this lease ends.
ASK = update(outbox).where(_THESE).values(lease_until=_LEASE, due_at=_NOW, updated_at=_NOW)
EXPIRE = (
    update(outbox)
    .where(outbox.c.state == DeliveryState.SENDING, _passed(outbox.c.lease_until))
    .values(
        state=DeliveryState.UNCERTAIN,
        due_at=_NOW,
        # Attempts before the first that counts had no effect: what the ERP may remember began with the claim.
        since=case((outbox.c.attempt == 1, outbox.c.updated_at), else_=outbox.c.since),
        lease_until=None,
        reason="the sender's lease ran out",
        updated_at=_NOW,
    )
)
