"""`andon status`: how the running gateway's parts and tags are doing, the bad ones by name."""

import sys
from typing import Any

import msgspec
import rich_click as click

from gateway.cli.common import config_option, output_option, show
from gateway.cli.exits import Exit
from gateway.cli.remote import url_option
from gateway.core.plural import plural


class Part(msgspec.Struct, frozen=True):
    """One source, or one of its tags that ails. `age_s` is the age of the newest value, in seconds."""

    part: str
    state: str
    detail: str = ""
    age_s: float | None = None


COLUMNS: dict[str, Any] = {
    "state": lambda row: row.state,
    "part": lambda row: row.part,
    "age": lambda row: "" if row.age_s is None else f"{row.age_s:.1f} s",
    "detail": lambda row: row.detail,
}


@click.command()
@url_option
@config_option
@output_option
def cli(url: str | None, config: str | None, output: str | None) -> None:
    """Ask the running gateway how it is: store, every source, every tag that ails. Exit 6 when something does.

    Example:  andon status
    """
    from gateway.cli.remote import ask, client, problem
    from gateway.core.errors import Refused

    with client(url, config) as asked:
        answer = ask(asked, "GET", "/health/ready")
        told = answer.json() if "json" in answer.headers.get("content-type", "") else {}
    if "sources" not in told:
        raise Refused(problem(answer))
    rows = _parts(told)
    show(rows, COLUMNS, output)
    sys.exit(Exit.DONE if told["status"] == "pass" else Exit.AILING)


def _parts(told: dict[str, Any]) -> list[Part]:
    rows = [
        Part("gateway", told["status"], f"version {told['version']}, configuration {told['config']}"),
        Part("store", "pass" if told["store"] == "pass" else "fail", "" if told["store"] == "pass" else told["store"]),
    ]
    for name, source in told["sources"].items():
        well = f"{plural(source['healthy'], 'tag is', 'tags are')} well"
        rows.append(Part(f"line.{name}", source["status"], source["why"] or well, source["age_s"]))
        rows += [Part(f"line.{name} {tag}", "bad", why) for tag, why in source["bad"].items()]
    rows += [Part(trouble.partition(":")[0], "warn", trouble.partition(": ")[2]) for trouble in told["troubles"]]
    return rows
