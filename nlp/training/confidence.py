"""Fit the weights of the confidence: `python -m nlp.training.confidence`.

Generated reports say how the signs of a reading bear on its codes being right. The level is set apart, by
what a first reading of unseen reports reached. Prints the weights; `nlp/confidence.py` holds them.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import astuple, fields
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from gateway.core.asset import Plant, Site
from gateway.core.report import QualityReport
from nlp.confidence import Signs
from nlp.interpret import open_interpreter, signs_of
from nlp.training.generator import Generator

_AT = datetime(2026, 5, 13, 9, 30, tzinfo=UTC)
_SEED = 29
_RIDGE = 2.0
_ROUNDS = 30


def examples(count: int, seed: int = _SEED) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Signs (count, signs) of generated reports, and whether their codes were read right (count,)."""
    generator, plant = Generator(seed, noise=0.2), Plant(Site(), ())
    rows, right = [], []
    for made in generator.reports(count):
        report = QualityReport(id="x", text=made.text, reported_at=_AT)
        signs, got = signs_of(report, plant, None)
        wanted = {code.partition(":")[2] for code in made.codes if code.startswith(("failure_modes", "defects"))}
        rows.append(astuple(signs))
        right.append(wanted == {*got.failure_modes, *got.defects})
    return np.asarray(rows, np.float64), np.asarray(right, np.float64)


def fit(rows: NDArray[np.float64], right: NDArray[np.float64]) -> NDArray[np.float64]:
    """Weights (signs + 1,) of a ridge logistic by Newton's method; the last is the level."""
    full = np.hstack([rows, np.ones((len(rows), 1))])
    weights = np.zeros(full.shape[1])
    ridge = np.diag([_RIDGE] * rows.shape[1] + [1e-6])
    for _ in range(_ROUNDS):
        chance = 1 / (1 + np.exp(-full @ weights))
        slope = full.T @ (right - chance) - ridge @ weights
        curve = (full * (chance * (1 - chance))[:, None]).T @ full + ridge
        weights += np.linalg.solve(curve, slope)
    return weights


def main(arguments: Sequence[str]) -> None:
    """Fit and print."""
    parser = argparse.ArgumentParser(prog="nlp.training.confidence", description=__doc__)
    parser.add_argument("--count", type=int, default=3000)
    given = parser.parse_args(arguments)
    open_interpreter("lite")
    rows, right = examples(given.count)
    weights = fit(rows, right)
    for field, weight in zip([*(field.name for field in fields(Signs)), "level"], weights, strict=True):
        sys.stdout.write(f"{field:16s} {weight:+.2f}\n")
    sys.stdout.write(f"codes right in {right.mean():.3f} of {len(right)} generated reports\n")


if __name__ == "__main__":
    main(sys.argv[1:])
