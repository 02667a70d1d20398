"""The text that may train shipped weights, and nothing else: read from a directory of public data sets.

What is left out: test and development parts, sets for research only, and every text that an evaluation uses.
"""

import csv
import json
from collections.abc import Iterator
from pathlib import Path

import msgspec

from nlp.training.generator import Generator

_SHORTEST = 3
_MAINTIE_TRAIN = 860  # the released split is by the order of the file


def english(data: Path) -> list[str]:
    """Give the permitted English maintenance texts, each once, without those of the evaluation sets."""
    held_out = set(_held_out(data))
    found = dict.fromkeys(text for text in _english(data) if text.lower() not in held_out and len(text) > _SHORTEST)
    return list(found)


def generated(count: int, seed: int) -> list[str]:
    """Give texts of generated reports, in turn Chinese and English."""
    return [report.text for report in Generator(seed, noise=0.3).reports(count)]


class Entity(msgspec.Struct, frozen=True):
    """An entity of MaintIE: words [start, end), a path of classes such as PhysicalObject/SensingObject."""

    start: int
    end: int
    type: str


class Gold(msgspec.Struct, frozen=True):
    """A text of MaintIE with its entities, which may lie in one another."""

    text: str
    tokens: list[str]
    entities: list[Entity]


def maintie(data: Path) -> list[Gold]:
    """Read the MaintIE gold in the order of its file; train is [0:860], dev [860:968], test [968:]."""
    return msgspec.json.decode((data / "maintie" / "gold_release.json").read_bytes(), type=list[Gold])


def tagged(path: Path) -> Iterator[tuple[list[str], list[str]]]:
    """Read a file of `word tag` lines, a blank line between texts: words and BIO tags of each text."""
    words: list[str] = []
    tags: list[str] = []
    for line in [*path.read_text("utf-8").splitlines(), ""]:
        if line.strip():
            word, _, tag = line.rpartition(" ")
            words.append(word)
            tags.append(tag)
        elif words:
            yield words, tags
            words, tags = [], []


def mwo2kg(data: Path, part: str) -> list[tuple[list[str], list[str]]]:
    """Read a part ("train", "dev", "test") of the MWO2KG entities."""
    return list(tagged(data / "mwo2kg" / "mwo2kg" / "sample_data" / "processed" / f"{part}.txt"))


def _held_out(data: Path) -> Iterator[str]:
    for row in maintie(data)[_MAINTIE_TRAIN:]:
        yield row.text.lower()
    for part in ("dev", "test"):
        for words, _ in mwo2kg(data, part):
            yield " ".join(words).lower()


def _english(data: Path) -> Iterator[str]:
    for row in maintie(data)[:_MAINTIE_TRAIN]:
        yield row.text
    for words, _ in mwo2kg(data, "train"):
        yield " ".join(words)
    for part in ("train", "val"):
        yield from _maintnorm(data / "maintnorm" / "data" / "combined" / f"{part}.norm")
    faa = data / "omin" / "OMIn_dataset" / "data" / "FAA_data" / "Maintenance_Text_data_nona.csv"
    with faa.open(encoding="utf-8", newline="") as file:
        for record in csv.DictReader(file):
            yield " ".join(record["c119"].split())
    yield from _boeing(data / "boeing_sdr" / "Dataset" / "BIO" / "train.10.23.bio.json")


def _maintnorm(path: Path) -> Iterator[str]:
    """Both spellings of each text: that teaches the abbreviations."""
    for block in path.read_text("utf-8").split("\n\n"):
        rows = [line.split("\t") for line in block.splitlines() if "\t" in line]
        yield " ".join(row[0] for row in rows)
        yield " ".join(row[1] for row in rows)


def _boeing(path: Path) -> Iterator[str]:
    text = path.read_text("utf-8").strip()
    decoder = json.JSONDecoder()
    at = 0
    while at < len(text):
        rows, at = decoder.raw_decode(text, at)
        for row in rows if isinstance(rows, list) else [rows]:
            yield " ".join(row["tokenized_text"])
        while at < len(text) and text[at].isspace():
            at += 1
