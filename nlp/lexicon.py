"""The shop-floor lexicon: words to categories and codes, longest match, both languages at once."""

# ruff: noqa: PLR2004 - patterns of whole phrases; reaches in characters; signs as people type them

import itertools
import math
import re
import tomllib
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from importlib.resources import files
from typing import Any, NamedTuple

from rapidfuzz import process
from rapidfuzz.distance import OSA

_CHOICE = re.compile(r"\{([^{}]*)\}")
_ROOM_TO_MISSPELL = 5
_LONG = 9
_MANY = 400
_HERE = ""
_END = "\0"
_LATIN = re.compile(r"[a-z]{3,}")


class Entry(NamedTuple):
    """What a word means: its category ("trouble", "component", …), its code, and the slot that it fills."""

    category: str
    code: str
    slot: str


class Found(NamedTuple):
    """An entry found at [start, end) of a normalised text."""

    start: int
    end: int
    category: str
    code: str
    slot: str


_Node = dict[str, Any]


class Lexicon:
    """A trie of all words, equal endings kept once. A space also matches a hyphen; `#` matches a number.

    A pattern with very many choices is kept as a regular expression instead.
    """

    def __init__(self, patterns: Iterable[tuple[str, Entry]]) -> None:
        self._many: list[tuple[re.Pattern[str], Entry]] = []
        self.vocabulary: set[str] = set()
        few: list[tuple[str, Entry]] = []
        for pattern, entry in patterns:
            if _size(pattern) > _MANY:
                self._many.append((_as_regex(pattern), entry))
                self.vocabulary.update(_LATIN.findall(pattern))
            else:
                self.vocabulary.update(_LATIN.findall(pattern) if "{" not in pattern else ())
                few.append((pattern, entry))
        # On their own: what lives for good between what does not would hold its memory.
        words = sorted(
            f"{word}{_END}{at:06d}" for at, (pattern, _) in enumerate(few) for word in expand(pattern) if word
        )
        self._root = _trie(words, [entry for _, entry in few])
        latin = (word for word in words if "a" <= word[0] <= "z")
        self.vocabulary.update(itertools.chain.from_iterable(map(_LATIN.findall, latin)))

    def find(self, norm: str) -> list[Found]:
        """Every longest entry of each category at each place, in order of place."""
        best: dict[tuple[int, str], Found] = {}
        for start in range(len(norm)):
            digit = norm[start].isdigit() and "#" in self._root
            if (norm[start] not in self._root and not digit) or _inside_word(norm, start):
                continue
            for end, entry in self._walk(norm, start):
                best[start, entry.category] = Found(start, end, *entry)
        for pattern, entry in self._many:
            for hit in pattern.finditer(norm):
                start, end = hit.start(), hit.start() + len(hit[0].rstrip())
                other = best.get((start, entry.category))
                if (
                    end > start
                    and not _inside_word(norm, start)
                    and not _inside_word(norm, end)
                    and (other is None or other.end < end)
                ):
                    best[start, entry.category] = Found(start, end, *entry)
        return sorted(best.values(), key=lambda one: (one.start, -one.end))

    def _walk(self, norm: str, start: int) -> Iterator[tuple[int, Entry]]:
        node: _Node | None = self._root
        at, length = start, len(norm)
        while node is not None:
            if _HERE in node and not _inside_word(norm, at):
                for entry in node[_HERE]:
                    yield at, entry
            if at >= length:
                return
            char = norm[at]
            following: _Node | None = node.get(char)
            if following is None and char in " -":
                following = node.get("-" if char == " " else " ")
            if following is None and char.isdigit() and "#" in node:
                following = node["#"]
                while at + 1 < length and norm[at + 1].isdigit():
                    at += 1
            at += 1
            if following is not None and char == " ":
                while at < length and norm[at] == " ":
                    at += 1
            node = following


def _trie(words: Sequence[str], entries: Sequence[Entry]) -> _Node:
    """Make a trie in which equal endings are one object: a whole trie of dicts takes ten times the memory.

    `words` are in order, each with the number of its entry, so what lies behind their common beginning
    with the next one is final.
    """
    root: _Node = {}
    known: dict[tuple[Any, ...], _Node] = {}
    path = [root]
    last = ""

    def end(word: str, depth: int) -> None:
        for at in range(len(word) - 1, depth - 1, -1):
            node = path.pop()
            kinds = ((char, below if char == _HERE else id(below)) for char, below in node.items())
            path[at][word[at]] = known.setdefault(tuple(sorted(kinds)), node)

    for numbered in words:
        word, _, number = numbered.partition(_END)
        if word != last:
            shared = sum(1 for _ in itertools.takewhile(_alike, zip(last, word, strict=False)))
            end(last, shared)
            for char in word[shared:]:
                path[-1][char] = {}
                path.append(path[-1][char])
            path[-1][_HERE] = ()
            last = word
        entry = entries[int(number)]
        if entry not in path[-1][_HERE]:
            path[-1][_HERE] += (entry,)
    end(last, 0)
    return root


def _alike(pair: tuple[str, str]) -> bool:
    return pair[0] == pair[1]


def _size(pattern: str) -> int:
    return math.prod(part.count("|") + 1 for part in _CHOICE.findall(pattern))


def _as_regex(pattern: str) -> re.Pattern[str]:
    parts = _CHOICE.split(pattern)
    pieces = [
        "(?:" + "|".join(sorted(map(re.escape, part.split("|")), key=len, reverse=True)) + ")"
        if at % 2
        else re.escape(part)
        for at, part in enumerate(parts)
    ]
    return re.compile("".join(pieces).strip())


def _inside_word(norm: str, at: int) -> bool:
    if at == 0 or at >= len(norm):
        return False
    return _is_latin(norm[at - 1]) and _is_latin(norm[at])


def _is_latin(char: str) -> bool:
    return "a" <= char <= "z" or "0" <= char <= "9"


def expand(pattern: str) -> list[str]:
    """Write out the choices: "nois{e|y}" is ["noise", "noisy"]."""
    parts = _CHOICE.split(pattern)
    choices = [part.split("|") if at % 2 else [part] for at, part in enumerate(parts)]
    return [" ".join("".join(pick).split()) for pick in itertools.product(*choices)]


def _entries(language: str) -> Iterator[tuple[str, Entry]]:
    content = tomllib.loads(files("nlp.words").joinpath(f"{language}.toml").read_text(encoding="utf-8"))
    for category, lists in content.items():
        if category == "mask":
            continue
        for name, words in lists.items():
            code, _, slot = name.partition("_") if category == "trouble" else (name, "", "")
            for word in _words(words, language):
                yield word, Entry(category, code, slot)


def _words(words: str, language: str) -> Iterator[str]:
    apart = words.replace("\n", " ").split() if language == "zh" else words.replace("\n", ", ").split(",")
    for pattern in apart:
        if pattern.strip():
            yield pattern.strip().lower()


@cache
def lexicon() -> Lexicon:
    """The lexicon of both languages; read from the package once."""
    return Lexicon(itertools.chain(_entries("zh"), _entries("en")))


@cache
def names(kind: str) -> frozenset[str]:
    """Word lists that are not part of the trie: "surnames", "first_names"."""
    language = "zh" if kind == "surnames" else "en"
    content = tomllib.loads(files("nlp.words").joinpath(f"{language}.toml").read_text(encoding="utf-8"))
    return frozenset(content["mask"][kind].split())


@cache
def common() -> frozenset[str]:
    """Everyday English words that look like a misspelt word of the lexicon and are none."""
    return frozenset(files("nlp.words").joinpath("common.txt").read_text(encoding="utf-8").split())


@cache
def _by_first(letter: str) -> tuple[str, ...]:
    return tuple(word for word in lexicon().vocabulary if word[0] == letter and len(word) >= _ROOM_TO_MISSPELL - 1)


@cache
def _mended(word: str) -> str | None:
    known = lexicon().vocabulary
    if (
        len(word) < _ROOM_TO_MISSPELL
        or word in known
        or word in common()
        or "'" in word
        or word in names("first_names")
    ):
        return None
    if word.endswith("s") and word[:-1] in known:
        return None
    far = 2 if len(word) >= _LONG else 1
    hit = process.extractOne(word, _by_first(word[0]), scorer=OSA.distance, score_cutoff=far)
    if hit is None or (word[:-2] == hit[0][: len(word) - 2] and not hit[0].startswith(word)):
        return None  # another ending of the same word
    return hit[0]


def mend(word: str, also: Iterable[str] = ()) -> str | None:
    """Give the word that was meant when `word` is a slip of the pen; None when it is fine or unknown.

    `also` holds words of the plant (aliases) that count as known.
    """
    if len(word) < _ROOM_TO_MISSPELL - 1 or word in also:
        return None
    near = process.extractOne(
        word,
        [one for one in also if one[0] == word[0] and len(one) >= _ROOM_TO_MISSPELL],
        scorer=OSA.distance,
        score_cutoff=1,
    )
    if near and word not in lexicon().vocabulary and word not in common():
        return near[0]
    return _mended(word) if len(word) <= 24 else None
