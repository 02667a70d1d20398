"""Transfer path: how the structure rings between where a force acts and where the sensor sits."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.fft import irfft, next_fast_len, rfft

Floats = npt.NDArray[np.float64]

RING_S = 0.03
"""Length of the impulse response in seconds; the slowest mode has decayed by then."""


@dataclass(frozen=True, slots=True)
class Mode:
    """One resonance: frequency in Hz, damping ratio, and its share of the response (signed)."""

    frequency_hz: float
    damping: float
    share: float


def response(modes: tuple[Mode, ...], rate_hz: float) -> Floats:
    """Acceleration after a unit impulse, peak 1, shape (RING_S * rate_hz,); modes above 0.48 of the rate are lost."""
    time = np.arange(int(RING_S * rate_hz)) / rate_hz
    ring = np.zeros_like(time)
    for mode in modes:
        if mode.frequency_hz < 0.48 * rate_hz:
            omega = 2 * np.pi * mode.frequency_hz
            ring += mode.share * np.exp(-mode.damping * omega * time) * np.sin(omega * time)
    return ring / max(float(np.abs(ring).max()), 1e-12)


def low_pass(cutoff_hz: float, rate_hz: float, taps: int = 63) -> Floats:
    """Impulse response of an anti-alias filter: a windowed sinc with a gain of 1 at 0 Hz, shape (taps,)."""
    place = np.arange(taps) - (taps - 1) / 2
    kernel = np.sinc(2 * cutoff_hz / rate_hz * place) * np.hamming(taps)
    return np.asarray(kernel / kernel.sum())


class Filter:
    """A convolution that goes on from block to block without a seam."""

    def __init__(self, kernel: Floats) -> None:
        self._kernel = kernel
        self._tail = np.zeros(len(kernel) - 1)

    def push(self, block: Floats) -> Floats:
        """Filter the next block; same length out as in."""
        whole = len(block) + len(self._tail)
        size = next_fast_len(whole, real=True)
        full = np.asarray(irfft(rfft(block, size) * rfft(self._kernel, size), size))[:whole]
        full[: len(self._tail)] += self._tail
        self._tail = full[len(block) :].copy()
        return full[: len(block)]
