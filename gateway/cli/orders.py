"""`andon orders`: work orders and their delivery."""

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import rich_click as click

from gateway.cli.common import ACTOR, States, config_option, note_unknown, output_option, printable, show, with_store
from gateway.cli.exits import Exit
from gateway.core.plural import plural

_RESTS = ("DELIVERED", "WITHDRAWN")
COLUMNS: dict[str, Any] = {
    "key": lambda row: row.order.key,
    "asset": lambda row: row.order.asset,
    "trouble": lambda row: row.order.failure_mode,
    "priority": lambda row: row.order.priority,
    "source": lambda row: row.order.source.kind,
    "state": lambda row: row.delivery.state,
    "next": lambda row: "" if row.delivery.state in _RESTS else row.delivery.task,
    "attempts": lambda row: row.delivery.attempt,
    "version": lambda row: f"{row.delivery.sent or '-'}/{row.delivery.version}",
    "ERP number": lambda row: row.delivery.erp_number,
    "ERP status": lambda row: row.erp_status,
    "means": lambda row: "" if row.erp_state == "unknown" else row.erp_state,
    "reason": lambda row: row.delivery.reason,
}

_AGAIN = "waits again"


@click.group()
def cli() -> None:
    """Work orders and their delivery."""


@cli.command("list")
@click.option("--state", type=States(["WAITING", "SENDING", "DELIVERED", "UNCERTAIN", "PARKED", "WITHDRAWN"]))
@click.option("--task", type=click.Choice(["create", "amend", "cancel", "drop"]), help="What has to be done next.")
@click.option("--behind", is_flag=True, help="Those that the ERP would not have changed, or taken back.")
@click.option("--asset", help="Orders of one asset.")
@click.option("--erp", help="Orders to one ERP, by its name in the settings.")
@click.option("--erp-state", type=click.Choice(["open", "done", "cancelled", "unknown"]), help="How they stand there.")
@click.option("--limit", default=100, show_default=True, type=click.IntRange(1, 10_000))
@config_option
@output_option
def list_orders(limit: int, config: str | None, output: str | None, **wanted: Any) -> None:
    """List work orders, newest first; PARKED ones say why.

    Examples:  andon orders list --state PARKED   |   andon orders list --behind
    """

    async def act(settings: Any, store: Any) -> Any:
        found = await store.read(lambda tx: tx.orders(**wanted, limit=limit))
        if not found:
            _unknown(settings, wanted["asset"], wanted["erp"])
        return found

    show(with_store(config, act), COLUMNS, output)


def _unknown(settings: Any, asset: str | None, erp: str | None) -> None:
    """Say that a name which finds nothing is none of the settings: it may be mistyped, or an old one."""
    note_unknown(settings, asset)
    if erp is not None and erp not in settings.erp:
        known = ", ".join(settings.erp) or "none"
        click.echo(f"note: the settings have no ERP {erp!r}; there is: {known}", err=True)


@cli.command("show")
@click.argument("key")
@config_option
@output_option
def show_order(key: str, config: str | None, output: str | None) -> None:
    """Show one order with its history: versions, what was done, how it stands in the ERP. Exit 3 when there is none.

    `-o json` prints it whole.
    """
    from gateway.cli.orders_show import history, printed

    found = with_store(config, lambda _, store: store.read(lambda tx: history(tx, key)))
    if found is None:
        click.echo(f"no order {key}; `andon orders list` shows what there is", err=True)
        sys.exit(Exit.NOT_THERE)
    if output == "table" or (output is None and sys.stdout.isatty()):
        printed(found)
    else:
        show([found.whole()], {}, output)


@cli.command()
@click.argument("key")
@click.option("--to", required=True, type=click.Path(dir_okay=False, path_type=Path), help="A zip file to write.")
@click.option("--version", "number", type=click.IntRange(1), help="A version of the order (default: the newest).")
@config_option
def export(key: str, to: Path, number: int | None, config: str | None) -> None:
    """Write an order with its capsule and all evidence into one file. Exit 3 when there is no such order.

    `andon verify --file` proves it anywhere, without this store.

    Example:  andon orders export AN3K7Q0V9W2ZT4E1MPRX --to order.zip
    """
    from gateway.runtime.parcel import pack
    from gateway.runtime.proof import dossier_of

    async def act(_: Any, store: Any) -> Any:
        return await dossier_of(store, key, number)

    found = with_store(config, act)
    if found is None:
        version = "" if number is None else f" version {number}"
        click.echo(f"no order {key}{version}; `andon orders list` shows what there is", err=True)
        sys.exit(Exit.NOT_THERE)
    pack(found, to)
    click.echo(f"{to}: version {found.order.version}, {plural(len(found.blobs), 'piece')}")


@cli.command()
@click.argument("keys", nargs=-1, required=True)
@config_option
def redeliver(keys: tuple[str, ...], config: str | None) -> None:
    """Let parked orders wait for delivery again, with the same key; and changes that the ERP refused.

    Exit 5 when some were neither.
    """
    from gateway.core.errors import Missing
    from gateway.flow.redeliver import send_again

    def step(tx: Any) -> dict[str, str]:
        at = datetime.now(UTC)
        told = {}
        for key in dict.fromkeys(keys):
            try:
                done = send_again(tx, key, at, ACTOR)
                state = done.order.delivery.state
                told[key] = _AGAIN if done.again else f"is {state}: there is nothing to send again"
            except Missing:
                told[key] = "there is no such order; `andon orders list` shows what there is"
        return told

    async def act(_: Any, store: Any) -> Any:
        return await store.write(step)

    told = with_store(config, act)
    for key, what in told.items():
        click.echo(f"{key}: {what}")
    sys.exit(Exit.DONE if set(told.values()) == {_AGAIN} else Exit.NOT_ALL)


@cli.command()
@click.argument("key")
@click.option("--reason", required=True, help="Why; it goes to the ERP and into the audit trail.")
@click.option(
    "--ruling",
    type=click.Choice(["false", "cancelled"]),
    default="false",
    show_default=True,
    help="false: there was no trouble. cancelled: there was, and nobody shall work on it.",
)
@config_option
def cancel(key: str, reason: str, ruling: Any, config: str | None) -> None:
    """Take an order back, and say what will happen. Exit 3 without such an order, 1 when it cannot be taken back.

    The gateway may run meanwhile. What was never sent is dropped; else the ERP is asked, and whoever has begun wins. An
    ERP that takes no orders back (its settings have no cancel) is named at once.

    Example:  andon orders cancel AN3K7Q0V9W2ZT4E1MPRX --reason "the sensor was loose"
    """
    from gateway.core.errors import Missing
    from gateway.flow.withdraw import withdraw

    if not reason.strip():
        raise click.BadParameter("say why: it goes to the ERP and into the audit trail", param_hint="--reason")

    async def act(settings: Any, store: Any) -> Any:
        closed = _closed(settings)
        await withdraw(store, key, reason, ACTOR, lambda: datetime.now(UTC), ruling=ruling, closed=closed)
        return await store.read(lambda tx: tx.order(key))

    try:
        held = with_store(config, act)
    except Missing:
        click.echo(f"no order {key}; `andon orders list` shows what there is", err=True)
        sys.exit(Exit.NOT_THERE)
    click.echo(f"{key}: {printable(_what_follows(held.delivery))}")


def _closed(settings: Any) -> Any:
    """Give what says of an ERP why no order is taken back there. Nobody knows without the secrets of the ERP."""
    from functools import partial

    from gateway.core.errors import Misconfigured
    from gateway.flow.takes_back import why_not

    erp = settings.the_erp
    if erp is None:
        return partial(why_not, known="", can=None)
    try:
        can = erp.open().capabilities  # a constructor only keeps what it is given: nothing to close
    except Misconfigured as unknown:
        click.echo(f"note: whether {erp.name} takes orders back is not known here: {unknown}", err=True)
        can = None
    return partial(why_not, known=erp.name, can=can)


def _what_follows(way: Any) -> str:
    if way.state == "WITHDRAWN":
        return "is taken back" if way.erp_number else "is dropped: nothing of it had left"
    if way.state in {"SENDING", "UNCERTAIN"}:
        return f"{way.erp} is asked first what became of it, then to cancel it; see `andon orders show`"
    number = f" {way.erp_number}" if way.erp_number else ""
    return f"{way.erp} will be asked to cancel{number}; it may refuse where work has begun: see `andon orders show`"
