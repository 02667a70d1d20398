"""Inputs: what is known of one asset and not yet cut into windows (pure)."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import msgspec

from gateway.core.reading import LogLine, ThermalFrame, Waveform
from gateway.core.series import moment, ticks
from gateway.core.window import Gap, Window
from gateway.flow.segments import JITTER_S, holes, segments
from gateway.flow.track import Track

FORGET = timedelta(seconds=30)
"""An input that was silent this long is no longer waited for."""

MOST_LINES = 200
_MOST_GAPS = 200


class Ages(msgspec.Struct, frozen=True):
    """How old an input may be at a window's end and still be evidence about it.

    `value`: a value that changes rarely (OPC UA reports changes only) is held this long. `frame`: a
    picture older than this says nothing about the window.
    """

    value: timedelta = timedelta(seconds=60)
    frame: timedelta = timedelta(seconds=15)


@dataclass(slots=True)
class Inputs:
    """What is known of one asset and not yet cut. `next` is the start of the next window."""

    next: datetime | None = None
    waves: list[Waveform] = field(default_factory=list)
    frames: list[ThermalFrame] = field(default_factory=list)
    tracks: dict[str, Track] = field(default_factory=dict)
    lines: list[tuple[datetime, LogLine]] = field(default_factory=list)
    heard: dict[str, tuple[datetime, datetime]] = field(default_factory=dict)
    numbers: list[tuple[datetime, datetime, int]] = field(default_factory=list)
    missed: list[Gap] = field(default_factory=list)

    @property
    def empty(self) -> bool:
        """Nothing is known that a later window could need."""
        return self.next is None and not (self.waves or self.frames or self.tracks or self.lines or self.numbers)

    def track(self, tag: str, unit: str) -> Track:
        """Give the track of a tag, a new one for a tag that was never heard."""
        held = self.tracks.get(tag)
        if held is None:
            held = self.tracks[tag] = Track(tag, unit)
        held.unit = unit
        return held

    def remember(self, at: datetime, item: Waveform | ThermalFrame | LogLine) -> None:
        """Keep a thing that was made at this time, by our clock."""
        if isinstance(item, Waveform):
            self.waves.append(item)
        elif isinstance(item, ThermalFrame):
            self.frames.append(item)
        elif len(self.lines) < MOST_LINES:
            self.lines.append((at, item))

    def miss(self, gap: Gap) -> None:
        """Keep a gap that the source told of, for the next window."""
        if len(self.missed) < _MOST_GAPS:
            self.missed.append(gap)

    def reaches(self, end: datetime, now: datetime, late: timedelta) -> bool:
        """Tell whether a window ending here is complete, or has been waited for long enough."""
        if now >= end + late:
            return True
        awaited = [upto for upto, received in self.heard.values() if now - received < FORGET]
        return bool(awaited) and all(upto >= end - timedelta(seconds=JITTER_S) for upto in awaited)

    def cut(self, asset: str, start: datetime, end: datetime, ages: Ages) -> Window | None:
        """Cut [start, end) out; None when nothing of it was heard."""
        waves: list[Waveform] = []
        gaps: list[Gap] = []
        for tag in sorted(self.heard):
            pieces = list(segments([wave for wave in self.waves if wave.tag == tag], start, end))
            waves += pieces
            gaps += holes(tag, pieces, start, end)
        frame = max((frame for frame in self.frames if start - ages.frame <= frame.at < end), key=_at, default=None)
        first, last = ticks(start), ticks(end)
        tracks = [self.tracks[tag] for tag in sorted(self.tracks)]
        scalars = tuple(found for track in tracks if (found := track.scalar(first, last, ages.value)))
        lines = tuple(line for at, line in sorted(self.lines, key=lambda pair: pair[0]) if at < end)
        gaps += [bad for track in tracks if (bad := track.gap(last))]
        fresh = any(track.fresh(first, last) for track in tracks)
        if not (waves or lines or fresh or (frame is not None and frame.at >= start)):
            return None
        gaps += [gap for gap in self.missed if gap.start < end]
        numbers = tuple(sorted({number for since, upto, number in self.numbers if since < end and upto >= start}))
        return Window(asset, start, end, scalars, tuple(waves), frame, lines, tuple(gaps), numbers)

    def earliest(self, end: datetime) -> datetime | None:
        """Give the time of the first thing after `end` that is known already."""
        return min((at for at in self._known(end) if at >= end), default=None)

    def _known(self, end: datetime) -> Iterator[datetime]:
        yield from (max(wave.at, end) for wave in self.waves)  # one that goes on beyond `end`, or begins there
        yield from (frame.at for frame in self.frames)
        yield from (at for at, _ in self.lines)
        last = ticks(end)
        for track in self.tracks.values():
            following = track.next_from(last)
            if following is not None and (at := moment(following)) is not None:
                yield at

    def forget(self, end: datetime, *, told: bool) -> None:
        """Let go of what no later window needs; the last value of a tag and the last picture are held.

        `told`: a window was made, so that the gaps that are over were said once.
        """
        self.waves = [wave for wave in self.waves if wave.at + timedelta(seconds=wave.seconds) > end]
        self.frames = [frame for frame in self.frames if frame.at >= end] or self.frames[-1:]
        self.lines = [(at, line) for at, line in self.lines if at >= end]
        last = ticks(end)
        for track in self.tracks.values():
            track.forget(last)
        self.numbers = [entry for entry in self.numbers if entry[1] > end]
        if told:
            self.missed = [gap for gap in self.missed if gap.end > end]


def _at(item: ThermalFrame) -> datetime:
    return item.at
