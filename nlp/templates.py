"""Log lines into templates: what changes from line to line (numbers, paths, addresses) is masked."""

import re
import zlib
from collections.abc import Iterable
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

BUCKETS = 1024
_MASKS = (
    (re.compile(r"\b(?:[a-z][a-z0-9+.-]*://)\S+"), "<path>"),
    (re.compile(r"(?<![\w.])(?:/[\w.-]+){2,}/?|\b[a-z]:\\\S+"), "<path>"),
    (re.compile(r"\b[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}\b"), "<hex>"),
    (re.compile(r"\b(?:[0-9a-f]{2}:){5}[0-9a-f]{2}\b"), "<address>"),
    (re.compile(r"\b\d{1,3}(?:\.\d{1,3}){3}(?::\d+)?\b"), "<address>"),
    (re.compile(r"\b0x[0-9a-f]+\b|\b(?=[0-9a-f]*\d)(?=[0-9a-f]*[a-f])[0-9a-f]{8,}\b"), "<hex>"),
    (re.compile(r"[-+]?\d+(?:[.,:]\d+)*"), "<number>"),
)
_WORD = re.compile(r"<\w+>|[a-z]+|[\u3400-\u9fff]")
_LONGEST = 400


def template(line: str) -> str:
    """Mask a line; lines that differ in their values alone give the same template."""
    text = line.strip().lower()[:_LONGEST]
    for pattern, mark in _MASKS:
        text = pattern.sub(mark, text)
    return " ".join(text.split())


def readable(masked: str) -> str:
    """The template as the encoder reads it: without the marks, which it never met."""
    return " ".join(re.sub(r"<\w+>", " ", masked).split()) or "number"


def hashed(masked: str) -> NDArray[np.float32]:
    """Words and pairs of words in buckets, of length 1: (BUCKETS,). The same on every machine."""
    counts = np.zeros(BUCKETS, np.float32)
    for gram in _grams(masked):
        counts[zlib.crc32(gram.encode()) % BUCKETS] += 1.0
    length = float(np.linalg.norm(counts))
    return counts / np.float32(length) if length else counts


def _grams(masked: str) -> Iterable[str]:
    words = _WORD.findall(masked)
    yield from words
    for one, other in pairwise(words):
        yield f"{one} {other}"
    for word in words:
        for at in range(len(word) - 3):
            yield "#" + word[at : at + 4]
