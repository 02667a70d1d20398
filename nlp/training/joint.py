"""Joint fine-tuning of the reader: slots and intents, on generated reports and on tagged work orders.

Each source supervises only the slots that it annotates. A reader tunes its own copy of the encoder's layers; the
encoder stays as it is, so that the vectors of log lines, and what was fitted on them, do not change.
"""

import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import torch
from torch import nn
from torch.nn import functional as nnf

from gateway.core.report import SlotName
from nlp.encoder import Encoder, Reader, ReaderConfig, own_top
from nlp.pieces import Units, units
from nlp.training import corpus
from nlp.training.generator import INTENTS, Generator, Labelled

SLOTS: tuple[str, ...] = get_args(SlotName)
_FINE = {fine: intent for intent, fines in INTENTS.items() for fine in fines}
# What the tags of MWO2KG are here. Its observations mix what is felt and the state of a part: not used.
_TAGS = {"Activity": "action", "Item": "component", "Location": "location"}
_HIDDEN = 0.08  # share of words hidden in training, so that the words around a slot count too
_IGNORED = -100


@dataclass(frozen=True, slots=True)
class Lesson:
    """A text with marks in units: (slot, first, last); `known` are the slots that its source annotates."""

    units: Units
    marks: tuple[tuple[int, int, int], ...]
    known: tuple[int, ...]
    intent: int = _IGNORED
    fine: int = _IGNORED


@dataclass(frozen=True, slots=True)
class Course:
    """How long and how hard to train. `reports` are generated; `layers` is how many top layers are tuned."""

    reports: int = 26_000
    epochs: int = 1
    layers: int = 6
    body: float = 3e-4
    heads: float = 2e-3
    warm: float = 0.1
    batch: int = 24


def new_reader(encoder: Encoder, layers: int) -> Reader:
    """Give an untrained reader on an encoder."""
    config = ReaderConfig(width=encoder.width, layers=layers, slots=SLOTS, intents=tuple(INTENTS), fine=_FINE)
    return Reader(own_top(encoder, layers), encoder.tokenizer, config)


def train(
    encoder: Encoder, data: Path | None, seed: int, course: Course | None = None, *, say: Callable[[str], None] = print
) -> Reader:
    """Train a reader; `data` holds the permitted sets (None: generated reports alone)."""
    course = course or Course()
    torch.manual_seed(seed)
    reader = new_reader(encoder, course.layers)
    lessons = [lesson for report in Generator(seed).reports(course.reports) if (lesson := lesson_of(report))]
    if data is not None:
        lessons += list(_work_orders(data))
    fit(reader, lessons, course, seed, say=say)
    return reader


def fit(
    reader: Reader, lessons: Sequence[Lesson], course: Course, seed: int, *, say: Callable[[str], None] = print
) -> None:
    """Train a reader's own layers and heads in place. bf16 autocast."""
    plan = [batch for epoch in range(course.epochs) for batch in _plan(lessons, course.batch, seed + epoch)]
    optimiser, schedule = _optimiser(reader, course, len(plan))
    chance = random.Random(seed)  # noqa: S311 - reproducible training, no secret
    began, running = time.process_time(), 0.0
    reader.train()
    for step, chosen in enumerate(plan):
        loss = _loss(reader, [lessons[at] for at in chosen], chance)
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_([w for w in reader.parameters() if w.requires_grad], 1.0)
        optimiser.step()
        schedule.step()
        running = 0.95 * running + 0.05 * loss.item()
        if step % 50 == 0:
            say(f"step {step}/{len(plan)} loss {running:.3f} cpu {time.process_time() - began:.0f}s")
    reader.eval()


def lesson_of(report: Labelled) -> Lesson | None:
    """Put a report's slots onto units; None when a slot's edge lies within a unit."""
    cut = units(report.text)
    starts = {start: at for at, start in reversed(list(enumerate(cut.starts)))}
    ends = {end: at for at, end in enumerate(cut.ends)}
    marks = []
    for slot in report.slots:
        if slot.start not in starts or slot.end not in ends:
            return None
        marks.append((SLOTS.index(slot.slot), starts[slot.start], ends[slot.end]))
    intent, fine = list(INTENTS).index(report.intent), list(_FINE).index(report.fine)
    return Lesson(cut, tuple(marks), tuple(range(len(SLOTS))), intent, fine)


def _work_orders(data: Path) -> Iterator[Lesson]:
    known = tuple(SLOTS.index(slot) for slot in _TAGS.values())
    for words, tags in corpus.mwo2kg(data, "train"):
        marks, at = [], 0
        edges = []
        for word in words:
            edges.append(at)
            at += len(word) + 1
        cut = units(" ".join(words))
        starts = {start: number for number, start in reversed(list(enumerate(cut.starts)))}
        ends = {end: number for number, end in enumerate(cut.ends)}
        for first, last, kind in spans_of(tags):
            begin, end = edges[first], edges[last] + len(words[last])
            if kind in _TAGS and begin in starts and end in ends:
                marks.append((SLOTS.index(_TAGS[kind]), starts[begin], ends[end]))
        yield Lesson(cut, tuple(marks), known)


def spans_of(tags: Sequence[str]) -> Iterator[tuple[int, int, str]]:
    """BIO tags into spans of words (first, last, kind)."""
    first = 0
    for at, tag in enumerate(tags):
        if tag.startswith("B-"):
            first = at
        following = tags[at + 1] if at + 1 < len(tags) else "O"
        if tag != "O" and not following.startswith("I-"):
            yield first, at, tag[2:]


def _plan(lessons: Sequence[Lesson], size: int, seed: int) -> list[list[int]]:
    chance = random.Random(seed)  # noqa: S311 - reproducible order, no secret
    order = sorted(range(len(lessons)), key=lambda at: (len(lessons[at].units.words) // 4, chance.random()))
    batches = [order[at : at + size] for at in range(0, len(order), size)]
    chance.shuffle(batches)
    return batches


def _loss(reader: Reader, lessons: Sequence[Lesson], chance: random.Random) -> torch.Tensor:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        spans, coarse, fine = reader([_hide(lesson.units, chance) for lesson in lessons])
    truth, known = torch.zeros_like(spans, dtype=torch.bool), torch.zeros(spans.shape[:2])
    for at, lesson in enumerate(lessons):
        known[at, list(lesson.known)] = 1.0
        for slot, first, last in lesson.marks:
            if last < spans.shape[2]:
                truth[at, slot, first, last] = True
    intents = torch.tensor([lesson.intent for lesson in lessons])
    fines = torch.tensor([lesson.fine for lesson in lessons])
    loss = span_loss(spans.float(), truth, known)
    if (intents != _IGNORED).any():
        loss = loss + nnf.cross_entropy(coarse.float(), intents, ignore_index=_IGNORED)
        loss = loss + nnf.cross_entropy(fine.float(), fines, ignore_index=_IGNORED)
    return loss


def span_loss(logits: torch.Tensor, truth: torch.Tensor, known: torch.Tensor) -> torch.Tensor:
    """ZLPR: per report and slot, every true span above 0 and every other below; what is not known is silent."""
    flat, right = logits.flatten(2), truth.flatten(2)
    zero = flat.new_zeros(*flat.shape[:2], 1)
    wrong = torch.logsumexp(torch.cat([zero, flat.masked_fill(right, -1e12)], -1), -1)
    missed = torch.logsumexp(torch.cat([zero, (-flat).masked_fill(~right, -1e12)], -1), -1)
    return ((wrong + missed) * known).sum() / len(logits)


def _hide(cut: Units, chance: random.Random) -> Units:
    if chance.random() < 1 / 2:
        return cut
    return Units(tuple("[MASK]" if chance.random() < _HIDDEN else word for word in cut.words), cut.starts, cut.ends)


def _optimiser(
    reader: Reader, course: Course, steps: int
) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler]:
    layers = reader.model.encoder.layer
    own = [weight for layer in layers[len(layers) - course.layers :] for weight in layer.parameters()]
    heads = [*reader.pointer.parameters(), *reader.intents.parameters()]
    for weight in reader.parameters():
        weight.requires_grad_(requires_grad=False)
    for weight in (*own, *heads):
        weight.requires_grad_()
    groups = [{"params": own, "lr": course.body}, {"params": heads, "lr": course.heads}]
    optimiser = torch.optim.AdamW(groups, weight_decay=0.01)
    warm = max(1, int(course.warm * steps))
    return optimiser, torch.optim.lr_scheduler.LambdaLR(
        optimiser, lambda step: min((step + 1) / warm, max(0.0, (steps - step) / max(1, steps - warm)))
    )
