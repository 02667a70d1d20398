"""The words of content in a report, each with its place, its code and what is claimed of it."""

# ruff: noqa: E501, PLW2901 - whole phrases in one pattern; reaches in characters; a word read anew

import re
from collections.abc import Iterable
from dataclasses import replace

from nlp import actions
from nlp.goods import Goods
from nlp.lexicon import Found
from nlp.marks import Mark, Owned, Spans, hits
from nlp.readings import Readings
from nlp.scope import Scopes
from nlp.text import Text

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
_SEVERE_PART = re.compile(
    r"(?P<w>(?<=.)(?:严重|厉害|severely|badly|seriously)$|^(?:严重|轻微|剧烈|略微|稍微|severe|badly|severely|seriously|heavily|slight|slightly|minor|serious)(?=.))"
)
_MILD = re.compile(r"轻微|略微|稍微|slight|minor|light|small")
_ORDERED = re.compile(r"赶快|赶紧|马上|立即|立刻|请|先|快|要|必须")
_UNBALANCED = re.compile(r"不平[衡稳]")
_MOOD = re.compile(r"[担小当放关]心")
_HURT = re.compile(r"operator|someone|somebody|\\bgot\\b|hand|finger|hurt|injur|伤|人|手")
_COUNTED = re.compile(r"\d|好?几|[一二三四五六七八九十两]+[件个只]")
_FAILED = re.compile(r"fail(?:ed|s|ure|ing)?|has failed")
_CHECK_BEFORE = re.compile(
    r"(?:check|test|inspection|audit|fai|article|gauge|measurement|approval|检|测|验)(?:[a-z ]{0,8}|[a-z ,:#]{0,8}[a-z]{0,4}-?\d[\w-]{2,14},? )$"
)
_CHECK_AFTER = re.compile(r" (?:the |its |our )?(?:\w+ )?(?:test|check|inspection|audit|fai|first)")


class Reader:
    """Chooses, among all words of the lexicon, those that carry the report."""

    def __init__(self, text: Text, found: list[Found], owned: Owned) -> None:
        self.norm = text.norm
        self.found = found
        self.owned = owned
        self.taken = owned.spans()

    def read(self) -> tuple[list[Mark], Scopes]:
        """Marks in order of place, and the scopes of the text's cues."""
        candidates = [mark for mark in self._candidates() if not hits(mark, self.taken)]
        chosen = self._chosen(list(self._whole(candidates)))
        chosen = [part for mark in chosen for part in self._split(mark)]
        content = [(mark.start, mark.end) for mark in chosen if mark.kind != "action"]
        troubles = [(mark.start, mark.end) for mark in chosen if mark.kind in {"trouble", "defect"}]
        scopes = Scopes(self.norm, content, troubles)
        marks = [
            replace(mark, status=scopes.status(mark.start, mark.end))
            if mark.kind in {"trouble", "defect", "deviation"} or (mark.kind == "severity" and mark.code == "down")
            else mark
            for mark in chosen
        ]
        goods = Goods(self.norm, self.found, self.owned)
        marks = goods.typed(marks)
        readings = Readings(self.norm, self.found, self.owned, painted=goods.painted())
        marks = readings.read(marks, goods=goods.goods(marks))
        return sorted(self._caused(marks, scopes), key=lambda one: one.start), scopes

    def _candidates(self) -> Iterable[Mark]:
        moods = {hit.start() + 1 for hit in _MOOD.finditer(self.norm)}
        for one in self.found:
            if one.category in _RANK and one.start not in moods and not _UNBALANCED.match(self.norm, one.start):
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
                mark = replace(mark, kind="action", code="stop")
            if not hits(mark, [(one.start, one.end) for one in kept]):
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
            if mark.kind in {"trouble", "defect"} and self._is_verdict(mark, verdicts):
                continue
            yield mark

    def _is_verdict(self, mark: Mark, verdicts: Spans) -> bool:
        """Words that judge a check or count what is bad, and are no trouble of a machine."""
        word = self.norm[mark.start : mark.end]
        if any(start <= mark.start and mark.end <= end and end - start > len(word) for start, end in verdicts):
            return True
        if any(
            one.category == "safety"
            and one.start <= mark.start
            and mark.end <= one.end
            and _HURT.search(self.norm[one.start : one.end])
            for one in self.found
        ):
            return True
        if word == "断电" and _ORDERED.search(self.norm[max(0, mark.start - 4) : mark.start]):
            return True
        if mark.code != "BRD":
            return False
        if _COUNTED.match(self.norm[mark.end :]):
            return True
        before, after = self.norm[max(0, mark.start - 36) : mark.start], self.norm[mark.end : mark.end + 24]
        return _FAILED.fullmatch(word) is not None and bool(_CHECK_BEFORE.search(before) or _CHECK_AFTER.match(after))

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
            if part is not None and mark.code != "AIR":
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
        return any(other is not mark and scopes.cause_region(other.start) is None for other in troubles)
