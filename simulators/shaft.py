"""Defects of the shaft line: imbalance, misalignment, looseness, and lack of lubrication."""

import numpy as np

from simulators.defect import Effect, Warmth
from simulators.path import Floats
from simulators.rig import Rig
from simulators.turn import Turn

G = 9.80665


def peak_g(velocity_mm_s: float, hz: float) -> float:
    """Acceleration peak in g of a sine of the given RMS velocity in mm/s."""
    return float(np.sqrt(2) * 2 * np.pi * hz * velocity_mm_s / 1000 / G)


def wave(turn: Turn, order: float, phase: float) -> Floats:
    """A sine at an order of the shaft; `phase` in turns."""
    return np.asarray(np.cos(2 * np.pi * (order * turn.shaft + phase)))


class Imbalance:
    """A heavy spot: 1X that grows with the square of the speed, steady in phase."""

    def __init__(self, severity: float, rig: Rig, random: np.random.Generator) -> None:
        self.severity = severity
        self._hz = rig.speed_rpm / 60
        self._phase = float(random.random())
        self._fortune = float(np.exp(random.normal(0, 0.2)))
        self._second = float(random.uniform(0, 0.08))
        self.warmth = Warmth(bearing=float(random.uniform(1, 5)))

    def push(self, turn: Turn) -> Effect:
        """Shake during the next step."""
        level = peak_g(1.6 * 11**self.severity * self._fortune, self._hz) * turn.pace**2
        shake = wave(turn, 1, self._phase) + self._second * wave(turn, 2, self._phase)
        return Effect(motion=level * shake)


class Misalignment:
    """Shafts out of line: 2X above all, with 1X, 3X and a little 4X; the coupling warms."""

    def __init__(self, severity: float, rig: Rig, random: np.random.Generator) -> None:
        self.severity = severity
        self._hz = rig.speed_rpm / 60
        self._fortune = float(np.exp(random.normal(0, 0.2)))
        shares = random.uniform([0.2, 1.0, 0.1, 0.0], [0.9, 1.0, 0.6, 0.2])
        self._lines = tuple((order, float(share)) for order, share in enumerate(shares, start=1))
        self._phases = random.random(4)
        heat = float(np.exp(random.normal(0, 0.3)))
        self.warmth = Warmth(coupling=18 * heat, bearing=6 * heat)

    def push(self, turn: Turn) -> Effect:
        """Shake during the next step."""
        level = 1.0 * 11**self.severity * self._fortune * float(np.sqrt(max(turn.load, 0.1) / 0.7)) * turn.pace
        shake = np.zeros(turn.count)
        for (order, share), phase in zip(self._lines, self._phases, strict=True):
            shake += share * peak_g(level, order * self._hz) * wave(turn, order, float(phase))
        return Effect(motion=shake)


class Looseness:
    """A foot or a fit with play: a truncated 1X with half orders, unsteady, and a knock at each stop."""

    def __init__(self, severity: float, rig: Rig, random: np.random.Generator) -> None:
        self.severity = severity
        self._rig = rig
        self._random = random
        self._fortune = float(np.exp(random.normal(0, 0.2)))
        self._half = float(random.uniform(0.25, 0.9))
        self._limit = float(random.uniform(0.15, 0.7))
        self._knock = float(random.uniform(0.5, 2.0))
        self._phase = random.random(2)
        self._mood = 0.0
        self._closed = False
        self.warmth = Warmth(foot=float(random.uniform(3, 9)), bearing=float(random.uniform(0, 4)))

    def push(self, turn: Turn) -> Effect:
        """Rattle during the next step."""
        before, keep = self._mood, 0.7
        self._mood = keep * self._mood + float(self._random.normal(0, 0.12))
        mood = np.exp(np.linspace(before, self._mood, turn.count))
        swing = wave(turn, 1, float(self._phase[0])) + self._half * wave(turn, 0.5, float(self._phase[1]))
        swing *= mood
        level = peak_g(2.2 * 8**self.severity * self._fortune, turn.shaft_hz)
        stopped = np.clip(swing, -1.2, self._limit)
        return Effect(motion=level * stopped, force=self._knocks(turn, swing), roughness=1.1)

    def _knocks(self, turn: Turn, swing: Floats) -> Floats:
        shut = swing > self._limit
        meets = np.flatnonzero(shut & ~np.concatenate(([self._closed], shut[:-1])))
        self._closed = bool(shut[-1])
        force = np.zeros(turn.count)
        strength = self._knock * 8**self.severity * self._rig.roughness_g * turn.pace
        force[meets] = strength * np.exp(self._random.normal(0, 0.5, len(meets)))
        return force


class Starvation:
    """Too little or spent grease: rougher rolling, a hiss at high frequency, short irregular squeals, and heat."""

    def __init__(self, severity: float, rig: Rig, random: np.random.Generator) -> None:
        self.severity = severity
        self._rig = rig
        self._random = random
        self._hiss = float(random.uniform(0.4, 1.6))
        self._rough = float(random.uniform(1.5, 5.0))
        self._squeal_hz = float(random.uniform(0.0, 6.0))
        heat = float(np.exp(random.normal(0, 0.25)))
        self.warmth = Warmth(bearing=45 * heat, body=12 * heat)

    def push(self, turn: Turn) -> Effect:
        """Run dry during the next step."""
        force = np.zeros(turn.count)
        count = int(self._random.poisson(self._squeal_hz * self.severity * turn.count / turn.rate_hz))
        for place in self._random.integers(0, turn.count, count):
            length = min(int(0.02 * turn.rate_hz), turn.count - int(place))
            burst = self._random.standard_normal(length) * np.hanning(length + 2)[1:-1]
            force[place : place + length] += 2 * self.severity * self._rig.roughness_g * turn.pace * burst
        return Effect(force=force, roughness=1 + self._rough * self.severity, hiss=self._hiss * self.severity)
