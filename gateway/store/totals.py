"""Totals: what the journal holds, in one row, counted once a transaction and not once a batch."""

from sqlalchemy import Connection, func, inspect, select, text

from gateway.core.ports import Held
from gateway.store.part import Part
from gateway.store.tables import cursors, journal, totals

_NAME = "journal"
_COLUMNS = (
    totals.c.newest,
    totals.c["count"].label("held"),
    totals.c.size,
    totals.c.thinned,
    totals.c.dropped,
    totals.c.aside,
)
_LOOK = select(*_COLUMNS).where(totals.c.name == _NAME)


class Totals(Part):
    """What the journal holds; changes are kept in memory and written at the end of the transaction."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection)
        self._totals: Held | None = None
        self._written: Held | None = None
        self._totals_marked: Held | None = None

    def held(self) -> Held:
        """Say what the journal holds and what was taken from it."""
        if self._totals is None:
            # Not `_db`: what all steps of a transaction share is no step's own work.
            row = self._connection.execute(_LOOK).first()
            self._totals = self._written = Held(*row) if row is not None else _counted(self._connection)
        return self._totals

    def begin_step(self) -> None:
        """Begin a step."""
        super().begin_step()
        self._totals_marked = self._totals

    def undo_step(self) -> None:
        """Take back what the step did."""
        super().undo_step()
        self._totals = self._totals_marked or self._written

    def flush(self) -> None:
        """Write what changed."""
        super().flush()
        if self._totals is not None and self._totals is not self._written:
            now = self._totals
            self._upsert(
                totals,
                name=_NAME,
                newest=now.newest,
                count=now.values,
                size=now.size,
                thinned=now.thinned,
                dropped=now.dropped,
                aside=now.aside,
            )
            self._written = now


def _counted(connection: Connection) -> Held:
    """Count what is there: once after an upgrade or a rescue."""
    sums = select(func.max(journal.c.id), func.sum(journal.c["count"]), func.sum(journal.c.size))
    newest, values, size = connection.execute(sums).one()
    reached = [newest or 0, connection.scalar(select(func.max(cursors.c.number))) or 0]
    if connection.dialect.name == "sqlite":
        if inspect(connection).has_table("sqlite_sequence"):
            reached.append(connection.scalar(text("SELECT max(seq) FROM sqlite_sequence WHERE name = 'journal'")) or 0)
    else:
        known = text("SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM journal_id_seq")
        reached.append(connection.scalar(known) or 0)
    return Held(max(reached), int(values or 0), int(size or 0))
