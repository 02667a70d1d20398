"""Names cut into words, characters and numbers that compare across spellings."""

# ruff: noqa: PLR2004 - reaches in characters

import re
from dataclasses import dataclass

from nlp import numerals
from nlp.text import normalise

_PIECE = re.compile(rf"(?P<n>\d+)|(?P<w>[a-z]+)|(?P<zn>[{numerals.ZH}]+)|(?P<c>[\u3400-\u9fff])|(?P<s>.)", re.DOTALL)


_QUIET_WORDS = {"no", "nr", "num", "number", "the", "of"}


_QUIET_CHARS = set(" -_#./号台的\t:°")


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


@dataclass(frozen=True, slots=True)
class Piece:
    """A word, a Chinese character or a number of a name; quiet signs (-, #, 号) are left out."""

    key: str
    start: int
    end: int


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


def keys_of(name: str) -> tuple[str, ...]:
    """Cut a name as it is written into the keys of its pieces."""
    return tuple(piece.key for piece in pieces(normalise(name).norm))
