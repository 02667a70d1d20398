"""Roll: how each tag of a source is doing, by name; names may come from topics or files, so their number is bounded."""

from collections.abc import Sequence
from datetime import datetime

import structlog

from connectors.line.tags import Tag
from gateway.core.batch import TagState

log: structlog.stdlib.BoundLogger = structlog.get_logger()
WAITING = "waiting for the first value"


class _Line:
    __slots__ = ("detail", "found", "healthy", "last_at", "stale_after")

    def __init__(self, stale_after: float | None) -> None:
        self.healthy: bool | None = None
        self.detail = WAITING
        self.last_at: datetime | None = None
        self.stale_after = stale_after
        self.found: dict[str, int] = {}


class Roll:
    """State per tag. A change from well to ill, and back, is logged once."""

    def __init__(self, source: str, tags: Sequence[Tag], most: int) -> None:
        self._source, self._most = source, most
        self._lines = {tag.name: _Line(tag.stale_after) for tag in tags}
        self._declared = set(self._lines)
        self.turned_away = 0

    def knows(self, name: str) -> bool:
        """Say whether there is room for this name; one that is turned away is counted."""
        if name in self._lines or len(self._lines) < self._most + len(self._declared):
            return True
        self.turned_away += 1
        return False

    def heard(self, tag: Tag, pattern: str, at: datetime, why: str = "") -> None:
        """A value of a tag came, declared as `pattern`; `why` is not empty when it is bad."""
        line = self._line(tag)
        if line is None:
            return
        line.last_at = at
        if pattern != tag.name:
            known = self._lines[pattern]
            known.healthy, known.detail, known.last_at = True, "", at
        if why:
            self._fail(tag.name, line, why)
            return
        if line.healthy is False:
            log.info("line.tag.mended", source=self._source, tag=tag.name)
        line.healthy, line.detail = True, ""

    def fail(self, tag: Tag, why: str) -> None:
        """A tag gives no value, and why."""
        line = self._line(tag)
        if line is not None:
            self._fail(tag.name, line, why)

    def remark(self, tag: Tag, why: str) -> None:
        """Say why a tag has not been heard; one that was heard stays as it is."""
        line = self._lines.get(tag.name)
        if line is not None and line.healthy is None:
            line.detail = why

    def count(self, tag: Tag, rule: str) -> None:
        """A rule found something in values of the tag."""
        line = self._line(tag)
        if line is not None:
            line.found[rule] = line.found.get(rule, 0) + 1

    def _line(self, tag: Tag) -> _Line | None:
        if tag.name not in self._lines:
            if not self.knows(tag.name):
                return None
            self._lines[tag.name] = _Line(tag.stale_after)
        return self._lines[tag.name]

    def _fail(self, name: str, line: _Line, why: str) -> None:
        if line.healthy is not False or line.detail != why:
            log.warning("line.tag.failed", source=self._source, tag=name, why=why)
        line.healthy, line.detail = False, why

    def states(self) -> list[TagState]:
        """Give the state of every tag."""
        return [
            TagState(
                self._source, name, line.healthy is True, line.detail, line.last_at, line.stale_after, {**line.found}
            )
            for name, line in self._lines.items()
        ]
