"""Folder: which files are complete, what they hold, and where they go when they were taken. Blocking."""

import errno
import fnmatch
import itertools
import os
import shutil
import stat
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

import structlog

from connectors.line.filename import shown
from connectors.line.shapes import Unfit

log: structlog.stdlib.BoundLogger = structlog.get_logger()
_MOST_SEEN = 100_000
_EMPTY_S = 60.0
"""For so long an empty file is taken for one whose writer has only begun."""


class Manners(Protocol):
    """How files of a folder are treated; the settings of the drop folder."""

    @property
    def path(self) -> str: ...  # noqa: D102 (named in the settings, as all of these)
    @property
    def ignore(self) -> tuple[str, ...]: ...  # noqa: D102
    @property
    def settle(self) -> float: ...  # noqa: D102
    @property
    def largest(self) -> int: ...  # noqa: D102
    @property
    def keep(self) -> int: ...  # noqa: D102
    @property
    def order(self) -> str: ...  # noqa: D102
    @property
    def after(self) -> str: ...  # noqa: D102
    @property
    def done_at(self) -> Path: ...  # noqa: D102
    @property
    def bad_at(self) -> Path: ...  # noqa: D102


class Folder:
    """One folder and what is below it. Links are never followed, and nothing but plain files is touched."""

    def __init__(self, manners: Manners) -> None:
        self._manners, self._root = manners, Path(manners.path)
        self._seen: dict[str, tuple[int, int, float]] = {}
        self._closed: set[Path] = set()

    def complete(self, most: int) -> list[Path]:
        """Give files whose size and time stood still for long enough, the oldest first. Raises OSError."""
        now = time.monotonic()
        seen: dict[str, tuple[int, int, float]] = {}
        ready: list[tuple[int, str]] = []
        for entry, size, changed in self._files():
            before = self._seen.get(entry)
            since = before[2] if before is not None and before[:2] == (size, changed) else now
            seen[entry] = (size, changed, since)
            if now - since >= (self._manners.settle if size else max(_EMPTY_S, self._manners.settle)):
                ready.append((changed if self._manners.order == "time" else 0, entry))
        self._seen = seen
        return [Path(entry) for _, entry in sorted(ready)[:most]]

    def _files(self) -> Iterator[tuple[str, int, int]]:
        """Give path, size and time of writing of every file that is neither put away nor ignored."""
        aside = {self._manners.done_at.resolve(), self._manners.bad_at.resolve()}
        waiting, found = [self._root], 0
        while waiting and found < _MOST_SEEN:
            folder = waiting.pop()
            for entry in self._entries(folder):
                if any(fnmatch.fnmatch(entry.name, pattern) for pattern in self._manners.ignore):
                    continue
                if entry.is_dir(follow_symlinks=False):
                    if Path(entry.path).resolve() not in aside:
                        waiting.append(Path(entry.path))
                elif entry.is_file(follow_symlinks=False):
                    try:
                        held = entry.stat(follow_symlinks=False)
                    except FileNotFoundError:
                        continue
                    yield entry.path, held.st_size, held.st_mtime_ns
                    found += 1

    def _entries(self, folder: Path) -> list[os.DirEntry[str]]:
        """List a folder. One below the root that cannot be listed is said once. Raises OSError for the root."""
        try:
            with os.scandir(folder) as entries:
                listed = list(itertools.islice(entries, _MOST_SEEN))
        except OSError as lost:
            if folder == self._root:
                raise
            if folder not in self._closed:
                self._closed.add(folder)
                log.warning("drop.folder.closed", folder=shown(str(folder)), why=lost.strerror)
            return []
        self._closed.discard(folder)
        return listed

    def content(self, path: Path) -> tuple[bytes, datetime]:
        """Give what a file holds, and when it was written (aware UTC). Raises `Unfit`, OSError."""
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with open(handle, "rb") as file:  # noqa: PTH123 (a handle, not a path)
            held = os.fstat(handle)
            if not stat.S_ISREG(held.st_mode):
                raise Unfit("not a plain file")
            if held.st_size > self._manners.largest:
                raise Unfit(f"{held.st_size} bytes are more than {int(self._manners.largest)} (setting: largest)")
            if not held.st_size:
                raise Unfit("the file is empty")
            content = file.read(held.st_size + 1)
        if len(content) != held.st_size:
            raise Unfit("the file changed while it was read")
        return content, datetime.fromtimestamp(held.st_mtime, UTC)

    def put_away(self, good: Sequence[Path], bad: Sequence[tuple[Path, str]]) -> None:
        """Move or delete what was taken; put what could not be taken aside with its reason. Raises OSError."""
        for path in good:
            if self._manners.after == "delete":
                path.unlink(missing_ok=True)
            else:
                _move(path, self._manners.done_at)
        for path, why in bad:
            log.warning("drop.file.bad", folder=self._manners.path, file=shown(path.name), why=why)
            there = _move(path, self._manners.bad_at)
            if there is not None:
                there.with_name(there.name + ".why").write_text(why + "\n", "utf-8")
        if good and self._manners.after == "move":
            _thin(self._manners.done_at, self._manners.keep)
        if bad:
            _thin(self._manners.bad_at, 2 * self._manners.keep)


def _move(path: Path, folder: Path) -> Path | None:
    """Move a file into a folder, beside what is already there under its name; None when it is gone."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in itertools.count():
        there = folder / (path.name if not number else f"{path.stem}.{number}{path.suffix}")
        if not there.exists():
            break
    try:
        path.rename(there)
    except FileNotFoundError:
        return None
    except OSError as lost:
        if lost.errno != errno.EXDEV:
            raise
        # Another file system: a copy that is cut short must not stand under the name.
        half = there.with_name(there.name + ".part")
        shutil.copy2(path, half)
        half.rename(there)
        path.unlink(missing_ok=True)
    return there


def _thin(folder: Path, keep: int) -> None:
    """Delete the oldest files beyond `keep`."""
    with os.scandir(folder) as entries:
        held = sorted(
            (entry.stat().st_mtime_ns, entry.path) for entry in entries if entry.is_file(follow_symlinks=False)
        )
    for _, path in held[: max(0, len(held) - keep)]:
        Path(path).unlink(missing_ok=True)
