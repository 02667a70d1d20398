"""Events to the outside: what is told, where a receiver of it stands, and what became of telling."""

from datetime import datetime, timedelta
from typing import Literal

import msgspec

NAMES = (
    "order.made",
    "order.grown",
    "order.delivered",
    "order.amended",
    "order.not_amended",
    "order.taken_back",
    "order.kept",
    "order.withdrawn",
    "order.not_withdrawn",
    "order.parked",
    "order.redelivered",
    "order.duplicate",
    "order.status",
    "order.closing_code",
    "order.reopened",
    "order.beside",
    "order.unfollowed",
    "episode.decided",
    "episode.ruled",
    "episode.closed",
    "episode.reopened",
    "report.taken",
    "report.read",
    "report.reviewed",
    "production.taken",
    "production.accepted",
    "production.parked",
    "production.job.waiting",
    "production.job.running",
    "production.job.interrupted",
    "production.job.completed",
    "production.job.aborted",
)
"""What can be told. In a CloudEvent `order.made` is the type `io.andon.order.made.v1`."""

TEST = "test"
"""The event that `andon events test` sends."""


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that happened, with the attributes of a CloudEvent (1.0).

    `id` is the same however often it is sent. `name` is one of `NAMES`. `subject` is the key of the order or
    episode, or the id of the report or production order. `sequence` grows with every event of a `source`. `data` is
    a JSON document. No person's name stands in any field. `time` is aware UTC.
    """

    id: str
    name: str
    source: str
    subject: str
    time: datetime
    sequence: int
    data: bytes

    @property
    def type(self) -> str:
        """The CloudEvents type."""
        return f"io.andon.{self.name}.v1"


class Subscriber(msgspec.Struct, frozen=True, kw_only=True):
    """Where one receiver of events stands.

    `number` is the last line of the audit trail that was looked at for it. While `off_at` is set nothing is sent to
    it, `off_why` says why, and `place` names the address that this is about. Times aware UTC.
    """

    name: str
    number: int
    off_at: datetime | None = None
    off_why: str = ""
    place: str = ""


class Outgoing(msgspec.Struct, frozen=True, kw_only=True):
    """An event on its way to one subscriber. One that was taken is not kept: the audit trail has it.

    WAITING will be sent when due, `attempt` counts the sends. PARKED needs a person and says why. Times aware UTC;
    `made_at` is when it was put here, or sent again by a person.
    """

    subscriber: str
    event: Event
    state: Literal["WAITING", "PARKED"]
    attempt: int
    made_at: datetime
    due_at: datetime
    lease_until: datetime | None = None
    reason: str = ""
    updated_at: datetime | None = None


class Heard(msgspec.Struct, frozen=True):
    """The receiver has it."""


class Unheard(msgspec.Struct, frozen=True):
    """The receiver did not take it. `after` is the wait that it asked for.

    `ailing`: it is the receiver that is away or unwell, and not this one event that it does not like.
    """

    cause: str
    ailing: bool
    after: timedelta | None = None


class Gone(msgspec.Struct, frozen=True):
    """The receiver asks never to be told anything again."""

    cause: str


Heeded = Heard | Unheard | Gone
