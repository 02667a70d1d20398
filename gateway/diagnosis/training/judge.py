"""What is measured about a trained bundle: on rigs that it has not seen."""

from collections import defaultdict

import numpy as np
import numpy.typing as npt

from gateway.core.diagnosis import Fault
from gateway.diagnosis.fusion import FAMILIES, FAULTS, Calibration, decide, probabilities_of
from gateway.diagnosis.training.rows import Table

Matrix = npt.NDArray[np.float64]

CLEAR = 0.3  # from this severity on a defect should be found
_FAMILY = np.array([sorted(set(FAMILIES.values())).index(FAMILIES[fault]) for fault in FAULTS])
_WELL = FAULTS.index(Fault.HEALTHY)


def measure(margins: Matrix, table: Table, calibration: Calibration) -> dict[str, float]:
    """Give accuracies, false alarms, calibration error and coverage, windows and runs, on unseen rigs.

    Only windows that are healthy or have a defect of severity `CLEAR` or more count for accuracy.
    """
    chances = probabilities_of(margins, calibration)
    guesses = chances.argmax(axis=1)
    clear = (table.severity >= CLEAR) | (table.labels == _WELL)
    hit = guesses == table.labels
    same = _FAMILY[guesses] == _FAMILY[table.labels]
    own = chances[np.arange(len(chances)), table.labels]
    sets = chances >= np.asarray(calibration.floor)
    found: dict[str, float] = {
        "window_accuracy": _mean(hit[clear]),
        "window_macro_recall": _macro(hit, table.labels, clear),
        "family_macro_recall": _macro(same, _FAMILY[table.labels], clear),
        "with_baseline_macro_recall": _macro(hit, table.labels, clear & (table.scene == 1)),
        "without_baseline_macro_recall": _macro(hit, table.labels, clear & (table.scene == 0)),
        "expected_calibration_error": _calibration_error(chances, hit),
        "set_coverage": _mean((own >= np.asarray(calibration.floor)[table.labels])[clear]),
        "set_size": float(sets.sum(axis=1)[clear].mean()),
    }
    for one, fault in enumerate(FAULTS):
        found[f"recall_{fault}"] = _mean(hit[clear & (table.labels == one)])
    return found | _by_run(chances, table, calibration)


def _by_run(chances: Matrix, table: Table, calibration: Calibration) -> dict[str, float]:
    """Share of runs in which three windows or more agree on a family, as an episode would need."""
    votes: dict[tuple[str, int], list[str | None]] = defaultdict(list)
    truth: dict[tuple[str, int], tuple[str, float]] = {}
    for place, name in enumerate(table.runs.tolist()):
        fault, confidence, _ = decide(chances[place], calibration.floor)
        key = (name, int(table.turn[place]))
        votes[key].append(FAMILIES[fault] if fault is not None and confidence >= 0.6 else None)  # noqa: PLR2004
        truth[key] = (FAMILIES[FAULTS[table.labels[place]]], float(table.severity[place]))
    alarms, found = [], []
    for key, said in votes.items():
        family, severity = truth[key]
        agreed = {one for one in set(said) - {None} if said.count(one) >= 3}  # noqa: PLR2004 -- three of five
        if family == str(Fault.HEALTHY):
            alarms.append(bool(agreed - {family}))
        elif severity >= CLEAR:
            found.append(family in agreed)
    return {"run_false_alarms": float(np.mean(alarms)), "run_found": float(np.mean(found))}


def _mean(values: npt.NDArray[np.bool_]) -> float:
    return float(values.mean()) if values.size else float("nan")


def _macro(hit: npt.NDArray[np.bool_], labels: npt.NDArray[np.int64], keep: npt.NDArray[np.bool_]) -> float:
    return float(np.mean([_mean(hit[keep & (labels == one)]) for one in np.unique(labels[keep])]))


def _calibration_error(chances: Matrix, hit: npt.NDArray[np.bool_]) -> float:
    """Expected calibration error over ten bins of the top probability."""
    top = chances.max(axis=1)
    bins = np.minimum((top * 10).astype(int), 9)
    return float(sum((bins == b).mean() * abs(hit[bins == b].mean() - top[bins == b].mean()) for b in np.unique(bins)))
