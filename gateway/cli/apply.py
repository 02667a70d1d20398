"""`andon apply`: other settings for the gateway that runs."""

import sys

import rich_click as click

from gateway.cli.common import config_option
from gateway.cli.exits import Exit

_ENDS = {"refused": Exit.MISCONFIGURED, "rolled_back": Exit.AILING}


@click.command()
@click.argument("file", required=False)
@config_option
@click.option("--within", default="30s", show_default=True, help="How long what was touched may take to get well.")
@click.option("--keep", is_flag=True, help="Keep the new settings also when something does not get well.")
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", show_default=True)
def cli(file: str | None, config: str | None, within: str, keep: bool, output: str) -> None:
    """Apply FILE to the running gateway; only what changed is touched. Exit 2 for faults, 6 when rolled back.

    Without FILE: the file that the gateway was started with, as it is now (as SIGHUP does).

    Example:  andon apply andon.toml
    """
    from gateway.cli.configuring import asked, print_told
    from gateway.core.units import Duration, decode

    try:
        within_s = float(decode(Duration, within))
    except ValueError as bad:
        raise click.BadParameter(str(bad), param_hint="--within") from bad
    told = asked("apply", file, config, within_s=within_s, keep=keep)
    print_told(told, output)
    sys.exit(Exit.DONE if told.outcome in {"applied", "kept", "same"} else _ENDS.get(told.outcome, Exit.AILING))
