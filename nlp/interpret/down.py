"""Whether the report says that a machine stands."""

# ruff: noqa: E501 - patterns of whole phrases

import re
from collections.abc import Sequence

from nlp.marks import Mark
from nlp.scope import Scopes

_TO_STOP = re.compile(
    r"(?:今晚|明天|明晚|明早|后天|周[一二三四五六日天末]|下班|中午|晚上|夜班|等|待|趁)$|\btak(?:e|ing|en) (?:it |them |the \w+ )?$"
)


_STOPPED_OFTEN = re.compile(r" ?(?:了?(?:\d|[两二三四五六几好多])+(?:次|回)|once|twice|(?:\w+ ){1,2}times)")


def is_down(norm: str, marks: Sequence[Mark], scopes: Scopes) -> bool:
    """Whether a machine stands now: no stop that is planned, feared, denied or over."""
    for mark in marks:
        if mark.kind != "severity" or mark.code != "down":
            continue
        before, after = norm[max(0, mark.start - 16) : mark.start], norm[mark.end : mark.end + 10]
        if _TO_STOP.search(before) or _STOPPED_OFTEN.match(after):
            continue
        if re.search(
            r"(?:没有?|未|不用|不需要?|无需|不|别|避免|以免|防止|会|将|不必|否则|免得|暂不)$|\b(?:not|no|without|avoid|prevent|n't|before it|or it|might go|will be|will go|could go|may go|if it|could be|get|gets|getting|got|come|comes|coming|came|move[sd]?|moving|pull(?:s|ed)?|push(?:es|ed)?|lower(?:s|ed)?|ramp(?:s|ed)?|drop(?:s|ped)?|runs?|ran|running|cool(?:s|ed|ing)?|wash(?:ed)?|wipe|trickle|sits?|lies?|lay|let|bolt(?:ed)?|tied?|cut|close[sd]?|drip(?:s|ping)?|tear|flow(?:s|ing)?|drift(?:s|ing)?|fall(?:s|ing)?|fell|side|upside|up and|worn|wear(?:s|ing)?|slow(?:ed|s|ing)?|shut(?:s|ting)?|calm|creep(?:s|ing)?|sag(?:s|ging)?|slid(?:es|ing)|slip(?:s|ping)?|slows|settled?|goes|wind(?:s|ing)?|step(?:s|ped)?|hold(?:s|ing)?|press(?:ed)?|break(?:s|ing)?|broke|turn(?:ed)?|going)\s*$",
            before,
        ) and not re.search(r"(?:was|has|been|is|it) (?:shut|broken?|went)\s*$|\bbroke\s*$", before):
            continue
        if any(region.start <= mark.start < region.end for region in (*scopes.conditional, *scopes.feared)):
            continue
        if re.match(
            r"(?:前|风险|按钮|时间|后|时(?!间)|检修|保养|位|计划|线|开关|原因|信号)| ?(?:button|time|valve|switch|to \d|by|payment|stream|side|hold|the )",
            after,
        ) and not re.match(r"时间|后", after):
            continue
        return True
    return False
