"""The UNCERTAIN ones: did the ERP get it? Asked or sent again as the ERP's promise allows, never blindly."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta

import msgspec
import structlog

from gateway.core.delivery import (
    Delivered,
    DeliveryState,
    Idempotency,
    Outcome,
    Rejected,
    Uncertain,
    counting,
)
from gateway.core.errors import Refused, Unreachable
from gateway.core.plural import plural
from gateway.core.ports import Claimed, Clock, ErpAdapter, Store, Tx
from gateway.flow.attempt import Attempt, Failed, remembered, unasked
from gateway.flow.deliver import GOODBYE_S, Observe, unobserved
from gateway.flow.ghosts import Ghosts
from gateway.flow.patience import Patience
from gateway.flow.settle import Policy, Settled, changed, delivered, lingers, parked, pause, too_old
from gateway.flow.sweep import watch
from gateway.flow.written import keep, tell, write_patiently

log: structlog.stdlib.BoundLogger = structlog.get_logger()

ABSENT = "looked up once, not found"
"""How the reason of an UNCERTAIN delivery begins after the first look in vain; only the second one counts."""

_LONGEST_LEASE = timedelta(minutes=58)
GONE = "the ERP does not show it, but it may have been done and cleared there: look before it is sent again"
"""Why a person must look at an order that was in doubt for longer than its ERP shows one."""
_WHILE_IT_IS_THERE = (Idempotency.UPSERT, Idempotency.CLIENT_ID)
_SAME_KEY = (Idempotency.HEADER, Idempotency.UPSERT, Idempotency.CLIENT_ID)


class Reconciler:
    """Ends the doubt about UNCERTAIN orders of one ERP.

    An ERP that knows our key while its `replay_window` lasts is sent the same order again; else it is
    asked by key after `settle`: found means delivered (the oldest counts, the others are cancelled), not found
    twice means waiting again, and where nobody can ask, or the answer proves nothing, a person must. `run` goes on
    until cancelled.
    """

    def __init__(
        self,
        store: Store,
        erp: ErpAdapter,
        now: Clock,
        policy: Policy,
        patience: Patience,
        observe: Observe = unobserved,
    ) -> None:
        self._store, self._erp, self._now = store, erp, now
        self._policy, self._patience, self._observe = policy, patience, observe
        self._attempt = Attempt(erp, patience.ages)
        self._ghosts = Ghosts(store, erp, now, policy, patience)
        self._flying = 0

    async def run(self) -> None:
        """Reconcile until cancelled."""
        async with asyncio.TaskGroup() as looking:
            while True:
                done = 0
                try:
                    done = await self._start(looking)
                except Unreachable as lost:
                    log.warning("reconcile.store_away", erp=self._erp.name, why=str(lost))
                if not done:
                    await asyncio.sleep(self._policy.poll.total_seconds())

    async def step(self) -> int:
        """Look into every UNCERTAIN order that is due, and into ghosts; gives how many were looked into."""
        async with asyncio.TaskGroup() as looking:
            return await self._start(looking)

    async def _start(self, looking: asyncio.TaskGroup) -> int:
        most = 1 if self._erp.capabilities.lane == "connection" else self._policy.lanes
        room = self._patience.grant(most - self._flying)
        if not room:
            return 0
        now, deadline = self._now(), self._erp.capabilities.deadline
        # A look, a request, and a look after its refusal; an hour ahead of us a lease would count as a wrong clock's.
        lease = max(2 * deadline, min(3 * deadline, _LONGEST_LEASE)) + self._policy.margin
        claimed = await self._store.write(lambda tx: tx.claim_uncertain(self._erp.name, now, lease, room))
        for one in claimed:
            self._flying += 1
            looking.create_task(self._look_into(one), name=f"reconcile {one.order.key}").add_done_callback(self._landed)
        done = len(claimed) + await self._ghosts.look(room)
        if not done:
            self._patience.unused()
        return done

    def _landed(self, _: asyncio.Task[None]) -> None:
        self._flying -= 1

    async def _look_into(self, claimed: Claimed) -> None:
        """Settle one order. Cancelled, it stays UNCERTAIN and is free: whatever was sent is asked about again."""
        try:
            await self._decide(claimed)
        except asyncio.CancelledError:
            kept = changed(
                claimed.delivery, DeliveryState.UNCERTAIN, claimed.delivery.reason, self._now(), timedelta(0)
            )
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(GOODBYE_S):
                    await self._settle(claimed, Uncertain("the gateway was stopped"), kept)
            raise

    async def _decide(self, claimed: Claimed) -> None:
        idempotency = self._erp.capabilities.idempotency
        now = self._now()
        if claimed.delivery.task in ("amend", "cancel"):
            # What is done to an order that is there may be done twice.
            again = changed(claimed.delivery, DeliveryState.WAITING, claimed.delivery.reason, now, timedelta(0))
            await self._settle(claimed, Uncertain(claimed.delivery.reason), again)
        elif idempotency is Idempotency.NONE:
            reason = f"nobody knows whether the ERP has it: {claimed.delivery.reason}"
            await self._settle(claimed, Uncertain(reason), parked(claimed.delivery, reason, now))
        elif idempotency not in _SAME_KEY or not self._remembers(claimed):
            await self._ask(claimed)
        elif claimed.delivery.withdraw or self._erp.capabilities.overwrites:
            # Sent again it would be made only to be cancelled, or undo what a planner has changed meanwhile.
            await self._ask(claimed, absent=self._send_again)
        else:
            await self._send_again(claimed)

    def _remembers(self, claimed: Claimed) -> bool:
        """Say whether the ERP still knows the key when a request that leaves now arrives."""
        if claimed.delivery.attempt >= self._policy.doubts:
            return False
        return remembered(self._erp.capabilities, claimed.delivery.since, self._patience.ages)

    async def _send_again(self, claimed: Claimed) -> None:
        [outcome] = await self._attempt.create([claimed.order])
        self._note(outcome)
        now, delivery = self._now(), claimed.delivery
        again = msgspec.structs.replace(delivery, attempt=delivery.attempt + 1)
        match outcome:
            case Delivered(ref=ref):
                await self._settle(claimed, outcome, delivered(again, ref.number, now, "sent again"))
            case Rejected(reason=reason):
                # The first request may have got through before the ERP's mind, or our mapping, changed.
                await self._ask(claimed, refused=reason)
            case Uncertain(cause=cause):
                wait = pause(again.attempt, self._policy)
                await self._settle(claimed, outcome, changed(again, DeliveryState.UNCERTAIN, cause, now, wait))
            case _:
                await self._settle(claimed, outcome, self._later(claimed, outcome.cause, now))

    async def _ask(
        self,
        claimed: Claimed,
        refused: str | None = None,
        absent: Callable[[Claimed], Awaitable[None]] | None = None,
    ) -> None:
        """Look an order up and settle it; `absent` goes on with one that is not there."""
        try:
            found = await self._attempt.find(claimed.delivery.key)
        except Unreachable as lost:
            outcome = unasked(lost)
            if not isinstance(lost, Failed):
                self._note(outcome)
            await self._settle(claimed, outcome, self._later(claimed, outcome.cause, self._now()))
            return
        except Refused as no:
            reason = f"it cannot be looked up: {no}"
            await self._settle(claimed, Rejected(reason[:500]), parked(claimed.delivery, reason, self._now()))
            return
        now = self._now()
        if found:
            there = Delivered(counting(found), created=False)
            self._note(there)
            result = delivered(claimed.delivery, there.ref.number, now, "found")
            await self._settle(claimed, there, result, several=len(found) > 1)
            await self._ghosts.leave_one(claimed.order, found)
        elif absent is not None and not claimed.delivery.withdraw:
            await absent(claimed)
        elif refused is not None:
            await self._settle(claimed, Rejected(refused[:500]), parked(claimed.delivery, refused, now))
        else:
            await self._settle(claimed, Uncertain("not found"), self._absent(claimed, now))

    def _absent(self, claimed: Claimed, now: datetime) -> Settled:
        delivery, promised = claimed.delivery, self._erp.capabilities
        if promised.idempotency in _WHILE_IT_IS_THERE and not remembered(promised, delivery.since, self._patience.ages):
            return parked(delivery, f"{GONE} ({delivery.reason})", now)
        if not delivery.reason.startswith(ABSENT):
            reason = f"{ABSENT} ({delivery.reason})"
            return changed(delivery, DeliveryState.UNCERTAIN, reason, now, promised.settle)
        why = delivery.reason.removeprefix(ABSENT).strip(" ()")
        if delivery.attempt >= self._policy.doubts and not delivery.withdraw:
            return parked(delivery, f"sent {plural(delivery.attempt, 'time')} and never arrived: {why}", now)
        # Nothing that was sent is there: what the ERP remembers begins with the next request.
        fresh = msgspec.structs.replace(delivery, since=None)
        return changed(fresh, DeliveryState.WAITING, f"it did not arrive: {why}", now, timedelta(0))

    def _later(self, claimed: Claimed, cause: str, now: datetime) -> Settled:
        """Stay in doubt, with what is known already; after all the time there is a person must look."""
        delivery = claimed.delivery
        if too_old(delivery, self._policy, self._patience.ages):
            return parked(delivery, f"nobody knows whether the ERP has it, and it does not answer: {cause}", now)
        wait = self._patience.left or pause(delivery.attempt, self._policy)
        return changed(delivery, DeliveryState.UNCERTAIN, delivery.reason or cause, now, wait)

    async def _settle(self, claimed: Claimed, outcome: Outcome, result: Settled, *, several: bool = False) -> None:
        """Write down what became of an order; one of which there are `several` is looked at again, whatever ends us."""
        now = self._now()

        def step(tx: Tx) -> bool:
            ours = keep(tx, claimed, outcome, result, self._erp, now)
            if ours and several:
                watch(tx, claimed.delivery.key, now, lingers(self._erp.capabilities))
            return ours

        try:
            ours = await write_patiently(self._store, step, self._policy)
        except Unreachable as lost:
            log.warning("reconcile.not_settled", erp=self._erp.name, order=claimed.delivery.key, why=str(lost))
            return
        tell(self._erp.name, outcome, result, ours=ours)

    def _note(self, outcome: Outcome) -> None:
        self._patience.note(outcome)
        self._observe(outcome)
