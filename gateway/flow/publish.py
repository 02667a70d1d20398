"""Events out: from the audit trail into a queue per subscriber, and from there to the receiver, at least once."""

import asyncio
import contextlib
import random
from collections.abc import Callable
from datetime import datetime, timedelta

import msgspec
import structlog
from msgspec.structs import replace

from gateway.core.delivery import Rejected, Throttled
from gateway.core.errors import Unreachable
from gateway.core.event import Gone, Heard, Heeded, Outgoing, Subscriber, Unheard
from gateway.core.plural import plural
from gateway.core.ports import Clock, EventSink, Store, Tx
from gateway.flow import aside
from gateway.flow.patience import Patience
from gateway.flow.tell import Teller

log: structlog.stdlib.BoundLogger = structlog.get_logger()

Observe = Callable[[Heeded], None]

SCHEDULE = tuple(
    timedelta(seconds=seconds)
    for seconds in (5, 5 * 60, 30 * 60, 2 * 3600, 5 * 3600, 10 * 3600, 14 * 3600, 20 * 3600, 24 * 3600)
)
"""The waits between the attempts, as Standard Webhooks gives them: ten attempts in three days."""
LONGEST_ASKED = timedelta(hours=1)
"""However long a Retry-After asks for, nobody waits longer for it."""
_CHUNK = 200
_READ = 1000
"""Lines of the trail that one transaction looks at."""


class Pace(msgspec.Struct, frozen=True, kw_only=True):
    """How a subscriber is told.

    `lanes` are the requests in flight at once. At most `waiting` events are in its queue: the audit trail holds what
    comes after them. After `parked` events that it would not take nothing more is sent until a person has looked. A
    lease is by `margin` longer than the receiver's deadline. An event is given up after the schedule, or `give_up`.
    """

    lanes: int = 8
    waiting: int = 500
    parked: int = 10_000
    margin: timedelta = timedelta(seconds=15)
    poll: timedelta = timedelta(seconds=1)
    longest_pause: timedelta = timedelta(minutes=5)
    give_up: timedelta = timedelta(days=4)
    schedule: tuple[timedelta, ...] = SCHEDULE
    jitter: float = 0.2


_USUAL = Pace()


class Publisher:
    """Tells one subscriber; another one that is dead is none of its business.

    What happened is in the audit trail, in the same transaction as what it tells of. How far the trail was looked at
    and what follows from it are written together, so that no event is left out. An event that was sent and not
    marked is sent again, under the same id.
    """

    def __init__(
        self,
        store: Store,
        sink: EventSink,
        now: Clock,
        teller: Teller,
        *,
        observe: Observe = lambda _: None,
        pace: Pace = _USUAL,
    ) -> None:
        self._store, self._sink, self._now, self._teller = store, sink, now, teller
        self._observe, self._pace = observe, pace
        self._patience = Patience(now, pace.longest_pause, sink.name, "events")
        self._freed = asyncio.Event()
        self._flying = 0
        self._off = ""

    @property
    def why(self) -> str:
        """Say why nothing is sent now; empty when all is well."""
        return self._off or self._patience.why

    async def run(self) -> None:
        """Tell until cancelled."""
        async with asyncio.TaskGroup() as sending:
            while True:
                self._freed.clear()
                try:
                    busy = await self._start(sending)
                except Unreachable as lost:
                    log.warning("events.store_away", subscriber=self._sink.name, why=str(lost))
                    busy = False
                if not busy:
                    await self._rest()

    async def step(self) -> bool:
        """Send what is due, once; False when there was nothing to do. For tests and one-off runs."""
        async with asyncio.TaskGroup() as sending:
            return await self._start(sending)

    async def _start(self, sending: asyncio.TaskGroup) -> bool:
        free = self._pace.lanes - self._flying
        if not free:  # nothing can leave before one of them is settled
            return False
        room = self._patience.grant(free)
        stand, claimed, more = await self._store.write(lambda tx: self._turn(tx, room))
        if stand.off_why != self._off:
            self._off = stand.off_why
            log.warning("events.off" if stand.off_why else "events.on", subscriber=stand.name, why=stand.off_why)
        if room and not claimed:
            self._patience.unused()
        for one in claimed:
            self._flying += 1
            sending.create_task(self._send(one), name=f"tell {one.event.id}")
        return bool(claimed) or more

    def _turn(self, tx: Tx, room: int) -> tuple[Subscriber, list[Outgoing], bool]:
        """Put what happened into the queue and take what is due, in one transaction."""
        now = self._now()
        stand = standing(tx, self._sink, now)
        if stand.off_at is not None:
            return stand, [], False
        before = stand.number
        stand = self._fill(tx, stand, now)
        lease = self._sink.deadline + self._pace.margin
        claimed = tx.claim_events(stand.name, now, lease, room) if room and stand.off_at is None else []
        return stand, claimed, stand.number - before >= _READ

    def _fill(self, tx: Tx, stand: Subscriber, now: datetime) -> Subscriber:
        end = tx.audit_end()
        if stand.number > end:  # a database that was brought back from an older copy has a shorter trail
            stand = replace(stand, number=end)
            tx.put_subscriber(stand)
        if stand.number == end:
            return stand
        counts = tx.outgoing_counts()
        if counts.get((stand.name, "PARKED"), 0) >= self._pace.parked:
            return turn_off(tx, stand, f"{self._pace.parked} events are parked; look at them first", self._sink, now)
        room = self._pace.waiting - counts.get((stand.name, "WAITING"), 0)
        number, until = stand.number, min(end, stand.number + _READ)
        while room > 0 and number < until:
            for line in tx.audit(after=number, limit=min(_CHUNK, until - number)):
                event = self._teller.told(tx, line)
                if event is not None:
                    tx.put_event(stand.name, event, now)
                    room -= 1
                number = line.number
                if room <= 0:
                    break
        if number != stand.number:
            stand = replace(stand, number=number)
            tx.put_subscriber(stand)
        return stand

    async def _send(self, one: Outgoing) -> None:
        try:
            heeded = await self._tried(one)
            self._observe(heeded)
            self._learn(heeded)
            await self._settle(one, heeded)
        finally:
            self._flying -= 1
            self._freed.set()

    async def _tried(self, one: Outgoing) -> Heeded:
        try:
            async with asyncio.timeout((self._sink.deadline + self._pace.margin / 2).total_seconds()):
                return await self._sink.send(one.event, self._now())
        except TimeoutError:
            return Unheard("no answer before the deadline", ailing=True)
        except Exception as bug:  # noqa: BLE001  (against its contract; one event must not stop all the others)
            log.warning("events.sink_failed", subscriber=self._sink.name, **aside.told(bug))
            return Unheard(f"it could not be sent ({type(bug).__name__})", ailing=False)

    def _learn(self, heeded: Heeded) -> None:
        if isinstance(heeded, Unheard) and heeded.ailing:
            self._patience.note(Throttled(heeded.after, heeded.cause))
        else:
            self._patience.note(Rejected(""))

    async def _settle(self, one: Outgoing, heeded: Heeded) -> None:
        now = self._now()
        left = after(one, heeded, now, self._pace)

        def step(tx: Tx) -> None:
            if not tx.settle_event(one, left):
                return
            if left is not None and left.state == "PARKED":
                tx.note("events.parked", one.event.id, now, f"{one.subscriber}: {left.reason}")
            if isinstance(heeded, Gone):
                stand = tx.subscriber(one.subscriber)
                if stand is not None and stand.off_at is None:
                    turn_off(tx, stand, heeded.cause, self._sink, now)

        try:
            await self._store.write(step)
        except Unreachable as lost:  # its lease runs out, and it is sent again under its id
            log.warning("events.not_settled", subscriber=one.subscriber, id=one.event.id, why=str(lost))
            return
        if left is not None:
            told = log.warning if left.state == "PARKED" else log.info
            told("events.later", subscriber=one.subscriber, id=one.event.id, state=left.state, why=left.reason)

    async def _rest(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._pace.poll.total_seconds()):
                await self._freed.wait()


def standing(tx: Tx, sink: EventSink, now: datetime) -> Subscriber:
    """Say where a subscriber stands. A new one begins with what happens from now on; a new address is let in again."""
    stand = tx.subscriber(sink.name)
    if stand is None:
        stand = Subscriber(name=sink.name, number=tx.audit_end(), place=sink.place)
        tx.put_subscriber(stand)
        tx.note("events.subscribed", sink.name, now)
    elif stand.place != sink.place:
        stand = turn_on(tx, replace(stand, place=sink.place), now)
    return stand


def turn_off(tx: Tx, stand: Subscriber, why: str, sink: EventSink, now: datetime) -> Subscriber:
    """Send a subscriber nothing more until a person says so, or its address is changed; its events are kept."""
    stand = replace(stand, off_at=now, off_why=why, place=sink.place)
    tx.put_subscriber(stand)
    tx.note("events.off", stand.name, now, why)
    return stand


def turn_on(tx: Tx, stand: Subscriber, now: datetime, *, from_now: bool = False) -> Subscriber:
    """Send to a subscriber again: all that it missed, or only what happens from now on."""
    was_off = stand.off_at is not None
    stand = replace(stand, off_at=None, off_why="", number=tx.audit_end() if from_now else stand.number)
    tx.put_subscriber(stand)
    if was_off or from_now:
        tx.note("events.on", stand.name, now, "from now on" if from_now else "")
    return stand


def after(
    one: Outgoing, heeded: Heeded, now: datetime, pace: Pace, chance: Callable[[], float] = random.random
) -> Outgoing | None:
    """Say what an attempt makes of an event: None when it was taken, or when it is due again, or that it is parked.

    The wait follows the schedule, up to `pace.jitter` longer; what the receiver asked for counts when it is longer.
    """
    match heeded:
        case Heard():
            return None
        case Gone(cause=cause):  # the attempt is taken back: it was no fault of the event
            return replace(one, attempt=max(0, one.attempt - 1), due_at=now, reason=cause, updated_at=now)
        case Unheard(cause=cause, after=asked):
            if one.attempt > len(pace.schedule) or now - one.made_at > pace.give_up:
                reason = f"given up after {plural(one.attempt, 'attempt')}: {cause}"
                return replace(one, state="PARKED", due_at=now, lease_until=None, reason=reason, updated_at=now)
            wait = pace.schedule[one.attempt - 1] * (1 + pace.jitter * chance())
            wait = max(wait, min(asked or timedelta(0), LONGEST_ASKED))
            return replace(one, due_at=now + wait, lease_until=None, reason=cause, updated_at=now)
    raise TypeError(heeded)
