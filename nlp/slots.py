"""The words of content in a report, each with its place, its code and what is claimed of it."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace

from nlp import actions, numerals, scope
from nlp.assets import Resolved
from nlp.due import Due
from nlp.lexicon import Found
from nlp.lots import Number
from nlp.measure import Measure
from nlp.scope import Scopes
from nlp.text import Text

Spans = list[tuple[int, int]]


@dataclass(frozen=True, slots=True)
class Mark:
    """A word of content at [start, end) of the normalised text.

    `kind` is a slot name or "trouble"; `code` its code; `status` what the text claims ("" = it is so);
    `cause` says that it is the cause of another trouble.
    """

    start: int
    end: int
    kind: str
    code: str = ""
    slot: str = ""
    status: str = ""
    cause: bool = False


@dataclass(frozen=True, slots=True)
class Owned:
    """What the grammar read before the lexicon: spans that nobody else may claim."""

    resolved: Resolved
    batches: list[Number]
    orders: list[Number]
    names: Spans
    measures: list[Measure]
    due: Due | None
    times: Spans

    def spans(self) -> Spans:
        """All owned spans."""
        found = [
            (one.start, one.end)
            for one in (*self.resolved.mentions, *self.batches, *self.orders, *self.measures)
            if getattr(one, "how", "") != "word"
        ]
        return [
            *found,
            *self.resolved.rejected,
            *self.names,
            *([(self.due.start, self.due.end)] if self.due else []),
            *self.times,
        ]


_RANK = {
    "trouble": 0,
    "defect": 1,
    "component": 2,
    "either": 3,
    "product": 4,
    "characteristic": 5,
    "action": 6,
    "location": 7,
    "severity": 8,
    "deviation": 9,
}
_SURFACE_WORD = re.compile(r"[a-z]")
_NEAR = 14
_SIZE = "size"
_SET_ACTUAL = re.compile(
    r"(?:设定|标准|要求|目标|工艺)[^。;!?]{1,16}(?P<w>实际|现在只|实测)|(?:reads?|shows?|is at|running at|at|measured|actual(?:ly)?)\s[^.;!?]{0,16}[,]? ?(?:but |and )?(?P<w2>should be|recipe says|spec (?:is|says)|instead of|setpoint)|(?:set(?:point)?|target|spec|recipe)(?: is| to| was| at)? [\d.]+[^.;!?]{0,12}(?P<w3>actual|but (?:is|reads|only))"
)
_MADE = re.compile(
    r"(?:加工|做|车|磨|冲|压|铣|钻|焊|切|注塑|打|生产|挤|轧|喷|洗|装|包|烤|铸|锻|剪|折|印)(?:出来)?的(?!时|地|声|过程|温|压|问题|速|电)|出来的|\b(?:parts|pieces|castings|gears|shafts|products?|goods) (?:from|off|out of|come)\b|\bproduc(?:ed|ing|es)\b"
)
_FAILED_CHECK = re.compile(
    r"(?:check|test|inspection|audit|fai|article|gauge|measurement|approval|检|测|验)[a-z ]{0,8}$"
)
_GUARD = re.compile(r"防护|护罩|护栏|安全门|guard|handrail|railing|interlock|safety cover")
_FLUID = re.compile(r"油|水|液|气|脂|oil|water|coolant|lube|air|gas|fluid")
_SEVERE_PART = re.compile(
    r"(?P<w>(?<=.)(?:严重|厉害|severely|badly|seriously)$|^(?:严重|轻微|剧烈|略微|稍微|severe|badly|severely|seriously|heavily|slight|slightly|minor|serious)(?=.))"
)
_MILD = re.compile(r"轻微|略微|稍微|slight|minor|light|small")
_LIMIT_WORD = re.compile(
    r"超标|超限|超|超过\S*|(?:over|above|out of|beyond|below|under)(?: the)?(?: alarm| upper| lower)? (?:limit|limits|threshold)|too high|high"
)
_GOODS_COUNT = re.compile(
    rf"(?:\d{{1,9}}|[{numerals.ZH}]{{1,8}})\s*(?:件|片|张|卷|盒|箱|瓶|枚|粒|pcs|pieces|parts|boards?|rolls?|boxes|sheets|bottles|castings|units)(?![a-z])"
)
_VALUE_WORD = re.compile(r"(?:振动|震动|噪[音声]|vibrations?|vib|noise)$")
_FORMING = {
    "imm",
    "dcm",
    "press",
    "weld",
    "extruder",
    "paint",
    "cnc",
    "lathe",
    "mill",
    "grinder",
    "laser",
    "smt",
    "pack",
    "roll",
    "forge",
    "paper",
    "textile",
    "drill",
    "shear",
    "brake",
    "gearcut",
    "assembly",
}
_GOODS_ONLY = {
    "BURR",
    "FLASH",
    "SHORT_SHOT",
    "SINK",
    "POROSITY",
    "LACK_OF_FUSION",
    "SPATTER",
    "UNDERCUT",
    "OVERSIZE",
    "UNDERSIZE",
    "COATING",
    "DELAMINATION",
    "COLOR",
    "WRONG_PART",
}
_ON_MACHINE = {
    "SCRATCH": "WEAR",
    "DENT": "STD",
    "CRACK": "STD",
    "WARP": "STD",
    "LOOSE_FIT": "LOOSE",
    "MISSING_PART": "BRD",
    "CONTAMINATION": "UNK",
    "OTHER": "UNK",
}


class Reader:
    """Chooses, among all words of the lexicon, those that carry the report."""

    def __init__(self, text: Text, found: list[Found], owned: Owned) -> None:
        self.norm = text.norm
        self.found = found
        self.owned = owned
        self.taken = owned.spans()

    def read(self) -> tuple[list[Mark], Scopes]:
        """Marks in order of place, and the scopes of the text's cues."""
        candidates = [mark for mark in self._candidates() if not _hits(mark, self.taken)]
        chosen = self._chosen(list(self._whole(candidates)))
        chosen = [part for mark in chosen for part in self._split(mark)]
        scopes = Scopes(self.norm, [(mark.start, mark.end) for mark in chosen if mark.kind not in {"action"}])
        scopes.content_troubles = [(mark.start, mark.end) for mark in chosen if mark.kind in {"trouble", "defect"}]
        marks = [
            replace(mark, status=scopes.status(mark.start, mark.end))
            if mark.kind in {"trouble", "defect", "deviation"} or (mark.kind == "severity" and mark.code == "down")
            else mark
            for mark in chosen
        ]
        marks = self._typed(marks)
        marks = self._settled(self._deviations(marks), [mark for mark in marks if mark.kind == "characteristic"])
        return sorted(self._caused(marks, scopes), key=lambda one: one.start), scopes

    def _candidates(self) -> Iterable[Mark]:
        for one in self.found:
            if one.category in _RANK:
                yield Mark(one.start, one.end, one.category, one.code, one.slot)

    def _chosen(self, candidates: list[Mark]) -> list[Mark]:
        kept: list[Mark] = []
        for mark in sorted(candidates, key=lambda one: (one.start - one.end, _RANK[one.kind], one.start)):
            if mark.kind == "action" and not actions.is_wanted(self.norm, mark.start, mark.end, mark.code):
                continue
            if (
                mark.kind == "severity"
                and mark.code == "down"
                and actions.is_order_to_stop(self.norm, mark.start, mark.end)
            ):
                mark = replace(mark, kind="action", code="stop")  # noqa: PLW2901 - the same words, read as an order
            if not _hits(mark, [(one.start, one.end) for one in kept]):
                kept.append(mark)
            elif mark.kind in {"trouble", "defect", "either", "component", "product"}:
                kept.extend(self._twin(mark, kept))
        return kept

    def _twin(self, mark: Mark, kept: list[Mark]) -> Iterable[Mark]:
        """The same words in another category: kept beside it until the context decides."""
        for one in kept:
            if (one.start, one.end) == (mark.start, mark.end) and one.kind != mark.kind:
                yield mark
                return

    def _whole(self, candidates: list[Mark]) -> Iterable[Mark]:
        """炉温过高 is 炉温 + 过高 and not 炉 + 温过高; 轴承温度过高 is 轴承 + 温度过高."""
        hot = [mark for mark in candidates if mark.kind == "trouble" and mark.code in {"OHE", "PDE"}]
        terms = [mark for mark in candidates if mark.kind == "characteristic"]
        checks = [(one.start, one.end) for one in self.found if one.category == "inspection"]
        verdicts = [(one.start, one.end) for one in self.found if one.category == "pass" and one.code == "fail"]
        for mark in candidates:
            if mark in hot and any(
                one.code == "temp_process" and one.start < mark.start < one.end < mark.end for one in terms
            ):
                continue
            if (
                mark.kind == "characteristic"
                and mark.code == "temp_machine"
                and any(mark.start < one.start < mark.end < one.end for one in hot)
            ):
                continue
            if (
                mark.kind == "action"
                and mark.code == "inspect"
                and any(
                    start <= mark.start and mark.end <= end and end - start > mark.end - mark.start
                    for start, end in checks
                )
            ):
                continue
            yield mark

    def _split(self, mark: Mark) -> Iterable[Mark]:
        """孔径偏大 is a characteristic and a defect; "drive tripped" a component and its state; 磨损严重 a state and its severity."""
        if mark.kind == "trouble":
            part = next(
                (
                    one
                    for one in self.found
                    if one.category == "component" and one.start == mark.start and one.end < mark.end
                ),
                None,
            )
            if part is not None and mark.code not in {"AIR"}:
                yield Mark(part.start, part.end, "component")
                yield from self._split(replace(mark, start=self._after(part.end, mark.end)))
                return
            tail = next(
                (
                    one
                    for one in self.found
                    if one.category == "component" and one.end == mark.end and one.start > mark.start
                ),
                None,
            )
            if tail is not None and self.norm[tail.start - 1] == " ":
                yield replace(mark, end=tail.start - 1)
                yield Mark(tail.start, tail.end, "component")
                return
        severe = _SEVERE_PART.search(self.norm[mark.start : mark.end]) if mark.kind in {"trouble", "defect"} else None
        if severe is not None and severe.end() - severe.start() < mark.end - mark.start:
            first, last = mark.start + severe.start("w"), mark.start + severe.end("w")
            yield Mark(first, last, "severity", "low" if _MILD.match(severe["w"]) else "high")
            rest = replace(mark, start=self._after(last, mark.end)) if first == mark.start else replace(mark, end=first)
            yield from self._split(rest)
            return
        splits = (mark.kind == "defect" and mark.code in {"OVERSIZE", "UNDERSIZE", "WARP", "OTHER"}) or (
            mark.kind == "trouble" and mark.code in {"PDE", "ERO", "AIR"}
        )
        lead = (
            next(
                (
                    one
                    for one in self.found
                    if one.category == "characteristic" and one.start == mark.start and one.end < mark.end
                ),
                None,
            )
            if splits
            else None
        )
        if lead is None or self.norm[lead.start : lead.end] in {"hole", "holes"}:
            yield mark
            return
        yield Mark(lead.start, lead.end, "characteristic", lead.code)
        rest = replace(mark, start=self._after(lead.end, mark.end))
        more = (
            re.match(r" (?:down |up |off )?(?:to|at)\b", self.norm[rest.end :])
            if re.search(
                r"(?:drop|fall|fell|dropped|dropping|up|down|rise|rose|falling)s?$", self.norm[rest.start : rest.end]
            )
            else None
        )
        if more is None and self.norm[rest.end - 1 : rest.end] in {"掉", "降", "升", "跌", "涨"}:
            more = re.match(r"[到至]", self.norm[rest.end :])
        yield replace(rest, end=rest.end + more.end()) if more else rest

    def _after(self, at: int, end: int) -> int:
        while at < end - 1 and self.norm[at] in " ,的":
            at += 1
        return at

    def goods(self, marks: list[Mark]) -> bool:
        """Whether the report is about goods rather than a machine."""
        if self.owned.batches or any(mark.kind == "product" and not self._twins(mark, marks) for mark in marks):
            return True
        if any(one.category == "inspection" for one in self.found) and any(mark.kind == "defect" for mark in marks):
            return True
        if _GOODS_COUNT.search(self.norm) or re.search(r"(?:first|last) (?:article|piece|off)", self.norm):
            return True
        return any(
            mark.kind == "defect" and mark.code in _GOODS_ONLY and not self._twins(mark, marks) for mark in marks
        )

    def _twins(self, mark: Mark, marks: list[Mark]) -> list[Mark]:
        return [one for one in marks if one is not mark and (one.start, one.end) == (mark.start, mark.end)]

    def _typed(self, marks: list[Mark]) -> list[Mark]:
        """Decide each word that means one thing of a machine and another of goods."""
        goods = self.goods(marks)
        nouns = self._nouns(marks, goods=goods)
        kept: list[Mark] = []
        for mark in marks:
            twins = self._twins(mark, marks)
            if mark.kind in {"trouble", "defect"}:
                near = self._noun_near(mark, nouns)
                other = any(one.kind in {"trouble", "defect"} for one in twins)
                is_goods = (
                    near == "product"
                    or (near in {"", "equipment"} and goods)
                    or (
                        near == "equipment"
                        and mark.kind == "defect"
                        and mark.code in {"CRACK", *_GOODS_ONLY}
                        and self._forming()
                    )
                )
                if other and (mark.kind == "defect") != is_goods:
                    continue
                if mark.kind == "defect" and mark.code == "MISSING_PART" and self._guards(mark):
                    mark = replace(mark, kind="trouble", code="BRD", slot="failure_mode")  # noqa: PLW2901 - a guard that is missing
                elif (
                    mark.kind == "defect"
                    and not other
                    and self._on_machine(near, goods=goods)
                    and mark.code in _ON_MACHINE
                ):
                    mark = replace(mark, kind="trouble", code=_ON_MACHINE[mark.code], slot="failure_mode")  # noqa: PLW2901 - the same words, of a machine
                kept.append(mark)
            elif mark.kind == "either":
                if not twins:
                    kept.append(replace(mark, kind=self._kind_of(mark, marks, goods=goods)))
            elif mark.kind in {"product", "component"}:
                rival = [one for one in twins if one.kind in {"product", "component"}]
                both = bool(rival) or any(one.kind == "either" for one in twins)
                kind = self._kind_of(mark, marks, goods=goods) if both else mark.kind
                if not rival or mark.kind == kind:
                    kept.append(replace(mark, kind=kind))
            else:
                kept.append(mark)
        return kept

    def _kind_of(self, mark: Mark, marks: list[Mark], *, goods: bool) -> str:
        """Part or goods: what is wrong with it says which, then the report as a whole."""
        nearest = min(
            (
                one
                for one in marks
                if one.kind in {"trouble", "defect"}
                and abs(one.start - mark.end) <= _NEAR
                and not re.search(r"[,;。!?]", self.norm[min(mark.end, one.end) : max(mark.start, one.start)])
            ),
            key=lambda one: abs(one.start - mark.end),
            default=None,
        )
        if nearest is not None and nearest.kind == "trouble" and not self._twins(nearest, marks):
            return "component"
        return "product" if goods else "component"

    def _guards(self, mark: Mark) -> bool:
        return _GUARD.search(self.norm[max(0, mark.start - 16) : mark.end]) is not None

    def _on_machine(self, near: str, *, goods: bool) -> bool:
        """Whether a defect stands on a part of the machine itself."""
        if goods or not self.owned.resolved.mentions:
            return False
        return near == "component" or (near == "equipment" and not self._forming())

    def _painted(self) -> bool:
        return (
            any(one.category == "machine" and one.code == "paint" for one in self.found)
            or re.search(r"漆|涂层|喷涂|paint|coating", self.norm) is not None
        )

    def _forming(self) -> bool:
        return any(one.category == "machine" and one.code in _FORMING for one in self.found)

    def _nouns(self, marks: list[Mark], *, goods: bool) -> list[tuple[int, int, str]]:
        nouns = [(one.start, one.end, "equipment") for one in self.owned.resolved.mentions]
        for mark in marks:
            if mark.kind in {"component", "product", "either"}:
                both = mark.kind == "either" or any(
                    one.kind in {"component", "product", "either"} for one in self._twins(mark, marks)
                )
                nouns.append((mark.start, mark.end, ("product" if goods else "component") if both else mark.kind))
        return sorted(set(nouns))

    def _noun_near(self, mark: Mark, nouns: list[tuple[int, int, str]]) -> str:
        scopes = [(start, end) for start, end in scope._cut(self.norm) if start <= mark.start < end]  # noqa: SLF001 - same room
        start, end = scopes[0] if scopes else (0, len(self.norm))
        before = [noun for noun in nouns if start <= noun[0] and noun[1] <= mark.start]
        after = [noun for noun in nouns if mark.end <= noun[0] < end]
        latin = _SURFACE_WORD.match(self.norm[mark.start])
        if (
            latin
            and after
            and after[0][0] - mark.end <= _NEAR
            and (
                not before
                or re.fullmatch(
                    r"\s*(?:(?:on|in|of|at|found in|inside)\s+)?(?:the |a |all |some |several |\d+ )*(?:[a-z]+ )?",
                    self.norm[mark.end : after[0][0]],
                )
            )
        ):
            return after[0][2]
        if before:
            return before[-1][2]
        if after:
            return after[0][2]
        earlier = [noun for noun in nouns if noun[1] <= mark.start]
        return earlier[-1][2] if earlier else ""

    def _deviations(self, marks: list[Mark]) -> list[Mark]:
        """Turn "characteristic + deviation" into a defect or a trouble; drop words that deviate from nothing."""
        kept = [mark for mark in marks if mark.kind not in {"deviation", "characteristic"}]
        characteristics = [mark for mark in marks if mark.kind == "characteristic"]
        used: set[int] = set()
        goods = self.goods(marks)
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
        return [*told, *alone, *self._set_and_actual(kept)]

    def _set_and_actual(self, kept: list[Mark]) -> list[Mark]:
        """ "设定220 实际195" and "reads 5, should be 8" tell of a deviation without a word for it."""
        if any(mark.kind in {"trouble", "defect"} and not mark.status for mark in kept):
            return []
        hit = _SET_ACTUAL.search(self.norm)
        group = next((name for name, text in hit.groupdict().items() if text), "w") if hit else "w"
        return [Mark(hit.start(group), hit.end(group), "trouble", "PDE", "symptom")] if hit else []

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
        ):  # noqa: PLR2004 - 轴温 stays whole
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
            if not goods and near is None:
                return replace(mark, kind="trouble", code="PDE", slot="symptom")
            code = {"high": "OVERSIZE", "low": "UNDERSIZE"}.get(mark.code, "OTHER")
            return replace(mark, kind="defect", code=code, slot="defect")
        if mark.code == "wander":
            return replace(mark, kind="trouble", code="ERO", slot="symptom")
        code = "PDE"
        if kind in {"noise", "vibration"}:
            code = "NOI" if kind == "noise" else "VIB"
        elif kind in {"temp_machine", "temp"} and mark.code in {"high", "off"} and not self._is_process():
            code = "OHE"
        return replace(mark, kind="trouble", code=code, slot="symptom")

    def _settled(self, marks: list[Mark], characteristics: list[Mark]) -> list[Mark]:
        """Readings that need the whole: a vibration with its value, a limit that belongs to another trouble, an oven's heat."""
        claimed = [mark for mark in marks if mark.kind in {"trouble", "value"} and not mark.status]
        kept: list[Mark] = []
        for mark in marks:
            word = self.norm[mark.start : mark.end]
            if mark.kind == "trouble" and _VALUE_WORD.fullmatch(word) and self._has_value(mark):
                mark = replace(mark, kind="value")  # noqa: PLW2901 - the same word, as a characteristic
            elif mark.kind == "trouble" and mark.code == "PDE" and _LIMIT_WORD.fullmatch(word):
                other = next((one for one in claimed if one is not mark and one.code in {"VIB", "NOI", "OHE"}), None)
                mark = replace(mark, code=other.code) if other else mark  # noqa: PLW2901 - whose limit it is
            elif (
                mark.kind == "trouble"
                and mark.code == "OHE"
                and re.search(r"温|temp", word)
                and not re.search(r"炉温|过热", word)
                and self._is_process()
            ):
                mark = replace(mark, code="PDE")  # noqa: PLW2901 - the heat of a process
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

    def _caused(self, marks: list[Mark], scopes: Scopes) -> list[Mark]:
        """Mark causes: a region of cause holds them, and another trouble stands outside it."""
        troubles = [mark for mark in marks if mark.kind in {"trouble", "defect", "value"} and not mark.status]
        return [
            replace(mark, cause=True)
            if mark.kind in {"trouble", "defect"} and not mark.status and self._is_cause(mark, troubles, scopes)
            else mark
            for mark in marks
        ]

    def _is_cause(self, mark: Mark, troubles: list[Mark], scopes: Scopes) -> bool:
        region = scopes.cause_region(mark.start)
        if region is None:
            return False
        return any(other is not mark and not (region.start <= other.start < region.end) for other in troubles)


def _hits(mark: Mark, spans: Spans) -> bool:
    return any(mark.start < end and start < mark.end for start, end in spans)
