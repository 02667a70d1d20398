"""The slots of a report: which words name the machine, the part, the symptom, the work and the rest."""

# ruff: noqa: PLW2901 - a word read anew

from gateway.core.report import Slot, SlotName
from nlp import actions as work
from nlp import merge
from nlp.interpret.down import is_down
from nlp.interpret.trim import bare, numbered, stripped
from nlp.interpret.understood import Understood
from nlp.lots import Number
from nlp.marks import Mark


class Slots:
    """The slots of one report."""

    def __init__(self, one: Understood) -> None:
        self.report, self.text, self.norm, self.network = one.report, one.text, one.norm, one.network
        self.owned, self.marks, self.scopes, self.meant = one.owned, one.marks, one.scopes, one.meant

    def found(
        self, wants: list[Mark], causes: list[tuple[str, int, int]], count: Number | None, *, quiet: bool
    ) -> tuple[Slot, ...]:
        """Give all slots in the order of the text, none over another."""
        if self.meant.coarse is None:
            return ()
        made: list[tuple[str, int, int]] = []
        made += [("equipment", one.start, one.end) for one in self.owned.resolved.mentions if one.how != "word"]
        if not made:
            made += [("equipment", one.start, one.end) for one in self.owned.resolved.mentions][:1]
        made += [("batch", one.start, one.end) for one in self.owned.batches] + [
            ("order", one.start, one.end) for one in self.owned.orders
        ]
        made += [("reporter", start, end) for start, end in self.owned.names]
        if self.owned.due and not quiet:
            made.append(("due", self.owned.due.start, self.owned.due.end))
        made += [("measurement", one.start, one.end) for one in self.owned.measures]
        if count:
            made.append(("quantity", count.start, count.end))
        made += [("cause", start, end) for _, start, end in causes]
        made += [("action", *work.core(self.norm, mark.start, mark.end)) for mark in wants]
        made += self._content_slots(quiet=quiet)
        return self._filled(self._apart(made), quiet=quiet)

    def _filled(self, slots: tuple[Slot, ...], *, quiet: bool) -> tuple[Slot, ...]:
        """Widen and add what the network saw and the lexicon does not know."""
        if self.network is None or quiet:
            return slots
        denied = [self.text.span(mark.start, mark.end) for mark in self.marks if mark.status]
        denied += [self.text.span(start, end) for start, end in self.owned.spans()]
        known = merge.widened(self.network, [(slot.slot, slot.start, slot.end) for slot in slots])
        machine = any(slot == "equipment" for slot, _, _ in known)
        more = merge.gaps(self.network, [*denied, *((start, end) for _, start, end in known)], machine=machine)
        text = self.report.text
        return tuple(
            Slot(_slot_name(name), start, end, text[start:end])
            for name, start, end in sorted((*known, *more), key=lambda one: one[1])
        )

    def _content_slots(self, *, quiet: bool) -> list[tuple[str, int, int]]:
        made: list[tuple[str, int, int]] = []
        defects = {mark.code for mark in self.marks if mark.kind == "defect" and not mark.status}
        for mark in self.marks:
            if mark.kind == "defect" and mark.code == "OTHER" and len(defects) > 1:
                continue
            if mark.kind == "location":
                mark = numbered(self.norm, mark, self.marks)
                if mark.end == mark.start:
                    continue
            if mark.kind in {"component", "characteristic"}:
                made.append((mark.kind, mark.start, mark.end))
            elif mark.kind == "value":
                made.append(("characteristic", mark.start, mark.end))
            elif mark.kind == "trouble" and not mark.status and not quiet and not mark.cause:
                made.append((mark.slot or "symptom", *bare(self.norm, mark)))
            elif mark.kind == "defect" and not mark.status and not quiet and not mark.cause:
                made.append(("defect", *bare(self.norm, mark)))
            elif mark.kind in {"product", "location"} and not quiet:
                made.append((mark.kind, mark.start, mark.end))
            elif (
                mark.kind == "severity"
                and not quiet
                and (mark.code != "down" or is_down(self.norm, self.marks, self.scopes))
            ):
                made.append(("severity", *stripped(self.norm, mark)))
        return made

    def _apart(self, made: list[tuple[str, int, int]]) -> tuple[Slot, ...]:
        kept: list[tuple[str, int, int]] = []
        for slot, start, end in made:
            if end > start and not any(start < last and first < end for _, first, last in kept):
                kept.append((slot, start, end))
        slots: list[Slot] = []
        last = 0
        for name, start, end in sorted(kept, key=lambda one: one[1]):
            first, stop = self.text.span(start, end)
            if first >= last and stop > first:
                slots.append(Slot(_slot_name(name), first, stop, self.report.text[first:stop]))
                last = stop
        return tuple(slots)


_SLOTS: dict[str, SlotName] = {
    name: name
    for name in (
        "equipment", "component", "failure_mode", "symptom", "defect", "cause", "location", "product", "characteristic",
        "measurement", "quantity", "batch", "order", "severity", "due", "action", "reporter",
    )
}  # fmt: skip


def _slot_name(name: str) -> SlotName:
    return _SLOTS[name]
