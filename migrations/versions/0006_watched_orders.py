"""Watched orders: what may be in the ERP twice stands with its delivery, and no more in one list of 10,000."""

import json
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_TIME = sa.DateTime(timezone=True)
_LOOKS, _WATCHED = "ix_outbox_looks", sa.text("look_at IS NOT NULL")
_LIST = "sweep/"
_OUTBOX = sa.table("outbox", sa.column("key"), sa.column("erp"), sa.column("look_at", _TIME), sa.column("looks"))
_KEPT = sa.table("keepsakes", sa.column("name"), sa.column("value", sa.LargeBinary()))


def upgrade() -> None:
    with op.batch_alter_table("outbox", table_kwargs={"sqlite_autoincrement": True}) as outbox:
        outbox.add_column(sa.Column("look_at", _TIME))
        outbox.add_column(sa.Column("looks", sa.Integer(), server_default="0", nullable=False))
    op.create_index(_LOOKS, "outbox", ["erp", "look_at"], sqlite_where=_WATCHED, postgresql_where=_WATCHED)
    database, lists = op.get_bind(), _KEPT.c.name.startswith(_LIST, autoescape=True)
    for (value,) in database.execute(sa.select(_KEPT.c.value).where(lists)).all():
        for item in json.loads(value):
            look_at = datetime.fromisoformat(item["due_at"]).astimezone(UTC)
            of_it = sa.update(_OUTBOX).where(_OUTBOX.c.key == item["key"])
            database.execute(of_it.values(look_at=look_at, looks=item.get("left", 3)))
    database.execute(sa.delete(_KEPT).where(lists))


def downgrade() -> None:
    database, lists = op.get_bind(), dict[str, list[dict[str, Any]]]()
    watched = sa.select(_OUTBOX).where(_OUTBOX.c.look_at.is_not(None)).order_by(_OUTBOX.c.look_at)
    for key, erp, look_at, left in database.execute(watched):
        due_at = (look_at if look_at.tzinfo else look_at.replace(tzinfo=UTC)).isoformat()
        lists.setdefault(erp, []).append({"key": key, "due_at": due_at, "left": left})
    for erp, items in lists.items():
        database.execute(sa.insert(_KEPT).values(name=_LIST + erp, value=json.dumps(items).encode()))
    op.drop_index(_LOOKS, "outbox")
    for name in ("looks", "look_at"):
        op.execute(f"ALTER TABLE outbox DROP COLUMN {name}")
