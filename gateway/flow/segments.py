"""Segments: blocks of samples cut to a window and joined where they follow each other (pure)."""

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta

import msgspec

from gateway.core.reading import Quality, Waveform
from gateway.core.window import Gap

JITTER_S = 0.005
"""Seconds by which blocks may miss each other and still be one."""

_SAMPLE = 4


def segments(waves: Iterable[Waveform], start: datetime, end: datetime) -> Iterator[Waveform]:
    """Cut blocks to [start, end) and join those that follow each other without a gap."""
    held: Waveform | None = None
    for wave in sorted(waves, key=lambda wave: wave.at):
        piece = _clip(wave, start, end)
        if piece is None:
            continue
        if held is not None and _follows(held, piece):
            held = msgspec.structs.replace(held, samples=held.samples + piece.samples)
            continue
        if held is not None:
            yield held
        held = piece
    if held is not None:
        yield held


def holes(tag: str, pieces: list[Waveform], start: datetime, end: datetime) -> Iterator[Gap]:
    """Name the spans of [start, end) that no piece covers."""
    at = start
    for piece in pieces:
        if (piece.at - at).total_seconds() > JITTER_S:
            yield Gap(tag, at, piece.at, "no samples")
        at = piece.at + timedelta(seconds=piece.seconds)
    if (end - at).total_seconds() > JITTER_S:
        yield Gap(tag, at, end, "no samples")


def _clip(wave: Waveform, start: datetime, end: datetime) -> Waveform | None:
    if wave.quality is Quality.BAD:
        return None
    total = len(wave.samples) // _SAMPLE
    first = max(0, round((start - wave.at).total_seconds() * wave.rate_hz))
    last = min(total, round((end - wave.at).total_seconds() * wave.rate_hz))
    if first >= last:
        return None
    if (first, last) == (0, total):
        return wave
    return msgspec.structs.replace(
        wave,
        samples=wave.samples[first * _SAMPLE : last * _SAMPLE],
        sourced_at=wave.at + timedelta(seconds=first / wave.rate_hz),
    )


def _follows(held: Waveform, piece: Waveform) -> bool:
    expected = held.at + timedelta(seconds=held.seconds)
    return held.rate_hz == piece.rate_hz and abs((piece.at - expected).total_seconds()) <= JITTER_S
