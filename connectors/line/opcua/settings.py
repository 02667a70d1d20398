"""What an OPC UA line is told in andon.toml."""

from typing import Annotated, Literal

import msgspec
from msgspec.structs import replace

from connectors.files import FileName
from connectors.line.opcua.profiles import profiles
from connectors.line.opcua.wishes import EventWish, Group, TargetWish, wish_faults
from connectors.line.rules import faults as rule_faults
from connectors.line.shapes import ShapeTag
from connectors.line.table import all_tags
from connectors.line.tags import distinct
from connectors.opcua.address import parse
from connectors.opcua.secured import PLAIN, Endpoint, Reached
from gateway.core.ports import LineSource
from gateway.core.units import Duration

SAMPLE = """
[line.cell-a]
protocol = "opcua"
endpoint = "opc.tcp://127.0.0.1:4840"
insecure = true                 # policy "None": plain text, for a bench or a closed cell only
publish = "250ms"               # how often the server sends what changed
queue = 100                     # values that the server keeps per tag: outage to survive / sampling
heartbeat = "30s"               # a value that does not change is said again, marked as repeated
stale_after = "60s"             # without a publish or a keep-alive for so long, values are no news any more

[[line.cell-a.tag]]
asset = "M-07"
tag = "vibration"
kind = "waveform"
address = "nsu=urn:andon:line;s=M-07.vibration"
unit = "g"
rate_hz = 12800

[[line.cell-a.tag]]
asset = "M-07"
tag = "speed"
address = "nsu=urn:andon:line;s=M-07.speed"
unit = "rpm"
low = 0                         # outside low..high a value is bad, never clipped
high = 4000
deadband = 2                    # smaller moves are not sent
most_rate = 500                 # rpm per second: faster cannot be, and is bad
spike = 6                       # a single value so many deviations beside the median of the last 21 is bad
stuck = "10min"                 # a living signal that keeps one value for so long is uncertain
every = "100ms"                 # how often the server is asked to sample
missing = 0.2                   # with more than a fifth of the samples absent for a minute: uncertain
stale_after = "5s"              # this tag has to speak itself

[[line.cell-a.tag]]
asset = "M-07"
tag = "thermal"
kind = "frame"
address = "nsu=urn:andon:line;s=M-07.thermal"
unit = "degC"
encoding = "centikelvin"

[[line.cell-a.group]]
name = "slow"                   # a tag joins with group = "slow"
publish = "1s"
deadband = "1%"                 # of the node's EURange; a number is in the tag's unit

[[line.cell-a.tag]]
asset = "M-07"
tag = "load"
address = "nsu=urn:andon:line;s=M-07.load"
unit = "%"
group = "slow"

[[line.cell-a.event]]           # alarms and events become log lines of the asset
asset = "M-07"
severity_from = 400

[[line.cell-a.target]]          # nothing can be written that is not declared
name = "setpoint"
node = "nsu=urn:andon:line;s=M-07.setpoint"
type = "Double"
low = 0
high = 3000
"""


class Node(ShapeTag, frozen=True, kw_only=True):
    """A tag at an OPC UA node; `address` is `nsu=<namespace uri>;s=<id>` (or i=, g=, b=).

    `group` names the tag group that says how it is asked for; none means as the line says.
    """

    group: str = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        parse(self.address)


class Settings(Reached, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One OPC UA server.

    Secured by default, see `Secured`. `tags` names a CSV table beside the `tag` list. `profile` says what
    kind of server it is where the server does not say it itself (see profiles.toml). `heartbeat` says every
    tag's last value again that was not sent for so long; a keep-alive confirms the values of the whole
    line, so that `stale_after` here is about the link, and on a tag about that tag's own values.

    `survive` is how long an outage may last without a gap. What was missed all the same is read from the
    server's history (`on_gap`), at most `history_span` back and `history_most` values a tag. `endpoints` are
    further servers of a redundant set, in the order in which they are tried when `endpoint` is lost; when
    `endpoint` has been well again for `go_back` at a stretch it is listened to again ("0s": never).
    """

    publish: Duration = Duration(0.25)
    sampling: Duration = Duration(0)
    queue: Annotated[int, msgspec.Meta(ge=2, le=100_000)] = 100
    waveform_queue: Annotated[int, msgspec.Meta(ge=2, le=10_000)] = 10
    in_flight: Annotated[int, msgspec.Meta(ge=1, le=32)] = 4
    keep_alive: Duration = Duration(5)
    survive: Duration = Duration(60)
    on_gap: Literal["history_then_mark", "mark"] = "history_then_mark"
    history_span: Duration = Duration(86_400)
    history_most: Annotated[int, msgspec.Meta(ge=1, le=10_000_000)] = 100_000
    endpoints: tuple[Endpoint, ...] = ()
    go_back: Duration = Duration(600)
    retry: Duration = Duration(5)
    heartbeat: Duration | None = None
    stale_after: Duration | None = None
    tags: FileName | None = None
    tag: tuple[Node, ...] = ()
    group: tuple[Group, ...] = ()
    event: tuple[EventWish, ...] = ()
    target: tuple[TargetWish, ...] = ()
    profile: str = ""

    def __post_init__(self) -> None:
        faults = [*self.unsafe(), *self._wrong(self.tag)]
        if not self.tag and self.tags is None and not self.event:
            faults.append('no tags: add [[line.<name>.tag]] or tags = "table.csv"')
        if not 0.01 <= self.publish <= 60:  # noqa: PLR2004 (10 ms to a minute)
            faults.append("publish must be between 10ms and 1min")
        faults += [
            f"{name} must be longer than 0s" for name in ("keep_alive", "timeout", "retry") if getattr(self, name) <= 0
        ]
        ages = {"heartbeat": self.heartbeat, "stale_after": self.stale_after}
        faults += [f"{name} must be at least 1s" for name, age in ages.items() if age is not None and age < 1]
        if faults:
            raise ValueError("; ".join(faults))

    def _wrong(self, tags: tuple[Node, ...]) -> list[str]:
        return [*distinct(tags), *self._unmatched(tags), *rule_faults(tags)]

    def _unmatched(self, tags: tuple[Node, ...]) -> list[str]:
        wanted = [tag.group for tag in tags if tag.group]
        faults = wish_faults(self.group, wanted, self.event, self.target)
        known = sorted(profile.name for profile in profiles())
        if self.profile and self.profile not in known:
            faults.append(f"no profile {self.profile!r}; known: {', '.join(known)}")
        return faults

    @property
    def session_s(self) -> float:
        """For how many seconds the server is asked to keep the session: as long as an outage may last."""
        return max(20.0, self.survive, self.keep_alive * 4)

    def every_tag(self) -> tuple[Node, ...]:
        """The tags of the file and of the table. Raises `Misconfigured` with every fault of the table."""
        every = all_tags(self.name, self.tag, self.tags, Node, self._wrong)
        if self.heartbeat is None:
            return every
        return tuple(replace(tag, heartbeat=tag.heartbeat or self.heartbeat) for tag in every)

    def open(self) -> LineSource:
        """Make the source; it connects when its first batch is asked for. Raises `Misconfigured`."""
        from connectors.line.opcua.source import OpcUa  # noqa: PLC0415 (asyncua is heavy: only where it is used)

        for secret in self.secrets():
            secret.reveal()
        if self.security != PLAIN:
            from connectors.opcua.pki import check_uri, papers_of  # noqa: PLC0415 (cryptography is heavy too)

            papers = papers_of(self)
            check_uri(papers, self.application_uri)
            return OpcUa(self, self.every_tag(), own_ends=papers.ends)
        return OpcUa(self, self.every_tag())
