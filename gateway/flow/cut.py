"""Streams into windows, with watermark, late data and gaps (pure).

Windows lie on a grid of absolute time, so the same journal gives the same windows after a restart and
in a replay. A window closes when every waveform of its asset has passed its end, or when the clock of
what was received is `late` beyond it; the clock is the journal's, never the wall's. A stamp that means nothing
(`align.is_stray`) is replaced by the time of receipt, so that one bad clock holds no window up; a log line
with one is left out, because old lines of a file are no news.
"""

from bisect import insort
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import msgspec

from gateway.core.batch import Batch
from gateway.core.reading import LogLine, Quality, Reading, ThermalFrame, Waveform
from gateway.core.window import Gap, Scalar, Window
from gateway.flow.align import Clocks, is_stray

FRAME_AGE = timedelta(seconds=15)
"""A picture older than this at a window's end is not evidence about the window."""

SCALAR_AGE = timedelta(seconds=60)
"""A value that changes rarely (OPC UA reports changes only) is held this long."""

FORGET = timedelta(seconds=30)
"""An input that was silent this long is no longer waited for."""

MOST_LINES = 200
_MOST_WINDOWS = 64
_JITTER_S = 0.005
_SAMPLE = 4


class Cutter:
    """Cuts what arrives into windows, per asset.

    `add` takes journalled batches in order; `ready` gives the windows that are complete, oldest first.
    `oldest` is the lowest journal number that an unfinished window still needs: a restart begins there.
    `late` counts values that came after their window was closed (they stay in the journal).
    """

    def __init__(self, length: timedelta, late: timedelta) -> None:
        self._length, self._late = length, late
        self._clocks = Clocks()
        self._assets: dict[str, _Inputs] = {}
        self._now: datetime | None = None
        self._newest = 0
        self.late = 0

    def add(self, number: int, batch: Batch) -> None:
        """Take in one batch; `number` is its place in the journal."""
        self._newest = number
        self._now = max(self._now, batch.received_at) if self._now else batch.received_at
        for delay in _delays(batch):
            self._clocks.note(batch.source, delay)
        offset = self._clocks.offset(batch.source)
        for wave in batch.waveforms:
            start = wave.received_at - _made(_delay(wave), offset) - timedelta(seconds=wave.seconds)
            self._place(wave.asset, number, msgspec.structs.replace(wave, sourced_at=start))
        for frame in batch.frames:
            made = frame.received_at - _made(_delay(frame), offset)
            self._place(frame.asset, number, msgspec.structs.replace(frame, sourced_at=made))
        for reading in batch.readings:
            own = offset if reading.sourced_at else timedelta(0)
            self._place(reading.asset, number, reading, reading.received_at - _made(_delay(reading), own))
        for line in batch.lines:
            own = offset if line.sourced_at else timedelta(0)
            if is_stray(_delay(line), own) and _delay(line) > own:
                self.late += 1
                continue
            self._place(line.asset, number, line, line.received_at - _made(_delay(line), own))

    def tick(self, now: datetime) -> None:
        """Let time pass without data (aware UTC): what is late enough closes."""
        self._now = max(self._now, now) if self._now else now

    def ready(self) -> list[Window]:
        """Give the windows that are complete, by end and asset; each window once."""
        if self._now is None:
            return []
        windows = [window for name, inputs in self._assets.items() for window in self._closed(name, inputs)]
        # Names come from outside too (a syslog sender): one that holds nothing any more is forgotten.
        self._assets = {name: inputs for name, inputs in self._assets.items() if not inputs.empty}
        return sorted(windows, key=lambda window: (window.end, window.asset))

    @property
    def oldest(self) -> int:
        """The lowest journal number that is still needed."""
        needed = [inputs.numbers[0][2] for inputs in self._assets.values() if inputs.numbers]
        return min(needed, default=self._newest + 1)

    def _place(self, asset: str, number: int, item: "_Item", at: datetime | None = None) -> None:
        inputs = self._assets.setdefault(asset, _Inputs())
        moment = at or item.at
        end = moment + timedelta(seconds=item.seconds) if isinstance(item, Waveform) else moment
        if inputs.next is not None and end <= inputs.next:
            self.late += 1
            inputs.remember(moment, item)
            return
        if inputs.next is None:
            inputs.next = _floor(moment, self._length)
        inputs.numbers.append((moment, end, number))
        inputs.remember(moment, item)
        if isinstance(item, Waveform):
            inputs.heard[item.tag] = (end, item.received_at)

    def _closed(self, name: str, inputs: "_Inputs") -> Iterator[Window]:
        assert self._now is not None  # noqa: S101  `ready` looked
        for _ in range(_MOST_WINDOWS):
            if inputs.next is None:
                return
            start, end = inputs.next, inputs.next + self._length
            if not inputs.reaches(end, self._now, self._late):
                return
            inputs.next = end
            window = inputs.cut(name, start, end)
            inputs.forget(end)
            if window is not None:
                yield window
            else:  # silence: go on where data goes on, not window by window
                following = inputs.earliest(end)
                inputs.next = None if following is None else _floor(following, self._length)


_Item = Waveform | ThermalFrame | Reading | LogLine


@dataclass(slots=True)
class _Inputs:
    """What is known of one asset and not yet cut."""

    next: datetime | None = None
    waves: list[Waveform] = field(default_factory=list)
    frames: list[ThermalFrame] = field(default_factory=list)
    values: dict[str, list[tuple[datetime, Reading]]] = field(default_factory=dict)
    lines: list[tuple[datetime, LogLine]] = field(default_factory=list)
    heard: dict[str, tuple[datetime, datetime]] = field(default_factory=dict)
    numbers: list[tuple[datetime, datetime, int]] = field(default_factory=list)

    @property
    def empty(self) -> bool:
        """Nothing is known that a later window could need."""
        return self.next is None and not (self.waves or self.frames or self.values or self.lines or self.numbers)

    def remember(self, at: datetime, item: _Item) -> None:
        if isinstance(item, Waveform):
            self.waves.append(item)
        elif isinstance(item, ThermalFrame):
            self.frames.append(item)
        elif isinstance(item, LogLine):
            if len(self.lines) < MOST_LINES:
                self.lines.append((at, item))
        else:
            insort(self.values.setdefault(item.tag, []), (at, item), key=lambda pair: pair[0])

    def reaches(self, end: datetime, now: datetime, late: timedelta) -> bool:
        """Tell whether a window ending here is complete, or has been waited for long enough."""
        if now >= end + late:
            return True
        awaited = [upto for upto, received in self.heard.values() if now - received < FORGET]
        return bool(awaited) and all(upto >= end - timedelta(seconds=_JITTER_S) for upto in awaited)

    def cut(self, asset: str, start: datetime, end: datetime) -> Window | None:
        """Cut [start, end) out; None when nothing of it was heard."""
        waves: list[Waveform] = []
        gaps: list[Gap] = []
        for tag in sorted(self.heard):
            pieces = list(_segments([wave for wave in self.waves if wave.tag == tag], start, end))
            waves += pieces
            gaps += _holes(tag, pieces, start, end)
        frame = max((frame for frame in self.frames if start - FRAME_AGE <= frame.at < end), key=_at, default=None)
        scalars = tuple(found for tag in sorted(self.values) if (found := _scalar(tag, self.values[tag], start, end)))
        lines = tuple(line for at, line in sorted(self.lines, key=lambda pair: pair[0]) if at < end)
        gaps += [
            Gap(tag, at, end, f"bad: {reading.why}")
            for tag, pairs in self.values.items()
            for at, reading in pairs[-1:]
            if reading.quality is Quality.BAD
        ]
        fresh = any(start <= at < end for pairs in self.values.values() for at, _ in pairs)
        if not (waves or lines or fresh or (frame is not None and frame.at >= start)):
            return None
        numbers = tuple(sorted({number for since, upto, number in self.numbers if since < end and upto >= start}))
        return Window(asset, start, end, scalars, tuple(waves), frame, lines, tuple(gaps), numbers)

    def earliest(self, end: datetime) -> datetime | None:
        """Give the time of the first thing after `end` that is known already."""
        known = [
            *(max(wave.at, end) for wave in self.waves),  # one that goes on beyond `end`, or begins there
            *(frame.at for frame in self.frames),
            *(at for at, _ in self.lines),
            *(at for pairs in self.values.values() for at, _ in pairs),
        ]
        return min((at for at in known if at >= end), default=None)

    def forget(self, end: datetime) -> None:
        """Let go of what no later window needs; the last value of a tag and the last picture are held."""
        self.waves = [wave for wave in self.waves if wave.at + timedelta(seconds=wave.seconds) > end]
        self.frames = [frame for frame in self.frames if frame.at >= end] or self.frames[-1:]
        self.lines = [(at, line) for at, line in self.lines if at >= end]
        self.values = {
            tag: [pair for pair in pairs if pair[0] >= end] or pairs[-1:] for tag, pairs in self.values.items()
        }
        self.numbers = [entry for entry in self.numbers if entry[1] > end]


def _delays(batch: Batch) -> Iterator[timedelta]:
    """Give (received - made) of what says when it was made."""
    yield from map(_delay, batch.waveforms)
    yield from map(_delay, batch.frames)
    yield from (_delay(reading) for reading in batch.readings if reading.sourced_at is not None)


def _delay(item: _Item) -> timedelta:
    """Give (received - made); a block is complete at its last sample. Differences of times cannot overflow."""
    length = timedelta(seconds=item.seconds) if isinstance(item, Waveform) else timedelta(0)
    return item.received_at - item.at - length


def _made(delay: timedelta, offset: timedelta) -> timedelta:
    """Give how long before its receipt a thing was made; zero when its stamp means nothing."""
    return timedelta(0) if is_stray(delay, offset) else delay - offset


def _at(item: ThermalFrame) -> datetime:
    return item.at


def _floor(moment: datetime, length: timedelta) -> datetime:
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    return epoch + (moment - epoch) // length * length


def _segments(waves: Iterable[Waveform], start: datetime, end: datetime) -> Iterator[Waveform]:
    """Cut blocks to [start, end) and join those that follow each other without a gap."""
    held: Waveform | None = None
    for wave in sorted(waves, key=lambda wave: wave.at):
        piece = _clip(wave, start, end)
        if piece is None:
            continue
        if held is not None and _follows(held, piece):
            held = msgspec.structs.replace(held, samples=held.samples + piece.samples)
            continue
        if held is not None:
            yield held
        held = piece
    if held is not None:
        yield held


def _clip(wave: Waveform, start: datetime, end: datetime) -> Waveform | None:
    if wave.quality is Quality.BAD:
        return None
    total = len(wave.samples) // _SAMPLE
    first = max(0, round((start - wave.at).total_seconds() * wave.rate_hz))
    last = min(total, round((end - wave.at).total_seconds() * wave.rate_hz))
    if first >= last:
        return None
    if (first, last) == (0, total):
        return wave
    return msgspec.structs.replace(
        wave,
        samples=wave.samples[first * _SAMPLE : last * _SAMPLE],
        sourced_at=wave.at + timedelta(seconds=first / wave.rate_hz),
    )


def _follows(held: Waveform, piece: Waveform) -> bool:
    expected = held.at + timedelta(seconds=held.seconds)
    return held.rate_hz == piece.rate_hz and abs((piece.at - expected).total_seconds()) <= _JITTER_S


def _holes(tag: str, pieces: list[Waveform], start: datetime, end: datetime) -> Iterator[Gap]:
    at = start
    for piece in pieces:
        if (piece.at - at).total_seconds() > _JITTER_S:
            yield Gap(tag, at, piece.at, "no samples")
        at = piece.at + timedelta(seconds=piece.seconds)
    if (end - at).total_seconds() > _JITTER_S:
        yield Gap(tag, at, end, "no samples")


def _scalar(tag: str, pairs: list[tuple[datetime, Reading]], start: datetime, end: datetime) -> Scalar | None:
    """Sum up the good numbers of a tag; the last one before the window is held while it is young enough."""
    good = [
        (at, float(reading.value), reading)
        for at, reading in pairs
        if at < end and reading.quality is not Quality.BAD and isinstance(reading.value, int | float)
    ]
    if not good:
        return None
    at, last, reading = good[-1]
    if at < start - SCALAR_AGE:
        return None
    inside = [value for moment, value, _ in good if moment >= start] or [last]
    return Scalar(
        tag,
        reading.unit,
        last,
        sum(inside) / len(inside),
        min(inside),
        max(inside),
        len(inside),
        (end - at).total_seconds(),
    )
