"""`andon up`: run the gateway."""

import os
import sys

import rich_click as click

from gateway.cli.common import config_option


@click.command()
@config_option
@click.option(
    "--log-level", default="INFO", show_default=True, type=click.Choice(["DEBUG", "INFO", "WARNING", "ERROR"])
)
@click.option("--log-format", default=None, type=click.Choice(["json", "text"]), help="Default: text on a terminal.")
def cli(config: str | None, log_level: str, log_format: str | None) -> None:
    """Run the gateway: line, diagnosis, words, delivery and web in one process. Ctrl-C or SIGTERM ends it.

    Example:  andon up --config andon.toml
    """
    import asyncio

    from gateway.runtime.logs import configure
    from gateway.runtime.settings import load

    settings = load(config)
    from gateway.cli.process import run

    configure(log_level, json=None if log_format is None else log_format == "json")
    asyncio.run(run(settings, lambda url: click.echo(f"UP {url}")))
    # All that must survive is committed and closed. A model that is still being loaded in its thread would
    # hold the exit back for as long as the import takes.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)
