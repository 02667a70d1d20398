"""What to do about a confirmed trouble: note, review, or order; and how urgent it is (pure)."""

from typing import Literal

from gateway.core.asset import Asset
from gateway.core.episode import Decision, Episode
from gateway.core.report import Extraction

_WEIGHT = {"A": 1.25, "B": 1.0, "C": 0.85}
_REVIEW = 0.75
"""Below this share of the limit nobody is asked; between it and the limit a person looks."""
SEVERE, SERIOUS = 0.75, 0.4
"""Severities (0..1) from which a machine's trouble is pressing, and from which the machine is no longer sound."""


def of_machine(episode: Episode, asset: Asset, limit: float) -> Decision:
    """Decide about a machine's trouble.

    The confidence, weighted by the asset's criticality and lifted a little by severity, is held against
    `limit` (0..1): from the limit up an order, just below it a person, else a note.
    """
    score = episode.peak_confidence * _WEIGHT[asset.criticality] * (0.9 + 0.2 * episode.peak_severity)
    if score >= limit:
        return Decision.ORDER
    return Decision.REVIEW if score >= limit * _REVIEW else Decision.NOTE


def of_report(told: Extraction) -> Decision:
    """Decide about a person's words: the extraction's route says it."""
    if told.route == "order":
        return Decision.ORDER
    return Decision.REVIEW if told.route == "review" else Decision.NOTE


def priority_of(severity: float, asset: Asset) -> Literal[2, 3]:
    """Give the priority of a machine's trouble; only a person calls it an emergency."""
    return 2 if severity >= SEVERE or asset.criticality == "A" else 3


def impact_of(severity: float) -> Literal["degraded", "incipient"]:
    """Say what a machine's trouble does to the machine."""
    return "degraded" if severity >= SERIOUS else "incipient"
