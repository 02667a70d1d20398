"""The diagnoser: every modality, the asset's own baseline, then fusion."""

import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

import msgspec
import numpy as np

from gateway.core.artifact import read_manifest
from gateway.core.asset import Asset, Plant
from gateway.core.capsule import Grounds
from gateway.core.diagnosis import Diagnosis, Fault
from gateway.core.ports import Modality, Verdict
from gateway.core.window import Window
from gateway.diagnosis.assemble import Layout, Vector, layout_of
from gateway.diagnosis.baseline import ENOUGH, Memory
from gateway.diagnosis.explain import grounds_of
from gateway.diagnosis.fusion import open_fusion
from gateway.diagnosis.process import Process
from gateway.diagnosis.thermal import open_thermal
from gateway.diagnosis.vibration import Vibration

_SURE_SPEED = 0.3
_SCHEMA = 1


class Judge(Protocol):
    """Rows in, verdicts out: the trees, or the rule."""

    def verdicts(self, rows: "np.typing.NDArray[np.float64]") -> list[Verdict]:
        """Judge rows of shape (n, columns)."""


class Kept(msgspec.Struct, frozen=True):
    """What `baselines()` gives: `contract` names the features that the numbers stand for."""

    schema: int
    contract: tuple[str, ...]
    memories: dict[str, Memory]


class FusedDiagnoser:
    """A diagnoser (ports `Diagnoser` and `Grounded`) over modalities and a judge."""

    def __init__(self, model: str, plant: Plant, modalities: Sequence[Modality], judge: Judge) -> None:
        self._model, self._plant, self._modalities, self._judge = model, plant, tuple(modalities), judge
        self._layout: Layout = layout_of(self._modalities)
        self._memories: dict[str, Memory] = {}
        self._lock = threading.Lock()

    @property
    def model(self) -> str:
        """The bundle's hash."""
        return self._model

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of what the judge sees, in order."""
        return self._layout.columns

    def diagnose(self, windows: Sequence[Window]) -> list[Diagnosis]:
        """Diagnose windows in order of time; one that cannot be read says so and the others go on."""
        return [seen for seen, _ in self._judged_by_time(windows)]

    def judge(self, windows: Sequence[Window], *, every: bool = False) -> list[tuple[Diagnosis, Grounds | None]]:
        """Diagnose windows, and say of each fault what it was found by: the baseline before the window, the spectra."""
        answers: list[tuple[Diagnosis, Grounds | None]] = []
        for (seen, before), window in zip(self._judged_by_time(windows, every=every), windows, strict=True):
            asset = self._plant.asset(window.asset) or Asset(id=window.asset)
            answers.append((seen, None if before is None else grounds_of(window, asset, before)))
        return answers

    def decide(self, features: bytes) -> Verdict:
        """Give the verdict on a row as `judge` gave it. Raises ValueError when it is not as long as the columns."""
        row = np.frombuffer(features, "<f8")
        if row.size != len(self.columns):
            raise ValueError(f"{row.size} features, these models judge {len(self.columns)}")
        [verdict] = self._judge.verdicts(row[None])
        return verdict

    def _judged_by_time(
        self, windows: Sequence[Window], *, every: bool = False
    ) -> list[tuple[Diagnosis, Grounds | None]]:
        """Give diagnoses; with one of a fault the row that was judged, and the asset's baseline as it was before."""
        assets = [self._plant.asset(window.asset) or Asset(id=window.asset) for window in windows]
        encoded, remarks = self._encode(windows, assets)
        with self._lock:
            answers: dict[int, tuple[Diagnosis, Grounds | None]] = {}
            for place in sorted(range(len(windows)), key=lambda one: windows[one].start):
                answers[place] = self._judged(windows[place], encoded[place], remarks[place], every=every)
        return [answers[place] for place in range(len(windows))]

    def baselines(self) -> bytes:
        """Give all baselines and the recent evidence, as msgpack."""
        with self._lock:
            return self._kept(self._memories)

    def restore(self, baselines: bytes) -> None:
        """Take baselines back; those of other features are forgotten (they are learnt again within a minute)."""
        try:
            kept = msgspec.msgpack.decode(baselines, type=Kept)
        except msgspec.DecodeError:
            return
        if kept.schema == _SCHEMA and kept.contract == self._layout.baseline_names:
            with self._lock:
                self._memories = kept.memories

    def reset(self, asset: str) -> None:
        """Forget what is normal for an asset: after a repair it is another machine."""
        with self._lock:
            before = self._memories.get(asset, Memory(version=0))
            self._memories[asset] = Memory(version=before.version + 1)

    def _encode(
        self, windows: Sequence[Window], assets: Sequence[Asset]
    ) -> tuple[list[list[list[float] | None]], list[list[str]]]:
        """Give per window its vectors by modality, and remarks."""
        vectors: list[list[list[float] | None]] = [[] for _ in windows]
        remarks: list[list[str]] = [[] for _ in windows]
        for modality in self._modalities:
            for place, answer in enumerate(self._by(modality, windows, assets)):
                if isinstance(answer, str):
                    remarks[place].append(f"{modality.name}: {answer}")
                    vectors[place].append(None)
                else:
                    vectors[place].append(answer)
        return vectors, remarks

    @staticmethod
    def _by(modality: Modality, windows: Sequence[Window], assets: Sequence[Asset]) -> list[list[float] | str | None]:
        try:
            return list(modality.encode(windows, assets))
        except Exception as bad:  # noqa: BLE001  (whatever one window does to a model, the others must go on)
            if len(windows) == 1:
                return [f"could not be read ({type(bad).__name__})"]
        alone: list[list[float] | str | None] = []
        for window, asset in zip(windows, assets, strict=True):
            alone += FusedDiagnoser._by(modality, [window], [asset])
        return alone

    def _judged(
        self, window: Window, vectors: Sequence[list[float] | None], remarks: list[str], *, every: bool
    ) -> tuple[Diagnosis, Grounds | None]:
        memory = self._memories.setdefault(window.asset, Memory())
        values = dict(self._values(vectors))
        present = tuple(m.name for m, v in zip(self._modalities, vectors, strict=True) if v is not None)
        if not present:
            return _unknown(window, self._model, (*remarks, "nothing to judge by in this window")), None
        direct, against = self._layout.split(vectors)
        speed = values.get("vibration.speed_hz")
        at = speed if speed is not None else 1.0
        normal = memory.normal_at(at)
        profiles = self._layout.profiles(vectors)
        row = self._layout.row(direct, against, [*memory.lately(window.start, at), profiles], normal)
        [verdict] = self._judge.verdicts(row[None])
        sick = every or (verdict.fault is not None and verdict.fault is not Fault.HEALTHY)
        before = Grounds(self._kept({window.asset: memory}), row.astype("<f8").tobytes()) if sick else None
        memory.note(window.start, at, profiles)
        if max(verdict.probabilities, key=lambda one: verdict.probabilities[one]) == Fault.HEALTHY:
            memory.learn(window.start, at, against)
        elif verdict.fault is not None:
            memory.doubt()
        if normal is None or normal.count < ENOUGH:
            remarks.append("no baseline of this asset at this speed yet")
        remarks += _remarks(window, values, present)
        seen = Diagnosis(
            asset=window.asset,
            start=window.start,
            end=window.end,
            fault=verdict.fault,
            confidence=verdict.confidence,
            anomaly=verdict.anomaly,
            severity=verdict.severity,
            probabilities=verdict.probabilities,
            contributions=verdict.contributions,
            present=present,
            model=self._model,
            speed_rpm=None if speed is None else speed * 60,
            remarks=(*verdict.remarks, *remarks),
            features=_features(values, self._layout.columns, row),
            journal=window.journal,
        )
        return seen, before

    def _kept(self, memories: dict[str, Memory]) -> bytes:
        return msgspec.msgpack.encode(Kept(_SCHEMA, self._layout.baseline_names, memories))

    def _values(self, vectors: Sequence[list[float] | None]) -> list[tuple[str, float]]:
        return [
            (f"{name}.{feature.name}", value)
            for name, features, vector in zip(self._layout.modalities, self._layout.features, vectors, strict=True)
            if vector is not None
            for feature, value in zip(features, vector, strict=True)
            if feature.shown
        ]


def _features(values: Mapping[str, float], columns: Sequence[str], row: Vector) -> dict[str, float | None]:
    """Give what the judge saw, and what only a person reads."""
    seen = dict(values) | dict(zip(columns, row.tolist(), strict=True))
    return {name: None if np.isnan(value) else round(value, 5) for name, value in seen.items()}


def _remarks(window: Window, values: Mapping[str, float], present: Sequence[str]) -> list[str]:
    said = [f"gap in {gap.tag}: {gap.cause}" for gap in window.gaps]
    if "vibration" not in present:
        said.append("no usable waveform")
    elif "vibration.outer_z" in values and np.isnan(values["vibration.outer_z"]):
        said.append("no bearing geometry, or nothing in the signal: bearing orders were not looked for")
    if values.get("vibration.speed_confidence", 1.0) < _SURE_SPEED:
        said.append("speed could not be refined from the signal")
    return said


def _unknown(window: Window, model: str, remarks: tuple[str, ...]) -> Diagnosis:
    return Diagnosis(
        asset=window.asset,
        start=window.start,
        end=window.end,
        fault=None,
        confidence=0.0,
        anomaly=0.0,
        severity=0.0,
        probabilities={},
        model=model,
        remarks=remarks,
        journal=window.journal,
    )


def open_diagnoser(bundle: Path, plant: Plant, modalities: Sequence[Modality] = ()) -> FusedDiagnoser:
    """Load the models of a bundle: vibration, process values, heat, then the given modalities (the log).

    Raises `Misconfigured` when a part is missing, altered, or made for other features.
    """
    every: list[Modality] = [Vibration(), Process(), open_thermal(bundle), *modalities]
    judge = open_fusion(bundle, layout_of(every).columns)
    return FusedDiagnoser(read_manifest(bundle).digest, plant, every, judge)
