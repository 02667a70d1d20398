"""What a Modbus TCP line is told in andon.toml."""

from pathlib import Path
from typing import Annotated

import msgspec

from connectors.line.modbus.address import parse
from connectors.line.tags import FileName, Tag, distinct, read_table
from gateway.core.errors import Misconfigured
from gateway.core.ports import LineSource
from gateway.core.reading import Name
from gateway.core.units import Duration

SAMPLE = """
[line.oven]
protocol = "modbus"
endpoint = "tcp://127.0.0.1:502"
device = 1                      # the unit (slave) number
every = "500ms"                 # how often a tag is read that does not say otherwise
timeout = "800ms"

[[line.oven.tag]]
asset = "OVEN-1"
tag = "temperature"
address = "holding:40103:float32:CDAB"
unit = "degC"
low = -40
high = 400

[[line.oven.tag]]
asset = "OVEN-1"
tag = "door_open"
address = "coil:17"
every = "200ms"

[[line.oven.tag]]
asset = "OVEN-1"
tag = "current"
address = "input:12:int16"
unit = "A"
scale = 0.1
device = 2
"""

Device = Annotated[int, msgspec.Meta(ge=0, le=255)]
Endpoint = Annotated[str, msgspec.Meta(pattern=r"^tcp://(\[[0-9a-fA-F:]+\]|[^:/@\s]+)(:\d{1,5})?$")]


class Register(Tag, frozen=True, kw_only=True):
    """A tag in registers or bits; `device` is its unit number when it is not the line's."""

    device: Device | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        parse(self.address)


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One Modbus TCP endpoint with one or more units behind it.

    Reads bridge up to `gap` unused registers. A unit that fails `demote_after` times in a row is read
    by a probe alone, every `probe`, over a connection of its own, so that the others keep their rate.
    """

    name: Name
    endpoint: Endpoint
    device: Device = 1
    every: Duration = Duration(1)
    timeout: Duration = Duration(0.8)
    gap: Annotated[int, msgspec.Meta(ge=0, le=124)] = 60
    span: Annotated[int, msgspec.Meta(ge=1, le=125)] = 125
    demote_after: Annotated[int, msgspec.Meta(ge=1, le=10)] = 2
    probe: Duration = Duration(10)
    tags: FileName | None = None
    tag: tuple[Register, ...] = ()

    def __post_init__(self) -> None:
        faults = distinct(self.tag)
        if not self.tag and self.tags is None:
            faults.append('no tags: add [[line.<name>.tag]] or tags = "table.csv"')
        if self.every < 0.01 or any(tag.every is not None and tag.every < 0.01 for tag in self.tag):  # noqa: PLR2004
            faults.append("every must be at least 10ms")
        if not 0.01 <= self.timeout <= 60 or self.probe <= 0:  # noqa: PLR2004
            faults.append("timeout must be between 10ms and 1min, probe longer than 0s")
        if faults:
            raise ValueError("; ".join(faults))

    @property
    def host(self) -> str:
        """The endpoint's host."""
        return self._parts[0]

    @property
    def port(self) -> int:
        """The endpoint's port; 502 when none is given."""
        return self._parts[1]

    @property
    def _parts(self) -> tuple[str, int]:
        place = self.endpoint.removeprefix("tcp://")
        host, colon, port = place.rpartition(":")
        if not colon or place.endswith("]"):
            return place.strip("[]"), 502
        return host.strip("[]"), int(port)

    def every_tag(self) -> tuple[Register, ...]:
        """The tags of the file and of the table. Raises `Misconfigured` with every fault of the table."""
        every = (*self.tag, *(read_table(Path(self.tags), Register) if self.tags else ()))
        if faults := distinct(every):
            raise Misconfigured(f"line {self.name}", tuple(faults))
        return every

    def open(self) -> LineSource:
        """Make the source; it connects when its first batch is asked for. Raises `Misconfigured`."""
        from connectors.line.modbus.source import Modbus  # noqa: PLC0415 (pymodbus only where it is used)

        return Modbus(self, self.every_tag())
