"""Scores of a reader: exact spans (micro-F1) and intents, Chinese and English apart."""

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from nlp.encoder import Reader
from nlp.spans import Read
from nlp.training.generator import INTENTS, Generator

Mark = tuple[str, int, int]
FINE = {fine: intent for intent, fines in INTENTS.items() for fine in fines}
_MARKED = re.compile(r"\[(\w+):([^\]]+)\]")


@dataclass(frozen=True, slots=True)
class Gold:
    """What a report holds: marks (slot, start, end), and its intents ("out_of_scope" for none)."""

    text: str
    language: str
    intent: str
    fine: str
    marks: frozenset[Mark]


def examples(path: Path) -> list[Gold]:
    """Read hand-written reports with gold, one JSON object a line (docs/reports.md). Never trained on."""
    found = []
    for line in path.read_text("utf-8").splitlines():
        row = json.loads(line)
        gold = row["gold"]
        marks = frozenset((slot["slot"], slot["start"], slot["end"]) for slot in gold["slots"])
        intents = (gold["intent"] or "out_of_scope", gold["fine_intent"] or "out_of_scope")
        found.append(Gold(row["text"], row["lang"], *intents, marks))
    return found


def marked(path: Path) -> list[Gold]:
    """Read lines of `language fine_intent | text with [slot:marked text]`, written by hand."""
    found = []
    for line in path.read_text("utf-8").splitlines():
        if not line.startswith("#"):
            head, _, body = line.partition(" | ")
            language, fine = head.split()
            text, marks, last = "", set(), 0
            for mark in _MARKED.finditer(body):
                text += body[last : mark.start()]
                marks.add((mark[1], len(text), len(text) + len(mark[2])))
                text, last = text + mark[2], mark.end()
            found.append(Gold(text + body[last:], language, FINE[fine], fine, frozenset(marks)))
    return found


def generated(count: int, seed: int) -> list[Gold]:
    """Make reports that were not trained on; templates and words are known, so the figure flatters."""
    return [
        Gold(r.text, r.language, r.intent, r.fine, frozenset((s.slot, s.start, s.end) for s in r.slots))
        for r in Generator(seed).reports(count)
    ]


def score(reader: Reader, golds: Sequence[Gold]) -> dict[str, float]:
    """Slot F1, intent and fine intent accuracy by language."""
    reads = reader.read([gold.text for gold in golds])
    found: dict[str, float] = {}
    for language in ("zh", "en"):
        chosen = [(gold, read) for gold, read in zip(golds, reads, strict=True) if gold.language == language]
        if chosen:
            found[f"slot_f1_{language}"] = span_f1((gold.marks, marks(read)) for gold, read in chosen)
            right = [best(read.intents) == gold.intent for gold, read in chosen]
            finely = [best(read.fine) == gold.fine for gold, read in chosen]
            found[f"intent_{language}"] = sum(right) / len(right)
            found[f"fine_{language}"] = sum(finely) / len(finely)
    return found


def score_generated(reader: Reader, seed: int, count: int = 600) -> dict[str, float]:
    """Score on generated reports."""
    return {f"generated_{name}": value for name, value in score(reader, generated(count, seed)).items()}


def marks(read: Read) -> frozenset[Mark]:
    """The spans of a reading as marks."""
    return frozenset((span.slot, span.start, span.end) for span in read.spans)


def span_f1(both: Iterable[tuple[frozenset[Mark], frozenset[Mark]]]) -> float:
    """Micro-F1 over exact (slot, start, end): pairs of what is there and what was said."""
    pairs = list(both)
    hits = sum(len(truth & said) for truth, said in pairs)
    total = sum(len(truth) + len(said) for truth, said in pairs)
    return 2 * hits / total if total else 1.0


def best(chances: dict[str, float]) -> str:
    """The most likely name."""
    return max(chances, key=lambda name: chances[name])
