"""Words of content with their place, and what the grammar owns before the lexicon looks."""

from dataclasses import dataclass

from nlp.assets import Resolved
from nlp.due import Due
from nlp.lots import Number
from nlp.measure import Measure

Spans = list[tuple[int, int]]


@dataclass(frozen=True, slots=True)
class Mark:
    """A word of content at [start, end) of the normalised text.

    `kind` is a slot name or "trouble"; `code` its code; `status` what the text claims ("" = it is so);
    `cause` says that it is the cause of another trouble.
    """

    start: int
    end: int
    kind: str
    code: str = ""
    slot: str = ""
    status: str = ""
    cause: bool = False


@dataclass(frozen=True, slots=True)
class Owned:
    """What the grammar read before the lexicon: spans that nobody else may claim."""

    resolved: Resolved
    batches: list[Number]
    orders: list[Number]
    names: Spans
    measures: list[Measure]
    due: Due | None
    times: Spans

    def spans(self) -> Spans:
        """All owned spans; a mere "the machine" is not owned."""
        found = [(one.start, one.end) for one in self.resolved.mentions if one.how != "word"]
        found += [(one.start, one.end) for one in (*self.batches, *self.orders)]
        found += [(one.start, one.end) for one in self.measures]
        if self.due:
            found.append((self.due.start, self.due.end))
        return [*found, *self.resolved.rejected, *self.names, *self.times]


def hits(mark: Mark, spans: Spans) -> bool:
    """Whether the mark shares a character with one of the spans."""
    return any(mark.start < end and start < mark.end for start, end in spans)


def twins(mark: Mark, marks: list[Mark]) -> list[Mark]:
    """The same words in another category."""
    return [one for one in marks if one is not mark and (one.start, one.end) == (mark.start, mark.end)]
