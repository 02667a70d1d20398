"""The accelerometer and its converter: gain, own noise, rounding, and the ways in which they fail."""

from typing import Literal, get_args

import numpy as np

from simulators.defect import Effect, Warmth
from simulators.path import Filter, Floats, low_pass
from simulators.rig import Rig
from simulators.seeds import generator
from simulators.turn import Turn

Trouble = Literal["flat", "clipping", "hum", "jumps", "drift", "dropouts"]


class SensorFault:
    """A sensor that lies in one of the ways of `Trouble`; the machine itself is well."""

    def __init__(self, severity: float, rig: Rig, random: np.random.Generator, trouble: Trouble | None = None) -> None:
        self.severity = severity
        self.warmth = Warmth()
        self.trouble: Trouble = trouble or get_args(Trouble)[int(random.integers(0, 6))]
        self._rig = rig
        self._random = random
        self._clock = 0.0
        self._rail = float(random.choice([0.0, 0.0, -1.0, 1.0])) * rig.full_scale_g
        self._period_s = float(random.uniform(4, 25))
        self._offset = 0.0
        self._gone = 0

    def push(self, turn: Turn) -> Effect:
        """Do nothing: the machine does not feel its sensor."""
        del turn
        return Effect()

    def spoil(self, signal: Floats, level: float) -> Floats:
        """Falsify the next block (g, shape (n,)); `level` is the usual RMS of the signal in g."""
        time = self._clock + np.arange(len(signal)) / self._rig.rate_hz
        self._clock += len(signal) / self._rig.rate_hz
        match self.trouble:
            case "flat":
                return np.full_like(signal, self._rail)
            case "clipping":
                limit = level * 2.2 * 0.2**self.severity
                return np.asarray(np.clip(signal, -limit, limit))
            case "hum":
                return signal + level * 1.5 * 8**self.severity * self._hum(time)
            case "jumps":
                return signal + self._jumps(signal, level)
            case "drift":
                slow = np.sin(2 * np.pi * time / self._period_s) + 0.4 * np.sin(2 * np.pi * time / self._period_s * 2.7)
                return np.asarray(signal + level * 4 * 8**self.severity * slow)
            case "dropouts":
                return np.asarray(np.where(self._dropped(len(signal)), 0.0, signal))

    def _hum(self, time: Floats) -> Floats:
        base = 2 * np.pi * self._rig.mains_hz * time
        return np.asarray(np.sqrt(2) * (np.sin(base) + 0.3 * np.sin(3 * base + 1) + 0.15 * np.sin(5 * base + 2)))

    def _jumps(self, signal: Floats, level: float) -> Floats:
        """Steps that the AC coupling bleeds off within about half a second."""
        steps = np.zeros(len(signal))
        count = self._random.poisson((0.6 + 3 * self.severity) * len(signal) / self._rig.rate_hz)
        for place in self._random.integers(0, len(signal), count):
            steps[place] += float(self._random.normal(0, 1)) * level * 5 * 5**self.severity
        keep = float(np.exp(-1 / (0.5 * self._rig.rate_hz)))
        decay = keep ** np.arange(len(signal))
        offset = decay * (self._offset + np.cumsum(steps / np.maximum(decay, 1e-30)))
        self._offset = float(offset[-1]) * keep
        return np.asarray(offset)

    def _dropped(self, count: int) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
        gone = np.zeros(count, dtype=np.bool_)
        gone[: self._gone] = True
        self._gone = max(0, self._gone - count)
        for place in self._random.integers(
            0, count, self._random.poisson((0.8 + 5 * self.severity) * count / self._rig.rate_hz)
        ):
            length = int(self._rig.rate_hz * self._random.uniform(0.005, 0.05 + 0.15 * self.severity))
            gone[place : place + length] = True
            self._gone = max(self._gone, int(place) + length - count)
        return gone


class Sensor:
    """Turns what the housing does into numbers: anti-alias filter, noise, gain, converter."""

    def __init__(self, rig: Rig, seed: int) -> None:
        self._rig = rig
        self._random = generator(seed, "sensor", rig.name)
        self._filter = Filter(low_pass(rig.cutoff * rig.rate_hz, rig.rate_hz))
        self._level = 0.0

    def push(self, motion: Floats, fault: SensorFault | None) -> Floats:
        """Measure the next block in g, shape (n,)."""
        signal = self._filter.push(motion) + self._rig.noise_g * self._random.standard_normal(len(motion))
        level = float(np.sqrt(np.mean(signal**2)))
        self._level = level if self._level == 0 else 0.9 * self._level + 0.1 * level
        if fault is not None and fault.severity > 0:
            signal = fault.spoil(signal, self._level)
        scale = self._rig.full_scale_g
        step = 2 * scale / 2**self._rig.bits
        return np.asarray(np.clip(np.round(signal / step) * step, -scale, scale) * self._rig.gain)
