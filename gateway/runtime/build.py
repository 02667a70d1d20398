"""Build: the jobs of one configuration and what they stand on; another one takes over what it does not touch."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from functools import partial

from gateway.core.delivery import Outcome
from gateway.core.errors import AndonError
from gateway.core.ports import ErpAdapter
from gateway.core.production import JobReceiver
from gateway.flow.checked import Checked
from gateway.flow.deliver import Deliverer
from gateway.flow.diagnose import Diagnosing
from gateway.flow.follow import Follower
from gateway.flow.patience import Patience
from gateway.flow.produce import Producer
from gateway.flow.reconcile import Reconciler
from gateway.flow.seen_right import SeenRight
from gateway.flow.single import single
from gateway.flow.words import Listening
from gateway.runtime import making
from gateway.runtime.hall import Hall
from gateway.runtime.line import Job, Line
from gateway.runtime.models import Models
from gateway.runtime.refresh import remember as remember_tokens
from gateway.runtime.settings import Settings
from gateway.runtime.telling import JOB, jobs_of

_CLOSE_S = 10.0
_VERIFY_S = 10.0


class Build:
    """One configuration's jobs and what they stand on.

    A job asks `current` for the build that it works for whenever it is run: one that is not touched goes on, and when
    its link breaks later it begins again with what counts then.
    """

    def __init__(
        self, settings: Settings, hall: Hall, line: Line, models: Models, current: "Callable[[], Build]"
    ) -> None:
        self.settings, self.models = settings, models
        self._hall, self._line, self._current = hall, line, current
        self.secret = making.secret_of(settings, hall.secret)
        self.desk = making.desk_of(settings, self.secret)
        self.erp: Checked | None = None
        self.patience: Patience | None = None
        self.receiver: JobReceiver | None = None
        self.diagnosing: Diagnosing | None = None
        self.listening: Listening | None = None

    def take_over(self, other: "Build", touched: set[str]) -> None:
        """Stand on what another build has opened, where that is not touched."""
        if "deliver" not in touched:
            self.erp, self.patience = other.erp, other.patience
        if "produce" not in touched:
            self.receiver = other.receiver
        if "diagnose" not in touched:
            self.diagnosing = other.diagnosing
        if "listen" not in touched:
            self.listening = other.listening

    def open(self) -> None:
        """Open what was not taken over. Raises `Misconfigured`."""
        if self.settings.the_erp is not None and self.erp is None:
            erp = self.settings.the_erp.open()
            remember_tokens(erp, self._hall.store)
            seen = SeenRight(self._hall.store, erp.name, self.settings.parts.get(f"erp.{erp.name}", ""))
            waits = self.settings.orders.verify == "wait"
            self.erp = Checked(single(erp), waits=waits, well=self._hall.deliver.set, seen=seen)
            longest = making.policy_of(self.settings).longest_wait
            self.patience = Patience(making.now, longest, self.erp.name, ages=self._hall.ages)
        if self.settings.production.receiver and self.receiver is None:
            self.receiver = making.receiver_of(self.settings)

    @property
    def jobs(self) -> dict[str, Job]:
        """The jobs by name."""
        jobs: dict[str, Job] = {f"line.{source.name}": self._line.job(source) for source in self.settings.sources}
        jobs["listen"] = lambda: self._current().listen()
        if self.settings.diagnosed:
            jobs["diagnose"] = lambda: self._current().diagnose()
        if self.erp is not None:
            jobs["deliver"] = lambda: self._current().deliver()
            jobs["reconcile"] = lambda: self._current().reconcile()
            jobs["follow"] = lambda: self._current().follow()
        if self.settings.production.to:
            jobs["produce"] = lambda: self._current().produce()
        for name in jobs_of(self.settings):
            jobs[name] = partial(self._publish, name.removeprefix(JOB))
        return jobs

    async def prepare(self, touched: set[str]) -> None:
        """Load the models that the touched jobs need. Raises `Misconfigured`."""
        if "diagnose" in touched and self.settings.diagnosed:
            await self.models.diagnoser()
        if "listen" in touched:
            await self.models.interpreter()

    async def ailing(self, touched: set[str]) -> list[str]:
        """Name what is not well yet, as "part: why"."""
        lines = [source.name for source in self.settings.sources if f"line.{source.name}" in touched]
        found = [f"line.{name}: {why}" for name in lines if (why := self._line.well(name))]
        if "deliver" in touched and self.erp is not None and not found:
            found += await _verified(self.erp)
        return found

    async def close(self, other: "Build") -> None:
        """Close what this build opened and the other one does not use."""
        if self.erp is not None and self.erp is not other.erp:
            with suppress(TimeoutError):
                async with asyncio.timeout(_CLOSE_S):
                    await self.erp.close()

        if self.receiver is not None and self.receiver is not other.receiver:
            with suppress(TimeoutError):
                async with asyncio.timeout(_CLOSE_S):
                    await self.receiver.close()

    async def diagnose(self) -> None:
        """Diagnose until cancelled."""
        hall, settings = self._hall, self.settings
        diagnoser = await self.models.diagnoser()
        cutter = partial(making.cutter_of, settings)
        book = making.book_of(settings, self.secret)
        self.diagnosing = Diagnosing(
            hall.store, diagnoser, book, cutter, hall.pool, making.now, hall.diagnose, hall.deliver.set, hall.judged
        )
        await self.diagnosing.run()

    async def listen(self) -> None:
        """Read reports until cancelled."""
        hall = self._hall
        interpreter = await self.models.interpreter()
        self.listening = Listening(
            hall.store, interpreter, self.desk, hall.pool, making.now, hall.read, hall.deliver.set, hall.understood
        )
        await self.listening.run()

    async def deliver(self) -> None:
        """Look at the ERP, and send orders, until cancelled."""
        if self.erp is not None and self.patience is not None:
            hall, policy = self._hall, making.policy_of(self.settings)
            deliverer = Deliverer(
                hall.store, self.erp, making.now, hall.deliver, policy, self.patience, self._tried(self.erp.name)
            )
            async with asyncio.TaskGroup() as jobs:
                jobs.create_task(self.erp.run(), name="verify")
                jobs.create_task(deliverer.run(), name="deliver")

    async def reconcile(self) -> None:
        """End the doubt about orders until cancelled; shares the circuit breaker with `deliver`."""
        if self.erp is not None and self.patience is not None:
            policy = making.policy_of(self.settings)
            await Reconciler(
                self._hall.store, self.erp, making.now, policy, self.patience, self._tried(self.erp.name)
            ).run()

    async def produce(self) -> None:
        """Hand production orders to the line until cancelled."""
        hall, line, settings = self._hall, self._line, self.settings
        hand = making.hand_of(settings, hall.store, line.equipment, self.receiver)
        if hand is not None:
            policy, follow = making.production_policy_of(settings), timedelta(seconds=settings.production.follow)
            remembers = timedelta(seconds=settings.production.remembers)
            tried = self._tried(hand.name)
            await Producer(
                hall.store, hand, making.now, hall.produce, policy, follow, remembers, tried, hall.ages
            ).run()

    async def follow(self) -> None:
        """Read orders back until cancelled; shares the circuit breaker with `deliver`."""
        if self.erp is not None and self.patience is not None:
            hall, pace = self._hall, making.pace_of(self.settings)
            codes = self.settings.orders.false_codes
            await Follower(hall.store, self.erp, making.now, hall.follow, pace, self.patience, codes).run()

    async def _publish(self, subscriber: str) -> None:
        """Send events to one subscriber until cancelled."""
        await self._hall.telling.publish(subscriber, self._current().settings)

    def _tried(self, erp: str) -> Callable[[Outcome], None]:
        def observe(outcome: Outcome) -> None:
            self._hall.telemetry.attempts.labels(erp, type(outcome).__name__).inc()

        return observe


async def _verified(erp: ErpAdapter) -> list[str]:
    try:
        async with asyncio.timeout(_VERIFY_S):
            return [f"erp.{erp.name}: {fault}" for fault in await erp.verify()]
    except TimeoutError:
        return [f"erp.{erp.name}: no answer within {_VERIFY_S:g} s"]
    except AndonError as lost:
        return [f"erp.{erp.name}: {lost}"]
