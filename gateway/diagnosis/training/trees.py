"""Fitting the trees, and calibrating them on rigs that they have not seen."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import xgboost
from scipy.optimize import minimize

from gateway.core.diagnosis import Fault
from gateway.core.errors import Refused
from gateway.diagnosis.fusion import FAULTS, VELOCITY, Calibration, margins_of, novelty_of, probabilities_of, weigh
from gateway.diagnosis.training.physics import constraints_of
from gateway.diagnosis.training.rows import Table, weights_of

Matrix = npt.NDArray[np.float64]

_COVERAGE = 0.9
_SETTINGS = {
    "tree_method": "hist",
    "max_bin": 64,
    "max_depth": 3,
    "eta": 0.12,
    "subsample": 0.6,
    "colsample_bynode": 0.35,
    "min_child_weight": 8,
    "reg_lambda": 4.0,
    "nthread": 1,
}
_WEAKEST = 0.15  # below this severity a defect is a healthy machine to every eye: not counted in the sets


Trees = tuple[xgboost.Booster, ...]


def fit_trees(table: Table, columns: Sequence[str], seed: int, rounds: int) -> Trees:
    """Fit one classifier per fault against the rest: depth 3, monotone in its physical scores."""
    data = xgboost.QuantileDMatrix(table.rows, max_bin=64, weight=weights_of(table))
    data.set_info(feature_weights=_heard(columns))
    fitted = []
    for one, fault in enumerate(FAULTS):
        data.set_label((table.labels == one).astype(np.float32))
        settings = _SETTINGS | {
            "objective": "binary:logistic",
            "monotone_constraints": constraints_of(fault, columns),
            "seed": seed,
        }
        fitted.append(xgboost.train(settings, data, rounds))
    return tuple(fitted)


def _heard(columns: Sequence[str]) -> npt.NDArray[np.float32]:
    """Absolute velocity is not for the trees: the simulated sensors are off by up to ten times, real ones are not."""
    return np.array([0.0 if column == VELOCITY else 1.0 for column in columns], np.float32)


def fit_severity(table: Table, columns: Sequence[str], seed: int, rounds: int) -> xgboost.Booster:
    """Fit the severity (0..1) of the windows that have a fault."""
    sick = table.labels != FAULTS.index(Fault.HEALTHY)
    data = xgboost.QuantileDMatrix(table.rows[sick], table.severity[sick], max_bin=64)
    data.set_info(feature_weights=_heard(columns))
    return xgboost.train(_SETTINGS | {"objective": "reg:logistic", "seed": seed}, data, rounds)


def folds_of(groups: npt.NDArray[np.str_], count: int) -> list[tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]]:
    """Split by group into (train, test) masks."""
    names = sorted(set(groups.tolist()))
    return [split(groups, set(names[one::count])) for one in range(min(count, len(names)))]


def split(groups: npt.NDArray[np.str_], held: set[str]) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Give (train, test) masks with the held groups on the test side."""
    test = np.isin(groups, sorted(held))
    refuse_leak(groups[~test].tolist(), groups[test].tolist())
    return ~test, test


def refuse_leak(trained: Sequence[str], tested: Sequence[str]) -> None:
    """Raise `Refused` when a rig stands on both sides of an evaluation, or a side is empty."""
    both = sorted(set(trained) & set(tested))
    if both:
        raise Refused(f"rigs on both sides of the evaluation: {', '.join(both[:5])}")
    if not trained or not tested:
        raise Refused("an evaluation needs rigs on both sides")


def unseen_margins(table: Table, columns: Sequence[str], seed: int, rounds: int, folds: int) -> Matrix:
    """Give each row's margins by trees that saw nothing of its rig."""
    margins = np.zeros((len(table.labels), len(FAULTS)))
    for train, test in folds_of(table.groups, folds):
        trees = fit_trees(table.where(train), columns, seed, rounds)
        rows = table.rows[test]
        margins[test] = weigh(margins_of(trees, rows), rows.astype(np.float64), columns)
    return margins


def calibrate(margins: Matrix, table: Table, columns: Sequence[str]) -> Calibration:
    """Fit temperature and bias, and set each fault's floor, on margins of unseen rigs."""
    weight = weights_of(table)

    def loss(parameters: Matrix) -> float:
        scaled = margins / np.exp(parameters[0]) + np.concatenate([[0.0], parameters[1:]])
        top = scaled.max(axis=1, keepdims=True)
        norm = top[:, 0] + np.log(np.exp(scaled - top).sum(axis=1))
        return float(np.average(norm - scaled[np.arange(len(norm)), table.labels], weights=weight)) + 1e-3 * float(
            (parameters**2).sum()
        )

    found = minimize(loss, np.zeros(len(FAULTS)), method="L-BFGS-B").x
    fitted = Calibration(
        faults=tuple(str(fault) for fault in FAULTS),
        columns=tuple(columns),
        temperature=float(np.exp(found[0])),
        bias=(0.0, *(float(b) for b in found[1:])),
        floor=(0.0,) * len(FAULTS),
        novelty=1.0,
    )
    chances = probabilities_of(margins, fitted)
    own = chances[np.arange(len(chances)), table.labels]
    floors = []
    for one in range(len(FAULTS)):
        mine = (table.labels == one) & ((table.severity >= _WEAKEST) | (one == FAULTS.index(Fault.HEALTHY)))
        floors.append(float(np.quantile(own[mine], 1 - _COVERAGE)) if mine.any() else 0.0)
    well = (table.labels == FAULTS.index(Fault.HEALTHY)) & (table.scene == 1)
    far = np.array([novelty_of(row, columns) for row in table.rows[well].astype(np.float64)])
    far = far[~np.isnan(far)]
    return Calibration(
        faults=fitted.faults,
        columns=fitted.columns,
        temperature=fitted.temperature,
        bias=fitted.bias,
        floor=tuple(floors),
        novelty=float(np.quantile(far, 0.995)) if far.size else 8.0,
    )
