"""English points in time: "by Friday 5pm", "tomorrow morning", "before June 3rd", "by noon"."""

# ruff: noqa: E501, PLR2004 - patterns of whole phrases; hours, days and lengths as figures

import re
from collections.abc import Iterator
from datetime import date, datetime, time, timedelta

from gateway.core.asset import Site
from nlp.due.days import at_hour, date_of, day_of_month, month_day, next_clock, next_weekday, plain, wall_clock
from nlp.due.hit import Hit
from nlp.due.words import EN_DAYS, EN_WEEKDAY, PART_HOURS, PM

_MONTHS = {
    m: at + 1
    for at, m in enumerate(["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"])
}


_TIME_EN = r"(?P<h>\d{1,2})(?::(?P<min>\d{2}))?\s*(?P<ap>a\.?m\.?|p\.?m\.?)(?![a-z])|(?P<h2>\d{1,2}):(?P<min2>\d{2})(?:\s*(?:hrs?|h|o'clock))?(?!\d)|(?P<h3>\d{1,2}) ?o'?clock|(?P<h4>[01]\d|2[0-3])(?P<min4>[0-5]\d)\s?(?:hrs?|hours|h)\b|(?P<word>noon|midday|midnight)"


_DAY_EN = (
    rf"(?P<day>the day after tomorrow|day after tomorrow|tomorrow|tmrw|tmw|tomorow|2morrow|today|yesterday|tonight|overmorrow"
    rf"|(?P<week>next|this|coming|last|the coming|this coming|on|past)?\s*\b(?P<wd>{EN_WEEKDAY})\b(?: (?P<after>next week|this week))?"
    rf"|(?P<y>\d{{4}})-(?P<m>\d{{1,2}})-(?P<d>\d{{1,2}})"
    r"|(?:the )?(?P<d5>\d{1,2})(?:st|nd|rd|th)?(?: of)? (?P<mon5>jan|feb|mar|apr|may|jun|jul|aug|sep|sept|oct|nov|dec)[a-z]*\.?(?! \d+ ?%)"
    r"|(?P<mon6>jan|feb|mar|apr|may|jun|jul|aug|sep|sept|oct|nov|dec)[a-z]*\.? (?:the )?(?P<d6>\d{1,2})(?:st|nd|rd|th)?(?![\d.]|\s?(?:mm|bar|c\b|pcs|%))"
    r"|the (?P<d7>\d{1,2})(?:st|nd|rd|th)(?! (?:shift|station|press|floor|line|time|unit|axis|op|row|zone|gear|stage|cavity|machine|part|piece|tooth)))"
)


_PRE_EN = r"(?P<pre>no later than|not later than|at the latest|latest by|latest|prior to|before|by|until|till|til|due by|due on|due|deadline is|deadline|on or before|needed by|needed for|required by|for|at|on|this|in the|around|about|from|since|after)?\s*(?:the )?"


_EN_POINT = re.compile(
    rf"\b{_PRE_EN}(?:{_DAY_EN}(?:'s)?(?:,? (?:the )?(?P<part>morning|noon|midday|afternoon|evening|night|lunchtime|lunch|midnight)\b)?(?:,? ?(?:at|by|before|around|@)? ?(?:{_TIME_EN}))?"
    rf"|(?:{_TIME_EN.replace('<h', '<xh').replace('<min', '<xmin').replace('<ap', '<xap').replace('<word', '<xword')})(?: (?P<day2>today|tomorrow|tonight|(?:on )?(?P<wd2>{EN_WEEKDAY})\b))?"
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


def en_hits(norm: str, now: datetime, site: Site) -> Iterator[Hit]:
    """English days, parts of a day and clock times; a day that is over is marked past."""
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
    if hour is not None and part in PM and 0 < hour < 12 and not (g["ap"] or g["xap"]):
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
        clock = time(PART_HOURS[part])
        if part == "midnight" and day is not None:
            day += timedelta(days=1)
    else:
        clock = plain(site.office_end)
    if day is None:
        return next_clock(now, clock.hour, clock.minute), False
    at = wall_clock(day, clock, now)
    if (g["wd"] or g["wd2"]) and not g["week"] and at <= now:
        at = wall_clock(day + timedelta(days=7), clock, now)
    return at, False


def _en_at_hour(day: date | None, hour: int, minute: int, now: datetime, *, bare: bool) -> datetime:
    return at_hour(day, hour, minute, now, None if bare else "am")


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
        return _en_weekday(g["week"] or "", g["after"] or "", EN_DAYS[wd[:3]], now, site)
    if g["y"]:
        return date_of(int(g["y"]), int(str(g["m"])), int(str(g["d"])))
    if g["mon5"] or g["mon6"]:
        return month_day(_MONTHS[str(g["mon5"] or g["mon6"])[:3]], int(str(g["d5"] or g["d6"])), today)
    return day_of_month(int(str(g["d7"])), today, following=False) if g["d7"] else None


def _en_weekday(week: str, after: str, number: int, now: datetime, site: Site) -> date | None:
    monday = now.date() - timedelta(days=now.weekday())
    if week in {"last", "past"}:
        return None
    if week == "next" or after == "next week":
        return monday + timedelta(days=7 + number)
    if week == "this" or after == "this week":
        day = monday + timedelta(days=number)
        return day if day >= now.date() else day + timedelta(days=7)
    return next_weekday(now, number, site.office_end)
