"""The `andon` command: every command's help line, and the import of the one that is called."""

import sys
from importlib import import_module

import rich_click as click

from gateway.cli.exits import Exit, told

COMMANDS: dict[str, tuple[str, str]] = {
    "demo": ("gateway.cli.demo:cli", "Simulate a line and an ERP, and show the whole road."),
    "up": ("gateway.cli.up:cli", "Run the gateway."),
    "check": ("gateway.cli.check:cli", "Check the settings: every fault, its place, a suggestion."),
    "plan": ("gateway.cli.plan:cli", "Show what other settings would change in the running gateway."),
    "apply": ("gateway.cli.apply:cli", "Apply settings to the running gateway; only what changed is touched."),
    "doctor": ("gateway.cli.doctor:cli", "Look at what the gateway depends on: disk, store, line, ERP, models."),
    "status": ("gateway.cli.status:cli", "Ask the running gateway how it is: sources, and tags that ail, by name."),
    "import": ("gateway.cli.import_:cli", "Take over the configuration of another gateway."),
    "cert": ("gateway.cli.cert:cli", "Certificates for OPC UA: new, show, trust, doctor."),
    "discover": ("gateway.cli.discover:cli", "Look at equipment and write a tag table: opcua, modbus."),
    "line": ("gateway.cli.line:cli", "The running line: conditions, write targets, write."),
    "report": ("gateway.cli.report:cli", "Quality reports: submit, parse."),
    "orders": ("gateway.cli.orders:cli", "Work orders: list, show, export, redeliver, cancel."),
    "dlq": ("gateway.cli.dlq:cli", "What was set aside with a reason: list, show, retry, drop, export."),
    "production": ("gateway.cli.production:cli", "Production orders to the line: list, show, hand."),
    "episodes": ("gateway.cli.episodes:cli", "Troubles on the line, open and closed."),
    "review": ("gateway.cli.review:cli", "Reports that a person must look at."),
    "verify": ("gateway.cli.verify:cli", "Prove an order: every hash, and the decision, computed again."),
    "replay": ("gateway.cli.replay:cli", "Put recorded readings or orders through again."),
    "simulate": ("gateway.cli.simulate:cli", "Start a simulator: machine, recording, oven, ERP."),
    "models": ("gateway.cli.models:cli", "Models: train, show."),
    "db": ("gateway.cli.db:cli", "The store: upgrade, check, backup."),
    "tokens": ("gateway.cli.tokens:cli", "Access tokens made here: create, list, revoke."),
    "events": ("gateway.cli.events:cli", "Events out: list who is told, test, enable."),
    "audit": ("gateway.cli.audit:cli", "The audit trail: list, verify."),
    "config": ("gateway.cli.config:cli", "Settings: print a sample, the history of what was applied."),
    "version": ("gateway.cli.version:cli", "Print the version."),
}


class LazyGroup(click.RichGroup):
    """Knows every command's help line; imports only the one that is called."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Refuse words that are no text: no store holds them, and no JSON."""
        for word in args:
            if not _is_text(word):
                raise click.UsageError(f"{word!a} is not UTF-8", ctx)
        return super().parse_args(ctx, args)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command by its stub, then load the real one."""
        name, stub, rest = super().resolve_command(ctx, args)
        if stub is None or stub.name is None:
            return name, stub, rest
        module, _, attribute = COMMANDS[stub.name][0].partition(":")
        command: click.Command = getattr(import_module(module), attribute)
        return name, command, rest


def _is_text(word: str) -> bool:
    try:
        word.encode()
    except UnicodeEncodeError:
        return False
    return True


@click.group(
    cls=LazyGroup,
    commands=[click.RichCommand(name=name, help=line, short_help=line) for name, (_, line) in COMMANDS.items()],
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=told(),
)
@click.version_option(None, "-V", "--version", package_name="andon-gateway", message="andon %(version)s")
def andon() -> None:
    """Andon stands between a production line and the ERP: one trouble, one order.

    Try it:  andon demo
    """


def main() -> None:
    """Run the command line; errors that the gateway raises on purpose become a message and an exit code."""
    from gateway.core.errors import Barred, Misconfigured, Missing, Refused, Unreachable

    try:
        andon()
    except Misconfigured as wrong:
        click.echo(f"Misconfigured: {wrong}", err=True)
        sys.exit(Exit.MISCONFIGURED)
    except Missing as gone:
        click.echo(f"Not there: {gone}", err=True)
        sys.exit(Exit.NOT_THERE)
    except Refused as no:
        click.echo(f"Refused: {no}", err=True)
        sys.exit(Exit.REFUSED)
    except Barred as shut:
        click.echo(f"Not let in: {shut}", err=True)
        sys.exit(Exit.NOT_LET_IN)
    except Unreachable as lost:
        if isinstance(lost.__cause__, Misconfigured):  # a line tries again, for the file may change; a command ends
            click.echo(f"Misconfigured: {lost}", err=True)
            sys.exit(Exit.MISCONFIGURED)
        click.echo(f"Unreachable: {lost}", err=True)
        sys.exit(Exit.AWAY)


if __name__ == "__main__":
    main()
