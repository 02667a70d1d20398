"""`andon replay`: recorded readings or orders once more."""

import sys
from typing import Any

import rich_click as click

from gateway.cli.common import config_option, moment, note_unknown, output_option, show, stamp, with_store
from gateway.cli.exits import Exit
from gateway.core.plural import plural

TROUBLES: dict[str, Any] = {
    "verdict": lambda row: row.verdict,
    "key": lambda row: row.key,
    "asset": lambda row: row.asset,
    "trouble": lambda row: row.failure_mode,
    "since": lambda row: stamp(row.started_at),
    "confidence": lambda row: f"{row.confidence:.2f}",
}
ORDERS: dict[str, Any] = {
    "verdict": lambda row: row.verdict,
    "key": lambda row: row.key,
    "asset": lambda row: row.asset,
    "trouble": lambda row: row.failure_mode,
    "state": lambda row: row.state,
}


@click.command()
@click.option("--since", required=True, help="A time (2026-03-18T15:30) or an age (2h).")
@click.option("--until", default=None, help="A time or an age; default now.")
@click.option("--asset", default=None, help="Only this asset.")
@click.option("--stage", type=click.Choice(["diagnose", "deliver"]), default="diagnose", show_default=True)
@click.option("--dry-run", is_flag=True, help="Print what would be ordered; write nothing.")
@config_option
@output_option
def cli(
    since: str,
    until: str | None,
    asset: str | None,
    stage: str,
    dry_run: bool,
    config: str | None,
    output: str | None,
) -> None:
    """Put recorded readings (diagnose) or orders (deliver) through again. A real run cannot make a second order.

    Examples:  andon replay --since 2h --asset M-01 --dry-run   |   andon replay --since 7d --stage deliver
    """
    from gateway.flow.replay import Span
    from gateway.runtime.making import now
    from gateway.runtime.settings import load

    span = Span(moment(since), moment(until) if until else now(), asset)
    if span.since >= span.until:
        raise click.BadParameter("--since must be before --until")
    note_unknown(load(config), asset)
    if stage == "deliver":
        show(with_store(config, _Deliver(span, dry_run=dry_run)), ORDERS, output)
        return
    done = with_store(config, _Diagnose(span, dry_run=dry_run))
    show(done.troubles, TROUBLES, output)
    gone = (plural(done.batches, "batch", "batches"), plural(done.windows, "window"))
    click.echo(f"{', '.join(gone)}, {plural(len(done.troubles), 'trouble')}", err=True)
    if dry_run and any(trouble.verdict == "would order" for trouble in done.troubles):
        sys.exit(Exit.AILING)


class _Deliver:
    def __init__(self, span: Any, *, dry_run: bool) -> None:
        self._span, self._dry_run = span, dry_run

    async def __call__(self, _: Any, store: Any) -> Any:
        from gateway.flow.replay import deliver
        from gateway.runtime.making import now

        return await deliver(store, self._span, dry_run=self._dry_run, now=now(), wake=lambda: None)


class _Diagnose:
    def __init__(self, span: Any, *, dry_run: bool) -> None:
        self._span, self._dry_run = span, dry_run

    async def __call__(self, settings: Any, store: Any) -> Any:
        from gateway.runtime.again import diagnose_again

        return await diagnose_again(settings, store, self._span, dry_run=self._dry_run)
