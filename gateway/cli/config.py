"""`andon config`: the settings file, and what was applied."""

from typing import Any

import rich_click as click

from gateway.cli.common import config_option, output_option


@click.group()
def cli() -> None:
    """Settings."""


@cli.command()
def sample() -> None:
    """Print a settings file to begin with.

    Example:  andon config sample > andon.toml
    """
    from gateway.runtime.settings import SAMPLE

    click.echo(SAMPLE.strip())


@cli.command()
@config_option
@output_option
def history(config: str | None, output: str | None) -> None:
    """List the settings that were started with, applied or rolled back, the newest first."""
    from gateway.cli.common import show as print_rows
    from gateway.cli.common import stamp
    from gateway.cli.configuring import history as rows_of

    columns: dict[str, Any] = {
        "number": lambda row: row.number,
        "at": lambda row: stamp(row.at),
        "digest": lambda row: row.digest,
        "outcome": lambda row: row.outcome,
        "why": lambda row: row.detail,
    }
    print_rows(rows_of(config), columns, output)


@cli.command()
@click.argument("digest")
@config_option
def show(digest: str, config: str | None) -> None:
    """Print settings of the history by their digest, to go back to them.

    Example:  andon config show 0c1d2e3f4a5b > andon.toml
    """
    from gateway.cli.configuring import history as rows_of
    from gateway.core.errors import Missing

    found = next((row for row in rows_of(config) if row.digest == digest), None)
    if found is None:
        raise Missing(f"no settings {digest} in the history; `andon config history` shows what there is")
    click.echo(found.text, nl=False)
