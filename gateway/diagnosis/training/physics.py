"""What is known before any data: which feature can only speak for or against which fault."""

from collections.abc import Sequence

from gateway.core.diagnosis import Fault

# Patterns of columns without their suffix; "~" (against the baseline), "+" (summed) and "+~" follow suit.
_FOR: dict[Fault, tuple[str, ...]] = {
    Fault.BEARING_OUTER: ("vibration.outer_z", "vibration.outer"),
    Fault.BEARING_INNER: ("vibration.inner_z", "vibration.inner", "vibration.inner_side_z"),
    Fault.BEARING_BALL: (
        "vibration.ball_z",
        "vibration.ball",
        "vibration.cage_z",
        "vibration.ball_side_z",
    ),
    Fault.IMBALANCE: ("vibration.velocity_x1", "vibration.share_x1", "vibration.x1"),
    Fault.MISALIGNMENT: ("vibration.velocity_x2", "vibration.x2_to_x1", "vibration.share_x2", "thermal.p_coupling"),
    Fault.LOOSENESS: ("vibration.half_orders", "vibration.share_half", "thermal.p_foot"),
    Fault.OVERHEATING: (
        "vibration.high_floor",
        "process.temperature",
        "process.temperature_rise",
        "thermal.rise",
        "thermal.p_bearing_hot",
    ),
    Fault.SENSOR: ("vibration.flat", "vibration.gone", "vibration.clip", "vibration.jump", "vibration.low_share"),
}
_AGAINST: dict[Fault, tuple[str, ...]] = {
    Fault.BEARING_OUTER: ("vibration.inner_z", "vibration.ball_z"),
    Fault.BEARING_INNER: ("vibration.outer_z", "vibration.ball_z"),
    Fault.BEARING_BALL: ("vibration.outer_z", "vibration.inner_z"),
    Fault.HEALTHY: (
        *dict.fromkeys(name for names in _FOR.values() for name in names),
        "vibration.kurtosis",
        "vibration.envelope_kurtosis",
        "vibration.velocity",
        "vibration.crest",
    ),
}


def constraints_of(fault: Fault, columns: Sequence[str]) -> tuple[int, ...]:
    """Give +1, -1 or 0 per column: how a fault's probability may move with it."""
    return tuple(_one(column.rstrip("~").rstrip("+"), fault) for column in columns)


def _one(column: str, fault: Fault) -> int:
    if column in _FOR.get(fault, ()) or column == f"log.log_{fault}":
        return 1
    return -1 if column in _AGAINST.get(fault, ()) else 0
