"""Certificates for tests: a gateway's folder, CAs, servers' certificates with a chosen fault, revocation lists."""

import ipaddress
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

from connectors.opcua.certificates import Wish, der, make_key, self_signed
from connectors.opcua.pki import Pki

NOW = datetime.now(UTC)
DAY = timedelta(days=1)
KEY = rsa.generate_private_key(65537, 2048)
"""One key for all servers of these tests: making keys is slow."""


def gateway(folder: Path, uri: str = "urn:test:andon", days: int = 1825) -> Pki:
    """Make the folder that `andon cert new` makes."""
    pki, key = Pki(folder), make_key(2048)
    wish = Wish(application_uri=uri, hosts=("localhost",), days=days)
    pki.write_own(key, None, der(self_signed(wish, key, NOW)), asked=False)
    return pki


def user(folder: Path, name: str) -> tuple[Path, Path]:
    """Make a user's certificate and key; gives their files."""
    key = make_key(2048)
    made = self_signed(Wish(application_uri=f"urn:test:{name}", name=name), key, NOW)
    certificate, secret = folder / f"{name}.der", folder / f"{name}.pem"
    certificate.write_bytes(der(made))
    plain = serialization.NoEncryption()
    secret.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain))
    return certificate, secret


def named(name: str) -> x509.Name:
    """A subject."""
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


class Authority:
    """A CA: signs servers, other CAs, and its revocation list."""

    def __init__(self, name: str, above: "Authority | None" = None, days: int = 100) -> None:
        self.name, self.key = named(name), make_key(2048)
        signer = above or self
        self.certificate = (
            x509.CertificateBuilder()
            .subject_name(self.name)
            .issuer_name(signer.name)
            .public_key(self.key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(NOW - 200 * DAY)
            .not_valid_after(NOW + days * DAY)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(signer.key, hashes.SHA256())
        )

    def revocations(self, revoked: Sequence[x509.Certificate] = (), next_update: datetime = NOW + DAY) -> bytes:
        """Make the list (DER)."""
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(self.name)
            .last_update(NOW - 10 * DAY)
            .next_update(next_update)
        )
        for one in revoked:
            entry = x509.RevokedCertificateBuilder().serial_number(one.serial_number).revocation_date(NOW - DAY)
            builder = builder.add_revoked_certificate(entry.build())
        return builder.sign(self.key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)


def server(
    by: Authority | None = None,
    *,
    uri: str = "urn:test:server",
    hosts: Sequence[str] = ("127.0.0.1",),
    begins: datetime = NOW - DAY,
    ends: datetime = NOW + 100 * DAY,
    key: rsa.RSAPrivateKey = KEY,
) -> x509.Certificate:
    """Make a server's certificate, signed by a CA or by itself."""
    who = named("test server")
    names: list[x509.GeneralName] = [x509.UniformResourceIdentifier(uri)]
    for host in hosts:
        bare = host.replace(".", "").isdigit()
        names.append(x509.IPAddress(ipaddress.ip_address(host)) if bare else x509.DNSName(host))
    return (
        x509.CertificateBuilder()
        .subject_name(who)
        .issuer_name(by.name if by else who)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins)
        .not_valid_after(ends)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .sign(by.key if by else key, hashes.SHA256())
    )
