"""Entities in English work orders: MaintIE, official split, 5 classes, against published BERT-base (108 M).

--data holds `maintie/gold_release.json`. Exact span and class, micro-F1 over all gold entities, nested ones too.
The test has 108 texts: a 95 % interval of about 2.8 points either way, so a difference within it says nothing.
"""

import statistics
import sys
from collections.abc import Sequence
from pathlib import Path

import torch
from report import Row, arguments, publish

import gateway
from nlp.encoder import Encoder, Reader, ReaderConfig, open_encoder, own_top
from nlp.pieces import units
from nlp.training import corpus, joint

PUBLISHED = 87.39  # SpERT with bert-base-cased, fine gold only (LREC-COLING 2024, table 4)
CLASSES = ("PhysicalObject", "State", "Process", "Activity", "Property")
TRAIN, TEST = slice(0, 860), slice(968, None)
COURSE = joint.Course(epochs=12, layers=6, body=1.5e-4, batch=16)


def lesson(gold: corpus.Gold) -> joint.Lesson:
    """Put a text's entities onto units."""
    edges, at = [], 0
    for word in gold.tokens:
        edges.append(at)
        at += len(word) + 1
    cut = units(" ".join(gold.tokens))
    starts = {start: place for place, start in reversed(list(enumerate(cut.starts)))}
    ends = {end: place for place, end in enumerate(cut.ends)}
    marks = [
        (
            CLASSES.index(one.type.split("/")[0]),
            starts[edges[one.start]],
            ends[edges[one.end - 1] + len(gold.tokens[one.end - 1])],
        )
        for one in gold.entities
    ]
    return joint.Lesson(cut, tuple(marks), tuple(range(len(CLASSES))))


def trained(encoder: Encoder, lessons: Sequence[joint.Lesson], course: joint.Course, seed: int) -> Reader:
    """Train a reader for the five classes."""
    torch.manual_seed(seed)
    config = ReaderConfig(width=encoder.width, layers=6, slots=CLASSES, intents=("none",), fine={"none": "none"})
    reader = Reader(own_top(encoder, 6), encoder.tokenizer, config)
    joint.fit(reader, lessons, course, seed, say=lambda line: print(line, file=sys.stderr))
    return reader


def f1(reader: Reader, lessons: Sequence[joint.Lesson]) -> float:
    """Micro-F1 in per cent over exact spans and classes."""
    hits = total = 0
    for one in lessons:
        with torch.inference_mode():
            logits = reader([one.units])[0][0]
        said = {tuple(place) for place in (logits > 0).nonzero().tolist()}
        hits += len(said & set(one.marks))
        total += len(said) + len(set(one.marks))
    return 200 * hits / total


def main() -> int:
    """Measure and publish; 1 without the data."""
    options = arguments("maintie", data=True)
    if options.data is None or not (options.data / "maintie").is_dir():
        print("maintie: --data DIR must hold maintie/gold_release.json", file=sys.stderr)
        return 1
    torch.set_num_threads(1)
    gold = corpus.maintie(options.data)
    train, test = [lesson(one) for one in gold[TRAIN]], [lesson(one) for one in gold[TEST]]
    encoder = open_encoder(Path(gateway.__file__).parent / "bundle")
    course = joint.Course(epochs=2, layers=6, body=1.5e-4, batch=16) if options.quick else COURSE
    seeds = (1,) if options.quick else (1, 2, 3)
    scores = []
    for seed in seeds:
        scores.append(f1(trained(encoder, train, course, seed), test))
        print(f"seed {seed}: F1 {scores[-1]:.2f}", file=sys.stderr)
    mean = statistics.mean(scores)
    name = f"MaintIE entities, 16 M parameters, {len(seeds)} seed(s), {min(scores):.1f} to {max(scores):.1f}"
    row = Row(name, mean, PUBLISHED, "F1", mean / PUBLISHED, "within 2.8 of BERT-base", mean > PUBLISHED - 2.8)
    publish("maintie", [row], options.output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
