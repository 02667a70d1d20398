"""Times told by the shifts of a site: 交班前, 夜班前, "by end of shift", "before the night shift"."""

# ruff: noqa: E501 - patterns of whole phrases

import re
from collections.abc import Iterator
from datetime import datetime, timedelta

from gateway.core.asset import Shift, Site
from nlp.due.days import next_clock, wall_clock
from nlp.due.hit import Hit

_SHIFT_END = re.compile(
    r"下班(?:之前|以前|前)|交(?:接)?班(?:之前|以前|前|时)|本班(?:次)?(?:结束)?(?:之内|以内|内|前|次内|之前|里)|这个班(?:内|次内|结束前|之内|里)?|当班(?:内|结束前|之内)|班(?:结束|次结束)前|本班(?=修|处理|完成|搞|弄|调|换|解决)|换班(?:之)?前"
    r"|\b(?:by |before |until |within |during |at |prior to )?(?:the )?(?:end of (?:the |this |my |our |current )?shift|eos|shift end|shift change|shift changeover|shift handover|handover|end of the current shift|this shift)\b"
)


_SHIFT_NAMED = re.compile(
    r"(?P<name>夜班|晚班|白班|早班|中班|日班|[甲乙丙丁a-d]班)(?P<what>接班前|开始前|上班前|来之前|之前|前|结束前|下班前|结束之前|内)"
    r"|\b(?:by|before) (?:the )?(?:(?P<when>start|end|beginning) of )?(?:the )?(?P<en>night|day|morning|early|late|evening|afternoon|swing|first|second|third|1st|2nd|3rd|next|[a-e])[ -]shift(?P<tail> starts| begins| ends| takes over| comes in| arrives| is over| start| end)?\b"
)


_SHIFT_NAMES = {
    "夜班": ("night", "夜", "晚", "c", "3", "late"), "晚班": ("night", "evening", "late", "夜", "晚", "中"), "白班": ("day", "白", "日", "早", "a", "early", "morning"),
    "日班": ("day", "白", "日", "早", "early"), "早班": ("early", "morning", "早", "day", "白", "日", "a", "1", "first"), "中班": ("late", "middle", "swing", "afternoon", "evening", "second", "中", "b", "2"),
    "night": ("night", "夜", "晚", "third", "c"), "day": ("day", "白", "日", "early", "first", "早", "morning"), "morning": ("morning", "early", "早", "day", "first", "白"),
    "early": ("early", "morning", "早", "day", "first"), "late": ("late", "evening", "afternoon", "second", "swing", "中", "晚"), "evening": ("evening", "late", "second", "afternoon", "swing", "中", "晚"),
    "afternoon": ("afternoon", "late", "second", "swing", "evening", "中"), "swing": ("swing", "second", "afternoon", "late", "evening", "中"), "first": ("first", "1", "early", "morning", "day", "早", "a"),
    "second": ("second", "2", "late", "afternoon", "swing", "evening", "中", "b"), "third": ("third", "3", "night", "夜", "c"), "1st": ("first", "1", "early", "day"), "2nd": ("second", "2", "late", "afternoon"), "3rd": ("third", "3", "night"),
}  # fmt: skip


_SHIFT_DAY = re.compile(r"(?:明天|明日|明晚|明早|后天|明)的?$")


_SHIFT_DAY_AFTER = re.compile(r" (?:the )?(?:day after tomorrow|tomorrow)\b")


_SHIFT_HOURS = (
    (("早班", "白班", "日班", "morning", "early", "day", "first", "1st"), (4, 11)),
    (("中班", "late", "evening", "afternoon", "swing", "second", "2nd"), (11, 20)),
    (("夜班", "晚班", "night", "third", "3rd"), (20, 24)),
)


def shift_hits(norm: str, now: datetime, site: Site) -> Iterator[Hit]:
    """Phrases that name a shift's start or end."""
    for found in _SHIFT_END.finditer(norm):
        end = found.end()
        yield Hit(found.start(), end, end_of_shift(now, site), "shift", strong=found[0] != "this shift")
    for found in _SHIFT_NAMED.finditer(norm):
        name = found["name"] or found["en"]
        if name == "next":
            yield Hit(found.start(), found.end(), end_of_shift(now, site), "shift", strong=True)
            continue
        shift = _shift_called(site, name)
        if shift is None:
            continue
        what = (found["what"] or "") + (found["when"] or "") + (found["tail"] or "")
        ends = any(word in what for word in ("结束", "下班", "内", "end", "over"))
        clock = shift.end if ends else shift.start
        start, at = found.start(), next_clock(now, clock.hour, clock.minute)
        day = _SHIFT_DAY.search(norm[: found.start()]) or _SHIFT_DAY_AFTER.match(norm[found.end() :])
        if day is not None:
            ahead = 2 if "后" in day[0] or "after" in day[0] else 1
            start = day.start() if day.string == norm[: found.start()] else start
            at = wall_clock(now.date() + timedelta(days=ahead), clock, now)
        yield Hit(start, found.end() + (day.end() if day and start == found.start() else 0), at, "shift", strong=True)


def _shift_called(site: Site, name: str) -> Shift | None:
    for wanted in _SHIFT_NAMES.get(name, (name.removesuffix("班"), name)):
        for shift in site.shifts:
            called = shift.name.lower()
            if (
                called == wanted
                or (len(wanted) > 1 and wanted in called)
                or (not wanted.isascii() and wanted in called)
            ):
                return shift
    return _shift_at(site, name)


def _shift_at(site: Site, name: str) -> Shift | None:
    """The shift whose hours fit the name, where the plant calls its shifts A, B, C."""
    hours = next((span for words, span in _SHIFT_HOURS if name in words), None)
    if hours is None:
        return None
    return next((shift for shift in site.shifts if hours[0] <= shift.start.hour < hours[1]), None)


def end_of_shift(now: datetime, site: Site) -> datetime:
    """End of the shift that runs at `now`; between shifts that of the next one; without shifts the office's end."""
    if not site.shifts:
        return next_clock(now, site.office_end.hour, site.office_end.minute)
    clock = now.timetz().replace(tzinfo=None)
    for shift in site.shifts:
        runs = (
            shift.start <= clock < shift.end if shift.start < shift.end else clock >= shift.start or clock < shift.end
        )
        if runs:
            return next_clock(now, shift.end.hour, shift.end.minute)
    coming = min(site.shifts, key=lambda shift: next_clock(now, shift.start.hour, shift.start.minute))
    begins = next_clock(now, coming.start.hour, coming.start.minute)
    return next_clock(begins, coming.end.hour, coming.end.minute)
