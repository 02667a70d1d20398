"""`andon plan`: what other settings would change in the gateway that runs."""

import rich_click as click

from gateway.cli.common import config_option


@click.command()
@click.argument("file", required=False)
@config_option
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", show_default=True)
def cli(file: str | None, config: str | None, output: str) -> None:
    """Show what FILE would change in the running gateway: which parts, which jobs, what waits for a restart.

    Without FILE: the file that the gateway was started with, as it is now. Without a running gateway the
    last applied settings are compared. Nothing is touched.

    Example:  andon plan andon.toml
    """
    from gateway.cli.configuring import asked, print_told
    from gateway.core.errors import Unreachable
    from gateway.runtime.parts import changes
    from gateway.runtime.reload import Told
    from gateway.runtime.settings import load, parse

    try:
        told = asked("plan", file, config)
    except Unreachable as lost:
        from gateway.cli.configuring import history

        last = next((row for row in history(config or file) if row.outcome in {"started", "applied", "kept"}), None)
        if last is None:
            raise
        new, old = load(file or config), parse(last.text)
        click.echo(f"note: {lost}; compared with what was applied last ({last.digest})", err=True)
        told = Told("plan", new.digest, last.digest, tuple(changes(old.rows, new.rows)), parts=new.parts)
    print_told(told, output)
