"""Times counted from now: 马上, 两小时内, "asap", "within 2 hours"."""

# ruff: noqa: E501, PLR2004 - patterns of whole phrases; hours, days and lengths as figures

import re
from collections.abc import Iterator
from datetime import datetime

from nlp import numerals
from nlp.due.days import later
from nlp.due.hit import Hit
from nlp.due.words import EN_NUMBER, NUMBER

_NOW_ZH = r"尽快|尽早|尽速|从速|速速|赶紧|赶快|马上|立即|立刻|立马|即刻|火速|越快越好|第一时间|抓紧时间|抓紧|现在就|速度来|速来|速(?=[修换派处来查])|快(?=来人|来修|派|点来|点派|点修|点处理|来看|来个人)|快点|快些|即时|当即|马上就|这就"


_NOW_EN = r"a\.?s\.?a\.?p\b\.?|as soon as (?:possible|you can|u can)|right away|right now|straight away|straightaway|immediately|at once|without delay|this instant|pronto|instantly|soonest|now(?=\s*(?:[!.,;。?)]|$|please|pls|and\b))"


_NOW = re.compile(rf"{_NOW_ZH}|\b(?:{_NOW_EN})(?![a-z])")


_NOT_NOW = re.compile(
    r"(?:不用|不必|不需要|无需|别|not|no need to|needn't|until|till|just|right|by|it|is|are|we|they|but|machine|up to|ok|okay|fine|good|quiet|running|works|normal|fixed|for|from|even|and|is|it's|than|gone)\s*$"
)


def now_hits(norm: str, now: datetime) -> Iterator[Hit]:
    """Words that ask for it at once; the moment is `now`."""
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
    rf"(?:最迟|务必|请)?(?P<n>{NUMBER})\s*(?P<ge>个)?(?P<half>半)?\s*(?P<u>小时|钟头|钟|分钟|分|天|日|周|星期|礼拜|h|min)(?P<half2>半)?\s*(?P<end>之?内|以内|之?后(?!又|就|还|漏|响|出|再|发|开|坏|停)|以后(?!又|就|还))"
)


_REL_EN = re.compile(
    rf"\b(?P<pre>within(?: the next| the)?|in the next|inside(?: of)?|in less than|no more than|over the next|for the next|in)\s+(?P<n>{EN_NUMBER})?\s*(?P<half>and a half )?(?P<u>hours?|hrs?|h|minutes?|mins?|min|days?|d|weeks?|business days?|working days?|shifts?)\b(?! (?:of|ago|a ))"
)


_EN_FROM_NOW = re.compile(
    rf"\b(?P<n>{EN_NUMBER})\s*(?P<u>hours?|hrs?|h|minutes?|mins?|days?|weeks?) (?:max|maximum|at most|from now|at the latest)\b"
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


def relative_hits(norm: str, now: datetime) -> Iterator[Hit]:
    """Spans of hours, days or weeks counted from `now`."""
    for found in _REL_ZH.finditer(norm):
        amount = numerals.value_of(found["n"])
        if amount is None or amount > 1000:
            continue
        amount += 0.5 if (found["half"] and found["ge"]) or found["half2"] else 0
        start = found.start("n")
        yield Hit(start, found.end(), later(now, amount * _HOURS[found["u"]]), "relative", strong=True)
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
            yield Hit(found.start(), found.end(), later(now, hours), "relative", strong=strong)
