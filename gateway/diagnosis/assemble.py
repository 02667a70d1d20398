"""The row that fusion sees: direct features, distances from the baseline, and evidence summed over windows."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from gateway.core.ports import Modality
from gateway.diagnosis.baseline import ENOUGH, Normal, distance, spread_of
from gateway.diagnosis.cyclic import PARTS, SLIPS
from gateway.diagnosis.features import Feature

Vector = npt.NDArray[np.float64]

SUMMED = tuple(f"{part}_z" for part in PARTS)
_CLIP = 40.0


@runtime_checkable
class Described(Protocol):
    """A modality that says how its features may be used."""

    @property
    def features(self) -> Sequence[Feature]:
        """The features in order."""


def features_of_modality(modality: Modality) -> tuple[Feature, ...]:
    """Give a modality's features; one that says nothing of their use has them all taken as they are."""
    if isinstance(modality, Described):
        return tuple(modality.features)
    return tuple(Feature(name, "") for name in modality.names)


@dataclass(frozen=True, slots=True)
class Layout:
    """Where everything stands: columns of fusion, and the slice of them that stands against the baseline."""

    modalities: tuple[str, ...]
    features: tuple[tuple[Feature, ...], ...]

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of fusion's columns: `modality.feature`, with `~` against the baseline, `+` summed over windows."""
        direct = [f"{m}.{f.name}" for m, fs in self._pairs() for f in fs if f.direct]
        against = [f"{m}.{f.name}~" for m, fs in self._pairs() for f in fs if f.against]
        summed = [f"vibration.{name}+" for name in SUMMED] + [f"vibration.{name}+~" for name in SUMMED]
        return (*direct, *against, *summed)

    @property
    def baseline_names(self) -> tuple[str, ...]:
        """The features that a baseline holds."""
        return tuple(f"{m}.{f.name}" for m, fs in self._pairs() for f in fs if f.against)

    @property
    def priors(self) -> Vector:
        """The usual spreads of the features that a baseline holds."""
        return np.array([f.prior for _, fs in self._pairs() for f in fs if f.against])

    def _pairs(self) -> list[tuple[str, tuple[Feature, ...]]]:
        return list(zip(self.modalities, self.features, strict=True))

    def split(self, vectors: Sequence[Sequence[float] | None]) -> tuple[Vector, Vector]:
        """Give (direct features, features that a baseline holds) of one window; NaN for a modality that is away."""
        direct: list[float] = []
        against: list[float] = []
        for features, vector in zip(self.features, vectors, strict=True):
            values = [float("nan")] * len(features) if vector is None else vector
            for feature, value in zip(features, values, strict=True):
                if feature.direct:
                    direct.append(value)
                if feature.against:
                    against.append(value)
        return np.array(direct), np.array(against)

    def profiles(self, vectors: Sequence[Sequence[float] | None]) -> Vector:
        """Pick the evidence that is summed over windows: a profile per part, one after the other; NaN when away."""
        place = self.modalities.index("vibration")
        vector = vectors[place]
        size = len(PARTS) * SLIPS
        return np.full(size, np.nan) if vector is None else np.asarray(vector[-size:], dtype=np.float64)

    def row(self, direct: Vector, against: Vector, profiles: Sequence[Vector], normal: Normal | None) -> Vector:
        """Build fusion's row. `profiles` are those of the windows before this one and, last, its own."""
        sums, sums_against = self._sums(profiles, normal)
        return np.concatenate([direct, distance(normal, against, self.priors), sums, sums_against])

    def _sums(self, profiles: Sequence[Vector], normal: Normal | None) -> tuple[Vector, Vector]:
        """Mean profile times root of the count: noise keeps its size, what is steady grows."""
        table = np.asarray(profiles)
        table = table[~np.isnan(table).any(axis=1)]
        nothing = np.full(len(SUMMED), np.nan)
        if table.shape[0] == 0 or np.isnan(profiles[-1]).any():
            return nothing, nothing
        root = float(np.sqrt(table.shape[0]))
        sums = np.clip(table.mean(axis=0).reshape(len(PARTS), SLIPS).max(axis=1) * root, -_CLIP, _CLIP)
        if normal is None or normal.count < ENOUGH:
            return sums, nothing
        places = [self.baseline_names.index(f"vibration.{name}") for name in SUMMED]
        location = np.asarray(normal.location)[places]
        spread = spread_of(normal, self.priors)[places]
        return sums, np.clip((sums - location * root) / spread, -_CLIP, _CLIP)


def layout_of(modalities: Sequence[Modality]) -> Layout:
    """Lay out the columns for these modalities, in this order."""
    return Layout(tuple(m.name for m in modalities), tuple(features_of_modality(m) for m in modalities))
