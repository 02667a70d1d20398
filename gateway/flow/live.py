"""Live: the latest of everything, in memory, bounded, for people who look."""

from collections import deque
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Literal

import msgspec

from gateway.core.batch import Batch, SourceGap
from gateway.core.diagnosis import Diagnosis
from gateway.core.reading import LogLine, Reading, ThermalFrame, Waveform
from gateway.core.series import Layout
from gateway.flow.align import Clocks, delays
from gateway.flow.latest import Latest

_GAPS = 20
_AHEAD = timedelta(hours=1)
"""No clock of a line is this far ahead and right: what it stamped must not stay the latest for good."""


class Missed(msgspec.Struct, frozen=True):
    """A gap in what a source gave of one asset: its tags, the span (aware UTC), the cause, what filled it."""

    source: str
    tags: tuple[str, ...]
    start: datetime
    end: datetime
    cause: str
    filled: Literal["", "history"] = ""


class AssetView(msgspec.Struct, frozen=True):
    """What is known of one asset right now. `lines` and `gaps` are the last ones, oldest first."""

    asset: str
    readings: tuple[Reading, ...] = ()
    waveform: Waveform | None = None
    frame: ThermalFrame | None = None
    lines: tuple[LogLine, ...] = ()
    diagnosis: Diagnosis | None = None
    anomalies: tuple[float, ...] = ()
    gaps: tuple[Missed, ...] = ()


class Live:
    """The latest reading per (asset, tag), waveform, frame and log lines per asset.

    Used on the event loop alone. Bounded: at most `tags` tags and `assets` assets are kept; what
    comes beyond is left out of the view and counted in `left_out`. The journal has everything.
    """

    def __init__(self, *, tags: int = 50_000, assets: int = 2_000, lines: int = 40, history: int = 120) -> None:
        self._tags, self._assets, self._lines_kept, self._history = tags, assets, lines, history
        self._readings: dict[str, dict[str, Reading]] = {}
        self._waveforms: dict[str, Waveform] = {}
        self._frames: dict[str, ThermalFrame] = {}
        self._lines: dict[str, deque[LogLine]] = {}
        self._diagnoses: dict[str, Diagnosis] = {}
        self._anomalies: dict[str, deque[float]] = {}
        self._gaps: dict[str, deque[Missed]] = {}
        self._columns: dict[Layout, Latest] = {}
        self._places: dict[str, dict[str, tuple[Latest, int]]] = {}
        self._known = 0
        self._layouts: dict[str, set[Layout]] = {}
        self._texts: dict[str, set[tuple[str, str]]] = {}
        self.counted: dict[str, int] = {}
        self.clocks = Clocks()
        self.left_out = 0

    def note(self, batch: Batch) -> None:
        """Take a batch in. An older value never replaces a newer one, unless that one is stamped in the future."""
        for reading in batch.readings:
            if not reading.repeated and self._note_reading(reading):
                self._texts.setdefault(batch.source, set()).add((reading.asset, reading.tag))
        for waveform in batch.waveforms:
            self._keep(self._waveforms, waveform.asset, waveform)
        for frame in batch.frames:
            self._keep(self._frames, frame.asset, frame)
        for line in batch.lines:
            if line.asset in self._lines or len(self._lines) < self._assets:
                self._lines.setdefault(line.asset, deque(maxlen=self._lines_kept)).append(line)
        for delay in delays(batch):
            self.clocks.note(batch.source, delay)
        self.counted[batch.source] = self.counted.get(batch.source, 0) + batch.count
        for block in batch.series:
            held = self._columns.get(block.layout) or self._board(block.layout)
            if held is not None:
                self._layouts.setdefault(batch.source, set()).add(block.layout)
                held.note(block)
        for gap in batch.gaps:
            self._note_gap(batch.source, gap)

    def restore(self, source: str, readings: Sequence[Reading]) -> None:
        """Show what a source said before a restart; whatever it says now takes its place."""
        for reading in readings:
            if self._note_reading(reading):
                self._texts.setdefault(source, set()).add((reading.asset, reading.tag))

    def by_source(self) -> dict[str, tuple[Reading, ...]]:
        """Give the latest reading of every tag, by the source that said it."""
        found: dict[str, list[Reading]] = {}
        owners = {layout: source for source, layouts in self._layouts.items() for layout in layouts}
        columns = {
            (asset, tag): owners.get(board.layout, "")
            for asset, tags in self._places.items()
            for tag, (board, place) in tags.items()
            if board.heard(place)
        }
        texts = {name: source for source, names in self._texts.items() for name in names}
        for reading in self.latest():
            name = reading.asset, reading.tag
            found.setdefault(columns.get(name) or texts.get(name, ""), []).append(reading)
        return {source: tuple(readings) for source, readings in found.items()}

    def forget(self, source: str) -> None:
        """A source was changed or is gone: what its tags said last is no longer shown."""
        gone = [self._columns.pop(layout, None) for layout in self._layouts.pop(source, ())]
        for tags in self._places.values():
            for tag in [tag for tag, (board, _) in tags.items() if any(board is other for other in gone)]:
                del tags[tag]
                self._known -= 1
        for asset, tag in self._texts.pop(source, ()):
            if self._readings.get(asset, {}).pop(tag, None) is not None:
                self._known -= 1

    def note_diagnosis(self, diagnosis: Diagnosis) -> None:
        """Take a window's verdict in."""
        asset = diagnosis.asset
        if asset not in self._diagnoses and len(self._diagnoses) >= self._assets:
            self.left_out += 1
            return
        self._diagnoses[asset] = diagnosis
        self._anomalies.setdefault(asset, deque(maxlen=self._history)).append(diagnosis.anomaly)

    def latest(self) -> list[Reading]:
        """Give the latest reading of every tag, by asset and tag."""
        return [reading for asset in sorted({*self._readings, *self._places}) for reading in self._of(asset)]

    def assets(self) -> list[str]:
        """Give the names of the assets that have said anything."""
        columns = (
            asset for asset, tags in self._places.items() if any(board.heard(place) for board, place in tags.values())
        )
        return sorted({*self._readings, *columns, *self._waveforms, *self._frames, *self._lines})

    def of(self, asset: str) -> AssetView:
        """Give what is known of one asset; an empty view when nothing is."""
        return AssetView(
            asset=asset,
            readings=tuple(self._of(asset)),
            waveform=self._waveforms.get(asset),
            frame=self._frames.get(asset),
            lines=tuple(self._lines.get(asset, ())),
            diagnosis=self._diagnoses.get(asset),
            anomalies=tuple(self._anomalies.get(asset, ())),
            gaps=tuple(self._gaps.get(asset, ())),
        )

    def _of(self, asset: str) -> list[Reading]:
        found = dict(self._readings.get(asset, {}))
        for tag, (board, place) in self._places.get(asset, {}).items():
            reading = board.reading(place)
            if reading is not None and (tag not in found or found[tag].at <= reading.at):
                found[tag] = reading
        return [found[tag] for tag in sorted(found)]

    def _board(self, layout: Layout) -> Latest | None:
        """Make room for a source's tags; a layout that names them anew takes the place of the old one."""
        news = sum(
            place.tag not in self._places.get(place.asset, {}) and place.tag not in self._readings.get(place.asset, {})
            for place in layout.places
        )
        if self._known + news > self._tags:
            self.left_out += 1
            return None
        self._known += news
        board = self._columns[layout] = Latest(layout)
        for number, place in enumerate(layout.places):
            self._places.setdefault(place.asset, {})[place.tag] = (board, number)
        used = {id(each) for tags in self._places.values() for each, _ in tags.values()}
        self._columns = {known: each for known, each in self._columns.items() if id(each) in used}
        return board

    def _note_gap(self, source: str, gap: SourceGap) -> None:
        tags: dict[str, list[str]] = {}
        for asset, tag in gap.tags:
            tags.setdefault(asset, []).append(tag)
        for asset, names in tags.items():
            if asset in self._gaps or len(self._gaps) < self._assets:
                missed = Missed(source, tuple(sorted(names)), gap.start, gap.end, gap.cause, gap.filled)
                self._gaps.setdefault(asset, deque(maxlen=_GAPS)).append(missed)

    def _note_reading(self, reading: Reading) -> bool:
        """Keep a reading, if it is news and there is room; tell whether its tag is shown."""
        held = self._readings.get(reading.asset)
        known = held.get(reading.tag) if held is not None else None
        if known is None:
            if self._known >= self._tags:
                self.left_out += 1
                return False
            self._known += 1
            self._readings.setdefault(reading.asset, {})[reading.tag] = reading
        elif held is not None and (known.at <= reading.at or known.at > reading.received_at + _AHEAD):
            held[reading.tag] = reading
        return True

    def _keep(
        self, kept: dict[str, Waveform] | dict[str, ThermalFrame], asset: str, value: Waveform | ThermalFrame
    ) -> None:
        if asset not in kept and len(kept) >= self._assets:
            self.left_out += 1
            return
        held = kept.get(asset)
        if held is None or held.at <= value.at or held.at > value.received_at + _AHEAD:
            kept[asset] = value  # type: ignore[assignment]  # each dict is only ever given its own kind
