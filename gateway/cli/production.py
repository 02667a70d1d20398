"""`andon production`: production orders and their way to the line."""

import sys
from datetime import UTC, datetime
from typing import Any, get_args

import msgspec
import rich_click as click

from gateway.cli.common import States, config_option, output_option, show, with_store
from gateway.cli.exits import Exit
from gateway.core.delivery import ProductionOrder
from gateway.core.production import KEPT, Handover, Standing, StoredProduction

COLUMNS: dict[str, Any] = {
    "order": lambda row: row.order.order_id,
    "material": lambda row: row.order.material_code,
    "quantity": lambda row: f"{row.order.quantity:g}",
    "due": lambda row: row.order.due_date,
    "to": lambda row: row.handover and row.handover.to,
    "state": lambda row: row.state,
    "job": lambda row: row.handover and row.handover.job,
    "attempts": lambda row: row.handover and row.handover.attempt,
    "reason": lambda row: row.handover and row.handover.reason,
}

_AGAIN = "waits to be handed over"
_STATES = get_args(Standing)


class Told(msgspec.Struct, frozen=True):
    """A production order as it stands. `handover` is None while it is KEPT: handed to nobody."""

    order: ProductionOrder
    received_at: datetime
    state: Standing
    handover: Handover | None = None


@click.group()
def cli() -> None:
    """Production orders and their way to the line."""


@cli.command("list")
@click.option("--state", type=States(_STATES), help="KEPT: handed to nobody.")
@click.option("--limit", default=100, show_default=True, type=click.IntRange(1, 10_000))
@config_option
@output_option
def list_orders(state: str | None, limit: int, config: str | None, output: str | None) -> None:
    """List production orders, newest first; PARKED and DROPPED ones say why.

    `-o json` has the same states; `handover` is null while an order is KEPT.

    Example:  andon production list --state PARKED
    """

    async def act(_: Any, store: Any) -> Any:
        return await store.read(lambda tx: tx.productions(state=state, limit=limit))

    show([_told(held) for held in with_store(config, act)], COLUMNS, output)


@cli.command("show")
@click.argument("order_id")
@config_option
@output_option
def show_order(order_id: str, config: str | None, output: str | None) -> None:
    """Print one production order whole. Exit 3 when there is none.

    Example:  andon production show PO-4711
    """

    async def act(_: Any, store: Any) -> Any:
        return await store.read(lambda tx: tx.production(order_id))

    found = with_store(config, act)
    if found is None:
        click.echo(f"no production order {order_id}; `andon production list` shows what there is", err=True)
        sys.exit(Exit.NOT_THERE)
    show([_told(found)], COLUMNS, output or "json")


@cli.command()
@click.argument("order_ids", nargs=-1, required=True)
@config_option
def hand(order_ids: tuple[str, ...], config: str | None) -> None:
    """Hand parked orders over again, or for the first time what came while [production] named nobody.

    Exit 5 when some were neither. Look at the line first when an order was parked in doubt.
    """

    async def act(settings: Any, store: Any) -> Any:
        to = settings.production.to
        if not to:
            return dict.fromkeys(order_ids, 'nobody is named: see [production] to = "…"')

        def step(tx: Any) -> dict[str, str]:
            at = datetime.now(UTC)
            told = {}
            for order_id in dict.fromkeys(order_ids):
                if tx.redeliver_production(order_id, to, at):
                    tx.note("production.handed_again", order_id, at, to)
                    told[order_id] = _AGAIN
                elif (held := tx.production(order_id)) is None:
                    told[order_id] = "there is no such order; `andon production list` shows what there is"
                else:
                    told[order_id] = f"is {held.standing}: there is nothing to hand over"
            return told

        return await store.write(step)

    told = with_store(config, act)
    for order_id, what in told.items():
        click.echo(f"{order_id}: {what}")
    sys.exit(Exit.DONE if set(told.values()) == {_AGAIN} else Exit.NOT_ALL)


def _told(held: StoredProduction) -> Told:
    state = held.standing
    return Told(held.order, held.received_at, state, None if state == KEPT else held.handover)
