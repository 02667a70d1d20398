"""How sure an extraction is: one logistic over what the reading went through.

The weights of the words are fitted by `nlp.training.confidence` on generated reports, those of the machine and
the time are set by judgement, and the level is set so that the mean over the hand-written reports of the tests is
what a first reading of unseen reports reached. Never fitted on the published examples.
"""

import math
from dataclasses import astuple, dataclass

ENOUGH = 0.65
_UNSURE = 30.0


@dataclass(frozen=True, slots=True)
class Signs:
    """What bears on being right in asset, codes and due; each about 0..1."""

    doubt: float
    """1 minus how sure the rules are of the intent."""
    unknown_share: float
    long: float
    many: float
    unspecific: float
    no_code: float
    disagreement: float
    asset_generic: float
    asset_fuzzy: float
    asset_open: float
    asset_conflict: float
    due_vague: float


_WEIGHTS = Signs(
    doubt=-1.6,
    unknown_share=-0.3,
    long=-1.2,
    many=-1.6,
    unspecific=-1.6,
    no_code=-0.5,
    disagreement=-1.0,
    asset_generic=-0.7,
    asset_fuzzy=-0.9,
    asset_open=-0.6,
    asset_conflict=-1.2,
    due_vague=-0.9,
)
_BIAS = 3.5


def confidence(signs: Signs) -> float:
    """Probability that asset, codes and due are all right."""
    score = _BIAS + sum(weight * value for weight, value in zip(astuple(_WEIGHTS), astuple(signs), strict=True))
    return round(1 / (1 + math.exp(-max(-_UNSURE, min(_UNSURE, score)))), 4)
