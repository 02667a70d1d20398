"""Work that is asked for: a tool change, a repair, grease, calibration, service."""

# ruff: noqa: E501, PLR2004 - patterns of whole phrases; reaches in characters

import re

from nlp.intents.meant import Meant
from nlp.marks import Mark

_WORK = {
    "replace": "tool_change",
    "repair": "repair",
    "lubricate": "lubrication",
    "calibrate": "calibration",
    "service": "service",
}


_TOOL = re.compile(
    r"刀|钻头|丝锥|砂轮|铣|锯片|锯条|冲头|模具|换模|模(?!块)|电极|导电嘴|焊嘴|铰|tool|insert|drill|tap\b|taps\b|end ?mill|cutter|wheel|reamer|saw blade|blade|punch|\bdie\b|mold|mould|electrode|contact tip|tip\b|tips\b|knife|knives|grinding|dresser|bit\b|bits\b"
)


_BARE_CHANGE = re.compile(r"\s*(?:[,.;!。]|$|by\b|before\b|asap|now|within|it\b|them\b|掉|一下|新的|新)")


_DUE_WORK = re.compile(
    r"该.{0,6}(?:了|换|加|做|保养|校准|润滑)|到期|到时间|周期到|需要|要(?!求)|申请|安排|请|麻烦|\b(?:due|overdue|needs?|need|please|pls|schedule|request|time for|book|arrange|plan)\b"
)


def work_of(norm: str, claimed: list[Mark], wants: list[Mark]) -> Meant | None:
    """Work that is the point of the message: a tool change, a repair, grease, calibration, service."""
    if not wants:
        return None
    first = wants[0]
    fine = _fine_work(norm, wants)
    if not claimed:
        return Meant("maintenance_request", fine or "unspecified", 0.92 if fine else 0.85)
    trouble = min(claimed, key=lambda one: one.start)
    if fine == "tool_change" and any(mark.code in {"WEAR", "BRD", "OVERSIZE", "UNDERSIZE", "BURR"} for mark in claimed):
        return Meant("maintenance_request", "tool_change", 0.85)
    if fine is None or first.code not in _WORK:
        return None
    if first.start < trouble.start:
        gap = norm[first.end : trouble.start]
        same_breath = not re.search(r"[,;。!?\n]|\. ", gap)
        if fine in {"lubrication", "calibration", "service", "tool_change"}:
            return Meant("maintenance_request", fine, 0.75)
        if fine == "repair" and same_breath and norm[first.start].isascii() and len(gap) < 40:
            return Meant("maintenance_request", "repair", 0.7)
    elif (
        fine in {"lubrication", "calibration", "tool_change"}
        and trouble.code in {"UNK", "SER"}
        and _DUE_WORK.search(norm)
    ):
        return Meant("maintenance_request", fine, 0.65)
    return None


def _fine_work(norm: str, wants: list[Mark]) -> str | None:
    for mark in wants:
        if mark.code == "replace":
            around = norm[max(0, mark.start - 16) : mark.end + 24]
            if _BARE_CHANGE.match(norm[mark.end :]):
                around = norm[max(0, mark.start - 60) : mark.end]
            if _TOOL.search(around):
                return "tool_change"
            return "repair"
        if mark.code in _WORK:
            return _WORK[mark.code]
        if mark.code in {"stop", "hold", "inspect"}:
            continue
        return None
    return None
