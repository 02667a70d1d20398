"""File tail: new lines of log files, each once, across rotation, truncation and our own restarts."""

import asyncio
import glob
import hashlib
import os
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated
from zoneinfo import ZoneInfo

import msgspec

from connectors.files import FileName
from connectors.line.filename import shown
from connectors.line.follow import Follower, Mark, Raw
from connectors.line.lines import read_line
from gateway.core.batch import Batch, TagState
from gateway.core.errors import Unreachable
from gateway.core.ports import NOTHING, Clock, LineSource
from gateway.core.reading import LogLine, Name
from gateway.core.units import Duration

SAMPLE = """
[line.logfile]
protocol = "tail"
path = "/var/log/{asset}/spindle*.log"   # * for several files; {asset} is taken over below
asset = "{asset}"
continues = '^(\\s|Caused by)'            # such a line belongs to the one before it
timezone = "Asia/Shanghai"               # of time stamps without an offset
"""
_FILE = "file."
_BEGAN = "began"
_FIELD = re.compile(r"\{asset\}|\*|\?")
_MOST_FILES = 256
_MOST_JOINED = 200
_LOOK_AGAIN = 20
"""Polls after which new files are looked for."""


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Log files of one asset, or of an asset each.

    How far the committed lines go is kept with them, so that each line is taken once. A file that is there at the
    first start is read from its end (`whole = true`: from its beginning), one that appears later from its
    beginning. `continues` is an expression: a line that it finds something in belongs to the line before.
    """

    name: Name
    path: FileName
    asset: Name
    whole: bool = False
    encoding: str = "utf-8"
    timezone: str = "UTC"
    poll: Duration = Duration(0.25)
    most_lines: Annotated[int, msgspec.Meta(ge=1, le=100_000)] = 1000
    continues: Annotated[str, msgspec.Meta(max_length=512)] = ""

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
        try:
            re.compile(self.continues)
        except re.error as fault:
            raise ValueError(f"continues: {fault}") from fault
        if self.path.count("{asset}") > 1 or ("{asset}" in self.asset) != ("{asset}" in self.path):
            raise ValueError("{asset} stands once in path, and then in asset too")

    def open(self) -> LineSource:
        """Make the source; it opens the files when its first batch is asked for."""
        return Tail(self)


class _File:
    """One file that is followed, the lines of it that may still be continued, and what was made of the others."""

    def __init__(self, path: str, asset: str, most_lines: int) -> None:
        self.path, self.asset = path, asset
        self.follower = Follower(Path(path), most_lines)
        self.held: list[Raw] = []
        self.idle = 0
        self.last: datetime | None = None
        self.lost = ""

    @property
    def memory(self) -> str:
        """The name under which its mark is kept."""
        return _FILE + hashlib.sha256(os.fsencode(self.path)).hexdigest()[:16]


class Tail:
    """New lines of the files; a `LineSource`. A file that is not there yet is waited for."""

    def __init__(self, settings: Settings, now: Clock = lambda: datetime.now(UTC)) -> None:
        self._settings, self._now = settings, now
        self._zone = ZoneInfo(settings.timezone)
        self._continues = re.compile(settings.continues) if settings.continues else None
        self._files: dict[str, _File] = {}
        self._stop = asyncio.Event()
        self._used = self._began = False
        self._turn = self._sequence = 0

    @property
    def name(self) -> str:
        """The line's name in andon.toml."""
        return self._settings.name

    def tags(self) -> Sequence[TagState]:
        """Every file: whether it is there."""
        if not self._files:
            detail = f"{self._settings.path} is not there"
            return [TagState(self.name, f"{self._settings.asset}/log", healthy=False, detail=detail)]
        return [
            TagState(
                self.name,
                f"{file.asset}/log",
                file.follower.is_open and not file.lost,
                file.lost or (shown(file.path) if file.follower.is_open else f"{shown(file.path)} is not there"),
                file.last,
            )
            for file in self._files.values()
        ]

    async def batches(self, memory: Mapping[str, bytes] = NOTHING) -> AsyncIterator[Batch]:
        """Give the lines; see `LineSource`. Raises `Unreachable` when no file can be read."""
        if self._used:
            raise Unreachable(f"{self.name}: this source was used; open a new one")
        self._used = True
        self._began = _BEGAN in memory
        try:
            while not self._stop.is_set():
                batch = await asyncio.to_thread(self._look, memory)
                if batch is None:
                    await self._pause()
                else:
                    yield batch
                    self._began = True
        finally:
            await self.close()

    async def close(self) -> None:
        """Close the files. May be called at any time, twice too."""
        self._used = True
        self._stop.set()
        for file in self._files.values():
            file.follower.close()

    async def _pause(self) -> None:
        try:
            async with asyncio.timeout(self._settings.poll):
                await self._stop.wait()
        except TimeoutError:
            return

    def _look(self, memory: Mapping[str, bytes]) -> Batch | None:
        """Read what is new in every file; blocking."""
        first = not self._turn
        if self._turn % _LOOK_AGAIN == 0:
            self._find(memory, first=first)
        self._turn += 1
        at = self._now()
        lines: list[LogLine] = []
        kept: dict[str, bytes] = {}
        for file in self._files.values():
            before = file.follower.is_open
            mark = self._take(file, lines, at)
            if mark is None and not before and not file.held and file.follower.is_open:
                mark = file.follower.mark  # a file that is rotated away before its first line is found again
            if mark is not None:
                kept[file.memory] = msgspec.msgpack.encode(mark)
        if all(file.lost for file in self._files.values()) and self._files:
            raise Unreachable(f"{self.name}: {next(iter(self._files.values())).lost}")
        if not self._began:
            kept[_BEGAN] = b"1"
            self._began = True
        if not lines and not kept:
            return None
        self._sequence += 1
        return Batch(self.name, self._sequence, at, lines=tuple(lines), memory=kept)

    def _find(self, memory: Mapping[str, bytes], *, first: bool) -> None:
        """Look for files that fit the path. One that was never seen is read from its end only at the first start."""
        for path, asset in _files_of(self._settings.path):
            if path in self._files or len(self._files) >= _MOST_FILES:
                continue
            file = _File(
                path, asset if "{" in self._settings.asset else self._settings.asset, self._settings.most_lines
            )
            mark = _mark_of(memory.get(file.memory, b""))
            new = first and not self._began
            try:
                file.follower.start(mark, from_end=mark is None and new and not self._settings.whole)
            except OSError as lost:
                file.lost = f"{shown(path)}: {lost.strerror}"
            self._files[path] = file

    def _take(self, file: _File, lines: list[LogLine], at: datetime) -> Mark | None:
        """Read a file's new lines; gives how far they are to be committed, None when there is nothing new."""
        try:
            raws = file.follower.read()
            file.lost = ""
        except OSError as lost:
            file.lost = f"{shown(file.path)}: {lost.strerror}"
            return None
        file.idle = 0 if raws else file.idle + 1
        mark = None
        for raw in raws:
            if file.held and (not self._is_continued(raw) or len(file.held) >= _MOST_JOINED):
                mark = self._give(file, lines, at)
            file.held.append(raw)
            if self._continues is None:
                mark = self._give(file, lines, at)
        if file.held and file.idle:  # nothing came to continue it
            mark = self._give(file, lines, at)
        return mark

    def _is_continued(self, raw: Raw) -> bool:
        text = raw.text.decode(self._settings.encoding, "replace")
        return self._continues is not None and self._continues.search(text) is not None

    def _give(self, file: _File, lines: list[LogLine], at: datetime) -> Mark:
        text = b"\n".join(raw.text for raw in file.held)
        mark = file.held[-1].after
        file.held.clear()
        said = read_line(text, self._zone, self._settings.encoding)
        if said.text:
            lines.append(LogLine(file.asset, said.text, said.severity, said.at, at))
            file.last = at
        return mark


def _files_of(path: str) -> list[tuple[str, str]]:
    """Give the files that fit a path now, each with what stands for {asset}; the path itself when it is plain."""
    if not _FIELD.search(path):
        return [(path, "")]
    wanted, at = "", 0
    for found in _FIELD.finditer(path):
        wanted += re.escape(path[at : found.start()])
        wanted += {"{asset}": "(?P<asset>[^/]+)", "*": "[^/]*", "?": "[^/]"}[found[0]]
        at = found.end()
    fits = re.compile(wanted + re.escape(path[at:]))
    there = sorted(glob.glob(path.replace("[", "[[]").replace("{asset}", "*")))  # noqa: PTH207 (an absolute pattern)
    matched = [(one, fits.fullmatch(one)) for one in there[:_MOST_FILES]]
    return [(one, shown(found.groupdict().get("asset", ""))) for one, found in matched if found is not None]


def _mark_of(kept: bytes) -> Mark | None:
    try:
        return msgspec.msgpack.decode(kept, type=Mark)
    except msgspec.MsgspecError:
        return None  # never seen, or damaged
