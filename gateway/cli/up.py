"""`andon up`: run the gateway."""

import os
import sys
import traceback

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

    from gateway.core.errors import AndonError
    from gateway.runtime.logs import configure
    from gateway.runtime.preflight import demand
    from gateway.runtime.settings import load

    settings = load(config)
    demand(settings)
    from gateway.cli.process import run

    configure(log_level, json=None if log_format is None else log_format == "json")
    try:
        asyncio.run(run(settings, lambda url: click.echo(f"UP {url}")))
    except AndonError:
        raise
    except Exception:  # noqa: BLE001  (a bug ends the process, also when a model hangs in its thread)
        traceback.print_exc()
        _leave(1)
    _leave(0)


def _leave(code: int) -> None:
    # All that must survive is committed and closed. A model that is still being loaded, or never ends, in its
    # thread would hold the exit back.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
