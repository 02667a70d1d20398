"""When it is wanted: phrases such as 明早8点前, 月底前, "by Friday 5pm", "within 2 hours" into a moment.

Works in the site's time zone on a normalised text. Past times, narrated times and clock directions are none.
"""

# ruff: noqa: E501, PLR2004 - patterns of whole phrases; reaches in characters; signs as people type them

import calendar
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from gateway.core.asset import Shift, Site
from nlp import numerals

_N = rf"(?:\d{{1,6}}(?:\.\d{{1,4}})?|[{numerals.ZH}]{{1,6}})"
_EN_N = rf"(?:\d{{1,6}}(?:\.\d{{1,4}})?|{numerals.ENGLISH}|an?)"
_DAYS_ZH = {
    "一": 0,
    "二": 1,
    "三": 2,
    "四": 3,
    "五": 4,
    "六": 5,
    "日": 6,
    "天": 6,
    "末": 4,
    "1": 0,
    "2": 1,
    "3": 2,
    "4": 3,
    "5": 4,
    "6": 5,
}
_DAYS_EN = {"mon": 0, "tue": 1, "wed": 2, "thu": 3, "fri": 4, "sat": 5, "sun": 6}
_MONTHS = {
    m: at + 1
    for at, m in enumerate(["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"])
}
_PART_HOURS = {
    "凌晨": 0, "清早": 8, "清晨": 8, "早上": 8, "早晨": 8, "一早": 8, "早": 8, "上午": 9, "中午": 12, "正午": 12, "下午": 14, "午后": 14,
    "傍晚": 18, "晚上": 20, "晚间": 20, "夜里": 20, "夜间": 20, "晚": 20, "半夜": 0, "午夜": 0,
    "morning": 9, "noon": 12, "midday": 12, "afternoon": 14, "evening": 20, "tonight": 20, "night": 20, "midnight": 0, "lunch": 12, "lunchtime": 12,
}  # fmt: skip
_PM = {
    "下午",
    "傍晚",
    "晚上",
    "晚间",
    "夜里",
    "夜间",
    "晚",
    "午后",
    "afternoon",
    "evening",
    "tonight",
    "night",
    "pm",
    "p.m.",
    "p.m",
}
_NOW_ZH = r"尽快|尽早|尽速|从速|速速|赶紧|赶快|马上|立即|立刻|立马|即刻|火速|越快越好|第一时间|抓紧时间|抓紧|现在就|速度来|速来|速(?=[修换派处来查])|快(?=来人|来修|派|点来|点派|点修|点处理|来看|来个人)|快点|快些|即时|当即|马上就|这就"
_NOW_EN = r"a\.?s\.?a\.?p\b\.?|as soon as (?:possible|you can|u can)|right away|right now|straight away|straightaway|immediately|at once|without delay|this instant|pronto|instantly|soonest|now(?=\s*(?:[!.,;。?)]|$|please|pls|and\b))"
_DAY_ZH = (
    rf"(?P<day>大后天|后天|后日|明天|明日|明儿|今天|今日|今儿|当天|当日|昨天|昨日|昨儿|前天|昨|前日|大前天|次日|第二天|隔天"
    rf"|(?P<week>下下个?|下个?|上个?|本|这个?|)(?:周|星期|礼拜)(?P<wd>[一二三四五六日天末1-6])(?!班|期)"
    rf"|(?P<y>\d{{4}})[年/.-](?P<m>\d{{1,2}})[月/.-](?P<d>\d{{1,2}})(?:日|号)?"
    rf"|(?P<next_month>下个?月)?(?P<m2>{_N})月(?P<d2>{_N})[日号]"
    rf"|(?P<rel_month>下个?月|本月|这个月|当月)(?P<d3>{_N})[日号]"
    rf"|(?P<d4>{_N})[号日](?=之前|以前|前|上午|下午|早|晚|中午|完成|交|要用|来|\d+点)"
    rf"|明(?=早|晚|上午|下午|中午|晨)|今(?=早|晚|晨)|后(?=早|晚)|当(?=晚))"
)
_PART_ZH = r"(?P<part>凌晨|清早|清晨|早上|早晨|一早|早|上午|中午|正午|下午|午后|傍晚|晚上|晚间|夜里|夜间|晚|半夜|午夜)"
_TIME_ZH = rf"(?P<h>{_N})(?:点钟|点整|点|时(?!候|间|常|而|不时|好|高|有|多))(?P<half>半|[一1]刻|[三3]刻|(?P<min>{_N})分?)?|(?P<h2>\d{{1,2}}):(?P<min2>\d{{2}})"
_END_ZH = r"(?P<end>(?:之|以)?(?:前|内)|左右|前后)?"
_TIME_EN = r"(?P<h>\d{1,2})(?::(?P<min>\d{2}))?\s*(?P<ap>a\.?m\.?|p\.?m\.?)(?![a-z])|(?P<h2>\d{1,2}):(?P<min2>\d{2})(?:\s*(?:hrs?|h|o'clock))?(?!\d)|(?P<h3>\d{1,2}) ?o'?clock|(?P<h4>[01]\d|2[0-3])(?P<min4>[0-5]\d)\s?(?:hrs?|hours|h)\b|(?P<word>noon|midday|midnight)"
_WD_EN = r"(?:mon(?:day)?|tues?(?:day)?|wed(?:nesday|s)?|thu(?:rs?(?:day)?)?|fri(?:day)?|sat(?:urday)?|sun(?:day)?)"
_DAY_EN = (
    rf"(?P<day>the day after tomorrow|day after tomorrow|tomorrow|tmrw|tmw|tomorow|2morrow|today|yesterday|tonight|overmorrow"
    rf"|(?P<week>next|this|coming|last|the coming|this coming|on|past)?\s*\b(?P<wd>{_WD_EN})\b(?: (?P<after>next week|this week))?"
    rf"|(?P<y>\d{{4}})-(?P<m>\d{{1,2}})-(?P<d>\d{{1,2}})"
    r"|(?:the )?(?P<d5>\d{1,2})(?:st|nd|rd|th)?(?: of)? (?P<mon5>jan|feb|mar|apr|may|jun|jul|aug|sep|sept|oct|nov|dec)[a-z]*\.?(?! \d+ ?%)"
    r"|(?P<mon6>jan|feb|mar|apr|may|jun|jul|aug|sep|sept|oct|nov|dec)[a-z]*\.? (?:the )?(?P<d6>\d{1,2})(?:st|nd|rd|th)?(?![\d.]|\s?(?:mm|bar|c\b|pcs|%))"
    r"|the (?P<d7>\d{1,2})(?:st|nd|rd|th)(?! (?:shift|station|press|floor|line|time|unit|axis|op|row|zone|gear|stage|cavity|machine|part|piece|tooth)))"
)
_PRE_EN = r"(?P<pre>no later than|not later than|at the latest|latest by|latest|prior to|before|by|until|till|til|due by|due on|due|deadline is|deadline|on or before|needed by|needed for|required by|for|at|on|this|in the|around|about|from|since|after)?\s*(?:the )?"


@dataclass(frozen=True, slots=True)
class Due:
    """A wanted moment: span in the normalised text, the moment (aware, site's zone), and the rule that read it.

    `vague` says that another reading is about as good.
    """

    start: int
    end: int
    at: datetime
    rule: str
    vague: bool = False


@dataclass(frozen=True, slots=True)
class Hit:
    """A time phrase before the choice. `strong` phrases carry a limit word (前, 内, by, within)."""

    start: int
    end: int
    at: datetime | None
    rule: str
    strong: bool
    past: bool = False


def find_due(
    norm: str, reported_at: datetime, site: Site, taken: list[tuple[int, int]], wants: "list[tuple[int, int]]"
) -> tuple[Due | None, list[tuple[int, int]]]:
    """Choose the wanted moment; also give the spans of all time phrases (they are no measurements).

    `taken` are spans that belong to others (assets, lots); `wants` are the spans of asked-for work.
    """
    now = reported_at.astimezone(site.zone)
    hits = [
        hit for hit in _hits(norm, now, site) if not any(hit.start < end and start < hit.end for start, end in taken)
    ]
    hits = _outermost(hits)
    spans = [(hit.start, hit.end) for hit in hits if hit.rule != "now"]
    good = [hit for hit in hits if hit.at is not None and not hit.past and not _told(norm, hit, wants)]
    good = [hit for hit in good if hit.rule == "now" or hit.at is None or hit.at >= now - timedelta(minutes=1)]
    if not good:
        return None, spans
    timed = [hit for hit in good if hit.rule != "now"]
    strong = [hit for hit in timed if hit.strong]
    best = (strong or timed or good)[0]
    if best.at is None:
        return None, spans
    vague = len({hit.at for hit in (strong or timed)}) > 1
    return Due(best.start, best.end, best.at, best.rule, vague), spans


def _outermost(hits: list[Hit]) -> list[Hit]:
    kept: list[Hit] = []
    for hit in sorted(hits, key=lambda one: (one.start - one.end, one.start)):
        if not any(hit.start < other.end and other.start < hit.end for other in kept):
            kept.append(hit)
    return sorted(kept, key=lambda one: one.start)


def _hits(norm: str, now: datetime, site: Site) -> Iterator[Hit]:
    yield from _now_words(norm, now)
    yield from _relative(norm, now)
    yield from _shifts(norm, now, site)
    yield from _periods(norm, now, site)
    yield from _zh_points(norm, now, site)
    yield from _en_points(norm, now, site)


_NOW = re.compile(rf"{_NOW_ZH}|\b(?:{_NOW_EN})(?![a-z])")
_NOT_NOW = re.compile(
    r"(?:不用|不必|不需要|无需|别|not|no need to|needn't|until|till|just|right|by|it|is|are|we|they|but|machine|up to|ok|okay|fine|good|quiet|running|works|normal|fixed|for|from|even|and|is|it's|than|gone)\s*$"
)


def _now_words(norm: str, now: datetime) -> Iterator[Hit]:
    for found in _NOW.finditer(norm):
        before = norm[max(0, found.start() - 12) : found.start()]
        if _NOT_NOW.search(before) and (found[0] == "now" or found[0][0] >= "\u4e00"):
            continue
        if re.search(r"(?:不用|不必|无需|不需要)\s*$", before):
            continue
        if (
            found[0].startswith("马上")
            and norm[found.end() : found.end() + 1] in {"就", "要"}
            and not re.match(r"[就要](?:修|换|停|处理|检|来|更|派)", norm[found.end() :])
        ):
            continue
        yield Hit(found.start(), found.end(), now, "now", strong=True)


_REL_ZH = re.compile(
    rf"(?:最迟|务必|请)?(?P<n>{_N})\s*(?P<ge>个)?(?P<half>半)?\s*(?P<u>小时|钟头|钟|分钟|分|天|日|周|星期|礼拜|h|min)(?P<half2>半)?\s*(?P<end>之?内|以内|之?后(?!又|就|还|漏|响|出|再|发|开|坏|停)|以后(?!又|就|还))"
)
_REL_EN = re.compile(
    rf"\b(?P<pre>within(?: the next| the)?|in the next|inside(?: of)?|in less than|no more than|over the next|for the next|in)\s+(?P<n>{_EN_N})?\s*(?P<half>and a half )?(?P<u>hours?|hrs?|h|minutes?|mins?|min|days?|d|weeks?|business days?|working days?|shifts?)\b(?! (?:of|ago|a ))"
)
_EN_FROM_NOW = re.compile(
    rf"\b(?P<n>{_EN_N})\s*(?P<u>hours?|hrs?|h|minutes?|mins?|days?|weeks?) (?:max|maximum|at most|from now|at the latest)\b"
)
_HOURS = {
    "小时": 1,
    "钟头": 1,
    "钟": 1,
    "分钟": 1 / 60,
    "分": 1 / 60,
    "天": 24,
    "日": 24,
    "周": 168,
    "星期": 168,
    "礼拜": 168,
    "h": 1,
    "min": 1 / 60,
}


def _relative(norm: str, now: datetime) -> Iterator[Hit]:
    for found in _REL_ZH.finditer(norm):
        amount = numerals.value_of(found["n"])
        if amount is None or amount > 1000:
            continue
        amount += 0.5 if (found["half"] and found["ge"]) or found["half2"] else 0
        start = found.start("n")
        yield Hit(start, found.end(), _later(now, amount * _HOURS[found["u"]]), "relative", strong=True)
    for pattern in (_REL_EN, _EN_FROM_NOW):
        for found in pattern.finditer(norm):
            amount = numerals.value_of(found["n"]) if found["n"] else 1
            if found["n"] in {"a", "an"}:
                amount = 1
            if amount is None or amount > 1000 or found["u"].startswith("shift"):
                continue
            groups = found.groupdict()
            amount += 0.5 if groups.get("half") else 0
            unit = found["u"].split()[-1][0]
            hours = amount * (1 / 60 if unit == "m" else {"h": 1, "d": 24, "w": 168}[unit])
            strong = groups.get("pre") != "in"
            yield Hit(found.start(), found.end(), _later(now, hours), "relative", strong=strong)


def _later(now: datetime, hours: float) -> datetime:
    return (now.astimezone(UTC) + timedelta(hours=hours)).astimezone(now.tzinfo)


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


def _shifts(norm: str, now: datetime, site: Site) -> Iterator[Hit]:
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
        start, at = found.start(), _next_clock(now, clock.hour, clock.minute)
        day = _SHIFT_DAY.search(norm[: found.start()]) or _SHIFT_DAY_AFTER.match(norm[found.end() :])
        if day is not None:
            ahead = 2 if "后" in day[0] or "after" in day[0] else 1
            start = day.start() if day.string == norm[: found.start()] else start
            at = _wall(now.date() + timedelta(days=ahead), clock, now)
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


_SHIFT_HOURS = (
    (("早班", "白班", "日班", "morning", "early", "day", "first", "1st"), (4, 11)),
    (("中班", "late", "evening", "afternoon", "swing", "second", "2nd"), (11, 20)),
    (("夜班", "晚班", "night", "third", "3rd"), (20, 24)),
)


def end_of_shift(now: datetime, site: Site) -> datetime:
    """End of the shift that runs at `now`; between shifts that of the next one; without shifts the office's end."""
    if not site.shifts:
        return _next_clock(now, site.office_end.hour, site.office_end.minute)
    clock = now.timetz().replace(tzinfo=None)
    for shift in site.shifts:
        runs = (
            shift.start <= clock < shift.end if shift.start < shift.end else clock >= shift.start or clock < shift.end
        )
        if runs:
            return _next_clock(now, shift.end.hour, shift.end.minute)
    coming = min(site.shifts, key=lambda shift: _next_clock(now, shift.start.hour, shift.start.minute))
    begins = _next_clock(now, coming.start.hour, coming.start.minute)
    return _next_clock(begins, coming.end.hour, coming.end.minute)


_PERIOD = re.compile(
    r"(?P<eoy>年底|年末|年内|今年内|本年内|end of (?:the )?year|eoy|year[- ]end)(?:之前|以前|前|内)?"
    r"|(?P<eonm>下个?月(?:底|末)|end of next month)(?:之前|以前|前)?"
    r"|(?P<eom>本月底|这个月底|当月底|月底|月末|本月内|这个月内|当月内|月内|本月之内|月底内|end of (?:the |this )?month|eom|month[- ]end|this month)(?:之前|以前|前)?"
    r"|(?P<eonw>下周内|下周之内|下星期内|下礼拜内|下个?周末|下周(?:之前|以前|前)?(?![一二三四五六日天末])|下个?星期(?![一二三四五六日天])|下礼拜(?![一二三四五六日天])|(?:the )?end of next week|next week)(?:之前|以前|前)?"
    r"|(?P<eow>本周内|本周之内|这周内|这周之内|这个?星期内|这个?礼拜内|本星期内|本周末|这周末|周末|周内|本周(?![一二三四五六日天])|这周(?![一二三四五六日天])|这个?星期(?![一二三四五六日天])|这个?礼拜(?![一二三四五六日天])|(?:the )?end of (?:the |this )?week|eow|the weekend|this week(?!'s)|weekend)(?:之前|以前|前|内)?"
    r"|(?P<eod>(?:今天|今日|当天|今儿)(?:之内|以内|内|之前|以前|前|务必|必须|里)|当日内|今天下班|e\.?o\.?[db]\b\.?|c\.?o\.?b\b\.?|(?:the )?end of (?:the |this |today's )?(?:business|day|office hours|working day|work day|business day|today)|close of (?:business|play)|day end)"
    r"|(?P<bo>月初|下月初|下个月初)(?:之前|前)?"
)
_EN_LIMIT = re.compile(
    r"\b(?:by|before|until|till|within|no later than|not later than|latest by|prior to|at|on|due|over|during|sometime|some time|in|for|needed by|due by|at the latest by)\s+(?:the )?$"
)
_TOMORROW_EOD = re.compile(r"\s*(?:of )?(?P<day>tomorrow|today|on (?P<wd1>" + _WD_EN + r")|(?P<wd2>" + _WD_EN + r"))\b")


def _periods(norm: str, now: datetime, site: Site) -> Iterator[Hit]:
    for found in _PERIOD.finditer(norm):
        if found[0][0].isascii() and (
            (found.start() and norm[found.start() - 1].isalnum())
            or (norm[found.end() : found.end() + 1].isalpha() and norm[found.end()].isascii())
        ):
            continue
        rule = next(name for name, text in found.groupdict().items() if text)
        start, end, strong = found.start(), found.end(), True
        limit = _EN_LIMIT.search(norm[:start])
        if limit:
            start = limit.start()
        elif found[0] in {
            "this week",
            "this month",
            "next week",
            "weekend",
            "the weekend",
            "本周",
            "这周",
            "周末",
            "下周",
            "这个星期",
            "这星期",
            "下星期",
            "下礼拜",
            "这个礼拜",
            "这礼拜",
        }:
            strong = False
        day = _period_day(rule, now.date())
        if rule == "eod":
            other = _TOMORROW_EOD.match(norm[end:])
            if other:
                wd = other["wd1"] or other["wd2"]
                day = (
                    now.date() + timedelta(days=1)
                    if other["day"] == "tomorrow"
                    else (_next_weekday(now, _DAYS_EN[wd[:3]], site.office_end) if wd else day)
                )
                end += other.end()
        yield Hit(start, end, _wall(day, site.office_end, now), rule, strong=strong)


def _period_day(rule: str, today: date) -> date:
    monday = today - timedelta(days=today.weekday())
    if rule == "eow":
        return monday + timedelta(days=4 if today.weekday() <= 4 else 11)
    if rule == "eonw":
        return monday + timedelta(days=11)
    if rule == "eom":
        return today.replace(day=calendar.monthrange(today.year, today.month)[1])
    first_of_next = (today.replace(day=1) + timedelta(days=32)).replace(day=1)
    if rule == "eonm":
        return first_of_next.replace(day=calendar.monthrange(first_of_next.year, first_of_next.month)[1])
    if rule == "bo":
        return first_of_next
    if rule == "eoy":
        return today.replace(month=12, day=31)
    return today


_ZH_POINT = re.compile(
    rf"(?:{_DAY_ZH}(?:的|之)?{_PART_ZH}?(?:的)?(?:{_TIME_ZH})?|{_PART_ZH.replace('part', 'part9')}(?:{_TIME_ZH.replace('<h', '<xh').replace('<min', '<xmin').replace('<half', '<xhalf')})|(?:{_TIME_ZH.replace('<h', '<yh').replace('<min', '<ymin').replace('<half', '<yhalf')})|(?P<part8>中午|上午|下午|晚上|傍晚|午夜|半夜)(?=之前|以前|前|之内|就?(?:请|麻烦|派|安排|叫|能不能|能否|有空|抽空|抽时间)|(?:过来|过去|上来|来(?!料)|去)?(?:个?人)?(?:来|去)?(?:换|修|调|清|校|检|看|瞧|处理|弄|搞|打|加|保养)(?!的|了|过|完|好了)))"
    rf"(?P<work>下班|交班|开班|开机|上班|开工)?{_END_ZH}"
)
_DIRECTION = re.compile(r"\s*(?:钟)?(?:方向|方位|位置|处|的位置)")
_LATEST = re.compile(r"(?:最迟|最晚|务必在|务必|赶在|截止到?|截至|不晚于|不迟于|限)(?:在)?$")


def _zh_points(norm: str, now: datetime, site: Site) -> Iterator[Hit]:
    for found in _ZH_POINT.finditer(norm):
        g = found.groupdict()
        if _DIRECTION.match(norm[found.end() :]) and not g["day"]:
            continue
        if (
            norm[found.start()].isdigit()
            and found.start()
            and (norm[found.start() - 1].isalnum() or norm[found.start() - 1] in ".-#:")
        ):
            continue
        hour, minute = _clock(g)
        part = g["part"] or g["part9"] or g["part8"]
        if g["day"] is None and hour is None and part is None:
            continue
        if g["day"] is None and hour is not None and norm[found.end() : found.end() + 1] in {"多", "几"}:
            continue
        strong = (g["end"] or "").endswith(("前", "内")) or _LATEST.search(norm[: found.start()]) is not None
        start, end = found.start(), found.end()
        if not strong and g["end"]:
            end = found.start("end")
        at, past = _zh_moment(g, part, hour, minute, now, site)
        yield Hit(start, end, at, "point", strong=strong, past=past)


def _clock(g: dict[str, str | None]) -> tuple[int | None, int]:
    for prefix in ("", "x", "y"):
        if g.get(prefix + "h"):
            hour = numerals.whole(str(g[prefix + "h"]))
            half, written = g.get(prefix + "half"), g.get(prefix + "min")
            minute = 30 if half == "半" else 15 if half in {"一刻", "1刻"} else 45 if half in {"三刻", "3刻"} else 0
            if written:
                minute = numerals.whole(written) or 0
            return hour, minute
        if g.get(prefix + "h2"):
            return int(str(g[prefix + "h2"])), int(str(g[prefix + "min2"]))
    return None, 0


def _zh_moment(
    g: dict[str, str | None], part: str | None, hour: int | None, minute: int, now: datetime, site: Site
) -> tuple[datetime | None, bool]:
    if hour is not None and (hour > 24 or minute > 59):
        return None, False
    if hour is not None and part in _PM and 0 < hour < 12:
        hour += 12
    if part in {"晚上", "晚", "半夜", "午夜", "夜里", "夜间", "晚间"} and hour == 12 and g.get("h"):
        hour = 24
    if part == "中午" and hour in {1, 2}:
        hour += 12
    day = _zh_day(g, now, site)
    if g["day"] is not None and day is None:
        return None, True
    if g.get("work") in {"下班", "交班"} and hour is None:
        clock = _plain(site.office_end)
        if g["day"] in {"今天", "今日"} and g["work"] == "交班":
            return end_of_shift(now, site), False
    elif hour is not None:
        return _at_hour(day, hour, minute, now, part), False
    elif part is not None:
        clock = time(_PART_HOURS[part])
        if part in {"半夜", "午夜"} and day is not None:
            day += timedelta(days=1)
    else:
        clock = _plain(site.office_end)
    if day is None:
        return _next_clock(now, clock.hour, clock.minute), False
    at = _wall(day, clock, now)
    if g["wd"] and not g["week"] and at <= now:
        at = _wall(day + timedelta(days=7), clock, now)
    return at, False


def _at_hour(day: date | None, hour: int, minute: int, now: datetime, part: str | None) -> datetime:
    extra, hour = divmod(hour, 24)
    if day is not None:
        return _wall(day + timedelta(days=extra), time(hour, minute), now)
    if part is None and 1 <= hour <= 6 and minute == 0 and 6 <= now.hour < 18:
        afternoon = _wall(now.date(), time(hour + 12, minute), now)
        if afternoon > now:
            return afternoon
    return _next_clock(now, hour, minute)


def _zh_day(g: dict[str, str | None], now: datetime, site: Site) -> date | None:
    word, today = g["day"], now.date()
    if word is None:
        return None
    shift = {"今": 0, "当": 0, "明": 1, "次": 1, "第": 1, "隔": 1}.get(word[0])
    if g["wd"]:
        return _zh_weekday(g["week"] or "", g["wd"], now, site)
    if g["y"]:
        return _day(int(g["y"]), int(str(g["m"])), int(str(g["d"])))
    if g["m2"]:
        return _month_day(numerals.whole(str(g["m2"])), numerals.whole(str(g["d2"])), today)
    if g["d3"] or g["d4"]:
        wanted = numerals.whole(str(g["d3"] or g["d4"]))
        following = (g["rel_month"] or "").startswith("下")
        return _day_of_month(wanted, today, following=following)
    if word.startswith("大后"):
        return today + timedelta(days=3)
    if word.startswith("后"):
        return today + timedelta(days=2)
    return None if shift is None else today + timedelta(days=shift)


def _zh_weekday(week: str, wd: str, now: datetime, site: Site) -> date | None:
    today = now.date()
    monday = today - timedelta(days=today.weekday())
    number = _DAYS_ZH[wd]
    if week.startswith("上"):
        return None
    if week.startswith("下下"):
        return monday + timedelta(days=14 + number)
    if week.startswith("下"):
        return monday + timedelta(days=7 + number)
    if week:
        return monday + timedelta(days=number)
    return _next_weekday(now, number, site.office_end)


def _next_weekday(now: datetime, number: int, clock: time) -> date:
    ahead = (number - now.weekday()) % 7
    if ahead == 0 and now.timetz().replace(tzinfo=None) >= clock:
        ahead = 7
    return now.date() + timedelta(days=ahead)


def _month_day(month: int | None, day: int | None, today: date) -> date | None:
    if month is None or day is None:
        return None
    this_year = _day(today.year, month, day)
    if this_year is not None and this_year < today and (today - this_year).days > 180:
        return _day(today.year + 1, month, day)
    return this_year


def _day_of_month(day: int | None, today: date, *, following: bool) -> date | None:
    if day is None:
        return None
    here = _day(today.year, today.month, day)
    if not following and here is not None and here >= today:
        return here
    first = (today.replace(day=1) + timedelta(days=32)).replace(day=1)
    return _day(first.year, first.month, day)


def _day(year: int, month: int, day: int) -> date | None:
    try:
        return date(year, month, day)
    except ValueError:
        return None


_EN_POINT = re.compile(
    rf"\b{_PRE_EN}(?:{_DAY_EN}(?:'s)?(?:,? (?:the )?(?P<part>morning|noon|midday|afternoon|evening|night|lunchtime|lunch|midnight)\b)?(?:,? ?(?:at|by|before|around|@)? ?(?:{_TIME_EN}))?"
    rf"|(?:{_TIME_EN.replace('<h', '<xh').replace('<min', '<xmin').replace('<ap', '<xap').replace('<word', '<xword')})(?: (?P<day2>today|tomorrow|tonight|(?:on )?(?P<wd2>{_WD_EN})\b))?"
    r"|(?P<part2>this morning|this afternoon|this evening|tonight|lunchtime|lunch|noon|midday|midnight|morning|afternoon|evening)\b(?! (?:shift|check|round|walk|inspection)))"
    r"(?P<eod> (?:eod|eob|cob|close of business|end of (?:day|business)))?"
)
_STRONG_EN = {
    "no later than",
    "not later than",
    "at the latest",
    "latest by",
    "latest",
    "prior to",
    "before",
    "by",
    "until",
    "till",
    "til",
    "due by",
    "due on",
    "due",
    "deadline is",
    "deadline",
    "on or before",
    "needed by",
    "needed for",
    "required by",
}
_LATEST_EN = re.compile(r"\s*(?:at the latest|latest|deadline|max)\b")


def _en_points(norm: str, now: datetime, site: Site) -> Iterator[Hit]:
    for found in _EN_POINT.finditer(norm):
        g = found.groupdict()
        pre = (g["pre"] or "").strip()
        if norm[found.end() : found.end() + 1].isalnum() or (found.start() and norm[found.start() - 1] in ".:-#"):
            continue
        if re.match(r"\s?(?:position|o'?clock position)", norm[found.end() :]):
            continue
        if (
            (g["h3"] or g["xh3"])
            and not g["day"]
            and not g["day2"]
            and re.match(r" (?:on|of|side|area)\b", norm[found.end() :])
        ):
            continue
        if (
            g["day"]
            and re.fullmatch(r"(?:on |this |the )?(?:sun|sat|mon|wed|fri|tue|tues|thu)", g["day"].strip())
            and not pre
            and not g["week"]
            and g["h"] is None
            and g["part"] is None
            and norm[found.start() : found.start() + 3] == "sun"
        ):
            continue
        if g["part2"] in {"morning", "afternoon", "evening", "lunch"} and pre not in _STRONG_EN:
            continue
        strong = pre in _STRONG_EN or _LATEST_EN.match(norm[found.end() :]) is not None
        at, past = _en_moment(g, now, site)
        if (
            pre in {"from", "since", "after"}
            or (g["week"] in {"last", "past"})
            or (g["day"] or "").startswith("yesterday")
        ):
            past = True
        start = found.start() if pre in _STRONG_EN or pre in {"on", "at", "for"} else _start_without(found, pre)
        while norm[start] == " ":
            start += 1
        dotted = norm[found.end() - 1] == "." and re.search(r"[ap]\.m\.$", norm[: found.end()]) is None
        yield Hit(start, found.end() - dotted, at, "point", strong=strong, past=past)


def _start_without(found: re.Match[str], pre: str) -> int:
    if not pre or pre == "this":
        return found.start()
    rest = found[0][len(found["pre"]) :]
    return found.start() + len(found["pre"]) + (len(rest) - len(rest.lstrip()))


def _en_moment(g: dict[str, str | None], now: datetime, site: Site) -> tuple[datetime | None, bool]:
    hour, minute = _en_clock(g)
    part = g["part"] or (g["part2"] or "").removeprefix("this ") or None
    if (g["day"] or "").strip() == "tonight" or g["day2"] == "tonight":
        part = "tonight"
    if hour is not None and (hour > 24 or minute > 59):
        return None, False
    if hour is not None and part in _PM and 0 < hour < 12 and not (g["ap"] or g["xap"]):
        hour += 12
    day = _en_day(g, now, site)
    if (g["day"] or g["day2"]) and day is None:
        return None, True
    if g["part2"] and g["part2"].startswith("this ") and day is None:
        day = now.date()
    if g["part2"] == "tonight":
        day = now.date()
    if hour is not None:
        return _en_at_hour(day, hour, minute, now, bare=not (g["ap"] or g["xap"] or part)), False
    if part is not None:
        clock = time(_PART_HOURS[part])
        if part == "midnight" and day is not None:
            day += timedelta(days=1)
    else:
        clock = _plain(site.office_end)
    if day is None:
        return _next_clock(now, clock.hour, clock.minute), False
    at = _wall(day, clock, now)
    if (g["wd"] or g["wd2"]) and not g["week"] and at <= now:
        at = _wall(day + timedelta(days=7), clock, now)
    return at, False


def _en_at_hour(day: date | None, hour: int, minute: int, now: datetime, *, bare: bool) -> datetime:
    return _at_hour(day, hour, minute, now, None if bare else "am")


def _en_clock(g: dict[str, str | None]) -> tuple[int | None, int]:
    for prefix in ("", "x"):
        ap = (g.get(prefix + "ap") or "").replace(".", "")
        for hour_name, minute_name in (("h", "min"), ("h2", "min2"), ("h3", ""), ("h4", "min4")):
            written = g.get(prefix + hour_name)
            if written:
                hour = int(written)
                if ap == "pm" and hour < 12:
                    hour += 12
                if ap == "am" and hour == 12:
                    hour = 0
                return hour, int((g.get(prefix + minute_name) if minute_name else None) or 0)
        word = g.get(prefix + "word")
        if word:
            return (24 if word == "midnight" else 12), 0
    return None, 0


def _en_day(g: dict[str, str | None], now: datetime, site: Site) -> date | None:
    word, today = (g["day"] or g["day2"] or "").strip(), now.date()
    if not word:
        return None
    if "day after" in word or word == "overmorrow":
        return today + timedelta(days=2)
    if word.startswith(("tomo", "tm", "2mo")):
        return today + timedelta(days=1)
    if word in {"today", "tonight"}:
        return today
    if word == "yesterday":
        return None
    wd = g["wd"] or g["wd2"]
    if wd:
        return _en_weekday(g["week"] or "", g["after"] or "", _DAYS_EN[wd[:3]], now, site)
    if g["y"]:
        return _day(int(g["y"]), int(str(g["m"])), int(str(g["d"])))
    if g["mon5"] or g["mon6"]:
        return _month_day(_MONTHS[str(g["mon5"] or g["mon6"])[:3]], int(str(g["d5"] or g["d6"])), today)
    return _day_of_month(int(str(g["d7"])), today, following=False) if g["d7"] else None


def _en_weekday(week: str, after: str, number: int, now: datetime, site: Site) -> date | None:
    monday = now.date() - timedelta(days=now.weekday())
    if week in {"last", "past"}:
        return None
    if week == "next" or after == "next week":
        return monday + timedelta(days=7 + number)
    if week == "this" or after == "this week":
        day = monday + timedelta(days=number)
        return day if day >= now.date() else day + timedelta(days=7)
    return _next_weekday(now, number, site.office_end)


def _plain(clock: time) -> time:
    return time(clock.hour, clock.minute)


def _wall(day: date, clock: time, now: datetime) -> datetime:
    """The wall clock on that day; a clock that spring skips is moved on."""
    wall = datetime.combine(day, clock, tzinfo=now.tzinfo)
    return wall.astimezone(UTC).astimezone(now.tzinfo)


def _next_clock(now: datetime, hour: int, minute: int) -> datetime:
    today = _wall(now.date(), time(hour, minute), now)
    return today if today > now else _wall(now.date() + timedelta(days=1), time(hour, minute), now)


_TOLD_AFTER = re.compile(
    r"^[\s,]*(?:左右|前后)?[\s,]*(?:就|开始|起|时?发现|出现|发生|已经?|刚|才|又|还|曾|突然|巡检|点检|检查时|开机时|报的?警|停的?机|坏|漏|响|报修|的报修|的时候|换的|修的|修过|修好|换过|换了|修了|装的|以来|到现在|至今|那次|生产的|做的|出的|跳|卡|做了|加了|打了|[^,。;!?]{0,4}(?:发现|出现|坏了|漏了|停了|响了|跳了|跳闸))"
    r"|^[\s,]*(?:it |we |the \w+ |they |operator |i |there )?(?:started|noticed|found|saw|heard|stopped|tripped|failed|broke|began|alarmed|went|jammed|reported|happened|was|were|had|leaked|shut|seen|first|discovered|came|blew|died|the \w+ (?:started|stopped|tripped|failed|broke|went|jammed|was|leaked))\b"
)
_TOLD_BEFORE = re.compile(
    r"(?:自从?|从|昨天|昨晚|前天|上周|上次|刚才|已于|曾于|发生在|出现在|生产日期|日期|是|发现于|今早|有|自)\s*$"
    r"|\b(?:since|at around|started|began|noticed|found|happened|stopped|tripped|failed|reported|until|from|repaired|replaced|changed|fixed|done|serviced|last|was|every|each|shipped|made|produced|dated|were|calibrated|broke|alarm|alarmed|again|down|leaking|inspected|checked|came in|went out)(?: (?:down|out|off|it|again|up|dead))?(?: (?:at|on|around|about))?\s*$"
)
_FUTURE_TALK = re.compile(
    r"^[\s,]*(?:的?(?:要用|有客户|要交|要赶|要出|要发|就要|客户|急用|订单|生产|交货|客户|发货|审核|计划|会议|出货|就要|要开|要生产|有批|的货|班|排产)|'?s? (?:shipment|order|delivery|production|run|audit|shift|batch|meeting|customer|truck))"
)


_TODAY = re.compile(r"今天|今日|今儿|当天|当日|today|this (?:morning|week|month)|本周|这周|这个?星期")
_BREAK = re.compile(r"[,;。!?\n]|\. ")


def _close(norm: str, hit: Hit, want: tuple[int, int]) -> bool:
    """Whether the work is asked for in the same breath."""
    between = norm[min(hit.end, want[1]) : max(hit.start, want[0])]
    return len(between) <= 25 and not _BREAK.search(between)


def _asked_with(norm: str, hit: Hit, wants: list[tuple[int, int]]) -> bool:
    """Whether a time without a limit word goes with asked-for work: in its clause, or the clause is the time alone."""
    if not wants:
        return False
    start, end = hit.start, hit.end
    while start > 0 and not _BREAK.match(norm, start - 1):
        start -= 1
    while end < len(norm) and not _BREAK.match(norm, end):
        end += 1
    if any(start <= first < end for first, _ in wants):
        return True
    return len((norm[start : hit.start] + norm[hit.end : end]).strip()) <= 8


def _told(norm: str, hit: Hit, wants: list[tuple[int, int]]) -> bool:
    """Whether the time is part of what happened, not of what is wanted."""
    if hit.rule == "now":
        return False
    after, before = norm[hit.end : hit.end + 40], norm[max(0, hit.start - 30) : hit.start]
    if _TODAY.fullmatch(norm[hit.start : hit.end]) and not hit.strong:
        return not any(_close(norm, hit, want) for want in wants)
    if _TOLD_AFTER.search(after) and not hit.strong:
        return True
    if _TOLD_BEFORE.search(before) and not hit.strong:
        return True
    if not hit.strong and _FUTURE_TALK.search(after):
        return True
    if hit.strong or hit.rule not in {"point", "relative", "shift"}:
        return False
    return not _asked_with(norm, hit, wants)
