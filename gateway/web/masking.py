"""What a reader sees of a report: its words without the names of people, each character in its place."""

from msgspec.structs import replace

from gateway.core.ports import StoredReport
from gateway.flow.cover import covered


def shown(stored: StoredReport) -> StoredReport:
    """Give a report without people's names. A report that was not read yet shows no words at all.

    The names are covered one dot a character, so that the slots' offsets go on fitting.
    """
    told = stored.extraction
    if told is None:
        return replace(stored, report=replace(stored.report, text="…"))
    text = covered(stored.report.text, told.masked)
    slots = tuple(replace(slot, text=text[slot.start : slot.end]) for slot in told.slots)
    return replace(stored, report=replace(stored.report, text=text), extraction=replace(told, slots=slots))
