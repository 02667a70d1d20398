"""Thermal frames: hot-spot measures, and a small plain CNN that knows the shape of heat."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from torch import nn

from gateway.core.artifact import open_part
from gateway.core.asset import Asset
from gateway.core.errors import Misconfigured
from gateway.core.window import Window
from gateway.diagnosis.features import Feature, names_of
from gateway.diagnosis.hotspot import Picture, find_hot_spot, picture_of, usable

PART = "thermal.safetensors"
HEIGHT, WIDTH = 48, 64
PATTERNS = ("cool", "bearing_warm", "bearing_hot", "coupling", "foot")
_RELATIVE_K = 20.0  # what the network calls 1: a clear warm spot

FEATURES: tuple[Feature, ...] = (
    Feature("rise", "K", direct=False, against=True, prior=2.5),
    Feature("over_body", "K", against=True, prior=1.5),
    Feature("over_body_share", "1", against=True, prior=0.05),
    Feature("area", "1", against=True, prior=0.05),
    *(Feature(f"p_{pattern}", "1", against=True, prior=0.15) for pattern in PATTERNS),
)


class HeatNet(nn.Module):  # type: ignore[misc]  # torch is not typed here (mypy: follow_imports = skip)
    """3x3 convolutions 24-48-64-96, mean and max pooling, 64-d embedding; about 100 k parameters.

    Takes (n, 2, HEIGHT, WIDTH) from `prepare`; gives (logits over PATTERNS, embedding).
    """

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        before = 2
        for width, stride in ((24, 2), (48, 2), (64, 2), (96, 2)):
            layers += [
                nn.Conv2d(before, width, 3, stride=stride, padding=1, bias=False),
                nn.BatchNorm2d(width),
                nn.ReLU(),
            ]
            before = width
        self.body = nn.Sequential(*layers)
        self.neck = nn.Linear(2 * before, 64)
        self.head = nn.Linear(64, len(PATTERNS))

    def forward(self, frames: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Classify a batch."""
        maps = self.body(frames)
        pooled = torch.cat([maps.mean(dim=(2, 3)), maps.amax(dim=(2, 3))], dim=1)
        embedding = torch.relu(self.neck(pooled))
        return self.head(embedding), embedding


def prepare(pictures: Sequence[Picture]) -> torch.Tensor:
    """Give the network's input: each frame over its own background, and normalised in itself; any resolution."""
    prepared = []
    for picture in pictures:
        frame = torch.from_numpy(np.array(picture, dtype=np.float32))[None, None]
        frame = nn.functional.interpolate(frame, (HEIGHT, WIDTH), mode="bilinear", align_corners=False, antialias=True)
        above = frame - torch.quantile(frame, 0.1)
        spread = above.std() + 0.1
        prepared.append(torch.cat([above / _RELATIVE_K, (above - above.mean()) / spread], dim=1))
    return torch.cat(prepared)


def hot_spot_features(picture: Picture) -> list[float]:
    """Give the first four features: peak over background, peak over the warm body, its share, the hot area."""
    spot = find_hot_spot(picture)
    rise = spot.peak_c - spot.background_c
    over = spot.peak_c - spot.body_c
    return [rise, over, over / max(rise, 0.5), spot.area]


class Thermal:
    """The thermal modality. A window without a usable frame gives None."""

    name = "thermal"
    features = FEATURES

    def __init__(self, net: HeatNet) -> None:
        self._net = net

    @property
    def names(self) -> Sequence[str]:
        """The feature names in order."""
        return names_of(FEATURES)

    def encode(self, windows: Sequence[Window], assets: Sequence[Asset]) -> list[list[float] | None]:
        """Measure and classify each window's frame."""
        del assets
        pictures = {
            place: picture_of(window.frame)
            for place, window in enumerate(windows)
            if window.frame is not None and usable(window.frame)
        }
        answers = self.measure(list(pictures.values()))
        rows: list[list[float] | None] = [None] * len(windows)
        for place, answer in zip(pictures, answers, strict=True):
            rows[place] = answer
        return rows

    def measure(self, pictures: Sequence[Picture]) -> list[list[float]]:
        """Give the features of pictures (degrees Celsius)."""
        if not pictures:
            return []
        with torch.inference_mode():
            logits, _ = self._net(prepare(pictures))
            shares = torch.softmax(logits, dim=1).tolist()
        return [hot_spot_features(picture) + share for picture, share in zip(pictures, shares, strict=True)]


def open_thermal(bundle: Path) -> Thermal:
    """Load the modality from a bundle. Raises `Misconfigured` when the part is missing, altered or does not fit."""
    net = HeatNet()
    try:
        net.load_state_dict(load_file(open_part(bundle, PART)))
    except (RuntimeError, ValueError) as bad:
        raise Misconfigured(f"{bundle}/{PART} does not fit this version's network: {bad}") from bad
    net.eval()
    return Thermal(net)
