"""`andon report`: quality reports, sent to the gateway or read offline."""

import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import rich_click as click

from gateway.cli.exits import Exit
from gateway.cli.report_submit import submit
from gateway.core.plural import plural

if TYPE_CHECKING:
    from gateway.core.asset import Plant
    from gateway.core.ports import Interpreter
    from gateway.core.report import Extraction

_LONGEST_LINE = 1_000_000
_OF_A_REPORT = frozenset({"id", "text", "reported_at", "asset_hint"})


@click.group()
def cli() -> None:
    """Quality reports: submit, parse."""


cli.add_command(submit)


@cli.command()
@click.option(
    "--site",
    required=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The plant: TOML with [site] and [[asset]].",
)
@click.option(
    "--engine",
    type=click.Choice(["lite", "encoder"]),
    default="lite",
    show_default=True,
    help="Grammar and lexicon alone, or with the network.",
)
@click.option(
    "-o",
    "--output",
    type=click.Choice(["table", "jsonl"]),
    default=None,
    help="Default: a table on a terminal, JSON lines when piped.",
)
@click.argument("file", type=click.File("rb"), default="-")
def parse(site: Path, engine: str, output: str | None, file: BinaryIO) -> None:
    """Read reports (JSON lines from FILE or standard input) and print what was understood. Stores nothing.

    A line that is no report is named on standard error, the others are read, and the exit code is 5.
    """
    from nlp.interpret import open_interpreter

    plant = load_site(site)
    interpreter = open_interpreter("encoder" if engine == "encoder" else "lite")
    chosen = output or ("table" if sys.stdout.isatty() else "jsonl")
    seen = Seen()
    rows = extractions(file, plant, interpreter, seen)
    if chosen == "jsonl":
        write = sys.stdout.buffer.write
        for row in rows:
            write(line_of(row))
    else:
        from gateway.cli.common import table

        table(
            list(rows),
            {
                name: _shown(name)
                for name in (
                    "id",
                    "intent",
                    "fine_intent",
                    "asset",
                    "failure_modes",
                    "defects",
                    "due",
                    "action",
                    "route",
                )
            },
        )
    if seen.failed:
        sys.stdout.flush()
        click.echo(f"{seen.failed} of {plural(seen.lines, 'line')} could not be read", err=True)
        sys.exit(Exit.NOT_ALL)


class Seen:
    """How many lines were there, and how many were no reports."""

    def __init__(self) -> None:
        self.lines = 0
        self.failed = 0


def extractions(lines: BinaryIO, plant: "Plant", interpreter: "Interpreter", seen: Seen) -> "Iterator[Extraction]":
    """Read each line; say on standard error which is no report and why. Empty lines are passed over.

    What else stands in a line (a language, a gold label) is left unread: files of others are read as they are.
    """
    import msgspec

    from gateway.core.report import QualityReport

    decoder = msgspec.json.Decoder(dict[str, msgspec.Raw])
    for number, line in enumerate(lines, 1):
        content = line.strip(b"\xef\xbb\xbf \t\r\n")
        if not content:
            continue
        seen.lines += 1
        try:
            if len(content) > _LONGEST_LINE:
                raise msgspec.ValidationError(f"the line is longer than {_LONGEST_LINE} bytes")
            told = {key: value for key, value in decoder.decode(content).items() if key in _OF_A_REPORT}
            report = msgspec.json.decode(msgspec.json.encode(told), type=QualityReport)
        except (msgspec.DecodeError, UnicodeDecodeError) as bad:
            seen.failed += 1
            click.echo(f"line {number}: {bad}", err=True)
            continue
        yield interpreter.interpret(report, plant)


def line_of(row: "Extraction") -> bytes:
    """One extraction as a line of JSON."""
    import msgspec

    return msgspec.json.encode(row) + b"\n"


def load_site(path: Path) -> "Plant":
    """Read [site] and [[asset]] of a TOML file; other tables are passed over.

    Raises `Misconfigured` with every fault.
    """
    import msgspec

    from gateway.core.asset import Asset, Plant, Site
    from gateway.core.errors import Misconfigured
    from gateway.core.units import decode
    from gateway.runtime.faults import Fault, faults, places

    try:
        text = path.read_text("utf-8-sig")
        content: dict[str, Any] = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as bad:
        raise Misconfigured(f"{path}: {bad}") from bad
    site, assets = content.get("site", {}), content.get("asset", [])
    found = list(faults(site, Site, "site"))
    if isinstance(assets, list):
        for at, asset in enumerate(assets):
            found += faults(asset, Asset, f"asset[{at}]")
        found += _twice(assets)
    else:
        found.append(Fault("asset", "Expected [[asset]] tables"))
    if not found:
        plant = Plant(
            msgspec.convert(site, Site, dec_hook=decode),
            tuple(msgspec.convert(row, Asset, dec_hook=decode) for row in assets),
        )
        try:
            _ = plant.site.zone
        except (ValueError, OSError, LookupError):
            found.append(
                Fault(
                    "site.timezone", f"{plant.site.timezone!r} is no time zone", 'an IANA name such as "Asia/Shanghai"'
                )
            )
        else:
            return plant
    known = places(text)
    raise Misconfigured(f"{path}: {plural(len(found), 'fault')}", tuple(one.said(known, str(path)) for one in found))


def _twice(assets: list[Any]) -> "Iterator[Any]":
    from gateway.runtime.faults import Fault

    seen: set[str] = set()
    for at, asset in enumerate(assets):
        name = asset.get("id") if isinstance(asset, dict) else None
        if isinstance(name, str) and name in seen:
            yield Fault(f"asset[{at}].id", f"{name!r} stands twice")
        if isinstance(name, str):
            seen.add(name)


def _shown(name: str) -> Any:
    def show(row: Any) -> object:
        value = getattr(row, name)
        return " ".join(value) if isinstance(value, tuple) else value

    return show
