"""Recorded runs of rigs, as the windows that the gateway would have cut from them."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from gateway.core.asset import Asset, Bearing
from gateway.core.diagnosis import Fault
from gateway.core.reading import LogLine, Quality, ThermalFrame, Waveform
from gateway.core.window import Scalar, Window

WINDOW_S = 2.0
_EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
_TACHO = 0.6  # share of the runs whose machine has a speed tag


@dataclass(frozen=True, slots=True)
class Example:
    """One window with what is known of it. `run` and `rig` name where it comes from; splits go by `rig`."""

    window: Window
    asset: Asset
    fault: Fault
    severity: float
    rig: str
    run: str
    baseline: bool


def run_files(folder: Path) -> list[Path]:
    """Give the run files of a folder, sorted."""
    return sorted(folder.glob("*.npz"))


def examples_of(path: Path) -> Iterator[Example]:
    """Cut one run into windows of two seconds."""
    with np.load(path, allow_pickle=False) as run:
        wave = run["waveform"].astype("<f4")
        frames = run["frames"].astype("<f4")
        rate = float(run["rate_hz"])
        asset = _asset_of(run)
        lines = [
            (str(text), int(level))
            for text, level in zip(run["logs"].tolist(), run["log_levels"].tolist(), strict=True)
        ]
        fault, severity = Fault(str(run["fault"])), float(run["severity"])
        baseline = bool(run["baseline"])
        chance = np.random.default_rng(abs(hash_of(path.stem)))
        values = {
            "load": (float(run["load_pct"]), "%"),
            "temperature": (float(run["temperature_c"]), "degC"),
        }
        if chance.random() < 0.5:  # noqa: PLR2004 -- every second plant knows its room's temperature
            values["ambient"] = (float(run["ambient_c"]), "degC")
        if chance.random() < _TACHO:
            values["speed"] = (float(run["speed_rpm"]), "rpm")
    size = round(WINDOW_S * rate)
    for number in range(wave.size // size):
        start = _EPOCH + timedelta(seconds=WINDOW_S * number)
        window = Window(
            asset=asset.id,
            start=start,
            end=start + timedelta(seconds=WINDOW_S),
            scalars=tuple(_scalar(tag, unit, value, chance) for tag, (value, unit) in values.items()),
            waveforms=(_waveform(asset.id, wave[number * size : (number + 1) * size], rate, start),),
            frame=_frame(asset.id, frames[number % len(frames)], start) if len(frames) else None,
            lines=tuple(_line(asset.id, text, level, start) for text, level in _share(lines, number, chance)),
        )
        yield Example(window, asset, fault, severity, asset.id, path.stem, baseline)


def _asset_of(run: Any) -> Asset:
    told = float(run["set_rpm"]) if "set_rpm" in run else float(run["nameplate_rpm"])
    bearing = Bearing(
        balls=int(run["balls"]),
        ball_mm=float(run["ball_mm"]),
        pitch_mm=float(run["pitch_mm"]),
        contact_deg=float(run["contact_deg"]),
    )
    return Asset(id=str(run["rig"]), speed_rpm=told, bearing=bearing)


def hash_of(name: str) -> int:
    """Give a number per name that is the same in every process."""
    return int.from_bytes(name.encode()[-7:], "little")


def _scalar(tag: str, unit: str, value: float, chance: np.random.Generator) -> Scalar:
    noisy = value * (1 + 0.001 * float(chance.standard_normal()))
    return Scalar(tag, unit, noisy, noisy, noisy, noisy, 2, 0.5)


def _waveform(asset: str, samples: np.ndarray, rate: float, start: datetime) -> Waveform:
    return Waveform(asset, "vibration", samples.tobytes(), rate, "g", Quality.GOOD, start, None, start)


def _frame(asset: str, picture: np.ndarray, start: datetime) -> ThermalFrame:
    height, width = picture.shape
    return ThermalFrame(asset, "thermal", picture.tobytes(), height, width, Quality.GOOD, start, None, start)


def _line(asset: str, text: str, level: int, start: datetime) -> LogLine:
    return LogLine(asset, text, level, start, start)


def _share(lines: list[tuple[str, int]], number: int, chance: np.random.Generator) -> list[tuple[str, int]]:
    """A window sees a few of the run's lines: none, or up to three."""
    if not lines:
        return []
    count = int(chance.integers(0, 4))
    first = (number * 2) % len(lines)
    return [lines[(first + i) % len(lines)] for i in range(min(count, len(lines)))]
