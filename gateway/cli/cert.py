"""`andon cert`: certificates made, shown, trusted, and the whole chain looked at."""

import asyncio
import socket
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import rich_click as click

from gateway.cli.cert_common import DEFAULT, folder_of, folder_option, line_option, lines_of, row_of, tell
from gateway.cli.cert_trust import trust
from gateway.cli.common import config_option, output_option, show
from gateway.cli.exits import Exit
from gateway.core.errors import Misconfigured

if TYPE_CHECKING:
    from connectors.opcua.certificates import Facts
    from connectors.opcua.pki import Pki


@click.group()
def cli() -> None:
    """Certificates for OPC UA: new, show, trust, doctor."""


cli.add_command(trust)


@cli.command()
@click.argument("folder", default=DEFAULT, type=click.Path(path_type=Path))
@click.option("--uri", default=None, help="Our ApplicationUri; default: urn:<this host>:andon:gateway.")
@click.option("--host", "hosts", multiple=True, help="A DNS name or an address of this machine; may be repeated.")
@click.option("--name", default="Andon gateway", show_default=True, help="The common name.")
@click.option("--organization", default="", help="The organisation.")
@click.option("--bits", type=click.Choice(["2048", "3072", "4096"]), default="2048", show_default=True)
@click.option("--days", type=click.IntRange(1, 36_500), default=1825, show_default=True, help="How long it is valid.")
@click.option("--csr", is_flag=True, help="Make a request for the plant's CA to sign, not a certificate.")
@click.option("--password-env", default=None, help="The variable that holds a password for the key file.")
def new(
    folder: Path,
    uri: str | None,
    hosts: tuple[str, ...],
    name: str,
    organization: str,
    bits: str,
    days: int,
    csr: bool,
    password_env: str | None,
) -> None:
    """Make the gateway's key and certificate in FOLDER, and the rooms for those that it trusts. Overwrites nothing.

    Example:  andon cert new pki
    """
    from cryptography.hazmat.primitives.serialization import Encoding

    from connectors.opcua.certificates import Wish, facts_of, make_key, request, self_signed
    from connectors.opcua.pki import Pki
    from gateway.core.secret import SecretRef

    password = SecretRef(env=password_env).reveal() if password_env else None
    host = socket.gethostname()
    wish = msgspec.convert(
        {
            "application_uri": uri or f"urn:{host}:andon:gateway",
            "name": name,
            "organization": organization,
            "hosts": hosts or (host,),
            "bits": int(bits),
            "days": days,
        },
        Wish,
    )
    pki, key = Pki(folder), make_key(int(bits))
    if csr:
        pki.write_own(key, password, request(wish, key).public_bytes(Encoding.PEM), asked=True)
        click.echo(f"request      {pki.request}\nkey          {pki.key}")
        click.echo(f"Let the CA sign the request, put its answer (DER or PEM) at {pki.certificate},")
        click.echo("and the CA's own certificate on the server. andon cert show says whether they fit.")
        return
    made = self_signed(wish, key, datetime.now(UTC))
    pki.write_own(key, password, made.public_bytes(Encoding.DER), asked=False)
    _tell(pki, facts_of(made), password_env)


def _tell(pki: "Pki", facts: "Facts", password_env: str | None) -> None:
    """Say what was made, what goes into the settings and what comes next."""
    click.echo(f"certificate  {pki.certificate}\nkey          {pki.key}\nuri          {facts.uri}")
    click.echo(f"ends         {facts.not_after:%Y-%m-%d}")
    click.echo(f"SHA-256      {facts.fingerprint}\nSHA-1        {facts.thumbprint_sha1}")
    click.echo(f'In the settings of the line:  pki = "{pki.folder}"')
    if password_env:
        click.echo(f'and                           key_password = {{ env = "{password_env}" }}')
    click.echo("Next: trust this certificate on the server, and the server here: andon cert trust --fetch opc.tcp://…")


@cli.command("show")
@click.argument("what", required=False, type=click.Path(path_type=Path))
@folder_option
@line_option
@config_option
@output_option
def show_(what: Path | None, folder: Path, line: str | None, config: str | None, output: str | None) -> None:
    """Show the certificate in a file, or every certificate of the folder: names, fingerprint, end, what it fits.

    Example:  andon cert show
    """
    from connectors.opcua.pki import Pki, read_chain

    if what is not None and what.is_file():
        rows = [row_of("file", what, one) for one in read_chain(what)]
    else:
        pki = Pki(what or folder_of(folder, line, config))
        rows = [row_of(room, path, one) for room, path, one in pki.listed()]
        if not rows:
            raise Misconfigured(f"{pki.folder} has no certificate: andon cert new makes one")
    if output == "table" or (output is None and sys.stdout.isatty()):
        for row in rows:
            tell(row)
    else:
        show(rows, {}, output)


@cli.command()
@click.argument("endpoint", required=False)
@folder_option
@click.option("--policy", default=None, help="The security policy; default: Basic256Sha256.")
@click.option("--line", default=None, help="One line of the settings; default: every OPC UA line.")
@config_option
@output_option
def doctor(
    endpoint: str | None, folder: Path, policy: str | None, line: str | None, config: str | None, output: str | None
) -> None:
    """Look at everything between the gateway and a server, and name the step that is missing. Exit 6 when one is.

    ENDPOINT is tried with the certificates of --pki; without it, the lines of the settings are.

    Example:  andon cert doctor opc.tcp://10.2.0.11:4840
    """
    from connectors.line.opcua.settings import Settings
    from gateway.runtime.logs import configure

    configure("CRITICAL")
    if endpoint is not None:
        given = {"name": "doctor", "endpoint": endpoint, "pki": str(folder), "policy": policy, "tags": "none"}
        try:
            lines = [msgspec.convert(given, Settings)]
        except msgspec.ValidationError as wrong:
            raise Misconfigured(str(wrong)) from wrong
    else:
        lines = lines_of(config, line)
    steps = asyncio.run(_examine(lines))
    columns = {"": lambda row: row.how, "line": lambda row: row.line, "part": lambda row: row.part}
    show(steps, {**columns, "detail": lambda row: row.detail}, output)
    sys.exit(Exit.AILING if any(step.how == "BAD" for step in steps) else Exit.DONE)


class Told(msgspec.Struct, frozen=True):
    """One step on the road to one line: `ok`, `warn` or `BAD`; the detail says what to do."""

    line: str
    part: str
    how: str
    detail: str


async def _examine(lines: list[Any]) -> list[Told]:
    from connectors.line.opcua.checkup import examine

    return [
        Told(settings.name, step.what, step.how, step.told) for settings in lines async for step in examine(settings)
    ]
