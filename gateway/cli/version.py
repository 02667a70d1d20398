"""`andon version`."""

from importlib.metadata import version

import rich_click as click


@click.command()
def cli() -> None:
    """Print the version."""
    click.echo(version("andon-gateway"))
