"""Orders that the ERP has more often than it should: all but one are cancelled, and it is said out loud."""

from collections.abc import Callable, Sequence
from datetime import datetime

import structlog

from gateway.core.delivery import Delivered, Delivery, DeliveryState, ErpRef, Idempotency, Rejected, counting
from gateway.core.errors import Refused, Unreachable
from gateway.core.order import WorkOrder
from gateway.core.ports import Clock, ErpAdapter, Store, StoredOrder, Tx, Watched
from gateway.flow import sweep
from gateway.flow.attempt import Attempt, Failed, unasked
from gateway.flow.copies import apart
from gateway.flow.patience import Patience
from gateway.flow.settle import Policy, lingers

log: structlog.stdlib.BoundLogger = structlog.get_logger()


class Ghosts:
    """Looks again for orders that were sent twice because the first was in doubt (see `gateway.flow.sweep`)."""

    def __init__(self, store: Store, erp: ErpAdapter, now: Clock, policy: Policy, patience: Patience) -> None:
        self._store, self._erp, self._now = store, erp, now
        self._policy, self._patience = policy, patience
        self._attempt = Attempt(erp, patience.ages)
        self._told: dict[str, str] = {}

    async def look(self, room: int) -> int:
        """Look up to `room` watched orders up that are due; gives how many. One without an answer puts all of them off.

        What cannot be looked up counts as looked up: the next question about it would end the same way. A look whose
        cancelling has no answer counts only when that has been so for as long as an order is tried.
        """
        if self._erp.capabilities.idempotency is Idempotency.NONE:
            return 0
        erp, now = self._erp.name, self._now()
        items = await self._store.read(lambda tx: tx.watched(erp, now, room, self._far(now)))
        for item in items:
            try:
                found = await self._attempt.find(item.key)
            except (Failed, Refused) as no:
                log.warning("sweep.not_looked_up", erp=erp, order=item.key, why=str(no))
                found = []
            except Unreachable as lost:
                self._patience.note(unasked(lost))
                await self._store.write(self._all_put_off())
                break
            known = await self._store.read(_order(item.key)) if found else None
            if known is None or await self.leave_one(known.order, found) or self._tried_long(known.delivery):
                await self._store.write(self._seen(item))
                continue
            await self._store.write(self._put_off(item))
            if self._patience.left:
                break
        return len(items)

    def _seen(self, item: Watched) -> Callable[[Tx], None]:
        now, settle = self._now(), lingers(self._erp.capabilities)
        self._told.pop(item.key, None)
        return lambda tx: sweep.seen(tx, item, now, settle)

    def _put_off(self, item: Watched) -> Callable[[Tx], None]:
        later = Watched(item.key, self._now() + self._policy.longest_wait, item.left)
        return lambda tx: tx.watch(later)

    def _all_put_off(self) -> Callable[[Tx], None]:
        erp, now = self._erp.name, self._now()
        return lambda tx: tx.put_off_watched(erp, now + self._policy.longest_wait, self._far(now))

    def _far(self, now: datetime) -> datetime:
        return now + max(sweep.furthest(lingers(self._erp.capabilities)), self._policy.longest_wait)

    def _tried_long(self, delivery: Delivery) -> bool:
        since = delivery.updated_at or delivery.due_at
        return self._patience.ages.at_least(since) > self._policy.give_up_after

    async def leave_one(self, order: WorkOrder, found: Sequence[ErpRef]) -> bool:
        """Cancel all orders but one that the ERP has for one key, and all of them when ours is withdrawn.

        The one that the gateway knows counts, else the oldest. One that somebody has begun stays, and is named. A
        planner's copy is a planner's. False when a cancelling had no answer: then it is to be tried again.
        """
        known = await self._store.read(_order(order.key))
        living = [ref for ref in found if ref.state != "cancelled"]
        if known is None or not living:
            return True
        counts = _counting(living, known.delivery)
        surplus, copies = apart(found, counts, known.delivery.erp_number)
        if copies:
            log.info("order.copied", order=order.key, numbers=[ref.number for ref in copies])
        if not surplus:
            return True
        stays = "none should be" if counts is None else f"{counts.number} counts"
        told, answered = [], True
        for ref in surplus:
            outcome = await self._attempt.cancel(ref, order, f"made twice: {stays}")
            self._patience.note(outcome)
            told.append(f"{ref.number} {'cancelled' if isinstance(outcome, Delivered) else 'NOT cancelled'}")
            answered = answered and isinstance(outcome, Delivered | Rejected)
        await self._tell(order.key, f"{len(living)} in the ERP, {stays}: {', '.join(told)}"[:500])
        if answered:
            self._told.pop(order.key, None)
        return answered

    async def _tell(self, key: str, detail: str) -> None:
        """Say it in the log and the audit trail; what is tried again with the same end is said once."""
        if self._told.get(key) == detail:
            return
        now = self._now()
        log.error("order.duplicate", order=key, detail=detail)
        await self._store.write(lambda tx: tx.note("order.duplicate", key, now, detail))
        self._told[key] = detail


def _counting(living: Sequence[ErpRef], delivery: Delivery) -> ErpRef | None:
    """Say which of those that stand should; of one that was taken back, only what a planner has opened again."""
    if delivery.state is DeliveryState.WITHDRAWN:
        return next((ref for ref in living if ref.number == delivery.erp_number), None)
    return counting(living, delivery.erp_number)


def _order(key: str) -> Callable[[Tx], StoredOrder | None]:
    return lambda tx: tx.order(key)
