"""`andon report submit`: words to the running gateway, safely sent again."""

import sys
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich_click as click

from gateway.cli.common import config_option, output_option, show
from gateway.cli.remote import client, problem, shut_out, url_option

if TYPE_CHECKING:
    import httpx2

_TRIES = 4
_LONGEST_WAIT_S = 5.0
COLUMNS: dict[str, Any] = {
    "report": lambda row: row["id"],
    "received": lambda row: row["received_at"],
    "route": lambda row: row.get("route") or "",
    "asset": lambda row: row.get("asset") or "",
    "order": lambda row: row.get("order_key") or "",
}


@click.command()
@click.argument("text", required=False)
@click.option("--file", "file", type=click.Path(exists=True, dir_okay=False), help="Read the text from a file.")
@click.option("--asset", help="The asset that the report is about, if you know it.")
@click.option("--photo", type=click.Path(exists=True, dir_okay=False), help="A JPEG, PNG or WebP picture.")
@click.option("--id", "name", help="Name of the report; the same name again is the same report.")
@url_option
@click.option("--wait", type=click.FloatRange(0, 300), default=0.0, help="Seconds to wait until it was read.")
@config_option
@output_option
def submit(
    text: str | None,
    file: str | None,
    asset: str | None,
    photo: str | None,
    name: str | None,
    url: str | None,
    wait: float,
    config: str | None,
    output: str | None,
) -> None:
    """Send a quality report to the running gateway. TEXT is `-` for standard input.

    Example:  andon report submit "三号线冲压机主轴异响" --asset PRESS-03 --wait 10

    A token, if one is needed, stands in the environment variable ANDON_TOKEN.
    """
    fields = {"text": _words(text, file), "id": name or f"C-{uuid.uuid4().hex[:20]}", "asset": asset or ""}
    picture = Path(photo).read_bytes() if photo is not None else None
    with client(url, config) as asked:
        row = _send(asked, fields, picture).json()
        if wait:
            row |= _followed(asked, row["href"], wait)
    show([row], COLUMNS, output)


def _words(text: str | None, file: str | None) -> str:
    if (text is None) == (file is None):
        raise click.UsageError("give TEXT, - for standard input, or --file")
    if file is not None:
        return Path(file).read_text("utf-8-sig").strip()
    return sys.stdin.read().strip() if text == "-" else str(text)


def _send(asked: "httpx2.Client", fields: dict[str, str], picture: bytes | None) -> "httpx2.Response":
    """Send until the gateway answers. Safe: the id is the same each time."""
    import httpx2

    from gateway.core.errors import Refused, Unreachable

    lost, hint = "no answer", ""
    for number in range(_TRIES):
        files = {"photo": ("photo", picture)} if picture is not None else {}
        parts = {key: (None, value) for key, value in fields.items() if value}
        try:
            answer = asked.post("/api/v1/reports", files={**parts, **files})
        except httpx2.TransportError as cut:
            lost, wait = f"no answer from {asked.base_url} ({type(cut).__name__})", 0.5 * 2**number
            hint = ": does `andon up` run there? --url names another gateway"
        else:
            if answer.is_success:
                return answer
            lost, hint = problem(answer), ""
            if answer.status_code in {401, 403}:
                shut_out(answer)
            if answer.status_code not in {429, 503, 507}:
                raise Refused(lost)
            wait = _wait_of(answer)
        if number + 1 < _TRIES:
            time.sleep(min(wait, _LONGEST_WAIT_S))
    again = f"say it again with --id {fields['id']}: under one id it is one report"
    raise Unreachable(f"{lost}{hint}. {again}")


def _followed(asked: "httpx2.Client", href: str, wait: float) -> dict[str, Any]:
    """Ask what became of the report until it was read or the wait is over. It is on disk, whoever goes away now.

    Who may not look is told so at once: waiting lets nobody in.
    """
    import httpx2

    unread = "it is stored, and not read yet: see `andon orders list` and `andon review list`"
    until = time.monotonic() + wait
    while time.monotonic() < until:
        try:
            answer = asked.get(href)
        except httpx2.TransportError:
            time.sleep(0.25)
            continue
        if answer.status_code in {401, 403}:
            unread = "it is stored; you may not look what became of it: that needs a token with the scope read"
            break
        seen = answer.json() if answer.is_success else {}
        read = seen.get("extraction")
        if read is not None:
            return {"route": read["route"], "asset": read["asset"], "order_key": seen["order_key"]}
        time.sleep(0.25)
    click.echo(unread, err=True)
    return {"route": None, "asset": None, "order_key": None}


def _wait_of(answer: "httpx2.Response") -> float:
    """Give the seconds that a full gateway asks to wait."""
    try:
        return max(0.0, float(answer.headers.get("retry-after", "1")))
    except ValueError:
        return 1.0
