"""A machine that a text names, and the one machine of a report."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Mention:
    """A machine that the text names. `asset` is None when the registry does not say which."""

    start: int
    end: int
    asset: str | None
    how: str
    candidates: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Resolved:
    """The machine of the report. `how`: exact, class, generic, fuzzy, hint, none; `reason` when it is open."""

    asset: str | None
    how: str
    mentions: tuple[Mention, ...]
    conflict: bool = False
    rejected: tuple[tuple[int, int], ...] = ()
