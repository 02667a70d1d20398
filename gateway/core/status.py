"""What the ERP says about an order, from wherever it is heard: the newest word counts."""

from datetime import datetime
from typing import Literal

import msgspec

from gateway.core.delivery import StatusUpdate

State = Literal["open", "done", "cancelled", "unknown"]

OVER = frozenset({"done", "cancelled"})
"""What a status means once the order has come to its end."""

_OPEN = (
    "new, new request, open, draft, waiting, pending, ready, dispatched, assigned, released, started, in progress, "
    "processing, running, held, on hold, suspended, paused, crtd, rel"
)
_DONE = "done, closed, completed, complete, finished, resolved, repaired, teco, clsd"
_CANCELLED = "cancelled, canceled, aborted, withdrawn"
_WORDS: dict[str, State] = {
    **dict.fromkeys(_OPEN.split(", "), "open"),
    **dict.fromkeys(_DONE.split(", "), "done"),
    **dict.fromkeys(_CANCELLED.split(", "), "cancelled"),
}
_RANK: dict[State, int] = {"unknown": 0, "open": 1, "cancelled": 2, "done": 3}


class Said(msgspec.Struct, frozen=True):
    """What is known of an order in the ERP; each part with the time of the word that it is from (aware UTC)."""

    status: str = ""
    state: State = "unknown"
    closing_code: str | None = None
    status_at: datetime | None = None
    state_at: datetime | None = None
    code_at: datetime | None = None


def meaning(word: str) -> State:
    """Say what a status word means where nobody else does; "unknown" for a word that is not common."""
    return _WORDS.get(" ".join(word.replace("_", " ").casefold().split()), "unknown")


def state_of(update: StatusUpdate) -> State:
    """Say what a word means: what its teller knows of it, else what is common; "unknown" when neither is."""
    return update.state if update.state != "unknown" else meaning(update.status)


def said_at(update: StatusUpdate, heard_at: datetime) -> datetime:
    """Give the time that a word is of: the ERP's own, but never after it was heard, whatever its clock says."""
    return heard_at if update.at is None else min(update.at, heard_at)


def heard(known: Said, update: StatusUpdate, heard_at: datetime) -> Said:
    """Add one word to what is known.

    Status, meaning and closing code come each from the newest word that has one, so that words which come twice
    or in another order lead to the same end. Of two that are as new, the one that ends the order counts.
    """
    at = said_at(update, heard_at)
    word, code = update.status, update.closing_code
    state = state_of(update)
    if word and _newer((at, _rank(word), word), known.status_at, _rank(known.status), known.status):
        known = msgspec.structs.replace(known, status=word, status_at=at)
    if state != "unknown" and _newer((at, _RANK[state], ""), known.state_at, _RANK[known.state], ""):
        known = msgspec.structs.replace(known, state=state, state_at=at)
    if code and _newer((at, 0, code), known.code_at, 0, known.closing_code or ""):
        known = msgspec.structs.replace(known, closing_code=code, code_at=at)
    return known


def told(known: Said) -> tuple[str, State, str | None]:
    """Give what is known without its times: two that tell the same are no news to each other."""
    return known.status, known.state, known.closing_code


def _rank(word: str) -> int:
    return _RANK[meaning(word)]


def _newer(news: tuple[datetime, int, str], known_at: datetime | None, rank: int, text: str) -> bool:
    return known_at is None or news > (known_at, rank, text)
