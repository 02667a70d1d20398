"""Codes, priority and route from what was read: the contract's rules, in their order."""

# ruff: noqa: E501, PLR2004, PLW2901 - whole phrases in one pattern; reaches in characters; a word read anew

import re
from typing import Literal

from gateway.core.report import Route
from nlp.intents import Cues, Meant
from nlp.lexicon import Found
from nlp.marks import Mark

Priority = Literal[1, 2, 3, 4]
_CAUSE_OF = {
    "WEAR": "wear", "LOOSE": "looseness", "MISALIGN": "misalignment", "BRD": "breakage", "STD": "breakage", "PLU": "blockage", "ELEC": "electrical",
    "LOOSE_FIT": "looseness", "CONTAMINATION": "contamination", "CRACK": "breakage",
}  # fmt: skip
_SEAL = re.compile(r"密封|油封|机封|o型圈|o形圈|垫片|盘根|垫圈|轴封|seal|gasket|o-?ring|packing|gland")
_ELECTRIC_PART = re.compile(
    r"传感器|编码器|开关|继电器|接触器|变频器|驱动器|plc|电磁阀|热电偶|线路|电缆|端子|sensor|switch|relay|contactor|vfd|inverter|encoder|wiring|cable|solenoid|fuse|thermocouple"
)
_NOTHING = {("inspection_result", "pass"), ("feedback", "repair_confirmed"), ("feedback", "false_alarm")}


def causes_of(
    norm: str, found: list[Found], marks: list[Mark], regions: list[tuple[int, int]]
) -> list[tuple[str, int, int]]:
    """Cause codes with the spans of their words, component part left out: (code, start, end)."""
    troubles = [mark for mark in marks if mark.kind in {"trouble", "defect", "value"} and not mark.status]
    made: list[tuple[str, int, int]] = []
    for start, end in regions:
        if not any(not (start <= mark.start < end) and not mark.cause for mark in troubles):
            continue
        words = _longest([one for one in found if one.category == "cause" and start <= one.start and one.end <= end])
        made += [_without_part(norm, one, found) for one in words]
        covered = [(one.start, one.end) for one in words]
        for mark in marks:
            if (
                mark.kind not in {"trouble", "defect"}
                or not start <= mark.start < end
                or any(mark.start < last and first < mark.end for first, last in covered)
            ):
                continue
            code = _CAUSE_OF.get(mark.code)
            if mark.code == "LEAK" and _SEAL.search(norm[start:end]):
                code = "seal"
            if code and mark.cause:
                made.append((code, mark.start, mark.end))
        if not any(start <= first < end for _, first, _ in made):
            part = next((mark for mark in marks if mark.kind == "component" and start <= mark.start < end), None)
            if part is not None and _SEAL.search(norm[part.start : part.end]):
                made.append(("seal", part.start, part.end))
            elif part is not None and _ELECTRIC_PART.search(norm[part.start : part.end]):
                made.append(("electrical", part.start, part.end))
    return _sealed(norm, made, marks)


def _longest(words: list[Found]) -> list[Found]:
    kept: list[Found] = []
    for one in sorted(words, key=lambda word: (word.start - word.end, word.start)):
        if not any(one.start < other.end and other.start < one.end for other in kept):
            kept.append(one)
    return sorted(kept, key=lambda one: one.start)


def _without_part(norm: str, one: Found, found: list[Found]) -> tuple[str, int, int]:
    """Cut the component off a cause such as 密封圈老化 or "bad sensor"."""
    parts = [
        other
        for other in found
        if other.category == "component"
        and one.start <= other.start
        and other.end <= one.end
        and (other.start, other.end) != (one.start, one.end)
    ]
    if not parts:
        return (one.code, one.start, one.end)
    part = max(parts, key=lambda other: other.end - other.start)
    if part.start - one.start <= 1 and part.end < one.end:
        start = part.end
        while start < one.end and norm[start] in " 的":
            start += 1
        return (one.code, start, one.end)
    if part.end == one.end and part.start > one.start:
        end = part.start
        while end > one.start and norm[end - 1] == " ":
            end -= 1
        return (one.code, one.start, end)
    return (one.code, one.start, one.end)


def _sealed(norm: str, made: list[tuple[str, int, int]], marks: list[Mark]) -> list[tuple[str, int, int]]:
    """Wear or breakage of a seal is the cause "seal"."""
    result: list[tuple[str, int, int]] = []
    for code, start, end in made:
        near = [
            mark
            for mark in marks
            if mark.kind == "component" and (0 <= start - mark.end <= 3 or 0 <= mark.start - end <= 1)
        ]
        if code in {"wear", "breakage", "contamination"} and any(
            _SEAL.search(norm[mark.start : mark.end]) for mark in near
        ):
            code = "seal"
        elif code == "breakage" and any(_ELECTRIC_PART.search(norm[mark.start : mark.end]) for mark in near):
            code = "electrical"
        result.append((code, start, end))
    return result


def is_quiet(meant: Meant) -> bool:
    """Whether nothing is to be ordered and no code is kept."""
    return meant.coarse is None or meant.coarse == "inquiry" or (meant.coarse, meant.fine) in _NOTHING


def priority_of(
    norm: str,
    meant: Meant,
    codes: list[str],
    actions: list[str],
    cues: Cues,
    marks: list[Mark],
    *,
    down: bool,
    now: bool,
) -> Priority | None:
    """The contract's first match."""
    if is_quiet(meant):
        return None
    urgent = any(
        not re.search(r"不|not|no|非|没", norm[max(0, one.start - 4) : one.start])
        for one in cues.all("severity.urgent")
    )
    if down or now or meant.fine == "safety_hazard" or {"stop", "hold"} & set(actions) or urgent:
        return 1
    low = [mark for mark in marks if mark.kind == "severity" and mark.code == "low"]
    high = [mark for mark in marks if mark.kind == "severity" and mark.code == "high"]
    if high or "OHE" in codes or meant.fine in {"fail", "product_internal_defect"} or _over_limit(norm, codes, marks):
        return 2
    return 4 if low or any(mark.code == "SER" and not mark.status for mark in marks) else 3


_OVER_SAID = re.compile(
    r"超标|超限|超过|上限|限值|报警值|报警线|exceed|limit|(?:over|above) (?!\d[\d.,]* ?(?:rpm|hz|%|bar|amps?|a\b|kg|min|h\b))"
)


def _over_limit(norm: str, codes: list[str], marks: list[Mark]) -> bool:
    hot = any(mark.kind == "characteristic" and mark.code.startswith("temp") for mark in marks)
    if (
        "PDE" in codes
        and re.search(r"温|temp|°c|℃|\d ?c\b", norm)
        and (hot or re.search(r"°c|度|\d ?c\b|deg", norm))
        and re.search(r"超|过高|太高|偏高|高于|上限|over|above|exceed|high|hot|overshoot|limit", norm)
    ):
        return True
    said = _OVER_SAID.search(norm)
    return "VIB" in codes and said is not None


def route_of(
    meant: Meant,
    asset: str | None,
    actions: list[str],
    codes: list[str],
    defects: list[str],
    *,
    lot: bool,
    conflict: bool,
    sure: bool,
) -> tuple[Route, tuple[str, ...]]:
    """Where the report goes, and the reasons when a person must look first."""
    if meant.coarse is None:
        return "review", meant.why or ("out_of_scope",)
    if meant.coarse == "inquiry":
        return "none", ()
    if (meant.coarse, meant.fine) == ("inspection_result", "pass"):
        return "record", ()
    if (meant.coarse, meant.fine) in _NOTHING:
        return ("record", ()) if asset else ("none", ())
    why: list[str] = []
    if {"stop", "hold"} & set(actions):
        why.append("action_stops_line")
    if conflict:
        why.append("conflict")
    goods = bool(defects) and not codes and lot
    if asset is None and not goods:
        why.append("asset_unresolved")
    why += [reason for reason in meant.why if reason not in why]
    if not sure and "low_confidence" not in why:
        why.append("low_confidence")
    return ("review", tuple(why)) if why else ("order", ())
