"""Numerals as people write them: 37, 1,200, 0,03, 十二点五, 两, 半, "a dozen"."""

# ruff: noqa: E501, PLR2004, RUF001 - whole phrases in one pattern; reaches in characters; a word read anew; signs as typed

import re

ZH = "零〇一二两三四五六七八九十百千万半俩仨廿"
_DIGIT = {
    "零": 0,
    "〇": 0,
    "一": 1,
    "二": 2,
    "两": 2,
    "俩": 2,
    "三": 3,
    "仨": 3,
    "四": 4,
    "五": 5,
    "六": 6,
    "七": 7,
    "八": 8,
    "九": 9,
}
_TENS = {"十": 10, "百": 100, "千": 1000}
_EN = {
    "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9, "ten": 10, "eleven": 11,
    "twelve": 12, "thirteen": 13, "fourteen": 14, "fifteen": 15, "sixteen": 16, "seventeen": 17, "eighteen": 18, "nineteen": 19,
    "twenty": 20, "thirty": 30, "forty": 40, "fifty": 50, "sixty": 60, "seventy": 70, "eighty": 80, "ninety": 90, "hundred": 100,
    "dozen": 12, "half": 0.5, "couple": 2, "a": 1, "an": 1, "single": 1,
}  # fmt: skip
ARABIC = r"\d{1,3}(?:,\d{3}){1,4}(?:\.\d{1,9})?|\d{1,12}(?:[.,]\d{1,9})?"
CHINESE = rf"[{ZH}]{{1,10}}(?:点[零〇一二三四五六七八九]{{1,6}})?"
_WORDS = "|".join(sorted(set(_EN) - {"a", "an", "half", "couple", "single", "dozen"}, key=len, reverse=True))
ENGLISH = rf"(?:half an?|an? couple(?: of)?|(?:a |two |half a )?dozen|(?:{_WORDS})(?:[ -](?:{_WORDS}))?)"
_THOUSANDS = re.compile(r"^\d{1,3}(?:,\d{3})+(?:\.\d+)?$")


def value_of(written: str) -> float | None:
    """Read a number; None when it is none."""
    written = written.strip().lower()
    if not written:
        return None
    if written[0].isdigit():
        return _arabic(written)
    if written[0] in ZH:
        return _chinese(written)
    return _english(written)


def whole(written: str) -> int | None:
    """Read a whole number; None when it is none."""
    value = value_of(written)
    return int(value) if value is not None and value == int(value) else None


def _arabic(written: str) -> float | None:
    plain = written.replace(",", "") if _THOUSANDS.match(written) else written.replace(",", ".")
    try:
        value = float(plain)
    except ValueError:
        return None
    return value if value < 1e15 else None


def _chinese(written: str) -> float | None:
    if written == "半":
        return 0.5
    head, _, tail = written.partition("点")
    half = 0.0
    if head.endswith("半") and len(head) > 1:
        head, half = head[:-1], 0.5
    base = _chinese_whole(head)
    if base is None:
        return None
    if tail:
        digits = [_DIGIT.get(char) for char in tail]
        if None in digits:
            return None
        return float(f"{base}.{''.join(str(d) for d in digits)}")
    return base + half


def _chinese_whole(written: str) -> int | None:
    if written and all(char in _DIGIT for char in written):
        return int("".join(str(_DIGIT[char]) for char in written)) if len(written) <= 9 else None
    total, section, digit, unit_before = 0, 0, 0, 1
    for char in written:
        if char in _DIGIT:
            digit = _DIGIT[char]
            unit_before = 1 if char in "零〇" else unit_before
        elif char == "廿":
            section, digit = section + 20, 0
        elif char in _TENS:
            unit_before = _TENS[char]
            section += (digit or 1) * unit_before
            digit = 0
        elif char == "万":
            total, section, digit = (total + section + digit) * 10_000, 0, 0
        else:
            return None
    if digit and unit_before >= 100:
        digit *= unit_before // 10
    return total + section + digit


def _english(written: str) -> float | None:
    words = re.split(r"[ -]+", written)
    if "half" in words and "dozen" in words:
        return 6
    if "dozen" in words:
        return 24 if "two" in words else 12
    if "half" in words:
        return 0.5
    if "couple" in words:
        return 2
    total = 0.0
    for word in words:
        if word not in _EN:
            return None
        total = (total or 1) * 100 if word == "hundred" else total + _EN[word]
    return total
