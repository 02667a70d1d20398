"""Engines: how the two databases are opened, and what their errors mean to us."""

import shutil
import sqlite3
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.pool import QueuePool

from gateway.core.errors import Full, Misconfigured, Unreachable

READERS = 4
BUSY_S = 5.0
"""Seconds that a writer waits for another process that holds the write lock."""

_ROOM = 256 * 1024
_LOCK = 0x616E646F6E  # "andon"
_PRAGMAS = (
    "journal_mode = WAL",
    "synchronous = FULL",
    "foreign_keys = ON",
    "journal_size_limit = 67108864",
    "cache_size = -16384",
    "temp_store = MEMORY",
)
_SESSION = (
    "-c timezone=UTC -c synchronous_commit=on -c lock_timeout=5000 -c statement_timeout=20000"
    " -c idle_in_transaction_session_timeout=20000"
)
# Extended codes: SHMSIZE is a full disk that met the index of the WAL first.
_SQLITE_FULL = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_SHMSIZE}
_SQLITE_AWAY = {
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_PROTOCOL,
    sqlite3.SQLITE_READONLY,
}
_SQLITE_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


def sqlite_writer(file: Path) -> Engine:
    """Engine of the one writing connection. Every transaction takes the write lock at its begin."""
    return _begin_with(_sqlite(file, 1, _PRAGMAS), "BEGIN IMMEDIATE")


def sqlite_readers(file: Path) -> Engine:
    """Engine of connections that see a snapshot and cannot write."""
    return _begin_with(_sqlite(file, READERS, ("query_only = ON", "cache_size = -8192")), "BEGIN")


def server_writer(url: str) -> Engine:
    """Engine of the one writing connection to PostgreSQL.

    A transaction begins with an advisory lock: as on SQLite one writes at a time, also of several
    processes, so that no update is lost and journal numbers appear in their order.
    """
    where = _url(url)
    engine = create_engine(where, pool_size=1, max_overflow=0, pool_pre_ping=True, connect_args=_connect(where))
    return _begin_with(engine, f"SELECT pg_advisory_xact_lock({_LOCK})")


def server_readers(url: str) -> Engine:
    """Engine of connections to PostgreSQL that see a snapshot and cannot write."""
    where = _url(url)
    return create_engine(
        where,
        pool_size=READERS,
        max_overflow=0,
        pool_pre_ping=True,
        isolation_level="REPEATABLE READ",
        connect_args=_connect(where, " -c default_transaction_read_only=on"),
    )


def code_of(lost: BaseException) -> int | str | None:
    """SQLite's result code, PostgreSQL's SQLSTATE, or None."""
    original = lost.orig if isinstance(lost, DBAPIError) else lost
    if isinstance(original, sqlite3.Error):
        return getattr(original, "sqlite_errorcode", None)
    return getattr(original, "sqlstate", None)


def translate(lost: Exception, home: Path | None = None) -> Exception:
    """Say what to do next about a database error; any other error stays as it is.

    `home` is the folder of a SQLite database: an I/O error on a full disk is `Full`.
    """
    if isinstance(lost, sqlite3.Error):
        return _of_sqlite(lost, home)
    if isinstance(lost, PoolTimeout):
        return Unreachable("the database has no connection to spare")
    if not isinstance(lost, DBAPIError):
        return lost
    if isinstance(lost.orig, sqlite3.Error):
        known = _of_sqlite(lost.orig, home)
        return lost if known is lost.orig else known
    state = code_of(lost)
    if state == "53100":
        return Full("the database server's disk is full")
    # SQLSTATE classes: connection, resources, operator intervention; without one the link broke.
    away = state is None or str(state)[:2] in {"08", "53", "57"} or state in {"40001", "40P01", "55P03", "25P03"}
    if lost.connection_invalidated or (away and isinstance(lost, SQLAlchemyError) and _operational(lost)):
        # The driver's first line names host, user and database, never a password.
        said = next(iter(str(lost.orig).splitlines()), "")[:200]
        return Unreachable(f"the database server does not answer: {said}")
    return lost


def wrote(lost: Exception) -> bool:
    """Whether a look was refused because it tried to write."""
    return code_of(lost) in {sqlite3.SQLITE_READONLY, "25006"}


def clashed(lost: Exception) -> bool:
    """Whether the database gave this transaction up in favour of another one: it may be run again."""
    return code_of(lost) in {"40001", "40P01"}


def _operational(lost: DBAPIError) -> bool:
    return type(lost).__name__ in {"OperationalError", "InterfaceError", "InternalError"}


def _of_sqlite(lost: sqlite3.Error, home: Path | None) -> Exception:
    code = getattr(lost, "sqlite_errorcode", None)
    if code is None:
        return lost
    plain = code & 0xFF
    if code in _SQLITE_FULL or (plain in {sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN} and _no_room(home)):
        return Full("the disk is full")
    if plain in _SQLITE_AWAY:
        return Unreachable(f"the database does not answer ({getattr(lost, 'sqlite_errorname', code)})")
    if plain in _SQLITE_DAMAGED:
        return Misconfigured("the database is damaged: a restart sets it aside and saves what can be read")
    return lost


def _no_room(home: Path | None) -> bool:
    try:
        return home is not None and shutil.disk_usage(home).free < _ROOM
    except OSError:
        return False


def _sqlite(file: Path, connections: int, pragmas: tuple[str, ...]) -> Engine:
    engine = create_engine(
        URL.create("sqlite", database=str(file)),
        poolclass=QueuePool,
        pool_size=connections,
        max_overflow=0,
        # isolation_level None: the driver begins nothing by itself (its own BEGIN lost 390 of 500 updates).
        connect_args={"isolation_level": None, "timeout": BUSY_S, "check_same_thread": False},
    )

    def prepare(raw: sqlite3.Connection, _: object) -> None:
        for pragma in pragmas:
            raw.execute(f"PRAGMA {pragma}").close()

    event.listen(engine, "connect", prepare)
    return engine


def _begin_with(engine: Engine, statement: str) -> Engine:
    def begin(connection: Connection) -> None:
        connection.exec_driver_sql(statement)

    event.listen(engine, "begin", begin)
    return engine


def _url(url: str) -> URL:
    try:
        parsed = make_url(url)
    except ArgumentError as bad:  # not its message: a URL holds a password
        raise Misconfigured("[store] url is not a database URL such as postgresql+psycopg://host/name") from bad
    if parsed.get_backend_name() != "postgresql":
        raise Misconfigured(f"[store] url: {parsed.get_backend_name()} is not known; use postgresql+psycopg://")
    if find_spec("psycopg") is None:
        raise Misconfigured('[store] url: PostgreSQL needs a driver: pip install "andon-gateway[postgres]"')
    return parsed.set(drivername="postgresql+psycopg")


def _connect(url: URL, more: str = "") -> dict[str, Any]:
    asked = url.query.get("options", "")
    options = f"{asked if isinstance(asked, str) else ' '.join(asked)} {_SESSION}{more}"
    return {"options": options, "connect_timeout": 5, "application_name": "andon"}
