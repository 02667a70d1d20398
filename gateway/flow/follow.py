"""How orders stand in the ERP: it is asked about each that is not over, ever more rarely, at once after a hint."""

import asyncio
import contextlib
from collections.abc import Callable, Collection
from datetime import datetime, timedelta

import msgspec
import structlog

from gateway.core.delivery import Delivered, ErpRef, Rejected, StatusUpdate, Throttled, Unsent
from gateway.core.errors import Misconfigured, Refused, Unreachable
from gateway.core.ports import Clock, ErpAdapter, Store, StoredOrder, Tx
from gateway.core.status import OVER, state_of
from gateway.flow import aside
from gateway.flow.feedback import apply
from gateway.flow.patience import Patience

log: structlog.stdlib.BoundLogger = structlog.get_logger()

SILENT = 3
"""So many questions without an answer, one after the other, mean that the ERP is ill and not one order."""
_SHARE = 12
"""An order is asked about once in this part of its age."""
_LONGEST_REASON = 500


class Pace(msgspec.Struct, frozen=True, kw_only=True):
    """How often the ERP is asked how an order stands.

    `every` while it is young, `longest` when it is old, `rarest` about one that the ERP refuses to tell of, and not
    any more `until` after its trouble was found. `at_once` questions are under way at most. `poll` is how often
    the store is looked at.
    """

    every: timedelta = timedelta(minutes=5)
    longest: timedelta = timedelta(hours=1)
    rarest: timedelta = timedelta(days=1)
    until: timedelta = timedelta(days=180)
    at_once: int = 4
    poll: timedelta = timedelta(seconds=5)


class Question(msgspec.Struct, frozen=True):
    """An order that is asked about: since when, after which wait, and until when it is off the list."""

    order: StoredOrder
    at: datetime
    wait: timedelta
    held: datetime


class Follower:
    """Reads the orders of one ERP back until they are over, each within a deadline.

    `run` goes on until it is cancelled; `wake` is set by whoever left a hint. An order whose question fails is put
    off, alone; an ERP that does not answer at all is left alone together with delivery (`patience`). What the ERP
    refuses to tell is noted once. `false_codes` are its closing codes that mean a false alarm.
    """

    def __init__(
        self,
        store: Store,
        erp: ErpAdapter,
        now: Clock,
        wake: asyncio.Event,
        pace: Pace,
        patience: Patience,
        false_codes: Collection[str] = (),
    ) -> None:
        self._store, self._erp, self._now, self._wake = store, erp, now, wake
        self._pace, self._patience, self._false_codes = pace, patience, false_codes
        self._flying = self._silent = 0

    async def run(self) -> None:
        """Follow until cancelled."""
        async with asyncio.TaskGroup() as asking:
            while True:
                # Clear before the look: a hint that comes during it must not be slept over.
                self._wake.clear()
                started = 0
                try:
                    started = await self._start(asking)
                except Unreachable as lost:
                    log.warning("follow.store_away", erp=self._erp.name, why=str(lost))
                if not started:
                    await self._rest()

    async def step(self) -> int:
        """Ask about what is due; gives how many orders that were. For tests and one-off runs."""
        async with asyncio.TaskGroup() as asking:
            return await self._start(asking)

    async def _start(self, asking: asyncio.TaskGroup) -> int:
        # Mostly nothing is due: a look takes no grant, and keeps nobody from writing.
        if self._patience.left or not await self._store.read(lambda tx: self._due(tx, 1)):
            return 0
        probe = bool(self._patience.why)
        room = self._patience.grant(self._pace.at_once - self._flying)
        if not room:
            return 0
        due, questions = await self._store.write(self._claim(room))
        if probe and not questions:
            self._patience.unused()
        for one in questions:
            self._flying += 1
            task = asking.create_task(self._ask(one, probe=probe), name=f"follow {one.order.order.key}")
            task.add_done_callback(self._landed)
        return due

    def _landed(self, _: asyncio.Task[None]) -> None:
        self._flying -= 1
        self._wake.set()

    def _due(self, tx: Tx, limit: int) -> list[StoredOrder]:
        return tx.followed(self._erp.name, self._now(), self._pace.every, limit)

    def _claim(self, room: int) -> Callable[[Tx], tuple[int, list[Question]]]:
        """Take what is due, and take it off the list first: a question that ends the process is not the next again."""
        now = self._now()
        held = now + 2 * self._erp.capabilities.deadline + self._pace.every

        def step(tx: Tx) -> tuple[int, list[Question]]:
            due = self._due(tx, room)
            ended = [one for one in due if ended_for_us(one, now, self._pace)]
            for one in ended:
                tx.asked(one.order.key, now)
                tx.forget(_refused(one))
                tx.note("order.unfollowed", one.order.key, now, f"not over after {self._pace.until.days} days")
            asked = [Question(one, now, last_wait(one), held) for one in due if one not in ended]
            for question in asked:
                tx.asked(question.order.order.key, now, held)
            return len(due), asked

        return step

    async def _ask(self, one: Question, *, probe: bool) -> None:
        key, number = one.order.order.key, one.order.delivery.erp_number or ""
        try:
            async with asyncio.timeout(self._erp.capabilities.deadline.total_seconds()):
                ref = await self._erp.status(ErpRef(key, number))
        except (Unreachable, TimeoutError) as lost:
            self._unanswered(lost, probe=probe)
            log.info("follow.later", erp=self._erp.name, order=key, why=str(lost) or "no answer before the deadline")
            await self._write(one, self._put_off(one))
            return
        except Refused as no:
            self._answered(Rejected(str(no)[:_LONGEST_REASON]), probe=probe)
            await self._write(one, self._refused(one, str(no)))
            return
        except Misconfigured:
            raise
        except Exception as bug:  # noqa: BLE001  (against its contract; one order must not stop all the others)
            log.warning("follow.adapter_failed", erp=self._erp.name, order=key, **aside.told(bug))
            await self._write(one, self._refused(one, f"the adapter failed ({type(bug).__name__})"))
            return
        self._answered(Delivered(ref, created=False), probe=probe)
        await self._write(one, self._told(one, ref))

    def _answered(self, outcome: Delivered | Rejected, *, probe: bool) -> None:
        # Where orders fail one after the other, answers to questions in between must not hide it.
        self._silent = 0
        if probe:
            self._patience.note(outcome)

    def _unanswered(self, lost: Unreachable | TimeoutError, *, probe: bool) -> None:
        why = f"asked how an order stands: {str(lost) or 'no answer before the deadline'}"
        self._silent += 1
        if isinstance(lost, Unreachable) and lost.after is not None:
            self._patience.note(Throttled(lost.after, why))
        elif probe or self._silent >= SILENT:
            self._silent = 0
            self._patience.note(Unsent(why))

    def _told(self, one: Question, ref: ErpRef) -> Callable[[Tx], None]:
        now, order = self._now(), one.order
        # The answer may be as old as the question.
        update = StatusUpdate(
            key=order.order.key,
            number=ref.number,
            status=ref.status,
            closing_code=ref.closing_code,
            at=one.at,
            state=ref.state,
        )

        def step(tx: Tx) -> None:
            apply(tx, update, now, self._false_codes)
            self._strange_word(tx, update, now)
            if tx.get(_refused(order)) is not None:
                tx.forget(_refused(order))
            known = tx.order(order.order.key) or order
            _again(tx, one, next_wait(known, one.wait, now, self._pace))

        return step

    def _strange_word(self, tx: Tx, update: StatusUpdate, now: datetime) -> None:
        """Note a status that means nothing to us, once per word and ERP while the inbox remembers."""
        if (
            update.status
            and state_of(update) == "unknown"
            and tx.first_time(f"follow.{self._erp.name}", update.status, "", now)
        ):
            tx.note("order.strange_status", update.key, now, update.status)

    def _put_off(self, one: Question) -> Callable[[Tx], None]:
        return lambda tx: _again(tx, one, doubled(one.wait, self._pace.every, self._pace.longest))

    def _refused(self, one: Question, why: str) -> Callable[[Tx], None]:
        now, key = self._now(), one.order.order.key
        reason = " ".join(why.split())[:_LONGEST_REASON]

        def step(tx: Tx) -> None:
            if one.order.erp_state in OVER:  # it was told how it ended, and is kept no longer
                _again(tx, one, None)
                return
            if tx.get(_refused(one.order)) is None:
                tx.put(_refused(one.order), reason.encode())
                tx.note("order.unreadable", key, now, reason)
                log.warning("follow.refused", erp=self._erp.name, order=key, why=reason)
            _again(tx, one, doubled(one.wait, self._pace.every, self._pace.rarest))

        return step

    async def _write(self, one: Question, step: Callable[[Tx], None]) -> None:
        try:
            await self._store.write(step)
        except Unreachable as lost:  # it is due again when it is back on the list
            log.warning("follow.not_kept", erp=self._erp.name, order=one.order.order.key, why=str(lost))

    async def _rest(self) -> None:
        wait = min(self._patience.left or self._pace.poll, self._pace.poll)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(wait.total_seconds()):
                await self._wake.wait()


def hinted(order: StoredOrder) -> bool:
    """Say whether an order is asked about because of a hint, and not because it is time."""
    return order.ask_at is not None and (order.asked_at is None or order.ask_at < order.asked_at)


def last_wait(order: StoredOrder) -> timedelta:
    """Give how long was waited for this question since the last one; nothing for the first, and after a hint."""
    if order.asked_at is None or order.ask_at is None or hinted(order):
        return timedelta(0)
    return order.ask_at - order.asked_at


def ended_for_us(order: StoredOrder, now: datetime, pace: Pace) -> bool:
    """Say whether an order is too old to be asked about without a hint."""
    return now - order.order.detected_at > pace.until and not hinted(order)


def next_wait(order: StoredOrder, waited: timedelta, now: datetime, pace: Pace) -> timedelta | None:
    """Give the time to the next question after an answer; None for no more.

    An order that is over is asked about a few times more, until its closing code is there.
    """
    age = now - order.order.detected_at
    if age > pace.until:
        return None
    if order.erp_state in OVER:
        wait = doubled(waited, pace.every, 2 * pace.rarest)
        return None if order.closing_code is not None or wait > pace.rarest else wait
    return max(pace.every, min(age / _SHARE, pace.longest))


def doubled(waited: timedelta, least: timedelta, most: timedelta) -> timedelta:
    """Give twice the time that was waited, within bounds."""
    return max(least, min(2 * waited, most))


def _again(tx: Tx, one: Question, wait: timedelta | None) -> None:
    """Set the next time, unless a hint came meanwhile: the answer may be older than what it is about."""
    key = one.order.order.key
    held = tx.order(key)
    if held is not None and held.ask_at == one.held:
        tx.asked(key, one.at, None if wait is None else one.at + wait)


def _refused(order: StoredOrder) -> str:
    return f"follow/refused/{order.order.key}"
