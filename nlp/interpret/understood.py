"""A report understood: its marks, names, numbers and times, and what it means."""

from collections.abc import Sequence

from gateway.core.asset import Plant
from gateway.core.report import QualityReport
from nlp import actions as work
from nlp import merge
from nlp.assets import registry, resolve
from nlp.due import find_due
from nlp.intents import Cues, Meant, understand
from nlp.interpret.wants import wanted
from nlp.lexicon import Found, lexicon, mend
from nlp.lots import Number, find_batch, find_order
from nlp.marks import Owned
from nlp.mask import find_names
from nlp.measure import find_measures
from nlp.slots import Reader
from nlp.spans import Read
from nlp.text import Text, normalise

LONGEST = 2_000
"""Characters of a report that are read; a longer one goes to a person, who sees all of it."""


class Understood:
    """One report with its marks, its names and its meaning. Never raises on a text."""

    def __init__(self, report: QualityReport, plant: Plant, engine: str, read: Read | None) -> None:
        self.report, self.plant, self.engine, self.network = report, plant, engine, read
        known = registry(plant).words
        self.text: Text = normalise(report.text[:LONGEST], lambda word: mend(word, known))
        self.norm = self.text.norm
        self.found: list[Found] = lexicon().find(self.norm)
        self.owned = self._grammar()
        free = [one for one in self.found if not self._inside_name(one)]
        self.marks, self.scopes = Reader(self.text, free, self.owned).read()
        self.cues = Cues(self.norm, free)
        self.marks = wanted(self.norm, self.marks, self.scopes, self.owned)
        meant = self._meaning()
        self.meant = meant if read is None else merge.intent_of(read, meant)

    def _inside_name(self, one: Found) -> bool:
        owned = [
            (name.start, name.end) for name in self.owned.resolved.mentions if name.how != "word"
        ] + self.owned.names
        owned += [(number.start, number.end) for number in (*self.owned.batches, *self.owned.orders)]
        return any(start <= one.start and one.end <= end for start, end in owned) and one.category != "machine"

    def _grammar(self) -> Owned:
        batches = find_batch(self.norm)
        orders = [
            one
            for one in find_order(self.norm)
            if not any(one.start < other.end and other.start < one.end for other in batches)
        ]
        ids = [(one.start, one.end) for one in (*batches, *orders)]
        resolved = resolve(self.norm, self.plant, self.report.asset_hint, ids)
        machines = [(one.start, one.end) for one in resolved.mentions if one.how != "word"]
        batches, orders = _clear_of(batches, machines), _clear_of(orders, machines)
        ids = [(one.start, one.end) for one in (*batches, *orders)]
        names = find_names(self.text, [*machines, *ids])
        wants = [
            (one.start, one.end)
            for one in self.found
            if one.category == "action" and work.is_wanted(self.norm, one.start, one.end, one.code)
        ]
        due, times = find_due(self.norm, self.report.reported_at, self.plant.site, [*machines, *ids, *names], wants)
        taken = [*machines, *ids, *names, *times, *([(due.start, due.end)] if due else [])]
        return Owned(resolved, batches, orders, names, find_measures(self.norm, taken), due, times)

    def _meaning(self) -> Meant:
        resolved = self.owned.resolved
        away = self.cues.any("outside.words")
        machine = any(
            one.how in {"exact", "class", "fuzzy"} or (one.how == "generic" and (one.candidates or not away))
            for one in resolved.mentions
        )
        number = bool(self.owned.batches or self.owned.orders)
        return understand(
            self.cues, self.marks, has_asset=resolved.asset is not None, has_machine=machine, has_number=number
        )


def _clear_of(numbers: Sequence[Number], spans: Sequence[tuple[int, int]]) -> list[Number]:
    """Numbers that are no part of a machine's name."""
    return [one for one in numbers if not any(one.start < end and start < one.end for start, end in spans)]
