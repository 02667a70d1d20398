"""Ledger: the last committed value of each tag, by its source time; whose values may be missing, and since when.

A key is the source time (the server's where there is none) in microseconds since 1970, then two bits of the
status (its severity) and eight of a digest of the value: what has the same key is the same value, told again.
What has neither time is known by when it was received, with both bits of the status set: it is never the same.
"""

import zlib
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from connectors.line.opcua.values import Change, Values
from gateway.core.series import NEVER, ticks

_RECEIVED = 3
"""In place of the severity, which is 0 to 2: the time is when it was received."""
_OVERFLOW = 0x480
"""InfoType DataValue with the overflow bit: the server's queue lost values just before this one."""
OVERFLOW = "queue overflow"
_KEY = 8
_BITS = 10
_LATEST = 2**53 - 1
"""The last time that fits into a key: the year 2255."""
_MIX = np.uint64(0x9E3779B97F4A7C15)
_TAGS, _LAST, _LATE, _DOUBT = "tags", "last", "late", "doubt"
_FEW = 256
_ENDS = 512
_GREETING = 64
"""For so many messages after a start an old value may come again: a server that hung answers old calls late."""


class Missed(NamedTuple):
    """Values of the tag at `place` may be missing between these source times (microseconds, both exclusive)."""

    place: int
    after: int
    before: int
    cause: str


class _Doubt(msgspec.Struct, frozen=True, array_like=True):
    """What stands in memory about tags whose values may be missing, by number in `causes` (255: none)."""

    causes: tuple[str, ...]
    since: tuple[int, ...]
    which: bytes


_SURE = 255


class Ledger:
    """Keeps the last key of each tag. `keys` names the tags (8 bytes each): memory is matched by them."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        self._keys = b"".join(keys)
        count = len(keys)
        self._last = np.full(count, NEVER)
        self._which = np.full(count, _SURE, np.uint8)
        self._causes: list[str] = []
        self._since: list[int] = []
        self._dirty = np.zeros(count, np.bool_)
        self._wary = np.zeros(count, np.bool_)
        self._greeting = 0
        self._whole = self._told_tags = self._doubt_moved = True

    def recall(self, memory: Mapping[str, bytes]) -> None:
        """Take up what the last run committed; what is damaged is as good as none."""
        try:
            tags, last = memory[_TAGS], np.frombuffer(zlib.decompress(memory[_LAST]), "<i8")
            late = np.frombuffer(memory.get(_LATE, b""), [("place", "<u4"), ("key", "<i8")])
            doubt = msgspec.msgpack.decode(memory[_DOUBT], type=_Doubt) if memory.get(_DOUBT) else None
            before = last.copy()
            before[late["place"]] = late["key"]
        except (KeyError, ValueError, IndexError, zlib.error, msgspec.DecodeError, msgspec.ValidationError):
            return
        if len(before) * _KEY != len(tags):
            return
        places = self._places(tags)
        known = places >= 0
        self._last[places[known]] = before[known]
        self._wary[places[known]] = True
        self._greeting = _GREETING
        self._told_tags = tags != self._keys
        if doubt is not None and len(doubt.which) == len(before):
            self._causes, self._since = list(doubt.causes), list(doubt.since)
            self._which[places[known]] = np.frombuffer(doubt.which, np.uint8)[known]

    def _places(self, tags: bytes) -> NDArray[np.int64]:
        now = {self._keys[at : at + _KEY]: at // _KEY for at in range(0, len(self._keys), _KEY)}
        return np.array([now.get(tags[at : at + _KEY], -1) for at in range(0, len(tags), _KEY)], np.int64)

    def doubt(self, places: Iterable[int], cause: str, until: int = NEVER) -> None:
        """Values of these tags may be missing from now on until the next one comes.

        `until` is the time until which all is known to have come, if it is known (microseconds since 1970).
        """
        chosen = np.fromiter(places, np.int64)
        known = self._last[self._last != NEVER]
        if not len(chosen) or not len(known):
            return
        if cause not in self._causes[:_SURE]:
            if len(self._causes) >= _SURE:
                return
            self._causes.append(cause)
            self._since.append(0)
        number = self._causes.index(cause)
        if not (self._which == number).any():  # else some wait since the loss before this one: theirs began there
            timed = known[known >> 8 & 3 != _RECEIVED]  # our own clock says nothing of theirs
            self._since[number] = max(int(timed.max(initial=NEVER)) >> _BITS, until)
        fresh = chosen[(self._which[chosen] == _SURE) & (self._last[chosen] != NEVER)]
        self._which[fresh] = number
        self._wary[fresh] = True
        self._doubt_moved = True

    def since(self, missed: Missed) -> int:
        """Give the time from which values may be missing: until the link was lost, all came."""
        if missed.cause in self._causes:
            lost = self._since[self._causes.index(missed.cause)]
            if missed.after < lost < missed.before:
                return lost
        return missed.after

    def take(self, values: Values, missed: list[Missed], received: int = NEVER) -> Values:
        """Note numbers; what is told again is left out. Adds what is missing in front of them to `missed`.

        `received` is when they came (microseconds since 1970), for those that have no time.
        """
        if not len(values.handles):
            return values
        if values.handles.max() >= len(self._last):
            values = values.only(values.handles < len(self._last))
        keys, places = _keys(values, received), values.handles
        over = values.statuses & _OVERFLOW == _OVERFLOW if values.statuses.any() else None
        again = self._again(places, keys) if self._wary.any() else None
        if self._causes and (doubted := self._which[places] != _SURE).any():
            rows = np.flatnonzero(doubted)
            _, first = np.unique(places[rows], return_index=True)
            for row in rows[np.sort(first)].tolist():
                self._settle(int(places[row]), int(keys[row]), missed)
        if over is not None and over.any():
            self._overflowed(places, keys, np.flatnonzero(over), missed)
        self._last[places] = keys
        self._dirty[places] = True
        return values if again is None or not again.any() else values.only(~again)

    def _again(self, places: NDArray[np.uint32], keys: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Find the rows that tell again what the row of their tag before them, or the last message, told."""
        order = np.argsort(places, kind="stable")
        sorted_places, sorted_keys = places[order], keys[order]
        before = np.empty_like(sorted_keys)
        before[1:] = sorted_keys[:-1]
        first = np.ones(len(order), np.bool_)
        first[1:] = sorted_places[1:] != sorted_places[:-1]
        before[first] = self._last[sorted_places[first]]
        again = np.empty(len(order), np.bool_)
        timed = (sorted_keys != NEVER) & (sorted_keys >> 8 & 3 != _RECEIVED)
        again[order] = (sorted_keys == before) & timed & self._wary[sorted_places]
        self._believe(places)
        return again

    def _believe(self, places: NDArray[np.uint32] | int) -> None:
        """A tag that spoke is believed from now on, except in the first messages after a start."""
        self._greeting -= 1
        if self._greeting < 0:
            self._wary[places] = False

    def take_one(self, change: Change, missed: list[Missed], received: int = NEVER) -> bool:
        """Note what is no number, as `take` does. Says whether it is news."""
        place, at = change.handle, ticks(change.sourced_at or change.served_at)
        if place >= len(self._last):
            return True
        timed, key = at != NEVER, NEVER
        if timed or received != NEVER:
            kind = change.status >> 30 if timed else _RECEIVED
            key = (min(max(at if timed else received, 0), _LATEST) << 2 | kind) << 8 | _digest_of(change.value)
        told = bool(self._wary[place]) and timed and key == int(self._last[place])
        self._believe(place)
        if self._which[place] != _SURE:
            self._settle(place, key, missed)
        if change.status & _OVERFLOW == _OVERFLOW:
            self._note(place, int(self._last[place]), key, OVERFLOW, missed)
        self._last[place], self._dirty[place] = key, True
        return not told

    def _settle(self, place: int, key: int, missed: list[Missed]) -> None:
        """A doubted tag speaks: say what may be missing, unless it says what it said last."""
        cause = self._causes[self._which[place]]
        self._which[place] = _SURE
        self._doubt_moved = True
        if key != (last := int(self._last[place])):
            self._note(place, last, key, cause, missed)

    def _overflowed(
        self, places: NDArray[np.uint32], keys: NDArray[np.int64], rows: NDArray[np.intp], missed: list[Missed]
    ) -> None:
        for row in rows.tolist():
            before = np.flatnonzero(places[:row] == places[row])
            last = int(keys[before[-1]]) if len(before) else int(self._last[places[row]])
            self._note(int(places[row]), last, int(keys[row]), OVERFLOW, missed)

    def _note(self, place: int, last: int, key: int, cause: str, missed: list[Missed]) -> None:
        if NEVER not in {last, key} and key >> _BITS > last >> _BITS:
            missed.append(Missed(place, last >> _BITS, key >> _BITS, cause))

    def memory(self) -> dict[str, bytes]:
        """Give what the next run must know, exact for the batch that it is committed with."""
        told: dict[str, bytes] = {}
        if self._told_tags:
            told[_TAGS] = self._keys
        changed = np.flatnonzero(self._dirty)
        if self._whole or len(changed) > max(_FEW, len(self._last) // 8):
            told[_LAST] = zlib.compress(self._last.tobytes(), 1)
            told[_LATE] = b""
            self._dirty[:] = False
        elif len(changed):
            late = np.empty(len(changed), [("place", "<u4"), ("key", "<i8")])
            late["place"], late["key"] = changed, self._last[changed]
            told[_LATE] = late.tobytes()
        if self._doubt_moved:
            doubted = (self._which != _SURE).any()
            doubt = _Doubt(tuple(self._causes), tuple(self._since), self._which.tobytes())
            told[_DOUBT] = msgspec.msgpack.encode(doubt) if doubted else b""
            if not doubted:
                self._causes, self._since = [], []
        self._whole = self._told_tags = self._doubt_moved = False
        return told


def _keys(values: Values, received: int) -> NDArray[np.int64]:
    at = np.where(values.sourced == NEVER, values.served, values.sourced)
    kinds = values.statuses >> 30
    if (timeless := at == NEVER).any():
        at, kinds = np.where(timeless, received, at), np.where(timeless, _RECEIVED, kinds)
    raw = values.values
    bits = raw.view(np.uint64) if raw.dtype.itemsize == _KEY else raw.astype(np.uint64)
    digests = (bits * _MIX >> np.uint64(56)).astype(np.int64)
    keys = (np.clip(at, 0, _LATEST) << 2 | kinds) << 8 | digests
    return np.where(at == NEVER, NEVER, keys)


def _digest_of(value: object) -> int:
    """Eight bits of what is no number; of something large its ends."""
    if isinstance(value, np.ndarray):
        flat = value.reshape(-1)
        ends = flat[:_ENDS].tobytes() + flat[-_ENDS:].tobytes() + value.size.to_bytes(8, "little")
    elif isinstance(value, bytes | memoryview):
        ends = bytes(value[:_ENDS]) + bytes(value[-_ENDS:]) + len(value).to_bytes(8, "little")
    else:
        ends = repr(value).encode()
    return zlib.crc32(ends) & 0xFF
