"""Words of time that several readers share: numbers, weekdays and the hours that parts of a day stand for."""

# ruff: noqa: E501 - patterns of whole phrases

from nlp import numerals

NUMBER = rf"(?:\d{{1,6}}(?:\.\d{{1,4}})?|[{numerals.ZH}]{{1,6}})"


EN_NUMBER = rf"(?:\d{{1,6}}(?:\.\d{{1,4}})?|{numerals.ENGLISH}|an?)"


EN_WEEKDAY = r"(?:mon(?:day)?|tues?(?:day)?|wed(?:nesday|s)?|thu(?:rs?(?:day)?)?|fri(?:day)?|sat(?:urday)?|sun(?:day)?)"


EN_DAYS = {"mon": 0, "tue": 1, "wed": 2, "thu": 3, "fri": 4, "sat": 5, "sun": 6}


PART_HOURS = {
    "凌晨": 0, "清早": 8, "清晨": 8, "早上": 8, "早晨": 8, "一早": 8, "早": 8, "上午": 9, "中午": 12, "正午": 12, "下午": 14, "午后": 14,
    "傍晚": 18, "晚上": 20, "晚间": 20, "夜里": 20, "夜间": 20, "晚": 20, "半夜": 0, "午夜": 0,
    "morning": 9, "noon": 12, "midday": 12, "afternoon": 14, "evening": 20, "tonight": 20, "night": 20, "midnight": 0, "lunch": 12, "lunchtime": 12,
}  # fmt: skip


PM = {
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
