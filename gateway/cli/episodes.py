"""`andon episodes`: troubles on the line."""

from typing import Any

import rich_click as click

from gateway.cli.common import config_option, note_unknown, output_option, show, stamp, with_store

COLUMNS: dict[str, Any] = {
    "key": lambda row: row.key,
    "asset": lambda row: row.asset or row.subject,
    "trouble": lambda row: row.failure_mode,
    "state": lambda row: row.state,
    "since": lambda row: stamp(row.started_at),
    "hits": lambda row: row.hits,
    "confidence": lambda row: f"{row.peak_confidence:.2f}",
    "decision": lambda row: row.decision,
    "ruled": lambda row: row.ruled,
    "reports": lambda row: len(row.reports),
}


@click.group()
def cli() -> None:
    """Troubles on the line."""


@cli.command("list")
@click.option("--asset", help="Troubles of one asset.")
@click.option("--live", is_flag=True, help="Only those that are not over.")
@click.option("--limit", default=100, show_default=True, type=click.IntRange(1, 10_000))
@config_option
@output_option
def list_episodes(asset: str | None, live: bool, limit: int, config: str | None, output: str | None) -> None:
    """List episodes, newest first."""

    async def act(settings: Any, store: Any) -> Any:
        found = await store.read(lambda tx: tx.episodes(asset, live=live, limit=limit))
        if not found:
            note_unknown(settings, asset)
        return found

    show(with_store(config, act), COLUMNS, output)
