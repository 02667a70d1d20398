"""Machines named by their class, with a number (5号车床) or without one (the lathe)."""

# ruff: noqa: PLR2004 - reaches in characters

import re
from collections.abc import Callable, Iterable
from functools import partial

from nlp.assets.cut import Piece
from nlp.assets.exact import same, widened
from nlp.assets.mention import Mention
from nlp.assets.names import Registry
from nlp.lexicon import lexicon

_ARTICLE = re.compile(r"(?:the|this|that|our|my) ")


def by_class(norm: str, cut: list[Piece], known: Registry) -> Iterable[Mention]:
    """Find classes of machine with a number beside them."""
    for word in lexicon().find(norm):
        if word.category == "machine" and word.code != "machine" and not _is_goods(norm, word.start, word.end):
            yield from _numbered(norm, cut, word.start, word.end, partial(_of_kind, known, word.code))
    for at, piece in enumerate(cut):
        for term, _ in known.terms.get(piece.key, ()):
            if same(cut, at, term):
                start, end = piece.start, cut[at + len(term) - 1].end
                yield from _numbered(norm, cut, start, end, partial(_of_term, known, term))


def _of_kind(known: Registry, kind: str, number: int) -> set[str]:
    return known.by_kind.get((kind, number), set())


def _of_term(known: Registry, term: tuple[str, ...], number: int) -> set[str]:
    return known.by_term.get((term, number), set())


def _numbered(norm: str, cut: list[Piece], start: int, end: int, find: Callable[[int], set[str]]) -> Iterable[Mention]:
    before = next((piece for piece in reversed(cut) if piece.end <= start), None)
    after = next((piece for piece in cut if piece.start >= end), None)
    for piece, is_before in ((before, True), (after, False)):
        if piece is None or not piece.key.isdigit() or len(piece.key) > 5:
            continue
        if is_before and re.search(r"(?<![a-z])[abd-mo-z]$", norm[: piece.start]) and norm[start : start + 1].isascii():
            continue
        gap = (norm[piece.end : start] if is_before else norm[end : piece.start]).removeprefix("-")
        if not re.fullmatch(r"\s*(?:号|#|线的?|号线的?|台|no\.?|nr\.?|number|_|\s|th|nd|rd|st)*\s*", gap):
            continue
        if (
            is_before
            and "线" not in gap
            and not re.search(r"号|#|-", gap)
            and norm[piece.start - 1 : piece.start] != "#"
            and not re.match(r"[一二三四五六七八九十]", norm[piece.start])
            and gap.strip() == ""
            and norm[start].isascii()
            and piece.end == start
        ):
            continue
        if not is_before and re.match(
            r"\s*(?:个|件|次|小时|分钟|天|mm|bar|°|%|min|h\b|pcs|rpm|a\b|v\b|点|月|秒|丝|kg|hz|mpa|um|:|\.\d|,\d)",
            norm[piece.end :],
        ):
            continue
        first, last = (piece.start, end) if is_before else (start, piece.end)
        first, last = widened(norm, first, last, leading=is_before, trailing=not is_before)
        assets = find(int(piece.key))
        yield Mention(first, last, next(iter(assets)) if len(assets) == 1 else None, "class", tuple(sorted(assets)))


_GOODS_AFTER = re.compile(
    r" (?:bodies|housings|casings|castings|covers|shafts|impellers|blanks|rotors|lids|brackets)\b|[体壳盖轴架座]"
)


_COUNTED = re.compile(r"(?:批|\d ?(?:件|个|只|套|片|台)|[一二三四五六七八九十](?:件|个|只|套|片))(?:次|的)?$")


def _is_goods(norm: str, start: int, end: int) -> bool:
    """Whether a machine's name is the beginning of what is made: "5 pump bodies", 这批泵体."""
    after = _GOODS_AFTER.match(norm, end)
    if after is None:
        return False
    return norm[start].isascii() or _COUNTED.search(norm[max(0, start - 6) : start]) is not None


def generic(norm: str, cut: list[Piece], known: Registry) -> Iterable[Mention]:
    """Find classes of machine without a number."""
    for word in lexicon().find(norm):
        if word.category != "machine" or _is_goods(norm, word.start, word.end):
            continue
        if word.code == "machine":
            if norm[word.start : word.end] != "it":
                lead = _ARTICLE.match(norm, word.start, word.end)
                yield Mention(lead.end() if lead else word.start, word.end, None, "word")
            continue
        if word.end - word.start == 1 and norm[word.start] not in "炉泵":
            continue
        assets = known.by_kind.get((word.code, None), set())
        if norm[word.end : word.end + 1] in {"号", "次"} and word.end - word.start == 1:
            continue
        if not assets and word.code in {"motor", "gearbox"}:
            continue
        yield Mention(
            word.start, word.end, next(iter(assets)) if len(assets) == 1 else None, "generic", tuple(sorted(assets))
        )
    for at, piece in enumerate(cut):
        for term, called in known.terms.get(piece.key, ()):
            if same(cut, at, term) and (len(term) > 1 or len(term[0]) > 2):
                yield Mention(
                    piece.start,
                    cut[at + len(term) - 1].end,
                    next(iter(called)) if len(called) == 1 else None,
                    "generic",
                    tuple(sorted(called)),
                )
