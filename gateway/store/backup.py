"""A copy of the database while it runs."""

import contextlib
import sqlite3
from pathlib import Path

from gateway.core.errors import Full, Misconfigured, Refused
from gateway.store.engine import translate
from gateway.store.salvage import private
from gateway.store.settings import Settings

LINE_MEMORY = "line."
"""What the names of the memory of the line's sources begin with."""
_PAGES = 2000  # a step; writers wait no longer than one takes


def backup(settings: Settings, target: Path) -> int:
    """Copy the SQLite database to `target`; gives its size in bytes. The gateway may run meanwhile.

    The copy is for its owner alone (mode 0600). What the line's sources remember is left out: it holds
    session tokens, and a session that is resumed from a copy would take it away from the gateway.
    The copy appears under its name when it is whole. Raises `Refused` for a server database, for a
    target that exists and for a store that does not; `Full` when there is no room.
    """
    if settings.url is not None:
        raise Refused("a PostgreSQL database is copied with pg_dump")
    if target.exists():
        raise Refused(f"{target} exists already")
    if not settings.file.exists():
        raise Refused(f"{settings.file} does not exist")
    part = target.with_name(f"{target.name}.part")
    try:
        _copy(settings.file, part)
        part.rename(target)
    except sqlite3.Error as lost:
        known = translate(lost, target.parent)
        if isinstance(known, Full | Misconfigured):
            raise known from lost
        raise Refused(f"the copy to {target} failed: {lost}") from lost
    finally:
        part.unlink(missing_ok=True)
    return target.stat().st_size


def _copy(file: Path, part: Path) -> None:
    part.unlink(missing_ok=True)
    private(part)
    with contextlib.closing(sqlite3.connect(file)) as source, contextlib.closing(sqlite3.connect(part)) as copy:
        source.backup(copy, pages=_PAGES)
        # Overwritten, not only unlinked: a token must not lie in a free page.
        copy.execute("PRAGMA secure_delete = ON").close()
        copy.execute(f"DELETE FROM keepsakes WHERE name GLOB '{LINE_MEMORY}*'").close()  # noqa: S608 - a constant of ours
        copy.commit()
        # A copy is one file: its journal mode must not leave a second one beside it.
        copy.execute("PRAGMA journal_mode = DELETE").close()


def check(file: Path) -> list[str]:
    """Read a whole SQLite database and name what is wrong with it; [] when nothing is. Slow: every page is read."""
    if not file.exists():
        return [f"{file} does not exist"]
    try:
        with contextlib.closing(sqlite3.connect(file)) as raw:
            said = [str(row[0]) for row in raw.execute("PRAGMA integrity_check")]
            orphans = raw.execute("PRAGMA foreign_key_check").fetchall()
    except sqlite3.DatabaseError as lost:
        return [str(lost)]
    wrong = [line for line in said if line != "ok"]
    return wrong + [f"{table} row {row} points at a missing {parent}" for table, row, parent, _ in orphans]
