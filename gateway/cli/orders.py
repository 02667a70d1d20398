"""`andon orders`: work orders and their delivery."""

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import rich_click as click

from gateway.cli.common import config_option, output_option, show, with_store

COLUMNS: dict[str, Any] = {
    "key": lambda row: row.order.key,
    "asset": lambda row: row.order.asset,
    "trouble": lambda row: row.order.failure_mode,
    "priority": lambda row: row.order.priority,
    "source": lambda row: row.order.source.kind,
    "state": lambda row: row.delivery.state,
    "attempts": lambda row: row.delivery.attempt,
    "ERP number": lambda row: row.delivery.erp_number,
    "ERP status": lambda row: row.erp_status,
    "reason": lambda row: row.delivery.reason,
}

_AGAIN = "waits again"


@click.group()
def cli() -> None:
    """Work orders and their delivery."""


@cli.command("list")
@click.option("--state", type=click.Choice(["WAITING", "SENDING", "DELIVERED", "UNCERTAIN", "PARKED", "WITHDRAWN"]))
@click.option("--asset", help="Orders of one asset.")
@click.option("--limit", default=100, show_default=True, type=click.IntRange(1, 10_000))
@config_option
@output_option
def list_orders(state: str | None, asset: str | None, limit: int, config: str | None, output: str | None) -> None:
    """List work orders, newest first; PARKED ones say why.

    Example:  andon orders list --state PARKED
    """

    async def act(_: Any, store: Any) -> Any:
        return await store.read(lambda tx: tx.orders(state=state, asset=asset, limit=limit))

    show(with_store(config, act), COLUMNS, output)


@cli.command("show")
@click.argument("key")
@config_option
def show_order(key: str, config: str | None) -> None:
    """Print one order whole, as JSON. Exit 3 when there is none."""

    async def act(_: Any, store: Any) -> Any:
        return await store.read(lambda tx: tx.order(key))

    found = with_store(config, act)
    if found is None:
        click.echo(f"no order {key}; `andon orders list` shows what there is", err=True)
        sys.exit(3)
    show([found], COLUMNS, "json")


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
        sys.exit(3)
    pack(found, to)
    click.echo(f"{to}: version {found.order.version}, {len(found.blobs)} pieces")


@cli.command()
@click.argument("keys", nargs=-1, required=True)
@config_option
def redeliver(keys: tuple[str, ...], config: str | None) -> None:
    """Let parked orders wait for delivery again, with the same key. Exit 5 when some were not parked."""

    def step(tx: Any) -> dict[str, str]:
        at = datetime.now(UTC)
        told = {}
        for key in dict.fromkeys(keys):
            if tx.order(key) is None:
                told[key] = "there is no such order; `andon orders list` shows what there is"
            elif tx.redeliver(key, at):
                tx.note("order.redelivered", key, at)
                told[key] = _AGAIN
            else:
                told[key] = "is not parked"
        return told

    async def act(_: Any, store: Any) -> Any:
        return await store.write(step)

    told = with_store(config, act)
    for key, what in told.items():
        click.echo(f"{key}: {what}")
    sys.exit(0 if set(told.values()) == {_AGAIN} else 5)
