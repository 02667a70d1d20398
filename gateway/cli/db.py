"""`andon db`: the store's schema, health and copies."""

import asyncio
import sys
from functools import partial
from pathlib import Path

import rich_click as click

from gateway.cli.common import config_option
from gateway.cli.exits import Exit
from gateway.core.plural import plural
from gateway.core.ports import AuditLine, Tx
from gateway.store.settings import Settings


@click.group()
def cli() -> None:
    """The store: schema, health, copies."""


@cli.command()
@config_option
def upgrade(config: str | None) -> None:
    """Bring the schema up to date. `andon up` does it too, at its start.

    Example:  andon db upgrade
    """
    from gateway.store.schema import HEAD

    _open_and_close(_settings(config))
    click.echo(f"at revision {HEAD}")


@cli.command()
@config_option
def current(config: str | None) -> None:
    """Print the schema's revision; exit 6 when it is not this version's."""
    from gateway.store.schema import HEAD, revision_of

    found = revision_of(_settings(config))
    click.echo(f"{found or 'no database yet'}{'' if found == HEAD else f' (this version wants {HEAD})'}")
    if found != HEAD:
        sys.exit(Exit.AILING)


@cli.command()
@config_option
def check(config: str | None) -> None:
    """Read every page of the database and the whole audit trail; exit 6 when something is wrong."""
    from gateway.store.backup import check as faults_of

    settings = _settings(config)
    wrong = faults_of(settings.file) if settings.url is None else []
    if not wrong:
        broken = asyncio.run(_broken_line(settings))
        wrong = [] if broken is None else [f"the audit trail breaks at line {broken}"]
    for line in wrong:
        click.echo(line, err=True)
    if wrong:
        sys.exit(Exit.AILING)
    click.echo("database and audit trail are whole")


@cli.command()
@click.argument("target", type=click.Path(dir_okay=False, path_type=Path))
@config_option
def backup(target: Path, config: str | None) -> None:
    """Copy the database to TARGET, for its owner alone; the gateway may run meanwhile.

    What the line's sources remember (OPC UA session tokens, positions) is left out of the copy: a gateway
    that is started on it begins its sources afresh.

    Example:  andon db backup /mnt/backup/andon-monday.db
    """
    from gateway.store.backup import backup as copy

    click.echo(f"{target}: {plural(copy(_settings(config), target), 'byte')}")


@cli.command()
@click.option("--to", "target", required=True, help="Size that the journal of readings may keep, such as 1GiB.")
@config_option
def trim(target: str, config: str | None) -> None:
    """Drop the oldest readings, by hand: for `when_full = "stop_intake"`. The gateway may run meanwhile.

    What diagnosis has not read and what orders stand on stays. What went is counted and audited.

    Example:  andon db trim --to 1GiB
    """
    from gateway.cli.common import with_store
    from gateway.core.units import Size, decode
    from gateway.flow.retain import trim_to

    try:
        size = int(decode(Size, target))
    except ValueError as bad:
        raise click.BadParameter(str(bad), param_hint="--to") from bad
    held = with_store(config, lambda settings, store: trim_to(store, size, diagnosed=settings.diagnosed))
    click.echo(f"the journal holds {plural(held.values, 'value')} in {plural(held.size, 'byte')}")


def _settings(config: str | None) -> Settings:
    from gateway.runtime.settings import load

    return load(config).store


def _open_and_close(settings: Settings) -> None:
    async def run() -> None:
        await settings.open().close()

    asyncio.run(run())


def _page(after: int, tx: Tx) -> list[AuditLine]:
    return list(tx.audit(after=after))


async def _broken_line(settings: Settings) -> int | None:
    from gateway.store.audit import verify

    store = settings.open()
    try:
        before: AuditLine | None = None
        while page := await store.read(partial(_page, before.number if before else 0)):
            if (broken := verify(page, before=before)) is not None:
                return broken
            before = page[-1]
        return None
    finally:
        await store.close()
