"""ThingsBoard gateway: connector files for Modbus and OPC UA (JSON), old form and new."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence

from connectors.line.importers.found import Field, Finding, Imported, number_text, plain_name
from connectors.line.importers.shared import duration, node_address, publish, register, security, user_of
from connectors.line.importers.taking import Taking
from gateway.core.errors import Refused

_CLOUD = "is about what the platform is told: nothing of ours needs it"
_WRITES = "writes to the equipment: not taken over; here a write needs [[line.….target]], a scope, and is audited"
_TABLES = {1: "coil", 2: "discrete", 3: "holding", 4: "input"}
_TYPES = {
    "16int": "int16",
    "16uint": "uint16",
    "32int": "int32",
    "32uint": "uint32",
    "64int": "int64",
    "64uint": "uint64",
    "32float": "float32",
    "64float": "float64",
    "int": "int16",
    "uint": "uint16",
    "long": "int32",
    "double": "float64",
    "float": "float32",
}
_PLACE = re.compile(r"^\$?\{?\s*((?:ns=\d+;|nsu=[^;]+;)?[sigb]=.+?)\s*\}?$", re.DOTALL)
_PARITY = {"N": "none", "E": "even", "O": "odd"}


def thingsboard(text: str, namespaces: Sequence[str] = ()) -> Imported:
    """Read one connector file. Raises `Refused` when it is neither a Modbus nor an OPC UA connector."""
    try:
        rows = json.loads(text)
    except ValueError as bad:
        raise Refused(f"not JSON: {bad}") from bad
    rows = _inner(rows)
    finding = Finding()
    if isinstance(rows, Mapping) and "master" in rows:
        whole = Taking(rows, "modbus", finding)
        master = whole.table("master")
        for one in master.tables("slaves"):
            _slave(one, finding)
        master.rest()
        whole.known("serves registers itself: nothing of ours does", "slave")
    elif isinstance(rows, Mapping) and isinstance(rows.get("server"), Mapping):
        whole = Taking(rows, "opcua", finding)
        _server(whole, namespaces, finding)
    else:
        raise Refused("not a connector for Modbus (master) or OPC UA (server)")
    whole.known(_CLOUD, "name", "logLevel", "enableRemoteLogging", "id", "reportStrategy", "sendDataOnlyOnChange")
    whole.rest()
    return finding.done()


def _inner(rows: object) -> object:
    """Come to the connector when it lies in a shell, as the platform exports it."""
    for _ in range(3):
        if not isinstance(rows, Mapping) or "master" in rows or "server" in rows:
            break
        within = [value for value in rows.values() if isinstance(value, Mapping)]
        rows = rows.get("configurationJson", within[0] if len(within) == 1 else None)
    return rows


def _slave(one: Taking, finding: Finding) -> None:
    asset = one.text("deviceName") or one.text("name") or "modbus"
    one.settled("name")
    fields: dict[str, Field] = {"endpoint": _endpoint(one)}
    if (unit := one.whole("unitId")) is not None:
        fields["device"] = unit
    periods = [one.number(key) for key in ("pollPeriod", "timeseriesPollPeriod", "attributesPollPeriod")]
    fields["every"] = duration(min((period for period in periods if period), default=5000) / 1000)
    if (timeout := one.number("timeout")) is not None:
        fields["timeout"] = duration(min(60.0, max(0.01, timeout)))
    _serial(one, fields)
    order = _order(one)
    if order != "ABCD":
        one.note(
            f"byte and word order LITTLE become {order}: compare a known value (andon discover modbus)", "byteOrder"
        )
    one.known("is not needed: lost connections are tried again with patience", *_RETRIES)
    one.known(_CLOUD, "deviceType", "sendDataOnlyOnChange", "sendDataOnlyOnChangeForAttributes", "reportStrategy")
    one.known(_WRITES, "attributeUpdates", "rpc")
    one.known("is not taken over: tls:// and tls = { ca = …, certificate = …, key = … }", "security")
    one.settled("method", "strict", "uploadPeriodSec", "connectorName")
    rows = [*one.tables("timeseries"), *one.tables("attributes")]
    tags = [tag for row in rows if (tag := _register(row, asset, order)) is not None]
    one.rest()
    finding.line(asset, "modbus", fields, tags)


_RETRIES = (
    "retries",
    "retryOnEmpty",
    "retryOnInvalid",
    "connectAttemptTimeMs",
    "connectAttemptCount",
    "waitAfterFailedAttemptsMs",
    "delayBetweenRequestsMs",
    "wait_after_failed_attempts_ms",
)


def _endpoint(one: Taking) -> str:
    how, method = one.text("type", "tcp"), one.text("method").lower()
    port = one.text("port", "502")
    if how == "serial":
        return f"rtu://{port}"
    if how == "udp":
        one.note("Modbus over UDP is not spoken here: TCP is asked for", "type")
    if how == "tls":
        one.note("Modbus/TLS wants tls:// and tls = { ca = … }: TCP is written, change both", "type")
    return f"{'rtu+tcp' if method == 'rtu' else 'tcp'}://{one.text('host', 'localhost')}:{port}"


def _serial(one: Taking, fields: dict[str, Field]) -> None:
    serial = str(fields["endpoint"]).startswith("rtu://")
    values: dict[str, Field | None] = {
        "baudrate": one.whole("baudrate"),
        "stopbits": one.whole("stopbits"),
        "parity": _PARITY.get(one.text("parity").upper()),
    }
    one.settled("bytesize")
    if serial:
        fields |= {name: value for name, value in values.items() if value is not None}


def _order(one: Taking) -> str:
    """Give our byte order. LITTLE for bytes swaps those of a word, LITTLE for words swaps the words."""
    swapped, reversed_ = (one.text(key, "BIG").upper() == "LITTLE" for key in ("byteOrder", "wordOrder"))
    return {(False, False): "ABCD", (False, True): "CDAB", (True, False): "BADC", (True, True): "DCBA"}[
        swapped, reversed_
    ]


def _register(row: Taking, asset: str, order: str) -> dict[str, str] | None:
    called, function = row.text("tag") or row.text("key"), row.whole("functionCode")
    kind, place, count = (
        row.text("type"),
        row.whole("address"),
        row.whole("objectsCount") or row.whole("registerCount") or 1,
    )
    if "byteOrder" in row or "wordOrder" in row:
        order = _order(row)
    cells = dict(_scaled(row))
    period = row.number("pollPeriod")
    row.known(_CLOUD, "reportStrategy", "sendDataOnlyOnChange")
    bit = row.whole("bit")
    row.settled("objectsCount", "registerCount", "key", "tag", "bitTargetType")
    row.rest()
    table = _TABLES.get(function or 3)
    if table is None or place is None or not 0 <= place <= 65_535:  # noqa: PLR2004 (registers end there)
        row.note(f"function {function} reads nothing, or there is no address: left out")
        return None
    ours = _TYPES.get(kind)
    if kind == "string":
        ours = f"string{min(250, 2 * count)}"
    elif kind in {"bits", "bit"}:
        ours = f"bit{bit or 0}"
        if kind == "bits" and table in {"holding", "input"} and bit is None:
            row.note("a list of bits becomes its first: add holding:N:bit1 and so on")
    elif ours is not None and kind in {"int", "uint", "long", "float", "double"}:
        row.note(f"type {kind} is taken as {ours}: compare a known value")
    if table in {"holding", "input"} and ours is None:
        row.note(f"type {kind or 'missing'} is not known here: left out")
        return None
    more = {"every": duration(period / 1000)} if period else {}
    address = register(table, place, ours or "", order)
    return {"asset": plain_name(asset), "tag": plain_name(called), "address": address, **cells, **more}


def _scaled(row: Taking) -> Iterator[tuple[str, str]]:
    """Give the scale of `multiplier` or `divider`."""
    multiplier, divider = row.number("multiplier"), row.number("divider")
    scale = (multiplier or 1) / (divider or 1)
    if scale != 1:
        yield "scale", number_text(scale)


def _server(whole: Taking, namespaces: Sequence[str], finding: Finding) -> None:
    one = whole.table("server")
    name = one.text("name") or "opcua"
    url = one.text("url", "localhost:4840").removeprefix("opc.tcp://")
    fields: dict[str, Field] = {"endpoint": f"opc.tcp://{url}", **security(one.text("security", "None"), "", one)}
    plain = "insecure" in fields
    identity = one.table("identity")
    method, user, password = identity.text("type"), identity.text("username"), identity.text("password")
    identity.known("is made anew: andon cert new", "caCert", "privateKey", "cert", "mode")
    identity.rest()
    fields |= user_of(name, method, user, password, one, plain=plain)
    periods = [one.number(key) for key in ("pollPeriodInMillis", "scanPeriodInMillis", "subCheckPeriodInMillis")]
    given = [period for period in periods if period]
    fields |= publish(min(given) / 1000 if given else None, one)
    if (timeout := one.number("timeoutInMillis")) is not None:
        fields["timeout"] = duration(timeout / 1000)
    one.settled("uri", "disableSubscriptions", "enableSubscriptions", "showMap", "sessionTimeoutInMillis")
    one.settled("subDataSizeIncrease", "subDataMaxBatchSize", "subDataMinBatchCreationTimeMs", "connectAttemptTimeMs")
    one.known("is made anew: andon cert new", "keystore", "certificate")
    mappings = [*one.tables("mapping"), *whole.tables("mapping")]
    tags = [tag for mapping in mappings for tag in _mapping(mapping, name, namespaces)]
    one.rest()
    finding.line(name, "opcua", fields, tags)


def _mapping(one: Taking, line: str, namespaces: Sequence[str]) -> Iterator[dict[str, str]]:
    info = one.table("deviceInfo")
    device = info.text("deviceNameExpression") or one.text("deviceNamePattern") or line
    info.settled("deviceNameExpressionSource", "deviceProfileExpressionSource")
    info.known(_CLOUD, "deviceProfileExpression")
    info.rest()
    asset = re.sub(r"\$\{[^}]*\}", "", device).strip() or line
    if asset != device:
        one.note(f"the device's name is read from the server ({device}): {asset!r} is the asset, rename it")
    one.settled("deviceNamePattern", "deviceNodePattern", "deviceNodeSource", "deviceTypePattern")
    one.known(_WRITES, "rpc_methods", "attributes_updates")
    for row in (*one.tables("timeseries"), *one.tables("attributes")):
        called, place = row.text("key"), row.text("value") or row.text("path")
        row.settled("type", "path", "value")
        row.known(_CLOUD, "reportStrategy", "timestampLocation")
        row.rest()
        found = _PLACE.match(place)
        address = node_address(found[1], namespaces, row) if found else None
        if address is None:
            row.note(f"{place} is a path of names: andon discover opcua … --match finds its node; left out")
            continue
        yield {"asset": plain_name(asset), "tag": plain_name(called), "address": address}
    one.rest()
