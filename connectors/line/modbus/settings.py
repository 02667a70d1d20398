"""What a Modbus line is told in andon.toml."""

import ssl
from typing import Annotated, Literal

import msgspec
from msgspec.structs import replace

from connectors.files import FileName
from connectors.line.modbus.address import parse
from connectors.line.modbus.endpoint import Endpoint, Parity, parse_endpoint
from connectors.line.modbus.wishes import Target
from connectors.line.table import all_tags
from connectors.line.tags import Tag, distinct
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

[line.drives]
protocol = "modbus"
endpoint = "rtu:///dev/ttyUSB0"
baudrate = 9600
parity = "none"
every = "2s"

[[line.drives.tag]]
asset = "DRIVE-1"
tag = "speed"
address = "holding:40001:uint16"
unit = "rpm"
"""

Device = Annotated[int, msgspec.Meta(ge=0, le=255)]
_FASTEST = 0.001
_SHORTEST = 0.01


class Register(Tag, frozen=True, kw_only=True):
    """A tag in registers or bits; `device` is its unit number when it is not the line's."""

    device: Device | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        parse(self.address)


class Tls(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Modbus over mutual TLS (port 802): who signs the device's certificate, and our own with its key, as PEM files.

    The name in the device's certificate must be `server_name`, or else the endpoint's host. `insecure = true`
    is for a bench: it takes any certificate.
    """

    ca: FileName | None = None
    certificate: FileName | None = None
    key: FileName | None = None
    server_name: str = ""
    insecure: bool = False

    def __post_init__(self) -> None:
        if not self.insecure and self.ca is None:
            raise ValueError("name the ca that signed the device's certificate (or insecure = true, on a bench)")
        if (self.certificate is None) is not (self.key is None):
            raise ValueError("certificate and key are given together")

    def context(self) -> ssl.SSLContext:
        """Read the files. Raises `Misconfigured`."""
        try:
            context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=self.ca)
            context.minimum_version = ssl.TLSVersion.TLSv1_2
            if self.insecure:
                context.check_hostname = False
                context.verify_mode = ssl.CERT_NONE
            if self.certificate is not None:
                context.load_cert_chain(self.certificate, self.key)
        except (OSError, ssl.SSLError) as wrong:
            raise Misconfigured(f"the certificates of a modbus line cannot be read: {wrong}") from wrong
        return context


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One Modbus endpoint with one or more units behind it: `tcp://`, `tls://`, `rtu+tcp://` or `rtu://`.

    Nothing is written but to a declared `target`.
    `baudrate`, `parity` and `stopbits` are for `rtu://` alone. Reads bridge up to `gap` unused registers; when
    it is not given, what a request costs against a register is measured. `connections` is how many are opened;
    when it is not given, as many as the requests need and the device allows, at most 8. `one_at_a_time` asks a
    unit for one thing at a time even over several connections. A unit that fails `demote_after` times in a row
    is asked by a probe alone, at most every `probe` and at most 2 % of the line's time. A value that was not
    sent for `heartbeat`, because of its deadband, is said again and marked as repeated. `stale_after` is the age
    from which a value is no news any more; 3 times `every` and the timeout when it is not given.
    """

    name: Name
    endpoint: str
    device: Device = 1
    every: Duration = Duration(1)
    timeout: Duration = Duration(0.8)
    gap: Annotated[int, msgspec.Meta(ge=0, le=124)] | None = None
    span: Annotated[int, msgspec.Meta(ge=1, le=125)] = 125
    connections: Annotated[int, msgspec.Meta(ge=1, le=32)] | None = None
    one_at_a_time: bool = False
    demote_after: Annotated[int, msgspec.Meta(ge=1, le=10)] = 2
    probe: Duration = Duration(10)
    heartbeat: Duration | None = None
    stale_after: Duration | None = None
    baudrate: Annotated[int, msgspec.Meta(ge=50, le=4_000_000)] | None = None
    parity: Parity | None = None
    stopbits: Literal[1, 2] | None = None
    tls: Tls | None = None
    tags: FileName | None = None
    tag: tuple[Register, ...] = ()
    target: tuple[Target, ...] = ()

    def __post_init__(self) -> None:
        faults = distinct(self.tag)
        names = [target.name for target in self.target]
        faults += [f"target {name} stands twice" for name in sorted({it for it in names if names.count(it) > 1})]
        if not self.tag and self.tags is None:
            faults.append('no tags: add [[line.<name>.tag]] or tags = "table.csv"')
        if self.every < _FASTEST or any(tag.every is not None and tag.every < _FASTEST for tag in self.tag):
            faults.append("every must be at least 1ms")
        if any(age is not None and age < _SHORTEST for age in (self.heartbeat, self.stale_after)):
            faults.append("heartbeat and stale_after must be at least 10ms")
        if not 0.01 <= self.timeout <= 60 or self.probe <= 0:  # noqa: PLR2004 (the message says it)
            faults.append("timeout must be between 10ms and 1min, probe longer than 0s")
        faults += self._faults_of_the_endpoint()
        if faults:
            raise ValueError("; ".join(faults))

    def _faults_of_the_endpoint(self) -> list[str]:
        try:
            place = parse_endpoint(self.endpoint)
        except ValueError as wrong:
            return [str(wrong)]
        faults = []
        given = [key for key in ("baudrate", "parity", "stopbits") if getattr(self, key) is not None]
        if given and place.scheme != "rtu":
            faults.append(f"{', '.join(given)}: for a serial line (rtu:///dev/…) only")
        if given and "?" in self.endpoint:
            faults.append("write baudrate, parity and stopbits in the endpoint or beside it, not both")
        if place.scheme == "tls" and self.tls is None:
            faults.append("tls:// needs tls = { ca = …, certificate = …, key = … }")
        if place.scheme != "tls" and self.tls is not None:
            faults.append("tls = {…} is for a tls:// endpoint")
        if place.is_shared and (self.connections or 1) > 1:
            faults.append("connections: one serial line carries one question at a time")
        return faults

    @property
    def place(self) -> Endpoint:
        """The endpoint with its serial settings."""
        place = parse_endpoint(self.endpoint)
        given = {key: value for key in ("baudrate", "parity", "stopbits") if (value := getattr(self, key)) is not None}
        return replace(place, serial=replace(place.serial, **given)) if given else place

    @property
    def host(self) -> str:
        """The endpoint's host; empty for a serial line."""
        return self.place.host

    @property
    def port(self) -> int:
        """The endpoint's port; 0 for a serial line."""
        return self.place.port

    def every_tag(self) -> tuple[Register, ...]:
        """The tags of the file and of the table. Raises `Misconfigured` with every fault of the table."""
        return all_tags(self.name, self.tag, self.tags, Register)

    def open(self) -> LineSource:
        """Make the source; it connects when its first batch is asked for. Raises `Misconfigured`."""
        from connectors.line.modbus.source import Modbus  # noqa: PLC0415 (numpy only where it is used)

        return Modbus(self, self.every_tag(), None if self.tls is None else self.tls.context())
