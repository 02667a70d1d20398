"""A time phrase that was found, and the wanted moment that one of them becomes."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Due:
    """A wanted moment: span in the normalised text, the moment (aware, site's zone), and the rule that read it.

    `vague` says that another reading is about as good.
    """

    start: int
    end: int
    at: datetime
    rule: str
    vague: bool = False


@dataclass(frozen=True, slots=True)
class Hit:
    """A time phrase before the choice. `strong` phrases carry a limit word (前, 内, by, within)."""

    start: int
    end: int
    at: datetime | None
    rule: str
    strong: bool
    past: bool = False
