"""A tunnel oven: three zones that heat, lose heat to each other and through the door, and fail."""

from dataclasses import dataclass
from typing import Literal

from simulators.seeds import generator

ZONES = 3
Failure = Literal["heater", "runaway", "sensor"]
AMBIENT_C = 22.0
TAU_S = 60.0
"""Time constant of a zone in seconds (a real one is slower)."""
FULL_POWER_K = 320.0
"""How far full power would heat a zone above ambient."""
POWER_KW = 12.0
MARGIN_K = 15.0
"""How far above its setpoint a zone may be before the alarm comes."""
BROKEN_C = 3276.7
"""What the transmitter says when the thermocouple is broken."""


@dataclass(slots=True)
class Zone:
    """One zone: temperatures in degrees Celsius, heater output 0..1."""

    setpoint_c: float
    real_c: float
    output: float = 0.0
    integral: float = 0.0
    failure: Failure | None = None
    shown_c: float = 0.0


class Oven:
    """The oven's physics; `run` lets time pass. The same seed and calls give the same numbers."""

    def __init__(self, seed: int, setpoints_c: tuple[float, float, float] = (180.0, 210.0, 195.0)) -> None:
        self._random = generator(seed, "oven")
        self.zones = [Zone(setpoint, setpoint, setpoint / FULL_POWER_K, shown_c=setpoint) for setpoint in setpoints_c]
        self.enabled = True
        self.door_open = False
        self.energy_wh = 0.0
        self.uptime_s = 0.0
        self._settle()

    @property
    def alarm(self) -> bool:
        """Over-temperature, or a broken thermocouple."""
        return any(zone.shown_c > zone.setpoint_c + MARGIN_K for zone in self.zones)

    @property
    def mean_c(self) -> float:
        """Mean of the temperatures shown, without the broken ones."""
        good = [zone.shown_c for zone in self.zones if zone.shown_c < BROKEN_C]
        return sum(good) / len(good) if good else AMBIENT_C

    def run(self, seconds: float) -> None:
        """Let time pass, in steps of at most half a second."""
        while seconds > 0:
            step = min(seconds, 0.5)
            self._step(step)
            seconds -= step

    def _settle(self) -> None:
        """Begin in the steady state: the integrators hold what keeps the setpoints."""
        for zone in self.zones:
            zone.integral = (zone.setpoint_c - AMBIENT_C) / FULL_POWER_K

    def _step(self, seconds: float) -> None:
        before = [zone.real_c for zone in self.zones]
        loss = 2.5 if self.door_open else 1.0
        for place, zone in enumerate(self.zones):
            self._control(zone, seconds)
            neighbours = [before[other] for other in (place - 1, place + 1) if 0 <= other < ZONES]
            mixed = sum(neighbour - zone.real_c for neighbour in neighbours) * 0.15
            goal = FULL_POWER_K * zone.output - loss * (zone.real_c - AMBIENT_C) + mixed
            zone.real_c += goal * seconds / TAU_S
            noise = float(self._random.normal(0, 0.08))
            zone.shown_c = BROKEN_C if zone.failure == "sensor" else zone.real_c + noise
            self.energy_wh += POWER_KW * 1000 * zone.output * seconds / 3600
        self.uptime_s += seconds

    def _control(self, zone: Zone, seconds: float) -> None:
        if zone.failure == "runaway":  # the relay's contacts are welded: not even the main switch stops it
            zone.output = 1.0
            return
        if zone.failure in {"heater", "sensor"} or not self.enabled:  # a broken thermocouple switches off
            zone.output = 0.0
            return
        error = zone.setpoint_c - zone.real_c
        zone.integral = min(1.0, max(0.0, zone.integral + error * seconds / 4000))
        zone.output = min(1.0, max(0.0, zone.integral + error / 40))
