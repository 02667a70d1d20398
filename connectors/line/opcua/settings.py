"""What an OPC UA line is told in andon.toml."""

from pathlib import Path
from typing import Annotated, Literal

import msgspec

from connectors.line.opcua.address import parse
from connectors.line.shapes import ShapeTag
from connectors.line.tags import FileName, distinct, read_table
from gateway.core.errors import Misconfigured
from gateway.core.ports import LineSource
from gateway.core.reading import Name
from gateway.core.secret import SecretRef
from gateway.core.units import Duration

SAMPLE = """
[line.cell-a]
protocol = "opcua"
endpoint = "opc.tcp://127.0.0.1:4840"
insecure = true                 # policy "None": plain text, for a bench or a closed cell only
publish = "250ms"               # how often the server sends what changed
queue = 100                     # values that the server keeps per tag: outage to survive / sampling

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
low = 0
high = 4000

[[line.cell-a.tag]]
asset = "M-07"
tag = "thermal"
kind = "frame"
address = "nsu=urn:andon:line;s=M-07.thermal"
unit = "degC"
encoding = "centikelvin"
"""

Policy = Literal["None", "Basic256Sha256", "Aes128Sha256RsaOaep", "Aes256Sha256RsaPss"]
Endpoint = Annotated[str, msgspec.Meta(pattern=r"^opc\.tcp://[^@\s]+$", max_length=512)]


class Node(ShapeTag, frozen=True, kw_only=True):
    """A tag at an OPC UA node; `address` is `nsu=<namespace uri>;s=<id>` (or i=, g=, b=)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        parse(self.address)


class User(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """User name and password; the password is named, not held."""

    name: Name
    password: SecretRef


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One OPC UA server.

    Secured by default: `certificate` and `key` are ours, `trust` is a folder of certificates (*.der,
    *.pem; a CRL below `crl/`) that the server's must be in. `policy = "None"` is taken only with
    `insecure = true`. `tags` names a CSV table beside the `tag` list.
    """

    name: Name
    endpoint: Endpoint
    policy: Policy | None = None
    mode: Literal["Sign", "SignAndEncrypt"] = "SignAndEncrypt"
    insecure: bool = False
    certificate: FileName | None = None
    key: FileName | None = None
    trust: FileName | None = None
    application_uri: str = "urn:andon:gateway"
    user: User | None = None
    publish: Duration = Duration(0.25)
    sampling: Duration = Duration(0)
    queue: Annotated[int, msgspec.Meta(ge=2, le=100_000)] = 100
    waveform_queue: Annotated[int, msgspec.Meta(ge=2, le=10_000)] = 10
    in_flight: Annotated[int, msgspec.Meta(ge=1, le=32)] = 4
    keep_alive: Duration = Duration(5)
    survive: Duration = Duration(60)
    timeout: Duration = Duration(5)
    retry: Duration = Duration(5)
    tags: FileName | None = None
    tag: tuple[Node, ...] = ()

    def __post_init__(self) -> None:
        faults = [*self._unsafe(), *distinct(self.tag)]
        if not self.tag and self.tags is None:
            faults.append('no tags: add [[line.<name>.tag]] or tags = "table.csv"')
        if not 0.01 <= self.publish <= 60:  # noqa: PLR2004 (10 ms to a minute)
            faults.append("publish must be between 10ms and 1min")
        faults += [
            f"{name} must be longer than 0s" for name in ("keep_alive", "timeout", "retry") if getattr(self, name) <= 0
        ]
        if faults:
            raise ValueError("; ".join(faults))

    def _unsafe(self) -> list[str]:
        if self.security == "None":
            if self.insecure:
                return []
            return ['policy "None" is plain text: give policy, certificate, key and trust, or write insecure = true']
        absent = [name for name in ("certificate", "key", "trust") if getattr(self, name) is None]
        if absent:
            return [f"policy {self.security} needs {', '.join(absent)}"]
        return []

    @property
    def security(self) -> Policy:
        """The security policy in force."""
        return self.policy or ("None" if self.insecure else "Basic256Sha256")

    def every_tag(self) -> tuple[Node, ...]:
        """The tags of the file and of the table. Raises `Misconfigured` with every fault of the table."""
        every = (*self.tag, *(read_table(Path(self.tags), Node) if self.tags else ()))
        if faults := distinct(every):
            raise Misconfigured(f"line {self.name}", tuple(faults))
        return every

    def open(self) -> LineSource:
        """Make the source; it connects when its first batch is asked for. Raises `Misconfigured`."""
        from connectors.line.opcua.source import OpcUa  # noqa: PLC0415 (asyncua is heavy: only where it is used)

        if self.user is not None:
            self.user.password.reveal()
        return OpcUa(self, self.every_tag())
