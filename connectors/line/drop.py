"""Drop folder: files that cameras and instruments put down, taken once and put away after the commit."""

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal, TypeVar
from zoneinfo import ZoneInfo

import msgspec
from msgspec.structs import replace

from connectors.files import FileName
from connectors.line.filename import FIELD, fill, pattern_of, shown, time_of
from connectors.line.files import FileTag, form_of, read
from connectors.line.folder import Folder
from connectors.line.roll import Roll
from connectors.line.shapes import Unfit
from connectors.line.table import all_tags
from connectors.line.tags import Times, distinct
from gateway.core.batch import Batch, TagState
from gateway.core.errors import Unreachable
from gateway.core.ports import NOTHING, Clock, LineSource
from gateway.core.reading import Name, ThermalFrame, Waveform
from gateway.core.units import Duration, Size, zone_of

T = TypeVar("T")

SAMPLE = """
[line.camera]
protocol = "drop"
path = "/srv/ftp/camera"
timezone = "Asia/Shanghai"      # of times in file names that say no offset

[[line.camera.tag]]
asset = "{asset}"
tag = "thermal"
kind = "frame"
address = "{asset}_ir_{time}.tif*"   # as the camera names its files
encoding = "centikelvin"
unit = "degC"

[[line.camera.tag]]
asset = "M-07"
tag = "vibration"
address = "daq/M-07*.wav"
scale = 50                      # full scale is 50 g
unit = "g"
"""
_RECENT = "recent"
_MARK = 8
_REMEMBERED = 500
_MOST_NOTE = 2000


class Drop(FileTag, frozen=True, kw_only=True):
    """A tag whose values are files.

    `address` is how its files are named, below the folder: `*` and `?` stand for anything within a name,
    `{asset}` and `{tag}` are taken over where the settings name them, `{time}` is the file's own time
    (`time_format` as strptime writes it; without it year to second, with or without marks between).
    A file without a time in its name is of the time when it was written.
    """

    time_format: str = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        names = [name for name in FIELD.findall(self.address) if name]
        if len(set(names)) != len(names):
            raise ValueError(f"{self.address!r}: each field once")
        if self.kind == "value":
            raise ValueError("a file is a waveform or a frame (kind)")


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One folder.

    A file is complete when its size stood still for `settle`; names that fit `ignore` are never touched.
    After the commit it is moved to `done` (the newest `keep` stay), or deleted; one that cannot be taken goes
    to `bad`, with the reason beside it in a file `.why`. A file larger than `largest` is bad.
    """

    name: Name
    path: FileName
    after: Literal["move", "delete"] = "move"
    done: FileName | None = None
    bad: FileName | None = None
    keep: Annotated[int, msgspec.Meta(ge=0, le=1_000_000)] = 1000
    order: Literal["time", "name"] = "time"
    ignore: tuple[str, ...] = (".*", "*.part", "*.tmp", "*.filepart", "*.crdownload", "*~")
    settle: Duration = Duration(2)
    poll: Duration = Duration(1)
    largest: Size = Size(64 * 1024 * 1024)
    most_files: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 20
    most_names: Annotated[int, msgspec.Meta(ge=1, le=100_000)] = 1000
    timezone: str = "UTC"
    tags: FileName | None = None
    tag: tuple[Drop, ...] = ()

    def __post_init__(self) -> None:
        faults = distinct(self.tag)
        if not self.tag and self.tags is None:
            faults.append('no tags: add [[line.<name>.tag]] or tags = "table.csv"')
        if self.poll <= 0 or self.settle < 0:
            faults.append("poll must be longer than 0s, settle at least 0s")
        try:
            zone_of(self.timezone)
        except ValueError as no:
            faults.append(str(no))
        if faults:
            raise ValueError("; ".join(faults))

    @property
    def done_at(self) -> Path:
        """Where taken files go."""
        return Path(self.done) if self.done else Path(self.path) / "done"

    @property
    def bad_at(self) -> Path:
        """Where files go that cannot be taken."""
        return Path(self.bad) if self.bad else Path(self.path) / "bad"

    def every_tag(self) -> tuple[Drop, ...]:
        """The tags of the file and of the table. Raises `Misconfigured` with every fault of the table."""
        return all_tags(self.name, self.tag, self.tags, Drop)

    def open(self) -> LineSource:
        """Make the source; it looks into the folder when its first batch is asked for."""
        return Dropped(self, self.every_tag())


class Found(msgspec.Struct, frozen=True):
    """A file that was read: where it lies, what it holds or why it cannot be taken, and its mark."""

    path: Path
    mark: bytes = b""
    atom: Waveform | ThermalFrame | None = None
    why: str = ""
    again: bool = False


class Dropped:
    """One folder; a `LineSource`. A file counts once: its name and content are remembered with its values."""

    def __init__(self, settings: Settings, tags: Sequence[Drop], now: Clock = lambda: datetime.now(UTC)) -> None:
        self._settings, self._now = settings, now
        self._folder = Folder(settings)
        self._names = [(tag, pattern_of(tag.address)) for tag in tags]
        self._roll = Roll(settings.name, tags, settings.most_names)
        self._zone = ZoneInfo(settings.timezone)
        self._stop = asyncio.Event()
        self._recent: dict[bytes, None] = {}
        self._used = False
        self._lost = "not looked into yet"
        self._sequence = self._taken = self._bad = 0
        self._last: datetime | None = None

    @property
    def name(self) -> str:
        """The line's name in andon.toml."""
        return self._settings.name

    def tags(self) -> Sequence[TagState]:
        """The folder, then every tag by name."""
        detail = self._lost or f"{self._taken} files taken, {self._bad} bad"
        folder = TagState(self.name, "folder", not self._lost, detail, self._last)
        return [folder, *self._roll.states()]

    async def batches(self, memory: Mapping[str, bytes] = NOTHING) -> AsyncIterator[Batch]:
        """Give what the files hold; see `LineSource`. Raises `Unreachable` when the folder is not there."""
        if self._used:
            raise Unreachable(f"{self.name}: this source was used; open a new one")
        self._used = True
        held = memory.get(_RECENT, b"")
        self._recent = {held[at : at + _MARK]: None for at in range(0, len(held) - len(held) % _MARK, _MARK)}
        try:
            while not self._stop.is_set():
                found = await self._work(self._look)
                batch = self._batch(found)
                if batch is not None:
                    yield batch
                await self._put_away(found)
                if not found:
                    await self._pause()
        finally:
            await self.close()

    async def close(self) -> None:
        """Stop. May be called at any time, twice too."""
        self._used = True
        self._stop.set()

    async def _put_away(self, found: Sequence[Found]) -> None:
        good = [one.path for one in found if not one.why]
        bad = [(one.path, one.why) for one in found if one.why]
        await self._work(lambda: self._folder.put_away(good, bad))

    async def _work(self, work: Callable[[], T]) -> T:
        try:
            done = await asyncio.to_thread(work)
        except OSError as lost:
            self._lost = f"{shown(str(lost.filename or self._settings.path))}: {lost.strerror}"
            raise Unreachable(f"{self.name}: {self._lost}") from lost
        self._lost = ""
        return done

    async def _pause(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._settings.poll):
                await self._stop.wait()

    def _look(self) -> list[Found]:
        """Read the complete files, not more at once than a batch can hold; blocking."""
        found: list[Found] = []
        room = int(self._settings.largest)
        for path in self._folder.complete(self._settings.most_files):
            try:
                content, written = self._folder.content(path)
            except FileNotFoundError:
                continue
            except OSError as no:
                found.append(Found(path, why=f"cannot be read: {no.strerror}"))
                continue
            except Unfit as no:
                found.append(Found(path, why=str(no)))
                continue
            found.append(self._read(path, content, written))
            room -= len(content)
            if room <= 0:
                break
        return found

    def _read(self, path: Path, content: bytes, written: datetime) -> Found:
        name = path.relative_to(self._settings.path).as_posix().encode("utf-8", "surrogateescape")
        mark = hashlib.blake2b(name + b"\0" + content, digest_size=_MARK).digest()
        if mark in self._recent:
            return Found(path, mark, again=True)
        at = self._now()
        tag = None
        try:
            tag, pattern, sourced_at = self._tag_of(path, written)
            if not self._roll.knows(tag.name):
                raise Unfit(f"more than {self._settings.most_names} names")  # noqa: TRY301 (one place says why)
            atom = read(tag, content, form_of(content, shown(path.name)), Times(sourced_at, None, at))
        except Unfit as no:
            if tag is not None:
                self._roll.fail(tag, f"{shown(path.name)}: {no}")
            return Found(path, mark, why=str(no))
        self._roll.heard(tag, pattern.name, at)
        return Found(path, mark, atom)

    def _tag_of(self, path: Path, written: datetime) -> tuple[Drop, Drop, datetime]:
        """Find the tag that a file is of, by its name. Raises `Unfit`."""
        name = shown(path.relative_to(self._settings.path).as_posix())
        for tag, pattern in self._names:
            found = pattern.fullmatch(name)
            if found is None:
                continue
            said = found.groupdict()
            filled = replace(tag, asset=fill(tag.asset, said), tag=fill(tag.tag, said))
            if "\ufffd" in filled.name:
                raise Unfit("asset or tag stand in its name, and that is not UTF-8")
            at = written
            if (stamp := said.get("time")) is not None:
                at = time_of(stamp, tag.time_format, self._zone)
            return filled, tag, at
        raise Unfit("no tag has files of this name")

    def _batch(self, found: Sequence[Found]) -> Batch | None:
        if not found:
            return None
        at = self._now()
        bad = [one for one in found if one.why]
        self._bad += len(bad)
        self._taken += sum(one.atom is not None for one in found)
        for one in found:
            if one.mark and not one.why:
                self._recent.pop(one.mark, None)
                self._recent[one.mark] = None
        for mark in list(self._recent)[: -max(_REMEMBERED, 2 * self._settings.most_files)]:
            del self._recent[mark]
        self._last, self._sequence = at, self._sequence + 1
        return Batch(
            self.name,
            self._sequence,
            at,
            waveforms=tuple(one.atom for one in found if isinstance(one.atom, Waveform)),
            frames=tuple(one.atom for one in found if isinstance(one.atom, ThermalFrame)),
            note="; ".join(f"{shown(one.path.name)} not taken: {one.why}" for one in bad)[:_MOST_NOTE],
            memory={_RECENT: b"".join(self._recent)},
        )
