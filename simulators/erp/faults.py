"""What the ERP does wrong, when it is told to: kinds, chances, counts, all from one seed."""

import random
from dataclasses import dataclass, field, fields
from typing import Any

KINDS = {
    "error_before": "500, nothing was made",
    "error_after": "500, but the order was made",
    "throttle": "429; retry_after seconds, style seconds|date|none|absurd",
    "unavailable": "503; retry_after as above, none by default",
    "too_early": "425",
    "hang": "no answer for `seconds`, nothing was made, then the connection ends",
    "cut": "reset before anything was made",
    "lost_reply": "the order was made, then reset",
    "lost_hang": "the order was made, then silence for `seconds`",
    "ghost": "silence; the order is made `seconds` later, when the client is gone",
    "truncated": "the order was made, half of the answer is sent",
    "garbage": "the order was made, 201 with a page that is no JSON",
    "refuse": "422 with problem details",
    "unknown_field": "500 with a page, as real ERPs answer to a field that they do not know",
    "unauthorized": "401",
    "forbidden": "403",
    "redirect": "307 to somewhere else; a client must not follow",
    "slow": "the right answer after `seconds`",
}


@dataclass(slots=True)
class Fault:
    """One rule. `count` is how often it may still fire (-1: always); `method` and `path` narrow it."""

    kind: str
    probability: float = 1.0
    count: int = -1
    method: str = ""
    path: str = "/api/"
    reference: str = ""
    equipment: str = ""
    seconds: float = 1.0
    retry_after: float | None = None
    style: str = "seconds"
    fired: int = 0


@dataclass(slots=True)
class Plan:
    """The rules in force. The first that fits and wins its throw fires; each throw comes from the seed."""

    seed: int
    faults: list[Fault] = field(default_factory=list)
    fired: dict[str, int] = field(default_factory=dict)
    dice: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self.dice = random.Random(self.seed)

    def replace(self, rules: list[dict[str, Any]], seed: int | None) -> None:
        """Take new rules. Raises ValueError naming what is wrong."""
        known = {item.name for item in fields(Fault)}
        for rule in rules:
            if set(rule) - known:
                raise ValueError(f"unknown {sorted(set(rule) - known)}; a fault has {sorted(known)}")
            if rule.get("kind") not in KINDS:
                raise ValueError(f"unknown kind {rule.get('kind')!r}; one of {sorted(KINDS)}")
        self.faults = [Fault(**rule) for rule in rules]
        if seed is not None:
            self.seed = seed
            self.dice = random.Random(seed)

    def draw(self, method: str, path: str, reference: str, equipment: str) -> Fault | None:
        """Give the fault of this request, or None."""
        for fault in self.faults:
            if fault.count == 0 or not path.startswith(fault.path):
                continue
            if fault.method not in ("", method) or fault.reference not in ("", reference):
                continue
            if fault.equipment not in ("", equipment) or self.dice.random() >= fault.probability:
                continue
            fault.count -= 1 if fault.count > 0 else 0
            fault.fired += 1
            self.fired[fault.kind] = self.fired.get(fault.kind, 0) + 1
            return fault
        return None
