"""Orders that are looked up in the ERP again, because they may be there more often than they should."""

from datetime import datetime

from sqlalchemy import ColumnElement, and_, null, or_, select, update

from gateway.core.ports import Watched
from gateway.store.part import Part
from gateway.store.tables import outbox


class Sweeps(Part):
    """A watch is part of an order's delivery: there is one at most for each, and none is ever forgotten for others."""

    def watch(self, watched: Watched) -> None:
        """Have an order looked up again, in the place of what was planned; with no looks left it is watched no more."""
        planned = watched.due_at if watched.left > 0 else null()
        which = outbox.c.key == watched.key
        self._db.execute(update(outbox).where(which).values(look_at=planned, looks=max(0, watched.left)))

    def watched(
        self, erp: str, until: datetime | None = None, limit: int = 100, far: datetime | None = None
    ) -> list[Watched]:
        """Give what is watched in one ERP and due until a time (None: whenever it is), the longest due first.

        What is planned beyond `far` is due too: a clock that has since gone back planned it.
        """
        mine = and_(outbox.c.erp == erp, outbox.c.look_at.is_not(None))
        if until is not None:
            mine = and_(mine, _outside(until, far))
        look = select(outbox.c.key, outbox.c.look_at, outbox.c.looks).where(mine)
        return [
            Watched(*row) for row in self._db.execute(look.order_by(outbox.c.look_at, outbox.c.number).limit(limit))
        ]

    def put_off_watched(self, erp: str, until: datetime, far: datetime | None = None) -> None:
        """Look at nothing of one ERP before a time; what is planned beyond `far` is looked at then."""
        self._db.execute(update(outbox).where(outbox.c.erp == erp, _outside(until, far)).values(look_at=until))


def _outside(until: datetime, far: datetime | None) -> ColumnElement[bool]:
    due = outbox.c.look_at <= until
    return due if far is None else or_(due, outbox.c.look_at > far)
