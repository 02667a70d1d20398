"""Orders, each with its row in the outbox."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Select, select, update

from gateway.core.delivery import Delivery, DeliveryState, StatusUpdate
from gateway.core.order import WorkOrder
from gateway.core.ports import StoredOrder
from gateway.store.outbox import COLUMNS, delivery_of, put_delivery
from gateway.store.part import Part
from gateway.store.tables import orders, outbox, pack, unpack


class Orders(Part):
    """What the ERP is asked to do, and what it said about it."""

    def put_order(self, order: WorkOrder, erp: str, due_at: datetime) -> bool:
        """Keep an order together with its delivery, WAITING; False when the key was here (nothing changes)."""
        row = {"asset": order.asset, "erp": erp, "detected_at": order.detected_at, "body": pack(order)}
        if not self._insert_new(orders, key=order.key, **row):
            return False
        waiting = Delivery(order.key, order.lane, erp, DeliveryState.WAITING, 0, due_at, updated_at=due_at)
        put_delivery(self._db, waiting)
        return True

    def order(self, key: str) -> StoredOrder | None:
        """One order by its business key."""
        found = self._db.execute(_look().where(orders.c.key == key)).first()
        return None if found is None else _stored(found)

    def orders(self, *, state: str | None = None, asset: str | None = None, limit: int = 100) -> list[StoredOrder]:
        """Orders, the youngest first, by the state of their delivery or by asset."""
        look = _look().order_by(outbox.c.number.desc()).limit(limit)
        if state is not None:
            look = look.where(outbox.c.state == state)
        if asset is not None:
            look = look.where(orders.c.asset == asset)
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

    def put_status(self, update_: StatusUpdate, at: datetime) -> bool:
        """Keep what the ERP says of an order; True when that is news.

        False for an unknown key, for what is known already, and for word that is older than what is known.
        `at` is when it reached us; the ERP's own time counts when it gave one.
        """
        said_at = update_.at or at
        look = select(orders.c.erp_status, orders.c.closing_code, orders.c.status_at).where(orders.c.key == update_.key)
        known = self._db.execute(look).first()
        if known is None:
            return False
        status, code, known_at = known
        told = (update_.status, update_.closing_code or code)
        if told == (status, code) or (known_at is not None and said_at < known_at):
            return False
        news = {"erp_status": told[0], "closing_code": told[1], "status_at": said_at}
        self._db.execute(update(orders).where(orders.c.key == update_.key).values(news))
        return True


def _look() -> Select[*tuple[Any, ...]]:
    return select(orders.c.body, orders.c.erp_status, orders.c.closing_code, *COLUMNS).join(
        outbox, outbox.c.key == orders.c.key
    )


def _stored(row: Sequence[Any]) -> StoredOrder:
    body, status, code, *delivery = row
    return StoredOrder(unpack(body, WorkOrder), delivery_of(delivery), status, code)
