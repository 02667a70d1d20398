"""Why: the spectra of a window with the bearing's lines marked, the hot spot, and both as grounds for an order."""

import math
from typing import Literal

import msgspec
import numpy as np

from gateway.core import capsule
from gateway.core.asset import Asset
from gateway.core.capsule import Grounds, Spot
from gateway.core.window import Window
from gateway.diagnosis.bearing import Orders
from gateway.diagnosis.cyclic import Cyclic
from gateway.diagnosis.hotspot import HotSpot, find_hot_spot, picture_of, usable
from gateway.diagnosis.spectrum import Floats
from gateway.diagnosis.vibration import Analysis, analyse, waveform_of

TOP_ORDER = 12.0
_STEP = 0.02  # orders between two points of the picture
_MOST = 8192
"""Values of a spectrum that is kept as evidence: 32 KiB."""


class Mark(msgspec.Struct, frozen=True, gc=False):
    """A line to look at: `order` of the shaft (slip included), its level in log units over the floor."""

    name: str
    order: float
    level: float


class Spectrum(msgspec.Struct, frozen=True):
    """An envelope spectrum: `level[i]` in log units over the local floor at `orders[i]` shaft orders.

    It is the mean over the bands of the pre-whitened signal, the best of each point's neighbourhood.
    `speed_rpm` is the refined speed, with its confidence 0..1.
    """

    orders: tuple[float, ...]
    level: tuple[float, ...]
    marks: tuple[Mark, ...]
    speed_rpm: float
    speed_confidence: float


def spectrum(window: Window, asset: Asset) -> Spectrum | None:
    """Compute a window's spectrum for people; None without a usable waveform or a speed."""
    found = waveform_of(window, asset)
    if found is None or float(found[0].std()) == 0:
        return None
    analysis = analyse(*found)
    level = np.nan_to_num(analysis.envelope.level, nan=0.0).mean(axis=0)
    per_order = analysis.speed.hz / analysis.envelope.step_hz
    orders = np.arange(0.1, min(TOP_ORDER, (level.size - 2) / per_order), _STEP)
    return Spectrum(
        orders=tuple(round(float(order), 2) for order in orders),
        level=tuple(round(_around(level, float(order), per_order), 3) for order in orders),
        marks=_marks(analysis, level, per_order),
        speed_rpm=analysis.speed.hz * 60,
        speed_confidence=analysis.speed.confidence,
    )


def hot_spot(window: Window) -> HotSpot | None:
    """Find the hot spot of a window's frame; None without a usable frame."""
    if window.frame is None or not usable(window.frame):
        return None
    return find_hot_spot(picture_of(window.frame))


def grounds_of(window: Window, asset: Asset, judged: Grounds) -> Grounds:
    """Add to what a diagnosis stood on the spectra and the hot spot, as people see them."""
    try:
        spectra, marks = _spectra(window, asset)
        spot = hot_spot(window)
    except Exception:  # noqa: BLE001  (what is for people only must not lose the order)
        return judged
    shown = None if spot is None else Spot(spot.row, spot.column, round(spot.peak_c, 2), round(spot.background_c, 2))
    return Grounds(judged.baseline, judged.features, spectra, marks, shown)


def _spectra(window: Window, asset: Asset) -> tuple[tuple[capsule.Spectrum, ...], tuple[capsule.Mark, ...]]:
    """Compute the envelope and the amplitude spectrum up to `TOP_ORDER`, and what stands at the lines."""
    found = waveform_of(window, asset)
    if found is None or float(found[0].std()) == 0:
        return (), ()
    analysis = analyse(*found)
    raw, envelope, hz = analysis.raw, analysis.envelope, analysis.speed.hz
    level = np.nan_to_num(envelope.level, nan=0.0).mean(axis=0)
    amplitude = raw.amplitude[: math.ceil(TOP_ORDER * hz / raw.step_hz) + 2]
    marks = tuple(
        capsule.Mark(
            mark.name,
            mark.order,
            round(mark.order * hz, 3),
            mark.level,
            _peak(raw.amplitude, mark.order * hz / raw.step_hz),
        )
        for mark in _marks(analysis, level, hz / envelope.step_hz)
    )
    spectra = (_kept("envelope", "log", envelope.step_hz, level), _kept("amplitude", "g", raw.step_hz, amplitude))
    return spectra, tuple(mark for mark in marks if math.isfinite(mark.amplitude) and math.isfinite(mark.level))


def _kept(of: Literal["envelope", "amplitude"], unit: str, step_hz: float, values: Floats) -> capsule.Spectrum:
    """Give a spectrum as data; of a long one the largest of so many neighbours that it is small enough."""
    width = math.ceil(values.size / _MOST)
    padded = np.pad(values, (0, -values.size % width), constant_values=-np.inf)
    fewer = padded.reshape(-1, width).max(axis=1)
    return capsule.Spectrum(of, unit, step_hz * width, fewer.astype("<f4").tobytes())


def _peak(amplitude: Floats, place: float) -> float:
    """Largest amplitude within two bins of a place: a Hann window spreads a line over as many."""
    at = round(place)
    return round(float(amplitude[max(at - 2, 0) : at + 3].max(initial=0.0)), 6)


def _around(level: Floats, order: float, per_order: float) -> float:
    """Largest level within half a step of an order."""
    low = int(np.floor((order - _STEP / 2) * per_order))
    high = int(np.ceil((order + _STEP / 2) * per_order))
    return float(level[max(low, 0) : high + 1].max())


def _marks(analysis: Analysis, level: Floats, per_order: float) -> tuple[Mark, ...]:
    lines = [(f"{k}X", float(k)) for k in (1, 2, 3)]
    if analysis.orders is not None and analysis.cyclic is not None:
        lines += _bearing_lines(analysis.orders, analysis.cyclic)
    top = (level.size - 2) / per_order
    return tuple(
        Mark(name, round(order, 3), round(_around(level, order, per_order), 3))
        for name, order in sorted(lines, key=lambda line: line[1])
        if order < min(TOP_ORDER, top)
    )


def _bearing_lines(orders: Orders, cyclic: Cyclic) -> list[tuple[str, float]]:
    parts = (
        ("FTF", orders.ftf, cyclic.cage.slip),
        ("BPFO", orders.bpfo, cyclic.outer.slip),
        ("BPFI", orders.bpfi, cyclic.inner.slip),
        ("2BSF", 2 * orders.bsf, cyclic.ball.slip),
    )
    return [
        (name if k == 1 else f"{k}x{name}", k * order * (1 + slip))
        for name, order, slip in parts
        for k in ((1,) if name == "FTF" else (1, 2, 3))
    ]
