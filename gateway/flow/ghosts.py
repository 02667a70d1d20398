"""Orders that the ERP has more often than it should: all but one are cancelled, and it is said out loud."""

from collections.abc import Callable, Sequence

import structlog

from gateway.core.delivery import Delivered, DeliveryState, ErpRef, Idempotency
from gateway.core.errors import Refused, Unreachable
from gateway.core.order import WorkOrder
from gateway.core.ports import Clock, ErpAdapter, Store, StoredOrder, Tx, Watched
from gateway.flow import sweep
from gateway.flow.attempt import Attempt, Failed, counting, unasked
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

    async def look(self, room: int) -> int:
        """Look up to `room` watched orders up that are due; gives how many. One without an answer puts all of them off.

        What cannot be looked up counts as looked up: the next question about it would end the same way.
        """
        if self._erp.capabilities.idempotency is Idempotency.NONE:
            return 0
        erp, now = self._erp.name, self._now()
        items = await self._store.read(lambda tx: tx.watched(erp, now, room))
        for item in items:
            try:
                found = await self._attempt.find(item.key)
            except (Failed, Refused) as no:
                log.warning("sweep.not_looked_up", erp=erp, order=item.key, why=str(no))
                found = []
            except Unreachable as lost:
                self._patience.note(unasked(lost))
                await self._store.write(self._put_off())
                break
            await self._store.write(self._seen(item))
            if found and (stored := await self._store.read(_order(item.key))) is not None:
                await self.leave_one(stored.order, found)
        return len(items)

    def _seen(self, item: Watched) -> Callable[[Tx], None]:
        now, settle = self._now(), lingers(self._erp.capabilities)
        return lambda tx: sweep.seen(tx, item, now, settle)

    def _put_off(self) -> Callable[[Tx], None]:
        erp, until = self._erp.name, self._now() + self._policy.longest_wait
        return lambda tx: tx.put_off_watched(erp, until)

    async def leave_one(self, order: WorkOrder, found: Sequence[ErpRef]) -> None:
        """Cancel all orders but one that the ERP has for one key, and all of them when ours is withdrawn.

        The one that the gateway knows counts, else the oldest. One that somebody has begun stays, and is named. A
        planner's copy is a planner's.
        """
        known = await self._store.read(_order(order.key))
        living = [ref for ref in found if ref.state != "cancelled"]
        if known is None or not living:
            return
        counts: ErpRef | None = counting(living, known.delivery.erp_number)
        if known.delivery.state is DeliveryState.WITHDRAWN:
            counts = None
        surplus, copies = apart(found, counts)
        if copies:
            log.info("order.copied", order=order.key, numbers=[ref.number for ref in copies])
        if not surplus:
            return
        stays = "none should be" if counts is None else f"{counts.number} counts"
        told = []
        for ref in surplus:
            outcome = await self._attempt.cancel(ref, order, f"made twice: {stays}")
            told.append(f"{ref.number} {'cancelled' if isinstance(outcome, Delivered) else 'NOT cancelled'}")
        now, detail = self._now(), f"{len(living)} in the ERP, {stays}: {', '.join(told)}"[:500]
        log.error("order.duplicate", order=order.key, count=len(living), detail=detail)
        await self._store.write(lambda tx: tx.note("order.duplicate", order.key, now, detail))


def _order(key: str) -> Callable[[Tx], StoredOrder | None]:
    return lambda tx: tx.order(key)
