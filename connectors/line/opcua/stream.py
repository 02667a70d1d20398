"""Stream: where one subscription stands. Sequence numbers count from 1 to 2**32 - 1, and then from 1 again."""

import time
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

_LAST = 2**32 - 1


def after(number: int) -> int:
    """Give the sequence number that follows; 0 stands before the first and is never used."""
    return number % _LAST + 1


def missing_before(number: int, last: int) -> int:
    """Count the messages between the last one taken and this one; an older one gives a huge count."""
    return (number - last - 1) % _LAST


@dataclass(slots=True, eq=False)
class Stream:
    """One subscription of ours on the server.

    `name` is its plan's; `patience` is how long its silence may last in seconds; `sequence` is the last
    message that was taken; `fresh` whether this link made it; `places` leads from a client handle to a
    tag's place (-1: none), None when they are the same. `mark` is the last message that was committed
    before this link. `made`, `heard` (when it last spoke) and `noted` (when something of it was last handed
    over to be committed) are monotonic; `told` is how often it spoke.
    """

    id: int
    name: str
    patience: float
    sequence: int = 0
    mark: int = 0
    fresh: bool = True
    places: NDArray[np.int64] | None = None
    made: float = field(default_factory=time.monotonic)
    heard: float = field(default_factory=time.monotonic)
    noted: float = field(default_factory=time.monotonic)
    told: int = 0

    def is_ahead(self, number: int) -> bool:
        """Whether a message is newer than the last one taken."""
        return missing_before(number, self.sequence) < _LAST // 2


class Ended(Exception):
    """Subscriptions are no more, or silent: the session may live on."""

    def __init__(self, streams: tuple[Stream, ...], why: str) -> None:
        super().__init__(why)
        self.streams, self.why = streams, why
