"""The feature contract: names, order, units and what each feature may be used for."""

import hashlib
from collections.abc import Sequence

import msgspec


class Feature(msgspec.Struct, frozen=True):
    """One number of a modality.

    `direct`: comparable between machines (gain-invariant), so fusion sees it as it is. `against`: fusion
    also sees how far it lies from the asset's own baseline. `prior` is the spread that healthy windows
    of one machine usually have, in the feature's unit: it stands in while a baseline is young.
    What is not `shown` is raw material.
    """

    name: str
    unit: str
    direct: bool = True
    against: bool = False
    prior: float = 1.0
    shown: bool = True


def names_of(features: Sequence[Feature]) -> tuple[str, ...]:
    """Give the names in order."""
    return tuple(feature.name for feature in features)


def contract_hash(modality: str, features: Sequence[Feature]) -> str:
    """Name a contract by 12 hex digits over names, order, units and use."""
    facts = msgspec.json.encode((modality, *features))
    return hashlib.sha256(facts).hexdigest()[:12]
