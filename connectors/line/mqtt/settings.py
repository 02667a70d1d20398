"""What an MQTT line is told in andon.toml."""

import re
from typing import Annotated, Literal

import msgspec

from connectors.files import FileName
from connectors.line.mqtt.address import Address, parse, steps
from connectors.line.rules import faults as rule_faults
from connectors.line.shapes import ShapeTag
from connectors.line.table import all_tags
from connectors.line.tags import distinct
from gateway.core.reading import Name
from gateway.core.secret import SecretRef
from gateway.core.units import Duration, Size

SAMPLE = """
[line.cell-b]
protocol = "mqtt"
endpoint = "mqtts://broker.plant.example:8883"
ca = "/etc/andon/pki/broker-ca.pem"
user = { name = "andon", password = { env = "MQTT_PASSWORD" } }
client_id = "andon-cell-b"      # the broker keeps what came while we were away under this name
keep = "24h"                    # for so long
rebirth = true                  # may ask Sparkplug nodes to say again what they are (a write)

[[line.cell-b.tag]]
asset = "{2}"                   # the third level of the topic
tag = "temperature"
address = "plant/cell-b/+/temp#value"
unit = "degC"
low = -40
high = 200
time = "ts"
time_unit = "ms"
stale_after = "30s"

[[line.cell-b.tag]]
asset = "M-07"
tag = "speed"
address = "sparkplug:Plant/edge-1/press-07#Spindle/Speed"
unit = "rpm"
"""

_ENDPOINT = re.compile(r"(mqtts?)://(\[[0-9a-fA-F:.]+\]|[^@\s:/\[\]]+)(?::(\d{1,5}))?/?")
_PORTS = {"mqtt": 1883, "mqtts": 8883}
_MOST_PORT = 65535


class Topic(ShapeTag, frozen=True, kw_only=True):
    """A tag at an MQTT topic, or at a Sparkplug metric.

    `address` is `topic#path`: a topic filter (`+`, `#` taken) and a dotted path or JSON pointer into its
    JSON; without a path the payload itself is the value: a number, true or false, else text. `type` declares what it
    must be; what does not fit is BAD, never coerced. Of Sparkplug it is `sparkplug:group/node/device#metric`.
    `asset` and `tag` may hold topic levels: `{2}` is the third (of Sparkplug also `{group}`, `{node}`,
    `{device}`, `{metric}`). `time` leads to the value's own time in the JSON, written as `time_unit` says.
    `rate` leads to a waveform's rate in Hz. A kind `line` is taken as a log line.
    """

    kind: Literal["value", "waveform", "frame", "line"] = "value"  # type: ignore[assignment]  # wider, but only read
    type: Literal["", "number", "text", "bool"] = ""
    time: str = ""
    time_unit: Literal["iso", "s", "ms", "us", "ns"] = "iso"
    rate: str = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        parse(self.address)
        steps(self.time)
        steps(self.rate)

    @property
    def place(self) -> Address:
        """The address, read."""
        return parse(self.address)


class User(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """User name and password; the password is named, not held."""

    name: Name
    password: SecretRef


class Broker(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One MQTT broker.

    `mqtts://` verifies the broker against `ca` (else the machine's own list) and shows `certificate` and
    `key` when they are given; a password over plain `mqtt://` needs `insecure = true`. `client_id` names our
    session: with QoS 1 the broker keeps for `keep` what comes while we are away. `in_flight` bounds the
    messages that wait for our acknowledgement, which is sent after the commit; `waiting` bounds the bytes
    that wait for a commit, then nothing more is read; a message larger than `largest` is not
    delivered by the broker. QoS 2 is not offered: it would be confirmed before it is stored.
    `assets` maps names from topics to assets; with it, a name that it does not hold is refused.
    `rebirth` lets us ask Sparkplug nodes for their births; `reorder` is how long a missing message is
    waited for. `host_id` makes us a Sparkplug primary host (its STATE is published: a write).
    """

    name: Name
    endpoint: Annotated[str, msgspec.Meta(max_length=512)]
    client_id: Annotated[str, msgspec.Meta(max_length=256)] = ""
    version: Literal["5", "3.1.1"] = "5"
    insecure: bool = False
    ca: FileName | None = None
    certificate: FileName | None = None
    key: FileName | None = None
    user: User | None = None
    qos: Literal[0, 1] = 1
    keep: Duration = Duration(24 * 3600)
    keep_alive: Duration = Duration(15)
    timeout: Duration = Duration(10)
    in_flight: Annotated[int, msgspec.Meta(ge=1, le=65535)] = 500
    waiting: Size = Size(64 * 1024 * 1024)
    largest: Size = Size(16 * 1024 * 1024)
    gather: Duration = Duration(0.05)
    most_names: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] = 10_000
    assets: dict[str, Name] = {}
    rebirth: bool = False
    reorder: Duration = Duration(2)
    host_id: str = ""
    timezone: str = "UTC"
    tags: FileName | None = None
    tag: tuple[Topic, ...] = ()

    def __post_init__(self) -> None:
        faults = [*self._endpoint_faults(), *distinct(self.tag)]
        if not self.tag and self.tags is None:
            faults.append('no tags: add [[line.<name>.tag]] or tags = "table.csv"')
        faults += rule_faults(self.tag)
        if (self.certificate is None) != (self.key is None):
            faults.append("certificate and key belong together")
        if not 1 <= self.keep_alive <= 3600:  # noqa: PLR2004 (an hour)
            faults.append("keep_alive must be between 1s and 1h")
        if self.timeout <= 0 or self.gather < 0 or self.keep < 0 or self.reorder < 0:
            faults.append("timeout must be longer than 0s, gather, keep and reorder at least 0s")
        if self.largest < 1024 or self.waiting < 1024:  # noqa: PLR2004 (1 KiB)
            faults.append("largest and waiting must be at least 1KiB")
        if set(self.host_id) & set("+#/"):
            faults.append("host_id must not hold + # /")
        if faults:
            raise ValueError("; ".join(faults))

    def _endpoint_faults(self) -> list[str]:
        found = _ENDPOINT.fullmatch(self.endpoint)
        if found is None or int(found[3] or 1) > _MOST_PORT or int(found[3] or 1) == 0:
            return [f"{self.endpoint!r}: expected mqtts://host:8883 or mqtt://host:1883"]
        if found[1] == "mqtt" and self.user is not None and not self.insecure:
            return ["a password over mqtt:// is readable on the wire: use mqtts://, or write insecure = true"]
        if found[1] == "mqtt" and (self.ca or self.certificate):
            return ["ca and certificate need mqtts://"]
        return []

    @property
    def secure(self) -> bool:
        """Whether TLS is spoken."""
        return self.endpoint.startswith("mqtts:")

    @property
    def place(self) -> tuple[str, int]:
        """Host and port."""
        found = _ENDPOINT.fullmatch(self.endpoint)
        if found is None:
            raise ValueError(self.endpoint)
        return found[2].strip("[]"), int(found[3] or _PORTS[found[1]])

    @property
    def client(self) -> str:
        """The name of our session at the broker."""
        return self.client_id or f"andon-{self.name}"

    def every_tag(self) -> tuple[Topic, ...]:
        """The tags of the file and of the table. Raises `Misconfigured` with every fault of the table."""
        return all_tags(self.name, self.tag, self.tags, Topic)
