"""`andon dlq`: everything that was set aside with a reason, in one place."""

import sys
from pathlib import Path
from typing import Any

import rich_click as click

from gateway.cli.common import ACTOR, config_option, output_option, printable, show, stamp, with_store
from gateway.cli.exits import Exit

COLUMNS: dict[str, Any] = {
    "name": lambda row: row.name,
    "since": lambda row: stamp(row.since),
    "at": lambda row: row.at,
    "reason": lambda row: row.reason,
    "next": lambda row: row.next,
}
_KINDS = ("order", "change", "production", "event", "report", "batch")
_MOST = 10_000

_kind_option = click.option("--kind", "kinds", multiple=True, type=click.Choice(_KINDS), help="May be repeated.")


@click.group()
def cli() -> None:
    """What was set aside with a reason: orders, changes, production orders, events, reports, batches of readings."""


@cli.command("list")
@_kind_option
@click.option("--limit", default=100, show_default=True, type=click.IntRange(1, _MOST))
@config_option
@output_option
def list_set_aside(kinds: tuple[str, ...], limit: int, config: str | None, output: str | None) -> None:
    """List what was set aside, newest first: since when, why, and what to do next.

    Example:  andon dlq list --kind order --kind event
    """
    found = with_store(config, _listing(kinds, limit))
    show(found.items, COLUMNS, output)
    if found.more:
        click.echo(f"these are {len(found.items)}; there are more: see --limit and --kind", err=True)


@cli.command("show")
@click.argument("name")
@config_option
@output_option
def show_set_aside(name: str, config: str | None, output: str | None) -> None:
    """Show one thing that was set aside: why and since when, or whole with `-o json`. Exit 3 without one.

    NAME is as `andon dlq list` says it. Without a terminal it is printed whole.

    Example:  andon dlq show order:AN3K7Q0V9W2ZT4E1MPRX
    """
    from gateway.core.errors import Missing
    from gateway.flow.parked import seen, whole
    from gateway.web.masking import written

    async def act(_: Any, store: Any) -> Any:
        return await store.read(lambda tx: (seen(tx, name), whole(tx, name)))

    try:
        row, thing = with_store(config, act)
        if output == "table" or (output is None and sys.stdout.isatty()):
            for field, give in COLUMNS.items():
                click.echo(f"{field:<8}{printable(str(give(row)))}")
        else:
            show([written(thing)], {}, output or "json")
    except Missing as gone:
        click.echo(str(gone), err=True)
        sys.exit(Exit.NOT_THERE)


@cli.command()
@click.argument("names", nargs=-1)
@click.option("--all", "every", type=click.Choice(_KINDS), help="Everything of one kind, up to 10,000.")
@config_option
def retry(names: tuple[str, ...], every: str | None, config: str | None) -> None:
    """Put things back to where they were on their way. Exit 5 when some could not be.

    An order keeps its key and an event its id: nothing is made twice. The cause should be mended first.

    Examples:  andon dlq retry order:AN3K7Q0V9W2ZT4E1MPRX   |   andon dlq retry --all event
    """
    from datetime import UTC, datetime
    from functools import partial

    from gateway.core.errors import Refused
    from gateway.flow.parked import retry as put_back

    _named(names, every)

    async def act(settings: Any, store: Any) -> list[tuple[str, str, bool]]:
        listing = await _listing((every,), _MOST)(settings, store) if every else None
        chosen = names if listing is None else tuple(one.name for one in listing.items)
        told: list[tuple[str, str, bool]] = []
        for name in dict.fromkeys(chosen):
            step = partial(put_back, name=name, at=datetime.now(UTC), actor=ACTOR, produce_to=settings.production.to)
            try:
                told.append((name, await store.write(step), True))
            except Refused as no:
                told.append((name, str(no).removeprefix(f"{name} "), False))
        return told

    _tell(with_store(config, act))


@cli.command()
@click.argument("names", nargs=-1, required=True)
@click.option("--reason", required=True, help="Why; it stays in the audit trail.")
@config_option
def drop(names: tuple[str, ...], reason: str, config: str | None) -> None:
    """Give things up, for good. Exit 5 when some were not.

    An order is never dropped: `andon orders cancel` withdraws it.

    Example:  andon dlq drop event:mes/evt_0f3c --reason "the MES has it by hand"
    """
    from datetime import UTC, datetime

    from gateway.core.errors import Refused
    from gateway.flow.parked import drop as give_up

    if not reason.strip():
        raise click.BadParameter("say why: it stays in the audit trail", param_hint="--reason")

    async def act(_: Any, store: Any) -> list[tuple[str, str, bool]]:
        told: list[tuple[str, str, bool]] = []
        for name in dict.fromkeys(names):
            try:
                await give_up(store, name, reason, lambda: datetime.now(UTC), ACTOR)
                told.append((name, "is given up", True))
            except Refused as no:
                told.append((name, str(no).removeprefix(f"{name} "), False))
        return told

    _tell(with_store(config, act))


@cli.command()
@click.option("--to", "file", required=True, type=click.Path(dir_okay=False, path_type=Path), help="*.jsonl or *.csv")
@_kind_option
@config_option
def export(file: Path, kinds: tuple[str, ...], config: str | None) -> None:
    """Write what was set aside into a new file: whole as JSON lines, or its list as CSV. Nothing is taken away.

    Example:  andon dlq export --to parked.jsonl
    """
    from gateway.cli.dlq_export import check, put
    from gateway.core.errors import Missing
    from gateway.flow.parked import whole

    check(file)

    async def act(settings: Any, store: Any) -> Any:
        found = await _listing(kinds, _MOST)(settings, store)
        things = []
        for one in found.items:
            try:
                things.append((one, await store.read(lambda tx, one=one: whole(tx, one.name))))
            except Missing:  # a running gateway, or somebody else, took it up meanwhile
                continue
        return things, found.more

    things, more = with_store(config, act)
    put(file, things)
    click.echo(f"{file}: {len(things)}")
    if more:
        click.echo("there are more: export them by --kind, or after these are done with", err=True)


def _listing(kinds: tuple[Any, ...], limit: int) -> Any:
    from gateway.flow.parked import KINDS, listed

    async def act(_: Any, store: Any) -> Any:
        return await store.read(lambda tx: listed(tx, kinds or KINDS, limit))

    return act


def _named(names: tuple[str, ...], every: str | None) -> None:
    if bool(names) == bool(every):
        raise click.UsageError("name what to put back, or --all and its kind")


def _tell(told: list[tuple[str, str, bool]]) -> None:
    for name, what, _ in told:
        click.echo(printable(f"{name}: {what}"))
    if not told:
        click.echo("nothing")
    sys.exit(Exit.DONE if all(done for *_, done in told) else Exit.NOT_ALL)
