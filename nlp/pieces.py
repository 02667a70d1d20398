"""Text into word units and word pieces; a unit knows where it lies in the original text."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from nlp.text import normalise

# Numbers, letters and units apart, or "85℃" is one unknown piece; a hanzi is a unit of its own.
_UNIT = re.compile(r"[A-Za-z]+|\d+|\s+|.", re.DOTALL)
LONGEST = 192


@dataclass(frozen=True, slots=True)
class Units:
    """The units of one text: `words[i]` is what is read, [starts[i], ends[i]) where it stands in the original."""

    words: tuple[str, ...]
    starts: tuple[int, ...]
    ends: tuple[int, ...]


def units(raw: str) -> Units:
    """Cut a text into units of its normalised form; white space is left out."""
    text = normalise(raw)
    found = [mark for mark in _UNIT.finditer(text.norm) if not mark[0].isspace()]
    spans = [text.span(mark.start(), mark.end()) for mark in found]
    return Units(tuple(mark[0] for mark in found), tuple(a for a, _ in spans), tuple(b for _, b in spans))


@dataclass(frozen=True, slots=True)
class Pieces:
    """A padded batch as nested lists: `ids` and `mask` (n, length); `first[i][u]` is the first piece of unit u."""

    ids: list[list[int]]
    mask: list[list[int]]
    first: list[list[int]]


def encode(tokenizer: Any, batch: Sequence[Units], longest: int = LONGEST) -> Pieces:
    """Give the pieces of texts; units past `longest` pieces are left out. The tokenizer is a fast one."""
    ids: list[list[int]] = []
    first: list[list[int]] = []
    words = [list(unit.words) or [""] for unit in batch]
    coded = tokenizer(words, is_split_into_words=True, truncation=True, max_length=longest)
    for at in range(len(batch)):
        seen: dict[int, int] = {}
        for place, word in enumerate(coded.word_ids(at)):
            if word is not None:
                seen.setdefault(word, place)
        ids.append(list(coded["input_ids"][at]))
        # A unit that has no piece of its own ends the line: spans are counted in units without holes.
        first.append([seen[word] for word in range(len(seen)) if word in seen])
    width = max((len(row) for row in ids), default=0)
    pad = tokenizer.pad_token_id or 0
    mask = [[1] * len(row) + [0] * (width - len(row)) for row in ids]
    return Pieces([row + [pad] * (width - len(row)) for row in ids], mask, first)
