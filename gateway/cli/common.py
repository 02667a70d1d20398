"""What several commands share: the settings option, the output option, the store for one command."""

import asyncio
import json
import re
import sys
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
import rich_click as click

if TYPE_CHECKING:
    from datetime import datetime

T = TypeVar("T")

_WIDE = 200
"""Columns of a table that goes into a file or a pipe."""

_COMMANDS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]+")
"""What moves a cursor, paints, or turns the direction of writing; a tab and the end of a line are neither."""

ACTOR = "command line"
"""Who did it, in the audit trail: a command knows no one."""

config_option = click.option("--config", "-c", "config", default=None, help="Settings file (default: ./andon.toml).")
output_option = click.option(
    "-o",
    "--output",
    type=click.Choice(["table", "json", "jsonl"]),
    default=None,
    help="Default: a table on a terminal, JSON lines when piped.",
)


class States(click.Choice[str]):
    """States as everybody writes them: parked is PARKED."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Give the state; what is none is named with those that there are."""
        return super().convert(value.upper() if isinstance(value, str) else value, param, ctx)


def show(rows: Sequence[Any], columns: dict[str, Callable[[Any], object]], output: str | None) -> None:
    """Print rows: a table of `columns`, or every field of each row as JSON."""
    chosen = output or ("table" if sys.stdout.isatty() else "jsonl")
    if chosen == "table":
        table(rows, columns)
    elif chosen == "jsonl":
        for row in rows:
            click.echo(msgspec.json.encode(row).decode())
    else:
        click.echo(json.dumps(msgspec.to_builtins(list(rows)), ensure_ascii=False, indent=1))


def table(rows: Sequence[Any], columns: dict[str, Callable[[Any], object]]) -> None:
    """Print a table of the columns' values."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    drawn = Table(box=None, pad_edge=False, header_style="bold")
    for name in columns:
        drawn.add_column(name, overflow="fold")  # a key that is cut cannot be copied
    for row in rows:
        # As texts: rich would take "[production]" for a style, and end at "[/x]".
        drawn.add_row(*(Text(_text(give(row))) for give in columns.values()))
    console = Console() if sys.stdout.isatty() else Console(width=_WIDE)
    if rows:
        console.print(drawn)
    else:
        console.print("nothing")


def printable(words: str) -> str:
    """Give words that a terminal takes for words: an ERP, a planner or a log line may hold its commands."""
    return _COMMANDS.sub(" ", words)


def stamp(at: "datetime | None") -> str:
    """Give a time in UTC as people read it, its zone with it: 2026-03-18 07:30:00Z; "" for no time."""
    from datetime import UTC

    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S}Z" if at is not None else ""


def _text(value: object) -> str:
    return "" if value is None else printable(str(value))


def with_store(config: str | None, act: Callable[[Any, Any], Awaitable[T]]) -> T:
    """Open the settings' store for one command, and close it. Raises `Missing` when there is none: it makes none."""
    import structlog

    from gateway.runtime.settings import load

    settings = load(config)
    _look_for(settings.store)
    if not structlog.is_configured():  # standard output is the command's alone: it may be piped
        structlog.configure(logger_factory=lambda *_: structlog.PrintLogger(sys.stderr))

    async def run() -> T:
        store = settings.store.open()
        try:
            return await act(settings, store)
        finally:
            await store.close()

    return asyncio.run(run())


def _look_for(store: Any) -> None:
    """Raise `Missing` without a store in the folder: an empty one that is made now would say that nothing is wrong."""
    from pathlib import Path

    from gateway.core.errors import Missing

    if store.url is not None or store.file.exists():
        return
    told = f"there is no store at {store.file.absolute()}"
    if not Path(store.path).is_absolute():
        told += f": [store] path {store.path!r} counts from the folder that this was called in"
    raise Missing(f"{told}; `andon up` or `andon db upgrade` makes one")


def note_unknown(settings: Any, asset: str | None) -> None:
    """Say that an asset by whose name nothing was found is none of the settings: mistyped, or an old one."""
    if asset is not None and settings.plant.asset(asset) is None:
        click.echo(f"note: the settings have no asset {asset!r}", err=True)


def moment(text: str) -> Any:
    """Read a time: ISO 8601 (local without an offset), or an age such as `2h`, `30min`, `7d`."""
    from datetime import UTC, datetime, timedelta

    from gateway.core.units import Duration, decode

    try:
        return datetime.now(UTC) - timedelta(seconds=decode(Duration, text))
    except (ValueError, OverflowError):
        pass
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError) as bad:
        raise click.BadParameter(f"{text!r} is neither a time (2026-03-18T15:30) nor an age (2h)") from bad
