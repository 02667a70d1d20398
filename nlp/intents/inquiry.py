"""Questions: how something is done, where an order stands, whether a spare part is there."""

# ruff: noqa: E501 - patterns of whole phrases

import re

from nlp.intents.meant import Cues, Meant
from nlp.lexicon import Found
from nlp.marks import Mark

_ORDER_TALK = re.compile(
    r"\b(?:wo|po|order|repair|job|ticket|batch|lot|delivery|shipment|finished|done|ready|update|status)\b|工单|订单|进度|修|货|单"
)


def inquiry_of(cues: Cues, claimed: list[Mark], wants: list[Mark], *, has_number: bool) -> Meant | None:
    """A question about how, an order or a spare part, or None."""
    norm = cues.norm
    asks = bool(
        re.search(
            r"[?]|吗|呢|么(?![样办])|几时|[出发交做完走货]不(?=$|[?,。])|(?:备件|备用|现货|库存|存货|配件|货|了)没有?(?=$|[,。!])|什么|怎么|如何|多久|哪|多少|有没有|\b(?:what|when|where|who|which|how|any|is|are|do|does|can|has|have|could|status|eta|did|need to know|update|still|in stock|part number|lead time|wondering)\b",
            norm,
        )
    )
    if not asks:
        return None
    if (
        re.search(
            r"\bis (?:my|the|our) (?:\S+ ){1,7}(?:done|finished|ready|complete|fixed|closed|back|repaired)\b.*\?", norm
        )
        and not claimed
    ):
        return Meant("inquiry", "order_status", 0.85)
    if (
        re.search(r"还有\S{1,8}吗|有没有\S{1,8}(?:备件|库存|现货)|(?:are|is) there (?:any|a) (?:spare|\w+ left)", norm)
        and not claimed
        and "进度" not in norm
    ):
        return Meant("inquiry", "spare_part", 0.85)
    if re.search(r"\bneed (?:a |the )?(?:[\w-]+ ){0,4}(?:part )?number for\b", norm):
        return Meant("inquiry", "spare_part", 0.8)
    if _HOW.search(norm) and not claimed and not wants:
        return Meant("inquiry", "how_to", 0.8)
    how, spare, order = cues.all("inquiry.how_to"), cues.all("inquiry.spare_part"), cues.all("inquiry.order_status")
    if not (how or spare or order):
        return None
    first = min(one.start for one in (*how, *spare, *order))
    told = [mark for mark in claimed if mark.code != "UNK" and not _in_question(norm, mark, (*how, *spare, *order))]
    strong_question = bool(re.search(r"[?吗呢]", norm))
    if told and not (how and strong_question and first < min(mark.start for mark in told)):
        return None
    if (
        wants
        and not strong_question
        and not how
        and not has_number
        and not re.search(r"什么时候|进度|status|when|eta|库存|in stock|spare", norm)
    ):
        return None
    if (
        spare
        and (
            not how
            or spare[0].start <= how[0].start
            or re.search(r"库存|备件|仓库|in stock|spare|part number|stores?", norm)
        )
        and not (order and re.search(r"进度|什么时候|when will|status|修好|完成了", norm))
    ):
        return Meant("inquiry", "spare_part", 0.9)
    if how and not (order and order[0].start < how[0].start and _ORDER_TALK.search(norm)):
        return Meant("inquiry", "how_to", 0.9)
    if order:
        return Meant("inquiry", "order_status", 0.9)
    return Meant("inquiry", "spare_part", 0.8)


_HOW = re.compile(
    r"(?:怎么|咋)(?!回事|样|又|还|老|总|这么|那么|一直|不|没|了|搞的|会|说|都|就|那|这|来)[^,。!]{1,8}[?]?$"
)


def _in_question(norm: str, mark: Mark, cues: tuple[Found, ...]) -> bool:
    """Whether the trouble is only what the question is about."""
    clause_start = max((norm.rfind(sign, 0, mark.start) for sign in "。;!\n?,"), default=-1) + 1
    ends = [at for sign in "。;!\n?," if (at := norm.find(sign, mark.end)) >= 0]
    clause_end = min(ends, default=len(norm))
    return any(clause_start <= cue.start <= clause_end for cue in cues)
