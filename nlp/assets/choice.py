"""The choice of the one machine of a report among all that its text names."""

from dataclasses import replace

from gateway.core.asset import Plant
from nlp.assets.classes import by_class, generic
from nlp.assets.corrected import without_corrected
from nlp.assets.cut import pieces
from nlp.assets.exact import exact_names, second
from nlp.assets.mention import Mention, Resolved
from nlp.assets.names import Registry, registry
from nlp.assets.near import fuzzy, shortened


def resolve(norm: str, plant: Plant, hint: str | None, taken: list[tuple[int, int]]) -> Resolved:
    """Find the machine of the report. Two different machines, or none, give None."""
    known = registry(plant)
    cut = [piece for piece in pieces(norm) if not any(piece.start < end and start < piece.end for start, end in taken)]
    mentions = _outermost([*exact_names(norm, cut, known), *by_class(norm, cut, known), *generic(norm, cut, known)])
    mentions = _specific(mentions)
    if not any(one.asset and one.how in {"exact", "class"} for one in mentions):
        near = list(fuzzy(norm, cut, known)) or list(shortened(cut, known))
        mentions = [*near, *(one for one in mentions if not any(one.start < n.end and n.start < one.end for n in near))]
        mentions = [one for one in mentions if not near or one.asset is None or one.how == "fuzzy"]
    kept = without_corrected(norm, mentions, cut, known)
    kept += [other for one in kept if one.how == "exact" and one.asset for other in second(norm, one, known)]
    rejected = tuple((one.start, one.end) for one in mentions if one not in kept)
    return replace(_choose(kept, hint, known), rejected=rejected)


def _specific(mentions: list[Mention]) -> list[Mention]:
    """A generic word beside a name is no second machine."""
    if any(one.how in {"exact", "class"} for one in mentions):
        return [one for one in mentions if one.how not in {"generic", "word"}]
    return mentions


def _outermost(mentions: list[Mention]) -> list[Mention]:
    rank = {"exact": 0, "class": 1, "generic": 2, "word": 3}
    kept: list[Mention] = []
    for one in sorted(mentions, key=lambda m: (m.how != "exact", m.start - m.end, rank[m.how], m.asset is None)):
        if not any(one.start < other.end and other.start < one.end for other in kept):
            kept.append(one)
    return sorted(kept, key=lambda m: m.start)


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
