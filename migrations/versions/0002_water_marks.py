"""Water marks: what the journal holds in one row, how far a row was thinned, pins of orders, applied settings.

The journal's table is made anew without the columns that nobody reads. That takes as much room as the
journal for the time of the upgrade; with less the upgrade is taken back whole and says that the disk is full.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_TIME = sa.DateTime(timezone=True)


@contextmanager
def _numbers_go_on() -> Iterator[None]:
    """Keep what SQLite knows of numbers that were given out and trimmed: a table that is made anew forgets it."""
    bind = op.get_bind()
    if bind.dialect.name != "sqlite":
        yield
        return
    reached = bind.execute(sa.text("SELECT seq FROM sqlite_sequence WHERE name = 'journal'")).scalar()
    yield
    bind.execute(sa.text("DELETE FROM sqlite_sequence WHERE name = 'journal'"))
    bind.execute(
        sa.text("INSERT INTO sqlite_sequence (name, seq) VALUES ('journal', :reached)"), {"reached": reached or 0}
    )


def upgrade() -> None:
    with _numbers_go_on(), op.batch_alter_table("journal", table_kwargs={"sqlite_autoincrement": True}) as journal:
        journal.add_column(sa.Column("level", sa.Integer(), server_default="0", nullable=False))
        for name in ("assets", "count_to", "size_to"):
            journal.drop_column(name)
    op.create_table(
        "totals",
        sa.Column("name", sa.Text(), nullable=False),
        *(
            sa.Column(name, sa.BigInteger(), nullable=False)
            for name in ("newest", "count", "size", "thinned", "dropped", "aside")
        ),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_totals")),
    )
    op.create_table(
        "set_aside",
        sa.Column("id", _NUMBER, autoincrement=False, nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        *(sa.Column(name, _TIME, nullable=False) for name in ("received_at", "first_at", "last_at")),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_set_aside")),
    )
    op.create_table(
        "pins",
        sa.Column("number", _NUMBER, autoincrement=False, nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_pins")),
    )
    op.create_table(
        "configs",
        sa.Column("number", _NUMBER, nullable=False),
        sa.Column("at", _TIME, nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("outcome", sa.String(length=16), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("parts", sa.LargeBinary(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_configs")),
        sqlite_autoincrement=True,
    )


def downgrade() -> None:
    for name in ("configs", "pins", "set_aside", "totals"):
        op.drop_table(name)
    # The running totals start from nothing: the first Andon reads them only as differences.
    with _numbers_go_on(), op.batch_alter_table("journal", table_kwargs={"sqlite_autoincrement": True}) as journal:
        journal.drop_column("level")
        journal.add_column(sa.Column("assets", sa.Text(), server_default="", nullable=False))
        for name in ("count_to", "size_to"):
            journal.add_column(sa.Column(name, sa.BigInteger(), server_default="0", nullable=False))
