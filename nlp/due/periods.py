"""Ends of periods: 今天之内, 周末前, 月底前, "by EOB", "this week", "end of next month"."""

# ruff: noqa: E501, PLR2004 - patterns of whole phrases; hours, days and lengths as figures

import calendar
import re
from collections.abc import Iterator
from datetime import date, datetime, timedelta

from gateway.core.asset import Site
from nlp.due.days import next_weekday, wall_clock
from nlp.due.hit import Hit
from nlp.due.words import EN_DAYS, EN_WEEKDAY

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


_TOMORROW_EOD = re.compile(
    r"\s*(?:of )?(?P<day>tomorrow|today|on (?P<wd1>" + EN_WEEKDAY + r")|(?P<wd2>" + EN_WEEKDAY + r"))\b"
)


def period_hits(norm: str, now: datetime, site: Site) -> Iterator[Hit]:
    """Phrases that name the end of a day, week, month or year; the moment is the office's end on that day."""
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
                    else (next_weekday(now, EN_DAYS[wd[:3]], site.office_end) if wd else day)
                )
                end += other.end()
        yield Hit(start, end, wall_clock(day, site.office_end, now), rule, strong=strong)


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
