"""Bearing defects: a damaged spot that is struck again and again."""

from typing import Literal

import numpy as np

from simulators.defect import Effect, Warmth
from simulators.path import Floats
from simulators.rig import Rig
from simulators.turn import Turn

Part = Literal["outer", "inner", "ball"]

FAINT = 1.2
"""Peak of the faintest strike as a multiple of the background's RMS."""
GROWTH = 32.0
"""How much stronger the strikes of severity 1 are than the faintest."""


SPALLED = 0.4
"""Share of the defects that are long spalls, not pits."""


class Strikes:
    """One damaged spot on the outer race, the inner race or a ball.

    The spot is met at the kinematic order, with a random error at each meeting that adds up (balls
    slide: the train is not strictly periodic). A strike is a short pulse for a small pit and a burst of
    noise for a long spall. Its strength follows the load where the spot is: nearly constant for the standing
    outer race, once a shaft turn for the inner race, once a cage turn for a ball. Balls differ in size, so the
    races are struck unequally, too, in the cage's rhythm.
    """

    def __init__(self, part: Part, severity: float, rig: Rig, random: np.random.Generator) -> None:
        self.severity = severity
        self._part = part
        self._rig = rig
        self._random = random
        self._jitter = float(np.exp(random.uniform(np.log(0.003), np.log(0.022))))
        self._spread = float(random.uniform(0.08, 0.35))
        # A ball's defect is seen through two contacts and an oil film: it reaches the sensor weaker, some hardly.
        reach = {"outer": 1.0, "inner": 0.85, "ball": float(np.exp(random.uniform(np.log(0.35), np.log(0.9))))}
        self._fortune = float(np.exp(random.normal(0, 0.25))) * reach[part]
        self._balls = np.clip(1 + random.uniform(0, 0.3) * random.standard_normal(rig.bearing.balls), 0.3, 2)
        self._spall = float(random.uniform(0.08, 0.3)) if random.random() < SPALLED else 0.0
        self._pulse_s = float(np.exp(random.uniform(np.log(2e-5), np.log(2e-4))))
        self._zone = float(random.uniform(0.35, 1.0))
        self._floor = float(random.uniform(0.05, 0.35))
        self._sway = float(random.uniform(0.0, 0.6))
        self._uneven = float(random.uniform(0.2, 1.0))
        self._where = float(random.random())
        self._tilt = float(random.random())
        self._due: float | None = None
        self._met = 0
        self._spill = np.zeros(0)
        heat = float(np.exp(random.normal(0, 0.3))) * {"outer": 18.0, "inner": 20.0, "ball": 16.0}[part]
        self.warmth = Warmth(bearing=heat, body=0.15 * heat)

    def push(self, turn: Turn) -> Effect:
        """Strike during the next step."""
        phase = self._phase(turn)
        meetings = self._meetings(float(phase[0]), float(phase[-1]))
        at = np.interp(meetings, phase, np.arange(turn.count, dtype=np.float64))
        background = float(np.hypot(self._rig.roughness_g * turn.pace, self._rig.noise_g))
        peak = FAINT * GROWTH**self.severity * background * self._fortune * np.sqrt(max(turn.load, 0.05) / 0.7)
        peaks = peak * self._weights(turn, at) * np.exp(self._random.normal(0, self._spread, len(at)))
        return Effect(force=self._train(turn, at, peaks), roughness=1 + 0.4 * self.severity)

    def _phase(self, turn: Turn) -> Floats:
        """Count of meetings since the start, as a growing real number per sample."""
        if self._part == "outer":
            return self._rig.bearing.balls * turn.cage
        if self._part == "inner":
            return self._rig.bearing.balls * (turn.shaft - turn.cage)
        return 2 * self._rig.bearing.bsf * (1 - self._rig.slip) * turn.shaft

    def _meetings(self, start: float, end: float) -> Floats:
        if self._due is None:
            self._due = start + float(self._random.random())
        met = []
        while self._due < end:
            met.append(self._due)
            self._due += max(0.2, 1 + self._jitter * float(self._random.standard_normal()))
        return np.asarray(met, dtype=np.float64)

    def _weights(self, turn: Turn, at: Floats) -> Floats:
        """Give the share of the full strength at each meeting (0..about 1)."""
        samples = np.arange(turn.count, dtype=np.float64)
        balls = self._balls[(self._met + np.arange(len(at))) % len(self._balls)]
        self._met += len(at)
        shaft = np.interp(at, samples, turn.shaft)
        if self._part == "outer":
            return np.asarray(balls * (1 + self._sway * np.cos(2 * np.pi * (shaft + self._where))))
        if self._part == "inner":
            return np.asarray(balls * self._loaded(shaft + self._where))
        cage = np.interp(at, samples, turn.cage)
        races = np.where((self._met + np.arange(len(at))) % 2 == 0, 1.0, self._uneven)
        # The ball's axis tumbles slowly: the spot misses the races now and then.
        hit = np.clip(1.2 + np.sin(2 * np.pi * (0.037 * shaft + self._tilt)), 0.15, 1.0)
        return np.asarray(self._loaded(cage + self._where) * races * hit)

    def _loaded(self, turns: Floats) -> Floats:
        """Load on a rolling contact at an angle from the middle of the load zone (Stribeck), with a floor."""
        zone = np.clip(1 - (1 - np.cos(2 * np.pi * turns)) / (2 * self._zone), 0, None) ** 1.5
        return np.asarray(self._floor + (1 - self._floor) * zone)

    def _train(self, turn: Turn, at: Floats, peaks: Floats) -> Floats:
        """Lay a pulse or a burst at each place (in samples, with fractions); what runs over waits for the next step."""
        shapes = self._shapes(turn, len(at))
        force = np.zeros(max(turn.count + shapes.shape[1] + 1, len(self._spill)))
        force[: len(self._spill)] += self._spill
        first = np.floor(at).astype(np.int64)
        late = (at - first)[:, None]
        places = first[:, None] + np.arange(shapes.shape[1])
        np.add.at(force, places, shapes * (1 - late) * peaks[:, None])
        np.add.at(force, places + 1, shapes * late * peaks[:, None])
        self._spill = force[turn.count :]
        return force[: turn.count]

    def _shapes(self, turn: Turn, count: int) -> Floats:
        if self._spall:
            order = self._phase_order()
            width = max(3, int(self._spall * turn.rate_hz / (order * turn.shaft_hz)))
            bursts = self._random.standard_normal((count, width)) * np.hanning(width + 2)[1:-1]
            return np.asarray(bursts / np.sqrt(0.375 * width))
        width = max(1, round(self._pulse_s * turn.rate_hz))
        pulse = np.sin(np.pi * (np.arange(width) + 0.5) / width)
        return np.asarray(np.tile(pulse / pulse.sum(), (count, 1)))

    def _phase_order(self) -> float:
        bearing = self._rig.bearing
        return {"outer": bearing.bpfo, "inner": bearing.bpfi, "ball": 2 * bearing.bsf}[self._part]
