"""Which machine is meant: names in the text against the registry of the plant."""

# ruff: noqa: E501, PLR2004 - patterns of whole phrases; reaches in characters; signs as people type them

import itertools
import re
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from functools import lru_cache, partial

from gateway.core.asset import Asset, Plant
from nlp import numerals
from nlp.lexicon import lexicon
from nlp.text import normalise

_PIECE = re.compile(rf"(?P<n>\d+)|(?P<w>[a-z]+)|(?P<zn>[{numerals.ZH}]+)|(?P<c>[\u3400-\u9fff])|(?P<s>.)", re.DOTALL)
_QUIET_WORDS = {"no", "nr", "num", "number", "the", "of"}
_QUIET_CHARS = set(" -_#./号台的\t:°")
_ORDINALS = {"一": 1, "二": 2, "三": 3, "四": 4, "五": 5, "六": 6, "七": 7, "八": 8, "九": 9, "十": 10, "两": 2}
_EN_NUMBERS = {
    "one": 1,
    "two": 2,
    "three": 3,
    "four": 4,
    "five": 5,
    "six": 6,
    "seven": 7,
    "eight": 8,
    "nine": 9,
    "ten": 10,
    "eleven": 11,
    "twelve": 12,
}
_ROMAN = {"ii": 2, "iii": 3, "iv": 4, "vi": 6, "vii": 7, "viii": 8}
_NOT = re.compile(
    r"(?:不是|并非|而不是|非|不在|别去|不关|\bnot(?: on| the| at| for)?(?: the)?|\bisn't|\binstead of|\brather than|\bwrong:?|\bno longer|\bnot on)\s*$"
)
_WRONG = re.compile(
    r"^\s*(?:[,;。.!]|-+|\.{2,})?\s*(?:不对|不是|错了|更正|说错|写错|打错|纠正|口误|应该是|应为|哦不|呃不|no wait|no,? |wait|sorry|correction|i mean|i meant|scratch that|rather|oops|actually|make that|typo|my mistake|should be|should read|strike that|er,? no|nope|err?\b)"
)
_RIGHT = re.compile(
    r"(?:更正|应该是|应为|而是|是|改为|不对|correction|i mean|i meant|rather|actually|make that|sorry|should be|should read|but|it's|its|wait|it is|i mean the|no)[\s,:-]*(?:是|it's|its|the|on|for|it is)?\s*$"
)
_SHORT = re.compile(r"[a-z]{3,}")
_GAP = 2
_ARTICLE = re.compile(r"(?:the|this|that|our|my) ")
_NEIGHBOUR = re.compile(
    r"(?:旁边|隔壁|附近|边上|对面|next to|near|beside|behind|opposite|across from|in front of|adjacent to)(?: the)?\s*$"
)
_NEIGHBOUR_AFTER = re.compile(r"^\s*(?:旁边|隔壁|附近|边上|对面|旁)的?")


@dataclass(frozen=True, slots=True)
class Piece:
    """A word, a Chinese character or a number of a name; quiet signs (-, #, 号) are left out."""

    key: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Mention:
    """A machine that the text names. `asset` is None when the registry does not say which."""

    start: int
    end: int
    asset: str | None
    how: str
    candidates: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Resolved:
    """The machine of the report. `how`: exact, class, generic, fuzzy, hint, none; `reason` when it is open."""

    asset: str | None
    how: str
    mentions: tuple[Mention, ...]
    conflict: bool = False
    rejected: tuple[tuple[int, int], ...] = ()


@dataclass(slots=True)
class Registry:
    """The plant's names, cut into pieces, for quick look-up."""

    names: dict[str, list[tuple[tuple[str, ...], str]]] = field(default_factory=lambda: defaultdict(list))
    terms: dict[str, list[tuple[tuple[str, ...], frozenset[str]]]] = field(default_factory=lambda: defaultdict(list))
    by_kind: dict[tuple[str, int | None], set[str]] = field(default_factory=lambda: defaultdict(set))
    by_term: dict[tuple[tuple[str, ...], int | None], set[str]] = field(default_factory=lambda: defaultdict(set))
    words: frozenset[str] = frozenset()
    ids: frozenset[str] = frozenset()


def pieces(norm: str) -> list[Piece]:
    """Cut a normalised text into pieces that compare across spellings: 三, 3, #3, 3# and No.3 are alike."""
    found: list[Piece] = []
    for hit in _PIECE.finditer(norm):
        start, end = hit.span()
        if hit["n"]:
            found.append(Piece(str(int(hit["n"])) if len(hit["n"]) < 12 else hit["n"], start, end))
        elif hit["w"]:
            word = hit["w"]
            if word in _QUIET_WORDS:
                continue
            if len(word) > 3 and word.endswith("s") and not word.endswith("ss"):
                word = word[:-1]
            if word in {"mould", "moulding", "moulder"}:
                word = word.replace("mould", "mold")
            found.append(Piece(str(_EN_NUMBERS.get(word, _ROMAN.get(word, word))), start, end))
        elif hit["zn"]:
            value = numerals.whole(hit["zn"])
            found.append(Piece(str(value) if value is not None else hit["zn"], start, end))
        elif hit["c"] and hit["c"] not in _QUIET_CHARS:
            found.append(Piece(hit["c"], start, end))
        elif hit["s"] and hit["s"] not in _QUIET_CHARS:
            found.append(Piece(hit["s"], start, end))
    return found


def _keys(name: str) -> tuple[str, ...]:
    return tuple(piece.key for piece in pieces(normalise(name).norm))


@lru_cache(maxsize=16)
def registry(plant: Plant) -> Registry:
    """Names of the plant, made ready once."""
    made = Registry()
    words: set[str] = set()
    for asset in plant.assets:
        for name in dict.fromkeys((asset.id, asset.name, *asset.aliases)):
            keys = _keys(name)
            if not keys:
                continue
            made.names[keys[0]].append((keys, asset.id))
            words.update(re.findall(r"[a-z]{4,}", normalise(name).norm))
            _learn_term(made, keys, asset)
        for kind in _kinds_of(asset):
            for number in {*_numbers_of(asset), None}:
                made.by_kind[kind, number].add(asset.id)
    for (term, number), assets in list(made.by_term.items()):
        if number is None and term:
            made.terms[term[0]].append((term, frozenset(assets)))
    made.words = frozenset(words)
    made.ids = frozenset(asset.id for asset in plant.assets)
    return made


def _learn_term(made: Registry, keys: tuple[str, ...], asset: Asset) -> None:
    numbers = [key for key in keys if key.isdigit()]
    term = tuple(key for key in keys if not key.isdigit())
    if len(numbers) > 1 or not term or (len(term) == 1 and len(term[0]) < 2 and term[0] not in "炉泵"):
        return
    if numbers and not (keys[0].isdigit() or keys[-1].isdigit()):
        return
    made.by_term[term, int(numbers[0]) if numbers else None].add(asset.id)
    if numbers:
        made.by_term[term, None].add(asset.id)


def _kinds_of(asset: Asset) -> set[str]:
    kinds: set[str] = set()
    for name in (asset.kind, asset.name, *asset.aliases):
        norm = normalise(name).norm
        best = [one for one in lexicon().find(norm) if one.category == "machine" and one.code != "machine"]
        if best:
            last = max(best, key=lambda one: (one.end, one.end - one.start))
            kinds.add(last.code)
    return kinds


def _numbers_of(asset: Asset) -> set[int]:
    numbers: set[int] = set()
    for name in (asset.id, asset.name, *asset.aliases):
        keys = [key for key in _keys(name) if key.isdigit()]
        if len(keys) == 1 and len(keys[0]) < 6:
            numbers.add(int(keys[0]))
    return numbers


def resolve(norm: str, plant: Plant, hint: str | None, taken: list[tuple[int, int]]) -> Resolved:
    """Find the machine of the report. Two different machines, or none, give None."""
    known = registry(plant)
    cut = [piece for piece in pieces(norm) if not any(piece.start < end and start < piece.end for start, end in taken)]
    mentions = _outermost([*_exact(norm, cut, known), *_by_class(norm, cut, known), *_generic(norm, cut, known)])
    mentions = _specific(mentions)
    if not any(one.asset and one.how in {"exact", "class"} for one in mentions):
        near = list(_fuzzy(norm, cut, known)) or list(_shortened(cut, known))
        mentions = [*near, *(one for one in mentions if not any(one.start < n.end and n.start < one.end for n in near))]
        mentions = [one for one in mentions if not near or one.asset is None or one.how == "fuzzy"]
    kept = _corrected(norm, mentions, cut, known)
    kept += [other for one in kept if one.how == "exact" and one.asset for other in _second(norm, one, known)]
    rejected = tuple((one.start, one.end) for one in mentions if one not in kept)
    return replace(_choose(kept, hint, known), rejected=rejected)


def _specific(mentions: list[Mention]) -> list[Mention]:
    """A generic word beside a name is no second machine."""
    if any(one.how in {"exact", "class"} for one in mentions):
        return [one for one in mentions if one.how not in {"generic", "word"}]
    return mentions


def _exact(norm: str, cut: list[Piece], known: Registry) -> Iterable[Mention]:
    for at, piece in enumerate(cut):
        options: dict[int, set[str]] = defaultdict(set)
        for keys, asset in known.names.get(piece.key, ()):
            if _same(cut, at, keys):
                options[len(keys)].add(asset)
        if options:
            longest = max(options)
            assets = options[longest]
            start, end = _widened(
                norm,
                piece.start,
                cut[at + longest - 1].end,
                leading=piece.key.isdigit(),
                trailing=cut[at + longest - 1].key.isdigit(),
            )
            alone = longest == 1 and piece.key.isdigit()
            if not alone:
                yield Mention(
                    start, end, next(iter(assets)) if len(assets) == 1 else None, "exact", tuple(sorted(assets))
                )


_ALSO = re.compile(
    r"\s*(?:和|与|及|、|以及|,|and|&|/|\+|plus|or)\s*(?:also )?(?:#|no\.? ?)?(?P<k>[a-z]|\d{1,4})(?![a-z\d.%°/])"
)
_ALSO_BEFORE = re.compile(r"(?<![a-z\d.])(?P<k>[a-z]|\d{1,4})\s*(?:号|#)?\s*(?:和|与|及|、|以及|and|&)\s*$")


def _second(norm: str, mention: Mention, known: Registry) -> Iterable[Mention]:
    """The other machine of "press 2 and 5" and 31和32#泵."""
    keys = _keys(norm[mention.start : mention.end])
    for hit, place in (
        (_ALSO.match(norm, mention.end), -1),
        (_ALSO_BEFORE.search(norm[max(0, mention.start - 10) : mention.start]), 0),
    ):
        if hit is None or not keys or not (keys[place].isdigit() or len(keys[place]) == 1):
            continue
        other = (*keys[:-1], _number(hit["k"])) if place else (_number(hit["k"]), *keys[1:])
        assets = {asset for names, asset in known.names.get(other[0], ()) if names == other}
        if len(assets) == 1 and assets != {mention.asset}:
            yield Mention(mention.end, mention.end, next(iter(assets)), "exact", tuple(assets))


def _number(written: str) -> str:
    return str(int(written)) if written.isdigit() else written


def _same(cut: list[Piece], at: int, keys: tuple[str, ...]) -> bool:
    if at + len(keys) > len(cut) or tuple(piece.key for piece in cut[at : at + len(keys)]) != keys:
        return False
    return all(cut[at + i + 1].start - cut[at + i].end <= 5 for i in range(len(keys) - 1))


def _widened(norm: str, start: int, end: int, *, leading: bool, trailing: bool) -> tuple[int, int]:
    if leading and norm[start - 1 : start] == "#":
        start -= 1
    if trailing and norm[end : end + 1] in {"#", "号"} and norm[end : end + 1]:
        end += 1
        if (
            norm[end - 1] == "号"
            and norm[end : end + 1] in {"机", "台", "炉", "泵", "线"}
            and norm[end + 1 : end + 2] not in {"床", "器"}
        ):
            end += 1
    return start, end


def _by_class(norm: str, cut: list[Piece], known: Registry) -> Iterable[Mention]:
    for word in lexicon().find(norm):
        if word.category == "machine" and word.code != "machine" and not _is_goods(norm, word.start, word.end):
            yield from _numbered(norm, cut, word.start, word.end, partial(_of_kind, known, word.code))
    for at, piece in enumerate(cut):
        for term, _ in known.terms.get(piece.key, ()):
            if _same(cut, at, term):
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
        first, last = _widened(norm, first, last, leading=is_before, trailing=not is_before)
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


def _generic(norm: str, cut: list[Piece], known: Registry) -> Iterable[Mention]:
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
            if _same(cut, at, term) and (len(term) > 1 or len(term[0]) > 2):
                yield Mention(
                    piece.start,
                    cut[at + len(term) - 1].end,
                    next(iter(called)) if len(called) == 1 else None,
                    "generic",
                    tuple(sorted(called)),
                )


def _outermost(mentions: list[Mention]) -> list[Mention]:
    rank = {"exact": 0, "class": 1, "generic": 2, "word": 3}
    kept: list[Mention] = []
    for one in sorted(mentions, key=lambda m: (m.how != "exact", m.start - m.end, rank[m.how], m.asset is None)):
        if not any(one.start < other.end and other.start < one.end for other in kept):
            kept.append(one)
    return sorted(kept, key=lambda m: m.start)


def _fuzzy(norm: str, cut: list[Piece], known: Registry) -> Iterable[Mention]:
    """An alias with one character wrong, the same number, and at least four pieces."""
    best: list[tuple[int, Mention]] = []
    for keys_list in known.names.values():
        for keys, asset in keys_list:
            if len(keys) < 4 or len(keys) > len(cut):
                continue
            for at in range(len(cut) - len(keys) + 1):
                off = [i for i, key in enumerate(keys) if cut[at + i].key != key]
                if (
                    len(off) == 1
                    and not keys[off[0]].isdigit()
                    and not cut[at + off[0]].key.isdigit()
                    and len(keys[off[0]]) == 1
                ):
                    start, end = _widened(
                        norm,
                        cut[at].start,
                        cut[at + len(keys) - 1].end,
                        leading=keys[0].isdigit(),
                        trailing=keys[-1].isdigit(),
                    )
                    best.append((len(keys), Mention(start, end, asset, "fuzzy", (asset,))))
    if best:
        longest = max(size for size, _ in best)
        found = {one.asset: one for size, one in best if size == longest}
        if len(found) == 1:
            yield next(iter(found.values()))


def _shortened(cut: list[Piece], known: Registry) -> Iterable[Mention]:
    """A name cut short before its number: "extr 8" where the plant has one machine that it can be."""
    for word, number in itertools.pairwise(cut):
        if not number.key.isdigit() or not _SHORT.fullmatch(word.key) or number.start - word.end > _GAP:
            continue
        assets = {
            asset
            for first, named in known.names.items()
            if first != word.key and first.startswith(word.key)
            for keys, asset in named
            if keys == (first, number.key)
        }
        if len(assets) == 1:
            yield Mention(word.start, number.end, next(iter(assets)), "fuzzy", tuple(assets))


def _corrected(norm: str, mentions: list[Mention], cut: list[Piece], known: Registry) -> list[Mention]:
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
    start, end = _widened(norm, number.start, number.end, leading=True, trailing=True)
    return Mention(start, end, next(iter(hits)) if len(hits) == 1 else None, "class", tuple(sorted(hits)))


def _choose(mentions: list[Mention], hint: str | None, known: Registry) -> Resolved:
    named = list(dict.fromkeys(one.asset for one in mentions if one.asset))
    unknown = [one for one in mentions if one.asset is None and one.how in {"class", "exact"}]
    hinted = hint if hint in known.ids else None
    if len(named) > 1:
        return Resolved(None, "none", tuple(mentions), conflict=True)
    if named:
        how = next(one.how for one in mentions if one.asset == named[0])
        if hinted and hinted != named[0]:
            return Resolved(named[0], how, tuple(mentions), conflict=True)
        if unknown and how == "generic":
            return Resolved(hinted, "hint" if hinted else "none", tuple(mentions))
        return Resolved(named[0], how, tuple(mentions))
    if hinted:
        return Resolved(hinted, "hint", tuple(mentions))
    return Resolved(None, "none", tuple(mentions))
