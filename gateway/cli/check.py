"""`andon check`: the settings, before anything is started; with --live, against the equipment and the ERP."""

import asyncio
import sys
from typing import Any

import rich_click as click

from gateway.cli.common import config_option, output_option, show
from gateway.cli.exits import Exit
from gateway.core.plural import plural

_DEADLINE_S = 300.0


@click.command()
@click.argument("file", required=False)
@click.option(
    "--live",
    is_flag=True,
    help="Connect to every line and every ERP, resolve every receiver of events, and compare each tag and the mapping "
    "with what is there.",
)
@config_option
@output_option
def cli(file: str | None, live: bool, config: str | None, output: str | None) -> None:
    """Check the settings: every fault at once, with its place in the file and a suggestion. Exit 2 when there is one.

    With --live every line is connected to and every tag read once: type, unit, range, namespace, certificates. Every
    ERP is asked for credentials, rights, and its own metadata against the mapping. Each finding is named by its tag or
    field; exit 6 when one is wrong. Nothing is written to the line or the ERP: what only a write can prove gets a "?".

    Example:  andon check andon.toml --live
    """
    from gateway.runtime.preflight import demand, open_to_nobody
    from gateway.runtime.settings import load

    settings = load(file or config)
    demand(settings)
    if open_to_nobody(settings):
        click.echo("note: [api] lets nobody in: name an [[api.issuer]], a token_folder, or anonymous = [...]", err=True)
    tags = len(settings.sources)
    click.echo(
        f"{settings.file}: fine. {plural(len(settings.assets), 'asset')}, {plural(tags, 'line source')}, "
        f"{plural(len(settings.erp), 'ERP')}, configuration {settings.digest}",
        err=live,
    )
    if live:
        sys.exit(_live(settings, output))


def _live(settings: Any, output: str | None) -> int:
    """Look at every line and ERP; gives the exit code."""
    from gateway.cli.finding import COLUMNS
    from gateway.runtime.logs import configure

    configure("ERROR")
    findings = asyncio.run(_look(settings))
    show(findings, COLUMNS, output)
    wrong = sum(not finding.ok for finding in findings)
    unproven = sum(finding.ok and not finding.proven for finding in findings)
    click.echo(f"{plural(len(findings), 'finding')}, {wrong} wrong, {unproven} not proven", err=True)
    return Exit.AILING if wrong else Exit.DONE


async def _look(settings: Any) -> list[Any]:
    from gateway.cli.erp_look import look
    from gateway.cli.finding import said

    looks = [said(f"line.{source.name}", _line(source), _DEADLINE_S) for source in settings.sources]
    looks += [said(f"erp.{erp.name}", look(settings, erp), _DEADLINE_S) for erp in settings.erp.values()]
    looks += [said(f"events.{one.name}", _receiver(one, settings.events.allowed)) for one in settings.events.to]
    return [finding for group in await asyncio.gather(*looks) for finding in group]


async def _receiver(one: Any, allowed: Any) -> list[Any]:
    """Resolve a receiver's name; nothing is sent to it."""
    from gateway.cli.finding import Finding

    found = ", ".join(await one.addresses(allowed))
    told = f"would be sent to {found}; not proven without sending: andon events test {one.name}"
    return [Finding(f"events.{one.name}", ok=True, detail=told, proven=False)]


async def _line(settings: Any) -> list[Any]:
    """Inspect a source that can be inspected; listen to any other."""
    from gateway.cli.doctor import listen
    from gateway.cli.finding import Finding
    from gateway.core.ports import Inspectable

    source: Any = settings.open()
    if not isinstance(source, Inspectable):
        return await listen(settings)
    checks = await source.inspect()  # it stays unused: there is nothing to close
    return [Finding(f"line.{settings.name}.{check.name}", ok=check.ok, detail=check.said) for check in checks]
