"""Readings: a characteristic with its value or its deviation, and the trouble that it tells of."""

# ruff: noqa: E501, PLR2004, PLW2901 - whole phrases in one pattern; reaches in characters; a word read anew

import re
from collections.abc import Sequence
from dataclasses import replace

from nlp.lexicon import Found
from nlp.marks import Mark, Owned
from nlp.setpoints import is_heated, off_setpoint

_SURFACE_WORD = re.compile(r"[a-z]")
_SIZE = "size"
_SET_ACTUAL = re.compile(
    r"(?:设定|标准|要求|目标|工艺)[^。;!?]{1,16}(?P<w>实际|现在只|实测)|(?:reads?|shows?|is at|running at|at|measured|actual(?:ly)?)\s[^.;!?]{0,16}[,]? ?(?:but |and )?(?P<w2>should be|recipe says|spec (?:is|says)|instead of|setpoint)|(?:set(?:point)?|target|spec|recipe)(?: is| to| was| at)? [\d.]+[^.;!?]{0,12}(?P<w3>actual|but (?:is|reads|only))"
)
_FLUID = re.compile(r"油|水|液|气|脂|oil|water|coolant|lube|air|gas|fluid")
_LIMIT_WORD = re.compile(
    r"超标|超限|超|超过\S*|(?:over|above|out of|beyond|below|under)(?: the)?(?: alarm| upper| lower)? (?:limit|limits|threshold)|too high|high"
)
_VALUE_WORD = re.compile(r"(?:振动|震动|噪[音声]|vibrations?|vib|noise)$")
_ANSWERS = re.compile(
    r"(?:没有?|无)(?:反应|动作|动静)|no (?:response|reaction|signal)|(?:not|doesn't|won't) respond(?:ing)?"
)
_SIGNALS = re.compile(
    r"传感|感应|探头|开关|按钮|屏|灯|电眼|光|阀|编码|sensor|switch|button|screen|panel|display|eye|probe|encoder|valve|hmi"
)
_STRAYS = re.compile(r"\b(?:drift|wander|walk|pull|run|veer|stray)(?:s|ing|ed)?\b[^,.;!?]*$|跑|走")
_STRAYING = re.compile(r"(?:keeps )?(?:drift|wander|stray|veer)(?:s|ing|ed)?")
_ALARM = re.compile(r"(?:报警|告警|异常|不正常|不对)了?|alarm(?:s|ed)?|abnormal")
_WITH_LIMIT = re.compile(
    r"(?<![\d.])(?P<v>\d{1,6}\.?\d{0,6})(?: ?(?:mm|um))?[^\d.;。!?]{0,6}(?P<w>上限|最大|max(?:imum)?|upper limit|下限|最小|min(?:imum)?|lower limit)[^\d;。!?]{0,6}(?P<l>\d{1,6}\.?\d{0,6})"
)


class Readings:
    """Reads values, limits and deviations of one text. `goods` says that the report is about goods."""

    def __init__(self, norm: str, found: Sequence[Found], owned: Owned, *, painted: bool) -> None:
        self.norm, self.found, self.owned, self.painted = norm, found, owned, painted

    def read(self, marks: list[Mark], *, goods: bool) -> list[Mark]:
        """Turn "characteristic + deviation" into a defect or a trouble, and settle what needs the whole text."""
        return self._settled(
            self._deviations(marks, goods=goods), [mark for mark in marks if mark.kind == "characteristic"]
        )

    def _deviations(self, marks: list[Mark], *, goods: bool) -> list[Mark]:
        """Turn "characteristic + deviation" into a defect or a trouble; drop words that deviate from nothing."""
        kept = [mark for mark in marks if mark.kind not in {"deviation", "characteristic"}]
        characteristics = [mark for mark in marks if mark.kind == "characteristic"]
        used: set[int] = set()
        for mark in (one for one in marks if one.kind == "deviation"):
            if any(0 <= mark.start - one.end <= 1 for one in kept if one.kind in {"trouble", "defect"}):
                continue
            near = self._characteristic_of(mark, characteristics)
            if near is None and not self._stands_by_value(mark):
                continue
            made = self._deviation(mark, near, goods=goods)
            if made is not None:
                kept.append(made)
                if near is not None:
                    used.add(near.start)
        for one in characteristics:
            if one.start in used or self._has_value(one) or self._deviates(one, kept):
                kept.append(one)
        alone = self._values_alone(characteristics, kept)
        told = [part for one in kept for part in (self._apart(one) if one.kind == "characteristic" else [one])]
        off = off_setpoint(self.norm, self.owned.measures, [*kept, *alone], characteristics, process=self._is_process())
        return [*told, *alone, *off, *([] if off else self._set_and_actual(kept))]

    def _set_and_actual(self, kept: list[Mark]) -> list[Mark]:
        """设定220 实际195 and "reads 5, should be 8" tell of a deviation without a word for it."""
        if any(mark.kind in {"trouble", "defect"} and not mark.status for mark in kept):
            return []
        beyond = self._beyond()
        if beyond is not None:
            return [beyond]
        hit = _SET_ACTUAL.search(self.norm)
        group = next((name for name, text in hit.groupdict().items() if text), "w") if hit else "w"
        return [Mark(hit.start(group), hit.end(group), "trouble", "PDE", "symptom")] if hit else []

    def _beyond(self) -> Mark | None:
        """A size with its limit: 孔径8.05，上限8.03 is too large, without a word for it."""
        hit = _WITH_LIMIT.search(self.norm)
        if hit is None or not any(one.category == "characteristic" and one.code == _SIZE for one in self.found):
            return None
        value, limit = float(hit["v"]), float(hit["l"])
        upper = re.match(r"上|最大|max|upper", hit["w"]) is not None
        if (upper and value <= limit) or (not upper and value >= limit):
            return None
        return Mark(hit.start("w"), hit.start("w"), "defect", "OVERSIZE" if upper else "UNDERSIZE", "defect")

    def _apart(self, one: Mark) -> list[Mark]:
        """轴承温度 is 轴承 + 温度; a fluid stays with its reading (油温)."""
        part = max(
            (
                other
                for other in self.found
                if other.category == "component" and other.start == one.start and other.end < one.end
            ),
            key=lambda other: other.end,
            default=None,
        )
        if (
            part is None
            or _FLUID.search(self.norm[part.start : part.end])
            or one.end - part.end < 2
            or not one.code.startswith(("temp_machine", "vibration", "noise", "speed", "electric"))
        ):
            return [one]
        return [Mark(part.start, part.end, "component"), replace(one, start=self._after(part.end, one.end))]

    def _characteristic_of(self, mark: Mark, characteristics: list[Mark]) -> Mark | None:
        latin = _SURFACE_WORD.match(self.norm[mark.start]) is not None
        reach = 26 if latin else 9
        if mark.end - mark.start == 1 and not latin:
            reach = 5
        before = [
            one
            for one in characteristics
            if one.end <= mark.start
            and mark.start - one.end <= reach
            and not re.search(r"[,;。!?]|\. ", self._bare(one.end, mark.start))
        ]
        if before:
            return before[-1]
        after = [one for one in characteristics if latin and 0 <= one.start - mark.end <= 2]
        return after[0] if after else None

    def _bare(self, start: int, end: int) -> str:
        """The text between, without measurements."""
        cut = self.norm[start:end]
        for one in self.owned.measures:
            if start <= one.start and one.end <= end:
                cut = cut.replace(self.norm[one.start : one.end], "")
        return cut

    def _stands_by_value(self, mark: Mark) -> bool:
        for one in self.owned.measures:
            if 0 <= one.start - mark.end <= 3 or 0 <= mark.start - one.end <= 2:
                return one.values[0][1] not in {"h", "min", "s"}
        return False

    def _unit_near(self, mark: Mark) -> str:
        for one in self.owned.measures:
            if 0 <= one.start - mark.end <= 12 or 0 <= mark.start - one.end <= 6:
                return one.values[0][1]
        return ""

    def _deviation(self, mark: Mark, near: Mark | None, *, goods: bool) -> Mark | None:
        kind = (
            near.code
            if near
            else {
                "degC": "temp",
                "mm": _SIZE,
                "um": _SIZE,
                "bar": "pressure",
                "MPa": "pressure",
                "kPa": "pressure",
                "rpm": "speed",
                "A": "electric",
                "V": "electric",
                "dB": "noise",
                "mm/s": "vibration",
                "g": "vibration",
                "%": "flow",
                "Hz": "electric",
            }.get(self._unit_near(mark), "")
        )
        if kind in {"", "rate"}:
            return None
        if kind == _SIZE:
            if not goods and near is None and _STRAYS.search(self.norm[max(0, mark.start - 24) : mark.start]):
                return replace(mark, kind="trouble", code="MISALIGN", slot="symptom")
            if not goods and near is None:
                return replace(mark, kind="trouble", code="PDE", slot="symptom")
            code = {"high": "OVERSIZE", "low": "UNDERSIZE"}.get(mark.code, "OTHER")
            return replace(mark, kind="defect", code=code, slot="defect")
        if mark.code == "wander":
            return replace(mark, kind="trouble", code="ERO", slot="symptom")
        code = "PDE"
        if kind in {"noise", "vibration"}:
            code = "NOI" if kind == "noise" else "VIB"
        elif (
            kind in {"temp_machine", "temp"}
            and mark.code in {"high", "off"}
            and not (self._is_process() or is_heated(self.norm, near))
        ):
            code = "OHE"
        return replace(mark, kind="trouble", code=code, slot="symptom")

    def _settled(self, marks: list[Mark], characteristics: list[Mark]) -> list[Mark]:
        """Readings that need the whole: a vibration with its value, a limit that belongs to another trouble, an oven's heat."""
        claimed = [mark for mark in marks if mark.kind in {"trouble", "value"} and not mark.status]
        kept: list[Mark] = []
        for mark in marks:
            word = self.norm[mark.start : mark.end]
            if mark.kind == "trouble" and _VALUE_WORD.fullmatch(word) and self._has_value(mark):
                mark = replace(mark, kind="value")
            elif mark.kind == "trouble" and mark.code == "PDE" and _LIMIT_WORD.fullmatch(word):
                other = next((one for one in claimed if one is not mark and one.code in {"VIB", "NOI", "OHE"}), None)
                hot = any(one.code == "temp_machine" and 0 <= mark.start - one.end <= 12 for one in characteristics)
                code = other.code if other else "OHE" if hot and not self._is_process() else mark.code
                mark = replace(mark, code=code)
            elif (
                mark.kind == "trouble"
                and mark.code == "UNK"
                and _ALARM.fullmatch(word)
                and _beside(mark, characteristics, 3)
            ) or (mark.kind == "trouble" and mark.code == "FTS" and _beside(mark, characteristics, 2)):
                mark = replace(mark, code="PDE", slot="symptom")
            elif (
                mark.kind == "trouble"
                and mark.code == "PDE"
                and _STRAYING.fullmatch(word)
                and not characteristics
                and self._unit_near(mark) in {"", "mm"}
            ):
                mark = replace(mark, code="MISALIGN")
            elif mark.kind == "trouble" and mark.code == "FTS" and self._is_mute(mark):
                mark = replace(mark, code="BRD", slot="failure_mode")
            elif (
                mark.kind == "defect"
                and mark.code in {"OVERSIZE", "UNDERSIZE"}
                and _beside(mark, [one for one in characteristics if one.code not in {_SIZE, "rate"}], 2)
            ):
                mark = replace(mark, kind="trouble", code="PDE", slot="symptom")
            elif mark.kind == "defect" and mark.code == "POROSITY" and self.painted:
                mark = replace(mark, code="COATING")
            elif (
                mark.kind == "trouble"
                and mark.code == "OHE"
                and re.search(r"温|temp", word)
                and not re.search(r"炉温|过热", word)
                and self._is_process()
            ):
                mark = replace(mark, code="PDE")
            kept.append(mark)
        if any(one.category == "pass" and one.code == "words" for one in self.found) and not any(
            mark.kind in {"trouble", "defect"} and not mark.status for mark in kept
        ):
            return [replace(mark, kind="characteristic") if mark.kind == "value" else mark for mark in kept]
        return kept

    def _is_process(self) -> bool:
        """Whether a bare temperature is one of the process (an oven's) and not of a bearing."""
        return any(
            one.category == "machine" and one.code in {"furnace", "dryer", "boiler", "chiller"} for one in self.found
        ) and not any(
            one.category == "component"
            and re.search(r"轴|电机|bearing|motor|fan|pump|gear", self.norm[one.start : one.end])
            for one in self.found
        )

    def _is_mute(self, mark: Mark) -> bool:
        """Whether a sensor, a button or a screen gives no answer: broken, where a machine would not start."""
        return _ANSWERS.fullmatch(self.norm, mark.start, mark.end) is not None and any(
            one.category == "component"
            and 0 <= mark.start - one.end <= 3
            and _SIGNALS.search(self.norm[one.start : one.end])
            for one in self.found
        )

    def _has_value(self, one: Mark) -> bool:
        return any(
            0 <= measure.start - one.end <= 14 and not re.search(r"[,;。!?]|\. ", self._bare(one.end, measure.start))
            for measure in self.owned.measures
        )

    def _deviates(self, one: Mark, kept: list[Mark]) -> bool:
        return any(
            mark.kind in {"trouble", "defect"}
            and not mark.status
            and mark.code in {"PDE", "ERO", "AIR", "FTS", "OVERSIZE", "UNDERSIZE", "OTHER", "WARP"}
            and 0 <= mark.start - one.end <= 4
            for mark in kept
        )

    def _values_alone(self, characteristics: list[Mark], kept: list[Mark]) -> list[Mark]:
        """A vibration or noise level that is told without a word of judgement still names the trouble."""
        made: list[Mark] = []
        codes = {mark.code for mark in kept if mark.kind == "trouble" and not mark.status}
        if not codes and any(one.category == "pass" and one.code == "words" for one in self.found):
            return made
        for one in characteristics:
            code = {"vibration": "VIB", "noise": "NOI"}.get(one.code)
            if code and code not in codes and self._has_value(one):
                made.append(Mark(one.start, one.end, "value", code))
        return made

    def _after(self, at: int, end: int) -> int:
        while at < end - 1 and self.norm[at] in " ,的":
            at += 1
        return at


def _beside(mark: Mark, others: Sequence[Mark], reach: int) -> bool:
    """Whether one of the others ends right before the mark."""
    return any(0 <= mark.start - one.end <= reach for one in others)
