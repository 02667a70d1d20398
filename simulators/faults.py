"""The faults that a machine can be given, by name."""

import numpy as np

from simulators.defect import Defect
from simulators.rig import Rig
from simulators.sensor import SensorFault
from simulators.shaft import Imbalance, Looseness, Misalignment, Starvation
from simulators.strikes import Strikes

HEALTHY = "healthy"
FAULTS = (
    "bearing_outer_race",
    "bearing_inner_race",
    "bearing_ball",
    "imbalance",
    "misalignment",
    "looseness",
    "overheating",
    "sensor_fault",
)


def make(fault: str, severity: float, rig: Rig, random: np.random.Generator) -> Defect:
    """Make a defect of a machine; everything about it that the name leaves open is drawn. Raises ValueError."""
    if not 0 <= severity <= 1:
        raise ValueError(f"severity must lie between 0 and 1, got {severity}")
    match fault:
        case "bearing_outer_race":
            return Strikes("outer", severity, rig, random)
        case "bearing_inner_race":
            return Strikes("inner", severity, rig, random)
        case "bearing_ball":
            return Strikes("ball", severity, rig, random)
        case "imbalance":
            return Imbalance(severity, rig, random)
        case "misalignment":
            return Misalignment(severity, rig, random)
        case "looseness":
            return Looseness(severity, rig, random)
        case "overheating":
            return Starvation(severity, rig, random)
        case "sensor_fault":
            return SensorFault(severity, rig, random)
    raise ValueError(f"unknown fault {fault!r}; known: {', '.join(FAULTS)}")
