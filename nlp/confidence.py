"""How sure an extraction is: one logistic over what the reading went through.

Fitted by `nlp/training/confidence.py` on hand-written and generated reports, never on the published examples.
"""

import math
from dataclasses import astuple, dataclass

_WEIGHTS = (1.6, 2.2, -1.0, -1.2, -2.0, -1.1, -0.9, -0.6, 0.6, -1.0)
_BIAS = 0.2
ENOUGH = 0.5


@dataclass(frozen=True, slots=True)
class Signs:
    """What bears on being right in asset, codes and due; each 0..1 or a small count."""

    intent: float
    asset_exact: float
    asset_generic: float
    asset_fuzzy: float
    asset_conflict: float
    due_vague: float
    unknown_share: float
    long: float
    agreement: float
    no_code: float


def confidence(signs: Signs) -> float:
    """Probability that asset, codes and due are all right."""
    score = _BIAS + sum(weight * value for weight, value in zip(_WEIGHTS, astuple(signs), strict=True))
    return round(1 / (1 + math.exp(-max(-30.0, min(30.0, score)))), 4)
