"""Is the sensor itself telling the truth? Flat line, clipping, mains hum, jumps, drift."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gateway.diagnosis.spectrum import Floats, Raw

_BLOCKS = 48
_GONE_S = 0.004
_MAINS = (50.0, 60.0)


@dataclass(frozen=True, slots=True)
class SensorHealth:
    """Measures without unit; each is near 0 for a sound sensor.

    `flat` is the longest run of one value over the window's length, `gone` the share of samples in runs
    longer than 4 ms (a loose contact), `clip` the share of samples at the
    two extremes, `hum` the share of energy at mains lines that the shaft does not explain,
    `jump` the largest step of the block mean in block spreads (log), `low` the share of energy below
    a third of the shaft's rate.
    """

    flat: float
    gone: float
    clip: float
    hum: float
    jump: float
    low: float


def sensor_health(samples: Floats, rate_hz: float, raw: Raw, shaft_hz: float) -> SensorHealth:
    """Measure a waveform of at least 1000 samples."""
    runs = _runs(samples)
    low_bins = max(1, int(shaft_hz / 3 / raw.step_hz))
    energy = raw.amplitude.astype(np.float64) ** 2
    return SensorHealth(
        flat=float(runs.max()) / samples.size,
        gone=float(runs[runs > _GONE_S * rate_hz].sum()) / samples.size,
        clip=_at_extremes(samples),
        hum=_hum(energy, raw.step_hz, shaft_hz),
        jump=_jump(samples),
        low=float(energy[1:low_bins].sum() / (energy.sum() + 1e-30)),
    )


def _runs(samples: Floats) -> npt.NDArray[np.int64]:
    """Give the lengths of the runs of one and the same value."""
    changes = np.flatnonzero(np.diff(samples) != 0)
    return np.diff(np.concatenate([[-1], changes, [samples.size - 1]]))


def _at_extremes(samples: Floats) -> float:
    """Share of samples within a thousandth of the extremes, less the one that must be there at each."""
    top, bottom = float(samples.max()), float(samples.min())
    near = (top - bottom) * 1e-3
    if near == 0:
        return 0.0
    count = np.count_nonzero(samples >= top - near) + np.count_nonzero(samples <= bottom + near)
    return float((count - 2) / samples.size)


def _hum(energy: npt.NDArray[np.float64], step_hz: float, shaft_hz: float) -> float:
    """Share of the energy at a mains frequency and its harmonics that are not the shaft's; best of 50 and 60 Hz."""
    best = 0.0
    for mains in _MAINS:
        share = 0.0
        for k in (1, 2, 3, 5):
            line = mains * k
            orders = line / shaft_hz
            at = round(line / step_hz)
            if at + 3 < energy.size and abs(orders - round(orders)) * shaft_hz > max(2.0, 2 * step_hz):
                share += float(energy[max(at - 2, 0) : at + 3].sum())
        best = max(best, share)
    return best / (float(energy.sum()) + 1e-30)


def _jump(samples: Floats) -> float:
    size = samples.size // _BLOCKS
    blocks = samples[: size * _BLOCKS].reshape(_BLOCKS, size)
    spread = float(np.median(blocks.std(axis=1))) + 1e-9
    step = float(np.abs(np.diff(np.median(blocks, axis=1))).max())
    return float(np.log1p(step / spread))
