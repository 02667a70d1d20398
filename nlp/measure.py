"""Measurements: a number with a unit of the contract's list, both ends of a range, deviations by size."""

# ruff: noqa: E501 - patterns of whole phrases; reaches in characters; signs as people type them

import re
from dataclasses import dataclass

from nlp import numerals

_NUMBER = rf"(?:{numerals.ARABIC}|{numerals.CHINESE})"
_EN_WORD = rf"(?:{numerals.ENGLISH})"
_UNITS: tuple[tuple[str, str, float], ...] = (
    ("mm/s", r"mm/s(?:ec)?(?:ond)?|mm per sec(?:ond)?|毫米每秒|毫米/秒|mm/秒", 1),
    ("um", r"μm|um|微米|microns?|mikrons?|mu\b", 1),
    ("mm", r"mm(?![/²2³3]| ?hg)|毫米|millimet(?:er|re)s?|mils?(?=\b)(?!l)", 1),
    ("mm", r"丝(?!杆|杠|锥|印|网|线|攻|口|扣|堵|断|头|轮|机|材|径|筒|材|绳|套|盘)|(?<!\d)(?!)", 0.01),
    ("mm", r"道(?=[,;。!?)\s]|$|左右|以上|的误差|误差|偏差)", 0.01),
    (
        "degC",
        r"°c|摄氏度|℃|deg\.? ?c(?:elsius)?|degrees? ?c(?:elsius)?|celsius|centigrade|度c|c(?![a-z0-9/²-])(?! ?(?:class|grade|side|zone|shift|line))|度(?!数|角|以内的角)|deg(?:rees?)?(?! ?(?:f\b|fahrenheit|angle|off|rotation|out))|°(?! ?f)",
        1,
    ),
    ("MPa", r"mpa|兆帕", 1),
    ("kPa", r"kpa|千帕", 1),
    ("bar", r"bars?(?![a-z])|barg|巴(?![掌])", 1),
    (
        "rpm",
        r"rpm|r/min|转/分钟?|转每分钟?|rev(?:olution)?s?/min|转(?!不|动|速|子|向|轴|轮|盘|了|起|得|换|台|个|序|移|弯|角|接|矩|印)",
        1,
    ),
    ("Hz", r"hz|赫兹|赫", 1),
    ("dB", r"db\(?a?\)?|分贝|decibels?", 1),
    ("%", r"%|percent|pct|个百分点|个点", 1),
    ("kg", r"kgs?(?![/a-z])|公斤|千克|kilos?|kilograms?", 1),
    ("L", r"l(?![/a-z0-9-])|lit(?:er|re)s?|升(?!降|温|高|到|至|起|了|速|压|级)", 1),
    ("min", r"min(?:ute)?s?(?![a-z])|分钟", 1),
    ("h", r"hours?|hrs?|h(?![a-z0-9])|个?半?小时|个?钟头", 1),
    ("s", r"s(?![a-z0-9/'-])|sec(?:ond)?s?(?![a-z])|秒钟?", 1),
    ("A", r"a(?![a-z0-9/'#-])|amps?|amperes?|安培?(?![全装排检])", 1),
    ("V", r"v(?![a-z0-9/-])|volts?|伏特?", 1),
    ("g", r"g(?![a-z0-9/-])|grams?|克(?![服重])", 1),
)
_ASCII_ONLY = {"A", "V", "s", "g", "rpm", "h", "L"}
_UNIT = "|".join(f"(?P<u{at}>{pattern})" for at, (_, pattern, _) in enumerate(_UNITS))
_JOIN = r"\s*(?:-|~|~|到|至|to|and|or|–|x|降到|掉到|升到|跌到|涨到|变成|降至|升至)\s*"
_SIGN = r"(?P<sign>[+\-±]|正负|负|正|零下|minus |plus |\+/- ?)?\s*"
_MEASURE = re.compile(
    rf"(?<![a-z0-9.#/-])(?:(?P<low>{_NUMBER})(?P<join>{_JOIN}))?{_SIGN}(?P<n>{_NUMBER}|{_EN_WORD})(?:[ \-]*(?P<ge>个)?)\s*(?:{_UNIT})"
)
_PERCENT_ZH = re.compile(rf"百分之(?P<n>{_NUMBER})")
_TENTHS = re.compile(r"(?P<n>[一二三四五六七八九两])成(?![型品功形都本份分立为])")
_ANGLE = re.compile(
    r"(?:角度?|倾斜|旋转|转了?|偏转|摆|angle|tilt|rotat\w*|phase|taper|bend|弯|锥)\s*(?:偏|差|了|by|of|off|is|about|约)*\s*$"
)
_SIGNED = {"degC", "dB"}
_HALF = re.compile(r"个?半小时|个?半钟头")


@dataclass(frozen=True, slots=True)
class Measure:
    """One measurement at [start, end) of the normalised text; a range has two values and one span."""

    start: int
    end: int
    values: tuple[tuple[float, str], ...]


def find_measures(norm: str, taken: list[tuple[int, int]]) -> list[Measure]:
    """All measurements in the order of the text, outside the spans in `taken`."""
    found: list[Measure] = []
    for hit in _MEASURE.finditer(norm):
        measure = _read(norm, hit)
        if measure is not None:
            found.append(measure)
    for pattern, factor in ((_PERCENT_ZH, 1.0), (_TENTHS, 10.0)):
        for hit in pattern.finditer(norm):
            value = numerals.value_of(hit["n"])
            if value is not None:
                found.append(Measure(hit.start(), hit.end(), ((value * factor, "%"),)))
    clear = [one for one in found if not any(one.start < end and start < one.end for start, end in taken)]
    return sorted(clear, key=lambda one: one.start)


def _read(norm: str, hit: re.Match[str]) -> Measure | None:
    at = next(at for at in range(len(_UNITS)) if hit[f"u{at}"] is not None)
    unit, _, factor = _UNITS[at]
    written, end = hit[f"u{at}"], hit.end()
    following = norm[end : end + 1]
    if written[-1].isascii() and written[-1].isalpha() and following.isascii() and following.isalpha():
        return None
    number = hit["n"]
    if unit in _ASCII_ONLY and not number[0].isdigit() and unit not in {"h", "s", "L"}:
        return None
    if number[0].isalpha() and number[0].isascii() and len(written) == 1:
        return None
    if (
        unit == "degC"
        and written in {"度", "deg", "degree", "degrees", "°"}
        and _ANGLE.search(norm[max(0, hit.start() - 10) : hit.start("n")])
    ):
        return None
    if written == "c" and norm[hit.end("n") : hit.start(f"u{at}")].strip():
        return None
    value = numerals.value_of(number)
    if value is None or (written.startswith("mil") and "milli" not in written):
        return None
    if "半" in written:
        value = value + 0.5
    negative = hit["sign"] in {"-", "负", "零下", "minus "} and unit in _SIGNED and not hit["low"]
    values = [(_round((-value if negative else value) * factor), unit)]
    start = hit.start("sign") if negative or hit["sign"] == "±" else hit.start("n")
    if hit["low"]:
        low = numerals.value_of(hit["low"])
        if low is not None and hit["join"].strip() != "x":
            if "," in hit["low"] or (
                hit["join"].strip() in {"and", "or"} and "between" not in norm[max(0, hit.start() - 10) : hit.start()]
            ):
                return Measure(start, end, tuple(values))
            values.insert(0, (_round(low * factor), unit))
            start = hit.start("low")
    if _is_more(norm, end, unit):
        return None
    return Measure(start, end, tuple(values))


def _is_more(norm: str, end: int, unit: str) -> bool:
    """Whether the unit goes on into one that is outside the list (kg/cm2, L/min, mm2)."""
    return norm[end : end + 1] in {"/", "²", "³"} and unit != "%" and norm[end + 1 : end + 2].isalpha()


def _round(value: float) -> float:
    return round(value, 9)
