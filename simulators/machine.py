"""A rotating machine: shaft, bearing, structure, heat, log and sensor put together, one step after the other."""

from dataclasses import dataclass

import numpy as np

from simulators.defect import Defect, Effect, Warmth
from simulators.faults import HEALTHY, make
from simulators.logs import Facts, Line, LogBook
from simulators.path import Filter, Floats, response
from simulators.rig import Rig
from simulators.seeds import generator
from simulators.sensor import Sensor, SensorFault
from simulators.shaft import peak_g, wave
from simulators.thermal import Heat, Picture, Temperatures, ThermalCamera
from simulators.turn import Drive, Turn

STEP_S = 0.1
"""Length of a step in seconds. Speed, load and severity change between steps only."""


@dataclass(slots=True)
class Ramp:
    """A severity on its way: to `goal` within `seconds`."""

    goal: float
    per_s: float


class Machine:
    """One machine with its sensors. The same rig, seed and calls give the same numbers.

    `pace` and `load` are the set points (1 = rated), `tau_s` is the thermal time constant in seconds, `talk`
    multiplies the log lines. `read(n)` gives the next n samples in g and lets the same time pass for heat
    and log, whatever the size of the blocks asked for.
    """

    def __init__(
        self, rig: Rig, seed: int, *, pace: float = 1.0, load: float = 0.7, tau_s: float = 25.0, talk: float = 1.0
    ) -> None:
        self.rig = rig
        self.drive = Drive(rig, seed, pace=pace, load=load)
        self._seed = seed
        self._injected = 0
        self._fault = HEALTHY
        self._defect: Defect | None = None
        self._ramp: Ramp | None = None
        self._random = generator(seed, "noise", rig.name)
        self._phases = generator(seed, "phases", rig.name).random(16)
        kernel = response(rig.modes, rig.rate_hz)
        self._path = Filter(kernel)
        self._colour = 1 / float(np.sqrt(kernel @ kernel))
        self._sensor = Sensor(rig, seed)
        self._camera = ThermalCamera(rig, seed)
        self._heat = Heat(rig, tau_s=tau_s)
        self._log = LogBook(rig.name, seed, talk)
        self._lines: list[Line] = []
        self._clock = 0.0
        self._load = load
        self._ready: Floats = np.zeros(0)

    @property
    def fault(self) -> str:
        """Name of the fault that it has, or "healthy"."""
        return self._fault

    @property
    def severity(self) -> float:
        """Severity of the fault at this moment, 0..1."""
        return 0.0 if self._defect is None else self._defect.severity

    @property
    def load_pct(self) -> float:
        """Load at this moment in per cent of the rated load."""
        return self._load * 100

    @property
    def speed_rpm(self) -> float:
        """Real speed at this moment."""
        return self.drive.speed_rpm

    @property
    def temperatures(self) -> Temperatures:
        """Temperatures at this moment in degrees Celsius."""
        return self._heat.now

    def inject(self, fault: str, severity: float, *, ramp_s: float = 0.0) -> None:
        """Give it a fault in place of the one it has; with a ramp it grows from nothing. Raises ValueError."""
        if fault == HEALTHY:
            self.clear()
            return
        self._injected += 1
        drawn = generator(self._seed, "defect", self.rig.name, fault, str(self._injected))
        self._defect = make(fault, severity, self.rig, drawn)
        self._fault = fault
        self._ramp = None
        if ramp_s > 0:
            self._ramp = Ramp(severity, severity / ramp_s)
            self._defect.severity = 0.0

    def clear(self) -> None:
        """Repair it."""
        self._fault, self._defect, self._ramp = HEALTHY, None, None

    def read(self, count: int) -> Floats:
        """Run on and give the next `count` samples of the accelerometer in g."""
        blocks, have = [self._ready], len(self._ready)
        while have < count:
            block = self._step(round(STEP_S * self.rig.rate_hz))
            blocks.append(block)
            have += len(block)
        samples = np.concatenate(blocks)
        self._ready = samples[count:]
        return samples[:count]

    def rest(self, seconds: float) -> None:
        """Let time pass for heat and log only: cheap, and no samples come of it."""
        drive, warmth = self.drive, Warmth() if self._defect is None else self._defect.warmth
        while seconds > 0:
            span = min(seconds, 1.0)
            self._grow(span)
            self._heat.push(drive.load, drive.pace, warmth, self.severity, span)
            self._lines += self._log.push(self._facts(drive.pace, drive.load), span)
            seconds -= span

    def picture(self) -> Picture:
        """Take a thermal picture: float32 degrees Celsius, shape (height, width)."""
        return self._camera.picture(self._heat.now)

    def lines(self) -> list[Line]:
        """Take the log lines written since the last call."""
        lines, self._lines = self._lines, []
        return lines

    def _step(self, count: int) -> Floats:
        seconds = count / self.rig.rate_hz
        self._grow(seconds)
        turn = self.drive.step(count)
        self._load = turn.load
        # A severity that is still 0 must not strike at all.
        effect = Effect() if self._defect is None or self._defect.severity <= 0 else self._defect.push(turn)
        motion = self._path.push(self._rolling(turn, effect)) + self._surroundings(turn, effect)
        self._clock += seconds
        warmth = Warmth() if self._defect is None else self._defect.warmth
        self._heat.push(turn.load, turn.pace, warmth, self.severity, seconds)
        self._lines += self._log.push(self._facts(turn.pace, turn.load), seconds)
        return self._sensor.push(motion, self._defect if isinstance(self._defect, SensorFault) else None)

    def _grow(self, seconds: float) -> None:
        if self._defect is not None and self._ramp is not None:
            self._defect.severity = min(self._ramp.goal, self._defect.severity + self._ramp.per_s * seconds)

    def _rolling(self, turn: Turn, effect: Effect) -> Floats:
        """Forces inside the machine: rolling noise, modulated by load and by the passing balls, and the defect's."""
        rig, phases = self.rig, self._phases
        swell = 1 + rig.load_wave * np.cos(2 * np.pi * (turn.shaft + phases[0]))
        swell *= 1 + rig.compliance * np.cos(2 * np.pi * (rig.bearing.balls * turn.cage + phases[1]))
        level = rig.roughness_g * self._colour * turn.pace * effect.roughness * (0.7 + 0.4 * turn.load)
        force = level * swell * self._random.standard_normal(turn.count)
        if rig.knocks_hz:
            count = int(self._random.poisson(rig.knocks_hz * turn.count / turn.rate_hz))
            strength = rig.roughness_g * np.exp(self._random.normal(1.5, 0.8, count))
            np.add.at(force, self._random.integers(0, turn.count, count), strength)
        if effect.force is not None:
            force += effect.force
        return np.asarray(force)

    def _surroundings(self, turn: Turn, effect: Effect) -> Floats:
        """Everything that reaches the sensor past the transfer path: shaft, gear, neighbours, mains, hiss."""
        rig, phases = self.rig, self._phases
        hz = rig.speed_rpm / 60
        motion = peak_g(rig.unbalance_mm_s, hz) * turn.pace**2 * wave(turn, 1, phases[2])
        motion += peak_g(rig.coupling_mm_s, 2 * hz) * turn.pace * wave(turn, 2, phases[3])
        if rig.gear is not None:
            sidebands = 1 + rig.gear.depth * wave(turn, 1, phases[4])
            motion += rig.gear.level_g * turn.load * sidebands * wave(turn, rig.gear.teeth, phases[5])
        time = self._clock + np.arange(turn.count) / turn.rate_hz
        for index, other in enumerate(rig.neighbours):
            base = 2 * np.pi * other.shaft_hz * time + index
            motion += other.level_g * (np.sin(base) + 0.4 * np.sin(2 * base) + 0.6 * np.sin(other.vanes * base))
        if rig.hum_g:
            base = 2 * np.pi * rig.mains_hz * time
            motion += rig.hum_g * (np.sin(2 * base + phases[6]) + 0.5 * np.sin(base + phases[7]))
        if effect.motion is not None:
            motion += effect.motion
        if effect.hiss:
            white = self._random.standard_normal(turn.count + 1)
            motion += effect.hiss * rig.roughness_g * turn.pace * np.diff(white) / np.sqrt(2)
        return np.asarray(motion)

    def _facts(self, pace: float, load: float) -> Facts:
        shaken = {"imbalance": 1.6, "misalignment": 1.2, "looseness": 2.2}.get(self._fault)
        own = float(np.hypot(self.rig.unbalance_mm_s, self.rig.coupling_mm_s)) * pace
        extra = 3 * self.severity if shaken is None else shaken * 9**self.severity
        now = self._heat.now
        return Facts(
            asset=self.rig.name,
            fault=self._fault,
            severity=self.severity,
            temperature_c=now.bearing,
            ambient_c=now.ambient,
            velocity_mm_s=own + (extra if self.severity else 0.0),
            speed_rpm=self.rig.speed_rpm * pace,
            load_pct=load * 100,
        )
