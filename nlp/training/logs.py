"""Fitting the log head on what simulated machines logged and on our own wordings; judged on unseen rigs and words."""

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import save_file
from torch.nn import functional as nnf

from gateway.core.artifact import put_part
from gateway.core.diagnosis import Fault
from nlp.encoder import Remembered, open_encoder
from nlp.logs import FAULTS, HEAD_PART, Head, Vectors, sum_lines, unit
from nlp.templates import readable, template

Floats = NDArray[np.float32]
Lines = Counter[tuple[str, int]]  # template and severity
_FOLDS = 5
_BEARING = (Fault.BEARING_OUTER.value, Fault.BEARING_INNER.value, Fault.BEARING_BALL.value)
_WARNING = 4
_DECAY = 2e-3


@dataclass(frozen=True, slots=True)
class Example:
    """A window's lines, the rig they are from ("" for our own wordings) and the share of each fault (faults,)."""

    lines: Lines
    rig: str
    target: Floats


@dataclass(frozen=True, slots=True)
class Book:
    """The vectors of all templates, and their mean."""

    vectors: dict[str, Floats]
    centre: Floats


def fit(runs_dir: Path, bundle: Path, seed: int) -> dict[str, float]:
    """Fit the head on runs, put it into the bundle and give what was measured.

    Runs are the .npz files of the simulators (keys fault, rig, logs, log_levels). The figures are those of folds
    by rig, and by wording: lines whose wording was never met in training. Raises FileNotFoundError without runs.
    """
    encoder = Remembered(open_encoder(bundle))
    runs, own = read_runs(runs_dir), own_wordings()
    if not runs:
        raise FileNotFoundError(f"{runs_dir} holds no runs with log lines")
    book = _book(encoder, [*runs, *own])
    metrics = {**_by_rig(runs, own, book, seed), **_by_wording(runs, own, book)}
    head = _head([*_halved(runs, seed), *own], book)
    path = bundle / HEAD_PART
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({name: getattr(head, name).astype(np.float16) for name in ("weights", "bias", "centre", "known")}, path)
    path.chmod(0o644)
    put_part(bundle, HEAD_PART, "nlp.training.logs", metrics, seed=seed, created_at=datetime.now(UTC).isoformat())
    return metrics


def read_runs(runs_dir: Path) -> list[Example]:
    """Read the runs that logged something."""
    found = []
    for path in sorted(runs_dir.glob("*.npz")):
        with np.load(path) as run:
            texts, levels = run["logs"].tolist(), run["log_levels"].tolist()
            lines = Counter((template(text), int(level)) for text, level in zip(texts, levels, strict=True))
            if lines:
                found.append(Example(lines, str(run["rig"]), _target([str(run["fault"])])))
    return found


def own_wordings() -> list[Example]:
    """Read our own log lines, each a window of its own."""
    found, faults = [], [Fault.HEALTHY.value]
    for line in Path(__file__).with_name("loglines.txt").read_text("utf-8").splitlines():
        if line.startswith("["):
            faults = line[1:-1].split()
        elif line and not line.startswith("#"):
            severity, _, text = line.partition(" ")
            found.append(Example(Counter({(template(text), int(severity)): 1}), "", _target(faults)))
    return found


def _target(faults: Sequence[str]) -> Floats:
    target = np.zeros(len(FAULTS), np.float32)
    target[[FAULTS.index(fault) for fault in faults]] = 1 / len(faults)
    return target


def _book(encoder: Vectors, examples: Sequence[Example]) -> Book:
    masked = sorted({text for one in examples for text, _ in one.lines})
    found = encoder.vectors([readable(text) for text in masked])
    return Book(dict(zip(masked, found, strict=True)), found.mean(0))


def _halved(examples: Sequence[Example], seed: int) -> list[Example]:
    """Windows are shorter than runs: add a random half of each run's lines."""
    chance = random.Random(seed)  # noqa: S311 - reproducible choice, no secret
    halves = []
    for one in examples:
        lines = Counter({key: count for key, count in one.lines.items() if chance.random() < 1 / 2})
        if lines:
            halves.append(Example(lines, one.rig, one.target))
    return [*examples, *halves]


def _matrix(examples: Sequence[Example], book: Book) -> torch.Tensor:
    return torch.from_numpy(np.stack([sum_lines(one.lines, book.vectors, book.centre) for one in examples]))


def _head(examples: Sequence[Example], book: Book) -> Head:
    """Fit a multinomial logistic regression with every fault equally heavy."""
    inputs = _matrix(examples, book)
    targets = torch.from_numpy(np.stack([one.target for one in examples]))
    share = targets.sum(0)
    heavy = (targets / share.clamp(min=1e-6)).sum(1)
    heavy = heavy / heavy.mean()
    weights = torch.zeros(len(FAULTS), inputs.shape[1], requires_grad=True)
    bias = torch.zeros(len(FAULTS), requires_grad=True)
    optimiser = torch.optim.LBFGS([weights, bias], max_iter=200, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        optimiser.zero_grad()
        logits = inputs @ weights.T + bias
        value = -(heavy * (targets * nnf.log_softmax(logits, -1)).sum(1)).mean() + _DECAY * weights.square().sum()
        value.backward()
        return value

    optimiser.step(loss)
    known = unit(np.stack(list(book.vectors.values())) - book.centre)
    return Head(weights.detach().numpy(), bias.detach().numpy(), book.centre, known)


def _by_rig(runs: Sequence[Example], own: Sequence[Example], book: Book, seed: int) -> dict[str, float]:
    """Folds by rig, on windows with a warning; all three bearing faults are one: a log cannot tell them apart."""
    rigs = sorted({one.rig for one in runs})
    tested: list[Example] = []
    said: list[Floats] = []
    for fold in range(min(_FOLDS, len(rigs))):
        held = set(rigs[fold::_FOLDS])
        head = _head([*_halved([one for one in runs if one.rig not in held], seed), *own], book)
        test = [one for one in runs if one.rig in held]
        tested += test
        said += [head.evidence(row) for row in _matrix(test, book).numpy()]
    loud = [at for at, one in enumerate(tested) if any(level <= _WARNING for _, level in one.lines)]
    return {
        "rig_anomaly_auroc": _auroc(tested, said),
        "rig_warned_accuracy": _accuracy([tested[at] for at in loud], [said[at] for at in loud]),
        "rig_warned_share": len(loud) / len(tested),
    }


def _by_wording(runs: Sequence[Example], own: Sequence[Example], book: Book) -> dict[str, float]:
    """Folds by template among the runs' complaints: each is judged by a head that never met its wording."""
    templates = sorted({text for one in runs for text, level in one.lines if level <= _WARNING})
    tested: list[Example] = []
    said: list[Floats] = []
    for fold in range(_FOLDS):
        held = set(templates[fold::_FOLDS])
        train = [Example(_part(one.lines, held, keep=False), one.rig, one.target) for one in runs]
        head = _head([*(one for one in train if one.lines), *own], book)
        test = [Example(_part(one.lines, held, keep=True), one.rig, one.target) for one in runs]
        test = [one for one in test if one.lines]
        if test:
            tested += test
            said += [head.evidence(row) for row in _matrix(test, book).numpy()]
    return {"wording_anomaly_auroc": _auroc(tested, said), "wording_accuracy": _accuracy(tested, said)}


def _part(lines: Lines, held: set[str], *, keep: bool) -> Lines:
    return Counter({key: count for key, count in lines.items() if (key[0] in held) == keep})


def _accuracy(examples: Sequence[Example], said: Sequence[Floats]) -> float:
    """Mean over the conditions of how many are named right."""
    right: dict[str, list[bool]] = {}
    for one, evidence in zip(examples, said, strict=True):
        truth = _merged(FAULTS[int(one.target.argmax())])
        right.setdefault(truth, []).append(_merged(FAULTS[int(evidence.argmax())]) == truth)
    return float(np.mean([np.mean(hits) for hits in right.values()])) if right else 0.0


def _merged(fault: str) -> str:
    return "bearing" if fault in _BEARING else fault


def _auroc(examples: Sequence[Example], said: Sequence[Floats]) -> float:
    healthy = FAULTS.index(Fault.HEALTHY.value)
    scores = np.array([-evidence[healthy] for evidence in said])
    truth = np.array([one.target[healthy] < 1 for one in examples])
    if truth.all() or not truth.any():
        return 0.0
    good, bad = scores[~truth], scores[truth]
    wins = (bad[:, None] > good[None, :]).mean() + 0.5 * (bad[:, None] == good[None, :]).mean()
    return float(wins)
