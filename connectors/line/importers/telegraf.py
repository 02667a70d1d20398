"""Telegraf: `[[inputs.modbus]]`, `[[inputs.opcua]]` and `[[inputs.opcua_listener]]` of a telegraf.conf."""

import tomllib
from collections.abc import Iterator, Mapping, Sequence

from connectors.line.importers.found import Field, Finding, Imported, number_text, plain_name
from connectors.line.importers.shared import (
    duration,
    identifier_of,
    node_address,
    order_of,
    publish,
    register,
    seconds_of,
    security,
    user_of,
)
from connectors.line.importers.taking import Taking
from gateway.core.errors import Refused

_AGENT = "is Telegraf's own: nothing of ours needs it"
_PACKED = "is not needed: registers that lie near each other are read together anyway"
_TAGS = "adds tags to metrics; here the asset says where a value belongs"
_TIMES = "chooses one time; ours keeps source, server and receive time of every value"
_TYPES = {
    "INT16": "int16",
    "UINT16": "uint16",
    "INT32": "int32",
    "UINT32": "uint32",
    "INT64": "int64",
    "UINT64": "uint64",
    "FLOAT32": "float32",
    "FLOAT32-IEEE": "float32",
    "FLOAT64": "float64",
    "FLOAT64-IEEE": "float64",
}
_FIXED = {"FIXED": {1: "int16", 2: "int32", 4: "int64"}, "UFIXED": {1: "uint16", 2: "uint32", 4: "uint64"}}
_TABLES = {
    "discrete_inputs": "discrete",
    "coils": "coil",
    "holding_registers": "holding",
    "input_registers": "input",
}
_SECTIONS = {
    "outputs": "goes somewhere else: orders go to the ERP of [erp.…], numbers stand at /metrics",
    "global_tags": _TAGS,
    "processors": "has no counterpart here: see scale, offset and the rules of a tag",
    "aggregators": "has no counterpart here: windows are cut by the diagnosis",
    "secretstores": 'has no counterpart here: secrets are { env = "…" } or { file = "…" }',
}
_GROUPED = "is not taken over: [[line.….group]] has discard and trigger"
_POLL_S = 10.0


def telegraf(text: str, namespaces: Sequence[str] = ()) -> Imported:
    """Read a telegraf.conf. Raises `Refused` when it is not TOML."""
    try:
        rows = tomllib.loads(text)
    except tomllib.TOMLDecodeError as bad:
        raise Refused(f"not TOML: {bad}") from bad
    finding = Finding()
    whole = Taking(rows, "telegraf", finding)
    agent = whole.table("agent")
    interval = seconds_of(agent.text("interval", "10s")) or _POLL_S
    agent.known(_AGENT, *(key for key in rows.get("agent") or {} if key != "interval"))
    inputs = whole.table("inputs")
    for one in inputs.tables("modbus"):
        _modbus(one, interval, finding)
    for kind in ("opcua", "opcua_listener"):
        for one in inputs.tables(kind):
            _opcua(one, kind, interval, namespaces, finding)
    _others(rows, inputs, whole)
    return finding.done()


def _others(rows: Mapping[str, object], inputs: Taking, whole: Taking) -> None:
    """Name every plug-in that is not taken over."""
    given = rows.get("inputs")
    for name in given if isinstance(given, Mapping) else ():
        if name not in {"modbus", "opcua", "opcua_listener"}:
            inputs.known("is another kind of input: write its [line.…] by hand (andon config sample)", name)
    for section, why in _SECTIONS.items():
        plug_ins = whole.table(section)
        named = rows.get(section)
        plug_ins.known(why, *(named if isinstance(named, Mapping) else ()))
    whole.rest()


def _modbus(one: Taking, interval: float, finding: Finding) -> None:
    name = one.text("name", "modbus")
    every = seconds_of(one.text("interval")) or interval
    fields: dict[str, Field] = {"endpoint": _endpoint(one), "every": duration(every)}
    if (unit := one.whole("slave_id")) is not None:
        fields["device"] = unit
    if (timeout := seconds_of(one.text("timeout"))) is not None:
        fields["timeout"] = duration(min(60.0, max(0.01, timeout)))
    for theirs, ours in (("baud_rate", "baudrate"), ("stop_bits", "stopbits")):
        if (value := one.whole(theirs)) is not None:
            fields[ours] = value
    if parity := one.text("parity"):
        fields["parity"] = {"N": "none", "E": "even", "O": "odd"}.get(parity.upper()[:1], "none")
    if one.whole("data_bits") not in {None, 8}:
        one.note("RTU has 8 data bits", "data_bits")
    one.settled("configuration_type", "debug_connection", "transmission_mode")
    one.known("is not needed: a device that is busy is asked again in its turn", "busy_retries", "busy_retries_wait")
    one.known(_TAGS, "tags", "name_override", "name_prefix", "name_suffix", "alias")
    one.known("is not taken over: see timeout and one_at_a_time", "workarounds")
    tags = [*_registers(one, name), *_requests(one, name, "request"), *_requests(one, name, "metric")]
    one.rest()
    finding.line(name, "modbus", fields, tags)


def _endpoint(one: Taking) -> str:
    """Give our endpoint for tcp://host:port or file:///dev/tty…, by how frames travel."""
    controller, how = one.text("controller", "tcp://localhost:502"), one.text("transmission_mode").upper()
    if "ASCII" in how:
        one.note("Modbus ASCII is not spoken here: RTU is taken, set the device to it", "transmission_mode")
    if controller.startswith("file://"):
        return f"rtu://{controller.removeprefix('file://')}"
    place = controller.partition("://")[2] or controller
    place = place if ":" in place else f"{place}:502"
    return f"{'rtu+tcp' if how == 'RTUOVERTCP' else 'tcp'}://{place}"


def _registers(one: Taking, asset: str) -> Iterator[dict[str, str]]:
    """Take the fields of the register style, where the addresses of one value stand in a list."""
    for key, table in _TABLES.items():
        for field in one.tables(key):
            tag = {"asset": plain_name(asset), "tag": plain_name(field.text("name"))}
            places = [int(place) for place in field.texts("address") if place.isdigit()]
            order, kind = order_of(field.text("byte_order"), field), field.text("data_type").upper()
            scale = field.number("scale")
            field.known(_TAGS, "measurement")
            field.rest()
            if not places or places != list(range(places[0], places[0] + len(places))):
                field.note("has no address that can be read in one go: left out", "address")
                continue
            if table in {"discrete", "coil"}:
                yield {**tag, "address": register(table, places[0])}
            elif ours := _kind(kind, len(places), field):
                yield {**tag, "address": register(table, places[0], ours, order), **_scaled(scale)}


def _requests(one: Taking, asset: str, style: str) -> Iterator[dict[str, str]]:
    """Take the fields of the request style and of the metric style."""
    for request in one.tables(style):
        unit, order = request.whole("slave_id"), order_of(request.text("byte_order"), request)
        table = request.text("register", "holding")
        request.known(_PACKED, "optimization", "optimization_max_register_fill")
        request.known(_TAGS, "tags", "measurement")
        for field in request.tables("fields"):
            called, place = field.text("name"), field.whole("address")
            kind, scale, length = field.text("type").upper(), field.number("scale"), field.whole("length")
            where, bit = field.text("register", table), field.whole("bit")
            field.settled("output")
            field.known(_TAGS, "measurement")
            left_out = field.flag("omit")
            field.rest()
            if left_out or place is None or place > 65_535:  # noqa: PLR2004 (registers end there)
                field.note("was omitted there already: left out" if left_out else "has no address: left out")
                continue
            tag = {"asset": plain_name(asset), "tag": plain_name(called)}
            if unit is not None:
                tag["device"] = str(unit)
            if where in {"coil", "discrete"}:
                yield {**tag, "address": register(where, place)}
            elif kind == "BIT":
                yield {**tag, "address": register(where, place, f"bit{bit or 0}")}
            elif kind == "STRING":
                yield {**tag, "address": register(where, place, f"string{2 * (length or 1)}", order)}
            elif ours := _kind(kind, 0, field):
                yield {**tag, "address": register(where, place, ours, order), **_scaled(scale)}
        request.rest()


def _kind(theirs: str, registers: int, field: Taking) -> str | None:
    """Give our type; None, with a note, when there is none."""
    if theirs == "FLOAT32" and registers:
        theirs = "UFIXED"  # what it meant in the register style, whatever it was called
    ours = _FIXED.get(theirs, {}).get(registers) if registers else None
    ours = ours or (f"string{2 * registers}" if theirs == "STRING" and registers else _TYPES.get(theirs))
    if ours is None:
        field.note(f"type {theirs or 'missing'} is not known here: left out")
    return ours


def _scaled(scale: float | None) -> dict[str, str]:
    return {} if scale is None or scale in {0, 1} else {"scale": number_text(scale)}


def _opcua(one: Taking, kind: str, interval: float, namespaces: Sequence[str], finding: Finding) -> None:
    name = one.text("name", "opcua")
    policy, mode = one.text("security_policy"), one.text("security_mode")
    fields: dict[str, Field] = {"endpoint": one.text("endpoint", "opc.tcp://localhost:4840")}
    fields |= security(policy, mode, one)
    plain = "insecure" in fields
    user = (one.text("auth_method"), one.text("username"), one.text("password"))
    fields |= user_of(name, *user, one, plain=plain)
    every = one.text("subscription_interval") if kind == "opcua_listener" else one.text("interval")
    fields |= publish(seconds_of(every) or interval, one)
    if (timeout := seconds_of(one.text("request_timeout"))) is not None:
        fields["timeout"] = duration(timeout)
    one.settled("connect_timeout", "session_timeout", "client_trace", "optional_fields", "connect_fail_behavior")
    one.known(_TIMES, "timestamp", "timestamp_format")
    one.known("is made anew: andon cert new", "certificate", "private_key", "remote_certificate")
    one.known(_TAGS, "default_tags", "tags", "name_override", "alias")
    nodes = [(one, node) for node in one.tables("nodes")]
    groups = list(one.tables("group"))
    nodes += [(group, node) for group in groups for node in group.tables("nodes")]
    tags = [tag for group, node in nodes if (tag := _node(group, node, name, namespaces))]
    for group in groups:
        group.known(_TAGS, "default_tags", "tags")
        group.settled("name", "namespace", "identifier_type")
        if "sampling_interval" in group:
            group.known("is not taken over: see every, or [[line.….group]]", "sampling_interval")
        group.rest()
    one.known("is not taken over: andon config sample shows [[line.….event]]", "events")
    one.known("has no counterpart: a status that is not good stays what it is", "workarounds", "request_workarounds")
    one.rest()
    finding.line(name, "opcua", fields, tags)


def _node(group: Taking, node: Taking, line: str, namespaces: Sequence[str]) -> dict[str, str] | None:
    """Give the tag of a node; what it does not say itself, its group says (the plug-in itself says nothing)."""
    asset = group.text("name", line)
    index, kind = group.text("namespace"), group.text("identifier_type")
    text = node.text("id")
    own_index, own_kind = node.text("namespace") or index, node.text("identifier_type") or kind
    identifier = node.text("identifier")
    if not text:
        text = f"ns={own_index or 0};{own_kind or 's'}={identifier}" if identifier else ""
    called = node.text("name") or node.text("field_name") or identifier_of(text)
    address = node_address(text, namespaces, node)
    node.known(_TAGS, "default_tags", "tags")
    more = _monitored(node.table("monitoring_params"))
    node.rest()
    if address is None:
        node.note("has no node id: left out")
        return None
    return {"asset": plain_name(asset), "tag": plain_name(called), "address": address, **more}


def _monitored(wanted: Taking) -> dict[str, str]:
    """Take the monitoring parameters of the listener."""
    cells: dict[str, str] = {}
    sampling, kind, value = (
        wanted.text("sampling_interval"),
        wanted.text("deadband_type"),
        wanted.number("deadband_value"),
    )
    if (seconds := seconds_of(sampling)) is not None and seconds > 0:
        cells["every"] = duration(max(0.001, seconds))
    if value and kind.lower() == "absolute":
        cells["deadband"] = number_text(value)
    elif value:
        wanted.note(f'of {value:g} per cent: [[line.….group]] with deadband = "{value:g}%"', "deadband_value")
    wanted.known("is the line's: queue", "queue_size")
    wanted.usual(_GROUPED, discard_oldest=True, trigger="StatusValue")
    wanted.rest()
    return cells
