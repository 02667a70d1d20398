"""Capsule: all that one version of an order stands on, in one document that its sha256 names.

The document is canonical JSON; what is large stands beside it, by its own sha256. Nothing else is needed to make the
decision again: the window, what was normal for the asset, the rules, and the name of the models.
"""

import hashlib
from collections.abc import Iterator
from datetime import datetime
from typing import Literal

import msgspec

from gateway.core.asset import Asset, Plant, Site
from gateway.core.diagnosis import Diagnosis, Evidence
from gateway.core.episode import Episode
from gateway.core.report import Extraction
from gateway.core.units import decode, encode
from gateway.core.window import Gap

MEDIA = "application/vnd.andon.capsule+json"
FLOAT32 = "application/vnd.andon.float32-le"
FLOAT64 = "application/vnd.andon.float64-le"
UINT16 = "application/vnd.andon.uint16-le"


class Terms(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """By which rules it was decided: the digest of the settings, and what of them counts here.

    A trouble is confirmed by `confirm` windows of at least `confidence`, over after `clear` clean ones, and ordered
    from `limit` up. `software` is the version that decided; `public_url` where people reach the gateway ("": nowhere).
    `reader` is the hash of the bundle with the network that reads reports ("": no network reads).
    """

    config: str
    software: str = ""
    language: Literal["zh", "en"] = "en"
    confirm: int = 3
    clear: int = 30
    confidence: float = 0.5
    limit: float = 0.6
    public_url: str = ""
    reader: str = ""


class Mark(msgspec.Struct, frozen=True, gc=False):
    """A line to look at in the spectra: at `order` shaft orders, slip included, which is `hz`.

    `level` is its height in the envelope spectrum in log units over the floor, `amplitude` in the amplitude
    spectrum (peak, g).
    """

    name: str
    order: float
    hz: float
    level: float
    amplitude: float


class Spectrum(msgspec.Struct, frozen=True):
    """A spectrum as data: little-endian float32 in `unit`; value k stands at k * `step_hz`."""

    of: Literal["envelope", "amplitude"]
    unit: str
    step_hz: float
    values: bytes


class Spot(msgspec.Struct, frozen=True, gc=False):
    """The hottest place of the picture: `row`, `column` in pixels; degrees Celsius there and of the room behind."""

    row: int
    column: int
    peak_c: float
    background_c: float


class Grounds(msgspec.Struct, frozen=True):
    """What a judgement stood on beside its window.

    `baseline` is what was known of the asset before the window, as `Diagnoser.restore` takes it; `features` is the row
    that was judged, as `Grounded.decide` takes it; the rest is for people.
    """

    baseline: bytes
    features: bytes = b""
    spectra: tuple[Spectrum, ...] = ()
    marks: tuple[Mark, ...] = ()
    spot: Spot | None = None


class TagValue(msgspec.Struct, frozen=True, gc=False):
    """One tag in the window. The numbers are those of its usable values, None when there were none.

    `quality` is that of its newest value, with the reason when it is not good; `age_s` is the age of the newest
    usable value at the window's end.
    """

    tag: str
    unit: str
    quality: Literal["good", "uncertain", "bad"]
    why: str = ""
    last: float | None = None
    mean: float | None = None
    low: float | None = None
    high: float | None = None
    count: int = 0
    age_s: float | None = None


class Picture(msgspec.Struct, frozen=True, gc=False):
    """How the bytes of the frame become degrees Celsius (see `ThermalFrame`)."""

    height: int
    width: int
    form: Literal["<f4", "<u2"]
    scale: float
    offset: float


class Line(msgspec.Struct, frozen=True, gc=False):
    """One log line: its size in bytes within the log's evidence (a line feed follows), severity and times."""

    size: int
    severity: int
    sourced_at: datetime | None
    received_at: datetime


class Seen(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a machine's order stands on: the window, and what the models made of it.

    The waveforms, spectra, frame and log are in the capsule's evidence. `baseline` is what was known of the asset
    before the window, `features` the very numbers that were judged.
    """

    start: datetime
    end: datetime
    tags: tuple[TagValue, ...] = ()
    gaps: tuple[Gap, ...] = ()
    picture: Picture | None = None
    lines: tuple[Line, ...] = ()
    diagnosis: Diagnosis
    baseline: Evidence | None = None
    features: Evidence | None = None
    marks: tuple[Mark, ...] = ()
    spot: Spot | None = None
    journal: tuple[int, ...] = ()


class Told(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a report's order stands on: what was read out of it, by which engine, with which plant in mind.

    The masked words are in the capsule's evidence; the slots of `extraction` hold no name, and their offsets are those
    of the original words. `ruled`: a person looked at it before it was ordered.
    """

    report: str
    reported_at: datetime
    channel: str
    asset_hint: str | None
    photo: str | None
    extraction: Extraction
    plant: Evidence
    ruled: bool = False


class Capsule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one version of an order stands on. Either `seen` or `told` is there.

    `model` is the bundle's hash (of a report: the reading engine, and its bundle's), `asset` the nameplate that was
    judged by, `episode` the trouble as it stood, `summary` the short form that the order's text carries.
    """

    format: Literal["andon.capsule/1"] = "andon.capsule/1"
    order: str
    version: int
    site: Site
    asset: Asset | None
    terms: Terms
    model: str
    episode: Episode
    evidence: tuple[Evidence, ...]
    seen: Seen | None = None
    told: Told | None = None
    summary: str = ""

    def pieces(self) -> Iterator[Evidence]:
        """Give all that stands beside the document."""
        yield from self.evidence
        if self.seen is not None:
            yield from (piece for piece in (self.seen.baseline, self.seen.features) if piece is not None)
        if self.told is not None:
            yield self.told.plant


class Seal(msgspec.Struct, frozen=True):
    """The name of a capsule, and what an order's text says of it."""

    sha256: str
    summary: str
    public_url: str = ""


def canonical(capsule: Capsule) -> bytes:
    """Give the one form of a capsule: JSON, keys sorted.

    It is what reading and writing give again: where a float was meant, an integer is written as one.
    """
    return _ENCODER.encode(_DECODER.decode(_ENCODER.encode(capsule)))


def read(document: bytes) -> Capsule:
    """Read a capsule. Raises `msgspec.DecodeError` when it is none, or of another format."""
    return _DECODER.decode(document)


def plant_document(plant: Plant) -> bytes:
    """Give the one form of a plant, as `canonical` does of a capsule."""
    return _ENCODER.encode(plant)


def read_plant(document: bytes) -> Plant:
    """Read a plant. Raises `msgspec.DecodeError` when it is none."""
    return _PLANT.decode(document)


def named(content: bytes) -> str:
    """Give the name of some bytes: their sha256 (hex)."""
    return hashlib.sha256(content).hexdigest()


_ENCODER = msgspec.json.Encoder(order="sorted", enc_hook=encode)
_DECODER = msgspec.json.Decoder(Capsule, dec_hook=decode)
_PLANT = msgspec.json.Decoder(Plant, dec_hook=decode)
