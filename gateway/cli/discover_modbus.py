"""`andon discover modbus`: which units answer, which registers are there, and what they may mean."""

import asyncio
from pathlib import Path
from typing import Any

import rich_click as click

from gateway.cli.common import config_option, output_option, show
from gateway.core.errors import Misconfigured, Refused, Unreachable
from gateway.core.plural import plural

_MOST_UNITS = 32
_NOBODY = "another unit number (--units 1..247), a longer --timeout? Is it Modbus that is spoken there?"


@click.command()
@click.argument("endpoint", required=False)
@click.option("--line", "line", help="Take the endpoint and its certificates from this line of the settings.")
@click.option(
    "--units", default=f"1..{_MOST_UNITS}", show_default=True, help="Unit numbers to look for: 1..247 or 1,2,9."
)
@click.option("--unit", type=click.IntRange(0, 255), help="Look at this unit's registers.")
@click.option("--registers", help="Which ones: 100..110, input:0..99 or holding:40101..40110.")
@click.option("--as", "kind", default="", help="With --save: the type of every tag, for example float32:CDAB.")
@click.option("--save", type=click.Path(dir_okay=False, path_type=Path), help="Write a tag table (CSV) there.")
@click.option("--force", is_flag=True, help="Write over a file that is there.")
@click.option("--asset", default="UNKNOWN", show_default=True, help="With --save: the asset of every tag.")
@click.option("--timeout", type=click.IntRange(20, 10_000), default=500, show_default=True, help="Milliseconds.")
@click.option("--questions", type=click.IntRange(1, 100_000), default=2000, show_default=True, help="Most questions.")
@click.option("--seconds", type=click.IntRange(1, 3600), default=60, show_default=True, help="Longest look.")
@config_option
@output_option
def modbus(endpoint: str | None, output: str | None, **given: Any) -> None:
    """Find the units of a Modbus line; with --unit and --registers decode those in every type and byte order.

    Reads only. Without --registers the units are looked for; --save writes the registers that are there as tags.

    Example:  andon discover modbus tcp://10.2.0.12 --unit 1 --registers 100..110
    """
    from connectors.line.modbus.discover import Bounds, Look, numbers_of, range_of, table_of

    wire = _wire(endpoint, given)
    bounds, save = Bounds(given["questions"], float(given["seconds"])), given["save"]
    if save is not None and save.exists() and not given["force"]:
        raise Refused(f"{save} is there already: name another file, or say --force")
    try:
        unit = given["unit"]
        if given["registers"] is None and unit is None:
            seen = asyncio.run(_looked(wire, lambda: Look(wire, bounds).units(numbers_of(given["units"]))))
            _ended(seen)
            if not seen.units:
                raise Unreachable(f"none of the units {given['units']} answers: {seen.ended or _NOBODY}")
            show(seen.units, {"unit": lambda row: row.unit, "said": lambda row: row.said}, output)
            return
        span = range_of(given["registers"] or "holding:0..199")
        seen = asyncio.run(_looked(wire, lambda: Look(wire, bounds).rows(1 if unit is None else unit, *span)))
        _ended(seen)
        if not seen.stretches:
            raise _nothing(seen)
        if save is None:
            show(seen.rows, _columns(), output)
            return
        text = table_of(seen.stretches, given["kind"], given["asset"], 1 if unit is None else unit)
    except ValueError as wrong:
        raise Misconfigured(str(wrong)) from wrong
    save.write_text(text, "utf-8")
    click.echo(f'{save}: {plural(text.count(chr(10)) - 1, "tag")}; use it with tags = "{save}"', err=True)


async def _looked(wire: Any, look: Any) -> Any:
    try:
        return await look()
    finally:
        wire.drop()
        await asyncio.sleep(0)  # the socket closes in the next turn of the loop


def _wire(endpoint: str | None, given: dict[str, Any]) -> Any:
    """Give the connection that is meant. Raises `Misconfigured`."""
    from connectors.line.modbus.endpoint import parse_endpoint
    from connectors.line.modbus.settings import Settings
    from connectors.line.modbus.wire import Wire
    from gateway.runtime.settings import load

    timeout = given["timeout"] / 1000
    if given["line"]:
        held = load(given["config"]).line.get(given["line"])
        if not isinstance(held, Settings):
            raise Misconfigured(f"no Modbus line {given['line']!r} in the settings")
        tls = held.tls
        return Wire(held.place, timeout, tls.context() if tls else None, tls.server_name if tls else "")
    if not endpoint:
        raise click.UsageError("give an endpoint (tcp://host:502, rtu:///dev/ttyUSB0) or --line")
    try:
        place = parse_endpoint(endpoint)
    except ValueError as wrong:
        raise Misconfigured(str(wrong)) from wrong
    if place.scheme == "tls":
        raise Misconfigured("a tls:// endpoint has certificates: write it as a line of the settings and say --line")
    return Wire(place, timeout)


def _nothing(seen: Any) -> Exception:
    """Say why there is no register to show."""
    if seen.ended:
        return Unreachable(f"{seen.ended}: {_NOBODY}")
    return Refused("the unit answers, and has none of these registers: another table, another range, counted from 1?")


def _ended(seen: Any) -> None:
    click.echo(f"asked        {seen.questions} questions in {seen.seconds:.1f} s", err=True)
    for stretch in seen.stretches:
        click.echo(f"there        {stretch.table} {stretch.start} to {stretch.end}", err=True)
    if seen.ended:
        click.echo(f"note         ended early: {seen.ended}", err=True)


def _columns() -> dict[str, Any]:
    """The table: what is likely a measured value is written out, the rest is a dash."""
    from connectors.line.modbus.discover import ORDERS, likely

    columns: dict[str, Any] = {
        "register": lambda row: row.offset,
        "raw": lambda row: f"0x{row.raw:04X}",
        "int16": lambda row: row.int16,
        "text": lambda row: row.text,
    }

    def of(field: str, place: int) -> Any:
        def cell(row: Any) -> str:
            values = getattr(row, field)
            return "" if not values else f"{values[place]:.6g}" if likely(values[place]) else "-"

        return cell

    for field in ("float32", "int32"):
        for place, order in enumerate(ORDERS):
            columns[f"{field} {order}"] = of(field, place)
    return columns
