"""Signals with known physics for the diagnosis tests: strikes at an order, through a resonance, in noise."""

from datetime import UTC, datetime, timedelta

import numpy as np
import numpy.typing as npt

from gateway.core.asset import Asset, Plant, Site
from gateway.core.reading import Quality, ThermalFrame, Waveform
from gateway.core.window import Scalar, Window

Floats = npt.NDArray[np.float32]

START = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)
RATE = 12_800.0
SHAFT = 29.5
ASSET = Asset(id="M-01", bearing="6205", speed_rpm=SHAFT * 60)
PLANT = Plant(Site(), (ASSET,))


def machine(
    *,
    order: float = 0.0,
    strength: float = 0.0,
    shaft_hz: float = SHAFT,
    rate_hz: float = RATE,
    seconds: float = 2.0,
    seed: int = 1,
) -> Floats:
    """Shaft lines 1X to 3X in noise; with an order, strikes that ring at 3 kHz (strength in noise RMS)."""
    random = np.random.default_rng(seed)
    time = np.arange(round(seconds * rate_hz)) / rate_hz
    signal = 0.02 * random.standard_normal(time.size)
    for k, level in ((1, 0.02), (2, 0.01), (3, 0.005)):
        signal += level * np.sin(2 * np.pi * k * shaft_hz * time + k)
    if order:
        ring = np.arange(round(0.006 * rate_hz)) / rate_hz
        shape = np.exp(-600 * ring) * np.sin(2 * np.pi * 3000 * ring)
        train = np.zeros(time.size + shape.size)
        strikes = np.arange(0.3, seconds * shaft_hz * order) / (order * shaft_hz) * rate_hz
        jitter = random.normal(0, 0.004, strikes.size) * rate_hz / (order * shaft_hz)
        for at in (strikes + jitter).astype(int):
            if 0 <= at < time.size:
                train[at : at + shape.size] += shape
        signal += 0.02 * strength * train[: time.size]
    return signal.astype(np.float32)


def window(
    samples: Floats | None, number: int = 0, *, rate_hz: float = RATE, asset: str = "M-01", **scalars: float
) -> Window:
    """A window of the samples' length on a grid of two seconds."""
    start = START + timedelta(seconds=2 * number)
    waves = ()
    if samples is not None:
        waves = (
            Waveform(
                asset, "vibration", samples.astype("<f4").tobytes(), rate_hz, "g", Quality.GOOD, start, None, start
            ),
        )
    return Window(
        asset=asset,
        start=start,
        end=start + timedelta(seconds=2),
        scalars=tuple(Scalar(tag, "", v, v, v, v, 1, 0.1) for tag, v in scalars.items()),
        waveforms=waves,
        journal=(number,),
    )


def frame(*, hot_k: float = 8.0, height: int = 48, width: int = 64, seed: int = 1) -> ThermalFrame:
    """A room of 22 degrees with a warm body and a hot spot in it."""
    random = np.random.default_rng(seed)
    down, across = np.mgrid[0:height, 0:width]
    picture = 22 + 0.1 * random.standard_normal((height, width))
    picture[height // 4 : 3 * height // 4, width // 4 : 3 * width // 4] += 8
    distance = ((down - height / 2) / height) ** 2 + ((across - 0.6 * width) / width) ** 2
    picture += hot_k * np.exp(-distance / 0.01)
    pixels = picture.astype("<f4").tobytes()
    return ThermalFrame("M-01", "thermal", pixels, height, width, Quality.GOOD, START, None, START)
