"""What a text takes back: "not press 5, 6", 不是5号，是6号, and the machine next to the one meant."""

# ruff: noqa: E501 - patterns of whole phrases

import re

from nlp.assets.cut import Piece
from nlp.assets.exact import widened
from nlp.assets.mention import Mention
from nlp.assets.names import Registry
from nlp.lexicon import lexicon

_NOT = re.compile(
    r"(?:不是|并非|而不是|非|不在|别去|不关|\bnot(?: on| the| at| for)?(?: the)?|\bisn't|\binstead of|\brather than|\bwrong:?|\bno longer|\bnot on)\s*$"
)


_WRONG = re.compile(
    r"^\s*(?:[,;。.!]|-+|\.{2,})?\s*(?:不对|不是|错了|更正|说错|写错|打错|纠正|口误|应该是|应为|哦不|呃不|no wait|no,? |wait|sorry|correction|i mean|i meant|scratch that|rather|oops|actually|make that|typo|my mistake|should be|should read|strike that|er,? no|nope|err?\b)"
)


_NEIGHBOUR = re.compile(
    r"(?:旁边|隔壁|附近|边上|对面|next to|near|beside|behind|opposite|across from|in front of|adjacent to)(?: the)?\s*$"
)


_NEIGHBOUR_AFTER = re.compile(r"^\s*(?:旁边|隔壁|附近|边上|对面|旁)的?")


def without_corrected(norm: str, mentions: list[Mention], cut: list[Piece], known: Registry) -> list[Mention]:
    """Drop what the text takes back: "not 5, 6", 不是5号，是6号."""
    kept: list[Mention] = []
    wrong: Mention | None = None
    for at, one in enumerate(mentions):
        following = mentions[at + 1] if at + 1 < len(mentions) else None
        between = norm[one.end : following.start] if following else norm[one.end : one.end + 24]
        taken_back = _NOT.search(norm[max(0, one.start - 14) : one.start]) is not None or (
            _WRONG.match(between) is not None and (following is not None or _bare_number(one.end, cut) is not None)
        )
        if taken_back:
            wrong = one
        elif _NEIGHBOUR.search(norm[max(0, one.start - 16) : one.start]) or _NEIGHBOUR_AFTER.match(
            norm[one.end : one.end + 6]
        ):
            continue
        else:
            kept.append(one)
    if wrong is None:
        return kept
    if not any(one.asset for one in kept):
        meant = _inherited(norm, wrong, cut, known)
        if meant is not None:
            return [meant]
    return kept


def _bare_number(at: int, cut: list[Piece]) -> Piece | None:
    return next((piece for piece in cut if at <= piece.start <= at + 24 and piece.key.isdigit()), None)


def _inherited(norm: str, wrong: Mention, cut: list[Piece], known: Registry) -> Mention | None:
    """Read "not press 5, 6": the kind of the wrong machine with the right number."""
    number = _bare_number(wrong.end, cut)
    if number is None:
        return None
    pools = (
        [assets for (kind, n), assets in known.by_kind.items() if n is None and wrong.asset in assets]
        if wrong.asset
        else []
    )
    if not pools:
        words = [one.code for one in lexicon().find(norm[wrong.start : wrong.end]) if one.category == "machine"]
        pools = [known.by_kind.get((code, None), set()) for code in words]
    hits: set[str] = set()
    for (_, n), assets in known.by_kind.items():
        if n == int(number.key) and any(assets & pool for pool in pools):
            hits |= {asset for asset in assets if any(asset in pool for pool in pools)}
    start, end = widened(norm, number.start, number.end, leading=True, trailing=True)
    return Mention(start, end, next(iter(hits)) if len(hits) == 1 else None, "class", tuple(sorted(hits)))
