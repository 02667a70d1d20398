"""`andon import`: what another gateway was told, as our settings and tag tables."""

import asyncio
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import rich_click as click

from gateway.core.errors import Misconfigured, Refused
from gateway.core.plural import plural

_SHOWN = 3
_MOST_BYTES = 64 * 1024 * 1024


@click.group()
def cli() -> None:
    """Take over the configuration of another gateway: telegraf, opcpublisher, thingsboard, kepware.

    Settings go to standard output, or with --save to a folder as andon.toml and one tag table (CSV) a line. What
    could not be taken over is named on standard error: nothing is dropped silently, no password is copied.

    Example:  andon import telegraf telegraf.conf --save imported
    """


def _command(name: str, told: str, *, several: bool) -> click.Command:
    """Make the command of one kind of file."""

    def run(**given: Any) -> None:
        files = [Path(one) for one in (given["files"] if several else (given["file"],))]
        _take_over(name, files, given)

    parameters: list[click.Parameter] = [
        click.Argument(["files"], nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False))
        if several
        else click.Argument(["file"], type=click.Path(exists=True, dir_okay=False)),
        click.Option(["--save"], type=click.Path(file_okay=False, path_type=Path), help="Write into this folder."),
        click.Option(["--server"], metavar="URL", help="Look namespaces (ns=) up in this OPC UA server."),
        click.Option(["--pki"], default="pki", show_default=True, help="The certificates for --server."),
        click.Option(["--policy"], help="The security policy for --server."),
        click.Option(["--insecure"], is_flag=True, help="Ask --server in plain text."),
        click.Option(["--user"], help="The user for --server."),
        click.Option(["--password-env"], default="ANDON_OPCUA_PASSWORD", show_default=True, help="Its password."),
        click.Option(["--all-notes"], is_flag=True, help="Tell every note, also those that say the same."),
    ]
    return click.RichCommand(name=name, callback=run, params=parameters, help=told, short_help=told)


_KINDS = {
    "telegraf": "A telegraf.conf: its inputs modbus, opcua and opcua_listener.",
    "opcpublisher": "OPC Publisher's published nodes file (pn.json).",
    "thingsboard": "Connector files (JSON) of the ThingsBoard gateway: modbus.json, opcua.json.",
    "kepware": "A tag table (CSV) that Kepware exported.",
}
for _name, _told in _KINDS.items():
    cli.add_command(_command(_name, _told, several=_name == "thingsboard"))


def _take_over(kind: str, files: Sequence[Path], given: dict[str, Any]) -> None:
    from connectors.line import importers
    from gateway.runtime.settings import parse

    namespaces = asyncio.run(_namespaces(given)) if given["server"] else ()
    read: Callable[[str, Sequence[str]], Any] = getattr(importers, kind)
    found = importers.joined(_read(read, file, namespaces) for file in files)
    _tell(found.notes, everything=given["all_notes"])
    if not found.lines:
        raise Refused("nothing was found that could be taken over")
    source = ", ".join(file.name for file in files)
    if given["save"] is None:
        text = importers.toml_of(found, source=source)
        parse(text, "what was taken over")
        click.echo(text, nl=False)
    else:
        _save(found, given["save"], source)
    _next(found)


def _read(read: Callable[[str, Sequence[str]], Any], file: Path, namespaces: Sequence[str]) -> Any:
    if file.stat().st_size > _MOST_BYTES:
        raise Refused(f"{file} is too large to be a configuration")
    try:
        return read(file.read_text("utf-8-sig"), namespaces)
    except UnicodeDecodeError as bad:
        raise Refused(f"{file} is not UTF-8 text") from bad
    except Refused as no:
        raise Refused(f"{file}: {no}") from no


def _save(found: Any, folder: Path, source: str) -> None:
    """Write the settings and the tables; never over what is there. Raises `Refused`."""
    from connectors.line import importers
    from gateway.runtime.settings import parse

    tables = {line.name: folder / f"{line.name}.csv" for line in found.lines}
    settings = folder / "andon.toml"
    for path in (settings, *tables.values()):
        if path.exists():
            raise Refused(f"{path} is there already: name another folder")
    text = importers.toml_of(found, {name: path.as_posix() for name, path in tables.items()}, source)
    parse(text, str(settings))
    folder.mkdir(parents=True, exist_ok=True)
    for line in found.lines:
        tables[line.name].write_text(importers.csv_of(line), "utf-8")
        click.echo(f"{tables[line.name]}: {plural(len(line.tags), 'tag')}", err=True)
    settings.write_text(text, "utf-8")
    click.echo(f"{settings}: check it with  andon check {settings}", err=True)


def _tell(notes: Sequence[Any], *, everything: bool) -> None:
    """Tell the notes; those that say the same of many places are told once, with the first places."""
    places: dict[str, list[str]] = {}
    for note in notes:
        places.setdefault(note.told, []).append(note.where)
    for told, where in places.items():
        shown = where if everything else where[:_SHOWN]
        more = f" and {len(where) - len(shown)} more" if len(shown) < len(where) else ""
        click.echo(f"note: {', '.join(shown)}{more}: {told}", err=True)


def _next(found: Any) -> None:
    """Say what the settings need before they are right."""
    for name in found.secrets:
        click.echo(f"needs: the environment variable {name}", err=True)
    if any("pki" in line.fields for line in found.lines) and not Path("pki/own/certs").is_dir():
        click.echo("needs: certificates: andon cert new pki", err=True)
    if sys.stdout.isatty():
        click.echo("next: give each tag its unit, low and high; then andon check --live", err=True)


async def _namespaces(given: dict[str, Any]) -> Sequence[str]:
    """Read the namespaces of a server, in its order. Raises `Unreachable`, `Misconfigured`."""
    import msgspec

    from connectors.line.opcua.checkup import namespaces
    from connectors.line.opcua.settings import Settings

    wanted: dict[str, Any] = {"name": "import", "endpoint": given["server"], "tags": "none", "policy": given["policy"]}
    wanted |= {"insecure": True} if given["insecure"] else {"pki": given["pki"]}
    if given["user"]:
        wanted["user"] = {"name": given["user"], "password": {"env": given["password_env"]}}
    try:
        settings = msgspec.convert(wanted, Settings)
    except msgspec.ValidationError as wrong:
        raise Misconfigured(str(wrong)) from wrong
    return await namespaces(settings)
