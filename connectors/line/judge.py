"""Judge: raw columns of a source turned into series, by the rules of each tag."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime

import msgspec
import numpy as np
from numpy.typing import NDArray

from connectors.line.board import Board
from connectors.line.column import FLOAT, Column, Words, series_of
from connectors.line.deadband import Deadband
from connectors.line.echo import Echo
from connectors.line.limits import Limits
from connectors.line.rules import SPIKE, Rules, Verdict
from connectors.line.tags import NOT_FINITE, OUT_OF_RANGE, Tag, Times, judge
from gateway.core.reading import Quality, Reading
from gateway.core.series import Layout, Place, Series, ticks

_QUICKEST, _SLOWEST = 0.25, 5.0  # seconds


class Judge:
    """Scales, checks and thins the values of one source and tells the board; no Python per good number.

    A tag is known by its place in the list. Each tag's values must come in the order of their making, and
    one call must be over before the next. `every` and `heartbeat` (seconds) are the source's own, for tags
    that have none.
    """

    def __init__(
        self, tags: Sequence[Tag], board: Board, *, every: float | None = None, heartbeat: float | None = None
    ) -> None:
        self._tags, self._board = list(tags), board
        self.words = Words()
        self._deadband = Deadband(tags)
        self._rules = Rules(tags, every)
        self._echo = Echo(tags, heartbeat, self._rules.places)
        self._beats = {place: wish for place, tag in enumerate(tags) if (wish := tag.heartbeat or heartbeat)}
        self._texts: dict[int, tuple[Reading, datetime]] = {}
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
        now = ticks(received_at)
        kept = [
            self._sent(self._judged(part, received_at, now), now)
            for column in columns
            if len(column.places)
            for part in self._limits.scaled(column)
        ]
        return list(series_of(kept, self._layout, self.words, received_at, sequence))

    def _sent(self, column: Column, now: int) -> Column:
        column = self._deadband.passed(column)
        self._echo.remember(column, now)
        for place in self._texts.keys() & set(column.places.tolist()) if self._texts else ():
            del self._texts[place]  # it says numbers now, or that it is bad
        return column

    def _judged(self, column: Column, received_at: datetime, now: int) -> Column:
        if column.form == FLOAT and not (finite := np.isfinite(column.values)).all():
            column = self._spoilt(column, ~finite, NOT_FINITE)
        beyond = self._limits.outside(column)
        if beyond is not None:
            column = self._spoilt(column, beyond, OUT_OF_RANGE)
        column, found = self._rules.judged(column, self.words, now)
        for place, rule in found:
            self._board.count(place, rule)
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
        made = Reading(
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
        if place in self._beats:
            self._texts[place] = made, times.received_at
            self._echo.forget(place)
        return made

    @property
    def pulse(self) -> float | None:
        """How often `heartbeats` is to be asked, in seconds; None: nothing depends on it."""
        waits = [*self._beats.values(), *self._rules.waits()]
        return min(max(min(waits) / 4, _QUICKEST), _SLOWEST) if waits else None

    def heartbeats(self, now: datetime) -> tuple[list[Series], list[Reading]]:
        """Say last values again that were not sent for their `heartbeat`, and what time alone found out.

        To be asked only while the link is live. What is said again is marked as repeated and keeps the
        stamps of the source and the server; a tag that is ill is not repeated. A quality that changed
        because time passed (stuck, samples missing, a spike that was a step) is no repetition.
        """
        at = ticks(now)
        news = [column for verdict in self._rules.passed(at) for column in self._changed(verdict, at)]
        beats = list(self._echo.columns(self._echo.due(at, self._board.well())))
        series = [
            *series_of(news, self._layout, self.words, now, 0),
            *series_of(beats, self._layout, self.words, now, 0, repeated=True),
        ]
        return series, self._said_again(now)

    def _changed(self, verdict: Verdict, now: int) -> Iterator[Column]:
        """Give the last value with its new quality, when it still is what the rule speaks of."""
        before = self._echo.marks(verdict.place)
        expected = (Quality.GOOD, 0) if verdict.rule else (Quality.BAD, self.words.number(SPIKE))
        if before != expected:
            return
        if verdict.rule:
            self._board.count(verdict.place, verdict.rule)
        else:
            self._board.mend(verdict.place)
        for column in self._echo.columns(np.array([verdict.place])):
            changed = column.marked()._replace(
                qualities=np.array([verdict.quality], np.uint8),
                whys=np.array([self.words.number(verdict.rule)], np.int32),
            )
            yield self._sent(changed, now)

    def _said_again(self, now: datetime) -> list[Reading]:
        again: list[Reading] = []
        well = self._board.well()
        for place, (made, said) in self._texts.items():
            if well[place] and (now - said).total_seconds() >= self._beats[place]:
                again.append(msgspec.structs.replace(made, repeated=True, received_at=now))
                self._texts[place] = made, now
        return again
