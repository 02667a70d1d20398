"""The intents there are; that of a report with how sure the rules are; the cue words that bear on it."""

from dataclasses import dataclass

from gateway.core.report import Intent
from nlp.lexicon import Found

FINE: dict[Intent, tuple[str, ...]] = {
    "defect_report": (
        "equipment_fault",
        "process_deviation",
        "product_surface_defect",
        "product_internal_defect",
        "product_dimension_defect",
        "safety_hazard",
    ),
    "maintenance_request": ("repair", "tool_change", "lubrication", "calibration", "service", "unspecified"),
    "inspection_result": ("pass", "fail"),
    "inquiry": ("order_status", "spare_part", "how_to"),
    "feedback": ("repair_confirmed", "repair_failed", "false_alarm"),
}
"""The fine intents of each; a network's heads are in this order."""


@dataclass(frozen=True, slots=True)
class Meant:
    """The intent with how sure the rules are (0..1). `coarse` None means out of scope or not understood."""

    coarse: Intent | None
    fine: str | None
    sure: float
    why: tuple[str, ...] = ()


class Cues:
    """The cue words of a text that bear on its intent."""

    def __init__(self, norm: str, found: list[Found]) -> None:
        self.norm = norm
        self._has: dict[str, list[Found]] = {}
        for one in found:
            self._has.setdefault(f"{one.category}.{one.code}", []).append(one)

    def all(self, name: str) -> list[Found]:
        """The words found of a list such as "inquiry.how_to"."""
        return self._has.get(name, [])

    def any(self, name: str) -> bool:
        """Whether a word of the list was found."""
        return name in self._has
