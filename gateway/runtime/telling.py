"""Telling: the jobs that send events, one per subscriber."""

from collections.abc import Callable, Mapping
from urllib.parse import quote

from gateway.core.event import Gone, Heard, Heeded
from gateway.core.ports import Clock, Store
from gateway.flow.publish import Publisher
from gateway.flow.tell import Teller
from gateway.runtime.settings import Settings
from gateway.runtime.telemetry import Telemetry

JOB = "publish."


def source_of(settings: Settings) -> str:
    """Give the CloudEvents source: as the settings say, or by the site's id."""
    return settings.events.source or f"urn:andon:{quote(settings.site.id, safe='')}"


class Telling:
    """Who is being told at the moment. Outlives a configuration: a subscriber that is not touched goes on."""

    def __init__(self, store: Store, telemetry: Telemetry, now: Clock) -> None:
        self._store, self._telemetry, self._now = store, telemetry, now
        self._running: dict[str, Publisher] = {}

    async def publish(self, name: str, settings: Settings) -> None:
        """Tell one subscriber of the settings until cancelled. Raises `Misconfigured`."""
        one = next(one for one in settings.events.to if one.name == name)
        sink = one.open(settings.events.allowed)
        try:
            teller = Teller(source_of(settings), one.types)
            self._running[name] = Publisher(self._store, sink, self._now, teller, observe=self._count(name))
            await self._running[name].run()
        finally:
            self._running.pop(name, None)
            await sink.close()

    def troubles(self) -> list[str]:
        """Say which subscribers are not told now, and why."""
        return [f"events.{name}: {one.why}" for name, one in sorted(self._running.items()) if one.why]

    def _count(self, name: str) -> Callable[[Heeded], None]:
        words: Mapping[type[Heeded], str] = {Heard: "taken", Gone: "gone"}
        return lambda heeded: self._telemetry.events.labels(name, words.get(type(heeded), "not_taken")).inc()


def jobs_of(settings: Settings) -> list[str]:
    """Name the jobs of all subscribers."""
    return [f"{JOB}{one.name}" for one in settings.events.to]
