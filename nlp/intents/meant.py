"""The intent of a report with how sure the rules are, and the cue words that bear on it."""

from dataclasses import dataclass

from gateway.core.report import Intent
from nlp.lexicon import Found


@dataclass(frozen=True, slots=True)
class Meant:
    """The intent with how sure the rules are (0..1). `coarse` None means out of scope or not understood."""

    coarse: Intent | None
    fine: str | None
    sure: float
    why: tuple[str, ...] = ()


class Cues:
    """The cue words of a text that bear on its intent."""

    def __init__(self, norm: str, found: list[Found]) -> None:
        self.norm = norm
        self._has: dict[str, list[Found]] = {}
        for one in found:
            self._has.setdefault(f"{one.category}.{one.code}", []).append(one)

    def all(self, name: str) -> list[Found]:
        """The words found of a list such as "inquiry.how_to"."""
        return self._has.get(name, [])

    def any(self, name: str) -> bool:
        """Whether a word of the list was found."""
        return name in self._has
