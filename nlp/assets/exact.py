"""Machines named as the registry has them, and the second one of "press 2 and 5"."""

# ruff: noqa: PLR2004 - reaches in characters

import re
from collections import defaultdict
from collections.abc import Iterable

from nlp.assets.cut import Piece, keys_of
from nlp.assets.mention import Mention
from nlp.assets.names import Registry


def exact_names(norm: str, cut: list[Piece], known: Registry) -> Iterable[Mention]:
    """Find names of the registry, each place with the longest one."""
    for at, piece in enumerate(cut):
        options: dict[int, set[str]] = defaultdict(set)
        for keys, asset in known.names.get(piece.key, ()):
            if same(cut, at, keys):
                options[len(keys)].add(asset)
        if options:
            longest = max(options)
            assets = options[longest]
            start, end = widened(
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


def second(norm: str, mention: Mention, known: Registry) -> Iterable[Mention]:
    """The other machine of "press 2 and 5" and 31和32#泵."""
    keys = keys_of(norm[mention.start : mention.end])
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


def same(cut: list[Piece], at: int, keys: tuple[str, ...]) -> bool:
    """Whether the pieces from `at` on are these keys, close together."""
    if at + len(keys) > len(cut) or tuple(piece.key for piece in cut[at : at + len(keys)]) != keys:
        return False
    return all(cut[at + i + 1].start - cut[at + i].end <= 5 for i in range(len(keys) - 1))


def widened(norm: str, start: int, end: int, *, leading: bool, trailing: bool) -> tuple[int, int]:
    """Take in a sign beside a number: #3, 3#, 3号机."""
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
