"""`andon cert trust`: whom the gateway trusts, after a look at the fingerprint."""

import asyncio
import sys
from pathlib import Path
from typing import Any

import rich_click as click

from gateway.cli.cert_common import folder_of, folder_option, line_option, row_of, tell
from gateway.cli.common import config_option
from gateway.core.errors import Refused, Unreachable

_LOOK_S = 5.0


@click.command()
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
    from connectors.opcua.pki import Pki

    pki = Pki(folder_of(folder, line, config))
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
    rows = [row_of(room, path, one) for room, path, one in pki.listed() if room == "rejected"]
    if not rows:
        click.echo(f"nothing was rejected; whom to trust? andon cert trust FILE, or --fetch opc.tcp://… ({pki.folder})")
        return
    for row in rows:
        click.echo(f"{Path(row.file).name}\n  {row.subject}  {row.uri}\n  SHA-256 {row.fingerprint}")
    click.echo("Compare with the server's own fingerprint, then: andon cert trust NAME")


def _named(pki: Any, what: str) -> Any:
    from connectors.opcua.pki import read_chain

    if Path(what).is_file():
        return read_chain(Path(what))[0]
    found = pki.find(what, "rejected")
    if len(found) != 1:
        told = "is no file, and none of the rejected" if not found else "fits several of the rejected"
        raise Refused(f"{what!r} {told} in {pki.rejected}")
    return found[0][2]


def _fetched(url: str) -> Any:
    """Ask a server for its certificate; what it says is not proven, hence the fingerprint."""
    from connectors.opcua.certificates import read_certificates
    from connectors.opcua.offers import meet
    from connectors.opcua.security import LOST, advice

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
    from connectors.opcua.certificates import facts_of, same_fingerprint

    tell(row_of("issuer", Path(facts_of(certificate).issuer), certificate))
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
