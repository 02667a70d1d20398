"""Rules over time, per tag: too fast, spike, stuck, samples missing. What they find lowers the quality.

The range is judged where values are scaled (`connectors.line.limits`). A rule never makes a value better, and
never changes a number. Pure: time comes with the values, and `Rules.passed` is told what time it is.
"""

from collections import deque
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from connectors.line.column import BOOLEAN, Column, Words
from connectors.line.tags import Tag
from gateway.core.reading import Quality
from gateway.core.series import NEVER

TOO_FAST = "changes too fast"
SPIKE = "spike"
STUCK = "stuck"
MISSING = "samples missing"
QUALITY_OF = {TOO_FAST: Quality.BAD, SPIKE: Quality.BAD, STUCK: Quality.UNCERTAIN, MISSING: Quality.UNCERTAIN}
_SECOND = 1_000_000  # microseconds
_LEAST_EXPECTED, _MOST_EXPECTED = 2, 100_000
_LEAST_HISTORY = 5
_SIGMAS_OF_MAD = 1.4826  # 1 / 0.6745: the MAD of a normal distribution, in standard deviations
_LAST_DIGIT = 1e-3  # of the median: less than that is no spike of a still signal
_SETTLED_S = 5.0
_CLOCK_STEP = 60 * _SECOND  # further back than values come late: the equipment's clock was set


def faults(tags: Iterable[Tag], every: float | None = None) -> list[str]:
    """Name the tags whose rules cannot work. `every` (seconds) is the source's own sampling interval."""
    found = []
    for tag in tags:
        interval = tag.every or every
        if tag.missing is not None and not interval:
            found.append(f"tag {tag.name}: missing needs every, the interval at which samples are expected")
        elif (
            tag.missing is not None
            and interval
            and not _LEAST_EXPECTED <= tag.missing_span / interval <= _MOST_EXPECTED
        ):
            found.append(
                f"tag {tag.name}: missing_span must hold {_LEAST_EXPECTED} to {_MOST_EXPECTED} samples of every"
            )
    return found


class Verdict(NamedTuple):
    """What time alone changed of a tag's last value: its new quality and the rule, "" when it holds again."""

    place: int
    quality: Quality
    rule: str


class Watch:
    """What the rules of one tag remember. Times are microseconds of one clock, the source's where it has one."""

    def __init__(self, tag: Tag, every: float | None = None) -> None:
        self._most_rate = tag.most_rate
        self._believed: tuple[float, int] | None = None
        self._stuck = None if tag.stuck is None else round(tag.stuck * _SECOND)
        self._same: tuple[float, int] | None = None
        self._spike, self._deadband = tag.spike, tag.deadband
        self._good: deque[float] = deque(maxlen=tag.spike_window)
        self._history = max(_LEAST_HISTORY, tag.spike_window // 2 + 1)
        self._left: float | None = None
        interval = tag.every or every
        self._missing = None if tag.missing is None or not interval else tag.missing
        self._span = round(tag.missing_span * _SECOND)
        self._expected = self._span / (interval * _SECOND) if interval else 0.0
        self._settled = round(max(2 * (interval or 0.0), _SETTLED_S) * _SECOND)
        self._times: deque[int] = deque(maxlen=round(2 * self._expected) + 2)
        self._began: int | None = None
        self._at, self._heard_at = NEVER, NEVER
        self._idle = ""

    @property
    def wait(self) -> float | None:
        """After how many seconds silence means something; None: it never does."""
        waits = [
            *([] if self._stuck is None else [self._stuck]),
            *([] if self._missing is None else [self._span]),
            *([] if self._spike is None else [self._settled]),
        ]
        return min(waits) / _SECOND if waits else None

    def judge(self, value: float, at: int, heard_at: int, *, number: bool = True) -> str:
        """Take in one value that is not bad; gives the rule that it breaks, or "". `number`: it is no boolean."""
        self._heard_at, self._idle = heard_at, ""
        if at < self._at - _CLOCK_STEP:
            self._restart()
        if self._missing is not None and at > self._at:
            self._times.append(at)
            self._began = at if self._began is None else self._began
        self._at = max(self._at, at)
        stays = self._stays(value, at)
        if number and self._is_too_fast(value, at):
            return TOO_FAST
        if number and self._is_spike(value):
            return SPIKE
        self._believed = (value, at) if self._believed is None or at >= self._believed[1] else self._believed
        self._idle = stays or self._lacks(at)
        return self._idle

    def _restart(self) -> None:
        self._believed = self._same = self._began = None
        self._times.clear()
        self._at = NEVER

    def passed(self, now: int) -> str | None:
        """Say what time alone found (`now` by our clock) since the last value; None: nothing has changed."""
        if self._heard_at == NEVER:
            return None
        at = self._at + max(0, now - self._heard_at)
        if self._left is not None:
            if at - self._at < self._settled:
                return None
            self._level(self._left, self._left)  # it did not return: a step, not a spike
            return ""
        if self._idle:
            return None
        stuck = STUCK if self._stuck is not None and self._same and at - self._same[1] >= self._stuck else ""
        self._idle = stuck or self._lacks(at)
        return self._idle or None

    def _is_too_fast(self, value: float, at: int) -> bool:
        """Compare with the last believed value, so that a real step is believed again when time has passed."""
        if self._most_rate is None or self._believed is None:
            return False
        before, then = self._believed
        return at > then and abs(value - before) > self._most_rate * (at - then) / _SECOND

    def _is_spike(self, value: float) -> bool:
        """The Hampel identifier (Hampel 1974; Davies and Gather 1993; Pearson 2002), made for one pass.

        With m the median of the last n good values and MAD the median of |x - m|, a value is out when
        |value - m| > spike * max(1.4826 * MAD, deadband, |m| / 1000). A second value in a row on the same
        side is a new level, and is believed. Of normal noise, spike = 6 rejects 5 in 10,000 with 21 values,
        but 90 with 9: a short window knows little of the spread.
        """
        if self._spike is None:
            return False
        if len(self._good) >= self._history:
            middle = _median(self._good)
            spread = _SIGMAS_OF_MAD * _median([abs(good - middle) for good in self._good])
            if abs(value - middle) > self._spike * max(spread, self._deadband, _LAST_DIGIT * abs(middle)):
                if self._left is None or (self._left > middle) != (value > middle):
                    self._left = value
                    return True
                self._level(self._left, value)
                return False
        self._left = None
        self._good.append(value)
        return False

    def _level(self, *values: float) -> None:
        self._good.clear()
        self._good.extend(values)
        self._left = None

    def _stays(self, value: float, at: int) -> str:
        if self._stuck is None:
            return ""
        if self._same is None or value != self._same[0]:
            self._same = (value, at)
        return STUCK if at - self._same[1] >= self._stuck else ""

    def _lacks(self, at: int) -> str:
        """Compare what came within the span with what was expected; one sample may be late."""
        if self._missing is None or self._began is None or at - self._began < self._span:
            return ""
        while self._times and self._times[0] <= at - self._span:
            self._times.popleft()
        return MISSING if 1 - (len(self._times) + 1) / self._expected > self._missing else ""


def _median(values: Iterable[float]) -> float:
    ordered = sorted(values)
    half = len(ordered) // 2
    return ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2


class Rules:
    """The rules of a source's tags. Without any, a column passes untouched."""

    def __init__(self, tags: Sequence[Tag], every: float | None = None) -> None:
        self._watches = {
            place: Watch(tag, every)
            for place, tag in enumerate(tags)
            if any(rule is not None for rule in (tag.most_rate, tag.stuck, tag.spike, tag.missing))
        }
        self._watched = np.zeros(len(tags), np.bool_)
        self._watched[list(self._watches)] = True

    @property
    def places(self) -> frozenset[int]:
        """The tags that have such rules."""
        return frozenset(self._watches)

    def waits(self) -> list[float]:
        """Give the times, in seconds, after which silence alone means something."""
        return [wait for watch in self._watches.values() if (wait := watch.wait) is not None]

    def judged(self, column: Column, words: Words, received: int) -> tuple[Column, list[tuple[int, str]]]:
        """Give the column with lowered qualities, and what was found: (place, rule). `received` is in microseconds."""
        if not self._watches or not (watched := self._watched[column.places]).any():
            return column, []
        if column.qualities is not None:
            watched &= column.qualities != Quality.BAD
        rows = np.flatnonzero(watched)
        times = np.where(column.sourced == NEVER, column.served, column.sourced)[rows]
        times[times == NEVER] = received
        number = column.form != BOOLEAN
        broken: list[tuple[int, int, str]] = []
        for row, place, value, at in zip(
            rows.tolist(), column.places[rows].tolist(), column.values[rows].tolist(), times.tolist(), strict=True
        ):
            rule = self._watches[place].judge(value, at, received, number=number)
            if rule:
                broken.append((row, place, rule))
        if not broken:
            return column, []
        return _lowered(column, words, broken), [(place, rule) for _, place, rule in broken]

    def passed(self, now: int) -> list[Verdict]:
        """Say what time alone changed of last values; `now` in microseconds. Only asked while the link is live."""
        return [
            Verdict(place, QUALITY_OF.get(rule, Quality.GOOD), rule)
            for place, watch in self._watches.items()
            if (rule := watch.passed(now)) is not None
        ]


def _lowered(column: Column, words: Words, broken: Sequence[tuple[int, int, str]]) -> Column:
    column = column.marked()
    qualities, whys = column.qualities, column.whys
    if qualities is None or whys is None:
        return column
    for row, _, rule in broken:
        quality = QUALITY_OF[rule]
        if quality > qualities[row]:  # the server's own doubt stays its own
            qualities[row], whys[row] = quality, words.number(rule)
    return column
