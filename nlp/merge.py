"""Grammar and network together: the grammar's spans stay, the network fills gaps, widens words, agrees or doubts."""

from nlp.intents import FINE, Meant
from nlp.spans import Read

_SURE_SPAN = 3.0
_WIDER = 2.0
_SURE_INTENT = 0.8
_WEAK_RULE = 0.5
_FILLS = frozenset({"product", "component", "location", "symptom", "failure_mode", "defect", "characteristic"})
_WIDENED = frozenset({"product", "component", "location", "symptom", "failure_mode"})
Placed = tuple[str, int, int]


def widened(read: Read, slots: list[Placed]) -> list[Placed]:
    """Slots with the network's span where it holds the word list's as a part: "screen" in "screen pack", 称 in 称重仪.

    Only the same slot gives way; what else the network would replace was measured and helped nobody.
    """
    kept = list(slots)
    for span in sorted(read.spans, key=lambda one: -one.logit):
        if span.slot not in _WIDENED or span.logit < _WIDER:
            continue
        inside = [one for one in kept if span.start < one[2] and one[1] < span.end]
        if inside and all(slot == span.slot and span.start <= start and end <= span.end for slot, start, end in inside):
            kept = [one for one in kept if one not in inside] + [(span.slot, span.start, span.end)]
    return kept


def gaps(read: Read, taken: list[tuple[int, int]], *, machine: bool) -> list[tuple[str, int, int]]:
    """Spans of the network (original offsets) that it is sure of and that nobody else claims: (slot, start, end).

    `machine` says that the machine is known; otherwise what the network takes for one is told.
    """
    fills = _FILLS if machine else _FILLS | {"equipment"}
    kept: list[tuple[str, int, int]] = []
    for span in sorted(read.spans, key=lambda one: -one.logit):
        if span.slot not in fills or span.logit < _SURE_SPAN or span.end <= span.start:
            continue
        if any(span.start < end and start < span.end for start, end in (*taken, *((s, e) for _, s, e in kept))):
            continue
        kept.append((span.slot, span.start, span.end))
    return kept


def agreement(read: Read, meant: Meant) -> float:
    """How likely the network finds what the rules chose, 0..1."""
    if meant.coarse is None:
        return read.intents.get("out_of_scope", 0.0)
    return read.fine.get(meant.fine or "", 0.0)


def intent_of(read: Read, meant: Meant) -> Meant:
    """The network decides where the rules have nothing to go by, and only when it is sure."""
    if meant.sure >= _WEAK_RULE or not read.intents:
        return meant
    best = max(read.intents, key=lambda name: read.intents[name])
    if read.intents[best] < _SURE_INTENT or best == "out_of_scope":
        return meant
    coarse = next((intent for intent in FINE if intent == best), None)
    fines = FINE[coarse] if coarse is not None else ()
    fine = max((name for name in read.fine if name in fines), key=lambda name: read.fine[name], default=None)
    if coarse is None or fine is None:
        return meant
    return Meant(coarse, fine, 0.5, ("low_confidence",))
