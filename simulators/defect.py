"""What a defect is to the machine that has it."""

from dataclasses import dataclass
from typing import Protocol

from simulators.path import Floats
from simulators.turn import Turn


@dataclass(frozen=True, slots=True)
class Effect:
    """What a defect does in one step.

    `force` acts inside and reaches the sensor through the transfer path, `motion` shakes the whole
    housing; both in g, shape (n,), None for nothing. `roughness` multiplies the rolling noise, `hiss`
    adds broadband noise (RMS as a multiple of it) that no resonance colours.
    """

    force: Floats | None = None
    motion: Floats | None = None
    roughness: float = 1.0
    hiss: float = 0.0


@dataclass(frozen=True, slots=True)
class Warmth:
    """How far a defect of severity 1 heats each part above its healthy temperature, in K."""

    bearing: float = 0.0
    body: float = 0.0
    coupling: float = 0.0
    foot: float = 0.0


class Defect(Protocol):
    """One thing wrong with a machine; `severity` runs from 0 (not there) to 1 and may change between steps."""

    severity: float

    @property
    def warmth(self) -> Warmth:
        """Heat at severity 1."""

    def push(self, turn: Turn) -> Effect:
        """Act during the next step."""
