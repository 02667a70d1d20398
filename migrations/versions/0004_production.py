"""Production orders go on to the line: where the handing over of each stands."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_TIME = sa.DateTime(timezone=True)
_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    # Orders of the time before have none: they were told to nobody, and are not written to a line afterwards.
    op.create_table(
        "handovers",
        sa.Column("number", _NUMBER, nullable=False),
        sa.Column("order_id", sa.Text(), nullable=False),
        sa.Column("to", sa.Text(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("due_at", _TIME, nullable=False),
        sa.Column("lease_until", _TIME),
        sa.Column("since", _TIME),
        sa.Column("reason", sa.Text(), server_default="", nullable=False),
        sa.Column("job", sa.String(length=16), server_default="", nullable=False),
        sa.Column("job_at", _TIME),
        sa.Column("asked_at", _TIME),
        sa.Column("updated_at", _TIME),
        sa.ForeignKeyConstraint(
            ["order_id"], ["production_orders.order_id"], name=op.f("fk_handovers_order_id_production_orders")
        ),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_handovers")),
        sa.UniqueConstraint("order_id", name=op.f("uq_handovers_order_id")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_handovers_to_state_number"), "handovers", ["to", "state", "number"], unique=False)


def downgrade() -> None:
    op.drop_table("handovers")
