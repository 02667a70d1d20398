"""Fusion: gradient-boosted trees over all features, calibrated, with sets and contributions."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt
import xgboost

from gateway.core.artifact import open_part
from gateway.core.diagnosis import Contribution, Fault
from gateway.core.errors import Misconfigured
from gateway.core.ports import Verdict

SEVERITY = "severity.ubj"
CALIBRATION = "calibration.json"

FAULTS: tuple[Fault, ...] = tuple(Fault)
FAMILIES: dict[Fault, str] = {
    fault: "bearing" if fault in {Fault.BEARING_OUTER, Fault.BEARING_INNER, Fault.BEARING_BALL} else str(fault)
    for fault in FAULTS
}
SURE = 0.5  # a family below this is "don't know"
VELOCITY = "vibration.velocity"
ZONE_A_MM_S = 0.71
CAGE_QUIET = 4.0  # about what one healthy simulated run in a hundred exceeds; chosen beside real ball faults
_CLEAR = 0.7  # a family from this on stands, whatever else the set holds

Vector = npt.NDArray[np.float64]
Matrix = npt.NDArray[np.float64]


def part_of(fault: Fault) -> str:
    """Name the bundle's part with the trees that tell one fault from all else."""
    return f"fusion-{fault}.ubj"


class Calibration(msgspec.Struct, frozen=True, kw_only=True):
    """What turns margins into probabilities: p = softmax(margin / temperature + bias).

    Fitted on rigs that the trees had not seen. `floor` is, per fault, the probability that nine in ten
    true windows of it reach: the conformal set holds every fault at or above its floor. `novelty` is
    the distance from the baseline that 1 in 200 healthy windows of such rigs exceeds.
    """

    faults: tuple[str, ...]
    columns: tuple[str, ...]
    temperature: float
    bias: tuple[float, ...]
    floor: tuple[float, ...]
    novelty: float


def weigh(margins: Matrix, rows: Matrix, columns: Sequence[str]) -> Matrix:
    """Add to the trees' margins (n, faults) what physics knows and the training rigs cannot teach.

    Shaft faults are lowered on a machine that hardly moves (ISO 20816-3: below zone A none is worth the
    name), unless its own baseline says that it used to move less. A cage that is heard window after
    window speaks for a rolling element, as long as neither ring is heard more.
    """

    def column(name: str) -> Vector:
        return np.asarray(rows[:, columns.index(name)], dtype=np.float64)

    weighed = margins.copy()
    grown = column(VELOCITY + "~") > 3  # noqa: PLR2004 -- three spreads: it did grow
    still = np.minimum(column(VELOCITY) - np.log(ZONE_A_MM_S), 0) * 2
    still = np.where(np.isnan(still) | grown, 0, still)
    for fault in (Fault.IMBALANCE, Fault.MISALIGNMENT, Fault.LOOSENESS):
        weighed[:, FAULTS.index(fault)] += still
    cage, outer, inner = (np.nan_to_num(column(f"vibration.{part}_z+")) for part in ("cage", "outer", "inner"))
    heard = np.where(cage > np.maximum(outer, inner), np.clip((cage - CAGE_QUIET) / 2, 0, 2.5), 0)
    weighed[:, FAULTS.index(Fault.BEARING_BALL)] += heard
    return weighed


def probabilities_of(margins: Matrix, calibration: Calibration) -> Matrix:
    """Turn margins (n, faults), weighed, into calibrated probabilities."""
    scaled = margins / calibration.temperature + np.asarray(calibration.bias)
    scaled -= scaled.max(axis=1, keepdims=True)
    weights = np.exp(scaled)
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))


def novelty_of(row: Vector, columns: Sequence[str]) -> float:
    """Give how far a window lies from its asset's baseline: the root mean square of the five largest distances."""
    places = [i for i, name in enumerate(columns) if name.endswith("~") and not name.endswith("+~")]
    far = np.abs(row[places])
    far = np.sort(far[~np.isnan(far)])[-5:]
    return float(np.sqrt(np.mean(far**2))) if far.size else float("nan")


def margins_of(trees: Sequence[xgboost.Booster], data: npt.NDArray[np.float32]) -> Matrix:
    """Give each fault's log-odds against the rest: (n, faults)."""
    return np.stack([one.inplace_predict(data, predict_type="margin") for one in trees], axis=1).astype(np.float64)


@dataclass(frozen=True, slots=True)
class Fusion:
    """Trees per fault (it against the rest) and their calibration. `verdicts` may be called from several threads."""

    trees: tuple[xgboost.Booster, ...]
    severity: xgboost.Booster
    calibration: Calibration

    def verdicts(self, rows: Matrix) -> list[Verdict]:
        """Judge rows of shape (n, columns)."""
        if rows.shape[0] == 0:
            return []
        data = np.asarray(rows, dtype=np.float32)
        margins = weigh(margins_of(self.trees, data), np.asarray(rows), self.calibration.columns)
        chances = probabilities_of(margins, self.calibration)
        grades = np.clip(self.severity.inplace_predict(data), 0, 1)
        return [
            self._verdict(row, chance, float(grade)) for row, chance, grade in zip(rows, chances, grades, strict=True)
        ]

    def _verdict(self, row: Vector, chances: Vector, grade: float) -> Verdict:
        fault, confidence, remarks = decide(chances, self.calibration.floor)
        novelty = novelty_of(row, self.calibration.columns)
        odd = 0.0 if np.isnan(novelty) else float(1 / (1 + np.exp(-4 * (novelty / self.calibration.novelty - 1))))
        sick = 1 - float(chances[FAULTS.index(Fault.HEALTHY)])
        if fault is Fault.HEALTHY and odd > 0.9:  # noqa: PLR2004 -- far outside the baseline, and no fault fits
            fault, remarks = None, (*remarks, "unlike this asset's baseline, and no known fault fits")
        judged = int(np.argmax(chances)) if fault is None else FAULTS.index(fault)
        said = self.trees[judged].predict(xgboost.DMatrix(row[None].astype(np.float32)), pred_contribs=True)[0]
        return Verdict(
            fault=fault,
            confidence=confidence,
            anomaly=max(sick, odd if fault is None else 0.0),
            severity=grade * sick,
            probabilities={str(one): float(p) for one, p in zip(FAULTS, chances, strict=True)},
            contributions=contributions_of(said, row, self.calibration.columns),
            remarks=remarks,
        )


def decide(chances: Vector, floors: Sequence[float]) -> tuple[Fault | None, float, tuple[str, ...]]:
    """Give the fault (None: don't know), its confidence and remarks.

    The confidence is that of the fault's family: whether the outer or the inner ring is damaged does not
    change that the bearing must be replaced. A family wins with most of the probability, unless the
    conformal set also holds another family and the lead is small.
    """
    families: dict[str, float] = {}
    for one, p in zip(FAULTS, chances, strict=True):
        families[FAMILIES[one]] = families.get(FAMILIES[one], 0.0) + float(p)
    best = max(families, key=lambda family: families[family])
    members = [i for i, one in enumerate(FAULTS) if FAMILIES[one] == best]
    top = max(members, key=lambda i: float(chances[i]))
    confidence = families[best]
    others = {FAMILIES[FAULTS[i]] for i, p in enumerate(chances) if p >= floors[i]} - {best}
    if confidence < SURE or (others and confidence < _CLEAR and max(families[o] for o in others) > confidence / 2):
        return None, confidence, ("don't know: a person should look",)
    share = float(chances[top]) / confidence
    if len(members) > 1 and share < 0.6:  # noqa: PLR2004 -- hardly more than the next one
        parts = ", ".join(f"{FAULTS[i]} {float(chances[i]):.2f}" for i in members)
        return FAULTS[top], confidence, (f"which part of the bearing is not sure: {parts}",)
    return FAULTS[top], confidence, ()


def contributions_of(said: Vector, row: Vector, columns: Sequence[str]) -> tuple[Contribution, ...]:
    """Sum the trees' contributions (log-odds) per modality, with the feature that spoke loudest; largest first."""
    sums: dict[str, float] = {}
    loudest: dict[str, tuple[float, str, float]] = {}
    for weight, value, column in zip(said[:-1].tolist(), row.tolist(), columns, strict=True):
        modality, _, feature = column.partition(".")
        sums[modality] = sums.get(modality, 0.0) + weight
        if abs(weight) > abs(loudest.get(modality, (0.0, "", 0.0))[0]):
            loudest[modality] = (weight, feature, value)
    return tuple(
        Contribution(modality, round(weight, 4), *_named(loudest.get(modality)))
        for modality, weight in sorted(sums.items(), key=lambda item: -abs(item[1]))
    )


def _named(loud: tuple[float, str, float] | None) -> tuple[str, float | None]:
    return ("", None) if loud is None else (loud[1], None if np.isnan(loud[2]) else loud[2])


def open_fusion(bundle: Path, columns: Sequence[str]) -> Fusion:
    """Load the trees. Raises `Misconfigured` when a part is missing or altered, or the columns differ."""
    calibration = read_calibration(open_part(bundle, CALIBRATION))
    if calibration.columns != tuple(columns) or calibration.faults != tuple(FAULTS):
        odd = sorted(set(calibration.columns) ^ set(columns))
        raise Misconfigured(f"{bundle}: the trees were trained on other features: {', '.join(odd[:8]) or 'order'}")
    trees = tuple(_booster(open_part(bundle, part_of(fault))) for fault in FAULTS)
    return Fusion(trees, _booster(open_part(bundle, SEVERITY)), calibration)


def read_calibration(path: Path) -> Calibration:
    """Read a calibration. Raises `Misconfigured`."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Calibration)
    except msgspec.DecodeError as bad:
        raise Misconfigured(f"{path}: {bad}") from bad


def _booster(path: Path) -> xgboost.Booster:
    booster = xgboost.Booster({"nthread": 1})
    try:
        booster.load_model(path)
    except xgboost.core.XGBoostError as bad:
        raise Misconfigured(f"{path}: not a model that this version reads") from bad
    return booster
