"""Board: how each tag of a source is doing, by name."""

import time
from collections.abc import Sequence
from datetime import datetime

import numpy as np
import structlog
from numpy.typing import NDArray

from connectors.line.column import Column, Words, last_rows
from connectors.line.tags import Tag
from gateway.core.batch import TagState
from gateway.core.reading import Quality
from gateway.core.series import NEVER, moment, ticks

log: structlog.stdlib.BoundLogger = structlog.get_logger()
WAITING = "waiting for the first value"
NOT_YET = "BadWaitingForInitialData"
_QUIET_S = 60.0
_UNKNOWN, _ILL, _WELL = -1, 0, 1


class Board:
    """State per tag, by its place in the list.

    A change from well to ill, and back, is logged once; one that comes again for the same reason, once a
    minute.

    `stale_after` (seconds) is the source's: a keep-alive confirms the values of all its tags that are
    well. A tag's own `stale_after` is about its values alone.
    """

    def __init__(self, source: str, tags: Sequence[Tag], stale_after: float | None = None) -> None:
        self._source, self._tags, self._stale_after = source, tags, stale_after
        self._state = np.full(len(tags), _UNKNOWN, np.int8)
        self._detail = [WAITING] * len(tags)
        self._last = np.full(len(tags), NEVER)
        self._confirmed = NEVER
        self._said: dict[int, tuple[str, float]] = {}
        self._unmended: set[int] = set()
        self._found: dict[tuple[int, str], int] = {}
        self._finding: dict[int, str] = {}

    def fail(self, place: int, why: str) -> None:
        """The tag gives no value, and why."""
        if self._state[place] != _ILL or self._detail[place] != why:
            self._log_failed(place, why)
        self._state[place], self._detail[place] = _ILL, why

    def wait(self, place: int) -> None:
        """The equipment has no first value yet: neither well nor ill."""
        self._state[place], self._detail[place] = _UNKNOWN, WAITING

    def mend(self, place: int, detail: str = "") -> None:
        """The tag is monitored; its first value may still be to come."""
        if self._state[place] == _ILL and place in self._unmended:
            self._unmended.discard(place)
            log.info("line.tag.mended", source=self._source, tag=self._tags[place].name)
        self._state[place], self._detail[place] = _WELL, detail

    def _log_failed(self, place: int, why: str) -> None:
        said, at = self._said.get(place, ("", 0.0))
        if why == said and time.monotonic() - at < _QUIET_S:
            return
        self._said[place] = why, time.monotonic()
        self._unmended.add(place)
        log.warning("line.tag.failed", source=self._source, tag=self._tags[place].name, why=why)

    def heard(self, place: int, at: datetime, why: str = "") -> None:
        """A value came, at this receive time; `why` is not empty when it is bad."""
        self._last[place] = ticks(at)
        self._note(place, why)

    def told(self, column: Column, words: Words, at: datetime) -> None:
        """Values of many tags came, at this receive time. Of each tag the last one counts."""
        self._last[column.places] = ticks(at)
        if column.qualities is None or column.whys is None:
            for place in set(column.places[self._state[column.places] != _WELL].tolist()):
                self.mend(place)
            return
        rows = last_rows(column.places)
        ill = column.qualities[rows] == Quality.BAD
        rows = rows[ill | (self._state[column.places[rows]] != _WELL)]
        whys = np.where(column.qualities == Quality.BAD, column.whys, 0)
        for place, why in zip(column.places[rows].tolist(), whys[rows].tolist(), strict=True):
            self._note(place, words[why])

    def _note(self, place: int, why: str) -> None:
        if why == NOT_YET:
            self.wait(place)
        elif why:
            self.fail(place, why)
        elif self._state[place] != _WELL:
            self.mend(place)

    def count(self, place: int, rule: str, times: int = 1) -> None:
        """A rule found something in values of the tag."""
        self._found[place, rule] = self._found.get((place, rule), 0) + times
        self._finding[place] = rule

    def found(self) -> dict[tuple[str, str], int]:
        """How often each rule found something, by the tag's name and the rule."""
        return {(self._tags[place].name, rule): times for (place, rule), times in self._found.items()}

    def well(self) -> NDArray[np.bool_]:
        """Say which tags are well, by place."""
        return np.asarray(self._state == _WELL)

    def confirm(self, at: datetime) -> None:
        """The source lives and has nothing new: what its tags said last still holds."""
        self._confirmed = max(self._confirmed, ticks(at))

    def states(self) -> list[TagState]:
        """Give the state of every tag; the detail of one that is well tells what a rule found last."""
        found: dict[int, dict[str, int]] = {}
        for (place, rule), times in self._found.items():
            found.setdefault(place, {})[rule] = times
        return [self._shown(place, tag, found.get(place, {})) for place, tag in enumerate(self._tags)]

    def _shown(self, place: int, tag: Tag, found: dict[str, int]) -> TagState:
        last, well = int(self._last[place]), bool(self._state[place] == _WELL)
        stale_after = self._stale_after if tag.stale_after is None else tag.stale_after
        if well and tag.stale_after is None and stale_after is not None and last != NEVER:
            last = max(last, self._confirmed)
        detail = self._detail[place]
        if well and not detail and (rule := self._finding.get(place)):
            detail = f"last finding: {rule} ({self._found[place, rule]} in all)"
        return TagState(self._source, tag.name, well, detail, moment(last), stale_after, found)
