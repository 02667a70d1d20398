"""Latest: the last value of every tag of a layout, in columns (for `live`)."""

import sys

import numpy as np
from numpy.typing import NDArray

from gateway.core.reading import Quality, Reading
from gateway.core.series import NEVER, Form, Layout, Series, moment, ticks

_AHEAD = 3_600_000_000
"""No clock of a line is this far ahead (microseconds) and right: what it stamped must not stay the latest for good."""

_FORMS: tuple[Form, ...] = ("<f8", "<i8", "<u8", "|b1")
_MOST_REASONS = 1000
_OF_MANY = "one of many reasons"


class Latest:
    """The last value per place of one layout. A block costs a few array assignments, however many values it has."""

    def __init__(self, layout: Layout) -> None:
        count = len(layout.places)
        self.layout = layout
        self._at = np.full(count, NEVER, np.int64)
        self._received = np.zeros(count, np.int64)
        self._sourced = np.full(count, NEVER, np.int64)
        self._served = np.full(count, NEVER, np.int64)
        self._bits = np.zeros(count, "<u8")
        self._form = np.zeros(count, np.uint8)
        self._quality = np.zeros(count, np.uint8)
        self._why = np.zeros(count, np.uint16)
        self._sequence = np.zeros(count, np.int64)
        self._reasons: dict[str, int] = {"": 0}

    def note(self, block: Series) -> None:
        """Take a block in. An older value never replaces a newer one, unless that one is stamped in the future."""
        received = ticks(block.received_at)
        places = np.frombuffer(block.places, "<u4")
        sourced, served = np.frombuffer(block.sourced, "<i8"), np.frombuffer(block.served, "<i8")
        best = np.where(sourced == NEVER, served, sourced)
        at = np.broadcast_to(np.where(best == NEVER, received, best), places.shape)
        held = self._at[places]
        rows = np.flatnonzero(((at >= held) | (held > received + _AHEAD)) & ~_flags(block.repeats))
        if len(rows) and (np.diff(at[rows]) < 0).any():
            rows = rows[np.argsort(at[rows], kind="stable")]  # of several of one tag the last assignment stays
        where = places[rows]
        self._at[where], self._received[where], self._sequence[where] = at[rows], received, block.sequence
        for column, kept in ((sourced, self._sourced), (served, self._served)):
            kept[where] = column if column.size == 1 else column[rows]
        bits = np.frombuffer(block.values, block.form)
        self._bits[where] = (bits.astype("<u8") if bits.itemsize == 1 else bits.view("<u8"))[rows]
        self._form[where] = _FORMS.index(block.form)
        qualities, whys = np.frombuffer(block.qualities, np.uint8), np.frombuffer(block.whys, np.uint8)
        self._quality[where] = qualities if qualities.size == 1 else qualities[rows]
        named = np.array([self._reason(why) for why in block.reasons], np.uint16)
        self._why[where] = named[whys if whys.size == 1 else whys[rows]]

    def heard(self, place: int) -> bool:
        """Tell whether a place ever had a value."""
        return bool(self._at[place] != NEVER)

    def reading(self, place: int) -> Reading | None:
        """Give the last value of a place, None when there was none."""
        if not self.heard(place):
            return None
        name, quality = self.layout.places[place], Quality(int(self._quality[place]))
        received = moment(int(self._received[place]))
        if received is None:
            return None
        return Reading(
            name.asset,
            name.tag,
            None if quality is Quality.BAD else self._value(place),
            name.unit,
            quality,
            moment(int(self._sourced[place])),
            moment(int(self._served[place])),
            received,
            list(self._reasons)[self._why[place]],
            int(self._sequence[place]),
        )

    def _value(self, place: int) -> float | int | bool:
        form, bits = _FORMS[self._form[place]], self._bits[place : place + 1]
        value: float | int | bool = (bits.astype("|b1") if form == "|b1" else bits.view(form))[0].item()
        return value

    def _reason(self, why: str) -> int:
        if why not in self._reasons and len(self._reasons) >= _MOST_REASONS:
            why = _OF_MANY  # a reason with a number in it must not grow this for ever
        return self._reasons.setdefault(sys.intern(why), len(self._reasons))


def _flags(column: bytes) -> NDArray[np.bool_]:
    return np.frombuffer(column, np.uint8).astype(np.bool_)
