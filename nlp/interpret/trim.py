"""Where the words of a slot begin and end: without adverbs, particles and verbs, with the number of a place."""

# ruff: noqa: PLR2004 - reaches in characters

import re
from collections.abc import Sequence
from dataclasses import replace

from nlp.marks import Mark

_ADVERB = re.compile(
    r"(?:又|还在|还是|还|在|一直在?|老是|老(?=[响漏抖卡跳振震])|直(?=[响漏抖])|总是|总|仍在?|有点|往外|四处|到处|不停地|突然|都|已经|已)(?=[^\s])"
)


_ADVERB_EN = re.compile(r"(?:(?:keeps|kept|constantly|always|still|now|just|suddenly|has been|is) )+(?=\w)")


def numbered(norm: str, mark: Mark, marks: Sequence[Mark]) -> Mark:
    """A place with its number (2号缸壁); "left" and "right" only before a thing."""
    word = norm[mark.start : mark.end]
    if word in {
        "left",
        "right",
        "top",
        "bottom",
        "joint",
        "joints",
        "rib",
        "root",
        "thread",
        "threads",
        "radius",
        "shoulder",
    } and not any(0 < one.start - mark.end <= 2 and one.kind in {"product", "component"} for one in marks):
        return replace(mark, end=mark.start) if word in {"left", "right"} else mark
    lead = re.search(
        r"(?:第?(?:\d+|[一二三四五六七八九十]+)(?:号|#|个|道|腔)?)$", norm[max(0, mark.start - 5) : mark.start]
    )
    if lead and not word[0].isascii():
        return replace(mark, start=mark.start - len(lead[0]))
    return mark


def bare(norm: str, mark: Mark) -> tuple[int, int]:
    """Without the particle at the end: 超了 is 超."""
    end = mark.end
    while (
        end - mark.start > 1
        and norm[end - 1] in "了的"
        and norm[end - 2 : end - 1] != "不"
        and not re.search(r"不\S了$", norm[mark.start : end])
    ):
        end -= 1
    lead = (_ADVERB_EN if norm[mark.start].isascii() else _ADVERB).match(norm[mark.start : end])
    start = mark.start + lead.end() if lead and mark.start + lead.end() < end else mark.start
    return start, end


def stripped(norm: str, mark: Mark) -> tuple[int, int]:
    """Without the verb before and the particle after: "is severe" is "severe"."""
    lead = re.match(r"(?:and|is|are|was|it|has been|has|been) ", norm[mark.start : mark.end])
    end = mark.end - (norm[mark.end - 1] == "了" and mark.end - mark.start > 1)
    return mark.start + (lead.end() if lead else 0), end
