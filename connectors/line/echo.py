"""Echo: the last value of each tag that was sent, for heartbeats and for what time alone changes of it."""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from connectors.line.column import FORMS, Column
from connectors.line.tags import Tag
from gateway.core.series import NEVER

_NONE = -1
_SECOND = 1_000_000  # microseconds


class Echo:
    """Keeps last values of the tags with a heartbeat, and of those that are asked for besides.

    `heartbeat` (seconds) is the source's, for tags without one of their own; None: they have none.
    """

    def __init__(self, tags: Sequence[Tag], heartbeat: float | None, besides: Iterable[int] = ()) -> None:
        wished = [heartbeat if tag.heartbeat is None else tag.heartbeat for tag in tags]
        count = len(tags)
        self._every = np.array([round((wish or 0) * _SECOND) for wish in wished], np.int64)
        self._kept = self._every > 0
        self._kept[list(besides)] = True
        self._any = bool(self._kept.any())
        self._form = np.full(count, _NONE, np.int8)
        self._bits = np.zeros(count, np.uint64)
        self._sourced, self._served = np.full(count, NEVER), np.full(count, NEVER)
        self._qualities, self._whys = np.zeros(count, np.uint8), np.zeros(count, np.int32)
        self._said = np.full(count, NEVER)

    def remember(self, column: Column, now: int) -> None:
        """Keep what was sent now (microseconds)."""
        if not self._any:
            return
        kept = self._kept[column.places]
        if not kept.any():
            return
        if not kept.all():
            column = column.only(kept)
        places = column.places  # where a place stands twice, the later one is kept
        values = column.values
        self._form[places] = column.form
        self._bits[places] = values.astype(np.uint64) if values.dtype.kind == "b" else values.view(np.uint64)
        self._sourced[places], self._served[places] = column.sourced, column.served
        self._qualities[places] = 0 if column.qualities is None else column.qualities
        self._whys[places] = 0 if column.whys is None else column.whys
        self._said[places] = now

    def forget(self, place: int) -> None:
        """The tag said something else than a number."""
        self._form[place] = _NONE

    def due(self, now: int, living: NDArray[np.bool_]) -> NDArray[np.intp]:
        """Give the living tags whose value is to be said again, and note that it was."""
        if not self._any:
            return np.empty(0, np.intp)
        due = (self._every > 0) & living & (self._form != _NONE)
        places = np.flatnonzero(due)
        places = places[now - self._said[places] >= self._every[places]]
        self._said[places] = now
        return places

    def marks(self, place: int) -> tuple[int, int] | None:
        """Give the quality and the reason's number of a tag's last value; None when there is none."""
        if self._form[place] == _NONE:
            return None
        return int(self._qualities[place]), int(self._whys[place])

    def columns(self, places: NDArray[np.intp]) -> Iterator[Column]:
        """Give the last values of tags, as they were."""
        for number, form in enumerate(FORMS):
            chosen = places[self._form[places] == number]
            if not len(chosen):
                continue
            bits = self._bits[chosen]
            yield Column(
                chosen.astype(np.int64),
                bits != 0 if form == "|b1" else bits.view(form),
                self._sourced[chosen],
                self._served[chosen],
                self._qualities[chosen],
                self._whys[chosen],
            )
