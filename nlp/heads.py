"""Heads on the encoder: slots by Efficient GlobalPointer, intents coarse to fine."""

import torch
from torch import nn

NEVER = -1e4


class Pointer(nn.Module):  # type: ignore[misc]  # mypy does not follow torch (pyproject)
    """One logit per slot and span of units: Efficient GlobalPointer (scores by query and key, a bias per slot)."""

    def __init__(self, width: int, slots: int, size: int = 64) -> None:
        super().__init__()
        self.project = nn.Linear(width, 2 * size)
        self.bias = nn.Linear(2 * size, 2 * slots)
        self._size = size

    def forward(self, hidden: torch.Tensor, present: torch.Tensor) -> torch.Tensor:
        """Logits (n, slots, start, end) for units (n, u, width); `present` (n, u) says which are there."""
        both = self.project(hidden)
        query, key = _rope(both[..., ::2]), _rope(both[..., 1::2])
        bias = self.bias(both).transpose(1, 2) / 2
        score = (query @ key.transpose(1, 2) / self._size**0.5)[:, None]
        score = score + bias[:, ::2, :, None] + bias[:, 1::2, None, :]
        span = present[:, None, :, None] & present[:, None, None, :]
        forward = torch.ones(score.shape[-2:], dtype=torch.bool).triu()
        return score.masked_fill(~(span & forward), NEVER)


class Intents(nn.Module):  # type: ignore[misc]  # mypy does not follow torch (pyproject)
    """Coarse intent from the mean vector, fine intent from that and the coarse guess."""

    def __init__(self, width: int, coarse: int, fine: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(width, width // 2)
        self.coarse = nn.Linear(width // 2, coarse)
        self.fine = nn.Linear(width // 2 + coarse, fine)

    def forward(self, mean: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Logits (n, coarse) and (n, fine) for mean vectors (n, width)."""
        inner = torch.tanh(self.hidden(mean))
        coarse = self.coarse(inner)
        return coarse, self.fine(torch.cat([inner, coarse.softmax(-1)], -1))


def _rope(value: torch.Tensor) -> torch.Tensor:
    """Turn pairs of numbers by an angle that grows with the place, so that scores know distances."""
    places, size = value.shape[1], value.shape[2]
    rate = 10000.0 ** (-torch.arange(0, size, 2, dtype=torch.float32) / size)
    angle = torch.arange(places, dtype=torch.float32)[:, None] * rate
    sine, cosine = angle.sin().to(value.dtype), angle.cos().to(value.dtype)
    even, odd = value[..., ::2], value[..., 1::2]
    return torch.stack([even * cosine - odd * sine, even * sine + odd * cosine], -1).flatten(2)


def pool(hidden: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Mean over the pieces that are there: (n, width)."""
    weight = mask.to(hidden.dtype)[..., None]
    return (hidden * weight).sum(1) / weight.sum(1).clamp(min=1)
