"""A damaged SQLite file: set aside, and what can be read of it saved into a fresh one, orders first."""

import contextlib
import errno
import fcntl
import os
import sqlite3
import zlib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import structlog
from sqlalchemy import Engine, Table, select

from gateway.core.delivery import Delivery, DeliveryState
from gateway.core.errors import Full, Misconfigured, Unreachable
from gateway.core.order import WorkOrder
from gateway.store import tables
from gateway.store.audit import Trail
from gateway.store.documents import unpack
from gateway.store.outbox import put_delivery
from gateway.store.schema import bring_up

log: structlog.stdlib.BoundLogger = structlog.get_logger()

PRECIOUS = (
    tables.orders,
    tables.order_versions,
    tables.outbox,
    tables.audit,
    tables.reports,
    tables.episodes,
    tables.inbox,
    tables.production_orders,
    tables.handovers,
    tables.subscribers,
    tables.outgoing,
    tables.keepsakes,
    tables.cursors,
    tables.pins,
    tables.configs,
    tables.set_aside,
    tables.blobs,
)
BULKY = (tables.diagnoses, tables.journal)
_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


class Hold:
    """A shared lock on a folder, held while its database is open: nobody rescues what another one uses."""

    def __init__(self, folder: Path) -> None:
        self._file = (folder / "andon.lock").open("ab")

    def take(self, *, alone: bool) -> bool:
        """Take the lock, alone or shared; False when others are in the way."""
        try:
            fcntl.flock(self._file, (fcntl.LOCK_EX if alone else fcntl.LOCK_SH) | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def close(self) -> None:
        """Give the lock up. May be called twice."""
        self._file.close()


def whole(file: Path, make: Callable[[Path], Engine]) -> Hold:
    """Make sure of a folder and of a database in it that is not damaged; gives the lock to hold while it is open.

    Raises `Misconfigured` when the folder cannot be used or another process has the damaged file open,
    `Unreachable` while another process rescues it.
    """
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        hold = Hold(file.parent)
    except OSError as lost:
        raise _unusable(file, lost) from lost
    try:
        _check(file, hold, make)
        try:
            private(file)
        except OSError as lost:
            raise _unusable(file, lost) from lost
    except BaseException:
        hold.close()
        raise
    return hold


def _unusable(file: Path, lost: OSError) -> Exception:
    if lost.errno in (errno.ENOSPC, errno.EDQUOT):
        return Full("the disk is full")
    return Misconfigured(f"[store] path: {file.parent} cannot be used: {lost.strerror}")


def _check(file: Path, hold: Hold, make: Callable[[Path], Engine]) -> None:
    if not hold.take(alone=False):
        raise Unreachable("the database is being rescued by another process")
    if not _saved(file).exists() and damaged(file) is None:
        return
    if not hold.take(alone=True):
        raise Misconfigured(f"{file} is damaged and another process has it open; stop that one first")
    finish(file)
    why = damaged(file)
    if why is not None:
        rescue(file, why, make)
    hold.take(alone=False)


def private(file: Path) -> None:
    """Make a database file for its owner alone, unless it is there: it holds reports and the line's session tokens.

    What SQLite puts beside it gets the same mode.
    """
    with contextlib.suppress(FileExistsError):
        os.close(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))


def suspect(file: Path) -> Path:
    """The mark beside a database that a look met damage in: the next start checks all of it."""
    return file.with_name(f"{file.name}.suspect")


def damaged(file: Path) -> str | None:
    """Say what is wrong with a database file, or None.

    A file that was closed well is only opened. One that was not (its WAL is still there) has its
    small tables checked page by page, one that is suspect all of them.
    """
    if not file.exists() or file.stat().st_size == 0:
        return None
    wal = Path(f"{file}-wal")
    which = [*PRECIOUS, *BULKY] if suspect(file).exists() else [*PRECIOUS[:11]]
    careful = suspect(file).exists() or (wal.exists() and wal.stat().st_size > 0)
    try:
        with contextlib.closing(sqlite3.connect(file, isolation_level=None, timeout=5)) as raw:
            known = {name for (name,) in raw.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            for table in which if careful else ():
                if table.name in known:
                    [said] = raw.execute(f"PRAGMA quick_check({table.name})").fetchone()
                    if said != "ok":
                        return str(said)
    except sqlite3.DatabaseError as lost:
        if (getattr(lost, "sqlite_errorcode", 0) & 0xFF) in _DAMAGED:
            return str(lost)
        raise
    suspect(file).unlink(missing_ok=True)
    return None


def finish(file: Path) -> None:
    """Finish, or take back, a rescue that was cut off."""
    saved = _saved(file)
    if saved.exists() and not file.exists():
        # The damaged file's WAL must not be taken for that of the saved one.
        for tail in ("-wal", "-shm"):
            Path(f"{file}{tail}").unlink(missing_ok=True)
        saved.rename(file)
    _forget(saved)


def rescue(file: Path, why: str, make: Callable[[Path], Engine]) -> Path:
    """Save what can be read of a damaged file; gives where the damaged one now lies.

    `make` opens an engine on a file. The fresh database is whole before the damaged one is moved, so
    that a rescue may be cut off anywhere and started again.
    """
    now = datetime.now(UTC)
    saved = _saved(file)
    private(saved)
    engine = make(saved)
    try:
        bring_up(engine)
        counts = _copy(file, saved)
        _mend(engine, now)
        aside = file.with_name(f"{file.name}.damaged-{now:%Y%m%dT%H%M%SZ}")
        with engine.begin() as connection:
            told = msgspec.json.encode({"aside": aside.name, "why": why[:200], "saved": counts}).decode()
            Trail(connection).note("store.salvaged", "store", now, told)
    finally:
        engine.dispose()
    for tail in ("", "-wal"):
        with contextlib.suppress(FileNotFoundError):
            Path(f"{file}{tail}").rename(f"{aside}{tail}")
    Path(f"{file}-shm").unlink(missing_ok=True)
    saved.rename(file)
    suspect(file).unlink(missing_ok=True)
    _sync(file.parent)
    log.error("store.damaged", why=why, aside=aside.name, saved=counts)
    return aside


def _copy(old: Path, new: Path) -> dict[str, int]:
    counts: dict[str, int] = {}
    with (
        contextlib.closing(sqlite3.connect(old, isolation_level=None, timeout=5)) as source,
        contextlib.closing(sqlite3.connect(new, isolation_level=None, timeout=5)) as target,
    ):
        for table in (*PRECIOUS, *BULKY):
            target.execute("BEGIN IMMEDIATE")
            try:
                counts[table.name] = _copy_table(source, target, table)
                target.execute("COMMIT")
            except sqlite3.OperationalError:
                # Most likely no room for a second journal; orders cannot be left out.
                if table in PRECIOUS:
                    raise
                target.execute("ROLLBACK")
        _go_on_from(source, target)
    return counts


def _copy_table(source: sqlite3.Connection, target: sqlite3.Connection, table: Table) -> int:
    names = _columns(source, table)
    if not names:
        return 0
    listed = ", ".join(f'"{name}"' for name in names)
    marks = ", ".join("?" * len(names))
    before = target.total_changes
    # Names of our own tables and columns only.
    put = f"INSERT OR IGNORE INTO {table.name} ({listed}) VALUES ({marks})"  # noqa: S608
    for row in _readable(source, table, listed):
        target.execute(put, row)
    return target.total_changes - before


def _columns(source: sqlite3.Connection, table: Table) -> list[str]:
    try:
        found = {row[1] for row in source.execute(f"PRAGMA table_info({table.name})")}
    except sqlite3.DatabaseError:
        return []
    return [column.name for column in table.columns if column.name in found]


def _readable(source: sqlite3.Connection, table: Table, listed: str) -> Iterator[tuple[Any, ...]]:
    """Rows from the front up to the damage, then from the back up to it."""
    last = -1
    for order in ("ASC", "DESC"):
        look = f"SELECT rowid, {listed} FROM {table.name} WHERE rowid > ? ORDER BY rowid {order}"  # noqa: S608 - ours
        try:
            for number, *row in source.execute(look, (last,)):
                last = max(last, number) if order == "ASC" else last
                yield tuple(row)
        except sqlite3.DatabaseError:
            continue
        return


def _go_on_from(source: sqlite3.Connection, target: sqlite3.Connection) -> None:
    """Let journal numbers go on where they were: a cursor must not wait for numbers that come again."""
    reached = target.execute("SELECT max(number) FROM cursors").fetchone()[0] or 0
    with contextlib.suppress(sqlite3.DatabaseError):
        found = source.execute("SELECT seq FROM sqlite_sequence WHERE name = 'journal'").fetchone()
        reached = max(reached, found[0] if found else 0)
    held = target.execute("SELECT seq FROM sqlite_sequence WHERE name = 'journal'").fetchone()
    if held is None:
        target.execute("INSERT INTO sqlite_sequence (name, seq) VALUES ('journal', ?)", (reached,))
    elif held[0] < reached:
        target.execute("UPDATE sqlite_sequence SET seq = ? WHERE name = 'journal'", (reached,))


def _mend(engine: Engine, now: datetime) -> None:
    """Make orders and outbox fit again: an order without its delivery may have been sent, so the ERP is asked."""
    with engine.begin() as connection:
        known = select(tables.orders.c.key)
        connection.execute(tables.outbox.delete().where(tables.outbox.c.key.not_in(known)))
        sent = select(tables.outbox.c.key)
        look = select(tables.orders.c.body, tables.orders.c.erp).where(tables.orders.c.key.not_in(sent))
        for body, erp in connection.execute(look).all():
            try:
                order = unpack(body, WorkOrder)
            except (msgspec.MsgspecError, zlib.error):
                log.exception("store.order_unreadable")
                continue
            why = "its delivery was lost in a damaged database"
            lost = Delivery(order.key, order.lane, erp, DeliveryState.UNCERTAIN, 1, now, None, now, why, None, now)
            row = msgspec.structs.replace(lost, version=order.version)
            put_delivery(connection, row)


def _saved(file: Path) -> Path:
    return file.with_name(f"{file.name}.saved")


def _forget(file: Path) -> None:
    for tail in ("", "-wal", "-shm", "-journal"):
        Path(f"{file}{tail}").unlink(missing_ok=True)


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
