"""`andon config`: the settings file."""

import rich_click as click


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
