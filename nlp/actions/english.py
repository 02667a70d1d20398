"""Whether an action word asks for work: the English readings; Chinese words go to their own."""

# ruff: noqa: E501 - patterns of whole phrases

import re

from nlp.actions.chinese import wanted_zh

_DONE_BEFORE_EN = re.compile(
    r"\b(?:was|were|been|being|is|are|got|already|just|after|after the|after a|before the|the last|last|previous|this|that|your|my|our|no|no need to|need not|don't|do not|didn't|did not|never|without|not|won't|will not|can't|cannot|unable to|refuses to|fails to|failed to|try to|tried to|trying to|how to|hard to|used to|how do i|how do we|how can i|should i|can i|may i|the|a|an|during|during the|since|since the|since last|of|of the|from|from the|for the|of a|in|in the|with|with the|under|has|have|had|who|we|i|they|he|she|maintenance|mechanic|when you|started to|due to|needs no|requires no|no further|to|doesn't|didn't|need to (?:not)|each|every|next|on|at|by|it|which)\s+(?:to )?$"
)


_ASK_BEFORE_EN = re.compile(
    r"(?:^|[,;.!?\n:\-(/&+>]|。|\b(?:and|then|please|pls|plz|to|must|should|can you|could you|would you|can we|need to|needs to|have to|let's|lets|someone|somebody|anyone|kindly|now|asap|also|just|immediately|or|so|we|you|first|urgent(?:ly)?|today|tomorrow|shift|eod|eob|cob|soon|maintenance|request(?:ing)?|required?|want you|want to|ask you|send someone|come and|come|go|better|we'll|to be|requires?|needs?|wants?|want))\s*$"
)


_NOT_TO = re.compile(
    r"\b(?:unable|refuses?|refused|fails?|failed|trie[sd]|try|trying|how|hard|used|started|starting|starts|due|no need|not|going|went|have had|had|seems?|appears?|able|difficult|impossible|forgot|right|where|want not|don't need|do not need|doesn't need|came|needn't) to\s*$"
)


_NOUNISH = frozenset(
    [
        "clean",
        "clear",
        "zero",
        "flush",
        "level",
        "balance",
        "track",
        "offset",
        "tension",
        "torque",
        "drain",
        "oil",
        "grease",
        "seal",
        "trim",
        "lower",
        "test",
        "set",
        "measure",
        "empty",
        "bin",
        "dump",
        "junk",
        "block",
        "hold",
        "watch",
        "sort",
        "polish",
        "sand",
        "cycle",
        "straighten",
        "raise",
        "reduce",
        "increase",
        "decrease",
        "tune",
        "program",
        "calibration",
        "lubrication",
        "maintenance",
        "replacement",
        "cleaning",
        "adjustment",
        "greasing",
        "servicing",
        "service",
        "lube",
        "cal",
        "pm",
        "changeout",
        "contain",
        "junk",
        "toss",
        "freeze",
        "vacuum",
        "review",
        "audit",
        "attend",
        "bin",
        "address",
    ]
)


_WORK_NOUNS = frozenset(
    [
        "service",
        "repair",
        "calibration",
        "lubrication",
        "maintenance",
        "replacement",
        "cleaning",
        "adjustment",
        "greasing",
        "inspection",
        "overhaul",
        "recalibration",
    ]
)


_OBJECT = re.compile(
    r"^\s+(?:the|it|this|that|these|those|all|both|its|them|up|down|out|on|new|old|more|every|each|a|an|our|my|some|[a-z]+ ?\d|[a-z]+s?\b)"
)


_ALWAYS = re.compile(
    r"^(?:please|pls|plz|needs?|to be|must|should|due|overdue|for |can |could |someone|send|schedule|book|arrange|want|requires?|do not|don't|on hold|put |wants|kindly|service (?:due|overdue|interval|required|needed|is)|(?:re)?calibration (?:due|needed|required|expired|overdue)|(?:lubrication|grease|lube|oil change|cal|repair|maintenance|cleaning|adjustment|replacement|change|rework) (?:due|needed|required|overdue)|no longer)"
)


_NO_HELP = re.compile(
    r" (?:it )?(?:doesn't|does not|didn't|did not|won't|has not|hasn't) (?:help|work|fix|solve|change)"
)


_AFTER_WORK = re.compile(r"\bafter (?:the |your |last |this )?(?:[\w']+ ){1,3}$")


def is_wanted(norm: str, start: int, end: int, code: str) -> bool:
    """Whether the action word at [start, end) asks for work."""
    word, before, after = norm[start:end], norm[max(0, start - 24) : start], norm[end : end + 24]
    if not word[0].isascii() or not word[0].isalpha():
        return wanted_zh(word, before, after, code)
    if _NO_HELP.match(after) or _AFTER_WORK.search(norm[max(0, start - 48) : start]):
        return False
    if word == "hold" and re.match(r" (?:pressure|temp|vacuum|speed|position|water|load|torque|down|up)", after):
        return False
    if _ALWAYS.match(word):
        return not re.search(r"\b(?:no|not|doesn't|don't|does not|do not|never)\s*$", before) or word.startswith(
            ("do not", "don't")
        )
    if word in {"on hold", "quarantine", "segregate"}:
        return re.search(r"\b(?:not|no need to|don't)\s*$", before) is None
    if _NOT_TO.search(before):
        return False
    if word in _WORK_NOUNS and re.match(
        r"\s+(?:within|by|before|asap|due|needed|required|please|pls|this|next|tomorrow|today|end of)\b", after
    ):
        return re.search(r"\b(?:no|without|after|since|last|the last|during)\s*$", before) is None
    asked = _ASK_BEFORE_EN.search(before) is not None
    if word in _NOUNISH or word.split()[0] in _NOUNISH:
        return (
            asked
            and (
                _OBJECT.match(after) is not None
                or " " in word
                or re.match(
                    r"\s*(?:$|[.!,;]|asap|now|by|before|within|please|today|tomorrow|due|needed|required)", after
                )
                is not None
            )
            and not re.match(
                r"\s+(?:is|was|has|are|too|very|low|high|off|bad|failed|ok|valve|switch|fault|alarm|pressure|good|gone|leaking|leak|dropp|drops|still|temp|held|seems|at \d)",
                after,
            )
        )
    if asked:
        return not re.match(
            r"\s+(?:valve|button|fault|light|is |was |failed|did|didn't|again$|held|ok\b|valves|point|time|came|successful)",
            after,
        )
    if re.search(r"\b(?:a|an|the|this|that|last|our|your|my|[a-z]+ness) [a-z]+ $", before) or (
        word in {"check", "test", "change", "repair", "service", "measure"}
        and re.match(r"\s+(?:failed|fails|result|ok\b|not\b|show|report|was|takes?\b|done|passed|is\b|nok|ng\b)", after)
    ):
        return False
    return _DONE_BEFORE_EN.search(before) is None and not re.match(r"(?:e?d|ing)\b", after)
