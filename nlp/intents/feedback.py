"""Answers to a repair: it holds, it did not help, or it was a false alarm."""

# ruff: noqa: E501 - patterns of whole phrases

import re

from nlp.intents.meant import Cues, Meant
from nlp.marks import Mark


def feedback_of(cues: Cues, claimed: list[Mark], wants: list[Mark]) -> Meant | None:
    """An answer to a repair, or None."""
    real = [mark for mark in claimed if mark.code != "UNK"]
    calls = [one for one in cues.all("feedback.false_alarm") if not _NO_CALL.search(cues.norm[: one.start])]
    if calls and (not real or _is_taken_back(cues)) and not _is_wanted_anyway(wants):
        return Meant("feedback", "false_alarm", 0.9)
    repaired = cues.all("feedback.repaired")
    still = [
        one
        for one in cues.all("feedback.still")
        if not re.search(
            r"(?:没|不|未)$|\b(?:not|n't|never|running|runs|works?|working|up|ok|fine|back|good|online|quiet|once)\s*$",
            cues.norm[max(0, one.start - 9) : one.start],
        )
    ]
    mended_first = any(repair.start < mark.end for repair in repaired for mark in claimed) or any(
        repair.start < one.start for repair in repaired for one in still
    )
    if claimed and repaired and still and mended_first:
        return Meant("feedback", "repair_failed", 0.85)
    if claimed and _AGAIN.search(cues.norm):
        return Meant("feedback", "repair_failed", 0.8)
    if claimed and repaired and not wants and re.search(r"还是|仍|又|依然|照样|again|still", cues.norm):
        return Meant("feedback", "repair_failed", 0.7)
    if (
        not claimed
        and repaired
        and still
        and re.search(
            r"没(?:有)?(?:修好|好|解决|用|效果)|not (?:fixed|solved|better)|didn't|did not|no (?:better|improvement)|白修|老毛病|问题依旧|same (?:problem|issue|fault)|came back|is back",
            cues.norm,
        )
    ):
        return Meant("feedback", "repair_failed", 0.8)
    if not real and not wants and repaired and cues.any("pass.words") and not cues.any("pass.fail"):
        return Meant("feedback", "repair_confirmed", 0.8)
    if not real and cues.any("feedback.confirmed") and not wants:
        thanks = bool(
            re.search(
                r"谢|辛苦|thank|thx|cheers|great job|good job|well done|nice work|关单|关闭|可以关|close (?:the|this|my)|closed",
                cues.norm,
            )
        )
        inspected = any(cues.any(name) for name in ("inspection.words",))
        if (
            repaired
            or thanks
            or (
                not inspected
                and re.search(
                    r"修|换|处理|恢复|解决|repair|fix|replac|again|now|solved|gone|since|after|new|no more|did the|held",
                    cues.norm,
                )
            )
        ):
            return Meant("feedback", "repair_confirmed", 0.85)
    return None


_NO_CALL = re.compile(r"(?:不是|并非|不算|又|老|总是?|频繁|一直)$|\b(?:not a|no|isn't a|another|constant|repeated) $")


_TAKEN_BACK = re.compile(
    r"误报(?!了?[几多]次)|虚惊|搞错|看错|弄错|报错了|取消报修|撤销报修|不用派人|不用来|false alarm|ignore (?:my|that|the|previous|last)|disregard|cancel (?:my|the|that)|my mistake|nothing (?:is )?wrong|never ?mind|no need to (?:send|come)"
)


_OFTEN = re.compile(
    r"老是|频繁|一直|总是?|经常|不停|每天|反复|多次|又误报|keeps|constantly|repeated|every|again and again|all the time|often|continuous|frequent|several|multiple"
)


def _is_taken_back(cues: Cues) -> bool:
    """Whether the report takes an earlier one back; an instrument that lies again and again is a trouble."""
    return _TAKEN_BACK.search(cues.norm) is not None and _OFTEN.search(cues.norm) is None


_AGAIN = re.compile(
    r"(?:修|换|校验|校准|标定|调|保养|返修|排查|维修|处理|弄|检修|紧固|清洗|焊|清理|更换)\S{0,2}(?:过|后|完|了|好)以?后?[,，]?\s?(?:没\S{1,3}[,，]?)?(?:还是|照样|又|仍|依然|还在|还|照旧)(?!有(?:库存|备件))|没修好|白修|修了等于没修|返修后"
    r"|\b(?:repaired|replaced|fixed|changed|serviced|rebuilt|swapped|tightened|adjusted|cleaned)\b[^.;!?]{0,32}\b(?:yesterday|last \w+|this (?:morning|week)|on \w+day|\d+ \w+ ago|already|twice|recently)\b[^.;!?]{0,48}\b(?:again|still|back)\b"
    r"|\b(?:again|back)\b[^.;!?]{0,30}\b(?:was|were|been|just|only|already|had|you|we) (?:\w+ )?(?:repaired|replaced|fixed|changed|serviced|rebuilt|swapped|tightened|adjusted|cleaned)\b[^.;!?]{0,24}\b(?:yesterday|last \w+|this (?:morning|week)|(?:on )?\w+day|ago|already|twice|recently)\b"
    r"|\b(?:still|same|again)\b[^.;!?]{0,40}\bafter (?:the |your |last )?(?:[\w']+ ){0,4}(?:change|repair|fix|replacement|service|overhaul|swap|adjustment|rebuild)\b"
    r"|又[^,。;!?]{1,10},(?:明明)?(?:昨天|前天|上周|刚刚?|才|上次|早上|上午)\S{0,3}(?:修|换|调|处理|校|紧)"
    r"|\b(?:came back from repair|after (?:the |your |last )?(?:repair|fix|service|replacement|rebuild|overhaul) (?:it |still|the)|not fixed|wasn't fixed|repair (?:did not|didn't) (?:hold|help|last|work)|(?:repaired|fixed|replaced|changed|serviced) (?:\w+ ){0,4}(?:but|and|yet) (?:\w+ ){0,3}(?:still|again))\b"
)


def _is_wanted_anyway(wants: list[Mark]) -> bool:
    return any(mark.code != "inspect" for mark in wants)
