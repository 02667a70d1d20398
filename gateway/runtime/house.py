"""House: the jobs of a configuration and what they stand on; another one takes over what it does not touch."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from importlib.metadata import version
from time import monotonic

from gateway.core.batch import Batch, SourceGap
from gateway.core.delivery import Outcome
from gateway.core.diagnosis import Diagnosis
from gateway.core.errors import AndonError
from gateway.core.ports import ErpAdapter, Store
from gateway.core.production import JobReceiver
from gateway.core.report import Extraction
from gateway.flow.ages import Ages
from gateway.flow.checked import Checked
from gateway.flow.deliver import Deliverer
from gateway.flow.diagnose import Diagnosing
from gateway.flow.follow import Follower
from gateway.flow.live import Live
from gateway.flow.patience import Patience
from gateway.flow.produce import Producer
from gateway.flow.recall import remember
from gateway.flow.reconcile import Reconciler
from gateway.flow.retain import Retention
from gateway.flow.single import single
from gateway.flow.takeup import take_up
from gateway.flow.words import Listening
from gateway.runtime import making
from gateway.runtime.certificates import Certificates
from gateway.runtime.fullness import Fullness
from gateway.runtime.gateway import Gateway
from gateway.runtime.line import Job, Line
from gateway.runtime.models import Models
from gateway.runtime.refresh import remember as remember_tokens
from gateway.runtime.settings import LineSettings, Settings
from gateway.runtime.telemetry import Telemetry
from gateway.runtime.telling import JOB, Telling, jobs_of

_CLOSE_S = 10.0
_VERIFY_S = 10.0


@dataclass(slots=True)
class Hall:
    """What every configuration of a gateway shares, from its start to its end."""

    store: Store
    pool: Executor
    secret: bytes
    stopping: asyncio.Event
    live: Live = field(default_factory=Live)
    telemetry: Telemetry = field(default_factory=Telemetry)
    deliver: asyncio.Event = field(default_factory=asyncio.Event)
    read: asyncio.Event = field(default_factory=asyncio.Event)
    diagnose: asyncio.Event = field(default_factory=asyncio.Event)
    produce: asyncio.Event = field(default_factory=asyncio.Event)
    follow: asyncio.Event = field(default_factory=asyncio.Event)

    ages: Ages = field(default_factory=lambda: Ages(making.now, monotonic))
    telling: Telling = field(init=False)

    def __post_init__(self) -> None:
        self.telling = Telling(self.store, self.telemetry, making.now)

    def heard(self, batch: Batch) -> None:
        """Tell everybody of a batch that was committed."""
        self.live.note(batch)
        self.telemetry.readings.labels(batch.source).inc(batch.count)
        for gap in batch.gaps:
            self.telemetry.gaps.labels(batch.source, gap.filled or "nothing").inc(_seconds(gap))
        self.diagnose.set()

    def judged(self, seen: Diagnosis, took_s: float) -> None:
        """Tell everybody of a diagnosis."""
        self.live.note_diagnosis(seen)
        self.telemetry.decision.observe(took_s)
        self.telemetry.windows.inc()
        self.telemetry.diagnoses.labels(str(seen.fault or "unknown")).inc()

    def understood(self, told: Extraction) -> None:
        """Count a report that was read."""
        self.telemetry.routes.labels(told.route).inc()


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
            self.erp = Checked(single(erp), waits=self.settings.orders.verify == "wait", well=self._hall.deliver.set)
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


class House:
    """The gateway as its edges see it, and the build that runs."""

    def __init__(self, settings: Settings, hall: Hall) -> None:
        self._hall = hall
        self.line = Line(settings.sources, hall.store, hall.heard)
        self._fullness = Fullness(hall.store, hall.telemetry)
        self._retention = Retention(hall.store, making.bounds_of(settings), making.now, self._fullness.note)
        self._certificates = Certificates(self.line.equipment.sources, making.now)
        hall.telemetry.registry.register(self._certificates)
        models = Models(settings, hall.pool, making.open_diagnoser, making.open_interpreter)
        self.build = Build(settings, hall, self.line, models, lambda: self.build)
        self.build.open()
        self.more_troubles: Callable[[], Sequence[str]] = tuple
        self.gateway = Gateway(
            plant=settings.plant,
            store=hall.store,
            live=hall.live,
            api=settings.api,
            now=making.now,
            confirm=self.build.desk.confirmed,
            telemetry=hall.telemetry,
            wake_words=hall.read.set,
            wake_delivery=hall.deliver.set,
            wake_production=hall.produce.set,
            wake_follow=hall.follow.set,
            sources=self.line.tags,
            equipment=self.line.equipment,
            troubles=self._troubles,
            held=lambda: self._fullness.held,
            version=version("andon-gateway"),
            stopping=hall.stopping,
        )
        self.show(self.build)

    def built(self, settings: Settings, touched: set[str]) -> Build:
        """Make a build that takes over what is not touched. Raises `Misconfigured`."""
        making.model_of(settings)
        models = self.build.models.of(settings, touched)
        build = Build(settings, self._hall, self.line, models, lambda: self.build)
        build.take_over(self.build, touched)
        build.open()
        return build

    def show(self, build: Build) -> None:
        """Let the edges, and the jobs that stay, see this build's plant, names and marks."""
        before, settings = self.build.settings, build.settings
        self.line.settle(settings.sources)
        for source in changed_sources(before, settings):
            self.line.forget(source)
            self._hall.live.forget(source)
        self.build = build
        if build.diagnosing is not None:
            build.diagnosing.take(making.book_of(settings, build.secret))
        if build.listening is not None:
            build.listening.take(build.desk)
        self._hall.store.bound(settings.store.marks())
        self._retention.bounds = making.bounds_of(settings)
        gateway = self.gateway
        gateway.plant, gateway.confirm = settings.plant, build.desk.confirmed
        gateway.produce_to, gateway.false_codes = settings.production.to, settings.orders.false_codes
        gateway.erp_signs = build.erp is None or build.erp.capabilities.feedback == "signed"
        gateway.config, gateway.parts, gateway.model = settings.digest, settings.parts, making.model_of(settings)
        self._hall.telemetry.set_config(settings.digest, settings.parts)

    @property
    def jobs(self) -> dict[str, Job]:
        """The jobs to begin with: those of the build, and those that keep the journal in bounds and last values."""
        return {
            **self.build.jobs,
            "retain": self._retention.run,
            "remember": partial(remember, self._hall.store, self._hall.live),
        }

    async def take_up(self) -> None:
        """Take up what the last gateway on this store left: before the jobs, and only when no other gateway runs."""
        await take_up(self._hall.store, self.build.erp, making.policy_of(self.build.settings), making.now)

    async def close(self) -> None:
        """Close what is open."""
        if self.build.receiver is not None:
            await self.build.receiver.close()
        if self.build.erp is not None:
            await self.build.erp.close()

    def _troubles(self) -> Sequence[str]:
        """Say why an ERP is being left alone, what ails the journal, which certificates end soon."""
        patience, erp = self.build.patience, self.build.erp
        wrong = [f"erp.{fault}" for fault in erp.faults] if erp is not None else []
        away = [f"erp.{erp.name}: {patience.why}"] if erp is not None and patience is not None and patience.why else []
        return (
            *(wrong or away),
            *self._fullness.troubles(),
            *self._certificates.warnings(),
            *self._hall.telling.troubles(),
            *self.more_troubles(),
        )


def changed_sources(before: Settings, after: Settings) -> list[str]:
    """Name the sources that are in both settings and differ."""
    parts = {f"line.{source.name}": source for source in after.sources}
    return [
        _name(source) for part, source in parts.items() if before.parts.get(part) not in {None, after.parts.get(part)}
    ]


def _name(source: LineSettings) -> str:
    return source.name


async def _verified(erp: ErpAdapter) -> list[str]:
    try:
        async with asyncio.timeout(_VERIFY_S):
            return [f"erp.{erp.name}: {fault}" for fault in await erp.verify()]
    except TimeoutError:
        return [f"erp.{erp.name}: no answer within {_VERIFY_S:g} s"]
    except AndonError as lost:
        return [f"erp.{erp.name}: {lost}"]


def _seconds(gap: SourceGap) -> float:
    """Give the length of a gap in seconds; a clock that was set back makes none of less than nothing."""
    return max(0.0, (gap.end - gap.start).total_seconds())
