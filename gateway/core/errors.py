"""Errors that say what to do next."""

from datetime import timedelta


class AndonError(Exception):
    """Root of the errors that the gateway raises on purpose."""


class Unreachable(AndonError):
    """Ask again later: the other side did not answer, or said that it is busy.

    `after` is the wait that the other side asked for, when it did.
    """

    def __init__(self, message: str, *, after: timedelta | None = None) -> None:
        super().__init__(message)
        self.after = after


class Barred(Unreachable):
    """The way is barred until a person acts: a certificate that is not trusted, a user that is not let in.

    A line tries again all the same, for what is missing may be done at the other side.
    """


class Doubtful(Unreachable):
    """Nobody knows whether it was done: look at the other side before you ask again."""


class Full(Unreachable):
    """Ask again when there is room: the disk or a bounded queue is full. Nothing was stored."""


class Refused(AndonError):
    """Asking again will not help: the other side understood and said no."""


class Missing(Refused):
    """There is nothing of that name."""


class Conflict(Refused):
    """The same key was used for something else (RFC 9110: 409, 422)."""


class Reused(Conflict):
    """The sender's Idempotency-Key stands for another request: it must choose a new one for this."""


class Misconfigured(AndonError):
    """The operator must act. Raised at start only. `faults` has every fault, each with its place."""

    def __init__(self, message: str, faults: tuple[str, ...] = ()) -> None:
        super().__init__(message if not faults else "\n".join((message, *faults)))
        self.faults = faults
