"""`andon check`: the settings, before anything is started."""

import rich_click as click

from gateway.cli.common import config_option


@click.command()
@click.argument("file", required=False)
@config_option
def cli(file: str | None, config: str | None) -> None:
    """Check the settings: every fault at once, with its place in the file and a suggestion. Exit 2 when there is one.

    Example:  andon check andon.toml
    """
    from gateway.runtime.preflight import demand, open_to_nobody
    from gateway.runtime.settings import load

    settings = load(file or config)
    demand(settings)
    if open_to_nobody(settings):
        click.echo("note: [api] lets nobody in: name an [[api.issuer]], or anonymous = [...]", err=True)
    tags = len(settings.sources)
    click.echo(
        f"{settings.file}: fine. {len(settings.assets)} assets, {tags} line sources, "
        f"{len(settings.erp)} ERPs, configuration {settings.digest}"
    )
