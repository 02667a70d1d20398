"""A production order on its way to the line: where its handing over stands, and what the line made of it."""

import enum
from datetime import datetime, timedelta
from typing import Literal, Protocol, runtime_checkable

import msgspec

from gateway.core.delivery import ErpRef, Outcome, ProductionOrder

JobState = Literal["", "WAITING", "RUNNING", "INTERRUPTED", "COMPLETED", "ABORTED"]
"""What the line says of a job that it has; "" as long as it said nothing."""
OVER: frozenset[JobState] = frozenset({"COMPLETED", "ABORTED"})
"""The ends of a job."""


KEPT: Literal["KEPT"] = "KEPT"
"""How a production order stands that is handed to nobody, because nobody was named as it came."""
Standing = Literal["KEPT", "WAITING", "SENDING", "ACCEPTED", "UNCERTAIN", "PARKED", "DROPPED"]


class HandoverState(enum.StrEnum):
    """Where the handing over of a production order stands.

    WAITING will be handed over when due, or never when nobody is named. SENDING was committed before anything was
    written. ACCEPTED: the line has it. UNCERTAIN: it may have it, and is asked before anything is written again.
    PARKED needs a person and says why. DROPPED was given up by a person, who said why.
    """

    WAITING = "WAITING"
    SENDING = "SENDING"
    ACCEPTED = "ACCEPTED"
    UNCERTAIN = "UNCERTAIN"
    PARKED = "PARKED"
    DROPPED = "DROPPED"


class Handover(msgspec.Struct, frozen=True):
    """The way of one production order to the line. Times are aware UTC.

    `to` is who gets it: `line.<name>` or `erp.<name>`; "" when nobody was named as it came. `attempt` counts what may
    have had an effect. `job` is the line's own word of it since `job_at`; `asked_at` is when it was last asked.
    """

    order_id: str
    to: str
    state: HandoverState
    attempt: int
    due_at: datetime
    lease_until: datetime | None = None
    since: datetime | None = None
    reason: str = ""
    job: JobState = ""
    job_at: datetime | None = None
    asked_at: datetime | None = None
    updated_at: datetime | None = None


class StoredProduction(msgspec.Struct, frozen=True):
    """A production order with its handing over; None for one of the time before there was any."""

    order: ProductionOrder
    received_at: datetime
    handover: Handover | None = None

    @property
    def standing(self) -> Standing:
        """Where it stands: KEPT while it is handed to nobody, else the state of its handing over."""
        return self.handover.state.value if self.handover is not None and self.handover.to else KEPT


@runtime_checkable
class JobReceiver(Protocol):
    """A machine or MES that takes production orders as jobs, by ids that we choose.

    `produce` hands one over, at most once, and answers as `ErpAdapter.deliver` does: it never raises for what the
    other side or the network does. `job` asks how the job of an id stands (`ErpRef.state`), None when there is none;
    it raises `Unreachable` or `Refused`. Both end within `deadline`. Closed by who opened it.
    """

    @property
    def name(self) -> str: ...  # noqa: D102

    @property
    def deadline(self) -> timedelta: ...  # noqa: D102

    async def produce(self, order: ProductionOrder) -> Outcome: ...  # noqa: D102

    async def job(self, order_id: str) -> ErpRef | None: ...  # noqa: D102

    async def close(self) -> None: ...  # noqa: D102
