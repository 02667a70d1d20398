"""Masked language modelling: the encoder learns the shop's words, and hanzi their place among them."""

import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn import functional as nnf
from transformers import BertModel

from nlp.pieces import encode, units
from nlp.training import words

Batch = tuple[torch.Tensor, torch.Tensor]
_TOKENS = 4096
_STEP = 8  # few shapes: the library keeps a plan for each, and they take gigabytes
_MASKED = 0.15  # of these 80 % are hidden, 10 % another piece, 10 % as they are
_HIDDEN, _OTHER = 0.8, 0.1
_SPECIALS = 5


@dataclass(frozen=True, slots=True)
class Rates:
    """Learning rates; `warm` is the share of steps that they rise for."""

    body: float = 2e-4
    embeddings: float = 1e-3
    head: float = 5e-4
    warm: float = 0.06


class Head(nn.Module):  # type: ignore[misc]  # mypy does not follow torch (pyproject)
    """Guesses the masked piece; its output table is the encoder's own embedding."""

    def __init__(self, width: int, vocabulary: int) -> None:
        super().__init__()
        self.dense = nn.Linear(width, width)
        self.norm = nn.LayerNorm(width)
        self.bias = nn.Parameter(torch.zeros(vocabulary))

    def forward(self, hidden: torch.Tensor, table: torch.Tensor) -> torch.Tensor:
        """Logits over the vocabulary for hidden states (n, width)."""
        return self.norm(nnf.gelu(self.dense(hidden))) @ table.T + self.bias


def glossary(count: int, seed: int) -> list[str]:
    """Lines of word pairs, Chinese beside English: what ties the two languages together."""
    chance = random.Random(seed)  # noqa: S311 - reproducible text, no secret
    known = words.everything()
    lines = []
    for _ in range(count):
        chosen = [(chance.choice(zh), chance.choice(en)) for zh, en in chance.choices(known, k=chance.randint(2, 5))]
        lines.append(" ".join(f"{a} {b}" if chance.random() < 1 / 2 else f"{b} {a}" for a, b in chosen))
    return lines


def train(
    model: BertModel,
    tokenizer: Any,
    texts: Sequence[str],
    epochs: int,
    seed: int,
    *,
    say: Callable[[str], None] = print,
    checkpoint: Callable[[int], None] = lambda _: None,
    rates: Rates | None = None,
) -> float:
    """Train in place; gives the mean loss of the last tenth. bf16 autocast, one thread is enough."""
    torch.manual_seed(seed)
    rates = rates or Rates()
    rows = [row for row in _rows(tokenizer, texts) if len(row) > _SPECIALS]
    plan = [batch for epoch in range(epochs) for batch in _plan(rows, seed + epoch)]
    table = model.get_input_embeddings().weight
    head = Head(table.shape[1], table.shape[0])
    optimiser, schedule = _optimiser(model, head, rates, len(plan))
    model.train()
    losses: list[float] = []
    began = time.process_time()
    for step, chosen in enumerate(plan):
        ids, mask = _pad([rows[at] for at in chosen])
        loss = _loss(model, head, ids, mask, tokenizer)
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_([*model.parameters(), *head.parameters()], 1.0)
        optimiser.step()
        schedule.step()
        losses.append(loss.item())
        if step % 20 == 0:
            spent = time.process_time() - began
            say(f"step {step}/{len(plan)} loss {sum(losses[-20:]) / len(losses[-20:]):.3f} cpu {spent:.0f}s")
        if (step + 1) % (len(plan) // epochs) == 0:
            checkpoint((step + 1) // (len(plan) // epochs))
    model.eval()
    last = losses[-max(1, len(losses) // 10) :]
    return sum(last) / len(last)


def _rows(tokenizer: Any, texts: Sequence[str]) -> Iterator[list[int]]:
    for at in range(0, len(texts), 256):
        pieces = encode(tokenizer, [units(text) for text in texts[at : at + 256]], 128)
        for ids, mask in zip(pieces.ids, pieces.mask, strict=True):
            yield ids[: sum(mask)]


def _plan(rows: Sequence[Sequence[int]], seed: int) -> list[list[int]]:
    """Batches of about 4,096 tokens of texts of one length, in a random order."""
    chance = random.Random(seed)  # noqa: S311 - reproducible order, no secret
    order = sorted(range(len(rows)), key=lambda at: (len(rows[at]), chance.random()))
    batches: list[list[int]] = [[]]
    for at in order:
        if batches[-1] and (len(batches[-1]) + 1) * len(rows[at]) > _TOKENS:
            batches.append([])
        batches[-1].append(at)
    chance.shuffle(batches)
    return batches


def _pad(rows: Sequence[Sequence[int]]) -> Batch:
    width = -(-max(map(len, rows)) // _STEP) * _STEP
    ids = torch.zeros(len(rows), width, dtype=torch.long)
    for at, row in enumerate(rows):
        ids[at, : len(row)] = torch.tensor(row)
    return ids, (ids != 0).long()


def _loss(model: BertModel, head: Head, ids: torch.Tensor, mask: torch.Tensor, tokenizer: Any) -> torch.Tensor:
    special = (ids == tokenizer.cls_token_id) | (ids == tokenizer.sep_token_id) | (mask == 0)
    chosen = (torch.rand(ids.shape) < _MASKED) & ~special
    if not chosen.any():
        chosen = ~special
    fate = torch.rand(ids.shape)
    seen = ids.clone()
    seen[chosen & (fate < _HIDDEN)] = tokenizer.mask_token_id
    other = chosen & (fate >= 1 - _OTHER)
    seen[other] = torch.randint(_SPECIALS, len(tokenizer), (int(other.sum()),))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        hidden = model(input_ids=seen, attention_mask=mask).last_hidden_state[chosen]
        logits = head(hidden, model.get_input_embeddings().weight)
    return nnf.cross_entropy(logits.float(), ids[chosen])


def _optimiser(
    model: BertModel, head: Head, rates: Rates, steps: int
) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler]:
    table = model.get_input_embeddings().weight
    body = [weight for weight in model.parameters() if weight is not table]
    groups = [
        {"params": body, "lr": rates.body},
        {"params": [table], "lr": rates.embeddings, "weight_decay": 0.0},
        {"params": list(head.parameters()), "lr": rates.head},
    ]
    warm = max(1, int(rates.warm * steps))
    optimiser = torch.optim.AdamW(groups, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimiser, lambda step: min((step + 1) / warm, max(0.0, (steps - step) / max(1, steps - warm)))
    )
    return optimiser, schedule
