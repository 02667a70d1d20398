"""Order versions: what the ERP has of an order, what is on its way, and what it said before it was changed."""

from datetime import UTC, datetime

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_TIME = sa.DateTime(timezone=True)
_ASKING, _NUMBERS = "ix_orders_erp_ask_at", "ix_outbox_erp_number"
_WAITING, _WAITS = "ix_outbox_waiting", sa.text("state = 'WAITING'")
_TIMES = ("state_at", "code_at", "asked_at", "ask_at")
_NEVER = datetime(9999, 1, 1, tzinfo=UTC)
_OVER = "('closed', 'completed', 'done', 'cancelled', 'canceled', 'finished', 'teco')"


def upgrade() -> None:
    with op.batch_alter_table("orders") as orders:
        orders.add_column(sa.Column("erp_state", sa.String(length=16), server_default="unknown", nullable=False))
        for name in _TIMES:
            orders.add_column(sa.Column(name, _TIME))
        orders.create_index(_ASKING, ["erp", "ask_at"])
    op.create_table(
        "order_versions",
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["key"], ["orders.key"], name=op.f("fk_order_versions_key_orders")),
        sa.PrimaryKeyConstraint("key", "version", name=op.f("pk_order_versions")),
    )
    with op.batch_alter_table("outbox", table_kwargs={"sqlite_autoincrement": True}) as outbox:
        outbox.add_column(sa.Column("version", sa.Integer(), server_default="1", nullable=False))
        outbox.add_column(sa.Column("sending", sa.Integer()))
        outbox.add_column(sa.Column("sent", sa.Integer()))
        outbox.add_column(sa.Column("withdraw", sa.Text(), server_default="", nullable=False))
        outbox.create_index(_NUMBERS, ["erp_number"])
    op.create_index(_WAITING, "outbox", ["erp", "lane", "number"], sqlite_where=_WAITS, postgresql_where=_WAITS)
    # What was closed before anybody asked need not be asked about.
    closed = f"UPDATE orders SET erp_state = 'done', ask_at = :never WHERE lower(erp_status) IN {_OVER}"  # noqa: S608  (ours)
    op.execute(sa.text(closed).bindparams(sa.bindparam("never", _NEVER, _TIME)))
    # Before this there was one version of everything.
    op.execute("UPDATE outbox SET sent = 1 WHERE state = 'DELIVERED'")
    op.execute("UPDATE outbox SET sending = 1 WHERE state <> 'DELIVERED' AND attempt > 0")


def downgrade() -> None:
    # The older Andon knows neither changes nor withdrawals, and makes whatever waits: what the ERP has must not be made
    # again, and what was to be taken back must not be made at all.
    op.execute("UPDATE outbox SET state = 'DELIVERED', lease_until = NULL WHERE erp_number IS NOT NULL")
    taken_back = "state = 'PARKED', lease_until = NULL, reason = 'withdrawn'"
    op.execute(f"UPDATE outbox SET {taken_back} WHERE erp_number IS NULL AND withdraw <> ''")  # noqa: S608  (ours)
    op.drop_index(_WAITING, "outbox")
    op.drop_index(_NUMBERS, "outbox")
    op.drop_table("order_versions")
    op.drop_index(_ASKING, "orders")
    # Not in a batch: SQLite would drop the whole table to make it anew, which the outbox's foreign key forbids.
    for table, names in (("outbox", ("withdraw", "sent", "sending", "version")), ("orders", (*_TIMES, "erp_state"))):
        for name in names:
            op.execute(f"ALTER TABLE {table} DROP COLUMN {name}")
