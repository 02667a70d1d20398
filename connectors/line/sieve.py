"""Sieve: the rules, the deadband and the heartbeat of tags whose values come one by one."""

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta

from msgspec.structs import replace

from connectors.line.rules import QUALITY_OF, SPIKE, Watch
from connectors.line.tags import BEYOND, NOT_FINITE, OUT_OF_RANGE, Tag
from gateway.core.reading import Quality, Reading
from gateway.core.series import ticks

_BY_VALUE = frozenset({OUT_OF_RANGE, NOT_FINITE, BEYOND})
"""What was found where the value was made, before it came here."""


class _Last:
    """What is known of one tag: its last value as it came and as it is believed, the one sent last, and when."""

    __slots__ = ("came", "reading", "said_at", "sent", "tag", "watch")

    def __init__(self, tag: Tag) -> None:
        self.tag = tag
        ruled = any(rule is not None for rule in (tag.most_rate, tag.stuck, tag.spike, tag.missing))
        self.watch = Watch(tag) if ruled else None
        self.came: Reading | None = None
        self.reading: Reading | None = None
        self.sent: Reading | None = None
        self.said_at: datetime | None = None


class Sieve:
    """Lowers the quality by the tag's rules, lets through what is worth sending, and says it again in time.

    Pure: time comes with the readings. Tags are known by name; who asks bounds their number. `counted` is told
    whenever a rule finds something.
    """

    def __init__(self, counted: Callable[[Tag, str], None] = lambda _tag, _rule: None) -> None:
        self._counted = counted
        self._last: dict[str, _Last] = {}

    def sift(self, tag: Tag, reading: Reading) -> tuple[Reading, bool]:
        """Give the reading as it is to be believed, and whether it is to be sent."""
        if reading.why in _BY_VALUE and not reading.repeated:
            self._counted(tag, reading.why)
        if not (tag.deadband or tag.heartbeat or tag.most_rate or tag.stuck or tag.spike or tag.missing is not None):
            return reading, True
        last = self._last.get(tag.name)
        if last is None:
            last = self._last[tag.name] = _Last(tag)
        judged = reading if reading.repeated else self._judged(last, reading)
        last.came, last.reading = reading, judged
        sends = reading.repeated or _moved(last.sent, judged, tag.deadband)
        if sends:
            last.sent, last.said_at = judged, judged.received_at
        return judged, sends

    def passed(self, now: datetime) -> Iterator[Reading]:
        """Give what time alone says: a quality that it changed, which is news, and heartbeats, marked as repeated.

        A value that is bad is not said again: a heartbeat says that it still holds.
        """
        for last in self._last.values():
            if last.reading is None or last.came is None or last.said_at is None:
                continue
            changed = self._changed(last, now)
            if changed is not None:
                last.reading = last.sent = changed
                last.said_at = now
                yield replace(changed, received_at=now)
            elif last.sent is not None and _beats(last, now):
                last.said_at = now
                yield replace(last.sent, received_at=now, repeated=True)

    def _changed(self, last: _Last, now: datetime) -> Reading | None:
        """Give the last value with its new quality, when it still is what the rule speaks of."""
        rule = last.watch.passed(ticks(now)) if last.watch is not None else None
        if rule is None or last.reading is None:
            return None
        if not rule:
            return last.came if last.reading.why == SPIKE else None
        if last.reading.quality is not Quality.GOOD:
            return None
        self._counted(last.tag, rule)
        return _lowered(last.reading, rule)

    def _judged(self, last: _Last, reading: Reading) -> Reading:
        value = reading.value
        if last.watch is None or reading.quality is Quality.BAD or not isinstance(value, int | float):
            return reading
        number = not isinstance(value, bool)
        rule = last.watch.judge(float(value), ticks(reading.at), ticks(reading.received_at), number=number)
        if not rule:
            return reading
        self._counted(last.tag, rule)
        return _lowered(reading, rule)


def _beats(last: _Last, now: datetime) -> bool:
    """Say whether the last value is to be said again; not when it is bad, or too old to say that anybody lives."""
    tag, reading = last.tag, last.reading
    if tag.heartbeat is None or last.said_at is None or reading is None or reading.quality is Quality.BAD:
        return False
    if tag.stale_after is not None and now - reading.received_at >= timedelta(seconds=tag.stale_after):
        return False
    return now - last.said_at >= timedelta(seconds=tag.heartbeat)


def _lowered(reading: Reading, rule: str) -> Reading:
    """Put a rule's finding into a reading; it never makes it better, and the equipment's own doubt stays its own."""
    quality = QUALITY_OF[rule]
    if quality <= reading.quality:
        return reading
    return replace(reading, quality=quality, value=None if quality is Quality.BAD else reading.value, why=rule)


def _moved(before: Reading | None, now: Reading, deadband: float) -> bool:
    """Compare with the value sent last, so that a slow ramp is seen."""
    if not deadband or before is None or before.quality is not now.quality or before.why != now.why:
        return True
    old, new = before.value, now.value
    if isinstance(old, bool | str) or isinstance(new, bool | str) or old is None or new is None:
        return old != new
    return abs(new - old) >= deadband
