"""Evidence: what a window held, content-addressed, kept beside the order in the same transaction."""

from collections.abc import Sequence

import msgspec

from gateway.core.diagnosis import Diagnosis, Evidence
from gateway.core.ports import Tx
from gateway.core.reading import ThermalFrame
from gateway.core.report import QualityReport
from gateway.core.window import Window

_FLOAT32 = "application/vnd.andon.float32-le"
_UINT16 = "application/vnd.andon.uint16-le"


def of_window(tx: Tx, window: Window, seen: Diagnosis) -> tuple[Evidence, ...]:
    """Keep the raw slice, the picture, the log lines and the values of a window; give their references.

    Waveform and frame are kept as received, so that a decision can be made again from the same bytes: the
    media type says what the numbers are, and how a camera's raw ones become degrees Celsius.
    """
    kept: list[Evidence] = []
    for wave in window.waveforms:
        digest = tx.keep(wave.samples, _FLOAT32)
        kept.append(
            Evidence("waveform", digest, len(wave.samples), _FLOAT32, wave.at, unit=wave.unit, rate_hz=wave.rate_hz)
        )
    if window.frame is not None:
        frame = window.frame
        media = _media_of(frame)
        kept.append(Evidence("frame", tx.keep(frame.pixels, media), len(frame.pixels), media, frame.at, unit="degC"))
    if window.lines:
        text = "\n".join(line.text for line in window.lines).encode("utf-8", "replace")
        kept.append(Evidence("log", tx.keep(text, "text/plain"), len(text), "text/plain", window.lines[-1].at))
    values = msgspec.json.encode({"scalars": window.scalars, "gaps": window.gaps, "features": seen.features})
    kept.append(Evidence("values", tx.keep(values, "application/json"), len(values), "application/json", window.end))
    return tuple(kept)


def _media_of(frame: ThermalFrame) -> str:
    shape = f"height={frame.height};width={frame.width}"
    kind = _UINT16 if frame.form == "<u2" else _FLOAT32
    plain = frame.scale == 1.0 and frame.offset == 0.0
    return f"{kind};{shape}" if plain else f"{kind};{shape};scale={frame.scale!r};offset={frame.offset!r}"


def of_report(tx: Tx, report: QualityReport, masked: str) -> Sequence[Evidence]:
    """Keep a report's masked text, and refer to its picture."""
    text = masked.encode("utf-8", "replace")
    kept = [Evidence("report", tx.keep(text, "text/plain"), len(text), "text/plain", report.reported_at)]
    if report.photo is not None and (found := tx.blob(report.photo)) is not None:
        kept.append(Evidence("photo", report.photo, len(found[0]), found[1], report.reported_at))
    return kept
