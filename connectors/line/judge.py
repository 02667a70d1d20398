"""Judge: raw columns of a source turned into series, by the rules of each tag."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from connectors.line.board import Board
from connectors.line.column import FLOAT, Column, Words, series_of
from connectors.line.deadband import Deadband
from connectors.line.limits import Limits
from connectors.line.tags import NOT_FINITE, OUT_OF_RANGE, Tag, Times, judge
from gateway.core.reading import Quality, Reading
from gateway.core.series import Layout, Place, Series


class Judge:
    """Scales, checks and thins the values of one source and tells the board; no Python per good number.

    A tag is known by its place in the list. Each tag's values must come in the order of their making.
    """

    def __init__(self, tags: Sequence[Tag], board: Board) -> None:
        self._tags, self._board = list(tags), board
        self.words = Words()
        self._deadband = Deadband(tags)
        self._learnt()

    def _learnt(self) -> None:
        self._layout = Layout([Place(tag.asset, tag.tag, tag.unit) for tag in self._tags])
        self._limits = Limits(self._tags)

    @property
    def tags(self) -> Sequence[Tag]:
        """The tags as they are now known, by place."""
        return self._tags

    def learn(self, tags: Mapping[int, Tag]) -> None:
        """Take what was found out about tags: the unit, the scale, the range, the deadband. Their names stay."""
        changed = {place: tag for place, tag in tags.items() if self._tags[place] != tag}
        if changed:
            for place, tag in changed.items():
                self._tags[place] = tag
                self._deadband.learn(place, tag.deadband)
            self._learnt()

    def series(self, columns: Iterable[Column], received_at: datetime, sequence: int) -> list[Series]:
        """Judge the raw values of one message or scan; what is not worth sending is left out."""
        kept = [
            self._deadband.passed(self._judged(part, received_at))
            for column in columns
            if len(column.places)
            for part in self._limits.scaled(column)
        ]
        return list(series_of(kept, self._layout, self.words, received_at, sequence))

    def _judged(self, column: Column, received_at: datetime) -> Column:
        if column.form == FLOAT and not (finite := np.isfinite(column.values)).all():
            column = self._spoilt(column, ~finite, NOT_FINITE)
        beyond = self._limits.outside(column)
        if beyond is not None:
            column = self._spoilt(column, beyond, OUT_OF_RANGE)
        self._board.told(column, self.words, received_at)
        return column

    def _spoilt(self, column: Column, where: NDArray[np.bool_], rule: str) -> Column:
        """Make values bad that are not bad yet, and count them."""
        column = column.marked()
        assert column.qualities is not None and column.whys is not None  # noqa: S101, PT018 (for the type checker)
        where = where & (column.qualities != Quality.BAD)
        column.qualities[where], column.whys[where] = Quality.BAD, self.words.number(rule)
        places, times = np.unique(column.places[where], return_counts=True)
        for place, found in zip(places.tolist(), times.tolist(), strict=True):
            self._board.count(place, rule, found)
        return column

    def text(self, place: int, raw: object, quality: Quality, why: str, times: Times, sequence: int) -> Reading | None:
        """Judge a value that is no number; None: nothing to send. `raw` means nothing when the quality is BAD."""
        tag, value = self._tags[place], None
        if quality is not Quality.BAD:
            value, unfit = judge(tag, raw)
            if unfit:
                quality, why = Quality.BAD, unfit
        self._board.heard(place, times.received_at, why if quality is Quality.BAD else "")
        if not self._deadband.text_passed(place, value, quality, self.words.number(why)):
            return None
        return Reading(
            tag.asset,
            tag.tag,
            value,
            tag.unit,
            quality,
            times.sourced_at,
            times.served_at,
            times.received_at,
            why,
            sequence,
        )
