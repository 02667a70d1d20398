"""Follow: whole lines of a log file, whatever file stands at its path. Blocking."""

import hashlib
import os
import re
import threading
from collections import deque
from collections.abc import Iterator
from io import FileIO
from pathlib import Path

import msgspec

from connectors.line.lines import MOST_TEXT

_CHUNK = 262_144
_LONGEST = MOST_TEXT * 4
_HEAD = 256


class Mark(msgspec.Struct, frozen=True, array_like=True):
    """How far a file was read: which file, by inode and the digest of its first `known` bytes, and where."""

    inode: int = 0
    offset: int = 0
    known: int = 0
    head: bytes = b""


class Raw(msgspec.Struct, frozen=True):
    """A line without its end, and how far the file is read with it."""

    text: bytes
    after: Mark


class Follower:
    """Reads whole lines of a path: across renaming, across copying and truncating, and where a mark says."""

    def __init__(self, path: Path, most_lines: int) -> None:
        self._path, self._most = path, most_lines
        self._file: FileIO | None = None
        self._rest = b""
        self._offset = 0
        self._inode = 0
        self._known, self._head = 0, b""
        self._past: deque[int] = deque(maxlen=32)
        self._skip_to_end = False
        self._sought: Mark | None = None
        self._closed = False
        self._lock = threading.Lock()  # a close may come while a thread reads

    @property
    def is_open(self) -> bool:
        """Whether a file is being read."""
        return self._file is not None

    @property
    def mark(self) -> Mark:
        """How far whole lines were given."""
        return Mark(self._inode, self._offset, self._known, self._head)

    def start(self, mark: Mark | None, *, from_end: bool) -> None:
        """Begin where the mark says: in that file, even when it was renamed or copied meanwhile. Raises OSError."""
        self._skip_to_end, self._sought = from_end, mark
        self._find_marked()

    def _find_marked(self) -> bool:
        """Go on where the mark says. It is sought until a file was opened: one that cannot be read now may be later."""
        mark = self._sought
        if mark is None:
            return False
        family = self._family()
        found = [path for path in family if self._is_marked(path, mark)]
        if not found and mark.known:
            found = [path for path in family if self._is_marked(path, mark, renamed=False)]
        if not found:
            return False
        self._open(found[0])
        self._seek(mark.offset)
        return True

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._closed = True
            if self._file is not None:
                self._file.close()
                self._file = None

    def read(self) -> list[Raw]:
        """Give the next whole lines; [] when there is nothing new. Raises OSError."""
        with self._lock:
            if self._closed or (self._file is None and not self._open_new()):
                return []
            if self._was_cut():
                self._go_on_in_copy()
            return list(self._lines()) or self._move_on()

    def _open_new(self) -> bool:
        if self._find_marked():
            return True
        try:
            self._open(self._path)
        except FileNotFoundError:
            self._skip_to_end = False  # what appears later is read whole
            return False
        if self._skip_to_end and self._file is not None:
            self._seek(os.fstat(self._file.fileno()).st_size)
        self._skip_to_end = False
        return True

    def _open(self, path: Path) -> None:
        file = FileIO(path)
        if self._file is not None:
            self._file.close()
        self._file, self._inode, self._sought = file, os.fstat(file.fileno()).st_ino, None
        self._seek(0)

    def _seek(self, offset: int) -> None:
        if self._file is not None:
            self._file.seek(offset)
            self._offset, self._rest = offset, b""
            self._known, self._head = 0, b""
            self._learn()

    def _learn(self) -> None:
        """Know the file by its first bytes, as far as they were read."""
        if self._file is not None and self._known < _HEAD and self._known < self._offset:
            self._known = min(self._offset, _HEAD)
            self._head = _digest(os.pread(self._file.fileno(), self._known, 0))

    def _was_cut(self) -> bool:
        """Say whether the file was truncated, be it that it has grown again since."""
        if self._file is None:
            return False
        handle = self._file.fileno()
        if os.fstat(handle).st_size < self._offset:
            return True
        return self._known > 0 and _digest(os.pread(handle, self._known, 0)) != self._head

    def _go_on_in_copy(self) -> None:
        """What was written before the truncation stands in the copy, when there is one; else begin again."""
        before, mark = self._inode, self.mark
        for path in self._family():
            if path.stat().st_ino != before and self._is_marked(path, mark, renamed=False):
                self._open(path)
                self._seek(mark.offset)
                return
        self._seek(0)

    def _is_marked(self, path: Path, mark: Mark, *, renamed: bool = True) -> bool:
        """Say whether a file is the marked one (`renamed`), or else a copy of it."""
        try:
            with FileIO(path) as file:
                found = os.fstat(file.fileno())
                same = not renamed or found.st_ino == mark.inode
                long_enough = found.st_size >= mark.offset
                return same and long_enough and _digest(os.pread(file.fileno(), mark.known, 0)) == mark.head
        except FileNotFoundError:
            return False

    def _move_on(self) -> list[Raw]:
        """The file is read to its end: see whether another one stands at its path."""
        file = self._file
        if file is None:
            return []
        try:
            if self._path.stat().st_ino == self._inode:
                return []
        except FileNotFoundError:
            return []
        if last := list(self._lines()):  # written just before the rename
            return last
        if self._rest:
            self._offset += len(self._rest)
            last = [Raw(self._rest, self.mark)]
            self._rest = b""
            return last
        self._past.append(self._inode)
        self._open(self._next(os.fstat(file.fileno()).st_mtime_ns))
        return list(self._lines())

    def _next(self, behind: int) -> Path:
        """Find the file that was begun after ours: one that was rotated away meanwhile, else the path itself.

        Files are told apart by their last writing; the clock of a file system ticks so slowly that the path's may
        be the same as that of the file rotated just before: then the path comes last.
        """
        found: list[tuple[int, bool, Path]] = []
        for path in self._family():
            try:
                held = path.stat()
            except FileNotFoundError:
                continue
            rotated = path != self._path
            if held.st_ino == self._inode or (rotated and held.st_ino in self._past):
                continue
            if held.st_mtime_ns >= behind:
                found.append((held.st_mtime_ns, not rotated, path))
        return min(found)[2] if found else self._path

    def _family(self) -> list[Path]:
        """The log file and its rotated brothers; packed ones (.gz) are none."""
        brothers = re.compile(re.escape(self._path.name) + r"(?:[.-]\d[\d_.-]*)?")
        try:
            return [path for path in self._path.parent.iterdir() if brothers.fullmatch(path.name) and path.is_file()]
        except FileNotFoundError:
            return []

    def _lines(self) -> Iterator[Raw]:
        if self._file is None:
            return
        while True:
            *whole, rest = self._rest.split(b"\n")
            for taken, line in enumerate(whole[: self._most], 1):
                self._offset += len(line) + 1
                self._learn()
                yield Raw(line.rstrip(b"\r"), self.mark)
                if taken == self._most:
                    rest = b"\n".join((*whole[self._most :], rest))
            self._rest = rest
            if whole:
                return
            if len(rest) > _LONGEST:  # a line without an end is given in pieces, not kept for ever
                self._offset += len(rest)
                self._learn()
                self._rest = b""
                yield Raw(rest, self.mark)
                return
            more = self._file.read(_CHUNK)
            if not more:
                return
            self._rest += more


def _digest(head: bytes) -> bytes:
    return hashlib.blake2b(head, digest_size=8).digest() if head else b""
