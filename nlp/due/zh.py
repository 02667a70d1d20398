"""Chinese points in time: 明早8点前, 下周三前, 6月3日下午, 中午前."""

# ruff: noqa: E501, PLR2004 - patterns of whole phrases; hours, days and lengths as figures

import re
from collections.abc import Iterator
from datetime import date, datetime, time, timedelta

from gateway.core.asset import Site
from nlp import numerals
from nlp.due.days import at_hour, date_of, day_of_month, month_day, next_clock, next_weekday, plain, wall_clock
from nlp.due.hit import Hit
from nlp.due.shifts import end_of_shift
from nlp.due.words import NUMBER, PART_HOURS, PM

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


_DAY_ZH = (
    rf"(?P<day>大后天|后天|后日|明天|明日|明儿|今天|今日|今儿|当天|当日|昨天|昨日|昨儿|前天|昨|前日|大前天|次日|第二天|隔天"
    rf"|(?P<week>下下个?|下个?|上个?|本|这个?|)(?:周|星期|礼拜)(?P<wd>[一二三四五六日天末1-6])(?!班|期)"
    rf"|(?P<y>\d{{4}})[年/.-](?P<m>\d{{1,2}})[月/.-](?P<d>\d{{1,2}})(?:日|号)?"
    rf"|(?P<next_month>下个?月)?(?P<m2>{NUMBER})月(?P<d2>{NUMBER})[日号]"
    rf"|(?P<rel_month>下个?月|本月|这个月|当月)(?P<d3>{NUMBER})[日号]"
    rf"|(?P<d4>{NUMBER})[号日](?=之前|以前|前|上午|下午|早|晚|中午|完成|交|要用|来|\d+点)"
    rf"|明(?=早|晚|上午|下午|中午|晨)|今(?=早|晚|晨)|后(?=早|晚)|当(?=晚))"
)


_PART_ZH = r"(?P<part>凌晨|清早|清晨|早上|早晨|一早|早|上午|中午|正午|下午|午后|傍晚|晚上|晚间|夜里|夜间|晚|半夜|午夜)"


_TIME_ZH = rf"(?P<h>{NUMBER})(?:点钟|点整|点|时(?!候|间|常|而|不时|好|高|有|多))(?P<half>半|[一1]刻|[三3]刻|(?P<min>{NUMBER})分?)?|(?P<h2>\d{{1,2}}):(?P<min2>\d{{2}})"


_END_ZH = r"(?P<end>(?:之|以)?(?:前|内)|左右|前后)?"


_ZH_POINT = re.compile(
    rf"(?:{_DAY_ZH}(?:的|之)?{_PART_ZH}?(?:的)?(?:{_TIME_ZH})?|{_PART_ZH.replace('part', 'part9')}(?:{_TIME_ZH.replace('<h', '<xh').replace('<min', '<xmin').replace('<half', '<xhalf')})|(?:{_TIME_ZH.replace('<h', '<yh').replace('<min', '<ymin').replace('<half', '<yhalf')})|(?P<part8>中午|上午|下午|晚上|傍晚|午夜|半夜)(?=之前|以前|前|之内|就?(?:请|麻烦|派|安排|叫|能不能|能否|有空|抽空|抽时间)|(?:过来|过去|上来|来(?!料)|去)?(?:个?人)?(?:来|去)?(?:换|修|调|清|校|检|看|瞧|处理|弄|搞|打|加|保养)(?!的|了|过|完|好了)))"
    rf"(?P<work>下班|交班|开班|开机|上班|开工)?{_END_ZH}"
)


_DIRECTION = re.compile(r"\s*(?:钟)?(?:方向|方位|位置|处|的位置)")


_LATEST = re.compile(r"(?:最迟|最晚|务必在|务必|赶在|截止到?|截至|不晚于|不迟于|限)(?:在)?$")


def zh_hits(norm: str, now: datetime, site: Site) -> Iterator[Hit]:
    """Chinese days, parts of a day and clock times; a day that is over is marked past."""
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
    if hour is not None and part in PM and 0 < hour < 12:
        hour += 12
    if part in {"晚上", "晚", "半夜", "午夜", "夜里", "夜间", "晚间"} and hour == 12 and g.get("h"):
        hour = 24
    if part == "中午" and hour in {1, 2}:
        hour += 12
    day = _zh_day(g, now, site)
    if g["day"] is not None and day is None:
        return None, True
    if g.get("work") in {"下班", "交班"} and hour is None:
        clock = plain(site.office_end)
        if g["day"] in {"今天", "今日"} and g["work"] == "交班":
            return end_of_shift(now, site), False
    elif hour is not None:
        return at_hour(day, hour, minute, now, part), False
    elif part is not None:
        clock = time(PART_HOURS[part])
        if part in {"半夜", "午夜"} and day is not None:
            day += timedelta(days=1)
    else:
        clock = plain(site.office_end)
    if day is None:
        return next_clock(now, clock.hour, clock.minute), False
    at = wall_clock(day, clock, now)
    if g["wd"] and not g["week"] and at <= now:
        at = wall_clock(day + timedelta(days=7), clock, now)
    return at, False


def _zh_day(g: dict[str, str | None], now: datetime, site: Site) -> date | None:
    word, today = g["day"], now.date()
    if word is None:
        return None
    shift = {"今": 0, "当": 0, "明": 1, "次": 1, "第": 1, "隔": 1}.get(word[0])
    if g["wd"]:
        return _zh_weekday(g["week"] or "", g["wd"], now, site)
    if g["y"]:
        return date_of(int(g["y"]), int(str(g["m"])), int(str(g["d"])))
    if g["m2"]:
        return month_day(numerals.whole(str(g["m2"])), numerals.whole(str(g["d2"])), today)
    if g["d3"] or g["d4"]:
        wanted = numerals.whole(str(g["d3"] or g["d4"]))
        following = (g["rel_month"] or "").startswith("下")
        return day_of_month(wanted, today, following=following)
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
    return next_weekday(now, number, site.office_end)
