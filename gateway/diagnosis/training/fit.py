"""Training: runs in, a bundle's diagnosis parts out, measured on rigs that it has not seen."""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from multiprocessing import get_context
from pathlib import Path

import msgspec
import torch
from safetensors.torch import save_file

from gateway.core.artifact import put_part, read_manifest, write_manifest
from gateway.core.ports import Modality
from gateway.diagnosis.assemble import Layout, layout_of
from gateway.diagnosis.features import contract_hash
from gateway.diagnosis.fusion import CALIBRATION, FAULTS, SEVERITY, part_of
from gateway.diagnosis.process import Process
from gateway.diagnosis.thermal import PART, HeatNet, Thermal
from gateway.diagnosis.training.encode import Encoded, encode_all, encode_with
from gateway.diagnosis.training.heat import Frames, accuracy, fit_heat, frames_of
from gateway.diagnosis.training.judge import measure
from gateway.diagnosis.training.rows import Table, build
from gateway.diagnosis.training.runs import run_files
from gateway.diagnosis.training.trees import calibrate, fit_severity, fit_trees, refuse_leak, unseen_margins
from gateway.diagnosis.vibration import Vibration

MADE_BY = "andon models train"
_HEAT_FOLDS = 2


@dataclass(frozen=True, slots=True)
class Effort:
    """How much is done: epochs of the thermal network, trees, folds, rows per window, processes."""

    epochs: int = 8
    rounds: int = 220
    folds: int = 5
    repeats: int = 3
    workers: int = 2


QUICK = Effort(epochs=2, rounds=25, folds=2, repeats=1, workers=1)


def fit_bundle(
    runs: Path,
    bundle: Path,
    seed: int,
    *,
    effort: Effort,
    log: Modality | None,
    say: Callable[[str], None],
) -> dict[str, float]:
    """Fit thermal network, trees, severity and calibration; write them with the manifest; give the metrics.

    `log` is the (already fitted) log modality, None to train without. Raises `Refused` when there are
    too few rigs to hold any back.
    """
    torch.set_num_threads(1)
    begun = time.monotonic()
    paths = run_files(runs)
    say(f"{len(paths)} runs: vibration into features")
    encoded = encode_all(paths, effort.workers)
    say(f"{time.monotonic() - begun:.0f} s: thermal network")
    net, heat, heat_metrics = _heat(paths, seed, effort)
    encoded = _with(encoded, heat)
    modalities: list[Modality] = [Vibration(), Process(), Thermal(net)]
    if log is not None:
        say(f"{time.monotonic() - begun:.0f} s: log lines")
        encoded = _with(encoded, encode_with(log, paths))
        modalities.append(log)
    layout = layout_of(modalities)
    place = (0, list(Vibration().names).index("speed_hz"))
    say(f"{time.monotonic() - begun:.0f} s: trees")
    table = build(encoded, layout, place, seed, repeats=effort.repeats)
    metrics = fit_fusion(table, layout, bundle, seed, effort)
    save_file(net.state_dict(), bundle / PART)
    (bundle / PART).chmod(0o644)
    _enter(bundle, PART, heat_metrics, seed)
    _contract(bundle, modalities, layout)
    say(f"{time.monotonic() - begun:.0f} s: done")
    return heat_metrics | metrics


def fit_fusion(table: Table, layout: Layout, bundle: Path, seed: int, effort: Effort) -> dict[str, float]:
    """Fit and calibrate the trees, measure them on unseen rigs, and write the parts."""
    margins = unseen_margins(table, layout.columns, seed, effort.rounds, effort.folds)
    calibration = calibrate(margins, table, layout.columns)
    metrics = measure(margins, table, calibration)
    for fault, trees in zip(FAULTS, fit_trees(table, layout.columns, seed, effort.rounds), strict=True):
        trees.save_model(bundle / part_of(fault))
        _enter(bundle, part_of(fault), {"unseen_recall": metrics[f"recall_{fault}"]}, seed)
    fit_severity(table, layout.columns, seed, effort.rounds).save_model(bundle / SEVERITY)
    _enter(bundle, SEVERITY, {}, seed)
    (bundle / CALIBRATION).write_bytes(msgspec.json.format(msgspec.json.encode(calibration), indent=1))
    _enter(bundle, CALIBRATION, metrics, seed)
    return metrics


def _heat(
    paths: Sequence[Path], seed: int, effort: Effort
) -> tuple[HeatNet, list[list[list[float] | None]], dict[str, float]]:
    """Fit the network, and encode every run by a network that saw nothing of its rig."""
    frames = frames_of(paths)
    rigs = sorted(set(frames.rigs.tolist()))
    held = [set(rigs[one::_HEAT_FOLDS]) for one in range(_HEAT_FOLDS)]
    for test in held:
        refuse_leak(frames.of(test, without=True).rigs.tolist(), frames.of(test).rigs.tolist())
    jobs = [frames, *(frames.of(test, without=True) for test in held)]
    if effort.workers > 1:
        with ProcessPoolExecutor(effort.workers, mp_context=get_context("spawn")) as pool:
            states = list(pool.map(_fit_state, jobs, [seed] * len(jobs), [effort.epochs] * len(jobs)))
    else:
        states = [_fit_state(job, seed, effort.epochs) for job in jobs]
    net, *folds = [_net_of(state) for state in states]
    scores = [accuracy(fold, frames.of(test)) for fold, test in zip(folds, held, strict=True)]
    answers = []
    for path in paths:
        fold = next(fold for fold, test in zip(folds, held, strict=True) if path.stem.split("-")[0] in test)
        answers += encode_with(Thermal(fold), [path])
    return net, answers, {"thermal_balanced_accuracy": sum(scores) / len(scores)}


def _fit_state(frames: Frames, seed: int, epochs: int) -> dict[str, list[float] | torch.Tensor]:
    torch.set_num_threads(1)
    return dict(fit_heat(frames, seed, epochs).state_dict())


def _net_of(state: dict[str, list[float] | torch.Tensor]) -> HeatNet:
    net = HeatNet()
    net.load_state_dict(state)
    net.eval()
    return net


def _with(encoded: Sequence[Sequence[Encoded]], more: Sequence[Sequence[list[float] | None]]) -> list[list[Encoded]]:
    """Append another modality's vectors."""
    return [
        [replace(one, vectors=(*one.vectors, vector)) for one, vector in zip(run, vectors, strict=True)]
        for run, vectors in zip(encoded, more, strict=True)
    ]


def _enter(bundle: Path, part: str, metrics: dict[str, float], seed: int) -> None:
    put_part(bundle, part, MADE_BY, metrics, seed=seed, created_at=datetime.now(UTC).isoformat(timespec="seconds"))


def _contract(bundle: Path, modalities: Sequence[Modality], layout: Layout) -> None:
    """Write the feature contract into the manifest."""
    manifest = read_manifest(bundle)
    features = {m.name: tuple(m.names) for m in modalities} | {"fusion": layout.columns}
    hashes = {
        f"contract_{name}": contract_hash(name, layout.features[place]) for place, name in enumerate(layout.modalities)
    }
    write_manifest(
        bundle,
        msgspec.structs.replace(
            manifest, features={**manifest.features, **features}, notes={**manifest.notes, **hashes}
        ),
    )
