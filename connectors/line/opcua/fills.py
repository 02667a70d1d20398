"""Fills: the spans that are still to be read from the server's history, and what came of those that were. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import msgspec

from gateway.core.batch import SourceGap

_FILLS, _FILLED = "fills", "filled"
_MOST = 500_000


class Fill(msgspec.Struct, frozen=True, array_like=True):
    """Values of the tag with this key may be missing between two source times (microseconds, both exclusive).

    `start` is from when: after the last one, when all is known to have come until the link was lost.
    """

    key: bytes
    after: int
    before: int
    start: int
    cause: str


class Progress(NamedTuple):
    """How far history was read: the fill at the front of the list by number, and the last source time that it gave.

    `done` fills at the front are finished, and `gaps` is what came of them. `events`: so are the past events.
    """

    reached: Mapping[int, int] = {}
    done: int = 0
    gaps: Sequence[SourceGap] = ()
    events: bool = False


class Fills:
    """The list, and how it is remembered: whole when it grows, by what was reached while it is worked off."""

    def __init__(self) -> None:
        self._fills: list[Fill] = []
        self._reached: dict[int, int] = {}
        self._done = 0
        self._grown = self._moved = False

    def recall(self, memory: Mapping[str, bytes]) -> None:
        """Take up what the last run left; what is damaged is as good as none."""
        try:
            fills = msgspec.msgpack.decode(memory[_FILLS], type=list[Fill])
            done, reached = msgspec.msgpack.decode(memory[_FILLED], type=tuple[int, dict[int, int]])
        except (KeyError, msgspec.DecodeError, msgspec.ValidationError):
            return
        self._fills, self._reached, self._grown = fills[done:], reached, True

    def __len__(self) -> int:
        return len(self._fills) - self._done

    def add(self, fills: Iterable[Fill]) -> int:
        """Put spans behind the others. Gives how many were taken: more than half a million wait for nobody."""
        fresh = list(fills)[: max(0, _MOST - len(self._fills))]
        self._fills += fresh
        self._grown |= bool(fresh)
        return len(fresh)

    def front(self, most: int) -> list[Fill]:
        """Give the fills at the front, each from where it was reached."""
        chosen = self._fills[self._done : self._done + most]
        return [
            msgspec.structs.replace(one, after=self._reached[number]) if number in self._reached else one
            for number, one in enumerate(chosen)
        ]

    def advance(self, progress: Progress) -> None:
        """Note what was read, as part of the batch that brings it."""
        self._moved = True
        if progress.done:
            self._done += progress.done
            self._reached = {}
        self._reached.update(progress.reached)

    def memory(self) -> dict[str, bytes]:
        """Give what the next run must know, exact for the batch that it is committed with."""
        told: dict[str, bytes] = {}
        if self._grown or (self._moved and not len(self)):
            self._fills, self._done = self._fills[self._done :], 0
            told[_FILLS] = msgspec.msgpack.encode(self._fills) if self._fills else b""
        if self._grown or self._moved:
            told[_FILLED] = msgspec.msgpack.encode((self._done, self._reached)) if self._fills else b""
        self._grown = self._moved = False
        return told
