"""Batches that cannot be read any more: counted, told, and out of the way of the journal's readers."""

import zlib
from collections.abc import Mapping
from datetime import datetime

import msgspec
from sqlalchemy import delete, func, insert, select

from gateway.core.errors import Refused
from gateway.core.ports import AsideBatch
from gateway.store.audit import Trail
from gateway.store.journal import ROW
from gateway.store.layouts import Layouts
from gateway.store.tables import journal, set_aside
from gateway.store.totals import Totals

_MOST = 1000
_NAMES = ("id", "source", "received_at", "first_at", "last_at", "count", "body")
_TOLD = tuple(set_aside.c[name] for name in (*_NAMES[:-1], "why"))


class Aside(Layouts, Totals, Trail):
    """The batches that lie beside the journal, the newest thousand."""

    def set_aside(self, unreadable: Mapping[int, str], at: datetime) -> None:
        """Move batches (number, why) out of the journal; one that is not there any more is left alone."""
        for number, why in unreadable.items():
            row = self._db.execute(select(journal).where(journal.c.id == number)).mappings().first()
            if row is None:
                continue
            self._db.execute(insert(set_aside), {name: row[name] for name in _NAMES} | {"why": why})
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

    def batches_aside(self, limit: int = 100) -> list[AsideBatch]:
        """Batches that lie beside the journal, the newest first."""
        look = select(*_TOLD).order_by(set_aside.c.id.desc()).limit(limit)
        return [AsideBatch(*row) for row in self._db.execute(look)]

    def batch_aside(self, number: int) -> tuple[AsideBatch, bytes] | None:
        """One batch that lies beside the journal, with its bytes."""
        found = self._db.execute(select(*_TOLD, set_aside.c.body).where(set_aside.c.id == number)).first()
        return None if found is None else (AsideBatch(*found[:-1]), bytes(found[-1]))

    def put_back(self, number: int) -> bool:
        """Put a batch back into the journal, at its place; False when there is none.

        Raises `Refused` while it still cannot be read.
        """
        row = self._db.execute(select(set_aside).where(set_aside.c.id == number)).mappings().first()
        if row is None:
            return False
        try:
            self._unpacked(row["body"])
        except (ValueError, msgspec.MsgspecError, zlib.error, IndexError) as lost:
            raise Refused(f"batch {number} still cannot be read ({type(lost).__name__})") from lost
        size = len(row["body"]) + ROW
        self._db.execute(insert(journal), {name: row[name] for name in _NAMES} | {"size": size})
        self._gone(number, size=size, values=row["count"])
        return True

    def drop_batch(self, number: int) -> bool:
        """Give a batch up, for a person who says so; False when it does not lie there."""
        if self.batch_aside(number) is None:
            return False
        self._gone(number)
        return True

    def _gone(self, number: int, *, size: int = 0, values: int = 0) -> None:
        self._db.execute(delete(set_aside).where(set_aside.c.id == number))
        held = self.held()
        news = {"size": held.size + size, "values": held.values + values, "aside": max(0, held.aside - 1)}
        self._totals = msgspec.structs.replace(held, **news)
