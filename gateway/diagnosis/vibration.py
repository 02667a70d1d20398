"""Vibration: one waveform into relative features in shaft orders."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gateway.core.asset import Asset
from gateway.core.reading import Quality, Waveform
from gateway.core.window import Window
from gateway.diagnosis.bearing import Orders, orders_for
from gateway.diagnosis.cyclic import PARTS, SLIPS, Cyclic, cyclic_scores, limit_orders
from gateway.diagnosis.features import Feature, names_of
from gateway.diagnosis.sensor import sensor_health
from gateway.diagnosis.spectrum import Envelope, Floats, Raw, envelope_spectrum, raw_spectrum
from gateway.diagnosis.speed import Speed, refine_speed

TAG = "vibration"
SPEED_TAG = "speed"
MIN_TURNS = 18.0
MIN_RATE_HZ = 2500.0
_G_MM_S2 = 9806.65
_DEFAULT_ORDERS = 12.0
_NAN = float("nan")

FEATURES: tuple[Feature, ...] = (
    Feature("outer_z", "spread", against=True, prior=1.0),
    Feature("inner_z", "spread", against=True, prior=1.0),
    Feature("ball_z", "spread", against=True, prior=1.0),
    Feature("cage_z", "spread", against=True, prior=1.0),
    Feature("inner_side_z", "spread"),
    Feature("ball_side_z", "spread"),
    Feature("outer", "log", direct=False, against=True, prior=0.06),
    Feature("inner", "log", direct=False, against=True, prior=0.06),
    Feature("ball", "log", direct=False, against=True, prior=0.06),
    Feature("shaft_modulation", "log", direct=False, against=True, prior=0.15),
    Feature("kurtosis", "log", against=True, prior=0.08),
    Feature("crest", "log", direct=False, against=True, prior=0.08),
    Feature("envelope_kurtosis", "log", against=True, prior=0.1),
    Feature("x1", "log", direct=False, against=True, prior=0.3),
    Feature("x2", "log", direct=False, against=True, prior=0.3),
    Feature("x3", "log", direct=False, against=True, prior=0.3),
    Feature("x4_to_x8", "log", direct=False, against=True, prior=0.2),
    Feature("half_orders", "log", against=True, prior=0.2),
    Feature("x2_to_x1", "log", against=True, prior=0.2),
    Feature("share_x1", "1", against=True, prior=0.05),
    Feature("share_x2", "1", against=True, prior=0.05),
    Feature("share_harmonics", "1", direct=False, against=True, prior=0.05),
    Feature("share_half", "1", against=True, prior=0.02),
    Feature("velocity", "log mm/s", against=True, prior=0.12),
    Feature("velocity_x1", "log mm/s", direct=False, against=True, prior=0.15),
    Feature("velocity_x2", "log mm/s", direct=False, against=True, prior=0.2),
    Feature("high_floor", "log g", direct=False, against=True, prior=0.08),
    Feature("flat", "1"),
    Feature("gone", "1", against=True, prior=0.005),
    Feature("clip", "1"),
    Feature("hum", "1", against=True, prior=0.05),
    Feature("jump", "log", against=True, prior=0.3),
    Feature("low_share", "1", against=True, prior=0.03),
    Feature("speed_confidence", "1", direct=False),
    Feature("speed_hz", "Hz", direct=False),
    *(Feature(f"{part}_at_{slip:02d}", "spread", direct=False, shown=False) for part in PARTS for slip in range(SLIPS)),
)


@dataclass(frozen=True, slots=True)
class Analysis:
    """What was computed on the way to the features; the operator's page shows it. `cyclic` needs a bearing."""

    raw: Raw
    envelope: Envelope
    speed: Speed
    orders: Orders | None
    cyclic: Cyclic | None


class Vibration:
    """The vibration modality. A window without a usable waveform or a speed gives None."""

    name = "vibration"
    features = FEATURES

    @property
    def names(self) -> Sequence[str]:
        """The feature names in order."""
        return names_of(FEATURES)

    def encode(self, windows: Sequence[Window], assets: Sequence[Asset]) -> list[list[float] | None]:
        """Turn each window's longest waveform into features."""
        return [self._one(window, asset) for window, asset in zip(windows, assets, strict=True)]

    @staticmethod
    def _one(window: Window, asset: Asset) -> list[float] | None:
        found = waveform_of(window, asset)
        return None if found is None else features_of(*found)


def waveform_of(window: Window, asset: Asset) -> tuple[Floats, float, float, Orders | None] | None:
    """Give (samples in g, rate, shaft speed in Hz as told, orders) of the longest usable waveform, or None."""
    usable = [wave for wave in window.waveforms if wave.tag == TAG and wave.quality is not Quality.BAD]
    told = told_speed(window, asset)
    if not usable or told is None:
        return None
    wave = max(usable, key=lambda one: len(one.samples))
    samples = samples_of(wave)
    seconds = samples.size / wave.rate_hz
    if wave.rate_hz < MIN_RATE_HZ or seconds * told < MIN_TURNS or not np.isfinite(samples).all():
        return None
    return samples, wave.rate_hz, told, orders_for(asset)


def samples_of(wave: Waveform) -> Floats:
    """Decode the samples, in g."""
    samples: Floats = np.frombuffer(wave.samples, "<f4").astype(np.float32, copy=False)
    return samples * np.float32(1 / 9.80665) if wave.unit in {"m/s2", "m/s²", "m/s^2"} else samples


def told_speed(window: Window, asset: Asset) -> float | None:
    """Give the shaft speed in Hz before refinement: the speed tag, else the nameplate."""
    scalar = window.scalar(SPEED_TAG)
    if scalar is not None and scalar.mean > 0:
        return scalar.mean / 60
    return None if asset.speed_rpm is None else asset.speed_rpm / 60


def analyse(samples: Floats, rate_hz: float, told_hz: float, orders: Orders | None, raw: Raw | None = None) -> Analysis:
    """Compute spectra, refined speed and cyclic scores of one waveform."""
    raw = raw_spectrum(samples, rate_hz, told_hz) if raw is None else raw
    speed = refine_speed(raw, told_hz)
    envelope = envelope_spectrum(
        samples, rate_hz, speed.hz, _DEFAULT_ORDERS if orders is None else limit_orders(orders)
    )
    cyclic = None if orders is None else cyclic_scores(envelope, speed.hz, orders)
    return Analysis(raw, envelope, speed, orders, cyclic)


def features_of(samples: Floats, rate_hz: float, told_hz: float, orders: Orders | None) -> list[float]:
    """Compute the vector named by `FEATURES`. A flat waveform gives NaN for all but the sensor's measures."""
    raw = raw_spectrum(samples, rate_hz, told_hz)
    health = sensor_health(samples, rate_hz, raw, told_hz)
    values = {"flat": health.flat, "gone": health.gone, "clip": health.clip, "hum": health.hum, "jump": health.jump}
    values["low_share"] = health.low
    values["speed_hz"], values["speed_confidence"] = told_hz, 0.0
    if float(samples.std()) > 1e-7:  # noqa: PLR2004 -- below the noise of any accelerometer, in g
        found = analyse(samples, rate_hz, told_hz, orders, raw)
        values["speed_hz"], values["speed_confidence"] = found.speed.hz, found.speed.confidence
        values |= _cyclic(found) | _impulsiveness(samples, rate_hz, found) | _harmonics(found.raw, found.speed.hz)
    return [values.get(feature.name, _NAN) for feature in FEATURES]


def _cyclic(found: Analysis) -> dict[str, float]:
    if found.cyclic is None:
        return {}
    cyclic = found.cyclic
    profiles = {
        f"{part}_at_{slip:02d}": float(value)
        for part, score in zip(PARTS, (cyclic.outer, cyclic.inner, cyclic.ball, cyclic.cage), strict=True)
        for slip, value in enumerate(score.profile)
    }
    return profiles | {
        "outer_z": cyclic.outer.z,
        "inner_z": cyclic.inner.z,
        "ball_z": cyclic.ball.z,
        "cage_z": cyclic.cage.z,
        "inner_side_z": cyclic.inner_side.z,
        "ball_side_z": cyclic.ball_side.z,
        "outer": cyclic.outer.excess,
        "inner": cyclic.inner.excess,
        "ball": cyclic.ball.excess,
        "shaft_modulation": cyclic.shaft,
    }


def _impulsiveness(samples: Floats, rate_hz: float, found: Analysis) -> dict[str, float]:
    """Kurtosis and crest factor above the shaft's harmonics; log, 0 for Gaussian noise and a crest of 4."""
    smooth = max(3, int(rate_hz / max(500.0, 10 * found.speed.hz)))
    sums = np.cumsum(np.concatenate([np.zeros(smooth), samples, np.zeros(1)]), dtype=np.float64)
    high = samples[smooth:] - ((sums[smooth:] - sums[:-smooth]) / smooth)[smooth : samples.size].astype(np.float32)
    high = high - high.mean()
    power = high * high
    variance = float(power.mean()) + 1e-20
    kurtosis = float(np.dot(power, power)) / high.size / variance**2
    return {
        "kurtosis": float(np.log(max(kurtosis, 0.1) / 3)),
        "crest": float(np.log(float(np.abs(high).max()) / variance**0.5 / 4 + 1e-6)),
        "envelope_kurtosis": float(np.log(max(float(found.envelope.kurtosis.max()), 0.1) / 2)),
        "high_floor": _high_floor(found.raw, rate_hz),
    }


def _high_floor(raw: Raw, rate_hz: float) -> float:
    """Mean log amplitude between 0.1 and 0.35 of the sampling rate: the broadband floor, lines do not move it."""
    low, high = int(0.1 * rate_hz / raw.step_hz), int(0.35 * rate_hz / raw.step_hz)
    return float(np.log(raw.amplitude[low:high] + 1e-12).mean())


def _velocity_energy(raw: Raw, shaft_hz: float) -> npt.NDArray[np.float64]:
    """Give the energy of the vibration's velocity per line, (mm/s)^2, in the band of ISO 20816-3."""
    frequency = np.arange(raw.amplitude.size) * raw.step_hz
    velocity = np.zeros_like(raw.amplitude)
    band = (frequency >= min(10.0, 0.4 * shaft_hz)) & (frequency <= 1000.0)  # noqa: PLR2004 -- ISO 20816-3
    velocity[band] = raw.amplitude[band] * np.float32(_G_MM_S2) / (2 * np.pi * frequency[band]).astype(np.float32)
    # Hann: 1.5 bins of noise bandwidth, half of the peak squared.
    energy: npt.NDArray[np.float64] = velocity.astype(np.float64) ** 2 / 3
    return energy


def _harmonics(raw: Raw, shaft_hz: float) -> dict[str, float]:
    per_order = shaft_hz / raw.step_hz

    def level(orders: Sequence[float]) -> float:
        tops = [
            raw.level[max(at - 1, 0) : at + 2].max()
            for at in (round(o * per_order) for o in orders)
            if at + 2 < raw.level.size
        ]
        return float(np.mean(tops)) if tops else _NAN

    energy = _velocity_energy(raw, shaft_hz)
    total = float(energy.sum()) + 1e-20

    def part(orders: Sequence[float]) -> float:
        reach = max(2, round(0.03 * per_order))
        return sum(
            float(energy[max(at - reach, 0) : at + reach + 1].sum()) for at in (round(o * per_order) for o in orders)
        )

    one, two = part([1]), part([2])
    halves = (0.5, 1.5, 2.5, 3.5)
    return {
        "x1": level([1]),
        "x2": level([2]),
        "x3": level([3]),
        "x4_to_x8": level([4, 5, 6, 7, 8]),
        "half_orders": level(halves),
        "x2_to_x1": 0.5 * float(np.log((two + 1e-12) / (one + 1e-12))),
        "share_x1": one / total,
        "share_x2": two / total,
        "share_harmonics": part(range(3, 11)) / total,
        "share_half": part(halves) / total,
        "velocity": 0.5 * float(np.log(total)),
        "velocity_x1": 0.5 * float(np.log(one + 1e-12)),
        "velocity_x2": 0.5 * float(np.log(two + 1e-12)),
    }
