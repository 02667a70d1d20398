"""The jobs of a machine: ISA-95 Job Control's states, what each method does in them, how often each job was made."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

OK, UNKNOWN, WRONG_STATE, CANNOT, INVALID = 1 << 0, 1 << 1, 1 << 3, 1 << 4, 1 << 32
"""Values of a ReturnStatus."""
NUMBERS = {"NotAllowedToStart": 1, "AllowedToStart": 2, "Running": 3, "Interrupted": 4, "Ended": 5, "Aborted": 6}
_LOWEST = 5
_BEFORE = ("NotAllowedToStart", "AllowedToStart")
_MOVES: dict[str, tuple[tuple[str, ...], str]] = {
    "Start": (("NotAllowedToStart",), "AllowedToStart"),
    "RevokeStart": (("AllowedToStart",), "NotAllowedToStart"),
    "Pause": (("Running",), "Interrupted"),
    "Resume": (("Interrupted",), "Running"),
    "Stop": (("Running", "Interrupted"), "Ended"),
    "Abort": ((*_BEFORE, "Running", "Interrupted"), "Aborted"),
}


@dataclass(slots=True)
class Job:
    """One job: the order as it came, and its state."""

    order: Any
    state: str
    began_at: datetime | None = None
    ended_at: datetime | None = None
    code: str = ""


@dataclass(slots=True)
class Book:
    """All jobs by id. `made` counts how often each id was stored, cancelled and cleared ones too."""

    most: int = 1000
    jobs: dict[str, Job] = field(default_factory=dict)
    made: dict[str, int] = field(default_factory=dict)
    changed: Callable[[str], None] = lambda _: None

    def store(self, order: Any, *, start: bool) -> int:
        """Take a new job; an id that is there is refused, and so is one job too many."""
        name = order.JobOrderID
        if not name or (order.Priority or 0) > _LOWEST:
            return INVALID
        if name in self.jobs or len(self.jobs) >= self.most:
            return CANNOT
        self.jobs[name] = Job(order, "AllowedToStart" if start else "NotAllowedToStart")
        self.made[name] = self.made.get(name, 0) + 1
        self.changed(name)
        return OK

    def update(self, order: Any) -> int:
        """Replace what a job says that was not begun."""
        job = self.jobs.get(order.JobOrderID)
        if job is None:
            return UNKNOWN
        if job.state not in _BEFORE:
            return WRONG_STATE
        job.order = order
        self.changed(order.JobOrderID)
        return OK

    def remove(self, name: str, method: str) -> int:
        """Cancel a job that was not begun, or clear one that is over; it is gone then."""
        job = self.jobs.get(name)
        if job is None:
            return UNKNOWN
        if job.state not in (_BEFORE if method == "Cancel" else ("Ended", "Aborted")):
            return WRONG_STATE
        del self.jobs[name]
        self.changed(name)
        return OK

    def move(self, name: str, method: str) -> int:
        """Do what Start, RevokeStart, Pause, Resume, Stop and Abort do."""
        job = self.jobs.get(name)
        if job is None:
            return UNKNOWN
        sources, target = _MOVES[method]
        if job.state not in sources:
            return WRONG_STATE
        self.put(name, target)
        return OK

    def put(self, name: str, state: str, code: str = "") -> None:
        """Put a job into a state, as the machine itself does. Raises ValueError for what is not there."""
        if name not in self.jobs or state not in NUMBERS:
            raise ValueError(f"no job {name!r}, or no state {state!r}")
        job = self.jobs[name]
        job.state, job.code = state, code or job.code
        if state == "Running" and job.began_at is None:
            job.began_at = datetime.now(UTC)
        if state in {"Ended", "Aborted"}:
            job.ended_at = datetime.now(UTC)
        self.changed(name)
