"""Batches that cannot be read any more: counted, told, and out of the way of the journal's readers."""

from collections.abc import Mapping
from datetime import datetime

import msgspec
from sqlalchemy import delete, func, insert, select

from gateway.store.audit import Trail
from gateway.store.tables import journal, set_aside
from gateway.store.totals import Totals

_MOST = 1000


class Aside(Totals, Trail):
    """The batches that lie beside the journal, the newest thousand."""

    def set_aside(self, unreadable: Mapping[int, str], at: datetime) -> None:
        """Move batches (number, why) out of the journal; one that is not there any more is left alone."""
        same = (
            "id", "source", "received_at", "first_at", "last_at", "count", "body",
        )  # fmt: skip
        for number, why in unreadable.items():
            row = self._db.execute(select(journal).where(journal.c.id == number)).mappings().first()
            if row is None:
                continue
            self._db.execute(insert(set_aside), {name: row[name] for name in same} | {"why": why})
            self._db.execute(delete(journal).where(journal.c.id == number))
            held = self.held()
            self._totals = msgspec.structs.replace(
                held, size=held.size - row["size"], values=held.values - row["count"], aside=held.aside + 1
            )
            span = f"{row['first_at'].isoformat()} to {row['last_at'].isoformat()}"
            self.note("journal.set_aside", str(number), at, f"{row['source']}, {row['count']} values, {span}: {why}")
        held_aside = self._db.scalar(select(func.count()).select_from(set_aside)) or 0
        if held_aside > _MOST:
            oldest = select(set_aside.c.id).order_by(set_aside.c.id).limit(held_aside - _MOST)
            self._db.execute(delete(set_aside).where(set_aside.c.id.in_(oldest)))
