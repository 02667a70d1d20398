"""The running shaft: speed and load that wander, and the angles that follow from them."""

from dataclasses import dataclass

import numpy as np

from simulators.path import Floats
from simulators.rig import Rig
from simulators.seeds import generator

WANDER_S = 4.0
"""Time constant in seconds of the slow changes of speed and load."""


@dataclass(frozen=True, slots=True)
class Turn:
    """One step of the running shaft.

    `shaft` and `cage` are angles in revolutions since the start, shape (n,), one per sample.
    `pace` is the speed over the rated speed, `load` the load over the rated load.
    """

    shaft: Floats
    cage: Floats
    pace: float
    load: float
    shaft_hz: float
    rate_hz: float

    @property
    def count(self) -> int:
        """Number of samples in the step."""
        return len(self.shaft)


class Drive:
    """Turns the shaft of one rig, step by step, without a jump between steps.

    `pace` and `load` are the set points (1 = rated); the real ones wander about them.
    """

    def __init__(self, rig: Rig, seed: int, *, pace: float = 1.0, load: float = 0.7) -> None:
        self.pace = pace
        self.load = load
        self._rig = rig
        self._random = generator(seed, "drive", rig.name)
        self._wander = self._random.standard_normal(2)
        self._angle = float(self._random.random())
        self._cage = float(self._random.random())
        self._hz = self._speed_hz()

    @property
    def speed_rpm(self) -> float:
        """The real speed at this moment in revolutions per minute."""
        return self._hz * 60

    def _speed_hz(self) -> float:
        return self._rig.speed_rpm / 60 * self.pace * (1 + self._rig.speed_wander * float(self._wander[0]))

    def step(self, count: int) -> Turn:
        """Turn on by `count` samples."""
        seconds = count / self._rig.rate_hz
        keep = np.exp(-seconds / WANDER_S)
        self._wander = keep * self._wander + np.sqrt(1 - keep**2) * self._random.standard_normal(2)
        before, self._hz = self._hz, self._speed_hz()
        turned = np.cumsum(np.linspace(before, self._hz, count)) / self._rig.rate_hz
        shaft = self._angle + turned
        cage = self._cage + turned * self._rig.bearing.ftf * (1 - self._rig.slip)
        self._angle, self._cage = float(shaft[-1]), float(cage[-1])
        load = max(0.05, self.load * (1 + self._rig.load_wander * float(self._wander[1])))
        return Turn(shaft, cage, self._hz * 60 / self._rig.speed_rpm, load, self._hz, self._rig.rate_hz)
