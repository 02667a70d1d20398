"""Hall: what every configuration of a gateway shares, and who is told of what happens in it."""

import asyncio
from concurrent.futures import Executor
from dataclasses import dataclass, field
from time import monotonic

from gateway.core.batch import Batch, SourceGap
from gateway.core.diagnosis import Diagnosis
from gateway.core.ports import Store
from gateway.core.report import Extraction
from gateway.flow.ages import Ages
from gateway.flow.live import Live
from gateway.runtime import making
from gateway.runtime.telemetry import Telemetry
from gateway.runtime.telling import Telling


@dataclass(slots=True)
class Hall:
    """What every configuration of a gateway shares, from its start to its end."""

    store: Store
    pool: Executor
    secret: bytes
    stopping: asyncio.Event
    live: Live = field(default_factory=Live)
    telemetry: Telemetry = field(default_factory=Telemetry)
    deliver: asyncio.Event = field(default_factory=asyncio.Event)
    read: asyncio.Event = field(default_factory=asyncio.Event)
    diagnose: asyncio.Event = field(default_factory=asyncio.Event)
    produce: asyncio.Event = field(default_factory=asyncio.Event)
    follow: asyncio.Event = field(default_factory=asyncio.Event)

    ages: Ages = field(default_factory=lambda: Ages(making.now, monotonic))
    telling: Telling = field(init=False)

    def __post_init__(self) -> None:
        self.telling = Telling(self.store, self.telemetry, making.now)

    def heard(self, batch: Batch) -> None:
        """Tell everybody of a batch that was committed."""
        self.live.note(batch)
        self.telemetry.readings.labels(batch.source).inc(batch.count)
        for gap in batch.gaps:
            self.telemetry.gaps.labels(batch.source, gap.filled or "nothing").inc(_seconds(gap))
        self.diagnose.set()

    def judged(self, seen: Diagnosis, took_s: float) -> None:
        """Tell everybody of a diagnosis."""
        self.live.note_diagnosis(seen)
        self.telemetry.decision.observe(took_s)
        self.telemetry.windows.inc()
        self.telemetry.diagnoses.labels(str(seen.fault or "unknown")).inc()

    def understood(self, told: Extraction) -> None:
        """Count a report that was read."""
        self.telemetry.routes.labels(told.route).inc()


def _seconds(gap: SourceGap) -> float:
    """Give the length of a gap in seconds; a clock that was set back makes none of less than nothing."""
    return max(0.0, (gap.end - gap.start).total_seconds())
