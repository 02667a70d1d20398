"""Sieve: the rules, the deadband and the heartbeat of tags whose values come one by one."""

from collections.abc import Iterator
from datetime import datetime, timedelta

from msgspec.structs import replace

from connectors.line.rules import QUALITY_OF, Watch
from connectors.line.tags import Tag
from gateway.core.reading import Quality, Reading
from gateway.core.series import ticks


class _Last:
    """What is known of one tag: its last value, the one that was sent last, and when that was."""

    __slots__ = ("reading", "said_at", "sent", "tag", "watch")

    def __init__(self, tag: Tag) -> None:
        self.tag = tag
        ruled = any(rule is not None for rule in (tag.most_rate, tag.stuck, tag.spike, tag.missing))
        self.watch = Watch(tag) if ruled else None
        self.reading: Reading | None = None
        self.sent: Reading | None = None
        self.said_at: datetime | None = None


class Sieve:
    """Lowers the quality by the tag's rules, lets through what is worth sending, and says it again in time.

    Pure: time comes with the readings. Tags are known by name; who asks bounds their number.
    """

    def __init__(self) -> None:
        self._last: dict[str, _Last] = {}

    def sift(self, tag: Tag, reading: Reading) -> tuple[Reading, bool]:
        """Give the reading as it is to be believed, and whether it is to be sent."""
        if not (tag.deadband or tag.heartbeat or tag.most_rate or tag.stuck or tag.spike or tag.missing is not None):
            return reading, True
        last = self._last.get(tag.name)
        if last is None:
            last = self._last[tag.name] = _Last(tag)
        judged = reading if reading.repeated else _judged(last.watch, reading)
        last.reading = judged
        sends = reading.repeated or _moved(last.sent, judged, tag.deadband)
        if sends:
            last.sent, last.said_at = judged, judged.received_at
        return judged, sends

    def passed(self, now: datetime) -> Iterator[Reading]:
        """Give what time alone says: a rule that silence breaks, and heartbeats (marked as repeated)."""
        for last in self._last.values():
            reading = last.reading
            if reading is None or last.said_at is None:
                continue
            rule = last.watch.passed(ticks(now)) if last.watch is not None else None
            if rule is not None and reading.quality is not Quality.BAD:
                reading = last.reading = _lowered(reading, rule)
            elif last.tag.heartbeat is None or now - last.said_at < timedelta(seconds=last.tag.heartbeat):
                continue
            last.said_at = now
            yield replace(reading, received_at=now, repeated=True)


def _judged(watch: Watch | None, reading: Reading) -> Reading:
    value = reading.value
    if watch is None or reading.quality is Quality.BAD or not isinstance(value, int | float):
        return reading
    number = not isinstance(value, bool)
    rule = watch.judge(float(value), ticks(reading.at), ticks(reading.received_at), number=number)
    return _lowered(reading, rule) if rule else reading


def _lowered(reading: Reading, rule: str) -> Reading:
    """Put a rule's finding into a reading; "" takes it back."""
    if not rule:
        return replace(reading, quality=Quality.GOOD, why="") if reading.why in QUALITY_OF else reading
    quality = max(QUALITY_OF[rule], reading.quality)
    return replace(reading, quality=quality, value=None if quality is Quality.BAD else reading.value, why=rule)


def _moved(before: Reading | None, now: Reading, deadband: float) -> bool:
    """Compare with the value sent last, so that a slow ramp is seen."""
    if not deadband or before is None or before.quality is not now.quality or before.why != now.why:
        return True
    old, new = before.value, now.value
    if isinstance(old, bool | str) or isinstance(new, bool | str) or old is None or new is None:
        return old != new
    return abs(new - old) >= deadband
