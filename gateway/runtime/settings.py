"""Settings: one `andon.toml`, read whole, every fault named at once."""

import os
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, cast

import msgspec

from connectors.events.settings import EventSettings
from gateway.core.asset import Asset, Plant, Site
from gateway.core.errors import Misconfigured
from gateway.core.plural import plural
from gateway.core.ports import ErpAdapter, LineSource
from gateway.core.units import decode
from gateway.runtime.api_settings import ApiSettings
from gateway.runtime.crosscheck import cross_faults
from gateway.runtime.diagnosis_settings import WITHOUT, DiagnosisSettings, LanguageSettings
from gateway.runtime.faults import Fault, faults, places, suggest
from gateway.runtime.order_settings import OrderSettings
from gateway.runtime.parts import digests, whole
from gateway.runtime.plugins import protocols, settings_of
from gateway.runtime.production import ProductionSettings, production_faults
from gateway.store.settings import Settings as StoreSettings

SAMPLE = """
[site]
id = "SZ1"
enterprise = "ACME"
timezone = "Asia/Shanghai"
office_end = "17:00"
shifts = [{ name = "day", start = "08:00", end = "20:00" }, { name = "night", start = "20:00", end = "08:00" }]

[store]
path = "andon-data"

[api]
host = "127.0.0.1"
port = 8000
# What a caller without a token may do. Name an [[api.issuer]] and take this away where others can reach the port.
anonymous = ["read", "reports:write", "review:write"]

[orders]
language = "en"
# A machine's trouble that nobody else saw and that is over so soon was a false alarm: its order is taken back.
false_alarm_within = "15min"

[[asset]]
id = "M-01"
line = "LINE-A"
bearing = "6205"
speed_rpm = 1797
aliases = ["1号泵", "pump 1"]

[line.cell-a]
protocol = "opcua"
endpoint = "opc.tcp://127.0.0.1:4840"
insecure = true

[[line.cell-a.tag]]
asset = "M-01"
tag = "vibration"
kind = "waveform"
address = "nsu=urn:andon:line;s=M-01.vibration"
unit = "g"
rate_hz = 12800

[erp.main]
protocol = "rest"
base_url = "http://127.0.0.1:9000"
token_url = "http://127.0.0.1:9000/oauth/token"
client_id = "andon-gateway"
client_secret = { env = "ERP_SECRET" }
"""


class LineSettings(Protocol):
    """What every line adapter's settings have."""

    @property
    def name(self) -> str: ...  # noqa: D102

    def open(self) -> LineSource: ...  # noqa: D102


class ErpSettings(Protocol):
    """What every ERP adapter's settings have."""

    @property
    def name(self) -> str: ...  # noqa: D102

    def open(self) -> ErpAdapter: ...  # noqa: D102


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """All of `andon.toml`. `digest` names this configuration: twelve hex digits of its content.

    `parts` has the digest of each part (see `gateway.runtime.parts`), `rows` the tables as they were read,
    `text` the file as it was written.
    """

    site: Site
    assets: tuple[Asset, ...]
    store: StoreSettings
    api: ApiSettings
    diagnosis: DiagnosisSettings
    language: LanguageSettings
    orders: OrderSettings
    events: EventSettings
    production: ProductionSettings
    line: dict[str, Any]
    erp: dict[str, Any]
    digest: str
    file: str
    parts: dict[str, str] = {}
    rows: dict[str, Any] = {}
    text: str = ""

    def renamed(self) -> "Settings":
        """Give the same settings with the digest that follows from their parts."""
        return msgspec.structs.replace(self, digest=whole(self.parts))

    @property
    def plant(self) -> Plant:
        """The site and its assets."""
        return Plant(self.site, self.assets)

    @property
    def sources(self) -> list[LineSettings]:
        """The line adapters' settings, in the order of the file."""
        return cast(list[LineSettings], list(self.line.values()))

    @property
    def diagnosed(self) -> bool:
        """Whether windows are diagnosed: a gateway for words alone, or one told to go without models, has none."""
        return bool(self.line) and self.diagnosis.models != WITHOUT

    @property
    def the_erp(self) -> ErpSettings | None:
        """The ERP that gets the orders, or None when there is none (orders wait in the store)."""
        if self.orders.erp is not None:
            return cast(ErpSettings, self.erp[self.orders.erp])
        return cast(ErpSettings, next(iter(self.erp.values()), None))


_TABLES: dict[str, tuple[str, Any]] = {
    "site": ("site", Site),
    "asset": ("assets", tuple[Asset, ...]),
    "store": ("store", StoreSettings),
    "api": ("api", ApiSettings),
    "diagnosis": ("diagnosis", DiagnosisSettings),
    "language": ("language", LanguageSettings),
    "orders": ("orders", OrderSettings),
    "events": ("events", EventSettings),
    "production": ("production", ProductionSettings),
}


def find(given: str | None) -> Path:
    """Give the settings file: as given, `ANDON_CONFIG`, ./andon.toml, /etc/andon/andon.toml."""
    named = given or os.environ.get("ANDON_CONFIG")
    if named:
        return Path(named)
    for path in (Path("andon.toml"), Path("/etc/andon/andon.toml")):
        if path.exists():
            return path
    return Path("andon.toml")


def load(given: str | None = None) -> Settings:
    """Read and check a settings file. Raises `Misconfigured` with every fault at once."""
    path = find(given)
    try:
        text = path.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as lost:
        why = lost.strerror if isinstance(lost, OSError) else "it is no UTF-8 text"
        then = "write one with `andon config sample > andon.toml`" if isinstance(lost, FileNotFoundError) else ""
        raise Misconfigured(f"{path} cannot be read: {why}", (then,) if then else ()) from lost
    return parse(text, str(path))


def parse(text: str, file: str = "andon.toml") -> Settings:
    """Read and check a settings text. Raises `Misconfigured` with every fault, its line and a suggestion."""
    try:
        rows = tomllib.loads(text)
    except tomllib.TOMLDecodeError as bad:
        raise Misconfigured(f"{file}: not TOML: {bad}") from bad
    refuse(list(_faults(rows)), text, file)
    tables = {
        name: msgspec.convert(rows.get(key, [] if key == "asset" else {}), kind, dec_hook=decode)
        for key, (name, kind) in _TABLES.items()
    }
    return Settings(
        **tables,
        line={name: _adapter("line", name, row) for name, row in rows.get("line", {}).items()},
        erp={name: _adapter("erp", name, row) for name, row in rows.get("erp", {}).items()},
        digest="",
        file=file,
        parts=digests(rows),
        rows=rows,
        text=text,
    ).renamed()


def refuse(found: Sequence[Fault], text: str, file: str) -> None:
    """Raise `Misconfigured` with every fault, its line and a suggestion, when there is one."""
    if found:
        known = places(text)
        raise Misconfigured(
            f"{file}: {plural(len(found), 'fault')}",
            tuple(fault.said(known, file) for fault in found),
        )


def _faults(rows: Mapping[str, Any]) -> Iterator[Fault]:
    for key in rows:
        if key not in _TABLES and key not in {"line", "erp"}:
            yield Fault(key, "unknown table", suggest(key, [*_TABLES, "line", "erp"]))
    for key, (_, kind) in _TABLES.items():
        if key in rows:
            yield from faults(rows[key], kind, key)
    for group in ("line", "erp"):
        adapters = rows.get(group, {})
        if not isinstance(adapters, dict):
            yield Fault(group, f"Expected tables such as [{group}.main]")
            continue
        for name, row in adapters.items():
            yield from _adapter_faults(group, name, row)
    yield from cross_faults(rows)
    yield from production_faults(rows)


def _adapter_faults(group: str, name: str, row: Any) -> Iterator[Fault]:
    at = f"{group}.{name}"
    if not isinstance(row, dict):
        yield Fault(at, f"Expected a table [{at}]")
        return
    if "protocol" not in row:
        yield Fault(f"{at}.protocol", "missing", f"one of: {', '.join(protocols(group))}")
        return
    kind = settings_of(group, row["protocol"])
    if kind is None:
        yield Fault(
            f"{at}.protocol", f"unknown protocol {row['protocol']!r}", suggest(str(row["protocol"]), protocols(group))
        )
        return
    own = {key: value for key, value in row.items() if key != "protocol"}
    yield from faults({"name": name, **own}, kind, at)


def _adapter(group: str, name: str, row: Mapping[str, Any]) -> Any:
    own = {key: value for key, value in row.items() if key != "protocol"}
    return msgspec.convert({"name": name, **own}, settings_of(group, row["protocol"]), dec_hook=decode)
