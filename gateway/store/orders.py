"""Orders, each with its row in the outbox."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Select, and_, case, insert, null, or_, select, update

from gateway.core.delivery import NOT_BACK, Delivery, DeliveryState, StatusUpdate, Task
from gateway.core.order import WorkOrder
from gateway.core.ports import StoredOrder
from gateway.core.status import OVER, Said, heard, told
from gateway.store.claims import COLUMNS
from gateway.store.documents import pack, unpack
from gateway.store.outbox import delivery_of, put_delivery
from gateway.store.part import Part
from gateway.store.tables import order_versions, orders, outbox

_AT_ONCE, _NEVER = datetime(1970, 1, 1, tzinfo=UTC), datetime(9999, 1, 1, tzinfo=UTC)
"""In the place of a time to ask again."""
_FAR = timedelta(days=2)
"""Nobody asks again later than this: such a time was written by a clock that has since gone back."""
_MOST_NUMBERED = 10
_SAID = (
    orders.c.erp_status,
    orders.c.erp_state,
    orders.c.closing_code,
    orders.c.status_at,
    orders.c.state_at,
    orders.c.code_at,
)
_THERE, _DROPPED = outbox.c.erp_number.is_not(None), and_(outbox.c.withdraw != "", outbox.c.attempt == 0)
_TASKS = {
    "create": and_(~_THERE, ~_DROPPED),
    "drop": and_(~_THERE, _DROPPED),
    "amend": and_(_THERE, outbox.c.withdraw == ""),
    "cancel": and_(_THERE, outbox.c.withdraw != ""),
}
"""`Delivery.task`, asked in SQL."""
_BEHIND = and_(
    outbox.c.state == DeliveryState.DELIVERED,
    or_(outbox.c.sent < outbox.c.version, outbox.c.reason != ""),
    orders.c.erp_state.not_in(OVER),
)


class Orders(Part):
    """What the ERP is asked to do, and what it said about it."""

    def put_order(self, order: WorkOrder, erp: str, due_at: datetime, lane: str | None = None) -> bool:
        """Keep an order together with its delivery, WAITING; False when the key was here (nothing changes).

        It goes in its own lane, or in another's: then it leaves when what stands there before it is settled.
        """
        row = {"asset": order.asset, "erp": erp, "detected_at": order.detected_at, "body": pack(order)}
        if not self._insert_new(orders, key=order.key, **row):
            return False
        waiting = Delivery(order.key, lane or order.lane, erp, DeliveryState.WAITING, 0, due_at, updated_at=due_at)
        put_delivery(self._db, waiting)
        return True

    def order(self, key: str) -> StoredOrder | None:
        """One order by its business key."""
        found = self._db.execute(_look().where(orders.c.key == key)).first()
        return None if found is None else _stored(found)

    def orders(
        self,
        *,
        state: str | None = None,
        asset: str | None = None,
        erp: str | None = None,
        erp_state: str | None = None,
        task: Task | None = None,
        behind: bool = False,
        limit: int = 100,
    ) -> list[StoredOrder]:
        """Orders, the youngest first, by the state of their delivery, by what it has to do next, by asset or ERP.

        `behind` are those whose change, or withdrawal, was refused and that the ERP has not ended.
        """
        look = _look().order_by(outbox.c.number.desc()).limit(limit)
        for column, wanted in (
            (outbox.c.state, state),
            (orders.c.asset, asset),
            (outbox.c.erp, erp),
            (orders.c.erp_state, erp_state),
        ):
            if wanted is not None:
                look = look.where(column == wanted)
        if task is not None:
            look = look.where(outbox.c.state.not_in((DeliveryState.DELIVERED, DeliveryState.WITHDRAWN)), _TASKS[task])
        if behind:
            look = look.where(_BEHIND)
        return [_stored(row) for row in self._db.execute(look)]

    def orders_between(
        self, since: datetime, until: datetime, asset: str | None = None, limit: int = 10_000
    ) -> list[StoredOrder]:
        """Orders whose trouble was detected in [since, until), the oldest first."""
        look = _look().where(orders.c.detected_at >= since, orders.c.detected_at < until)
        if asset is not None:
            look = look.where(orders.c.asset == asset)
        look = look.order_by(orders.c.detected_at, outbox.c.number).limit(limit)
        return [_stored(row) for row in self._db.execute(look)]

    def change_order(self, order: WorkOrder, at: datetime) -> bool:
        """Keep the next version of an order, and have the ERP's copy amended where there is one.

        False when it is not the next one, when the order is withdrawn, and when the ERP has ended it. A delivery in
        flight goes on with the version that it took; what was not sent yet goes out in the new one.
        """
        known = self._standing(order.key)
        if known is None or known[0] != order.version - 1:
            return False
        old = select(orders.c.key, outbox.c.version, orders.c.body).join(outbox, outbox.c.key == orders.c.key)
        self._db.execute(
            insert(order_versions).from_select(["key", "version", "body"], old.where(orders.c.key == order.key))
        )
        self._db.execute(update(orders).where(orders.c.key == order.key).values(body=pack(order)))
        self._db.execute(update(outbox).where(outbox.c.key == order.key).values(version=order.version))
        if known[1] is DeliveryState.DELIVERED:
            self._wait_again(order.key, at, still=NOT_BACK)
        return True

    def withdraw_order(self, key: str, reason: str, at: datetime) -> bool:
        """Have an order taken back; one of which nothing left is WITHDRAWN at once.

        False for an unknown key, when it is withdrawn already, and when the ERP has ended it. What is in flight, or in
        doubt, is settled first.
        """
        known = self._standing(key)
        if known is None:
            return False
        _, state, attempt, number = known
        news: dict[str, Any] = {"withdraw": reason}
        if attempt == 0 and number is None and state in (DeliveryState.WAITING, DeliveryState.PARKED):
            news |= {"state": DeliveryState.WITHDRAWN, "reason": reason, "updated_at": at}
        self._db.execute(update(outbox).where(outbox.c.key == key).values(news))
        if state in (DeliveryState.DELIVERED, DeliveryState.PARKED) and "state" not in news:
            self._wait_again(key, at)
        return True

    def stand_again(self, key: str, at: datetime) -> bool:
        """Take a withdrawal back of which nothing has left; False when there is none, or nobody knows.

        An order that the ERP has opened again after it was WITHDRAWN stands again too. What was changed before it was
        taken back goes out now.
        """
        there, state = outbox.c.erp_number.is_not(None), outbox.c.state
        held = state.in_((DeliveryState.WAITING, DeliveryState.PARKED, DeliveryState.WITHDRAWN))
        unsettled = and_(~there, state.in_((DeliveryState.WAITING, DeliveryState.UNCERTAIN, DeliveryState.PARKED)))
        # What an attempt may have taken along is kept in `sending`: without it no attempt is under way, or in doubt.
        unbegun = and_(there, held, outbox.c.sending.is_(None))
        alone = and_(outbox.c.key == key, outbox.c.withdraw != "")
        if self._db.execute(update(outbox).where(alone, unsettled).values(withdraw="")).rowcount:
            return True
        behind = outbox.c.sent < outbox.c.version
        news = {
            "withdraw": "",
            "state": case((behind, DeliveryState.WAITING.value), else_=DeliveryState.DELIVERED.value),
            "attempt": 0,
            "since": null(),
            "due_at": at,
            "lease_until": None,
            "reason": "",
            "updated_at": at,
        }
        return self._db.execute(update(outbox).where(alone, unbegun).values(news)).rowcount == 1

    def being_taken_back(self, limit: int = 1000) -> list[str]:
        """Give the keys of the orders whose withdrawal has not come to its end, the youngest first."""
        # By state, which has an index; those that are delivered or withdrawn are many.
        states = (DeliveryState.WAITING, DeliveryState.SENDING, DeliveryState.UNCERTAIN, DeliveryState.PARKED)
        look = select(outbox.c.key).where(outbox.c.state.in_(states), outbox.c.withdraw != "")
        return [str(key) for key in self._db.scalars(look.order_by(outbox.c.number.desc()).limit(limit))]

    def order_version(self, key: str, version: int) -> WorkOrder | None:
        """Give an order as it was in one version; None when there is no such version."""
        look = select(order_versions.c.body).where(order_versions.c.key == key, order_versions.c.version == version)
        body = self._db.scalar(look)
        if body is None:
            newest = select(orders.c.body).join(outbox, outbox.c.key == orders.c.key)
            body = self._db.scalar(newest.where(orders.c.key == key, outbox.c.version == version))
        return None if body is None else unpack(body, WorkOrder)

    def followed(self, erp: str, now: datetime, first: timedelta, limit: int) -> list[StoredOrder]:
        """Give orders that an ERP has and is to be asked about now, those with a hint before those that are due.

        One that was never asked about is due when it was delivered so long ago (`first`).
        """
        again = orders.c.ask_at
        # One after the other, for each of them has its place in the index; together they would read every order.
        looks = (
            again <= now,
            and_(again > now + _FAR, again < _NEVER),
            and_(again.is_(None), or_(outbox.c.updated_at <= now - first, outbox.c.updated_at > now)),
        )
        found: list[StoredOrder] = []
        for due in looks:
            look = _look().where(orders.c.erp == erp, outbox.c.state == DeliveryState.DELIVERED, due)
            look = look.order_by(again, outbox.c.number).limit(limit - len(found))
            found += [_stored(row) for row in self._db.execute(look)]
            if len(found) >= limit:
                break
        return found

    def asked(self, key: str, at: datetime | None, again: datetime | None = None) -> None:
        """Remember when the ERP was asked about an order, and when it is asked again: without a time, no more.

        An `at` of None is a hint: the order is asked about before all others.
        """
        news = {"ask_at": _AT_ONCE} if at is None else {"asked_at": at, "ask_at": again or _NEVER}
        self._db.execute(update(orders).where(orders.c.key == key).values(news))

    def numbered(self, number: str) -> list[str]:
        """Give the keys of the orders that an ERP has under this number of its own; at most ten."""
        look = select(outbox.c.key).where(outbox.c.erp_number == number).order_by(outbox.c.number)
        return [str(key) for key in self._db.scalars(look.limit(_MOST_NUMBERED))]

    def _standing(self, key: str) -> tuple[int, DeliveryState, int, str | None] | None:
        """Give version, state, attempts and number of an order that may still be changed."""
        look = (
            select(outbox.c.version, outbox.c.state, outbox.c.attempt, outbox.c.erp_number)
            .join(orders, outbox.c.key == orders.c.key)
            .where(outbox.c.key == key, outbox.c.withdraw == "", orders.c.erp_state.not_in(OVER))
        )
        found = self._db.execute(look).first()
        return None if found is None else (found[0], DeliveryState(found[1]), found[2], found[3])

    def _wait_again(self, key: str, at: datetime, still: str = "") -> None:
        # What is done to an order that is there may be done twice: its attempts are counted anew. A reason that begins
        # with `still` counts on.
        why = case((outbox.c.reason.startswith(still), outbox.c.reason), else_="") if still else ""
        news = {"state": DeliveryState.WAITING, "due_at": at, "lease_until": None, "reason": why, "updated_at": at}
        there = outbox.c.erp_number.is_not(None)
        self._db.execute(update(outbox).where(outbox.c.key == key).values(news))
        self._db.execute(update(outbox).where(outbox.c.key == key, there).values(attempt=0, since=None))

    def put_status(self, update_: StatusUpdate, at: datetime) -> bool:
        """Keep what the ERP says of an order (`gateway.core.status`); True when that is news.

        False for an unknown key, for what is known already, and for word that is older than what is known.
        `at` is when it reached us; the ERP's own time counts when it gave one.
        """
        row = self._db.execute(select(*_SAID).where(orders.c.key == update_.key)).first()
        if row is None:
            return False
        known = Said(*row)
        now = heard(known, update_, at)
        if now != known:
            values = (now.status, now.state, now.closing_code, now.status_at, now.state_at, now.code_at)
            news = dict(zip((column.name for column in _SAID), values, strict=True))
            self._db.execute(update(orders).where(orders.c.key == update_.key).values(news))
        return told(now) != told(known)


def _look() -> Select[*tuple[Any, ...]]:
    said = (orders.c.erp_status, orders.c.closing_code, orders.c.erp_state, orders.c.asked_at, orders.c.ask_at)
    return select(orders.c.body, *said, *COLUMNS).join(outbox, outbox.c.key == orders.c.key)


def _stored(row: Sequence[Any]) -> StoredOrder:
    body, status, code, state, asked_at, ask_at, *delivery = row
    ask_at = None if ask_at == _NEVER else ask_at
    return StoredOrder(unpack(body, WorkOrder), delivery_of(delivery), status, code, state, asked_at, ask_at)
