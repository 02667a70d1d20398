"""What a screen draws of one asset: waveform, envelope spectrum and thermal picture, small and encoded once."""

import base64
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from gateway.core.asset import Asset
from gateway.core.reading import ThermalFrame, Waveform
from gateway.diagnosis.bearing import find_bearing, orders_of
from gateway.flow.live import AssetView

POINTS = 2000
BINS = 480
TOP_HZ = 600.0
THERMAL_LOW, THERMAL_HIGH = 20.0, 80.0
_FLOOR_DB = -60.0
_CARRIER_HZ = 1000.0


class Mark(msgspec.Struct, frozen=True):
    """A line to draw into the spectrum: a defect frequency of the asset's bearing at its present speed."""

    name: str
    hz: float


class Wave(msgspec.Struct, frozen=True):
    """The first samples of the latest waveform: base64 of little-endian int16, times `scale` in `unit`."""

    at: float
    samples: str
    scale: float
    rate_hz: float
    unit: str
    rms: float


class Spectrum(msgspec.Struct, frozen=True):
    """Envelope spectrum: base64 of uint8, 0..255 over -60..0 dB of its highest line, `step_hz` per bin."""

    levels: str
    step_hz: float
    low_db: float
    marks: tuple[Mark, ...]


class Picture(msgspec.Struct, frozen=True):
    """Thermal picture: base64 of uint8 over [low, high] degrees Celsius, fixed; `hot` is x, y, degrees."""

    at: float
    pixels: str
    width: int
    height: int
    low: float
    high: float
    hot: tuple[int, int, float]


class Frame(msgspec.Struct, frozen=True):
    """One asset's drawings; what is not there is None."""

    asset: str
    wave: Wave | None
    spectrum: Spectrum | None
    thermal: Picture | None


def frame_of(view: AssetView, asset: Asset | None) -> Frame:
    """Compute the drawings of one asset (about a millisecond; call it off the loop)."""
    samples = _samples(view.waveform)
    enough = view.waveform is not None and len(samples) > 1
    return Frame(
        asset=view.asset,
        wave=_wave(view.waveform, samples) if enough and view.waveform is not None else None,
        spectrum=_spectrum(view, samples, asset) if enough else None,
        thermal=_picture(view.frame) if view.frame is not None else None,
    )


def _samples(waveform: Waveform | None) -> NDArray[np.float64]:
    if waveform is None:
        return np.zeros(0)
    values = np.frombuffer(waveform.samples, "<f4").astype(np.float64)
    return np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0)


def _wave(waveform: Waveform, samples: NDArray[np.float64]) -> Wave:
    shown = samples[:POINTS]
    top = float(np.abs(shown).max()) or 1.0
    return Wave(
        at=waveform.at.timestamp(),
        samples=_packed(np.round(shown / top * 32767).astype("<i2")),
        scale=top / 32767,
        rate_hz=waveform.rate_hz,
        unit=waveform.unit,
        rms=round(float(np.sqrt(np.mean(np.square(samples - samples.mean())))), 4),
    )


def _spectrum(view: AssetView, samples: NDArray[np.float64], asset: Asset | None) -> Spectrum | None:
    if view.waveform is None or view.waveform.rate_hz < 4 * _CARRIER_HZ:
        return None
    rate = view.waveform.rate_hz
    lines = np.fft.fft(samples - samples.mean())
    hz = np.fft.fftfreq(len(samples), 1 / rate)
    lines[hz < _CARRIER_HZ] = 0  # one-sided and above the shaft's harmonics: what is left is the carrier
    envelope = np.abs(np.fft.ifft(2 * lines))
    levels = np.abs(np.fft.rfft((envelope - envelope.mean()) * np.hanning(len(envelope))))
    step = rate / len(samples)
    top = min(len(levels), int(TOP_HZ / step) + 1)
    fold = max(1, -(-top // BINS))
    kept = levels[: top // fold * fold].reshape(-1, fold).max(axis=1)
    if len(kept) == 0 or kept.max() <= 0:
        return None
    decibel = np.clip(20 * np.log10(np.maximum(kept / kept.max(), 1e-9)), _FLOOR_DB, 0)
    return Spectrum(
        levels=_packed(np.round((decibel - _FLOOR_DB) / -_FLOOR_DB * 255).astype(np.uint8)),
        step_hz=step * fold,
        low_db=_FLOOR_DB,
        marks=_marks(view, asset),
    )


def _marks(view: AssetView, asset: Asset | None) -> tuple[Mark, ...]:
    bearing = find_bearing(asset.bearing) if asset is not None else None
    said = next((reading.value for reading in view.readings if reading.tag == "speed"), None)
    rpm = said if isinstance(said, int | float) else asset.speed_rpm if asset is not None else None
    if bearing is None or not rpm:
        return ()
    orders, shaft = orders_of(bearing), rpm / 60
    lines = {"FTF": orders.ftf, "BSF": orders.bsf, "BPFO": orders.bpfo, "BPFI": orders.bpfi}
    found = [Mark(name, round(order * shaft, 2)) for name, order in lines.items()]
    return tuple(mark for mark in found if mark.hz < TOP_HZ)


def _picture(frame: ThermalFrame) -> Picture | None:
    if not frame.is_whole:
        return None
    pixels = np.nan_to_num(frame.celsius().reshape(-1), nan=THERMAL_LOW)
    spot = int(pixels.argmax())
    span = THERMAL_HIGH - THERMAL_LOW
    scaled = np.clip((pixels - THERMAL_LOW) / span, 0, 1) * 255
    return Picture(
        at=frame.at.timestamp(),
        pixels=_packed(scaled.astype(np.uint8)),
        width=frame.width,
        height=frame.height,
        low=THERMAL_LOW,
        high=THERMAL_HIGH,
        hot=(spot % frame.width, spot // frame.width, round(float(pixels[spot]), 1)),
    )


def _packed(values: NDArray[Any]) -> str:
    return base64.b64encode(values.tobytes()).decode()
