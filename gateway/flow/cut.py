"""Streams into windows, with watermark, late data and gaps (pure).

Windows lie on a grid of absolute time, so the same journal gives the same windows after a restart and
in a replay. A window closes when every waveform of its asset has passed its end, or when the clock of
what was received is `late` beyond it; the clock is the journal's, never the wall's. A stamp that means nothing
(`align.is_stray`) is replaced by the time of receipt, so that one bad clock holds no window up; a log line
with one is left out, because old lines of a file are no news.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import groupby

import msgspec

from gateway.core.batch import Batch, SourceGap
from gateway.core.reading import LogLine, Quality, Reading, ThermalFrame, Waveform
from gateway.core.series import Series, moment, ticks
from gateway.core.window import Gap, Window
from gateway.flow.align import Clocks, delay_of, delays, is_stray
from gateway.flow.inputs import Ages, Inputs
from gateway.flow.rows import Rows
from gateway.flow.track import NO_NUMBER

_MOST_WINDOWS = 64
_MICROSECOND = timedelta(microseconds=1)
_AGES = Ages()


class Cutter:
    """Cuts what arrives into windows, per asset.

    `add` takes journalled batches in order; `ready` gives the windows that are complete, oldest first.
    `oldest` is the lowest journal number that an unfinished window still needs: a restart begins there.
    `late` counts values that came after their window was closed (they stay in the journal), `skipped`
    the windows that were left out for want of samples.
    """

    def __init__(self, length: timedelta, late: timedelta, *, ages: Ages = _AGES, skip: bool = False) -> None:
        self._length, self._late, self._ages, self._skip = length, late, ages, skip
        self._clocks = Clocks()
        self._assets: dict[str, Inputs] = {}
        self._now: datetime | None = None
        self._newest = 0
        self.late = 0
        self.skipped = 0

    def add(self, number: int, batch: Batch) -> None:
        """Take in one batch; `number` is its place in the journal."""
        self._newest = number
        self._now = max(self._now, batch.received_at) if self._now else batch.received_at
        for delay in delays(batch):
            self._clocks.note(batch.source, delay)
        offset = self._clocks.offset(batch.source)
        for wave in batch.waveforms:
            start = wave.received_at - _made(delay_of(wave), offset) - timedelta(seconds=wave.seconds)
            self._place(wave.asset, number, msgspec.structs.replace(wave, sourced_at=start), start)
        for frame in batch.frames:
            made = frame.received_at - _made(delay_of(frame), offset)
            self._place(frame.asset, number, msgspec.structs.replace(frame, sourced_at=made), made)
        for reading in batch.readings:
            self._place_reading(number, reading, offset)
        for block in batch.series:
            self._place_series(number, block, offset)
        for line in batch.lines:
            own = offset if line.sourced_at else timedelta(0)
            if is_stray(delay_of(line), own) and delay_of(line) > own:
                self.late += 1
                continue
            self._place(line.asset, number, line, line.received_at - _made(delay_of(line), own))
        for gap in batch.gaps:
            self._miss(gap, offset)

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

    def _place(self, asset: str, number: int, item: Waveform | ThermalFrame | LogLine, at: datetime) -> None:
        end = at + timedelta(seconds=item.seconds) if isinstance(item, Waveform) else at
        inputs = self._inputs(asset, number, at, end)
        inputs.remember(at, item)
        if isinstance(item, Waveform) and not (inputs.next is not None and end <= inputs.next):
            inputs.heard[item.tag] = (end, item.received_at)

    def _inputs(self, asset: str, number: int, at: datetime, end: datetime, count: int = 1) -> Inputs:
        """Give an asset's inputs, with note taken of things that were made between these times."""
        inputs = self._assets.setdefault(asset, Inputs())
        if inputs.next is not None and end <= inputs.next:
            self.late += count
            return inputs
        if inputs.next is None:
            inputs.next = _floor(at, self._length)
        inputs.numbers.append((at, end, number))
        return inputs

    def _place_reading(self, number: int, reading: Reading, offset: timedelta) -> None:
        if reading.repeated:
            self._confirm(reading.asset, reading.tag, reading.received_at)
            return
        own = offset if reading.sourced_at else timedelta(0)
        at = reading.received_at - _made(delay_of(reading), own)
        inputs = self._inputs(reading.asset, number, at, at)
        bad = reading.quality is Quality.BAD
        number_of = float(reading.value) if isinstance(reading.value, int | float) and not bad else NO_NUMBER
        why = None if reading.quality is Quality.GOOD else reading.why
        inputs.track(reading.tag, reading.unit).add(ticks(at), number_of, why)

    def _confirm(self, asset: str, tag: str, at: datetime) -> None:
        """The source said that a tag's last value still holds; of a tag that said nothing yet that is no news."""
        inputs = self._assets.get(asset)
        track = inputs.tracks.get(tag) if inputs is not None else None
        if track is not None:
            track.confirm(ticks(at))

    def _place_series(self, number: int, block: Series, offset: timedelta) -> None:
        """Place a block of values, tag by tag; a tag's values stand in the order of their times."""
        if not block.count:
            return
        rows = Rows(block, offset)
        for asset, run in groupby(rows.tags(), lambda row: block.layout.places[row[0]].asset):
            inputs = self._assets.get(asset)
            if inputs is None:
                inputs = self._assets[asset] = Inputs()
            tags = list(run)
            first, last = tags[0][1], tags[-1][2]
            low, high = rows.span(first, last)
            for place, start, end in tags:
                name = block.layout.places[place]
                track = inputs.tracks.get(name.tag) or inputs.track(name.tag, name.unit)
                if rows.plain:
                    track.extend(rows.times[start:end], rows.numbers[start:end])
                else:
                    rows.add(track, start, end)
            since, until = moment(low), moment(high)
            if since is not None and until is not None:
                self.late += rows.late(inputs, low, first, last)
                self._inputs(asset, number, since, until, 0)
        for place in rows.repeated:
            name = block.layout.places[place]
            self._confirm(name.asset, name.tag, block.received_at)

    def _miss(self, gap: SourceGap, offset: timedelta) -> None:
        cause = f"{gap.cause} (filled from history)" if gap.filled else gap.cause
        for asset, tag in gap.tags:
            if (inputs := self._assets.get(asset)) is None:
                inputs = self._assets[asset] = Inputs()
            inputs.miss(Gap(tag, gap.start + offset, gap.end + offset, cause))

    def _closed(self, name: str, inputs: Inputs) -> Iterator[Window]:
        assert self._now is not None  # noqa: S101  `ready` looked
        for _ in range(_MOST_WINDOWS):
            if inputs.next is None:
                return
            start, end = inputs.next, inputs.next + self._length
            if not inputs.reaches(end, self._now, self._late):
                return
            inputs.next = end
            window = inputs.cut(name, start, end, self._ages)
            inputs.forget(end, told=window is not None)
            if window is not None and not self._lacks(window, inputs):
                yield window
            elif window is None:  # silence: go on where data goes on, not window by window
                following = inputs.earliest(end)
                inputs.next = None if following is None else _floor(following, self._length)

    def _lacks(self, window: Window, inputs: Inputs) -> bool:
        """Tell whether a window is to be left out because samples of it are missing."""
        lacks = self._skip and any(gap.tag in inputs.heard for gap in window.gaps)
        self.skipped += lacks
        return lacks


def _made(delay: timedelta, offset: timedelta) -> timedelta:
    """Give how long before its receipt a thing was made; zero when its stamp means nothing."""
    return timedelta(0) if is_stray(delay, offset) else delay - offset


def _floor(moment: datetime, length: timedelta) -> datetime:
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    return epoch + (moment - epoch) // length * length
