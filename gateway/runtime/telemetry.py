"""Telemetry: the numbers that /metrics shows. No name of a person, no secret, few labels."""

from collections.abc import Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from gateway.core.ports import Held

MEDIA_TYPE = CONTENT_TYPE_LATEST
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class Telemetry:
    """All counters of one gateway, in a registry of their own: two gateways in one process do not mix."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.readings = Counter(
            "andon_readings", "Values committed to the journal.", ["source"], registry=self.registry
        )
        self.gaps = Counter(
            "andon_gap_seconds", "Seconds of gaps, longest tag, by what filled them.", ["source", "filled"],
            registry=self.registry,
        )  # fmt: skip
        self.data_age = Gauge("andon_data_age_seconds", "Age of the newest value.", ["source"], registry=self.registry)
        self.tags = Gauge(
            "andon_tags", "Tags, nodes, registers and links, by state.", ["source", "state"], registry=self.registry
        )
        self.findings = Gauge(
            "andon_rule_findings", "What the rules of a source's tags found since it was opened.", ["source", "rule"],
            registry=self.registry,
        )  # fmt: skip
        self.clock_offset = Gauge(
            "andon_clock_offset_seconds", "What is added to a source's time stamps.", ["source"], registry=self.registry
        )
        self.windows = Counter("andon_windows", "Windows cut.", registry=self.registry)
        self.diagnoses = Counter("andon_diagnoses", "Windows diagnosed.", ["fault"], registry=self.registry)
        self.reports = Counter("andon_reports", "Reports committed.", ["channel"], registry=self.registry)
        self.routes = Counter("andon_report_routes", "Reports read, by route.", ["route"], registry=self.registry)
        self.attempts = Counter(
            "andon_delivery_attempts", "Orders sent or tried, by outcome.", ["erp", "outcome"], registry=self.registry
        )
        self.events = Counter(
            "andon_events", "Events sent, by what became of each try.", ["subscriber", "outcome"],
            registry=self.registry,
        )  # fmt: skip
        self.events_queue = Gauge(
            "andon_events_queue", "Events on their way out, by state.", ["subscriber", "state"], registry=self.registry
        )
        self.requests = Counter(
            "andon_http_requests", "HTTP answers, by route.", ["method", "route", "status"], registry=self.registry
        )
        self.restarts = Counter("andon_restarts", "Parts started again.", ["part"], registry=self.registry)
        self.orders = Gauge(
            "andon_orders", "Orders in the store, by delivery state.", ["state"], registry=self.registry
        )
        self.stored = Gauge("andon_stored", "Rows in the store.", ["kind"], registry=self.registry)
        self.journal_bytes = Gauge(
            "andon_journal_bytes", "What the journal weighs against its budget.", registry=self.registry
        )
        self.journal = Gauge(
            "andon_journal_values", "Values held; thinned, dropped since ever.", ["what"], registry=self.registry
        )
        self.journal_batches = Gauge(
            "andon_journal_batches",
            "Batches refused since the start, set aside ever.",
            ["what"],
            registry=self.registry,
        )
        self.config = Gauge(
            "andon_config_info", "The configuration that is live, by part.", ["part", "digest"], registry=self.registry
        )
        self.streams = Gauge("andon_streams", "Open live streams.", registry=self.registry)
        self.decision = Histogram(
            "andon_decision_seconds", "Complete window to committed order.", buckets=_SECONDS, registry=self.registry
        )

    def set_orders(self, states: Mapping[str, int]) -> None:
        """Say how many orders stand in each delivery state."""
        for state, count in states.items():
            self.orders.labels(state).set(count)

    def set_events(self, counts: Mapping[tuple[str, str], int]) -> None:
        """Say how many events wait for each subscriber, and how many are parked."""
        self.events_queue.clear()
        for (subscriber, state), count in counts.items():
            self.events_queue.labels(subscriber, state).set(count)

    def set_config(self, digest: str, parts: Mapping[str, str]) -> None:
        """Say which configuration is live: the digest of all of it and of each part."""
        self.config.clear()
        for part, named in {"all": digest, **parts}.items():
            self.config.labels(part, named).set(1)

    def set_held(self, held: Held, refused: int) -> None:
        """Say what the journal holds, what was taken from it, and how many batches did not get in."""
        self.journal_bytes.set(held.size)
        for what, values in (("held", held.values), ("thinned", held.thinned), ("dropped", held.dropped)):
            self.journal.labels(what).set(values)
        self.journal_batches.labels("refused").set(refused)
        self.journal_batches.labels("aside").set(held.aside)

    def text(self) -> bytes:
        """Give everything in the Prometheus text format (`MEDIA_TYPE`)."""
        return generate_latest(self.registry)
