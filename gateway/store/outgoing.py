"""Events on their way out: what each subscriber still has to be told, and how far it was told."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, and_, delete, exists, func, or_, select, update

from gateway.core.event import Event, Outgoing, Subscriber
from gateway.store.clock import passed, times
from gateway.store.documents import pack, unpack
from gateway.store.part import Part
from gateway.store.tables import audit, outgoing, subscribers

_LONGEST_WAIT = timedelta(hours=36)
"""No wait and no lease of an event is longer: a receiver of events is waited for longer than an ERP."""

_SUBSCRIBER = tuple(subscribers.c[name] for name in Subscriber.__struct_fields__)
_ROW = tuple(
    outgoing.c[name]
    for name in ("subscriber", "body", "state", "attempt", "made_at", "due_at", "lease_until", "reason", "updated_at")
)


class Queue(Part):
    """One queue per subscriber; events of one subject are in flight one at a time, the oldest first."""

    def audit_end(self) -> int:
        """Give the number of the newest line of the audit trail; 0 when there is none."""
        return int(self._db.scalar(select(func.max(audit.c.number))) or 0)

    def subscriber(self, name: str) -> Subscriber | None:
        """Say where a subscriber stands; None for one that was never told anything."""
        found = self._db.execute(select(*_SUBSCRIBER).where(subscribers.c.name == name)).first()
        return None if found is None else _subscriber(found)

    def subscribers(self) -> list[Subscriber]:
        """All subscribers that ever were, by name."""
        return [_subscriber(row) for row in self._db.execute(select(*_SUBSCRIBER).order_by(subscribers.c.name))]

    def put_subscriber(self, subscriber: Subscriber) -> None:
        """Keep where a subscriber stands."""
        row = {name: getattr(subscriber, name) for name in Subscriber.__struct_fields__}
        self._upsert(subscribers, **row)

    def forget_subscriber(self, name: str) -> int:
        """Let go of a subscriber with all that it was not told, for a person who says so; gives how many events."""
        gone = self._db.execute(delete(outgoing).where(outgoing.c.subscriber == name)).rowcount
        self._db.execute(delete(subscribers).where(subscribers.c.name == name))
        return gone

    def put_event(self, subscriber: str, event: Event, at: datetime) -> bool:
        """Put an event into a subscriber's queue, due at once; False when it is there already."""
        return self._insert_new(
            outgoing,
            subscriber=subscriber,
            event=event.id,
            subject=event.subject,
            state="WAITING",
            attempt=0,
            made_at=at,
            due_at=at,
            updated_at=at,
            body=pack(event),
        )

    def claim_events(self, subscriber: str, now: datetime, lease: timedelta, limit: int) -> list[Outgoing]:
        """Take due events, one of a subject, for sending: one attempt more, ours until `now + lease`.

        When the lease runs out they are due again: who is told twice knows the event by its id.
        """
        ahead = outgoing.alias()
        held = exists().where(
            ahead.c.subscriber == outgoing.c.subscriber,
            ahead.c.subject == outgoing.c.subject,
            ahead.c.state == "WAITING",
            ahead.c.number < outgoing.c.number,
        )
        due = and_(
            outgoing.c.subscriber == subscriber,
            outgoing.c.state == "WAITING",
            _passed(outgoing.c.due_at, now),
            or_(outgoing.c.lease_until.is_(None), _passed(outgoing.c.lease_until, now)),
            ~held,
        )
        look = select(outgoing.c.number).where(due).order_by(outgoing.c.number).limit(limit)
        numbers = list(self._db.scalars(look.with_for_update(skip_locked=True, of=outgoing)))
        if not numbers:
            return []
        news = {"attempt": outgoing.c.attempt + 1, "lease_until": now + lease, "due_at": now, "updated_at": now}
        self._db.execute(update(outgoing).where(outgoing.c.number.in_(numbers)).values(news))
        taken = select(*_ROW).where(outgoing.c.number.in_(numbers)).order_by(outgoing.c.number)
        return [_outgoing(row) for row in self._db.execute(taken)]

    def free_events(self, now: datetime) -> int:
        """End every claim, whoever holds it: all of it is due; gives how many."""
        held = and_(outgoing.c.state == "WAITING", outgoing.c.lease_until.is_not(None))
        news = {"due_at": now, "lease_until": None, "updated_at": now}
        return self._db.execute(update(outgoing).where(held).values(news)).rowcount

    def settle_event(self, claimed: Outgoing, settled: Outgoing | None) -> bool:
        """Write down what became of a claimed event, None when it was taken; False when the claim is no longer ours."""
        ours = and_(
            _is(claimed.subscriber, claimed.event.id),
            outgoing.c.state == "WAITING",
            outgoing.c.attempt == claimed.attempt,
            outgoing.c.lease_until.is_not_distinct_from(claimed.lease_until),
        )
        if settled is None:
            return self._db.execute(delete(outgoing).where(ours)).rowcount == 1
        news = {
            "state": settled.state,
            "attempt": settled.attempt,
            "due_at": settled.due_at,
            "lease_until": None,
            "reason": settled.reason,
            "updated_at": settled.updated_at,
        }
        return self._db.execute(update(outgoing).where(ours).values(news)).rowcount == 1

    def outgoing(self, subscriber: str | None = None, *, state: str | None = None, limit: int = 100) -> list[Outgoing]:
        """Events that are on their way or parked, the oldest first."""
        look = select(*_ROW).order_by(outgoing.c.number).limit(limit)
        if subscriber is not None:
            look = look.where(outgoing.c.subscriber == subscriber)
        if state is not None:
            look = look.where(outgoing.c.state == state)
        return [_outgoing(row) for row in self._db.execute(look)]

    def outgoing_counts(self) -> dict[tuple[str, str], int]:
        """How many events there are, by subscriber and state."""
        look = select(outgoing.c.subscriber, outgoing.c.state, func.count()).group_by(
            outgoing.c.subscriber, outgoing.c.state
        )
        return {(subscriber, state): int(count) for subscriber, state, count in self._db.execute(look)}

    def parked_event(self, subscriber: str, event: str) -> Outgoing | None:
        """One PARKED event, or None."""
        found = self._db.execute(select(*_ROW).where(_is(subscriber, event), outgoing.c.state == "PARKED")).first()
        return None if found is None else _outgoing(found)

    def resend_event(self, subscriber: str, event: str, at: datetime) -> bool:
        """Let a PARKED event wait again, under its id, with all its attempts before it; False when it is not parked."""
        news = {"state": "WAITING", "attempt": 0, "made_at": at, "due_at": at, "reason": "", "updated_at": at}
        which = and_(_is(subscriber, event), outgoing.c.state == "PARKED")
        return self._db.execute(update(outgoing).where(which).values(news)).rowcount == 1

    def drop_event(self, subscriber: str, event: str) -> bool:
        """Give a PARKED event up, for a person who says so; False when it is not parked."""
        which = and_(_is(subscriber, event), outgoing.c.state == "PARKED")
        return self._db.execute(delete(outgoing).where(which)).rowcount == 1


def _is(subscriber: str, event: str) -> ColumnElement[bool]:
    return and_(outgoing.c.subscriber == subscriber, outgoing.c.event == event)


def _passed(column: ColumnElement[datetime], now: datetime) -> ColumnElement[bool]:
    return passed(column, outgoing.c.updated_at, **times(now, _LONGEST_WAIT))


def _subscriber(row: Sequence[Any]) -> Subscriber:
    return Subscriber(**dict(zip(Subscriber.__struct_fields__, row, strict=True)))


def _outgoing(row: Sequence[Any]) -> Outgoing:
    subscriber, body, state, attempt, made_at, due_at, lease_until, reason, updated_at = row
    return Outgoing(
        subscriber=subscriber,
        event=unpack(body, Event),
        state=state,
        attempt=attempt,
        made_at=made_at,
        due_at=due_at,
        lease_until=lease_until,
        reason=reason,
        updated_at=updated_at,
    )
