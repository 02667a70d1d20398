"""Cyclic scores: how strongly a bearing's defect orders stand out of an envelope spectrum."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gateway.diagnosis.bearing import Orders
from gateway.diagnosis.spectrum import Envelope, Floats

SLIP = 0.016  # bearings slip by 1 to 2 %; a table's geometry and a refined speed are a little off too
SLIPS = 41
HARMONICS = 4
CAGE_LINES = 20
PARTS = ("outer", "inner", "ball", "cage")
_BEST_BANDS = 3
_SHAFT_GUARD = 0.02  # orders: nearer to a multiple of the shaft than this, nobody can say whose line it is
_LEVEL_CAP = 1.5  # one strong line of another machine must not pass for a comb
# The same combs, stretched, fall where no part of this bearing speaks: they say what chance and the machine reach.
_STRETCHES = np.concatenate([np.linspace(0.80, 0.96, 9), np.linspace(1.04, 1.22, 9)])
_GRID = np.linspace(-SLIP, SLIP, SLIPS)

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Score:
    """One comb of lines.

    `profile` says at each slip of the grid how far the comb stands above its stretched copies, in their
    spreads; profiles of several windows may be averaged before the best slip is chosen, so that weak
    but steady lines add up. `excess` is the level at the best slip in log units over the copies'
    median, `slip` that slip.
    """

    profile: npt.NDArray[np.float32]
    excess: float
    slip: float

    @property
    def z(self) -> float:
        """The profile at its best slip (about 2 by chance)."""
        return float(self.profile.max())


@dataclass(frozen=True, slots=True)
class Cyclic:
    """Scores per part; `shaft` is the level of the 1X to 3X modulation.

    `cage` is the comb of the cage's rate: a damaged ball passes the load zone once a cage turn.
    `inner_side` are 1X sidebands around the inner ring's lines, `ball_side` cage sidebands around the
    ball's.
    """

    outer: Score
    inner: Score
    ball: Score
    cage: Score
    inner_side: Score
    ball_side: Score
    shaft: float

    @property
    def slip(self) -> float:
        """Relative offset from the table's orders at which the strongest comb was found."""
        return max((self.outer, self.inner, self.ball), key=lambda score: score.z).slip


def limit_orders(orders: Orders) -> float:
    """Give the highest shaft order that the scores look at."""
    return HARMONICS * max(orders.bpfi, 2 * orders.bsf) * (1 + SLIP) + 1.2


def cyclic_scores(envelope: Envelope, shaft_hz: float, orders: Orders) -> Cyclic:
    """Score the defect orders against control orders of the same spectrum."""
    level = np.nan_to_num(envelope.level, nan=0.0)
    per_order = shaft_hz / envelope.step_hz
    shaft = np.rint(np.arange(1, 4) * per_order).astype(int)
    shaft = shaft[shaft < level.shape[1]]
    scores = {name: _score(level, lines, per_order) for name, lines in _lines(orders).items()}
    return Cyclic(**scores, shaft=float(level[:, shaft].mean()) if shaft.size else 0.0)


def _lines(orders: Orders) -> dict[str, Array]:
    """Give the comb of each part, in orders."""
    harmonics = np.arange(1, HARMONICS + 1)
    spin = 2 * orders.bsf
    return {
        "outer": orders.bpfo * harmonics,
        "inner": orders.bpfi * harmonics,
        "ball": spin * harmonics,
        "cage": orders.ftf * np.arange(1, CAGE_LINES + 1),
        "inner_side": np.array([orders.bpfi * k + side for k in (1, 2, 3) for side in (-1, 1)]),
        "ball_side": np.array([spin * k + side * orders.ftf for k in (1, 2, 3) for side in (-1, 1)]),
    }


def _score(level: Floats, lines: Array, per_order: float) -> Score:
    """Compare a comb, slip by slip, with its stretched copies in the same spectrum."""
    wanted = np.concatenate([[1.0], _STRETCHES])[:, None, None] * lines * (1 + _GRID[:, None])
    place = wanted * per_order
    usable = (np.abs(wanted - np.rint(wanted)) > _SHAFT_GUARD) & (place < level.shape[1] - 2)
    place = np.where(usable, place, 0)
    base = place.astype(np.int32)
    part = (place - base).astype(np.float32)
    share = usable.mean(axis=2)
    weight = (usable / np.maximum(usable.sum(axis=2, keepdims=True), 1)).astype(np.float32)
    values = level[:, base]  # (bands, combs, slips, lines)
    values += part * (level[:, base + 1] - values)
    excess = np.einsum("bsl,sl->bs", values[:, 0], weight[0])
    means = np.einsum("bcsl,csl->bcs", np.minimum(values, np.float32(_LEVEL_CAP)), weight)
    pooled = np.sort(means, axis=0)[-_BEST_BANDS:].mean(axis=0)  # (combs, slips)
    middle = float(np.median(pooled[1:]))
    spread = 1.4826 * float(np.median(np.abs(pooled[1:] - middle))) + 1e-3
    # A comb with few lines left would win by chance alone: it counts less.
    profile = (pooled[0] - middle) / spread * np.sqrt(share[0])
    best = int(np.argmax(profile))
    top = float(np.sort(excess[:, best])[-_BEST_BANDS:].mean())
    return Score(profile.astype(np.float32), top - middle, float(_GRID[best]))
