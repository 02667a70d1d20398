"""Kepware: the tag table that a device or a tag group exports as CSV."""

import csv
import io
from collections.abc import Iterator, Sequence

from connectors.line.importers.found import Field, Finding, Imported, number_text, plain_name
from connectors.line.importers.shared import UNKNOWN, duration, node_address, register
from connectors.line.importers.taking import Taking
from gateway.core.errors import Refused

_TYPES = {
    "short": "int16",
    "word": "uint16",
    "bcd": "uint16",
    "long": "int32",
    "dword": "uint32",
    "llong": "int64",
    "qword": "uint64",
    "float": "float32",
    "double": "float64",
    "string": "string32",
}
_TABLES = {"0": "coil", "1": "discrete", "3": "input", "4": "holding"}
_NEEDED = {"Tag Name", "Address"}


def kepware(text: str, namespaces: Sequence[str] = ()) -> Imported:
    """Read a tag export. Addresses of a Modbus device become registers, all others are read from Kepware's server.

    A channel and a device stand in no export: endpoint and asset are the reader's to name. Raises `Refused`
    when it is no such table.
    """
    rows = _rows(text)
    finding = Finding()
    registers: list[dict[str, str]] = []
    nodes: list[dict[str, str]] = []
    for number, row in enumerate(rows, 2):
        one = Taking(row, f"line {number}: {row.get('Tag Name') or 'no name'}", finding)
        tag = _tag(one)
        where = _register(one)
        one.rest()
        if where is not None:
            registers.append({**tag, "address": where})
        else:
            address = node_address(f"ns=2;s=CHANNEL.DEVICE.{one.text('Tag Name')}", namespaces, one)
            nodes.append({**tag, "address": str(address)})
    if registers:
        finding.note("kepware", "no address of the device stands in the export: put it in place of 127.0.0.1:502")
        fields: dict[str, Field] = {"endpoint": "tcp://127.0.0.1:502"}
        finding.line("kepware", "modbus", fields, registers)
    if nodes:
        finding.note(
            "kepware-server",
            f"{len(nodes)} tags are no registers: they are read from Kepware's own OPC UA server. Put its endpoint, "
            f"channel and device in place of 127.0.0.1:49320 and CHANNEL.DEVICE, and the URI in place of {UNKNOWN}2",
        )
        served: dict[str, Field] = {"endpoint": "opc.tcp://127.0.0.1:49320", "pki": "pki"}
        finding.line("kepware-server", "opcua", served, nodes)
    return finding.done()


def _rows(text: str) -> list[dict[str, str]]:
    """Read the table: Excel's BOM and `;` are taken, comment lines are not. Raises `Refused`."""
    lines = [line for line in text.removeprefix("\ufeff").splitlines() if line.strip() and not line.startswith("#")]
    if not lines:
        raise Refused("the table is empty")
    comma = ";" if lines[0].count(";") > lines[0].count(",") else ","
    try:
        rows = list(csv.reader(io.StringIO("\n".join(lines)), delimiter=comma, strict=True))
    except csv.Error as fault:
        raise Refused(f"not a table: {fault}") from fault
    columns = [cell.strip() for cell in rows[0]]
    if not _NEEDED.issubset(columns):
        raise Refused(f"not a tag export: columns {' and '.join(sorted(_NEEDED))} are wanted")
    return [dict(zip(columns, map(str.strip, row), strict=False)) for row in rows[1:]]


def _tag(one: Taking) -> dict[str, str]:
    """Take all but the address."""
    asset, _, called = one.text("Tag Name").rpartition(".")
    cells = {"asset": plain_name(asset or "device"), "tag": plain_name(called), "unit": one.text("Eng Units")}
    cells["unit"] = cells["unit"] or one.text("Eng. Units")
    if rate := one.number("Scan Rate"):
        cells["every"] = duration(max(0.001, rate / 1000))
    cells |= dict(_scaling(one))
    if one.text("Client Access").upper() in {"R/W", "RW", "WO"}:
        one.note("could be written there: here it is read; see [[line.….target]] for OPC UA")
    one.known("is for people: not taken over", "Description")
    one.settled("Respect Data Type", "Scaled Data Type")
    if one.text("Negate Value").lower() in {"1", "true"}:
        cells["scale"] = number_text(-float(cells.get("scale", 1)))
        cells |= {"offset": number_text(-float(cells["offset"]))} if "offset" in cells else {}
        if "low" in cells or "high" in cells:
            one.note("is negated: look its limits over")
    return cells


def _scaling(one: Taking) -> Iterator[tuple[str, str]]:
    """Turn raw low..high to scaled low..high into scale and offset; clamps become limits (outside is bad)."""
    kind = one.text("Scaling")
    ends = [one.number(key) for key in ("Raw Low", "Raw High", "Scaled Low", "Scaled High")]
    clamped = [one.text(key) in {"1", "True", "true"} for key in ("Clamp Low", "Clamp High")]
    if kind.lower() in {"", "none", "0"}:
        return
    raw_low, raw_high, low, high = ends
    if kind.lower() not in {"linear", "1"} or None in ends or raw_low == raw_high:
        one.note(f"scaling {kind} has no counterpart: the raw value is read", "Scaling")
        return
    scale = (float(high or 0) - float(low or 0)) / (float(raw_high or 0) - float(raw_low or 0))
    offset = float(low or 0) - float(raw_low or 0) * scale
    if scale not in {0, 1}:
        yield "scale", number_text(scale)
    if offset:
        yield "offset", number_text(offset)
    for name, value, wanted in (("low", low, clamped[0]), ("high", high, clamped[1])):
        if wanted and value is not None:
            one.note("was clamped there: here a value outside is bad, never clipped", name)
            yield name, number_text(value)


def _register(one: Taking) -> str | None:
    """Give the register of a Modbus address such as 400001 or 400001.3; None when it is another device's."""
    address, kind = one.text("Address"), one.text("Data Type").lower()
    number, _, bit = address.partition(".")
    if not number.isdigit() or len(number) not in {5, 6} or number[0] not in _TABLES:
        return None
    table, offset = _TABLES[number[0]], int(number[1:]) - 1
    if not 0 <= offset <= 65_535:  # noqa: PLR2004 (registers end there)
        return None
    if table in {"coil", "discrete"}:
        return register(table, offset)
    if bit.isdigit() or kind == "boolean":
        return register(table, offset, f"bit{bit or 0}")
    ours = _TYPES.get(kind, "uint16")
    if kind not in _TYPES:
        one.note(f"type {kind or 'missing'} is not known here: uint16 is read", "Data Type")
    order = "CDAB" if ours in {"int32", "uint32", "float32", "int64", "uint64", "float64"} else "ABCD"
    if order == "CDAB":
        one.note("the first word is the low one, as Kepware reads by default (CDAB): compare a known value")
    if kind == "bcd":
        one.note("BCD is read as a plain number", "Data Type")
    return register(table, offset, ours, order)
