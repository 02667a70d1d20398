"""Runs into encoded windows, with the same modalities that serve."""

from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

from gateway.core.diagnosis import Fault
from gateway.core.ports import Modality
from gateway.diagnosis.process import Process
from gateway.diagnosis.training.runs import examples_of
from gateway.diagnosis.vibration import Vibration

_CHUNK = 16


@dataclass(frozen=True, slots=True)
class Encoded:
    """One window as vectors, in the order of the modalities; `number` counts within the run."""

    vectors: tuple[list[float] | None, ...]
    fault: Fault
    severity: float
    rig: str
    run: str
    number: int
    baseline: bool


def encode_numbers(path: Path) -> list[Encoded]:
    """Encode one run's vibration and process values (what needs no trained model)."""
    examples = list(examples_of(path))
    windows, assets = [e.window for e in examples], [e.asset for e in examples]
    vibration, process = Vibration().encode(windows, assets), Process().encode(windows, assets)
    return [
        Encoded((v, p), e.fault, e.severity, e.rig, e.run, number, e.baseline)
        for number, (e, v, p) in enumerate(zip(examples, vibration, process, strict=True))
    ]


def encode_all(paths: Sequence[Path], workers: int) -> list[list[Encoded]]:
    """Encode runs in processes of their own; one list per run, in order."""
    if workers <= 1:
        return [encode_numbers(path) for path in paths]
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        return list(pool.map(encode_numbers, paths, chunksize=_CHUNK))


def encode_with(modality: Modality, paths: Sequence[Path]) -> list[list[list[float] | None]]:
    """Encode runs with a modality that holds a model; one list of vectors per run."""
    answers = []
    for path in paths:
        examples = list(examples_of(path))
        answers.append(modality.encode([e.window for e in examples], [e.asset for e in examples]))
    return answers
