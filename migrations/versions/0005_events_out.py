"""Events out: a queue per subscriber, and how far in the audit trail each of them was told."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_TIME = sa.DateTime(timezone=True)
_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "subscribers",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("off_at", _TIME),
        sa.Column("off_why", sa.Text(), nullable=False),
        sa.Column("place", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_subscribers")),
    )
    op.create_table(
        "outgoing",
        sa.Column("number", _NUMBER, nullable=False),
        sa.Column("subscriber", sa.Text(), nullable=False),
        sa.Column("event", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("made_at", _TIME, nullable=False),
        sa.Column("due_at", _TIME, nullable=False),
        sa.Column("lease_until", _TIME),
        sa.Column("reason", sa.Text(), server_default="", nullable=False),
        sa.Column("updated_at", _TIME),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_outgoing")),
        sa.UniqueConstraint("subscriber", "event", name=op.f("uq_outgoing_subscriber_event")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_outgoing_subscriber_state_number", "outgoing", ["subscriber", "state", "number"])
    op.create_index("ix_outgoing_subscriber_subject_state", "outgoing", ["subscriber", "subject", "state"])


def downgrade() -> None:
    op.drop_table("outgoing")
    op.drop_table("subscribers")
