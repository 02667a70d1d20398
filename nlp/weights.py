"""Weights on disk: matrices as one int8 row each with its scale, everything else as float32, in safetensors."""

from collections.abc import Mapping
from pathlib import Path
from typing import TypeAlias

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from gateway.core.errors import Misconfigured

State: TypeAlias = dict[str, torch.Tensor]
_ROWS, _SCALE = ".int8", ".scale"


def pack(state: Mapping[str, torch.Tensor]) -> State:
    """Quantise each matrix by row (symmetric, 127 steps); the largest error is half a step of its row."""
    packed: State = {}
    for name, weight in state.items():
        value = weight.detach().to(torch.float32).contiguous()
        if value.dim() != 2:  # noqa: PLR2004 - a matrix
            packed[name] = value
            continue
        scale = (value.abs().amax(1) / 127).clamp(min=1e-12)
        packed[name + _ROWS] = (value / scale[:, None]).round().clamp(-127, 127).to(torch.int8)
        packed[name + _SCALE] = scale
    return packed


def unpack(packed: Mapping[str, torch.Tensor]) -> State:
    """Give float32 weights back."""
    state: State = {}
    for name, value in packed.items():
        if name.endswith(_ROWS):
            bare = name.removesuffix(_ROWS)
            state[bare] = value.to(torch.float32) * packed[bare + _SCALE][:, None]
        elif not name.endswith(_SCALE):
            state[name] = value
    return state


def save(path: Path, state: Mapping[str, torch.Tensor]) -> None:
    """Write weights, packed."""
    save_file(pack(state), path)


def load(path: Path) -> State:
    """Read packed weights as float32. Raises `Misconfigured` when the file is not one of ours."""
    try:
        return unpack(load_file(path))
    except (OSError, SafetensorError, KeyError) as bad:
        raise Misconfigured(f"{path}: not weights that we can read ({type(bad).__name__})") from bad
