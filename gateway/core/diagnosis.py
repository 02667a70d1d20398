"""Diagnosis: what is wrong with an asset in one window, how sure, and why."""

import enum
from datetime import datetime
from typing import Literal

import msgspec


class Fault(enum.StrEnum):
    """Machine conditions that the fusion tells apart (terms of ISO 13373 and ISO 15243)."""

    HEALTHY = "healthy"
    BEARING_OUTER = "bearing_outer_race"
    BEARING_INNER = "bearing_inner_race"
    BEARING_BALL = "bearing_ball"
    IMBALANCE = "imbalance"
    MISALIGNMENT = "misalignment"
    LOOSENESS = "looseness"
    OVERHEATING = "overheating"
    SENSOR = "sensor_fault"


class Contribution(msgspec.Struct, frozen=True, gc=False):
    """How much one modality spoke for the verdict, in log-odds, and by which feature most."""

    modality: str
    weight: float
    feature: str = ""
    value: float | None = None


class Evidence(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """A piece of evidence: content-addressed by sha256 (hex), kept in the blob store.

    `tag` is the input that it came from (or which spectrum it is) and `quality` that input's, empty where there is no
    such thing. `rate_hz` is that of a waveform. What the numbers of a media type are stands in the media type.
    """

    kind: Literal["waveform", "spectrum", "frame", "log", "values", "report", "photo", "baseline", "features", "plant"]
    sha256: str
    size: int
    media_type: str
    captured_at: datetime
    # By a factory these two are always written, as they always were: an order of an older gateway that is sent again
    # must have the bytes that it had, or an ERP that knows its key refuses it.
    unit: str = msgspec.field(default_factory=str)
    rate_hz: float | None = msgspec.field(default_factory=lambda: None)
    tag: str = ""
    quality: Literal["good", "uncertain", "bad", ""] = ""


class Diagnosis(msgspec.Struct, frozen=True):
    """One window's verdict.

    `probabilities` are calibrated and sum to 1 over `Fault`. `fault` is None when the answer is
    "I don't know". `anomaly` is 0..1, the first stage: is something wrong at all? `severity` is 0..1.
    `present` names the modalities that were there, `model` the bundle's hash, `remarks` what a person
    must know (no baseline, speed from the nameplate, gap in the waveform).
    """

    asset: str
    start: datetime
    end: datetime
    fault: Fault | None
    confidence: float
    anomaly: float
    severity: float
    probabilities: dict[str, float]
    contributions: tuple[Contribution, ...] = ()
    present: tuple[str, ...] = ()
    model: str = ""
    speed_rpm: float | None = None
    remarks: tuple[str, ...] = ()
    features: dict[str, float | None] = {}
    journal: tuple[int, ...] = ()
