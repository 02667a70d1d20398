"""The shaft's speed, refined from the lines of the raw spectrum."""

from dataclasses import dataclass

import numpy as np

from gateway.diagnosis.spectrum import Raw

REACH = 0.06
_HARMONICS = 5
_STEPS_PER_BIN = 3


@dataclass(frozen=True, slots=True)
class Speed:
    """A shaft speed in Hz. `confidence` 0..1 says how clearly the lines spoke; 0 means: as it was given."""

    hz: float
    confidence: float


def refine_speed(raw: Raw, start_hz: float, reach: float = REACH) -> Speed:
    """Look within +-`reach` of `start_hz` for the comb of lines at 1X to 5X that stands out most.

    Returns the start unchanged, with low confidence, when no comb stands out.
    """
    level = np.maximum(raw.level, 0)
    top = (level.size - 2) * raw.step_hz
    fine = raw.step_hz / _STEPS_PER_BIN / 2
    tries = np.arange(start_hz * (1 - reach), start_hz * (1 + reach) + fine, fine)
    score = np.zeros(tries.size)
    for k in range(1, _HARMONICS + 1):
        at = k * tries / raw.step_hz
        inside = k * tries < top
        base = np.minimum(at.astype(int), level.size - 2)
        part = at - base
        score += np.where(inside, (1 - part) * level[base] + part * level[base + 1], 0) / np.sqrt(k)
    # A weak pull towards the start: of two equal combs the nearer one is right.
    score -= 1.0 * np.abs(tries / start_hz - 1) / REACH
    best = int(np.argmax(score))
    near = np.abs(tries - tries[best]) < 3 * raw.step_hz
    rest = score[~near]
    if rest.size == 0:
        return Speed(start_hz, 0.0)
    spread = 1.4826 * float(np.median(np.abs(rest - np.median(rest)))) + 0.15
    second = float(rest.max())
    lead = (float(score[best]) - second) / spread
    confidence = float(np.clip(lead / 4, 0, 1))
    if confidence < 0.1:  # noqa: PLR2004 -- a tenth of the scale: no comb leads
        return Speed(start_hz, confidence)
    return Speed(float(tries[best]), confidence)
