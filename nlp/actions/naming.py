"""The word that names the work, cut out of its request."""

# ruff: noqa: E501 - patterns of whole phrases

import re

_LEAD_ZH = re.compile(
    r"^(?:立即|马上|赶紧|赶快|立刻|必须|要求|请|尽快|建议|申请|应该?|需要?|要|得|快|先)+(?=停|关|断|叫|拉|别)"
)


_ORDINARY_ZH = re.compile(
    r"^(?:先|再|定期|月度|季度|年度|例行|日常|计划|半年|预防性|一级|二级|做个?|来|去|过来|进行)+(?=.{2})"
)


_ORDINARY_EN = re.compile(
    r"^(?:quarterly|monthly|weekly|yearly|annual|periodic|regular|routine|full|scheduled|planned|half-yearly|take(?= a | another )|another|have|preventive(?= service)) (?:a |another )?"
)


_TAIL_ZH = re.compile(r"(?<=.)(?:(?:周期|时间)?(?:到期|到时间)了?|一下子?|下来|下(?!来)|好|掉|完)$")


_LEAD_EN = re.compile(
    r"^(?:(?:please|pls|plz|kindly|immediately|must be|must|should be|should|needs? to be|needs? an?|needs? some|needs?|need|to be|to|wants?|requires?|due for an?|due for its|due for|is due for|overdue for|for|can you|could you|could someone|can someone|someone to|someone|schedule an? |schedule|book an? |book|arrange an? |arrange|plan|perform|carry out|do(?! not)|put|place|want it|it|its|a|an|the|some|want|send a|send|has to|must)\s+)+"
)


_TAIL_EN = re.compile(r"(?:\s+(?:needed|required|due|overdue|is due|is overdue|expired|interval|reached))+$")


def core(norm: str, start: int, end: int) -> tuple[int, int]:
    """The word that names the work, without "please", "needs to be", 一下, 好."""
    word = norm[start:end]
    if word[0].isascii() and word[0].isalpha():
        lead = _LEAD_EN.match(word)
        if lead and lead.end() < len(word):
            start += lead.end()
        plain = _ORDINARY_EN.match(norm[start:end])
        start += plain.end() if plain and start + plain.end() < end else 0
        tail = _TAIL_EN.search(norm[start:end]) or re.search(
            r"(?<=fix) it$|(?<=repair) it$|(?<=check) it$|(?<=replace) it$|(?<=clean) it$|(?<=sort) it out$|(?<=fix) up$",
            norm[start:end],
        )
        return start, end - (len(tail[0]) if tail else 0)
    lead = _LEAD_ZH.match(word)
    start += lead.end() if lead else 0
    plain = _ORDINARY_ZH.match(norm[start:end])
    start += plain.end() if plain else 0
    tail = _TAIL_ZH.search(norm[start:end])
    return start, end - (len(tail[0]) if tail else 0)
