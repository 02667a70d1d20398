"""The store: one writer, a few readers, one transaction for everything that is true together."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, Table, delete, func, select

from gateway.core.errors import Full, Misconfigured, Unreachable
from gateway.core.ports import Counts, Marks, Tx
from gateway.store import tables
from gateway.store.aside import Aside
from gateway.store.audit import Trail
from gateway.store.blobs import Blobs
from gateway.store.configs import Configs
from gateway.store.engine import READERS, server_readers, server_writer, sqlite_readers, sqlite_writer, translate, wrote
from gateway.store.episodes import Episodes
from gateway.store.inbox import Inbox
from gateway.store.intake import Intake
from gateway.store.journal import Journal
from gateway.store.orders import Orders
from gateway.store.outbox import Outbox
from gateway.store.outgoing import Queue
from gateway.store.production import Production
from gateway.store.reports import Reports
from gateway.store.salvage import Hold, suspect, whole
from gateway.store.schema import bring_up
from gateway.store.settings import Settings
from gateway.store.sweeps import Sweeps
from gateway.store.waiting import Waiting
from gateway.store.writer import Member, Writer

PATIENCE_S = 30.0
"""Seconds after which a caller gives up on the disk; what it asked for may still happen."""

_LOOKING = 256

T = TypeVar("T")


class Transaction(
    Journal, Aside, Blobs, Reports, Episodes, Orders, Outbox, Sweeps, Inbox, Production, Queue, Configs, Trail
):
    """Everything that can be done inside one transaction (`gateway.core.ports.Tx`)."""

    def counts(self) -> Counts:
        """How much the store holds. Every window leads to one diagnosis, so the two are the same number."""
        diagnoses = self._count(tables.diagnoses)
        return Counts(
            readings=self.held().values,
            windows=diagnoses,
            diagnoses=diagnoses,
            episodes=self._count(tables.episodes),
            orders=self._count(tables.orders),
            reports=self._count(tables.reports),
        )

    def get(self, name: str) -> bytes | None:
        """A small thing that was put under this name, or None."""
        return self._db.scalar(select(tables.keepsakes.c.value).where(tables.keepsakes.c.name == name))

    def put(self, name: str, value: bytes) -> None:
        """Keep a small thing (a baseline, a setting) in the place of what was there."""
        self._upsert(tables.keepsakes, name=name, value=value)

    def kept(self, prefix: str) -> dict[str, bytes]:
        """Every small thing whose name begins so, by the rest of its name."""
        names = tables.keepsakes.c.name
        look = select(names, tables.keepsakes.c.value).where(names.startswith(prefix, autoescape=True))
        return {name.removeprefix(prefix): value for name, value in self._db.execute(look)}

    def forget(self, name: str) -> None:
        """Let go of a small thing, if it is there."""
        self._db.execute(delete(tables.keepsakes).where(tables.keepsakes.c.name == name))

    def _count(self, table: Table) -> int:
        return int(self._db.scalar(select(func.count()).select_from(table)) or 0)


class SqlStore:
    """A `gateway.core.ports.Store` on SQLite or PostgreSQL. Made by `open_store`."""

    def __init__(
        self, writing: Engine, reading: Engine, marks: Marks, file: Path | None = None, hold: Hold | None = None
    ) -> None:
        self._writing = writing
        self._reading = reading
        self._file = file
        self._hold = hold
        self._layouts = set[str]()
        self._intake = Intake(marks, file.parent if file else None)
        self._writer: Writer[Transaction] = Writer(writing, self._enter, self._known, self._committed)
        self._pool = ThreadPoolExecutor(READERS, "store-reader")
        self._looking = threading.BoundedSemaphore(_LOOKING)
        self._waiting = Waiting(PATIENCE_S)
        self._closed = False

    def _enter(self, connection: Connection) -> Transaction:
        return Transaction(connection, self._intake, self._layouts)

    def _committed(self, done: Transaction) -> None:
        self._layouts |= done.fresh

    def start(self) -> None:
        """Bring the schema up to date and start the writer."""
        bring_up(self._writing)
        self._writer.start()

    def bound(self, marks: Marks) -> None:
        """Set how much raw data is taken, from the next batch on."""
        self._intake.marks = marks

    @property
    def refusing(self) -> str:
        """Why raw data is not taken now; empty when it is."""
        return self._intake.why

    @property
    def refused(self) -> int:
        """How many batches were not taken."""
        return self._intake.refused

    async def write(self, step: Callable[[Tx], T]) -> T:
        """Run a step in one transaction, and return after COMMIT (see `Store`).

        A caller that is cancelled, or out of patience, does not know whether its step was committed.
        """
        loop = asyncio.get_running_loop()
        done: asyncio.Future[T] = loop.create_future()
        self._writer.put(Member(step, loop, done))
        self._waiting.add(loop, done)
        return await done

    async def read(self, look: Callable[[Tx], T]) -> T:
        """Look at a snapshot (see `Store`). Raises RuntimeError when the look tries to write."""
        if self._closed:
            raise Unreachable("the store is closed")
        if not self._looking.acquire(blocking=False):
            raise Full(f"{_LOOKING} reads are waiting")
        work = self._pool.submit(self._look, look)
        work.add_done_callback(self._leave)
        return await _patiently(asyncio.wrap_future(work))

    async def close(self) -> None:
        """Write what waits, then close. May be called twice."""
        self._closed = True
        self._writer.drain()
        await asyncio.to_thread(self._end)

    def _end(self) -> None:
        self._writer.join(PATIENCE_S)
        self._pool.shutdown(cancel_futures=True)
        self._let_go()

    def abandon(self) -> None:
        """Give up what could not be started."""
        self._pool.shutdown()
        self._let_go()

    def _let_go(self) -> None:
        self._reading.dispose()
        self._writing.dispose()
        if self._hold is not None:
            self._hold.close()

    def _look(self, look: Callable[[Transaction], T]) -> T:
        try:
            with self._reading.connect() as connection, connection.begin():
                handle = Transaction(connection)
                seen = look(handle)
        except Exception as lost:
            if wrote(lost):
                raise RuntimeError("a look must not write") from lost
            known = self._known(lost)
            if known is lost:
                raise
            raise known from lost
        if handle.unreadable:
            self._set_aside(handle.unreadable)
        return seen

    def _set_aside(self, unreadable: dict[int, str]) -> None:
        """Have the writer put out of the way what no look could read; nobody waits for it."""
        loop = asyncio.new_event_loop()  # never runs: a future needs one
        try:
            done: asyncio.Future[None] = loop.create_future()
            with suppress(Unreachable):  # the next look meets them again
                self._writer.put(Member(lambda tx: tx.set_aside(unreadable, datetime.now(UTC)), loop, done))
        finally:
            loop.close()

    def _known(self, lost: Exception) -> Exception:
        """Translate an error; damage is remembered, so that the next start looks closely."""
        known = translate(lost, self._file.parent if self._file else None)
        if isinstance(known, Misconfigured) and self._file is not None:
            with suppress(OSError):
                suspect(self._file).touch()
        return known

    def _leave(self, _: "Future[Any]") -> None:
        self._looking.release()


def open_store(settings: Settings) -> SqlStore:
    """Open the store that the settings name, bring its schema up to date and start its writer.

    Blocks for disk and network. Raises `Unreachable`, or `Misconfigured` when it cannot be used at all.
    """
    try:
        store = _make(settings)
        try:
            store.start()
        except BaseException:
            store.abandon()
            raise
    except Exception as lost:
        known = translate(lost, settings.file.parent)
        if known is lost:
            raise
        raise known from lost
    return store


def _make(settings: Settings) -> SqlStore:
    url, marks = settings.location(), settings.marks()
    if url is not None:
        return SqlStore(server_writer(url), server_readers(url), marks)
    file = settings.file
    hold = whole(file, sqlite_writer)
    return SqlStore(sqlite_writer(file), sqlite_readers(file), marks, file, hold)


async def _patiently(answer: "asyncio.Future[T]") -> T:
    try:
        async with asyncio.timeout(PATIENCE_S):
            return await answer
    except TimeoutError as late:
        if not answer.cancelled():  # the step itself raised it
            raise
        raise Unreachable(f"the database did not answer within {PATIENCE_S:.0f} s") from late
