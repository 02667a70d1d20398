"""File tail: new lines of a log file, across rotation, truncation and our own restarts."""

import asyncio
import os
import re
import threading
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from io import FileIO
from pathlib import Path
from typing import Annotated
from zoneinfo import ZoneInfo

import msgspec

from connectors.line.lines import MOST_TEXT, read_line
from connectors.line.tags import FileName
from gateway.core.batch import Batch, TagState
from gateway.core.errors import Unreachable
from gateway.core.ports import NOTHING, Clock, LineSource
from gateway.core.reading import LogLine, Name
from gateway.core.units import Duration

SAMPLE = """
[line.logfile]
protocol = "tail"
path = "/var/log/spindle.log"
asset = "M-07"
state = "/var/lib/andon/logfile.state"   # how far we are; without it a restart begins at the end
timezone = "Asia/Shanghai"               # of time stamps without an offset
"""
_CHUNK = 262_144
_MOST_LINES = 1000
_LONGEST = MOST_TEXT * 4


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One log file of one asset.

    `state` keeps how far the committed lines go; with it a file that is new to us is read from its
    beginning, without it from its end (`whole = true`: from its beginning).
    """

    name: Name
    path: FileName
    asset: Name
    state: FileName | None = None
    whole: bool = False
    encoding: str = "utf-8"
    timezone: str = "UTC"
    poll: Duration = Duration(0.25)
    most_lines: Annotated[int, msgspec.Meta(ge=1, le=100_000)] = _MOST_LINES

    def __post_init__(self) -> None:
        try:
            feed = "\n".encode(self.encoding)
            ZoneInfo(self.timezone)
        except (LookupError, ValueError) as fault:
            raise ValueError(f"unknown encoding or timezone: {fault}") from fault
        if feed != b"\n":
            raise ValueError(f"encoding {self.encoding}: lines must end with the byte 10 (utf-8, gb18030, latin-1)")
        if self.poll <= 0:
            raise ValueError("poll must be longer than 0s")

    def open(self) -> LineSource:
        """Make the source; it opens the file when its first batch is asked for."""
        return Tail(self)


class Mark(msgspec.Struct, frozen=True):
    """How far a file was read and committed."""

    inode: int
    offset: int


class Tail:
    """New lines of one file; a `LineSource`. A file that is not there yet is waited for."""

    def __init__(self, settings: Settings, now: Clock = lambda: datetime.now(UTC)) -> None:
        self._settings, self._now = settings, now
        self._zone = ZoneInfo(settings.timezone)
        self._reader = Reader(Path(settings.path), settings.most_lines)
        self._stop = asyncio.Event()
        self._used = False
        self._sequence = 0
        self._last: datetime | None = None

    @property
    def name(self) -> str:
        """The line's name in andon.toml."""
        return self._settings.name

    def tags(self) -> Sequence[TagState]:
        """The file: whether it is there."""
        there = self._reader.is_open
        detail = "" if there else f"{self._settings.path} is not there"
        return [TagState(self.name, f"{self._settings.asset}/log", there, detail, self._last)]

    async def batches(self, memory: Mapping[str, bytes] = NOTHING) -> AsyncIterator[Batch]:
        """Give the lines; see `LineSource`. Raises `Unreachable` when the file cannot be read."""
        if self._used:
            raise Unreachable(f"{self.name}: this source was used; open a new one")
        self._used = True
        try:
            kept = await asyncio.to_thread(self._resume)
            while not self._stop.is_set():
                lines = await self._read()
                if not kept and self._reader.is_open:  # a file that is rotated away before its first commit is found
                    kept = await asyncio.to_thread(self._keep, self._reader.origin)
                if not lines:
                    await self._pause()
                    continue
                batch = self._batch(lines)
                if batch.lines:
                    yield batch
                await asyncio.to_thread(self._keep, self._reader.mark)
        finally:
            await self.close()

    async def close(self) -> None:
        """Close the file. May be called at any time, twice too."""
        self._used = True
        self._stop.set()
        self._reader.close()

    async def _read(self) -> list[bytes]:
        try:
            return await asyncio.to_thread(self._reader.read)
        except OSError as lost:
            raise Unreachable(f"{self.name}: {self._settings.path}: {lost.strerror}") from lost

    async def _pause(self) -> None:
        try:
            async with asyncio.timeout(self._settings.poll):
                await self._stop.wait()
        except TimeoutError:
            return

    def _batch(self, lines: list[bytes]) -> Batch:
        at = self._now()
        said = [read_line(line, self._zone, self._settings.encoding) for line in lines]
        self._last, self._sequence = at, self._sequence + 1
        atoms = tuple(LogLine(self._settings.asset, it.text, it.severity, it.at, at) for it in said if it.text)
        return Batch(self.name, self._sequence, at, lines=atoms)

    def _resume(self) -> bool:
        """Go on where the state says; False when there is none."""
        mark = None
        state = self._settings.state
        if state is not None:
            try:
                mark = msgspec.json.decode(Path(state).read_bytes(), type=Mark)
            except (OSError, msgspec.DecodeError):
                mark = None  # new here, or torn: reading lines twice is better than not at all
        self._reader.start(mark, from_end=mark is None and state is None and not self._settings.whole)
        return mark is not None

    def _keep(self, mark: Mark) -> bool:
        """Write down how far the committed lines go, whole or not at all."""
        if self._settings.state is None:
            return True
        state = Path(self._settings.state)
        draft = state.with_name(state.name + ".new")
        try:
            state.parent.mkdir(parents=True, exist_ok=True)
            with draft.open("wb") as file:
                file.write(msgspec.json.encode(mark))
                file.flush()
                os.fsync(file.fileno())
            draft.replace(state)
        except OSError as lost:
            raise Unreachable(f"{self.name}: {state} cannot be written: {lost.strerror}") from lost
        return True


class Reader:
    """Reads whole lines of a path, whatever file stands there. Blocking."""

    def __init__(self, path: Path, most_lines: int) -> None:
        self._path, self._most = path, most_lines
        self._file: FileIO | None = None
        self._rest = b""
        self._offset = 0
        self._inode = 0
        self._skip_to_end = False
        self._closed = False
        self.origin = Mark(0, 0)
        self._lock = threading.Lock()  # a close may come while a thread reads

    @property
    def is_open(self) -> bool:
        """Whether a file is being read."""
        return self._file is not None

    @property
    def mark(self) -> Mark:
        """How far whole lines were given."""
        return Mark(self._inode, self._offset)

    def start(self, mark: Mark | None, *, from_end: bool) -> None:
        """Begin where the mark says: in the file of that inode, even when it was renamed meanwhile."""
        self._skip_to_end = from_end
        if mark is None:
            return
        for _, inode, path in self._family():
            if inode == mark.inode and path.stat().st_size >= mark.offset:
                self._open(path)
                self._seek(mark.offset)
                return

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._closed = True
            if self._file is not None:
                self._file.close()
                self._file = None

    def read(self) -> list[bytes]:
        """Give the next whole lines; [] when there is nothing new. Raises OSError."""
        with self._lock:
            return self._read()

    def _read(self) -> list[bytes]:
        if self._closed:
            return []
        if self._file is None and not self._open_new():
            return []
        return list(self._lines()) or self._move_on()

    def _open_new(self) -> bool:
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
        self._file, self._inode = file, os.fstat(file.fileno()).st_ino
        self._seek(0)

    def _seek(self, offset: int) -> None:
        if self._file is not None:
            self._file.seek(offset)
            self._offset, self._rest = offset, b""
            self.origin = self.mark

    def _move_on(self) -> list[bytes]:
        """The file is read to its end: see whether it was cut, or another one stands at its path."""
        file = self._file
        if file is None:
            return []
        if os.fstat(file.fileno()).st_size < self._offset + len(self._rest):
            self._seek(0)
            return list(self._lines())
        try:
            if self._path.stat().st_ino == self._inode:
                return []
        except FileNotFoundError:
            return []
        if last := list(self._lines()) or ([self._rest] if self._rest else []):  # written just before the rename
            self._offset, self._rest = self._offset + len(self._rest), b""
            return last
        following = self._next(os.fstat(file.fileno()).st_mtime_ns)
        file.close()
        self._open(following)
        return list(self._lines())

    def _next(self, behind: int) -> Path:
        """Find the file that was begun after ours: the path itself, or one that was rotated away meanwhile."""
        found = [(when, path) for when, inode, path in self._family() if inode != self._inode and when >= behind]
        return min(found)[1] if found else self._path

    def _family(self) -> list[tuple[int, int, Path]]:
        """The log file and its rotated brothers, with time of last writing and inode."""
        brothers = re.compile(re.escape(self._path.name) + r"(?:[.-]\d[\d_.-]*)?")
        family: list[tuple[int, int, Path]] = []
        for path in self._path.parent.iterdir():
            if not brothers.fullmatch(path.name):
                continue
            try:
                found = path.stat()
            except FileNotFoundError:
                continue
            family.append((found.st_mtime_ns, found.st_ino, path))
        return family

    def _lines(self) -> Iterator[bytes]:
        if self._file is None:
            return
        while True:
            *whole, rest = self._rest.split(b"\n")
            for taken, line in enumerate(whole[: self._most], 1):
                self._offset += len(line) + 1
                yield line.rstrip(b"\r")
                if taken == self._most:
                    rest = b"\n".join((*whole[self._most :], rest))
            self._rest = rest
            if whole:
                return
            if len(rest) > _LONGEST:  # a line without an end is given in pieces, not kept for ever
                self._offset += len(rest)
                self._rest = b""
                yield rest
                return
            more = self._file.read(_CHUNK)
            if not more:
                return
            self._rest += more
