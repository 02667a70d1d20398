"""House: the gateway as its edges see it, and the build that runs in it."""

from collections.abc import Callable, Sequence
from functools import partial
from importlib.metadata import version

from gateway.flow.recall import remember
from gateway.flow.retain import Retention
from gateway.flow.takes_back import why_not
from gateway.flow.takeup import take_up
from gateway.runtime import making
from gateway.runtime.build import Build
from gateway.runtime.certificates import Certificates
from gateway.runtime.fullness import Fullness
from gateway.runtime.gateway import Gateway
from gateway.runtime.hall import Hall
from gateway.runtime.line import Job, Line
from gateway.runtime.models import Models
from gateway.runtime.settings import LineSettings, Settings


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
        known, can = ("", None) if build.erp is None else (build.erp.name, build.erp.capabilities)
        gateway.takes_nothing_back = partial(why_not, known=known, can=can)
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
