"""What every part of a transaction stands on."""

from typing import Any

from sqlalchemy import Column, ColumnElement, Connection, Table, func, select
from sqlalchemy.dialects import postgresql, sqlite


class Part:
    """A subject of the store inside one open transaction."""

    def __init__(self, connection: Connection) -> None:
        self._db = connection

    def _insert_new(self, table: Table, **row: Any) -> bool:
        """Insert a row unless one of its keys is taken; say whether it was inserted."""
        key = next(iter(table.primary_key))
        put = self._insert(table).on_conflict_do_nothing().returning(key)
        return self._db.execute(put, row).first() is not None

    def _upsert(self, table: Table, **row: Any) -> None:
        """Insert a row, or replace what is not its primary key."""
        keys = [column.name for column in table.primary_key]
        put = self._insert(table)
        news = {name: put.excluded[name] for name in row if name not in keys}
        self._db.execute(put.on_conflict_do_update(index_elements=keys, set_=news), row)

    def _insert(self, table: Table) -> sqlite.Insert | postgresql.Insert:
        # The two spell ON CONFLICT alike, but SQLAlchemy has one class for each.
        return postgresql.insert(table) if self._db.dialect.name == "postgresql" else sqlite.insert(table)


def running(total: Column[int], number: Column[int]) -> ColumnElement[int]:
    """The running total that a new row of a table goes on from."""
    before = total.table.alias()
    newest = select(before.c[total.name]).order_by(before.c[number.name].desc()).limit(1)
    return func.coalesce(newest.scalar_subquery(), 0)
