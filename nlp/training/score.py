"""The contract's scoring: accuracy per field, micro-F1 of sets and exact slots, straight-through precision."""

from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from gateway.core.report import Extraction

FIELDS = (
    "asset",
    "intent",
    "fine_intent",
    "due",
    "quantity",
    "batch",
    "order",
    "machine_down",
    "action",
    "priority",
    "reporter",
    "route",
)
SETS = ("failure_modes", "defects", "causes", "measurements", "slots")


@dataclass(slots=True)
class Score:
    """Counts over reports; `rows()` gives the figures by name, 0..1."""

    reports: int = 0
    right: Counter[str] = field(default_factory=Counter)
    hits: Counter[str] = field(default_factory=Counter)
    given: Counter[str] = field(default_factory=Counter)
    wanted: Counter[str] = field(default_factory=Counter)
    through: int = 0
    through_right: int = 0
    pairs: list[tuple[float, bool]] = field(default_factory=list)

    def add(self, got: Extraction, gold: Mapping[str, Any]) -> list[str]:
        """Count one report; the names of what is wrong in it."""
        self.reports += 1
        wrong: list[str] = []
        for name in FIELDS:
            if _value(name, getattr(got, name)) == _value(name, gold.get(name)):
                self.right[name] += 1
            else:
                wrong.append(name)
        for name in SETS:
            mine, theirs = _items(name, got), Counter(_gold_items(name, gold))
            self.hits[name] += sum((mine & theirs).values())
            self.given[name] += sum(mine.values())
            self.wanted[name] += sum(theirs.values())
            if mine != theirs:
                wrong.append(name)
        sound = not {"asset", "failure_modes", "defects", "due"} & set(wrong)
        self.pairs.append((got.confidence, sound))
        if got.route in {"order", "record"}:
            self.through += 1
            self.through_right += sound and "action" not in wrong
        return wrong

    def f1(self, name: str) -> float:
        """Micro-F1 of a set; 1 when there was nothing to find and nothing was found."""
        both = self.given[name] + self.wanted[name]
        return 2 * self.hits[name] / both if both else 1.0

    def rows(self) -> dict[str, float]:
        """Every figure by name."""
        count = max(self.reports, 1)
        figures = {name: self.right[name] / count for name in FIELDS}
        figures |= {name: self.f1(name) for name in SETS}
        figures["straight_through"] = self.through / count
        figures["straight_through_precision"] = self.through_right / max(self.through, 1)
        figures["calibration_error"] = self.calibration_error()
        return figures

    def calibration_error(self, bins: int = 5) -> float:
        """Expected calibration error over equally filled bins."""
        if not self.pairs:
            return 0.0
        pairs = sorted(self.pairs)
        size = max(1, -(-len(pairs) // bins))
        error = 0.0
        for at in range(0, len(pairs), size):
            part = pairs[at : at + size]
            error += abs(sum(sure for sure, _ in part) - sum(right for _, right in part))
        return error / len(pairs)


def score(pairs: Iterable[tuple[Extraction, Mapping[str, Any]]]) -> Score:
    """Score extractions against gold."""
    total = Score()
    for got, gold in pairs:
        total.add(got, gold)
    return total


def _value(name: str, value: Any) -> Hashable:
    if name == "due" and value is not None:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else value
        return round(moment.timestamp() / 60)
    hashable: Hashable = value
    return hashable


def _items(name: str, got: Extraction) -> Counter[Hashable]:
    if name == "slots":
        return Counter((slot.slot, slot.start, slot.end) for slot in got.slots)
    if name == "measurements":
        return Counter((round(float(value), 6), unit) for value, unit in got.measurements)
    values: Sequence[str] = getattr(got, name)
    return Counter(values)


def _gold_items(name: str, gold: Mapping[str, Any]) -> list[Hashable]:
    if name == "slots":
        return [(slot["slot"], slot["start"], slot["end"]) for slot in gold["slots"]]
    if name == "measurements":
        return [(round(float(value), 6), unit) for value, unit in gold["measurements"]]
    return list(gold[name])
