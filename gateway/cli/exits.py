"""Exit codes: one meaning each, for every command. `docs/operate.md` has them as a table."""

from enum import IntEnum
from typing import Self


class Exit(IntEnum):
    """With what a command ends; `means` says it in words."""

    means: str

    DONE = 0, "all is well"
    REFUSED = 1, "it was understood, and the answer is no"
    MISCONFIGURED = 2, "something has to be written differently: settings, a file, an option; nothing was touched"
    NOT_THERE = 3, "there is nothing of the name that was asked for"
    NOT_LET_IN = 4, "the way is barred until a person acts: a token, a certificate, a user"
    NOT_ALL = 5, "some of what was asked for could not be done, or proven; it is named"
    AILING = 6, "it was looked at, or tried, and something ails; it is named"
    BUG = 70, "Andon has a bug: nothing that was asked for is certain; `ANDON_DEBUG=1` shows where"
    AWAY = 75, "the other side does not answer, or nobody knows what it did: look, and ask again later"

    def __new__(cls, code: int, means: str) -> Self:
        """Make a code that can say what it means."""
        made = int.__new__(cls, code)
        made._value_, made.means = code, means
        return made


def told() -> str:
    """Give all of them in one sentence, for the help."""
    return "Exit codes: " + "; ".join(f"{code.value} {code.means.partition(':')[0]}" for code in Exit) + "."
