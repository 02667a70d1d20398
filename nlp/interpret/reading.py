"""The interpreter of quality reports, and its two engines."""

from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Literal, Protocol

from gateway.core.asset import Plant
from gateway.core.ports import Interpreter
from gateway.core.report import Extraction, QualityReport
from nlp.confidence import Signs
from nlp.interpret.extracted import Extracted
from nlp.lexicon import lexicon
from nlp.spans import Read


class SpanReader(Protocol):
    """The network's view: spans with logits into the original text, and intent probabilities, one per text."""

    def read(self, texts: Sequence[str]) -> list[Read]:
        """Read texts, in order. Never raises on a text."""
        ...


def open_interpreter(engine: Literal["lite", "encoder"] = "lite", bundle: Path | None = None) -> Interpreter:
    """Make an interpreter. "lite" is grammar and lexicon; "encoder" adds the network of `bundle`.

    Without a bundle the one that ships with the package is taken. Raises `Misconfigured` for a bad bundle.
    """
    lexicon()
    if engine == "lite":
        return Reading("lite", None)
    from nlp.encoder import open_reader  # noqa: PLC0415 - torch takes seconds, and lite must not need it

    return Reading("encoder", open_reader(bundle or Path(str(files("gateway") / "bundle"))))


class Reading:
    """An `Interpreter`: pure, safe to call from several threads."""

    def __init__(self, engine: str, network: SpanReader | None) -> None:
        self._engine, self._network = engine, network

    @property
    def engine(self) -> str:
        """Name of the engine: "lite" or "encoder"."""
        return self._engine

    def interpret(self, report: QualityReport, plant: Plant) -> Extraction:
        """Read one report. Never raises on a text."""
        read = None
        if self._network is not None:
            read = self._network.read([report.text])[0]
        return Extracted(report, plant, self._engine, read).extraction()


def signs_of(report: QualityReport, plant: Plant, read: Read | None) -> tuple[Signs, Extraction]:
    """A reading with the signs that its confidence is made of, for fitting."""
    one = Extracted(report, plant, "encoder" if read else "lite", read)
    got = one.extraction()
    return one.signs(got.failure_modes, got.defects), got
