"""Log lines as a modality: which faults a window's lines speak for, what is new in them, how many complain."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file

from gateway.core.artifact import open_part
from gateway.core.asset import Asset
from gateway.core.diagnosis import Fault
from gateway.core.reading import LogLine
from gateway.core.window import Window
from nlp.templates import hashed, readable, template

Floats = NDArray[np.float32]
HEAD_PART = "logs/head.safetensors"
FAULTS = tuple(fault.value for fault in Fault)
NAMES = (*(f"log_{fault}" for fault in FAULTS), "log_novelty", "log_errors", "log_warnings", "log_share")
_LEVELS = 4
_ERROR, _WARNING, _NOTICE = 3, 4, 5
_LIMIT = 12.0


class Vectors(Protocol):
    """Texts into vectors, one a text, in order; safe to call from several threads."""

    @property
    def width(self) -> int:
        """Length of a vector."""
        ...

    def vectors(self, texts: Sequence[str]) -> Floats:
        """Give (n, width) float32."""
        ...


class Head:
    """A fitted linear head on a window's lines, and the templates that it was fitted on.

    `weights` (faults, line features) and `bias` (faults,) give log-odds; `centre` (width,) is the mean
    vector and `known` (templates, width) the unit vectors of known templates around it.
    """

    def __init__(self, weights: Floats, bias: Floats, centre: Floats, known: Floats) -> None:
        self.weights, self.bias, self.centre, self.known = weights, bias, centre, known

    def evidence(self, window: Floats) -> Floats:
        """Log-odds of each fault against the others for summed line features (faults,), at most 12 either way."""
        logits = self.weights @ window + self.bias
        rest = [np.logaddexp.reduce(np.delete(logits, at)) for at in range(len(logits))]
        found: Floats = np.clip(logits - np.array(rest, np.float32), -_LIMIT, _LIMIT)
        return found

    def novelty(self, vectors: Floats) -> float:
        """How far the strangest line is from every known template: 0 known, 1 and above unrelated."""
        near = unit(vectors - self.centre) @ self.known.T
        return float(1.0 - near.max(1).min())


def unit(vectors: Floats) -> Floats:
    """Scale each row to length 1."""
    found: Floats = vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), np.float32(1e-9))
    return found


def line_features(masked: str, severity: int, vector: Floats, centre: Floats) -> Floats:
    """What one kind of line tells: its centred vector, its words in buckets, its level (RFC 5424)."""
    level = np.zeros(_LEVELS, np.float32)
    level[min(max(severity - _ERROR, 0), _LEVELS - 1)] = 1.0
    return np.concatenate([unit(vector - centre), hashed(masked), level])


def count_lines(lines: Sequence[LogLine]) -> Counter[tuple[str, int]]:
    """How often each template came at each level."""
    return Counter((template(line.text), line.severity) for line in lines)


def sum_lines(counts: Counter[tuple[str, int]], vectors: dict[str, Floats], centre: Floats) -> Floats:
    """Summed line features of a window; a line that repeats counts less each time."""
    parts = [
        np.float32(1 + np.log(count)) * line_features(masked, severity, vectors[masked], centre)
        for (masked, severity), count in counts.items()
    ]
    found: Floats = np.sum(parts, axis=0, dtype=np.float32)
    return found


class LogText:
    """The words of a machine's log as evidence. A window without lines gives None."""

    def __init__(self, encoder: Vectors, head: Head) -> None:
        self._encoder, self._head = encoder, head

    @property
    def name(self) -> str:
        """The modality's name."""
        return "log"

    @property
    def names(self) -> Sequence[str]:
        """The feature contract: log-odds by fault, novelty, number of errors and warnings, share of both."""
        return NAMES

    def encode(self, windows: Sequence[Window], assets: Sequence[Asset]) -> list[list[float] | None]:
        """Give one vector a window, in order; every line is asked of the encoder once for all windows."""
        del assets
        counted = [count_lines(window.lines) for window in windows]
        masked = list(dict.fromkeys(text for counts in counted for text, _ in counts))
        found = self._encoder.vectors([readable(text) for text in masked])
        vectors = dict(zip(masked, found, strict=True))
        return [self._one(counts, vectors) if counts else None for counts in counted]

    def _one(self, counts: Counter[tuple[str, int]], vectors: dict[str, Floats]) -> list[float]:
        head = self._head
        evidence = head.evidence(sum_lines(counts, vectors, head.centre))
        novelty = head.novelty(np.stack([vectors[text] for text in dict.fromkeys(text for text, _ in counts)]))
        errors = sum(count for (_, severity), count in counts.items() if severity <= _ERROR)
        warnings = sum(count for (_, severity), count in counts.items() if severity == _WARNING)
        share = (errors + warnings) / counts.total()
        return [*evidence.tolist(), novelty, float(errors), float(warnings), share]


def open_log_modality(bundle: Path) -> LogText:
    """Open the log modality of a bundle. Raises `Misconfigured` when a byte differs from the manifest."""
    from nlp.encoder import Remembered, open_encoder  # noqa: PLC0415 - torch is loaded by the one who needs it

    head = load_file(open_part(bundle, HEAD_PART))
    parts = (head[name].astype(np.float32) for name in ("weights", "bias", "centre", "known"))
    return LogText(Remembered(open_encoder(bundle)), Head(*parts))
