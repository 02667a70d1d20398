"""Readings with the value that they should have: "230 bar, should be 180 bar", 235度，上限220度."""

# ruff: noqa: E501 - patterns of whole phrases

import re
from collections.abc import Iterator, Sequence

from nlp.marks import Mark
from nlp.measure import Measure

_HEATED = re.compile(r"螺杆|料筒|炮筒|机头|模|喷嘴|射嘴|\d区|[一二三四五]区|screw|barrel|zone|\bdie\b|mou?ld|nozzle")
_OFF_SETPOINT = re.compile(
    r"[\s,;(]*(?:(?:but |and |vs\.? |versus )?(?P<set>should be|shall be|set ?point(?: is)?|set(?: to| at)?|instead of|rather than|target(?: is)?|recipe(?: says)?|nominal|设定值?|标准值?|应该?是?|应为|要求|规定|目标值?|工艺)|(?P<usual>normal(?:ly)?(?: is)?|usual(?:ly)?|正常|平时|往常)|(?P<top>limit(?: is)?|max(?:imum)?|alarm(?: at)?|上限|最高|不超过|报警值)|(?P<bottom>min(?:imum)?|下限|最低|不低于))[\s:=是为到在(]*"
)
_USUAL = 0.1
_NEAR = 8
_BARE_AFTER = re.compile(r"[\s:=是为达到在]{0,3}(?P<n>\d{1,6}(?:\.\d{1,4})?)(?![\d.a-z°℃%度])")
_BARE = re.compile(r"(?P<n>\d{1,6}(?:\.\d{1,4})?)(?=\s*(?:[,;。!?)]|\.(?!\d)|$))")
_OFF_CODES = {"PDE", "OHE", "VIB", "NOI", "ERO", "AIR", "OVERSIZE", "UNDERSIZE"}
_PROCESS_TERMS = {"temp_machine", "temp_process", "pressure", "speed", "electric", "flow"}


def off_setpoint(
    norm: str, measures: Sequence[Measure], marks: list[Mark], characteristics: list[Mark], *, process: bool
) -> list[Mark]:
    """Trouble of a reading that is not what it should be, as a mark without width; none where the text names it anyway.

    `process` says that the machine heats or cools for its work, so that a temperature is one of the process.
    """
    if any(mark.kind in {"trouble", "defect"} and not mark.status and mark.code in _OFF_CODES for mark in marks):
        return []
    terms = [one for one in characteristics if one.code in _PROCESS_TERMS]
    for first in (*measures, *_bare_values(norm, terms)):
        cue = _OFF_SETPOINT.match(norm, first.end)
        term = next((one for one in terms if 0 <= first.start - one.end <= _NEAR), None)
        limit = _limit(norm, measures, first, cue.end()) if cue else None
        hot = first.values[-1][1] == "degC" and not (process or is_heated(norm, term))
        if cue is None or limit is None or (term is None and not hot):
            continue
        if _is_off(cue, first.values[-1][0], limit):
            over = hot and cue["top"] and (term is None or term.code == "temp_machine")
            return [Mark(cue.start(), cue.start(), "trouble", "OHE" if over else "PDE", "symptom")]
    return []


def is_heated(norm: str, near: Mark | None) -> bool:
    """Whether the heat is that of a screw, a barrel or a die, and not of a bearing."""
    return near is not None and _HEATED.search(norm[max(0, near.start - _NEAR) : near.end]) is not None


def _is_off(cue: re.Match[str], value: float, limit: float) -> bool:
    if cue["usual"]:
        return abs(value - limit) > _USUAL * abs(limit)
    if cue["set"]:
        return value != limit
    return value > limit if cue["top"] else value < limit


def _bare_values(norm: str, terms: list[Mark]) -> Iterator[Measure]:
    """Values without a unit right behind what they are of: "flue temp 240, normal 180"."""
    for one in terms:
        hit = _BARE_AFTER.match(norm, one.end)
        if hit is not None and _OFF_SETPOINT.match(norm, hit.end()):
            yield Measure(hit.start("n"), hit.end(), ((float(hit["n"]), ""),))


def _limit(norm: str, measures: Sequence[Measure], first: Measure, at: int) -> float | None:
    """The value at `at` in the unit of the reading before it, said or left out; None for another unit or a range."""
    second = next((one for one in measures if one.start == at), None)
    if second is None:
        bare = _BARE.match(norm, at)
        return float(bare["n"]) if bare else None
    alike = len(second.values) == 1 and second.values[0][1] == first.values[-1][1]
    return second.values[0][0] if alike else None
