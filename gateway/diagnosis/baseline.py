"""What is normal for one asset: robust location and spread of its features, and its last few windows."""

from datetime import datetime, timedelta

import msgspec
import numpy as np
import numpy.typing as npt

Vector = npt.NDArray[np.float64]

ENOUGH = 3  # windows from which on a baseline is used
TRUSTED = 5  # windows from which on a fault does not put the baseline in doubt
FREEZE = 30  # windows after which it stands still
RECENT = 8
RECENT_AGE = timedelta(seconds=90)
SAME_SPEED = 0.15
_MOST_BINS = 6
_PRIOR_WEIGHT = 6.0  # a young spread counts as if six windows had shown the usual one
_CLIP = 15.0


class Normal(msgspec.Struct):
    """The baseline at one speed. `rows` are kept while it learns; then location and spread stand."""

    speed_hz: float
    count: int = 0
    rows: list[list[float]] = []
    location: list[float] = []
    spread: list[float] = []

    @property
    def frozen(self) -> bool:
        """Tell whether it has stopped learning."""
        return self.count >= FREEZE


class Recent(msgspec.Struct, frozen=True):
    """Evidence of one of the last windows: the profiles as little-endian float16."""

    start: datetime
    speed_hz: float
    profiles: bytes


class Memory(msgspec.Struct):
    """All that is remembered of one asset. `version` counts resets; `learnt_to` is the last window's start."""

    version: int = 1
    normals: list[Normal] = []
    recent: list[Recent] = []
    learnt_to: datetime | None = None

    def normal_at(self, speed_hz: float) -> Normal | None:
        """Find the baseline at a comparable speed (within 15 %)."""
        near = [n for n in self.normals if abs(n.speed_hz / speed_hz - 1) <= SAME_SPEED]
        return min(near, key=lambda n: abs(n.speed_hz / speed_hz - 1), default=None)

    def learn(self, start: datetime, speed_hz: float, vector: Vector) -> None:
        """Take a healthy window in, unless the baseline at this speed is frozen or the window was seen before."""
        if self.learnt_to is not None and start <= self.learnt_to:
            return
        self.learnt_to = start
        normal = self.normal_at(speed_hz)
        if normal is None:
            if len(self.normals) >= _MOST_BINS:
                return
            normal = Normal(speed_hz)
            self.normals.append(normal)
        if not normal.frozen:
            take(normal, vector)

    def doubt(self) -> None:
        """Forget baselines of a few windows: what was taken for normal may have been the fault."""
        self.normals = [normal for normal in self.normals if normal.count >= TRUSTED]

    def note(self, start: datetime, speed_hz: float, profiles: Vector) -> None:
        """Remember the evidence of a window for the next ones; the same window twice counts once."""
        kept = [r for r in self.recent if r.start != start] + [
            Recent(start, speed_hz, profiles.astype("<f2").tobytes())
        ]
        self.recent = sorted(kept, key=lambda r: r.start)[-RECENT:]

    def lately(self, start: datetime, speed_hz: float) -> list[Vector]:
        """Give the evidence of the windows before `start`, at a comparable speed, oldest first."""
        return [
            np.frombuffer(r.profiles, "<f2").astype(np.float64)
            for r in self.recent
            if start - RECENT_AGE <= r.start < start and abs(r.speed_hz / speed_hz - 1) <= SAME_SPEED
        ][-(RECENT - 1) :]


def take(normal: Normal, vector: Vector) -> None:
    """Add a window to a baseline that still learns; the one that completes it freezes it."""
    normal.rows.append([float(v) for v in vector])
    normal.count += 1
    rows = np.asarray(normal.rows)
    normal.location = _quiet_median(rows).tolist()
    normal.spread = (1.4826 * _quiet_median(np.abs(rows - np.asarray(normal.location)))).tolist()
    if normal.frozen:
        normal.rows = []


def _quiet_median(rows: Vector) -> Vector:
    """Median per column without NaN; NaN where a column has nothing else."""
    middle = np.full(rows.shape[1], np.nan)
    there = ~np.isnan(rows).all(axis=0)
    middle[there] = np.nanmedian(rows[:, there], axis=0)
    return middle


def spread_of(normal: Normal, priors: Vector) -> Vector:
    """Give the spread per feature, drawn towards the usual one while the baseline is young."""
    own = np.nan_to_num(np.asarray(normal.spread))
    weight = normal.count / (normal.count + _PRIOR_WEIGHT)
    blended = np.sqrt(weight * own**2 + (1 - weight) * priors**2)
    # A spread of nearly nothing (a quiet half minute) must not make a giant of the next breeze.
    return np.asarray(np.maximum(blended, 0.3 * priors) * np.sqrt(1 + 1.5 / max(normal.count, 1)))


def distance(normal: Normal | None, vector: Vector, priors: Vector) -> Vector:
    """Give how far each feature lies from the baseline, in spreads (clipped); NaN without a usable baseline."""
    if normal is None or normal.count < ENOUGH:
        return np.full(vector.shape, np.nan)
    far = (vector - np.asarray(normal.location)) / spread_of(normal, priors)
    return np.asarray(np.clip(far, -_CLIP, _CLIP))
