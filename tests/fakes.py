"""Fakes that keep the promises of their port: a diagnoser that reads the waveform's level, a store without room."""

import asyncio
import struct
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from gateway.core.batch import Batch
from gateway.core.diagnosis import Diagnosis, Fault
from gateway.core.errors import Full
from gateway.core.ports import Store, Tx
from gateway.core.reading import LogLine, Quality, Reading, ThermalFrame, Waveform
from gateway.core.window import Window
from gateway.flow.cut import Cutter

T = TypeVar("T")
NOON = datetime(2026, 3, 18, 12, 0, 0, tzinfo=UTC)
RATE_HZ = 100.0


def at(seconds: float) -> datetime:
    """Noon plus some seconds."""
    return NOON + timedelta(seconds=seconds)


def block(asset: str, start: float, level: float, seconds: float = 1.0, tag: str = "vibration") -> Waveform:
    """A block of constant samples, 100 a second."""
    samples = struct.pack(f"<{round(seconds * RATE_HZ)}f", *[level] * round(seconds * RATE_HZ))
    received = at(start + seconds)
    return Waveform(asset, tag, samples, RATE_HZ, "g", Quality.GOOD, at(start), None, received)


def value(asset: str, tag: str, seconds: float, number: float | None, quality: Quality = Quality.GOOD) -> Reading:
    """One value at a time."""
    return Reading(asset, tag, number, "rpm", quality, at(seconds), None, at(seconds))


def line(asset: str, seconds: float, text: str) -> LogLine:
    """One log line at a time."""
    return LogLine(asset, text, 4, at(seconds), at(seconds))


def frame(asset: str, seconds: float, degrees: float) -> ThermalFrame:
    """A picture of one temperature, 2 x 2."""
    return ThermalFrame(
        asset, "thermal", struct.pack("<4f", *[degrees] * 4), 2, 2, Quality.GOOD, at(seconds), None, at(seconds)
    )


def batch(sequence: int, received: float, *items: Waveform | Reading | LogLine | ThermalFrame) -> Batch:
    """A batch of what was received at a time."""
    return Batch(
        "fake",
        sequence,
        at(received),
        readings=tuple(item for item in items if isinstance(item, Reading)),
        waveforms=tuple(item for item in items if isinstance(item, Waveform)),
        frames=tuple(item for item in items if isinstance(item, ThermalFrame)),
        lines=tuple(item for item in items if isinstance(item, LogLine)),
    )


async def journal(store: Store, levels: Sequence[float], first: int = 0) -> None:
    """Journal one block of two seconds per level."""
    for number, level in enumerate(levels, first):
        each = batch(number + 1, 2 * number + 2, block("M", 2 * number, level, seconds=2))
        await store.write(lambda tx, each=each: tx.append(each))


def cutter() -> Cutter:
    """Windows of two seconds, which wait three for what is late."""
    return Cutter(timedelta(seconds=2), timedelta(seconds=3))


class LevelDiagnoser:
    """Says what the waveform's level stands for: 0 healthy, 1 outer race, 2 inner race, 3 imbalance, else unknown."""

    FAULTS = (Fault.HEALTHY, Fault.BEARING_OUTER, Fault.BEARING_INNER, Fault.IMBALANCE)

    model = "levels"

    def diagnose(self, windows: Sequence[Window]) -> list[Diagnosis]:
        return [self._one(window) for window in windows]

    def _one(self, window: Window) -> Diagnosis:
        level = struct.unpack("<f", window.waveforms[0].samples[:4])[0] if window.waveforms else -1.0
        fault = self.FAULTS[int(level)] if 0 <= level < len(self.FAULTS) else None
        sick = fault is not None and fault is not Fault.HEALTHY
        return Diagnosis(
            window.asset,
            window.start,
            window.end,
            fault,
            confidence=0.9 if fault else 0.0,
            anomaly=1.0 if sick else 0.0,
            severity=0.5 if sick else 0.0,
            probabilities={},
            model=self.model,
        )

    def baselines(self) -> bytes:
        return b"none"

    def restore(self, baselines: bytes) -> None:
        pass

    def reset(self, asset: str) -> None:
        pass


class Crowded:
    """A store that has no room while it is told so; `met` is set when somebody came to it in vain."""

    def __init__(self, inner: Store) -> None:
        self._inner = inner
        self.full = False
        self.met = asyncio.Event()

    async def write(self, step: Callable[[Tx], T]) -> T:
        """Write, or raise `Full`."""
        if self.full:
            self.met.set()
            raise Full("no room")
        return await self._inner.write(step)

    async def read(self, look: Callable[[Tx], T]) -> T:
        """Read, whether there is room or not."""
        return await self._inner.read(look)

    async def close(self) -> None:
        """Close the store."""
        await self._inner.close()
