"""What the commands of `andon cert` share: the folder that is meant, and a certificate as people compare it."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import rich_click as click

from gateway.core.errors import Misconfigured
from gateway.core.plural import plural

DEFAULT = "pki"
folder_option = click.option(
    "--pki", "folder", default=DEFAULT, show_default=True, type=click.Path(path_type=Path), help="The folder."
)
line_option = click.option("--line", default=None, help="Take the folder of this line of the settings.")


class Listed(msgspec.Struct, frozen=True):
    """One certificate of the folder: where it lies and what it says. `days` until it ends."""

    room: str
    file: str
    subject: str
    uri: str
    hosts: tuple[str, ...]
    bits: int
    signature: str
    fingerprint: str
    sha1: str
    ends: datetime
    days: int
    fits: str


def tell(row: Listed) -> None:
    """Print a certificate line by line: a fingerprint that is cut cannot be compared."""
    click.echo(f"{row.room:<12} {row.file}\nsubject      {row.subject}")
    click.echo(f"uri          {row.uri or 'none'}\nhosts        {', '.join(row.hosts)}")
    click.echo(f"key          RSA {row.bits}, signed with {row.signature}")
    click.echo(f"ends         {row.ends:%Y-%m-%d} ({plural(row.days, 'day')})\nfits         {row.fits}")
    click.echo(f"SHA-256      {row.fingerprint}\nSHA-1        {row.sha1}\n")


def row_of(room: str, path: Path, one: Any) -> Listed:
    """Give what a certificate says."""
    from connectors.opcua.certificates import facts_of

    facts = facts_of(one)
    days = int(facts.days_left(datetime.now(UTC)))
    return Listed(
        room,
        str(path),
        facts.subject,
        facts.uri,
        facts.hosts,
        facts.bits,
        facts.signature,
        facts.fingerprint,
        facts.thumbprint_sha1,
        facts.not_after,
        days,
        _fits(facts, days),
    )


def _fits(facts: Any, days: int) -> str:
    """Say which policies take the certificate, or why none does."""
    from connectors.opcua.certificates import LEAST_BITS
    from connectors.opcua.secured import POLICIES

    faults = []
    if days < 0:
        faults.append("has ended")
    if facts.bits < LEAST_BITS:
        faults.append(f"key below {LEAST_BITS} bits")
    if facts.signature in {"md5", "sha1"}:
        faults.append(f"signed with {facts.signature}")
    if not facts.uri and not facts.ca:
        faults.append("no application URI")
    return f"nothing: {', '.join(faults)}" if faults else ", ".join(POLICIES)


def lines_of(config: str | None, line: str | None) -> list[Any]:
    """Give the OPC UA lines of the settings, or one of them. Raises `Misconfigured` when there is none."""
    from connectors.line.opcua.settings import Settings
    from gateway.runtime.settings import load

    every = [one for one in load(config).sources if isinstance(one, Settings)]
    chosen = [one for one in every if line is None or one.name == line]
    if not chosen:
        raise Misconfigured(
            f"no OPC UA line {line or ''} in the settings; there are: {', '.join(o.name for o in every)}"
        )
    return chosen


def folder_of(folder: Path, line: str | None, config: str | None) -> Path:
    """Give the folder, or that of a line of the settings."""
    if line is None:
        return folder
    trusted: Path = lines_of(config, line)[0].trust_folder
    return trusted
