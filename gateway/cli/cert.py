"""`andon cert`: certificates made, shown, trusted, and the whole chain looked at."""

import asyncio
import socket
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import rich_click as click

from gateway.cli.common import config_option, output_option, show
from gateway.core.errors import Misconfigured, Refused, Unreachable

_DEFAULT = "pki"
_LOOK_S = 5.0
folder_option = click.option(
    "--pki", "folder", default=_DEFAULT, show_default=True, type=click.Path(path_type=Path), help="The folder."
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


@click.group()
def cli() -> None:
    """Certificates for OPC UA: new, show, trust, doctor."""


@cli.command()
@click.argument("folder", default=_DEFAULT, type=click.Path(path_type=Path))
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

    from connectors.line.opcua.certificates import Wish, facts_of, make_key, request, self_signed
    from connectors.line.opcua.pki import Pki
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
    facts = facts_of(made)
    click.echo(f"certificate  {pki.certificate}\nkey          {pki.key}\nuri          {facts.uri}")
    click.echo(f"ends         {facts.not_after:%Y-%m-%d}")
    click.echo(f"SHA-256      {facts.fingerprint}\nSHA-1        {facts.thumbprint_sha1}")
    click.echo(f'In the settings of the line:  pki = "{folder}"')
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
    from connectors.line.opcua.pki import Pki, read_chain

    if what is not None and what.is_file():
        rows = [_row("file", what, one) for one in read_chain(what)]
    else:
        pki = Pki(what or _folder(folder, line, config))
        rows = [_row(room, path, one) for room, path, one in pki.listed()]
    if output == "table" or (output is None and sys.stdout.isatty()):
        for row in rows:
            _tell(row)
    else:
        show(rows, {}, output)


def _tell(row: Listed) -> None:
    """Print a certificate line by line: a fingerprint that is cut cannot be compared."""
    click.echo(f"{row.room:<12} {row.file}\nsubject      {row.subject}")
    click.echo(f"uri          {row.uri or 'none'}\nhosts        {', '.join(row.hosts)}")
    click.echo(f"key          RSA {row.bits}, signed with {row.signature}")
    click.echo(f"ends         {row.ends:%Y-%m-%d} ({row.days} days)\nfits         {row.fits}")
    click.echo(f"SHA-256      {row.fingerprint}\nSHA-1        {row.sha1}\n")


def _row(room: str, path: Path, one: Any) -> Listed:
    from connectors.line.opcua.certificates import facts_of

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
    from connectors.line.opcua.certificates import LEAST_BITS
    from connectors.line.opcua.secured import POLICIES

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


@cli.command()
@click.argument("what", required=False)
@click.option("--fetch", default=None, metavar="URL", help="Ask opc.tcp://… for its certificate.")
@click.option("--fingerprint", default=None, help="The SHA-256 that the server's own tool shows: no question is asked.")
@click.option("--issuer", is_flag=True, help="A CA that only completes a chain; its servers are not trusted for it.")
@click.option("--crl", "crl", default=None, type=click.Path(exists=True, dir_okay=False, path_type=Path), help="A CRL.")
@click.option("--reject", default=None, metavar="WHICH", help="Trust it no more: back to the rejected.")
@click.option("--remove", default=None, metavar="WHICH", help="Delete it, wherever it lies.")
@folder_option
@line_option
@config_option
def trust(
    what: str | None,
    fetch: str | None,
    fingerprint: str | None,
    issuer: bool,
    crl: Path | None,
    reject: str | None,
    remove: str | None,
    folder: Path,
    line: str | None,
    config: str | None,
) -> None:
    """Trust a server: a file, one of the rejected (by name or fingerprint), or what --fetch brings.

    The fingerprint is shown first; compare it with the one that the server's own tool shows.

    Example:  andon cert trust --fetch opc.tcp://10.2.0.11:4840
    """
    from connectors.line.opcua.pki import Pki

    pki = Pki(_folder(folder, line, config))
    if sum(given is not None for given in (what, fetch, crl, reject, remove)) > 1:
        raise click.UsageError("one at a time: a file or name, --fetch, --crl, --reject or --remove")
    if crl is not None:
        click.echo(f"kept {pki.put_list(crl.read_bytes(), str(crl))}")
    elif reject is not None or remove is not None:
        _away(pki, str(reject or remove), delete=remove is not None)
    elif what is None and fetch is None:
        _tell_rejected(pki)
    else:
        certificate = _fetched(fetch) if fetch else _named(pki, str(what))
        _confirm(certificate, fingerprint)
        click.echo(f"trusted: {pki.put(certificate, issuer=issuer)}")


def _tell_rejected(pki: Any) -> None:
    rows = [_row(room, path, one) for room, path, one in pki.listed() if room == "rejected"]
    if not rows:
        click.echo(f"nothing was rejected; whom to trust? andon cert trust FILE, or --fetch opc.tcp://… ({pki.folder})")
        return
    for row in rows:
        click.echo(f"{Path(row.file).name}\n  {row.subject}  {row.uri}\n  SHA-256 {row.fingerprint}")
    click.echo("Compare with the server's own fingerprint, then: andon cert trust NAME")


def _named(pki: Any, what: str) -> Any:
    from connectors.line.opcua.pki import read_chain

    if Path(what).is_file():
        return read_chain(Path(what))[0]
    found = pki.find(what, "rejected")
    if len(found) != 1:
        told = "is no file, and none of the rejected" if not found else "fits several of the rejected"
        raise Refused(f"{what!r} {told} in {pki.rejected}")
    return found[0][2]


def _fetched(url: str) -> Any:
    """Ask a server for its certificate; what it says is not proven, hence the fingerprint."""
    from connectors.line.opcua.certificates import read_certificates
    from connectors.line.opcua.security import LOST, advice, meet

    if not url.startswith("opc.tcp://"):
        raise click.BadParameter("an endpoint is opc.tcp://host:port")
    try:
        meeting = asyncio.run(meet(url, _LOOK_S))
    except LOST as lost:
        raise Unreachable(f"{url}: {advice(lost)}") from lost
    shown = [one.ServerCertificate for one in meeting.endpoints if one.ServerCertificate]
    if not shown:
        raise Refused(f"{url} shows no certificate: it has no secured endpoint")
    return read_certificates(shown[0])[0]


def _confirm(certificate: Any, fingerprint: str | None) -> None:
    """Show whom it is about, and ask. Raises `Refused` when nobody says yes."""
    from connectors.line.opcua.certificates import facts_of, same_fingerprint

    _tell(_row("issuer", Path(facts_of(certificate).issuer), certificate))
    if fingerprint is not None:
        if not same_fingerprint(fingerprint, certificate):
            raise Refused("this is not the certificate with that fingerprint: nothing was trusted")
        return
    if not sys.stdin.isatty():
        raise Refused("compare the fingerprint with the server's own, then say --fingerprint …: nothing was trusted")
    if not click.confirm("Does the server's own tool show the same fingerprint? Trust it"):
        raise Refused("nothing was trusted")


def _away(pki: Any, which: str, *, delete: bool) -> None:
    found = [entry for entry in pki.find(which) if entry[0] != "own" and (delete or entry[0] != "rejected")]
    if len(found) != 1:
        raise Refused(f"{which!r} fits {len(found)} certificates of {pki.folder}: andon cert show lists them")
    [(room, path, certificate)] = found
    path.unlink()
    if not delete:
        pki.reject(certificate)
    click.echo(f"{'deleted' if delete else 'no more trusted'} ({room}): {certificate.subject.rfc4514_string()}")


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
        lines = _lines(config, line)
    steps = asyncio.run(_examine(lines))
    columns = {"": lambda row: row.how, "line": lambda row: row.line, "part": lambda row: row.part}
    show(steps, {**columns, "detail": lambda row: row.detail}, output)
    sys.exit(6 if any(step.how == "BAD" for step in steps) else 0)


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


def _lines(config: str | None, line: str | None) -> list[Any]:
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


def _folder(folder: Path, line: str | None, config: str | None) -> Path:
    if line is None:
        return folder
    trusted: Path = _lines(config, line)[0].trust_folder
    return trusted
