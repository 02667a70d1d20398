"""What the network says about a report: spans with logits, and how likely each intent is."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Span:
    """A slot's place: character offsets [start, end) into the original text; `logit` > 0 means yes."""

    slot: str
    start: int
    end: int
    logit: float


@dataclass(frozen=True, slots=True)
class Read:
    """One text as the network reads it: spans that do not overlap, best first, and probabilities.

    `intents` and `fine` sum to 1 each and hold "out_of_scope" next to the intents of `core.report`.
    """

    spans: tuple[Span, ...] = ()
    intents: dict[str, float] = field(default_factory=dict)
    fine: dict[str, float] = field(default_factory=dict)


def flat(spans: list[Span]) -> tuple[Span, ...]:
    """Keep the best of the spans that overlap."""
    kept: list[Span] = []
    for span in sorted(spans, key=lambda one: (-one.logit, one.start, one.end)):
        if all(span.end <= other.start or span.start >= other.end for other in kept):
            kept.append(span)
    return tuple(kept)
