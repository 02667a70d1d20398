"""HTTP in: waveforms, frames, values and log lines that devices hand in; answered after the commit."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import Annotated
from zoneinfo import ZoneInfo

import msgspec

from connectors.files import FileName
from connectors.line.files import MEDIA_TYPES
from connectors.line.keys import Keys
from connectors.line.pushed import Atom, PushTag, atoms_of
from connectors.line.roll import Roll
from connectors.line.rules import faults as rule_faults
from connectors.line.shapes import Unfit
from connectors.line.sieve import Sieve
from connectors.line.table import all_tags
from connectors.line.tags import distinct
from gateway.core.batch import Batch, TagState
from gateway.core.errors import Refused, Unreachable
from gateway.core.ports import NOTHING, Clock, LineSource
from gateway.core.push import Push, Receipt
from gateway.core.reading import LogLine, Name, Quality, Reading, ThermalFrame, Waveform
from gateway.core.units import Size, zone_of

SAMPLE = """
[line.daq]
protocol = "http"               # PUT or POST /api/v1/line/<asset>/<tag>, scope line:push

[[line.daq.tag]]
asset = "M-07"
tag = "vibration"
kind = "waveform"
unit = "g"
rate_hz = 25600                 # unless the sender says another
encoding = "int16"
scale = 0.0005

[[line.daq.tag]]
asset = "M-07"
tag = "thermal"
kind = "frame"
unit = "degC"
encoding = "centikelvin"

[[line.daq.tag]]
asset = "M-07"
tag = "log"
kind = "line"
"""

_JSON, _TEXT = ("application/json",), ("text/plain",)
_WAIT = timedelta(seconds=1)
_TICK_S = 1.0


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The tags that may be handed in.

    `queue` bounds how many are held at once, `largest` the bytes of each. A sender's Idempotency-Key is
    remembered for the last `keys` values.
    """

    name: Name
    queue: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 8
    largest: Size = Size(16 * 1024 * 1024)
    keys: Annotated[int, msgspec.Meta(ge=0, le=1_000_000)] = 10_000
    timezone: str = "UTC"
    tags: FileName | None = None
    tag: tuple[PushTag, ...] = ()

    def __post_init__(self) -> None:
        faults = [*distinct(self.tag), *rule_faults(self.tag)]
        if not self.tag and self.tags is None:
            faults.append('no tags: add [[line.<name>.tag]] or tags = "table.csv"')
        try:
            zone_of(self.timezone)
        except ValueError as no:
            faults.append(str(no))
        if faults:
            raise ValueError("; ".join(faults))

    def every_tag(self) -> tuple[PushTag, ...]:
        """The tags of the file and of the table. Raises `Misconfigured` with every fault of the table."""
        return all_tags(self.name, self.tag, self.tags, PushTag)

    def open(self) -> LineSource:
        """Make the source; it takes values as soon as its first batch is asked for."""
        return Door(self, self.every_tag())


class Door:
    """Values that are handed in; a `LineSource` and a `Pushable`."""

    def __init__(self, settings: Settings, tags: Sequence[PushTag], now: Clock = lambda: datetime.now(UTC)) -> None:
        self._settings, self._now = settings, now
        self._tags = {(tag.asset, tag.tag): tag for tag in tags}
        self._roll = Roll(settings.name, tags, len(tags))
        self._zone = ZoneInfo(settings.timezone)
        self._keys = Keys(settings.keys)
        self._sieve = Sieve(self._roll.count)
        self._waiting: list[tuple[list[Atom], str, bytes, asyncio.Future[None]]] = []
        self._taken: list[asyncio.Future[None]] = []
        self._pending: dict[str, tuple[bytes, asyncio.Future[None]]] = {}
        self._wake = asyncio.Event()
        self._used = self._closed = False
        self._held = self._sequence = 0

    @property
    def name(self) -> str:
        """The line's name in andon.toml."""
        return self._settings.name

    @property
    def largest(self) -> int:
        """Most bytes of one push."""
        return int(self._settings.largest)

    @property
    def _is_open(self) -> bool:
        return self._used and not self._closed

    def tags(self) -> Sequence[TagState]:
        """The door, then every tag by name."""
        detail = f"{self._held} held" if self._is_open else "not open"
        return [TagState(self.name, "door", self._is_open, detail), *self._roll.states()]

    def media(self, asset: str, tag: str) -> Sequence[str]:
        """The media types that a declared tag takes; () for one that is not declared."""
        found = self._tags.get((asset, tag))
        if found is None:
            return ()
        return _JSON if found.kind == "value" else _TEXT if found.kind == "line" else MEDIA_TYPES

    @contextmanager
    def admit(self) -> Iterator[None]:
        """Take one of the places. Raises `Unreachable` when there is none."""
        if not self._is_open:
            raise Unreachable(f"{self.name} is not open yet", after=_WAIT)
        if self._held >= self._settings.queue:
            raise Unreachable(f"{self.name} holds {self._held} values that are not stored yet", after=_WAIT)
        self._held += 1
        try:
            yield
        finally:
            self._held -= 1

    async def push(self, push: Push) -> Receipt:
        """Take a push in; returns after its commit. See `Pushable`."""
        tag = self._tags.get((push.asset, push.tag))
        if tag is None:
            raise Refused(f"{push.asset}/{push.tag} is not declared")
        key = _key_of(push)
        mark = _mark_of(push)
        if key and (pending := self._pending.get(key)) is not None:
            Keys.same(pending[0], mark)
            await asyncio.shield(pending[1])
            return Receipt(push.asset, push.tag, self._now(), 0, repeated=True)
        if key and self._keys.seen(key, mark):
            return Receipt(push.asset, push.tag, self._now(), 0, repeated=True)
        committed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if key:
            self._pending[key] = (mark, committed)
        committed.add_done_callback(lambda done: self._answered(key, done))
        try:
            return await self._take(tag, push, (key, mark), committed)
        except BaseException as lost:
            if not self._is_queued(committed) and not committed.done():  # who waits for the same key must not wait on
                why = lost if isinstance(lost, Refused | Unreachable) else Unreachable("its first sender went away")
                committed.set_exception(why)
            raise

    def _answered(self, key: str, done: asyncio.Future[None]) -> None:
        self._pending.pop(key, None)
        if not done.cancelled():
            done.exception()  # the sender may have gone

    def _is_queued(self, committed: asyncio.Future[None]) -> bool:
        return committed in self._taken or any(one[3] is committed for one in self._waiting)

    async def _take(
        self, tag: PushTag, push: Push, keyed: tuple[str, bytes], committed: asyncio.Future[None]
    ) -> Receipt:
        at = self._now()
        try:
            atoms = await asyncio.to_thread(atoms_of, tag, push, at, self._zone)
        except Unfit as no:
            self._roll.fail(tag, str(no))
            raise Refused(f"{tag.name}: {no}") from no
        if not self._is_open:
            raise Unreachable(f"{self.name} is closed", after=_WAIT)
        atoms = [self._sieve.sift(tag, atom)[0] if isinstance(atom, Reading) else atom for atom in atoms]
        self._waiting.append((atoms, *keyed, committed))
        self._wake.set()
        await asyncio.shield(committed)
        self._roll.heard(tag, tag.name, at, _ill(atoms))
        return Receipt(push.asset, push.tag, at, len(atoms))

    async def batches(self, memory: Mapping[str, bytes] = NOTHING) -> AsyncIterator[Batch]:
        """Give what was handed in; see `LineSource`."""
        if self._used or self._closed:
            raise Unreachable(f"{self.name}: this source was used; open a new one")
        self._keys.remember(memory)
        self._used = True
        try:
            while not self._closed:
                with suppress(TimeoutError):
                    async with asyncio.timeout(_TICK_S):
                        await self._wake.wait()
                self._wake.clear()
                silent = list(self._sieve.passed(self._now()))
                if self._waiting or silent:
                    yield self._batch(silent)
                    self._settle(None)
        finally:
            await self.close()

    async def close(self) -> None:
        """Close the door; who waits is told to come again. May be called at any time, twice too."""
        self._closed = True
        self._wake.set()
        self._taken += [committed for _, _, _, committed in self._waiting]
        self._waiting.clear()
        self._settle(Unreachable(f"{self.name} is closed; ask again", after=_WAIT))

    def _settle(self, lost: Unreachable | None) -> None:
        for committed in self._taken:
            if committed.done():
                continue
            if lost is None:
                committed.set_result(None)
            else:
                committed.set_exception(lost)
        self._taken.clear()

    def _batch(self, silent: Sequence[Reading]) -> Batch:
        at = self._now()
        items, self._waiting = self._waiting, []
        atoms: list[Atom] = [*silent, *(atom for own, _, _, _ in items for atom in own)]
        memory: dict[str, bytes] = {}
        for _, key, mark, committed in items:
            self._taken.append(committed)
            if key:
                memory |= self._keys.keep(key, mark, at)
        self._sequence += 1
        return Batch(
            self.name,
            self._sequence,
            at,
            readings=tuple(atom for atom in atoms if isinstance(atom, Reading)),
            waveforms=tuple(atom for atom in atoms if isinstance(atom, Waveform)),
            frames=tuple(atom for atom in atoms if isinstance(atom, ThermalFrame)),
            lines=tuple(atom for atom in atoms if isinstance(atom, LogLine)),
            memory=memory,
        )


def _ill(atoms: Sequence[Atom]) -> str:
    """Say why the last value is bad; empty when it is not."""
    last = atoms[-1] if atoms else None
    return last.why if isinstance(last, Reading) and last.quality is Quality.BAD else ""


def _key_of(push: Push) -> str:
    if not push.key:
        return ""
    facts = msgspec.json.encode([push.asset, push.tag, push.key])
    return hashlib.blake2b(facts, digest_size=16).hexdigest()


def _mark_of(push: Push) -> bytes:
    facts = msgspec.json.encode([push.media_type, push.facts])
    return hashlib.blake2b(facts + b"\0" + push.content, digest_size=8).digest()
