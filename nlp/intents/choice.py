"""The choice of the one intent of a report, in the order of the contract's readings."""

import re

from nlp.intents.defects import fine_of
from nlp.intents.feedback import feedback_of
from nlp.intents.hazards import HAZARD, HAZARD_MORE, is_denied_safety
from nlp.intents.inquiry import inquiry_of
from nlp.intents.inspection import inspection_of
from nlp.intents.meant import Cues, Meant
from nlp.intents.work import work_of
from nlp.marks import Mark


def understand(cues: Cues, marks: list[Mark], *, has_asset: bool, has_machine: bool, has_number: bool) -> Meant:
    """Choose the intent by the contract's readings."""
    norm = cues.norm
    claimed = [
        mark for mark in marks if mark.kind in {"trouble", "defect", "value"} and not mark.status and not mark.cause
    ]
    wants = [mark for mark in marks if mark.kind == "action" and not mark.status]
    if cues.any("outside.words") and not has_asset and not has_machine and not has_number:
        return Meant(None, None, 0.9, ("out_of_scope",))
    asked = inquiry_of(cues, claimed, wants, has_number=has_number)
    if asked is not None:
        return asked
    if (
        (cues.any("safety.words") or HAZARD.search(norm) or HAZARD_MORE.search(norm))
        and (marks or has_machine)
        and not is_denied_safety(cues, marks)
    ):
        return Meant("defect_report", "safety_hazard", 0.85)
    answer = feedback_of(cues, claimed, wants)
    if answer is not None:
        return answer
    checked = inspection_of(cues, claimed, wants)
    if checked is not None:
        return checked
    work = work_of(norm, claimed, wants)
    if work is not None:
        return work
    if claimed:
        first = min(claimed, key=lambda one: one.start)
        return Meant("defect_report", fine_of(first, marks, cues), 0.95 if first.code != "UNK" else 0.7)
    if any(mark.kind == "severity" and mark.code == "down" and not mark.status for mark in marks):
        return Meant("defect_report", "equipment_fault", 0.8)
    if wants:
        return Meant("maintenance_request", "unspecified", 0.9 if has_asset else 0.75)
    if cues.any("inquiry.question") and re.search(r"[?吗呢]|\b(?:what|when|where|who|which|how)\b", norm):
        return Meant("inquiry", "how_to", 0.4, ("low_confidence",))
    if has_asset or has_machine:
        return Meant("maintenance_request", "unspecified", 0.3, ("low_confidence",))
    return Meant(None, None, 0.3, ("out_of_scope",))
