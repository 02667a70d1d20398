"""Bearing kinematics: at which shaft orders a damaged ring, ball or cage speaks."""

import functools
import math
import re
import tomllib
from dataclasses import dataclass
from importlib import resources

import msgspec

from gateway.core.asset import Asset, Bearing
from gateway.core.errors import Misconfigured


@dataclass(frozen=True, slots=True)
class Orders:
    """Defect frequencies in shaft orders (multiples of the shaft's rotation, inner ring turning).

    `ftf` is the cage, `bpfo` a fault on the outer ring, `bpfi` on the inner ring; `bsf` is the spin
    of a ball, whose fault strikes twice a turn, so its line stands at `2 * bsf`.
    """

    ftf: float
    bpfo: float
    bpfi: float
    bsf: float


def orders_of(bearing: Bearing) -> Orders:
    """Compute the defect orders of a geometry (outer ring at rest, no slip)."""
    ratio = bearing.ball_mm / bearing.pitch_mm * math.cos(math.radians(bearing.contact_deg))
    ftf = (1 - ratio) / 2
    return Orders(
        ftf=ftf,
        bpfo=bearing.balls * ftf,
        bpfi=bearing.balls * (1 + ratio) / 2,
        bsf=bearing.pitch_mm / (2 * bearing.ball_mm) * (1 - ratio**2),
    )


@functools.cache
def known_bearings() -> dict[str, Bearing]:
    """Give the table of designations that ships with the gateway."""
    text = resources.files("gateway.diagnosis").joinpath("bearings.toml").read_text("utf-8")
    return msgspec.convert(tomllib.loads(text), dict[str, Bearing])


DESIGNATIONS: frozenset[str] = frozenset(known_bearings())
"""The designations that the table knows."""


def find_bearing(named: Bearing | str | None) -> Bearing | None:
    """Resolve a designation ("6205-2RS", "SKF 6205") or geometry; None when it is not known."""
    if named is None or isinstance(named, Bearing):
        return named
    table = known_bearings()
    text = named.upper().replace(" ", "-")
    for key in sorted(table, key=len, reverse=True):
        if re.search(rf"(?<![0-9A-Z]){re.escape(key)}(?![0-9])", text):
            return table[key]
    return None


def orders_for(asset: Asset) -> Orders | None:
    """Give the defect orders of an asset's bearing, or None when its geometry is not known."""
    bearing = find_bearing(asset.bearing)
    return None if bearing is None else orders_of(bearing)


def check_bearing(asset: Asset) -> None:
    """Raise `Misconfigured` when an asset names a bearing that no table knows."""
    if asset.bearing is not None and find_bearing(asset.bearing) is None:
        raise Misconfigured(
            f"asset {asset.id}: bearing {asset.bearing!r} is not in the table; "
            "give its geometry: bearing = { balls = 9, ball_mm = 7.94, pitch_mm = 39.04 }"
        )
