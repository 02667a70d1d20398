"""Production orders to the line: SENDING is on disk before anything is written; doubt is read back, never resent."""

import asyncio
import contextlib
from collections.abc import Callable
from datetime import datetime, timedelta

import structlog
from msgspec.structs import replace
from tenacity import wait_random_exponential

from gateway.core.delivery import Delivered, Outcome, ProductionOrder, Rejected, Throttled, Uncertain, Unsent
from gateway.core.errors import Misconfigured, Refused, Unreachable
from gateway.core.plural import plural
from gateway.core.ports import Clock, Store, Tx
from gateway.core.production import Handover, HandoverState, JobState, StoredProduction
from gateway.flow import aside
from gateway.flow.ages import Ages
from gateway.flow.deliver import GOODBYE_S, Observe, unobserved
from gateway.flow.handing import MARK, Hand, Seen, job_of
from gateway.flow.patience import LONGEST, backoff
from gateway.flow.settle import Policy
from gateway.flow.written import write_patiently

log: structlog.stdlib.BoundLogger = structlog.get_logger()

FOLLOWED = 100
"""So many jobs are asked about in one go."""
_LONGEST_REASON = 500
_SKEW = timedelta(minutes=1)


class Producer:
    """Hands production orders to one receiver of the line, one after the other, the oldest first.

    An order that surely had no effect waits and is handed over again; what may have had one is UNCERTAIN, holds the
    lane, and is read back: taken, not taken, or for a person to look at. What the line does not show any more after
    `remembers` may have been made and cleared: that is for a person, too. Accepted orders are followed until the line
    says that their job is over. `run` goes on until it is cancelled; `wake` is set by whoever committed an order.
    """

    def __init__(
        self,
        store: Store,
        hand: Hand,
        now: Clock,
        wake: asyncio.Event,
        policy: Policy,
        follow: timedelta,
        remembers: timedelta,
        observe: Observe = unobserved,
        ages: Ages | None = None,
    ) -> None:
        self._ages = Ages(now) if ages is None else ages
        self._store, self._hand, self._now, self._wake = store, hand, now, wake
        self._policy, self._follow, self._remembers, self._observe = policy, follow, remembers, observe
        self._failures = 0

    async def run(self) -> None:
        """Hand over until cancelled."""
        while True:
            # Clear before the claim: an order committed during it must not be slept over.
            self._wake.clear()
            worked = False
            try:
                worked = await self.step()
                await self.follow()
            except Unreachable as lost:
                log.warning("production.store_away", to=self._hand.name, why=str(lost))
            if not worked:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self._policy.poll.total_seconds()):
                        await self._wake.wait()

    async def step(self) -> bool:
        """Hand over, or look into, the one order that is due; False when none is."""
        now, lease = self._ages.look(), self._hand.deadline + self._policy.margin
        claimed = await self._store.write(lambda tx: _claimed(tx, self._hand.name, now, lease))
        if claimed is None or claimed.handover is None:
            return False
        one = claimed.handover
        # As long as nobody knows better: a stop must not turn what the line has answered into doubt.
        become = self._changed(one, HandoverState.UNCERTAIN, "the gateway was stopped while it was handed over")
        try:
            if one.state is HandoverState.SENDING:
                outcome = await self._give(claimed.order)
                self._observe(outcome)
                become = self._given(one, outcome)
            else:
                become = self._found(one, await self._look(claimed.order))
            await self._settle(one, become)
        except asyncio.CancelledError:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(GOODBYE_S):
                    await self._settle(one, become)
            raise
        return True

    async def follow(self) -> None:
        """Ask the line how the jobs stand that it has."""
        if not self._hand.follows:
            return
        now, to = self._now(), self._hand.name
        followed = await self._store.read(lambda tx: tx.followed_productions(to, now - self._follow, FOLLOWED))
        for stored in followed:
            try:
                async with asyncio.timeout(self._hand.deadline.total_seconds()):
                    job = await self._hand.job(stored.order.order_id)
            except (Unreachable, TimeoutError) as lost:
                log.info("production.not_followed", to=to, order=stored.order.order_id, why=str(lost))
                return
            except Refused as no:
                log.info("production.not_followed", to=to, order=stored.order.order_id, why=str(no))
                job = ""
            except Misconfigured:
                raise
            except Exception as bug:  # noqa: BLE001  (against its contract; one order must not stop all the others)
                log.warning("production.hand_failed", to=to, order=stored.order.order_id, **aside.told(bug))
                job = ""
            await self._store.write(_heard(stored.order.order_id, job, self._now()))

    async def _give(self, order: ProductionOrder) -> Outcome:
        try:
            async with asyncio.timeout(self._hand.deadline.total_seconds()):
                return await self._hand.give(order)
        except TimeoutError:
            return Uncertain("no answer before the deadline")
        except Misconfigured:
            raise
        except Exception as bug:  # noqa: BLE001  (against its contract; one order must not stop all the others)
            log.warning("production.hand_failed", to=self._hand.name, **aside.told(bug))
            return Uncertain(f"handing it over failed ({type(bug).__name__})")

    async def _look(self, order: ProductionOrder) -> Seen | Unreachable:
        try:
            async with asyncio.timeout(self._hand.deadline.total_seconds()):
                return await self._hand.look(order)
        except TimeoutError:
            return Unreachable("no answer to the question")
        except Unreachable as lost:
            return lost
        except Refused as no:
            return Seen(taken=None, why=f"it cannot be looked up: {no}")
        except Misconfigured:
            raise
        except Exception as bug:  # noqa: BLE001  (against its contract; one order must not stop all the others)
            log.warning("production.hand_failed", to=self._hand.name, **aside.told(bug))
            return Unreachable(f"looking for it failed ({type(bug).__name__})")

    def _given(self, one: Handover, outcome: Outcome) -> Handover:
        """Say what an outcome makes of a handing over; one that surely had no effect does not count as an attempt."""
        match outcome:
            case Delivered(ref=ref):
                self._failures = 0
                return replace(self._changed(one, HandoverState.ACCEPTED, ""), job=job_of(ref))
            case Rejected(reason=reason):
                return self._changed(one, HandoverState.PARKED, reason)
            case Uncertain(cause=cause):
                # Attempts before the first that counts had no effect: what the line shows counts from this one.
                begun = replace(one, since=one.updated_at or one.since) if one.attempt == 1 else one
                return self._changed(begun, HandoverState.UNCERTAIN, cause, self._pause(one.attempt))
            case Unsent(cause=cause) | Throttled(cause=cause):
                self._failures += 1
                fresh = replace(one, attempt=max(0, one.attempt - 1))
                if self._too_old(one):
                    return self._changed(fresh, HandoverState.PARKED, f"given up: {cause}")
                asked = outcome.after if isinstance(outcome, Throttled) else None
                wait = min(asked or self._pause(self._failures), LONGEST)
                return self._changed(fresh, HandoverState.WAITING, cause, wait)
        raise TypeError(outcome)

    def _found(self, one: Handover, seen: Seen | Unreachable) -> Handover:
        """Say what a look makes of a doubt. What was not taken is handed over again, so often at most."""
        if isinstance(seen, Unreachable):
            self._failures += 1
            if self._too_old(one):
                why = f"nobody knows whether the line has it, and it does not answer: {seen}"
                return self._changed(one, HandoverState.PARKED, why)
            return self._changed(one, HandoverState.UNCERTAIN, one.reason or str(seen), self._pause(self._failures))
        self._failures = 0
        if seen.taken:
            return replace(self._changed(one, HandoverState.ACCEPTED, ""), job=seen.job)
        if seen.taken is None:
            why = f"nobody knows whether the line has it ({seen.why}): look at it before you hand it over again"
            return self._changed(one, HandoverState.PARKED, why)
        # A time that has yet to come was written by a clock that was ahead: nobody knows how long ago that was.
        if one.since is not None and not -_SKEW <= self._ages.at_most(one.since) <= self._remembers:
            why = "the line does not show it, but it may have been made and cleared in the meantime"
            return self._changed(one, HandoverState.PARKED, why)
        if one.attempt >= self._policy.doubts:
            return self._changed(
                one, HandoverState.PARKED, f"handed over {plural(one.attempt, 'time')} and never taken"
            )
        # Nothing of it is there: what the line shows counts from the next attempt on.
        return self._changed(replace(one, since=None), HandoverState.WAITING, f"it did not arrive: {one.reason}")

    def _changed(self, one: Handover, state: HandoverState, reason: str, wait: timedelta = timedelta(0)) -> Handover:
        now = self._now()
        told = " ".join(reason.split())[:_LONGEST_REASON]
        return replace(one, state=state, reason=told, due_at=now + wait, lease_until=None, updated_at=now)

    def _too_old(self, one: Handover) -> bool:
        return one.since is not None and self._ages.at_least(one.since) > self._policy.give_up_after

    def _pause(self, attempt: int) -> timedelta:
        return backoff(wait_random_exponential(multiplier=0.5, max=self._policy.longest_wait.total_seconds()), attempt)

    async def _settle(self, claimed: Handover, settled: Handover) -> None:
        now = self._now()

        def step(tx: Tx) -> bool:
            if not tx.settle_production(claimed, settled):
                return False
            if settled.state is not HandoverState.UNCERTAIN:
                tx.forget(MARK + claimed.order_id)
            tx.note(f"production.{settled.state.lower()}", claimed.order_id, now, settled.reason or settled.to)
            if settled.job and tx.put_job(claimed.order_id, settled.job, now):
                tx.note(f"production.job.{settled.job.lower()}", claimed.order_id, now, settled.to)
            return True

        try:
            ours = await write_patiently(self._store, step, self._policy)
        except Unreachable as lost:
            log.error("production.not_settled", to=self._hand.name, order=claimed.order_id, why=str(lost))  # noqa: TRY400  no bug
            return
        if not ours:
            log.warning("production.lease_lost", to=self._hand.name, order=claimed.order_id)
        elif settled.state is HandoverState.PARKED:
            log.warning("production.parked", to=self._hand.name, order=claimed.order_id, why=settled.reason)


def _claimed(tx: Tx, to: str, now: datetime, lease: timedelta) -> StoredProduction | None:
    found = tx.claim_production(to, now, lease)
    if found is not None and found.handover is not None and found.handover.state is HandoverState.SENDING:
        tx.note("production.sending", found.order.order_id, now, to)
    return found


def _heard(order_id: str, job: JobState, at: datetime) -> Callable[[Tx], None]:
    def step(tx: Tx) -> None:
        tx.asked_production(order_id, at)
        if job and tx.put_job(order_id, job, at):
            tx.note(f"production.job.{job.lower()}", order_id, at)

    return step
