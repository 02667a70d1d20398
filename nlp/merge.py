"""Grammar and network together: the grammar's spans stay, the network fills gaps and agrees or doubts."""

from gateway.core.report import Intent
from nlp.intents import Meant
from nlp.spans import Read

_SURE_SPAN = 3.0
_SURE_INTENT = 0.8
_WEAK_RULE = 0.5
_FILLS = frozenset({"product", "component", "location", "symptom", "failure_mode", "defect", "characteristic"})


def gaps(read: Read, taken: list[tuple[int, int]]) -> list[tuple[str, int, int]]:
    """Spans of the network (original offsets) that it is sure of and that nobody else claims: (slot, start, end)."""
    kept: list[tuple[str, int, int]] = []
    for span in sorted(read.spans, key=lambda one: -one.logit):
        if span.slot not in _FILLS or span.logit < _SURE_SPAN or span.end <= span.start:
            continue
        if any(span.start < end and start < span.end for start, end in (*taken, *((s, e) for _, s, e in kept))):
            continue
        kept.append((span.slot, span.start, span.end))
    return kept


def agreement(read: Read, meant: Meant) -> float:
    """How likely the network finds what the rules chose, 0..1."""
    if meant.coarse is None:
        return read.intents.get("out_of_scope", 0.0)
    return read.fine.get(meant.fine or "", 0.0)


def intent_of(read: Read, meant: Meant) -> Meant:
    """The network decides where the rules have nothing to go by, and only when it is sure."""
    if meant.sure >= _WEAK_RULE or not read.intents:
        return meant
    best = max(read.intents, key=lambda name: read.intents[name])
    if read.intents[best] < _SURE_INTENT or best == "out_of_scope":
        return meant
    fine = max((name for name in read.fine if _coarse_of(name) == best), key=lambda name: read.fine[name], default=None)
    coarse = _COARSE.get(best)
    if coarse is None or fine is None:
        return meant
    return Meant(coarse, fine, 0.5, ("low_confidence",))


_COARSE: dict[str, Intent] = {
    "defect_report": "defect_report",
    "maintenance_request": "maintenance_request",
    "inspection_result": "inspection_result",
    "inquiry": "inquiry",
    "feedback": "feedback",
}
_FINE = {
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


def _coarse_of(fine: str) -> str:
    return next((coarse for coarse, fines in _FINE.items() if fine in fines), "")
