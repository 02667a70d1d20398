"""The `andon` command: every command's help line, and the import of the one that is called."""

import errno
import io
import os
import sys
import traceback
from importlib import import_module
from pathlib import Path

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


_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO})


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
    """Run the command line; an error becomes a message that says what to do, and an exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a name in Chinese must not break a terminal that knows no Chinese
            stream.reconfigure(errors="backslashreplace")
    try:
        andon()
    except Exception as error:
        if os.environ.get("ANDON_DEBUG"):
            raise
        said, code = ended(error)
        click.echo(said, err=True)
        sys.exit(code)


def ended(error: Exception) -> tuple[str, Exit]:
    """Say what a command ended with, in words and as an exit code. Nothing of what a bug says is told: only where."""
    from gateway.core.errors import Barred, Misconfigured, Missing, Refused, Unreachable

    match error:
        case ExceptionGroup():
            return ended(error.exceptions[0])
        case Misconfigured():
            return f"Misconfigured: {error}", Exit.MISCONFIGURED
        case Missing():
            return f"Not there: {error}", Exit.NOT_THERE
        case Refused():
            return f"Refused: {error}", Exit.REFUSED
        case Barred():
            return f"Not let in: {error}", Exit.NOT_LET_IN
        case Unreachable(__cause__=Misconfigured()):  # a line tries again, for the file may change; a command ends
            return f"Misconfigured: {error}", Exit.MISCONFIGURED
        case Unreachable():
            return f"Unreachable: {error}", Exit.AWAY
        case OSError() if error.errno in _NO_ROOM:
            return f"Nothing more can be written: {error.strerror}; make room, or write elsewhere", Exit.AWAY
        case OSError() if error.filename:
            return f"Refused: {os.fsdecode(error.filename)}: {error.strerror}", Exit.REFUSED
    where = traceback.extract_tb(error.__traceback__)[-1]
    place = f"{type(error).__name__} in {Path(where.filename).name}, line {where.lineno}"
    return f"A bug in Andon ({place}): please report it, with what ANDON_DEBUG=1 shows", Exit.BUG


if __name__ == "__main__":
    main()
