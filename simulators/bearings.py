"""Rolling bearings: geometry of real types and the orders at which their parts meet."""

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Bearing:
    """Geometry of a rolling bearing: diameters in millimetres, contact angle in degrees.

    All rates are orders, that is events per revolution of the shaft, for a turning inner ring and
    pure rolling (no slip).
    """

    balls: int
    ball_mm: float
    pitch_mm: float
    contact_deg: float = 0.0

    @property
    def ratio(self) -> float:
        """Ball over pitch diameter, seen along the contact angle."""
        return self.ball_mm / self.pitch_mm * math.cos(math.radians(self.contact_deg))

    @property
    def ftf(self) -> float:
        """Turns of the cage."""
        return (1 - self.ratio) / 2

    @property
    def bpfo(self) -> float:
        """Balls that pass a point of the outer race."""
        return self.balls * self.ftf

    @property
    def bpfi(self) -> float:
        """Balls that pass a point of the inner race."""
        return self.balls * (1 - self.ftf)

    @property
    def bsf(self) -> float:
        """Turns of a ball about itself; a defect on it strikes twice a turn."""
        return self.pitch_mm / (2 * self.ball_mm) * (1 - self.ratio**2)


FEWEST = 3
FLAT_DEG = 90
# Common makes, rounded. Makers differ: a factory's own bearing may have another ball than the book says.
CATALOGUE: dict[str, Bearing] = {
    "6002": Bearing(9, 4.762, 23.5),
    "6004": Bearing(9, 6.35, 31.0),
    "6006": Bearing(11, 7.144, 42.5),
    "6202": Bearing(8, 5.953, 25.0),
    "6203": Bearing(8, 6.746, 28.5),
    "6204": Bearing(8, 7.938, 33.5),
    "6205": Bearing(9, 7.94, 39.04),
    "6206": Bearing(9, 9.525, 46.0),
    "6207": Bearing(9, 11.112, 53.5),
    "6208": Bearing(9, 11.906, 60.0),
    "6209": Bearing(9, 12.7, 65.0),
    "6210": Bearing(10, 12.7, 70.0),
    "6212": Bearing(10, 15.875, 85.0),
    "6304": Bearing(7, 9.525, 36.0),
    "6305": Bearing(7, 11.508, 43.5),
    "6306": Bearing(8, 12.303, 51.0),
    "6307": Bearing(8, 13.494, 57.5),
    "6308": Bearing(8, 15.081, 65.0),
    "6309": Bearing(8, 17.462, 72.5),
    "6310": Bearing(8, 19.05, 80.0),
    "6312": Bearing(8, 22.225, 95.0),
    "7205B": Bearing(11, 7.94, 39.0, 40.0),
    "NU205": Bearing(13, 7.5, 39.0),
    "NU206": Bearing(13, 9.0, 46.5),
    "NU208": Bearing(14, 11.0, 60.0),
    "NU308": Bearing(12, 14.0, 65.5),
    "22208": Bearing(17, 10.0, 61.0, 9.5),
    "ER16K": Bearing(9, 7.938, 38.506),
    "ZA-2115": Bearing(16, 8.407, 71.5, 15.17),
    "UER204": Bearing(8, 7.92, 34.55),
}


def named(designation: str) -> Bearing:
    """Find a bearing by its designation ("6205"), or read a geometry.

    A geometry is balls, ball and pitch diameter in mm and, if not 0, the contact angle in degrees, joined by
    colons ("9:7.94:39.04"). Raises ValueError naming the known designations.
    """
    if ":" in designation:
        return _geometry(designation)
    try:
        return CATALOGUE[designation.upper()]
    except KeyError:
        known = ", ".join(CATALOGUE)
        raise ValueError(
            f"unknown bearing {designation!r}; give its geometry (9:7.94:39.04) or one of {known}"
        ) from None


def _geometry(text: str) -> Bearing:
    balls, *rest = text.split(":")
    try:
        bearing = Bearing(int(balls), *(float(part) for part in rest))
    except (TypeError, ValueError):
        raise ValueError(f"not a bearing: {text!r} (write BALLS:BALL_MM:PITCH_MM[:CONTACT_DEG])") from None
    if bearing.balls < FEWEST or not 0 < bearing.ball_mm < bearing.pitch_mm or not 0 <= bearing.contact_deg < FLAT_DEG:
        raise ValueError(f"no such bearing can be built: {text!r}")
    return bearing
