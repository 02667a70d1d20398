"""The tables of the store and what may be searched in them.

A row is a struct as a document (`body`, see `gateway.store.documents`) beside the columns that are searched. Times
are UTC. A change here needs a step in `migrations/` and a new `gateway.store.schema.HEAD`.
"""

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    UniqueConstraint,
    false,
    text,
)

from gateway.store.columns import Utc, Words

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)
_Number = BigInteger().with_variant(Integer, "sqlite")


def _table(name: str, *parts: Column[Any] | Index | UniqueConstraint, **options: Any) -> Table:
    return Table(name, metadata, *parts, **options)


def _needed(name: str, kind: Any, **options: Any) -> Column[Any]:
    return Column(name, kind, nullable=False, **options)


# Numbers are never reused: a cursor that points behind trimmed rows must not meet new ones.
_numbered = {"sqlite_autoincrement": True}

journal = _table(
    "journal",
    Column("id", _Number, primary_key=True),
    _needed("source", Words),
    _needed("received_at", Utc),
    _needed("first_at", Utc),
    _needed("last_at", Utc),
    _needed("count", Integer),
    _needed("size", Integer),
    _needed("body", LargeBinary),
    # How often the row was thinned: each time about half of its values went.
    _needed("level", Integer, server_default="0"),
    **_numbered,
)
# One row: what the journal holds and what was taken from it, so that no look has to count.
totals = _table(
    "totals",
    Column("name", Words, primary_key=True),
    _needed("newest", BigInteger),
    _needed("count", BigInteger),
    _needed("size", BigInteger),
    _needed("thinned", BigInteger),
    _needed("dropped", BigInteger),
    _needed("aside", BigInteger),
)
# Batches that nobody can read any more: out of the readers' way, and kept for whoever can.
set_aside = _table(
    "set_aside",
    Column("id", _Number, primary_key=True, autoincrement=False),
    _needed("source", Words),
    _needed("received_at", Utc),
    _needed("first_at", Utc),
    _needed("last_at", Utc),
    _needed("count", Integer),
    _needed("why", Words),
    _needed("body", LargeBinary),
)
# Journal numbers that an order stands on.
pins = _table(
    "pins",
    Column("number", _Number, primary_key=True, autoincrement=False),
    _needed("key", Words),
)
configs = _table(
    "configs",
    Column("number", _Number, primary_key=True),
    _needed("at", Utc),
    _needed("digest", String(64)),
    _needed("outcome", String(16)),
    _needed("detail", Words),
    _needed("parts", LargeBinary),
    _needed("content", LargeBinary),
    **_numbered,
)
cursors = _table("cursors", Column("name", Words, primary_key=True), _needed("number", BigInteger))
blobs = _table(
    "blobs",
    Column("sha256", String(64), primary_key=True),
    _needed("media_type", Words),
    _needed("size", Integer),
    _needed("content", LargeBinary),
)
reports = _table(
    "reports",
    Column("number", _Number, primary_key=True),
    _needed("id", Words),
    _needed("received_at", Utc),
    _needed("body", LargeBinary),
    Column("extraction", LargeBinary),
    Column("route", String(16)),
    Column("order_key", Words),
    _needed("reviewed", Boolean, server_default=false()),
    UniqueConstraint("id"),
    Index(None, "route", "reviewed", "number"),
    **_numbered,
)
diagnoses = _table(
    "diagnoses",
    Column("number", _Number, primary_key=True),
    _needed("asset", Words),
    _needed("start_at", Utc),
    Column("fault", Words),
    _needed("size", Integer),
    _needed("size_to", BigInteger),
    _needed("body", LargeBinary),
    UniqueConstraint("asset", "start_at"),
    Index(None, "start_at"),
    **_numbered,
)
episodes = _table(
    "episodes",
    Column("key", Words, primary_key=True),
    _needed("asset", Words),
    _needed("state", String(16)),
    _needed("last_at", Utc),
    _needed("body", LargeBinary),
    Index(None, "asset", "last_at"),
    Index(None, "last_at"),
    Index(None, "state", "last_at"),
)
orders = _table(
    "orders",
    Column("key", Words, primary_key=True),
    Column("asset", Words),
    # Also in the outbox: an order whose outbox row is lost to a damaged file can still be asked about.
    _needed("erp", Words),
    _needed("detected_at", Utc),
    _needed("body", LargeBinary),
    _needed("erp_status", Words, server_default=""),
    Column("closing_code", Words),
    Column("status_at", Utc),
    _needed("erp_state", String(16), server_default="unknown"),
    Column("state_at", Utc),
    Column("code_at", Utc),
    # When the ERP was last asked how it stands, and when it is asked again.
    Column("asked_at", Utc),
    Column("ask_at", Utc),
    Index(None, "detected_at"),
    Index(None, "asset", "detected_at"),
    Index(None, "erp", "ask_at"),
)
# What an order said before it was changed: the newest version stands in `orders`.
order_versions = _table(
    "order_versions",
    Column("key", Words, ForeignKey("orders.key"), primary_key=True),
    Column("version", Integer, primary_key=True, autoincrement=False),
    _needed("body", LargeBinary),
)
_WAITS, _WATCHED = text("state = 'WAITING'"), text("look_at IS NOT NULL")
outbox = _table(
    "outbox",
    Column("number", _Number, primary_key=True),
    Column("key", Words, ForeignKey("orders.key"), nullable=False),
    _needed("erp", Words),
    _needed("lane", Words),
    _needed("state", String(16)),
    _needed("attempt", Integer),
    _needed("due_at", Utc),
    Column("lease_until", Utc),
    Column("since", Utc),
    _needed("reason", Words, server_default=""),
    Column("erp_number", Words),
    Column("updated_at", Utc),
    _needed("version", Integer, server_default="1"),
    Column("sending", Integer),
    Column("sent", Integer),
    _needed("withdraw", Words, server_default=""),
    # When the ERP is asked again whether it has the order twice, and how often still.
    Column("look_at", Utc),
    _needed("looks", Integer, server_default="0"),
    UniqueConstraint("key"),
    Index(None, "erp_number"),
    # The oldest of each lane, however many wait and however many were delivered.
    Index("ix_outbox_waiting", "erp", "lane", "number", sqlite_where=_WAITS, postgresql_where=_WAITS),
    Index(None, "erp", "lane", "state", "number"),
    Index(None, "state", "erp", "number"),
    Index("ix_outbox_looks", "erp", "look_at", sqlite_where=_WATCHED, postgresql_where=_WATCHED),
    **_numbered,
)
inbox = _table(
    "inbox",
    Column("scope", Words, primary_key=True),
    Column("name", Words, primary_key=True),
    _needed("fingerprint", Words),
    _needed("at", Utc),
    Column("answer", LargeBinary),
)
production_orders = _table(
    "production_orders",
    Column("order_id", Words, primary_key=True),
    _needed("received_at", Utc),
    _needed("body", LargeBinary),
    Index(None, "received_at"),
)
# The way of a production order to the line.
handovers = _table(
    "handovers",
    Column("number", _Number, primary_key=True),
    Column("order_id", Words, ForeignKey("production_orders.order_id"), nullable=False),
    _needed("to", Words),
    _needed("state", String(16)),
    _needed("attempt", Integer),
    _needed("due_at", Utc),
    Column("lease_until", Utc),
    Column("since", Utc),
    _needed("reason", Words, server_default=""),
    _needed("job", String(16), server_default=""),
    Column("job_at", Utc),
    Column("asked_at", Utc),
    Column("updated_at", Utc),
    UniqueConstraint("order_id"),
    Index(None, "to", "state", "number"),
    **_numbered,
)
audit = _table(
    "audit",
    Column("number", _Number, primary_key=True, autoincrement=False),
    _needed("at", Utc),
    _needed("event", Words),
    _needed("subject", Words),
    _needed("detail", Words),
    _needed("digest", String(64)),
)
# What subscribers still have to be told, one row per subscriber and event; a row goes when it was taken.
outgoing = _table(
    "outgoing",
    Column("number", _Number, primary_key=True),
    _needed("subscriber", Words),
    _needed("event", Words),
    _needed("subject", Words),
    _needed("state", String(16)),
    _needed("attempt", Integer),
    _needed("made_at", Utc),
    _needed("due_at", Utc),
    Column("lease_until", Utc),
    _needed("reason", Words, server_default=""),
    Column("updated_at", Utc),
    _needed("body", LargeBinary),
    UniqueConstraint("subscriber", "event"),
    Index(None, "subscriber", "state", "number"),
    Index(None, "subscriber", "subject", "state"),
    **_numbered,
)
# How far in the audit trail each subscriber was told.
subscribers = _table(
    "subscribers",
    Column("name", Words, primary_key=True),
    _needed("number", BigInteger),
    Column("off_at", Utc),
    _needed("off_why", Words),
    _needed("place", Words),
)
keepsakes = _table("keepsakes", Column("name", Words, primary_key=True), _needed("value", LargeBinary))
