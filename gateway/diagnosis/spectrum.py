"""Spectra of one waveform: raw amplitude lines, and the envelope spectrum of pre-whitened bands."""

import functools
import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import fft

Floats = npt.NDArray[np.float32]

_TINY = np.float32(1e-12)


@dataclass(frozen=True, slots=True)
class Raw:
    """Amplitude spectrum of a waveform: `amplitude` per bin (peak, unit of the waveform), bin width `step_hz`.

    `level` is the natural log of the amplitude minus its local log mean: 0 is the floor, 1 is e times it.
    """

    amplitude: Floats
    level: Floats
    step_hz: float


@dataclass(frozen=True, slots=True)
class Envelope:
    """Levels of the squared-envelope spectrum, shape (bands, bins); bin k stands at k * `step_hz`.

    0 is the local floor in log units. `kurtosis` is that of each band's squared envelope, `edges_hz`
    the bands.
    """

    level: Floats
    step_hz: float
    kurtosis: Floats
    edges_hz: tuple[tuple[float, float], ...]


def above_floor(amplitude: Floats, reach: int) -> Floats:
    """Give the log of the last axis minus its mean over +-`reach` bins (edges: what is there)."""
    logs = np.log(amplitude + _TINY)
    size = logs.shape[-1]
    sums = np.zeros((*logs.shape[:-1], size + 1), np.float64)
    np.cumsum(logs, axis=-1, out=sums[..., 1:])
    at = np.arange(size)
    low, high = np.maximum(at - reach, 0), np.minimum(at + reach + 1, size)
    above: Floats = (logs - (sums[..., high] - sums[..., low]) / (high - low)).astype(np.float32)
    return above


@functools.lru_cache(maxsize=16)
def _hann(size: int) -> Floats:
    window = np.hanning(size).astype(np.float32)
    window.flags.writeable = False
    return window


def raw_spectrum(samples: Floats, rate_hz: float, shaft_hz: float) -> Raw:
    """Compute the Hann-windowed amplitude spectrum; the floor is taken over +-0.75 shaft orders."""
    size = samples.size
    window = _hann(size)
    amplitude = np.abs(fft.rfft((samples - samples.mean()) * window)) * np.float32(2 / window.sum())
    step = rate_hz / size
    reach = max(8, round(0.75 * shaft_hz / step))
    return Raw(amplitude, above_floor(amplitude, reach), step)


def bands_of(rate_hz: float, shaft_hz: float, orders: float, count: int = 5) -> tuple[tuple[float, float], ...]:
    """Lay `count` equal bands, each wide enough to carry `orders` shaft orders of modulation.

    They overlap when the shaft is fast for the sampling rate.
    """
    low = min(max(500.0, 10 * shaft_hz), 0.15 * rate_hz)
    high = min(0.45 * rate_hz, 10_000.0)
    width = min(max((high - low) / count, 1.15 * orders * shaft_hz), high - low)
    starts = np.linspace(low, high - width, count if width < high - low else 1)
    return tuple((float(start), float(start + width)) for start in starts)


def envelope_spectrum(samples: Floats, rate_hz: float, shaft_hz: float, orders: float) -> Envelope:
    """Compute the envelope spectrum per band after cepstral pre-whitening, up to `orders` shaft orders.

    Pre-whitening divides the spectrum by its modulus: lines and resonances vanish, timing stays.
    Long signals are cut into segments of at most 120 turns (slip smears longer ones) and averaged.
    """
    edges = bands_of(rate_hz, shaft_hz, orders)
    turns = samples.size / rate_hz * shaft_hz
    pieces = max(1, math.ceil(turns / 120))
    size = int(fft.prev_fast_len(samples.size // pieces))
    step = rate_hz / size
    keep = int(orders * shaft_hz / step) + 2
    cut = samples[: pieces * size].reshape(pieces, size)
    whole = fft.rfft(cut - cut.mean(axis=1, keepdims=True), axis=1)
    whole /= np.abs(whole) + _TINY
    levels, kurtoses = [], []
    reach = max(12, round(0.8 * shaft_hz / step))
    for low, high in edges:
        band = whole[:, round(low / step) : round(high / step)]
        length = int(fft.next_fast_len(2 * band.shape[1]))
        power = np.abs(fft.ifft(band, length, axis=1)) ** 2
        power /= power.mean(axis=1, keepdims=True) + _TINY
        kurtoses.append(float(np.mean(power * power)))
        modulation = np.abs(fft.rfft(power - 1, axis=1))[:, :keep]
        if modulation.shape[1] < keep:
            modulation = np.pad(modulation, ((0, 0), (0, keep - modulation.shape[1])), constant_values=np.nan)
        levels.append(above_floor(modulation, reach).mean(axis=0))
    return Envelope(np.stack(levels), step, np.asarray(kurtoses, np.float32), edges)
