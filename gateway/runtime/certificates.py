"""When the certificates of the line end: ours and each server's, as numbers and as a warning in good time."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Protocol, runtime_checkable

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from gateway.core.ports import Clock, LineSource

SOON = timedelta(days=30)
_DAY = timedelta(days=1)
_WHOSE = {"own": "our certificate", "server": "the server's certificate", "user": "the user certificate"}


@runtime_checkable
class Expiring(Protocol):
    """A source that shows and is shown certificates.

    `expiries` has when each ends (aware UTC), by whose it is (`own`, `server`, `user`).
    """

    def expiries(self) -> Mapping[str, datetime]: ...  # noqa: D102


class Certificates(Collector):
    """The ends of the certificates of the open sources; what was once seen of a server that is away stays known."""

    def __init__(self, sources: Mapping[str, LineSource], now: Clock) -> None:
        self._sources, self._now = sources, now
        self._seen: dict[tuple[str, str], datetime] = {}

    def ends(self) -> dict[tuple[str, str], datetime]:
        """Give when each ends, by source and whose."""
        for name, source in self._sources.items():
            if isinstance(source, Expiring):
                self._seen |= {(name, whose): ends for whose, ends in source.expiries().items()}
        return {key: ends for key, ends in self._seen.items() if key[0] in self._sources}

    def warnings(self) -> list[str]:
        """Name those that end within 30 days, each as "line.<source>: …"."""
        return [
            f"line.{name}: {_WHOSE.get(whose, whose)} {_when(ends, self._now())}"
            for (name, whose), ends in self.ends().items()
            if ends - self._now() < SOON
        ]

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Give the days that are left, for Prometheus; below 0 a certificate has ended."""
        family = GaugeMetricFamily(
            "andon_certificate_days_left", "Days until a certificate of the line ends.", labels=["source", "whose"]
        )
        for (name, whose), ends in self.ends().items():
            family.add_metric([name, whose], (ends - self._now()) / _DAY)
        yield family

    def describe(self) -> Iterable[GaugeMetricFamily]:
        """Nothing is known before it is asked."""
        return []


def _when(ends: datetime, now: datetime) -> str:
    days = (ends - now) / _DAY
    told = f"ended on {ends:%Y-%m-%d}" if days < 0 else f"ends on {ends:%Y-%m-%d}, in {days:.0f} days"
    return f"{told}: andon cert doctor"
