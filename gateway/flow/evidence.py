"""Evidence: what an order stands on, content-addressed, kept beside it in the same transaction."""

import math
from collections.abc import Iterator, Sequence
from typing import Literal

from msgspec.structs import replace

from gateway.core.asset import Plant
from gateway.core.capsule import FLOAT32, FLOAT64, UINT16, Grounds, Line, Picture, Seen, TagValue, Told, plant_document
from gateway.core.diagnosis import Diagnosis, Evidence
from gateway.core.ports import Tx
from gateway.core.reading import LogLine, Quality, ThermalFrame
from gateway.core.report import Extraction, QualityReport
from gateway.core.window import Gap, Scalar, Window
from gateway.flow.cover import covered

NOTHING = Grounds(b"")
_QUALITIES: dict[Quality, Literal["good", "uncertain", "bad"]] = {
    Quality.GOOD: "good",
    Quality.UNCERTAIN: "uncertain",
    Quality.BAD: "bad",
}


def of_window(tx: Tx, window: Window, seen: Diagnosis, grounds: Grounds = NOTHING) -> tuple[tuple[Evidence, ...], Seen]:
    """Keep the raw slices, the picture, the log, the spectra and the baseline; give their references and the rest.

    Waveform and frame are kept as received, so that a decision can be made again from the same bytes: the
    media type says what the numbers are, and how a camera's raw ones become degrees Celsius.
    """
    kept = [
        _kept(tx, Evidence(
            "waveform", "", 0, FLOAT32, wave.at, unit=wave.unit, rate_hz=wave.rate_hz, tag=wave.tag,
            quality=_QUALITIES[wave.quality],
        ), wave.samples)
        for wave in window.waveforms
    ]  # fmt: skip
    for spectrum in grounds.spectra:
        media = f"{FLOAT32};of={spectrum.of};step-hz={spectrum.step_hz!r}"
        told = Evidence("spectrum", "", 0, media, window.start, unit=spectrum.unit, tag=spectrum.of)
        kept.append(_kept(tx, told, spectrum.values))
    if (frame := window.frame) is not None:
        quality = _QUALITIES[frame.quality]
        told = Evidence("frame", "", 0, _media_of(frame), frame.at, unit="degC", tag=frame.tag, quality=quality)
        kept.append(_kept(tx, told, frame.pixels))
    texts = [line.text.encode("utf-8", "replace") for line in window.lines]
    if texts:
        kept.append(_kept(tx, Evidence("log", "", 0, "text/plain", window.lines[-1].at), b"\n".join(texts)))
    baseline = Evidence("baseline", "", 0, "application/msgpack", window.start)
    features = Evidence("features", "", 0, FLOAT64, window.start)
    return tuple(kept), Seen(
        start=window.start,
        end=window.end,
        tags=tuple(tag_values(window.scalars, window.gaps)),
        gaps=window.gaps,
        picture=None if frame is None else Picture(frame.height, frame.width, frame.form, frame.scale, frame.offset),
        lines=tuple(_line(line, len(text)) for line, text in zip(window.lines, texts, strict=True)),
        diagnosis=seen,
        baseline=_kept(tx, baseline, grounds.baseline) if grounds.baseline else None,
        features=_kept(tx, features, grounds.features) if grounds.features else None,
        marks=grounds.marks,
        spot=grounds.spot,
        journal=window.journal,
    )


def of_report(
    tx: Tx, report: QualityReport, told: Extraction, plant: Plant, *, ruled: bool = False
) -> tuple[tuple[Evidence, ...], Told]:
    """Keep a report's masked text and the plant that it was read with, refer to its picture; give what was read.

    Equal plants are kept once, however many orders stand on them.
    """
    text = told.masked.encode("utf-8", "replace")
    kept = [_kept(tx, Evidence("report", "", 0, "text/plain", report.reported_at), text)]
    if report.photo is not None and (found := tx.blob(report.photo)) is not None:
        kept.append(Evidence("photo", report.photo, len(found[0]), found[1], report.reported_at))
    known = Evidence("plant", "", 0, "application/json", report.reported_at)
    return tuple(kept), Told(
        report=report.id,
        reported_at=report.reported_at,
        channel=report.channel,
        asset_hint=report.asset_hint,
        photo=report.photo,
        extraction=nameless(told, report.text),
        plant=_kept(tx, known, plant_document(plant)),
        ruled=ruled,
    )


def nameless(told: Extraction, text: str) -> Extraction:
    """Give an extraction whose slots show no name: what the masked text covers is covered in them too."""
    seen = covered(text, told.masked)
    return replace(told, slots=tuple(replace(slot, text=seen[slot.start : slot.end]) for slot in told.slots))


def tag_values(scalars: Sequence[Scalar], gaps: Sequence[Gap]) -> Iterator[TagValue]:
    """Give every tag of a window once, by name: its usable values, and how good its newest one is.

    A window holds usable values only; that the newest one is not good, and why, stands in its gaps.
    """
    known = {one.tag: one for one in scalars}
    faults = {gap.tag: gap.cause.split(": ", 1) for gap in gaps if gap.cause.startswith(("bad: ", "uncertain: "))}
    for tag in sorted({*known, *faults}):
        quality: Literal["good", "uncertain", "bad"] = "good"
        why = ""
        if tag in faults:
            quality = "bad" if faults[tag][0] == "bad" else "uncertain"
            why = faults[tag][1]
        one = known.get(tag)
        if one is None:
            yield TagValue(tag, "", quality, why)
        else:
            last, mean, low, high = (finite(number) for number in (one.last, one.mean, one.low, one.high))
            yield TagValue(tag, one.unit, quality, why, last, mean, low, high, one.count, finite(one.age_s))


def finite(number: float) -> float | None:
    """Give a number, None for what JSON has no word for."""
    return float(number) if math.isfinite(number) else None


def _kept(tx: Tx, told: Evidence, content: bytes) -> Evidence:
    return replace(told, sha256=tx.keep(content, told.media_type), size=len(content))


def _line(line: LogLine, size: int) -> Line:
    return Line(size, line.severity, line.sourced_at, line.received_at)


def _media_of(frame: ThermalFrame) -> str:
    shape = f"height={frame.height};width={frame.width}"
    kind = UINT16 if frame.form == "<u2" else FLOAT32
    plain = frame.scale == 1.0 and frame.offset == 0.0
    return f"{kind};{shape}" if plain else f"{kind};{shape};scale={frame.scale!r};offset={frame.offset!r}"
