"""`andon audit`: the trail of what was decided and done."""

import sys
from functools import partial
from typing import Any

import rich_click as click

from gateway.cli.common import config_option, output_option, show, stamp, with_store
from gateway.cli.exits import Exit
from gateway.core.plural import plural

COLUMNS: dict[str, Any] = {
    "number": lambda row: row.number,
    "at": lambda row: stamp(row.at),
    "event": lambda row: row.event,
    "subject": lambda row: row.subject,
    "detail": lambda row: row.detail,
}
_PAGE = 1000


@click.group()
def cli() -> None:
    """The audit trail."""


@cli.command("list")
@click.option("--after", default=0, type=click.IntRange(0, 2**63 - 1), help="Lines after this number.")
@click.option("--limit", default=100, show_default=True, type=click.IntRange(1, 10_000))
@config_option
@output_option
def list_lines(after: int, limit: int, config: str | None, output: str | None) -> None:
    """List audit lines, oldest first."""

    async def act(_: Any, store: Any) -> Any:
        return await store.read(lambda tx: list(tx.audit(after=after, limit=limit)))

    show(with_store(config, act), COLUMNS, output)


@cli.command("verify")
@config_option
def verify_chain(config: str | None) -> None:
    """Recompute the chain of hashes. Exit 6 and the line's number when one was altered."""
    from gateway.store.audit import verify

    lines = with_store(config, _whole)
    broken = verify(lines)
    if broken is not None:
        click.echo(f"the chain breaks at line {broken}", err=True)
        sys.exit(Exit.AILING)
    click.echo(f"{plural(len(lines), 'line')}, chain whole")


async def _whole(_: Any, store: Any) -> list[Any]:
    """Read the trail page by page."""
    lines: list[Any] = []
    after = 0
    while True:
        page = await store.read(partial(_page, after))
        lines += page
        if len(page) < _PAGE:
            return lines
        after = page[-1].number


def _page(after: int, tx: Any) -> list[Any]:
    return list(tx.audit(after=after, limit=_PAGE))
