"""The ports of what finds out: evidence into numbers, windows into diagnoses, words into meaning."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import msgspec

from gateway.core.asset import Asset, Plant
from gateway.core.capsule import Grounds
from gateway.core.diagnosis import Contribution, Diagnosis, Fault
from gateway.core.report import Extraction, QualityReport
from gateway.core.window import Window


class Modality(Protocol):
    """One kind of evidence turned into numbers.

    `encode` runs in an executor thread, is safe to call from several, and gives one vector per window,
    in order. A window without this kind of evidence gives None, never invented numbers. `names` is the
    feature contract: as long as each vector.
    """

    @property
    def name(self) -> str: ...

    @property
    def names(self) -> Sequence[str]: ...

    def encode(self, windows: Sequence[Window], assets: Sequence[Asset]) -> list[list[float] | None]: ...


class Verdict(msgspec.Struct, frozen=True):
    """What fusion says of one window: a diagnosis without time and place."""

    fault: Fault | None
    confidence: float
    anomaly: float
    severity: float
    probabilities: dict[str, float]
    contributions: tuple[Contribution, ...] = ()
    remarks: tuple[str, ...] = ()


class Diagnoser(Protocol):
    """Windows in, diagnoses out: every modality, then fusion.

    Runs in an executor thread; one bad window fails alone (its diagnosis says so in `remarks` and has
    no fault). Holds each asset's own baseline; `reset(asset)` forgets it after a repair.
    """

    @property
    def model(self) -> str: ...

    def diagnose(self, windows: Sequence[Window]) -> list[Diagnosis]: ...

    def baselines(self) -> bytes: ...

    def restore(self, baselines: bytes) -> None: ...

    def reset(self, asset: str) -> None: ...


@runtime_checkable
class Grounded(Protocol):
    """A diagnoser that also says what it stood on: with the grounds and the window alone the same comes out again.

    `judge` is `diagnose`, and gives with each diagnosis of a fault its `Grounds`; None with the others, unless `every`
    one is asked for. `decide` gives the verdict on features as grounds hold them, from their numbers alone; it raises
    ValueError for others.
    """

    def judge(self, windows: Sequence[Window], *, every: bool = False) -> list[tuple[Diagnosis, Grounds | None]]: ...

    def decide(self, features: bytes) -> Verdict: ...


class Interpreter(Protocol):
    """Reads a quality report: intent, slots with spans, normalised values. Pure; runs in an executor.

    Never raises on a text: what it cannot understand gets the route `review` with a reason.
    """

    @property
    def engine(self) -> str: ...

    def interpret(self, report: QualityReport, plant: Plant) -> Extraction: ...
