"""Thinning: half of the values of an old batch, so that the past gets coarser before it goes (pure).

What changes nothing goes first: heartbeats, then every second value of a tag. The first value of a tag
stays, and so does whatever changes: a quality, a reason, a state or a text, each with the value
before it in the same block. A warning in a log stays. Gaps and notes stay as facts.
"""

from dataclasses import dataclass, field

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from gateway.core.batch import Batch
from gateway.core.reading import LogLine, Quality, Reading, ThermalFrame, Waveform
from gateway.core.series import Series

_EVERY = 2
_WARNING = 4
_MOST_TAGS = 200_000
_NOTHING_YET = -1

Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]


@dataclass(slots=True)
class _Tags:
    """Per place of a layout: how many values went by, and the state of the last one."""

    counts: Ints
    states: Ints


@dataclass(slots=True)
class Thinner:
    """Thins batches in the order of the journal; knows each tag's count from batch to batch. Bounded."""

    _layouts: dict[tuple[str, str], _Tags] = field(default_factory=dict)
    _singles: dict[tuple[str, str, str, str], tuple[int, object]] = field(default_factory=dict)

    def thin(self, batch: Batch) -> Batch | None:
        """Give what is left of a batch; None when nothing is."""
        if len(self._singles) + sum(tags.counts.size for tags in self._layouts.values()) > _MOST_TAGS:
            self._layouts.clear()
            self._singles.clear()
        left = replace(
            batch,
            readings=tuple(one for one in batch.readings if self._stays(batch.source, one)),
            waveforms=tuple(one for one in batch.waveforms if self._next(batch.source, "wave", one)),
            frames=tuple(one for one in batch.frames if self._next(batch.source, "frame", one)),
            lines=tuple(one for one in batch.lines if self._line_stays(batch.source, one)),
            series=tuple(left for block in batch.series if (left := self._columns(batch.source, block)).count),
        )
        return left if left.count or left.gaps or left.note else None

    def _stays(self, source: str, one: Reading) -> bool:
        if one.repeated:
            return False
        state = (one.quality, one.why, one.value if isinstance(one.value, str | bool) else None)
        return self._turn((source, "value", one.asset, one.tag), state)

    def _next(self, source: str, kind: str, one: Waveform | ThermalFrame) -> bool:
        return self._turn((source, kind, one.asset, one.tag), one.quality is Quality.BAD)

    def _line_stays(self, source: str, one: LogLine) -> bool:
        return one.severity <= _WARNING or self._turn((source, "line", one.asset, ""), None)

    def _turn(self, key: tuple[str, str, str, str], state: object) -> bool:
        count, before = self._singles.get(key, (0, _NOTHING_YET))
        self._singles[key] = (count + 1, state)
        return count % _EVERY == 0 or state != before

    def _columns(self, source: str, block: Series) -> Series:
        """Thin a block of columns."""
        if not block.count:
            return block
        tags = self._layouts.get((source, block.layout.digest))
        if tags is None:
            size = len(block.layout.places)
            tags = _Tags(np.zeros(size, np.int64), np.full(size, _NOTHING_YET, np.int64))
            self._layouts[source, block.layout.digest] = tags
        return _picked(block, _staying(block, tags))


def _staying(block: Series, tags: _Tags) -> Mask:
    """Say which rows of a block stay, and take note of them in `tags`."""
    places = np.frombuffer(block.places, "<u4").astype(np.int64)
    states = _states(block)
    order = np.argsort(places, kind="stable")
    place, state = places[order], states[order]
    begins = np.flatnonzero(np.diff(place, prepend=-1))
    lengths = np.diff(begins, append=place.size)
    nth = np.arange(place.size) - np.repeat(begins, lengths) + tags.counts[place]
    before = np.roll(state, 1)
    before[begins] = tags.states[place[begins]]
    changed = state != before
    ahead = np.roll(changed, -1)
    ahead[begins - 1] = False  # the row before a tag's first row is another tag's last
    stays = (nth % _EVERY == 0) | changed | ahead
    tags.counts[place[begins]] += lengths
    tags.states[place[begins]] = state[begins + lengths - 1]
    mask = np.empty(place.size, np.bool_)
    mask[order] = stays
    mask &= _column(block.repeats, block.count) == 0
    return mask


def _states(block: Series) -> Ints:
    """Give what a tag's value must not silently pass from: quality, reason, and which of two states."""
    count = block.count
    states = _column(block.qualities, count) * 256 + _column(block.whys, count)
    return states * 2 + _column(block.values, count) if block.form == "|b1" else states


def _picked(block: Series, stays: Mask) -> Series:
    """Give the rows of a block that stay."""
    if stays.all():
        return block

    def pick(column: bytes, form: str) -> bytes:
        items = np.frombuffer(column, form)
        return column if items.size == 1 and block.count > 1 else items[stays].tobytes()

    if not stays.any():
        return replace(block, places=b"", values=b"")
    return replace(
        block,
        places=pick(block.places, "<u4"),
        values=np.frombuffer(block.values, block.form)[stays].tobytes(),
        qualities=pick(block.qualities, "|u1"),
        whys=pick(block.whys, "|u1"),
        sourced=pick(block.sourced, "<i8"),
        served=pick(block.served, "<i8"),
        repeats=pick(block.repeats, "|u1"),
    )


def _column(column: bytes, count: int) -> Ints:
    """Give a column of bytes with a row for every value; one item holds for all."""
    items = np.frombuffer(column, np.uint8).astype(np.int64)
    return items if items.size == count else np.repeat(items, count)
