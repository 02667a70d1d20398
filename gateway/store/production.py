"""Production orders, and their way to the line: one after the other to each receiver."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec
from sqlalchemy import Select, and_, case, insert, or_, select, update

from gateway.core.delivery import ProductionOrder
from gateway.core.errors import Conflict
from gateway.core.production import KEPT, OVER, Handover, HandoverState, JobState, StoredProduction
from gateway.store.clock import has_passed
from gateway.store.documents import pack, unpack
from gateway.store.part import Part
from gateway.store.tables import handovers, production_orders

_FIELDS = Handover.__struct_fields__
_COLUMNS = tuple(handovers.c[name] for name in _FIELDS)
_OPEN = (HandoverState.WAITING, HandoverState.SENDING, HandoverState.UNCERTAIN)


class Production(Part):
    """Orders to the line, each kept once. The oldest one that is neither ACCEPTED nor PARKED holds its lane."""

    def put_production_order(self, order: ProductionOrder, at: datetime, to: str = "") -> bool:
        """Keep a production order and have it handed over to `to`; False when the very same was here.

        Raises `Conflict` when another one came under the same `order_id`.
        """
        if self._insert_new(production_orders, order_id=order.order_id, received_at=at, body=pack(order)):
            waiting = Handover(order.order_id, to, HandoverState.WAITING, 0, at, updated_at=at)
            self._db.execute(insert(handovers), msgspec.structs.asdict(waiting))
            return True
        if self.production_order(order.order_id) != order:
            raise Conflict(f"production order {order.order_id} was sent before with other content")
        return False

    def production_order(self, order_id: str) -> ProductionOrder | None:
        """One production order by the ERP's number."""
        body = self._db.scalar(select(production_orders.c.body).where(production_orders.c.order_id == order_id))
        return None if body is None else unpack(body, ProductionOrder)

    def production_orders(self, limit: int = 100) -> list[ProductionOrder]:
        """Production orders, the newest first."""
        return [stored.order for stored in self.productions(limit=limit)]

    def production(self, order_id: str) -> StoredProduction | None:
        """One production order with its handing over."""
        found = self._db.execute(_look().where(production_orders.c.order_id == order_id)).first()
        return None if found is None else _stored(found)

    def productions(self, *, state: str | None = None, limit: int = 100) -> list[StoredProduction]:
        """Production orders with their handing over, the newest first; `state` is as `StoredProduction.standing`."""
        newest = (production_orders.c.received_at.desc(), production_orders.c.order_id)
        look = _look().order_by(*newest).limit(limit)
        nobody = or_(handovers.c.to.is_(None), handovers.c.to == "")
        if state == KEPT:
            look = look.where(nobody)
        elif state is not None:
            look = look.where(handovers.c.state == state, handovers.c.to != "")
        return [_stored(row) for row in self._db.execute(look)]

    def claim_production(self, to: str, now: datetime, lease: timedelta) -> StoredProduction | None:
        """Take the oldest open order of a lane, when it is due: ours until `now + lease`.

        What waited is SENDING then, one attempt more; what is UNCERTAIN stays so, to be looked into. SENDING beyond its
        lease becomes UNCERTAIN. None while somebody else holds the lane, or nothing is due.
        """
        look = (
            _look()
            .where(handovers.c.to == to, handovers.c.state.in_(_OPEN))
            .order_by(handovers.c.number)
            .limit(1)
            .with_for_update(of=handovers)
        )
        found = self._db.execute(look).first()
        stored = None if found is None else _stored(found)
        if stored is None or stored.handover is None:
            return None
        one = stored.handover
        if one.state is HandoverState.SENDING:
            if not has_passed(one.lease_until, one.updated_at, now):
                return None
            why = "the sender's lease ran out"
            one = _changed(one, state=HandoverState.UNCERTAIN, due_at=now, reason=why, since=_left(one))
        elif not all(has_passed(time, one.updated_at, now) for time in (one.due_at, one.lease_until)):
            return None
        if one.state is HandoverState.WAITING:
            one = _changed(one, state=HandoverState.SENDING, attempt=one.attempt + 1, since=one.since or now)
        one = _changed(one, lease_until=now + lease, due_at=now, updated_at=now)
        self._write(one)
        return msgspec.structs.replace(stored, handover=one)

    def free_productions(self, now: datetime) -> int:
        """End every claim, whoever holds it: what was SENDING is UNCERTAIN, and all of it due; gives how many."""
        held = and_(handovers.c.state.in_(_OPEN), handovers.c.lease_until.is_not(None))
        sent = handovers.c.state == HandoverState.SENDING
        news = {
            "state": case((sent, HandoverState.UNCERTAIN.value), else_=handovers.c.state),
            "reason": case((sent, "the gateway ended while it was handed over"), else_=handovers.c.reason),
            "since": case((and_(sent, handovers.c.attempt == 1), handovers.c.updated_at), else_=handovers.c.since),
            "due_at": now,
            "lease_until": None,
            "updated_at": now,
        }
        return self._db.execute(update(handovers).where(held).values(news)).rowcount

    def settle_production(self, claimed: Handover, settled: Handover) -> bool:
        """Write down what became of a claimed order; False when the claim is no longer ours (nothing changes)."""
        ours = and_(
            handovers.c.order_id == claimed.order_id,
            handovers.c.attempt == claimed.attempt,
            handovers.c.state == claimed.state,
            handovers.c.lease_until.is_not_distinct_from(claimed.lease_until),
        )
        news = _row(_changed(settled, lease_until=None))
        return self._db.execute(update(handovers).where(ours).values(news)).rowcount == 1

    def put_job(self, order_id: str, job: JobState, at: datetime) -> bool:
        """Keep what the line says of a job; True when that is news. The end of a job is not taken back."""
        news = and_(handovers.c.order_id == order_id, handovers.c.job != job, handovers.c.job.not_in(OVER))
        return self._db.execute(update(handovers).where(news).values(job=job, job_at=at)).rowcount == 1

    def followed_productions(self, to: str, asked_before: datetime, limit: int) -> list[StoredProduction]:
        """Give accepted orders whose job is not over and was not asked about since; the longest ago first."""
        look = (
            _look()
            .where(
                handovers.c.to == to,
                handovers.c.state == HandoverState.ACCEPTED,
                handovers.c.job.not_in(OVER),
                or_(handovers.c.asked_at.is_(None), handovers.c.asked_at < asked_before),
            )
            .order_by(handovers.c.asked_at.asc().nulls_first(), handovers.c.number)
            .limit(limit)
        )
        return [_stored(row) for row in self._db.execute(look)]

    def asked_production(self, order_id: str, at: datetime) -> None:
        """Remember when the line was asked about a job."""
        self._db.execute(update(handovers).where(handovers.c.order_id == order_id).values(asked_at=at))

    def redeliver_production(self, order_id: str, to: str, at: datetime) -> bool:
        """Hand over once more what is PARKED or DROPPED, and for the first time what is KEPT. Else False."""
        named = and_(handovers.c.state == HandoverState.WAITING, handovers.c.to == "")
        rests = handovers.c.state.in_((HandoverState.PARKED, HandoverState.DROPPED))
        which = and_(handovers.c.order_id == order_id, or_(rests, named))
        news = {
            "to": to,
            "state": HandoverState.WAITING,
            "due_at": at,
            "lease_until": None,
            "since": None,
            "reason": "",
            "updated_at": at,
        }
        if self._db.execute(update(handovers).where(which).values(news)).rowcount == 1:
            return True
        held = self.production(order_id)
        if held is None or held.handover is not None:
            return False
        # It came before orders were handed over at all.
        waiting = Handover(order_id, to, HandoverState.WAITING, 0, at, updated_at=at)
        return self._insert_new(handovers, **msgspec.structs.asdict(waiting))

    def drop_production(self, order_id: str, reason: str, at: datetime) -> bool:
        """Give the handing over of a PARKED order up, for a person who says so; False when it is not parked."""
        which = and_(handovers.c.order_id == order_id, handovers.c.state == HandoverState.PARKED)
        news = {"state": HandoverState.DROPPED, "reason": reason, "updated_at": at}
        return self._db.execute(update(handovers).where(which).values(news)).rowcount == 1

    def _write(self, one: Handover) -> None:
        self._db.execute(update(handovers).where(handovers.c.order_id == one.order_id).values(_row(one)))


def _look() -> Select[*tuple[Any, ...]]:
    joined = production_orders.outerjoin(handovers, handovers.c.order_id == production_orders.c.order_id)
    return select(production_orders.c.body, production_orders.c.received_at, *_COLUMNS).select_from(joined)


def _stored(row: Sequence[Any]) -> StoredProduction:
    body, received_at, *values = row
    order = unpack(body, ProductionOrder)
    fields = dict(zip(_FIELDS, values, strict=True))
    if fields["state"] is None:
        return StoredProduction(order, received_at)
    return StoredProduction(order, received_at, Handover(**{**fields, "state": HandoverState(fields["state"])}))


def _row(one: Handover) -> dict[str, Any]:
    row = msgspec.structs.asdict(one)
    # What the line says of the job is written by `put_job` alone: a settled claim may be older than that.
    for name in ("order_id", "job", "job_at", "asked_at"):
        del row[name]
    return row


def _changed(one: Handover, **news: Any) -> Handover:
    return msgspec.structs.replace(one, **news)


def _left(one: Handover) -> datetime | None:
    """Give since when something of it may be there: what came before the first attempt that counts had no effect."""
    return one.updated_at if one.attempt == 1 else one.since
