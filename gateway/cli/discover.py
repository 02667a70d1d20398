"""`andon discover`: from an IP address to a tag table."""

import asyncio
from pathlib import Path
from typing import Any

import rich_click as click

from gateway.cli.common import config_option, output_option, show
from gateway.cli.discover_modbus import modbus
from gateway.core.errors import Misconfigured, Refused
from gateway.core.plural import plural

COLUMNS: dict[str, Any] = {
    "path": lambda row: row.path,
    "type": lambda row: row.type + ("[]" if row.rank > 0 else ""),
    "unit": lambda row: row.unit,
    "range": lambda row: "" if row.low is None else f"{row.low:g} to {row.high:g}",
    "value": lambda row: row.why or row.value,
    "access": lambda row: "rw" if row.readable and row.writable else "r" if row.readable else "-",
    "tag": lambda row: row.kind,
    "address": lambda row: row.address,
}


@click.group()
def cli() -> None:
    """Look at equipment and write a tag table of what is there: opcua, modbus."""


cli.add_command(modbus)


@cli.command()
@click.argument("endpoint", required=False)
@click.option("--line", "line", help="Take endpoint and security from this line of the settings.")
@click.option("--match", default="**", show_default=True, help="A path of globs: Line*/*/Temp*; ** is any depth.")
@click.option("--save", type=click.Path(dir_okay=False, path_type=Path), help="Write the tag table (CSV) there.")
@click.option("--force", is_flag=True, help="Write over a file that is there.")
@click.option("--asset", default="", help="Put every tag under this asset.")
@click.option("--pki", type=click.Path(file_okay=False), help="The certificate folder of `andon cert new`.")
@click.option("--policy", help="The security policy (default: Basic256Sha256).")
@click.option("--insecure", is_flag=True, help="Plain text, for a bench or a closed cell only.")
@click.option("--user", help="User name; the password stands in the environment variable of --password-env.")
@click.option("--password-env", default="ANDON_OPCUA_PASSWORD", show_default=True)
@click.option("--nodes", type=click.IntRange(1, 10_000_000), default=200_000, show_default=True, help="Most nodes.")
@click.option("--depth", type=click.IntRange(1, 100), default=32, show_default=True, help="Most levels.")
@click.option("--seconds", type=click.IntRange(1, 3600), default=120, show_default=True, help="Longest walk.")
@config_option
@output_option
def opcua(endpoint: str | None, output: str | None, **given: Any) -> None:
    """Show what an OPC UA server offers; with a way in, walk its address space and write a tag table.

    Nothing is written to the server. A walk needs --line, --pki or --insecure: there is no falling back.

    Example:  andon discover opcua opc.tcp://10.2.0.11:4840 --pki pki --match 'Line*/**' --save tags.csv
    """
    from connectors.line.opcua.browse import Bounds
    from connectors.line.opcua.discover import ask, discover, rows, table

    settings = _settings(endpoint, given)
    save: Path | None = given["save"]
    if save is not None and save.exists() and not given["force"]:
        raise Refused(f"{save} is there already: name another file, or say --force")
    if settings is None:
        _offer(asyncio.run(ask(str(endpoint))))
        click.echo("to walk its address space: --pki FOLDER (andon cert new), --line NAME, or --insecure", err=True)
        return
    bounds = Bounds(nodes=given["nodes"], depth=given["depth"], seconds=float(given["seconds"]))
    seen = asyncio.run(discover(settings, given["match"], bounds))
    _offer(seen.offer)
    _told(seen)
    variables = seen.walk.variables if seen.walk is not None else ()
    if save is None:
        show(variables, COLUMNS, output)
        return
    listed = rows(variables, given["asset"])
    save.write_text(table(listed), "utf-8")
    click.echo(
        f'{save}: {plural(len(listed), "tag")} of {plural(len(variables), "variable")}; use it with tags = "{save}"',
        err=True,
    )


def _settings(endpoint: str | None, given: dict[str, Any]) -> Any:
    """Give the settings of the connection; None when there is no way in. Raises `Misconfigured`."""
    import msgspec

    from connectors.line.opcua.settings import Settings
    from gateway.core.units import decode
    from gateway.runtime.settings import load

    if given["line"]:
        held = load(given["config"]).line.get(given["line"])
        if not isinstance(held, Settings):
            raise Misconfigured(f"no OPC UA line {given['line']!r} in the settings")
        return msgspec.structs.replace(held, endpoint=endpoint) if endpoint else held
    if not endpoint:
        raise click.UsageError("give an endpoint (opc.tcp://host:4840) or --line")
    if not endpoint.startswith("opc.tcp://"):
        raise Misconfigured(f"{endpoint!r} is not an endpoint; for example opc.tcp://10.2.0.11:4840")
    if not (given["pki"] or given["insecure"]):
        return None
    wanted: dict[str, Any] = {"name": "discover", "endpoint": endpoint, "event": [{"asset": "-"}]}
    wanted |= {name: given[name] for name in ("pki", "policy") if given[name]}
    if given["insecure"] and not given["pki"]:
        wanted["insecure"] = True
    if given["user"]:
        wanted["user"] = {"name": given["user"], "password": {"env": given["password_env"]}}
    try:
        return msgspec.convert(wanted, Settings, dec_hook=decode)
    except msgspec.ValidationError as wrong:
        raise Misconfigured(str(wrong)) from wrong


def _offer(offer: Any) -> None:
    """Say who answers, on standard error: standard output is for the variables alone."""
    click.echo(f"endpoint     {offer.endpoint}", err=True)
    for one in offer.offers:
        click.echo(f"offers       {one}", err=True)
    if offer.not_after is not None:
        click.echo(f"certificate  {offer.uri or offer.subject}, ends {offer.not_after:%Y-%m-%d}", err=True)
        click.echo(f"fingerprint  {offer.fingerprint}", err=True)
    click.echo(f"clock        {offer.ahead:+.1f} s", err=True)


def _told(seen: Any) -> None:
    about, walk = seen.about, seen.walk
    click.echo(f"server       {about.manufacturer}; {about.product} {about.version}", err=True)
    click.echo(f"profile      {about.profile.name}: {about.profile.note}", err=True)
    for uri in about.namespaces:
        click.echo(f"namespace    {uri}", err=True)
    for name, limit in about.server.items():
        click.echo(f"limit        {name} {limit}", err=True)
    rate = walk.nodes / walk.seconds if walk.seconds else 0
    click.echo(f"walked       {plural(walk.nodes, 'node')} in {walk.seconds:.1f} s ({rate:.0f} a second)", err=True)
    for place in walk.blocked[:10]:
        click.echo(f"closed       {place}", err=True)
    if walk.ended:
        click.echo(f"note         {walk.ended}", err=True)
