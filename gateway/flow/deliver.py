"""Outbox to ERP: SENDING is on disk before a byte leaves; what became of it is written with the claim of the next."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from functools import partial
from time import monotonic

import structlog

from gateway.core.delivery import Outcome, Uncertain, Unsent
from gateway.core.errors import Unreachable
from gateway.core.plural import plural
from gateway.core.ports import Claimed, Clock, ErpAdapter, Store, Tx
from gateway.flow.attempt import Attempt, Made
from gateway.flow.limit import Limit
from gateway.flow.patience import Patience
from gateway.flow.settle import Policy, lease_of, settled
from gateway.flow.written import keep, tell, write_patiently

log: structlog.stdlib.BoundLogger = structlog.get_logger()

Observe = Callable[[Outcome], None]
_LANES_IN_A_BATCH = 4
"""So many lanes share a request where one may carry several orders of each: the others fill other requests."""
GOODBYE_S = 5.0
"""Seconds that a stopping gateway has to write down what is in doubt."""


def unobserved(_: Outcome) -> None:
    """Observe nothing."""


class Deliverer:
    """Sends due orders to one ERP, one request at a time per lane, at most `policy.lanes` at once (see `Limit`).

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
        self._attempt = Attempt(erp, patience.ages)
        self._limit = Limit(policy.lanes)
        self._flying = 0
        self._sending: asyncio.TaskGroup | None = None  # while `run` goes on: who comes next goes out from here
        self._unbegun: dict[str, Claimed] = {}

    async def run(self) -> None:
        """Deliver until cancelled."""
        async with self._going_out() as sending:
            self._sending = sending
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
        async with self._going_out() as sending:
            return await self._start(sending)

    @contextlib.asynccontextmanager
    async def _going_out(self) -> AsyncIterator[asyncio.TaskGroup]:
        """Be there for requests until they are over. What was taken and never began is given back."""
        try:
            async with asyncio.TaskGroup() as sending:
                yield sending
        finally:
            self._sending = None
            never, self._unbegun = list(self._unbegun.values()), {}
            if never:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(GOODBYE_S):
                        await self._settle(never, [Unsent("the gateway was stopped before it was sent")] * len(never))

    async def _start(self, sending: asyncio.TaskGroup) -> int:
        claimed = await self._next(lambda room: self._store.write(lambda tx: self._due(tx, room)))
        self._launch(sending, claimed)
        return len(claimed)

    async def _next(self, take: Callable[[int], Coroutine[None, None, list[Claimed]]]) -> list[Claimed]:
        """Take what may leave now; room is kept for it until it is known how much that is."""
        most = 1 if self._erp.capabilities.lane == "connection" else self._limit.lanes
        room = self._patience.grant(most - self._flying)
        self._flying += room
        claimed: list[Claimed] = []
        try:
            claimed = await self._whole(take(room))
        finally:
            self._flying -= room
            if room and not claimed:
                self._patience.unused()
        return claimed

    async def _whole(self, take: Coroutine[None, None, list[Claimed]]) -> list[Claimed]:
        """Have a write that has begun come to its end, also when we are stopped: what it takes then never begins."""
        taking = asyncio.create_task(take)
        try:
            return await asyncio.shield(taking)
        except asyncio.CancelledError:
            with contextlib.suppress(TimeoutError, Unreachable):
                async with asyncio.timeout(GOODBYE_S):
                    self._hold(await taking)
            raise

    def _hold(self, claimed: Sequence[Claimed]) -> None:
        self._unbegun |= {one.delivery.key: one for one in claimed}

    def _launch(self, sending: asyncio.TaskGroup, claimed: Sequence[Claimed]) -> None:
        # A task that is cancelled before its first step never runs.
        self._hold(claimed)
        for batch in batches(claimed, self._erp.capabilities.batch):
            self._flying += 1
            sending.create_task(self._send(batch), name=f"deliver {batch[0].order.key}")

    def _due(self, tx: Tx, room: int) -> list[Claimed]:
        """End the leases that ran out, and take so many lanes of what is due."""
        now = self._now()
        if lost := tx.expire(now):
            told = f"{plural(lost, 'order is', 'orders are')} uncertain"
            tx.note("delivery.lease_expired", self._erp.name, now, told)
        return self._take(tx, room) if room else []

    def _take(self, tx: Tx, room: int) -> list[Claimed]:
        now, erp, promised = self._now(), self._erp.name, self._erp.capabilities
        lease = lease_of(promised, self._policy)
        depth = max(1, promised.batch // _LANES_IN_A_BATCH) if promised.ordered else 1
        lanes = promised.batch // depth
        claimed = tx.claim(erp, now, lease, room, depth)
        heads = {one.delivery.lane for one in claimed}
        if len(heads) < room or lanes == 1:
            return claimed
        # Each of these may need a request of its own; only new orders fill up those that there are.
        shared = {one.delivery.lane for one in claimed if _shares(one)}
        more = (room - len(heads - shared)) * lanes - len(shared)
        return claimed + (tx.claim(erp, now, lease, more, depth, new=True) if more > 0 else [])

    async def _send(self, batch: Sequence[Claimed]) -> None:
        for one in batch:
            del self._unbegun[one.delivery.key]
        # As long as nobody knows better: a stop must not turn what the ERP has answered into doubt.
        made: Sequence[Made] = [Uncertain("the gateway was stopped while it was sent")] * len(batch)
        try:
            made = await self._answered(batch)
        except asyncio.CancelledError:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(GOODBYE_S):
                    await self._settle(batch, made)
            raise
        if self._sending is None:
            await self._whole(self._settle(batch, made))
            return
        # One commit ends this request and takes the next: half the work of the disk for each order.
        following = await self._next(partial(self._settle, batch, made))
        self._launch(self._sending, following)
        if not following:
            self._wake.set()  # somebody else may have kept the room for what is due

    async def _answered(self, batch: Sequence[Claimed]) -> Sequence[Made]:
        try:
            began = monotonic()
            made = await self._attempt.of(batch)
            for one in made:
                if one is not None:
                    self._patience.note(one)
                    self._observe(one)
            self._limit.note(monotonic() - began, self._flying, made)
        finally:
            self._flying -= 1
        return made

    async def _settle(self, batch: Sequence[Claimed], made: Sequence[Made], room: int = 0) -> list[Claimed]:
        """Write down what became of a request, and take so many lanes of what is due now."""
        now, promised = self._now(), self._erp.capabilities
        held, ages = self._patience.left, self._patience.ages
        become = partial(settled, capabilities=promised, policy=self._policy, now=now, held=held, ages=ages)
        results = [become(claimed, one) for claimed, one in zip(batch, made, strict=True)]

        def step(tx: Tx) -> tuple[list[bool], list[Claimed]]:
            told = zip(batch, made, results, strict=True)
            kept = [keep(tx, claimed, one, result, self._erp, now) for claimed, one, result in told]
            return kept, self._take(tx, room) if room else []

        try:
            ours, following = await write_patiently(self._store, step, self._policy)
        except Unreachable as lost:
            for claimed in batch:
                log.error("delivery.not_settled", erp=self._erp.name, order=claimed.delivery.key, why=str(lost))  # noqa: TRY400  no bug
            return []
        except Exception:
            if room:  # what cannot be taken must not take back what the ERP has answered
                await self._settle(batch, made)
            raise
        for one, result, mine in zip(made, results, ours, strict=True):
            tell(self._erp.name, one, result, ours=mine)
        return following

    async def _rest(self) -> None:
        # No poll is needed to see the end of a pause, but a pause may end before the next poll.
        wait = min(self._patience.left or self._policy.poll, self._policy.poll)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(wait.total_seconds()):
                await self._wake.wait()


def batches(claimed: Sequence[Claimed], size: int) -> list[list[Claimed]]:
    """Put orders that go out for the first time together, those of one lane always in the same request.

    Everything else may need calls of its own. No lane may have more than `size` orders.
    """
    lanes: dict[str, list[Claimed]] = {}
    alone = []
    for one in claimed:
        if _shares(one):
            lanes.setdefault(one.delivery.lane, []).append(one)
        else:
            alone.append([one])
    together: list[list[Claimed]] = []
    for lane in lanes.values():
        if not together or len(together[-1]) + len(lane) > size:
            together.append([])
        together[-1] += lane
    return [*together, *alone]


def _shares(claimed: Claimed) -> bool:
    return claimed.delivery.task == "create" and claimed.delivery.attempt <= 1
