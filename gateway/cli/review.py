"""`andon review`: reports that a person must look at."""

import sys
from typing import Any

import rich_click as click

from gateway.cli.common import config_option, output_option, show, stamp, with_store

COLUMNS: dict[str, Any] = {
    "report": lambda row: row.report.id,
    "at": lambda row: stamp(row.report.reported_at),
    "why": lambda row: ", ".join(row.extraction.why),
    "asset": lambda row: row.extraction.asset,
    "codes": lambda row: ", ".join((*row.extraction.failure_modes, *row.extraction.defects)),
    "text": lambda row: row.extraction.masked,
}


@click.group()
def cli() -> None:
    """Reports that a person must look at."""


@cli.command("list")
@click.option("--limit", default=100, show_default=True, type=click.IntRange(1, 10_000))
@config_option
@output_option
def list_reviews(limit: int, config: str | None, output: str | None) -> None:
    """List the reports in review, with the reasons; texts are masked."""

    async def act(_: Any, store: Any) -> Any:
        return await store.read(lambda tx: tx.reports(route="review", limit=limit))

    from gateway.web.masking import shown

    held = [row for row in with_store(config, act) if not row.reviewed and row.extraction is not None]
    rows = [shown(row) for row in held]  # a slot holds the words it was read from, a name too
    chosen = output or ("table" if sys.stdout.isatty() else "jsonl")
    show(rows if chosen == "table" else [row.extraction for row in rows], COLUMNS, chosen)
