"""Live: the latest of everything, in memory, bounded, for people who look."""

import asyncio
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import msgspec

from gateway.core.batch import Batch
from gateway.core.diagnosis import Diagnosis
from gateway.core.reading import LogLine, Reading, ThermalFrame, Waveform

_AHEAD = timedelta(hours=1)
"""No clock of a line is this far ahead and right: what it stamped must not stay the latest for good."""


class AssetView(msgspec.Struct, frozen=True):
    """What is known of one asset right now. `lines` are the last ones, oldest first."""

    asset: str
    readings: tuple[Reading, ...] = ()
    waveform: Waveform | None = None
    frame: ThermalFrame | None = None
    lines: tuple[LogLine, ...] = ()
    diagnosis: Diagnosis | None = None
    anomalies: tuple[float, ...] = ()


class Feed:
    """One subscriber's batches. Bounded: a slow one loses the oldest, which `dropped` counts."""

    def __init__(self, backlog: int) -> None:
        self._held: deque[Batch] = deque(maxlen=backlog)
        self._there = asyncio.Event()
        self.dropped = 0

    def put(self, batch: Batch) -> None:
        """Hand a batch over; never waits."""
        if len(self._held) == self._held.maxlen:
            self.dropped += 1
        self._held.append(batch)
        self._there.set()

    async def take(self) -> list[Batch]:
        """Wait for batches and take all that are there. The caller sets the deadline."""
        await self._there.wait()
        taken = list(self._held)
        self._held.clear()
        self._there.clear()
        return taken


class Live:
    """The latest reading per (asset, tag), waveform, frame and log lines per asset.

    Used on the event loop alone. Bounded: at most `tags` tags and `assets` assets are kept; what
    comes beyond is left out of the view and counted in `left_out`. The journal has everything.
    """

    def __init__(self, *, tags: int = 10_000, assets: int = 2_000, lines: int = 40, history: int = 120) -> None:
        self._tags, self._assets, self._lines_kept, self._history = tags, assets, lines, history
        self._readings: dict[str, dict[str, Reading]] = {}
        self._waveforms: dict[str, Waveform] = {}
        self._frames: dict[str, ThermalFrame] = {}
        self._lines: dict[str, deque[LogLine]] = {}
        self._diagnoses: dict[str, Diagnosis] = {}
        self._anomalies: dict[str, deque[float]] = {}
        self._feeds: set[Feed] = set()
        self._known = 0
        self.counted: dict[str, int] = {}
        self.left_out = 0

    def note(self, batch: Batch) -> None:
        """Take a batch in. An older value never replaces a newer one, unless that one is stamped in the future."""
        for reading in batch.readings:
            self._note_reading(reading)
        for waveform in batch.waveforms:
            self._keep(self._waveforms, waveform.asset, waveform)
        for frame in batch.frames:
            self._keep(self._frames, frame.asset, frame)
        for line in batch.lines:
            if line.asset in self._lines or len(self._lines) < self._assets:
                self._lines.setdefault(line.asset, deque(maxlen=self._lines_kept)).append(line)
        self.counted[batch.source] = self.counted.get(batch.source, 0) + batch.count
        for feed in self._feeds:
            feed.put(batch)

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
        return [self._readings[asset][tag] for asset in sorted(self._readings) for tag in sorted(self._readings[asset])]

    def assets(self) -> list[str]:
        """Give the names of the assets that have said anything."""
        return sorted({*self._readings, *self._waveforms, *self._frames, *self._lines})

    def of(self, asset: str) -> AssetView:
        """Give what is known of one asset; an empty view when nothing is."""
        readings = self._readings.get(asset, {})
        return AssetView(
            asset=asset,
            readings=tuple(readings[tag] for tag in sorted(readings)),
            waveform=self._waveforms.get(asset),
            frame=self._frames.get(asset),
            lines=tuple(self._lines.get(asset, ())),
            diagnosis=self._diagnoses.get(asset),
            anomalies=tuple(self._anomalies.get(asset, ())),
        )

    @contextmanager
    def subscribe(self, backlog: int = 64) -> Iterator[Feed]:
        """Follow the batches from now on."""
        feed = Feed(backlog)
        self._feeds.add(feed)
        try:
            yield feed
        finally:
            self._feeds.discard(feed)

    def _note_reading(self, reading: Reading) -> None:
        held = self._readings.get(reading.asset)
        known = held.get(reading.tag) if held is not None else None
        if known is None:
            if self._known >= self._tags:
                self.left_out += 1
                return
            self._known += 1
            self._readings.setdefault(reading.asset, {})[reading.tag] = reading
        elif held is not None and (known.at <= reading.at or known.at > reading.received_at + _AHEAD):
            held[reading.tag] = reading

    def _keep(
        self, kept: dict[str, Waveform] | dict[str, ThermalFrame], asset: str, value: Waveform | ThermalFrame
    ) -> None:
        if asset not in kept and len(kept) >= self._assets:
            self.left_out += 1
            return
        held = kept.get(asset)
        if held is None or held.at <= value.at or held.at > value.received_at + _AHEAD:
            kept[asset] = value  # type: ignore[assignment]  # each dict is only ever given its own kind
