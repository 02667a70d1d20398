"""The names of a plant's machines, made ready for quick look-up."""

# ruff: noqa: PLR2004 - reaches in characters

import re
from collections import defaultdict
from dataclasses import dataclass, field
from functools import lru_cache

from gateway.core.asset import Asset, Plant
from nlp.assets.cut import keys_of
from nlp.lexicon import lexicon
from nlp.text import normalise


@dataclass(slots=True)
class Registry:
    """The plant's names, cut into pieces, for quick look-up."""

    names: dict[str, list[tuple[tuple[str, ...], str]]] = field(default_factory=lambda: defaultdict(list))
    terms: dict[str, list[tuple[tuple[str, ...], frozenset[str]]]] = field(default_factory=lambda: defaultdict(list))
    by_kind: dict[tuple[str, int | None], set[str]] = field(default_factory=lambda: defaultdict(set))
    by_term: dict[tuple[tuple[str, ...], int | None], set[str]] = field(default_factory=lambda: defaultdict(set))
    words: frozenset[str] = frozenset()
    ids: frozenset[str] = frozenset()


@lru_cache(maxsize=16)
def registry(plant: Plant) -> Registry:
    """Names of the plant, made ready once."""
    made = Registry()
    words: set[str] = set()
    for asset in plant.assets:
        for name in dict.fromkeys((asset.id, asset.name, *asset.aliases)):
            keys = keys_of(name)
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
        keys = [key for key in keys_of(name) if key.isdigit()]
        if len(keys) == 1 and len(keys[0]) < 6:
            numbers.add(int(keys[0]))
    return numbers
