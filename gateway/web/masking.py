"""What a reader sees of a report: its words without the names of people, each character in its place."""

import base64
from typing import Any

import msgspec
from msgspec.structs import replace

from gateway.core.event import Outgoing
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


def written(thing: Any) -> Any:
    """Give what was set aside as JSON shows it: names of people covered, bytes that nobody can read in base64."""
    match thing:
        case StoredReport():
            return shown(thing)
        case Outgoing():
            told = msgspec.to_builtins(thing)
            return told | {"event": told["event"] | {"data": msgspec.json.decode(thing.event.data)}}
        case (told, bytes(body)):
            return msgspec.to_builtins(told) | {"body": base64.b64encode(body).decode()}
        case _:
            return thing
