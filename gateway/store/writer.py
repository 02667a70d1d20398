"""The one writer: a thread that puts everything waiting into one commit."""

import asyncio
import contextlib
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, Generic, Protocol, TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from gateway.core.errors import Full, Unreachable
from gateway.store.engine import clashed

WAITING = 2000
GROUP = 500
TRIES = 5
ASIDE_S = 0.02
"""Seconds to step aside for the other side of a deadlock, doubled each time."""


class Handle(Protocol):
    """What a step is handed: the parts of a transaction that the writer itself needs (see `part.Part`)."""

    def begin_step(self) -> None: ...  # noqa: D102
    def undo_step(self) -> None: ...  # noqa: D102
    def end_step(self) -> None: ...  # noqa: D102
    def flush(self) -> None: ...  # noqa: D102


X = TypeVar("X", bound=Handle)


class Outcome:
    """What a step came to: its value, or what it raised."""

    __slots__ = ("lost", "value")

    def __init__(self, value: Any = None, lost: Exception | None = None) -> None:
        self.value = value
        self.lost = lost


class Member(Generic[X]):
    """A step that waits for its commit, and who waits for it."""

    __slots__ = ("done", "loop", "step")

    def __init__(self, step: Callable[[X], Any], loop: asyncio.AbstractEventLoop, done: "asyncio.Future[Any]") -> None:
        self.step = step
        self.loop = loop
        self.done = done


class Writer(threading.Thread, Generic[X]):
    """Runs steps in the order of their coming; whoever comes while the disk works shares the next commit.

    A step that raises takes back its own work alone. When the commit itself fails, or the transaction
    broke, the members are run again one by one, so that one that does not fit hurts nobody else.
    """

    def __init__(
        self,
        engine: Engine,
        enter: Callable[[Connection], X],
        known: Callable[[Exception], Exception],
        committed: Callable[[X], None] = lambda _: None,
        *,
        waiting: int = WAITING,
        group: int = GROUP,
    ) -> None:
        super().__init__(name="store-writer", daemon=True)
        self._engine = engine
        self._enter = enter
        self._known = known
        self._committed = committed
        self._limit = waiting
        self._group = group
        self._some = threading.Condition()
        self._waiting: list[Member[X]] = []
        self._closing = False
        self._bug: BaseException | None = None

    def put(self, member: Member[X]) -> None:
        """Hand in a step. Raises `Full` when too many wait, `Unreachable` after `drain`."""
        with self._some:
            if self._bug is not None:
                raise RuntimeError("the store's writer has stopped") from self._bug
            if self._closing:
                raise Unreachable("the store is closed")
            if len(self._waiting) >= self._limit:
                raise Full(f"{self._limit} writes are waiting for the disk")
            self._waiting.append(member)
            if len(self._waiting) == 1:
                self._some.notify()

    def drain(self) -> None:
        """Take nothing more; the thread ends once everything waiting is written."""
        with self._some:
            self._closing = True
            self._some.notify()

    def run(self) -> None:
        """Write until drained."""
        batch: list[Member[X]] = []
        try:
            while batch := self._next():
                wanted = [member for member in batch if not member.done.done()]
                _answer(wanted, self._write(wanted))
        except BaseException as bug:
            with self._some:
                self._bug = bug
                batch, self._waiting = [*batch, *self._waiting], []
            stopped = RuntimeError("the store's writer has stopped")
            stopped.__cause__ = bug
            _answer(batch, [Outcome(lost=stopped)] * len(batch))
            raise

    def _next(self) -> list[Member[X]]:
        with self._some:
            self._some.wait_for(lambda: self._waiting or self._closing)
            batch = self._waiting[: self._group]
            del self._waiting[: self._group]
            return batch

    def _write(self, members: Sequence[Member[X]]) -> list[Outcome]:
        if len(members) > 1:
            try:
                return self._together(members)
            except Exception as lost:  # noqa: BLE001 - a driver's error as well as SQLAlchemy's; run again below
                self._known(lost)
        outcomes: list[Outcome] = []
        for member in members:
            outcomes.append(self._alone(member))
            if _away(outcomes[-1].lost):
                # Nobody is there: asking for each member would take as long as all their time-outs.
                break
        if any(isinstance(outcome.lost, Full) for outcome in outcomes):
            self._make_room()
        return outcomes + outcomes[-1:] * (len(members) - len(outcomes))

    def _together(self, members: Sequence[Member[X]]) -> list[Outcome]:
        with self._engine.begin() as connection:
            handle = self._enter(connection)
            outcomes = [self._guarded(handle, member) for member in members]
            handle.flush()
        self._committed(handle)
        return outcomes

    def _guarded(self, handle: X, member: Member[X]) -> Outcome:
        """Run one of several steps so that it can be taken back alone."""
        handle.begin_step()
        try:
            outcome = Outcome(member.step(handle))
        except Exception as lost:  # whatever a step raises belongs to its caller
            if clashed(lost):
                raise
            handle.undo_step()
            return Outcome(lost=self._known(lost))
        handle.end_step()
        return outcome

    def _alone(self, member: Member[X]) -> Outcome:
        outcome = Outcome()
        for turn in range(TRIES):
            try:
                with self._engine.begin() as connection:
                    handle = self._enter(connection)
                    outcome = Outcome(member.step(handle))
                    handle.flush()
                self._committed(handle)
                return outcome  # noqa: TRY300  (in `else` it would stand outside of the loop's try)
            except Exception as lost:  # noqa: BLE001 - whatever a step raises belongs to its caller
                outcome = Outcome(lost=self._known(lost))
                if not clashed(lost):
                    break
                time.sleep(ASIDE_S * 2**turn)
        return outcome

    def _make_room(self) -> None:
        # What lies in the WAL may have its place in the file already, and the WAL's own space comes free.
        if self._engine.dialect.name == "sqlite":
            with contextlib.suppress(SQLAlchemyError, sqlite3.Error), self._engine.connect() as connection:
                connection.connection.cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _away(lost: Exception | None) -> bool:
    return isinstance(lost, Unreachable) and not isinstance(lost, Full)


def _answer(members: Sequence[Member[X]], outcomes: Sequence[Outcome]) -> None:
    by_loop: dict[asyncio.AbstractEventLoop, list[tuple[asyncio.Future[Any], Outcome]]] = {}
    for member, outcome in zip(members, outcomes, strict=True):
        by_loop.setdefault(member.loop, []).append((member.done, outcome))
    for loop, answers in by_loop.items():
        # RuntimeError: the loop is closed, so nobody waits any more.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(_settle, answers)


def _settle(answers: Sequence[tuple["asyncio.Future[Any]", Outcome]]) -> None:
    for done, outcome in answers:
        if done.done():
            continue
        if outcome.lost is None:
            done.set_result(outcome.value)
        elif isinstance(outcome.lost, StopIteration):  # a future refuses it
            done.set_exception(RuntimeError("a step raised StopIteration"))
        else:
            done.set_exception(outcome.lost)
