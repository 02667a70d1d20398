"""Board: how each tag of a source is doing, by name."""

from collections.abc import Sequence
from datetime import datetime

import structlog

from connectors.line.tags import Tag
from gateway.core.batch import TagState

log: structlog.stdlib.BoundLogger = structlog.get_logger()
WAITING = "waiting for the first value"


class Board:
    """State per tag, by its place in the list. A change from well to ill, and back, is logged once."""

    def __init__(self, source: str, tags: Sequence[Tag]) -> None:
        self._source, self._tags = source, tags
        self._healthy: list[bool | None] = [None] * len(tags)
        self._detail = [WAITING] * len(tags)
        self._last: list[datetime | None] = [None] * len(tags)

    def fail(self, place: int, why: str) -> None:
        """The tag gives no value, and why."""
        if self._healthy[place] is not False or self._detail[place] != why:
            log.warning("line.tag.failed", source=self._source, tag=self._tags[place].name, why=why)
        self._healthy[place], self._detail[place] = False, why

    def wait(self, place: int) -> None:
        """The equipment has no first value yet: neither well nor ill."""
        self._healthy[place], self._detail[place] = None, WAITING

    def mend(self, place: int, detail: str = "") -> None:
        """The tag is monitored; its first value may still be to come."""
        if self._healthy[place] is False:
            log.info("line.tag.mended", source=self._source, tag=self._tags[place].name)
        self._healthy[place], self._detail[place] = True, detail

    def heard(self, place: int, at: datetime, why: str = "") -> None:
        """A value came, at this receive time; `why` is not empty when it is bad."""
        self._last[place] = at
        if why:
            self.fail(place, why)
        elif self._healthy[place] is not True:
            self.mend(place)

    def states(self) -> list[TagState]:
        """Give the state of every tag."""
        return [
            TagState(self._source, tag.name, healthy is True, detail, last)
            for tag, healthy, detail, last in zip(self._tags, self._healthy, self._detail, self._last, strict=True)
        ]
