"""Fitting the thermal network."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from gateway.core.diagnosis import Fault
from gateway.diagnosis.hotspot import Picture
from gateway.diagnosis.thermal import PATTERNS, HeatNet, prepare

_OF_FAULT: dict[Fault, str] = {
    Fault.BEARING_OUTER: "bearing_warm",
    Fault.BEARING_INNER: "bearing_warm",
    Fault.BEARING_BALL: "bearing_warm",
    Fault.OVERHEATING: "bearing_hot",
    Fault.MISALIGNMENT: "coupling",
    Fault.LOOSENESS: "foot",
}
_BATCH = 32
_WEAK = 0.25  # below this severity a defect has hardly warmed anything: no label to learn from


@dataclass(frozen=True, slots=True)
class Frames:
    """Prepared frames (n, 2, height, width), their pattern, and the rig that each is of."""

    inputs: torch.Tensor
    patterns: torch.Tensor
    rigs: npt.NDArray[np.str_]

    def of(self, rigs: set[str], *, without: bool = False) -> "Frames":
        """Give the frames of some rigs, or of all others."""
        keep = torch.from_numpy(np.isin(self.rigs, sorted(rigs)) != without)
        return Frames(self.inputs[keep], self.patterns[keep], self.rigs[keep.numpy()])


def frames_of(paths: Sequence[Path]) -> Frames:
    """Read every frame of the runs."""
    pictures: list[Picture] = []
    patterns, rigs = [], []
    for path in paths:
        with np.load(path, allow_pickle=False) as run:
            fault = Fault(str(run["fault"]))
            if fault in _OF_FAULT and float(run["severity"]) < _WEAK:
                continue
            for picture in run["frames"]:
                pictures.append(picture.astype(np.float32))
                patterns.append(PATTERNS.index(_OF_FAULT.get(fault, "cool")))
                rigs.append(str(run["rig"]))
    return Frames(prepare(pictures), torch.tensor(patterns), np.array(rigs))


def fit_heat(frames: Frames, seed: int, epochs: int) -> HeatNet:
    """Train the network: Adam, one cycle, mirrored and shifted frames, classes balanced."""
    torch.manual_seed(seed)
    net = HeatNet()
    count = torch.bincount(frames.patterns, minlength=len(PATTERNS)).float()
    loss_of = nn.CrossEntropyLoss(weight=count.sum() / (count + 1) / len(PATTERNS), label_smoothing=0.05)
    optimizer = torch.optim.AdamW(net.parameters(), lr=2e-3, weight_decay=1e-3)
    steps = epochs * (len(frames.patterns) // _BATCH + 1)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, total_steps=steps)
    random = torch.Generator().manual_seed(seed)
    net.train()
    for _ in range(epochs):
        for places in torch.randperm(len(frames.patterns), generator=random).split(_BATCH):
            if len(places) < 2:  # noqa: PLR2004 -- batch normalisation needs two
                continue
            logits, _ = net(_vary(frames.inputs[places], random))
            loss = loss_of(logits, frames.patterns[places])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    net.eval()
    return net


def _vary(batch: torch.Tensor, random: torch.Generator) -> torch.Tensor:
    """Mirror half of the frames, shift all a little, and change how warm they look by up to a quarter."""
    mirrored = torch.rand(len(batch), generator=random) < 0.5  # noqa: PLR2004
    batch = torch.where(mirrored[:, None, None, None], batch.flip(3), batch)
    down, across = (int(s) for s in torch.randint(-3, 4, (2,), generator=random))
    batch = batch.roll((down, across), dims=(2, 3))
    warmer = 1 + (torch.rand(len(batch), 1, 1, 1, generator=random) - 0.5) * 0.5
    return torch.cat([batch[:, :1] * warmer, batch[:, 1:]], dim=1)


def accuracy(net: HeatNet, frames: Frames) -> float:
    """Balanced accuracy over the patterns that occur."""
    with torch.inference_mode():
        guesses = net(frames.inputs)[0].argmax(dim=1)
    shares = [
        float((guesses[frames.patterns == one] == one).float().mean()) for one in frames.patterns.unique().tolist()
    ]
    return float(np.mean(shares))
