"""What every part of a transaction stands on."""

import functools
from typing import Any

from sqlalchemy import Column, ColumnElement, Connection, Executable, Table, func, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine.interfaces import DBAPICursor


class Part:
    """A subject of the store inside one open transaction.

    Several steps may share the transaction. `begin_step` says that the next one begins, `undo_step` takes back what was
    done since, `end_step` makes it part of the transaction. The savepoint that this needs is set when a
    step first speaks to the database: most steps of a busy line only hand in a row, which costs none.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._marked = self._saved = False
        self._cursor: DBAPICursor | None = None

    @property
    def _db(self) -> Connection:
        if self._marked and not self._saved:
            self._say("SAVEPOINT member")
            self._saved = True
        return self._connection

    def begin_step(self) -> None:
        """Begin a step."""
        self._marked = True

    def undo_step(self) -> None:
        """Take back what the step did."""
        if self._saved:
            self._say("ROLLBACK TO SAVEPOINT member")
        self.end_step()

    def end_step(self) -> None:
        """End a step, leaving what it did in the transaction."""
        if self._saved:
            self._say("RELEASE SAVEPOINT member")
        self._marked = self._saved = False

    def flush(self) -> None:
        """Hand over to the database what was put off until the end of the transaction."""

    def _say(self, statement: str) -> None:
        # The driver's own cursor: two statements a step through SQLAlchemy cost as much as the step.
        if self._cursor is None:
            self._cursor = self._connection.connection.cursor()
        self._cursor.execute(statement)

    def _insert_new(self, table: Table, **row: Any) -> bool:
        """Insert a row unless one of its keys is taken; say whether it was inserted."""
        return self._db.execute(_insert_new(table, self._db.dialect.name), row).first() is not None

    def _upsert(self, table: Table, **row: Any) -> None:
        """Insert a row, or replace what is not its primary key."""
        self._db.execute(_upsert(table, self._db.dialect.name, tuple(row)), row)


def insert_into(table: Table, dialect: str) -> sqlite.Insert | postgresql.Insert:
    """An INSERT that can say ON CONFLICT: both databases spell it alike, SQLAlchemy has a class for each."""
    return postgresql.insert(table) if dialect == "postgresql" else sqlite.insert(table)


# Statements are built once: building one takes as long as running it.
@functools.cache
def _insert_new(table: Table, dialect: str) -> Executable:
    return insert_into(table, dialect).on_conflict_do_nothing().returning(next(iter(table.primary_key)))


@functools.cache
def _upsert(table: Table, dialect: str, names: tuple[str, ...]) -> Executable:
    keys = [column.name for column in table.primary_key]
    put = insert_into(table, dialect)
    news = {name: put.excluded[name] for name in names if name not in keys}
    return put.on_conflict_do_update(index_elements=keys, set_=news)


def running(total: Column[int], number: Column[int]) -> ColumnElement[int]:
    """The running total that a new row of a table goes on from."""
    before = total.table.alias()
    newest = select(before.c[total.name]).order_by(before.c[number.name].desc()).limit(1)
    return func.coalesce(newest.scalar_subquery(), 0)
