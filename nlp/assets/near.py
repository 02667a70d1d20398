"""Machines named with one character wrong, or cut short."""

# ruff: noqa: PLR2004 - reaches in characters

import itertools
import re
from collections.abc import Iterable

from nlp.assets.cut import Piece
from nlp.assets.exact import widened
from nlp.assets.mention import Mention
from nlp.assets.names import Registry

_SHORT = re.compile(r"[a-z]{3,}")


_GAP = 2


def fuzzy(norm: str, cut: list[Piece], known: Registry) -> Iterable[Mention]:
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
                    start, end = widened(
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


def shortened(cut: list[Piece], known: Registry) -> Iterable[Mention]:
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
