"""`andon line`: the running line through the gateway's API: conditions, write targets, write."""

import sys
from typing import Any

import msgspec
import rich_click as click

from gateway.cli.common import config_option, output_option, show
from gateway.cli.exits import Exit
from gateway.cli.remote import ask, client, problem, url_option

CONDITIONS: dict[str, Any] = {
    "line": lambda row: row["line"],
    "asset": lambda row: row["condition"]["asset"],
    "condition": lambda row: row["condition"]["name"],
    "severity": lambda row: row["condition"]["severity"],
    "active": lambda row: row["condition"]["active"],
    "acknowledged": lambda row: row["condition"]["acknowledged"],
    "since": lambda row: row["condition"]["at"],
    "message": lambda row: row["condition"]["message"],
    "event": lambda row: row["condition"]["event_id"],
}
TARGETS: dict[str, Any] = {"line": lambda row: row["line"], "target": lambda row: row["target"]}
WRITTEN: dict[str, Any] = {**TARGETS, "answer": lambda row: row["answer"], "at": lambda row: row["at"]}


@click.group()
def cli() -> None:
    """The line of the running gateway: conditions, write targets, write."""


@cli.command()
@url_option
@config_option
@output_option
def conditions(url: str | None, config: str | None, output: str | None) -> None:
    """List the alarms and conditions that the equipment wants looked at."""
    _list("/api/v1/line/conditions", CONDITIONS, url, config, output)


@cli.command()
@url_option
@config_option
@output_option
def targets(url: str | None, config: str | None, output: str | None) -> None:
    """List the write targets that the settings declare; nothing else can be written."""
    _list("/api/v1/line/targets", TARGETS, url, config, output)


@cli.command()
@click.argument("line")
@click.argument("target")
@click.argument("values", nargs=-1)
@click.option("--text", is_flag=True, help="Every VALUE is a text, even 1 and true.")
@url_option
@config_option
@output_option
def write(
    line: str,
    target: str,
    values: tuple[str, ...],
    text: bool,
    url: str | None,
    config: str | None,
    output: str | None,
) -> None:
    """Write VALUES to a declared TARGET of a LINE, once. Needs a token with the scope line:write in ANDON_TOKEN.

    A VALUE is a number, true, false, or else a text; put -- before a negative number. Exit 75 when nobody
    knows whether it was written.

    Example:  andon line write cell-a setpoint 1500
    """
    from urllib.parse import quote

    from gateway.core.errors import Refused

    body = {"values": [value if text else value_of(value) for value in values]}
    path = f"/api/v1/line/{quote(line, safe='')}/write/{quote(target, safe='')}"
    with client(url, config) as asked:
        answer = ask(asked, "POST", path, json=body)
    if answer.status_code in {503, 504, 507}:
        click.echo(f"Unreachable: {problem(answer)}", err=True)
        sys.exit(Exit.AWAY)
    if not answer.is_success:
        raise Refused(problem(answer))
    show([answer.json()], WRITTEN, output)


def value_of(word: str) -> float | int | bool | str | None:
    """Read a value as it is written: a JSON number, true, false, null or "text"; anything else is a text."""
    try:
        value = msgspec.json.decode(word, type=float | int | bool | str | None)
    except (msgspec.DecodeError, msgspec.ValidationError, UnicodeEncodeError):
        return word
    return value


def _list(path: str, columns: dict[str, Any], url: str | None, config: str | None, output: str | None) -> None:
    from gateway.core.errors import Refused

    with client(url, config) as asked:
        answer = ask(asked, "GET", path)
    if not answer.is_success:
        raise Refused(problem(answer))
    show(answer.json()["items"], columns, output)
