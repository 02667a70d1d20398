"""The folder of certificates: ours, those that we trust, those that were turned away.

    own/certs  own/private            ours; the key is readable by its owner alone
    trusted/certs  trusted/crl        servers, and CAs whose every server we trust, with their revocation lists
    issuers/certs  issuers/crl        CAs that complete a chain and are not trusted themselves
    rejected                          servers that were turned away: `andon cert trust` takes them from here

A flat folder of certificates (with `crl/` below) counts as `trusted`.
"""

import os
import re
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import NamedTuple, TypeVar

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa

from connectors.opcua.certificates import (
    der,
    fingerprint,
    key_bytes,
    match,
    read_certificates,
    read_crls,
    read_key,
    signed_list,
    uris_of,
)
from connectors.opcua.secured import Secured
from connectors.opcua.trust import Trusted
from gateway.core.errors import Misconfigured, Refused

OWN = "andon"
MOST_REJECTED = 32
"""How many strangers' certificates are kept; the oldest goes first."""
_CERTIFICATES = frozenset({".der", ".pem", ".crt", ".cer"})
_LISTS = frozenset({".crl", ".der", ".pem"})
_MOST_BYTES = 10 * 1024 * 1024

T = TypeVar("T")


class Pki:
    """One such folder. Everything here reads or writes files: call it off the event loop."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def flat(self) -> bool:
        """Whether it is a plain folder of trusted certificates (or the `trusted` of a layout)."""
        if any((self.folder / part).is_dir() for part in ("trusted", "own")):
            return False
        places = [place for place in (self.folder, self.folder / "certs") if place.is_dir()]
        return any(path.suffix.lower() in _CERTIFICATES for place in places for path in place.iterdir())

    @property
    def certificate(self) -> Path:
        """Our certificate."""
        return self.folder / "own" / "certs" / f"{OWN}.der"

    @property
    def request(self) -> Path:
        """Our request to a CA."""
        return self.folder / "own" / "certs" / f"{OWN}.csr"

    @property
    def key(self) -> Path:
        """Our key."""
        return self.folder / "own" / "private" / f"{OWN}.pem"

    @property
    def trusted(self) -> Path:
        """Where a certificate goes that is to be trusted."""
        return self.folder if self.flat else self.folder / "trusted" / "certs"

    @property
    def trusted_lists(self) -> Path:
        """Where the revocation lists of trusted CAs go."""
        return (self.folder if self.flat else self.folder / "trusted") / "crl"

    @property
    def issuers(self) -> Path:
        """Where CAs go that complete a chain."""
        return self._beside("issuers") / "certs"

    @property
    def issuer_lists(self) -> Path:
        """Where their revocation lists go."""
        return self._beside("issuers") / "crl"

    @property
    def rejected(self) -> Path:
        """Where the certificates of unknown servers go."""
        return self._beside("rejected")

    def _beside(self, name: str) -> Path:
        """The rooms of a flat folder are inside it, unless it is the `trusted` of a whole layout."""
        inside = self.flat and self.folder.name == "trusted" and (self.folder.parent / "own").is_dir()
        return (self.folder.parent if inside else self.folder) / name

    def trust(self) -> Trusted:
        """Read whom we trust. Raises `Misconfigured` naming a file that is not what its folder says."""
        certs = [self.trusted, self.folder / "certs"] if self.flat else [self.trusted]
        return Trusted(
            trusted=tuple(one for folder in certs for _, one in _every(folder, _CERTIFICATES, _first)),
            issuers=tuple(one for _, one in _every(self.issuers, _CERTIFICATES, _first)),
            crls=tuple(
                one
                for folder in (self.trusted_lists, self.issuer_lists)
                for _, several in _every(folder, _LISTS, read_crls)
                for one in several
            ),
        )

    def listed(self) -> Iterator[tuple[str, Path, x509.Certificate]]:
        """Give every certificate with its room (own, trusted, issuers, rejected) and its file."""
        rooms = {"trusted": self.trusted, "issuers": self.issuers, "rejected": self.rejected}
        if not self.flat:
            rooms = {"own": self.certificate.parent} | rooms
        for room, folder in rooms.items():
            for path, one in _every(folder, _CERTIFICATES, _first):
                yield room, path, one

    def put(self, certificate: x509.Certificate, *, issuer: bool = False) -> Path:
        """Trust a certificate, or take a CA that completes chains; out of `rejected` it goes. Gives its file."""
        path = _keep(self.issuers if issuer else self.trusted, certificate)
        for _, old, other in [entry for entry in self.listed() if entry[0] == "rejected"]:
            if fingerprint(other) == fingerprint(certificate):
                old.unlink(missing_ok=True)
        return path

    def put_list(self, content: bytes, name: str) -> Path:
        """Keep a revocation list, in the room of its CA; a newer one takes the place of the older.

        Raises `Refused` when no CA here has signed it.
        """
        try:
            [crl] = read_crls(content)
        except ValueError as fault:
            raise Refused(f"{name} is not a revocation list (CRL)") from fault
        trust = self.trust()
        for folder, known in ((self.trusted_lists, trust.trusted), (self.issuer_lists, trust.issuers)):
            for ca in known:
                if signed_list(crl, ca):
                    return _replace(folder / f"{_plain(ca)}.crl", content)
        raise Refused(f"{name} is the list of {crl.issuer.rfc4514_string()}: trust that CA first (andon cert trust)")

    def reject(self, certificate: x509.Certificate) -> Path | None:
        """Keep a stranger's certificate to be looked at; None when it cannot be written or is there already.

        At most `MOST_REJECTED` are kept: a hostile server must not fill the disk.
        """
        try:
            path = _keep(self.rejected, certificate)
            entries = sorted(self.rejected.iterdir(), key=lambda entry: entry.stat().st_mtime)
            for old in entries[: max(0, len(entries) - MOST_REJECTED)]:
                old.unlink(missing_ok=True)
        except OSError:
            return None
        return path

    def find(self, named: str, room: str = "") -> list[tuple[str, Path, x509.Certificate]]:
        """Find certificates of a room by a part of the fingerprint, of the subject or of the file's name."""
        bare = re.sub(r"[:\s]", "", named).lower()
        return [
            (where, path, one)
            for where, path, one in self.listed()
            if (not room or where == room)
            and (
                fingerprint(one).replace(":", "").lower().startswith(bare)
                or named.lower() in one.subject.rfc4514_string().lower()
                or named == path.name
            )
        ]

    def write_own(self, key: rsa.RSAPrivateKey, password: str | None, made: bytes, *, asked: bool) -> None:
        """Write our key and our certificate (or our request). Never overwrites. Raises `Refused`."""
        target = self.request if asked else self.certificate
        for path in (self.key, target):
            if path.exists():
                raise Refused(f"{path} is there already, and nothing here is ever overwritten: move it away first")
        for folder in (self.trusted, self.trusted_lists, self.issuers, self.issuer_lists, self.rejected, target.parent):
            folder.mkdir(parents=True, exist_ok=True)
        self.key.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _create(self.key, key_bytes(key, password), 0o600)
        _create(target, made, 0o644)


class Papers(NamedTuple):
    """What we show: our certificate with its chain (leaf first) and its key."""

    chain: list[x509.Certificate]
    key: rsa.RSAPrivateKey

    @property
    def uri(self) -> str:
        """The ApplicationUri that the certificate gives us."""
        return next(iter(uris_of(self.chain[0])), "")

    @property
    def ends(self) -> datetime:
        """When our certificate ends."""
        return self.chain[0].not_valid_after_utc


def papers_of(settings: Secured) -> Papers:
    """Read our certificate and key. Raises `Misconfigured` naming the file and the fault."""
    password = settings.key_password.reveal() if settings.key_password else None
    return read_own(settings.certificate_file, settings.key_file, password)


def read_own(certificate: Path, key: Path, password: str | None) -> Papers:
    """Read a certificate (with its chain) and its key. Raises `Misconfigured`, also when they are no pair."""
    papers = Papers(read_chain(certificate), _of(key, lambda content: read_key(content, password)))
    if not match(papers.chain[0], papers.key):
        raise Misconfigured(f"{key} is not the key of {certificate}: andon cert new makes a pair")
    return papers


def check_uri(papers: Papers, application_uri: str | None) -> None:
    """Raise `Misconfigured` when our certificate does not say who we say that we are."""
    uris = uris_of(papers.chain[0])
    if not uris:
        raise Misconfigured("our certificate names no application URI: andon cert new makes one that does")
    if application_uri is not None and application_uri not in uris:
        told = f"application_uri is {application_uri!r}, our certificate says {uris[0]!r}"
        raise Misconfigured(f"{told}: leave application_uri out, or make a certificate with it")


def check_time(papers: Papers, now: datetime) -> None:
    """Raise `Misconfigured` when our certificate is not valid now."""
    mine = papers.chain[0]
    if now > mine.not_valid_after_utc:
        told = f"our certificate ended on {mine.not_valid_after_utc:%Y-%m-%d}"
        raise Misconfigured(f"{told}: make a new one (andon cert new) and trust it on the server")
    if now < mine.not_valid_before_utc:
        raise Misconfigured(f"our certificate begins on {mine.not_valid_before_utc:%Y-%m-%d}: is the clock here right?")


def read_chain(path: Path) -> list[x509.Certificate]:
    """Read a certificate, or a chain, leaf first. Raises `Misconfigured`."""
    return _of(path, read_certificates)


def _of(path: Path, read: Callable[[bytes], T]) -> T:
    try:
        return read(path.read_bytes()[:_MOST_BYTES])
    except FileNotFoundError as absent:
        raise Misconfigured(f"{path} is not there: andon cert new makes certificate and key") from absent
    except OSError as no:
        raise Misconfigured(f"{path} cannot be read: {no.strerror}") from no
    except ValueError as fault:
        raise Misconfigured(f"{path}: {fault}") from fault


def _first(content: bytes) -> x509.Certificate:
    return read_certificates(content)[0]


def _every(folder: Path, endings: frozenset[str], read: Callable[[bytes], T]) -> list[tuple[Path, T]]:
    if not folder.is_dir():
        return []
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in endings and path.is_file())
    found: list[tuple[Path, T]] = []
    for path in paths:
        try:
            found.append((path, read(path.read_bytes()[:_MOST_BYTES])))
        except (OSError, ValueError) as fault:
            raise Misconfigured(f"{path} is not a {'CRL' if read is read_crls else 'certificate'}") from fault
    return found


def _plain(certificate: x509.Certificate) -> str:
    """Give a file name that people recognise: what it is called, and the start of the fingerprint."""
    names = certificate.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
    called = re.sub(r"[^\w.@-]+", "_", str(names[0].value) if names else "nameless", flags=re.ASCII)
    return f"{called[:48]}-{fingerprint(certificate).replace(':', '').lower()[:16]}"


def _keep(folder: Path, certificate: x509.Certificate) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{_plain(certificate)}.der"
    if not path.exists():
        _create(path, der(certificate), 0o644)
    return path


def _create(path: Path, content: bytes, mode: int) -> None:
    with os.fdopen(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, mode), "wb") as file:
        file.write(content)


def _replace(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_suffix(".new")
    fresh.write_bytes(content)
    fresh.replace(path)
    return path
