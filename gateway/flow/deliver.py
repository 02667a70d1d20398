"""Outbox to ERP: SENDING is on disk before a byte leaves, and what became of it right after."""

import asyncio
import contextlib
from collections.abc import Callable, Sequence

import structlog
from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_delay, wait_random_exponential

from gateway.core.delivery import Delivered, Idempotency, Outcome, Uncertain
from gateway.core.errors import Unreachable
from gateway.core.ports import Claimed, Clock, ErpAdapter, Store, Tx
from gateway.flow.attempt import Attempt, Made
from gateway.flow.patience import Patience
from gateway.flow.settle import Policy, Settled, asks, settled, write
from gateway.flow.sweep import watch

log: structlog.stdlib.BoundLogger = structlog.get_logger()

Observe = Callable[[Outcome], None]
_LOUD = {
    "order.parked": "delivery.parked",
    "order.not_amended": "delivery.not_amended",
    "order.not_withdrawn": "delivery.not_withdrawn",
}
GOODBYE_S = 5.0
"""Seconds that a stopping gateway has to write down what is in doubt."""


def unobserved(_: Outcome) -> None:
    """Observe nothing."""


class Deliverer:
    """Sends due orders to one ERP, one at a time per lane, `policy.lanes` at once.

    `run` goes on until it is cancelled; what was in flight then is UNCERTAIN and never simply sent
    again. A store that is away or full is asked again; an outcome that could not be written down ends
    as a lease that ran out, which is UNCERTAIN too. `wake` is set by whoever committed an order.
    """

    def __init__(
        self,
        store: Store,
        erp: ErpAdapter,
        now: Clock,
        wake: asyncio.Event,
        policy: Policy,
        patience: Patience,
        observe: Observe = unobserved,
    ) -> None:
        self._store, self._erp, self._now, self._wake = store, erp, now, wake
        self._policy, self._patience, self._observe = policy, patience, observe
        self._attempt = Attempt(erp, now)
        self._flying = 0

    async def run(self) -> None:
        """Deliver until cancelled."""
        async with asyncio.TaskGroup() as sending:
            while True:
                # Clear before the claim: an order committed during it must not be slept over.
                self._wake.clear()
                try:
                    started = await self._start(sending)
                except Unreachable as lost:
                    log.warning("delivery.store_away", erp=self._erp.name, why=str(lost))
                    started = 0
                if not started:
                    await self._rest()

    async def step(self) -> int:
        """Claim what is due and send it; gives how many orders were tried. For tests and one-off runs."""
        async with asyncio.TaskGroup() as sending:
            return await self._start(sending)

    async def _start(self, sending: asyncio.TaskGroup) -> int:
        lanes = 1 if self._erp.capabilities.lane == "connection" else self._policy.lanes
        room = self._patience.grant(lanes - self._flying)
        claimed = await self._store.write(self._claim(room))
        if room and not claimed:
            self._patience.unused()
        for batch in _batches(claimed, self._erp.capabilities.batch):
            self._flying += len(batch)
            sending.create_task(self._send(batch), name=f"deliver {batch[0].order.key}")
        return len(claimed)

    def _claim(self, room: int) -> Callable[[Tx], list[Claimed]]:
        now, promised = self._now(), self._erp.capabilities
        lease = 2 * promised.deadline + self._policy.margin  # a look-up may come first
        if asks(promised):
            # What a crash left behind may be looked up as soon as its lease has ended.
            lease += promised.settle

        def step(tx: Tx) -> list[Claimed]:
            lost = tx.expire(now)
            if lost:
                tx.note("delivery.lease_expired", self._erp.name, now, f"{lost} orders are uncertain")
            return tx.claim(self._erp.name, now, lease, room) if room else []

        return step

    async def _send(self, batch: Sequence[Claimed]) -> None:
        try:
            made = await self._attempt.of(batch)
            for claimed, one in zip(batch, made, strict=True):
                if one is not None:
                    self._patience.note(one)
                    self._observe(one)
                await self._settle(claimed, one)
        except asyncio.CancelledError:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(GOODBYE_S):
                    for claimed in batch:
                        await self._settle(claimed, Uncertain("the gateway was stopped while it was sent"))
            raise
        finally:
            self._flying -= len(batch)
            self._wake.set()

    async def _settle(self, claimed: Claimed, made: Made) -> None:
        now = self._now()
        result = settled(
            claimed,
            made,
            capabilities=self._erp.capabilities,
            policy=self._policy,
            now=now,
            held=self._patience.left,
        )
        resent = claimed.delivery.attempt > 1 and self._erp.capabilities.idempotency is Idempotency.LOOKUP
        ghosts = resent and claimed.delivery.task == "create" and (made is None or isinstance(made, Delivered))

        def step(tx: Tx) -> bool:
            if not write(tx, claimed, result, now):
                return False
            if ghosts:
                watch(tx, self._erp.name, claimed.delivery.key, now, self._erp.capabilities.settle)
            return True

        try:
            ours = await write_patiently(self._store, step, self._policy)
        except Unreachable as lost:
            log.error("delivery.not_settled", erp=self._erp.name, order=claimed.delivery.key, why=str(lost))  # noqa: TRY400  no bug
            return
        tell(self._erp.name, made, result, ours=ours)

    async def _rest(self) -> None:
        # No poll is needed to see the end of a pause, but a pause may end before the next poll.
        wait = min(self._patience.left or self._policy.poll, self._policy.poll)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(wait.total_seconds()):
                await self._wake.wait()


async def write_patiently(store: Store, step: Callable[[Tx], bool], policy: Policy) -> bool:
    """Write a result; a store that is away or full is asked again until the lease is nearly over.

    Raises `Unreachable` then.
    """
    trying = AsyncRetrying(
        retry=retry_if_exception_type(Unreachable),
        wait=wait_random_exponential(multiplier=0.1, max=5),
        stop=stop_after_delay(policy.margin.total_seconds()),
        reraise=True,
    )
    return bool(await trying(store.write, step))


def _batches(claimed: Sequence[Claimed], size: int) -> list[Sequence[Claimed]]:
    """Put orders that go out for the first time together; everything else may need calls of its own."""
    new, alone = list[Claimed](), list[Sequence[Claimed]]()
    for one in claimed:
        if one.delivery.task == "create" and one.delivery.attempt <= 1:
            new.append(one)
        else:
            alone.append([one])
    return [*(new[at : at + size] for at in range(0, len(new), size)), *alone]


def tell(erp: str, made: Made, result: Settled, *, ours: bool) -> None:
    """Log what an operator must know; a delivered order is silent."""
    key = result.delivery.key
    if not ours:
        log.warning("delivery.lease_lost", erp=erp, order=key, outcome=type(made).__name__)
    elif result.event in _LOUD:
        log.warning(_LOUD[result.event], erp=erp, order=key, why=result.detail)
    elif made is not None and not isinstance(made, Delivered):
        log.info("delivery.later", erp=erp, order=key, state=str(result.delivery.state), why=result.detail)
