"""The papers of a simulated line: its certificate, the clients that it lets in, its users.

A folder as OPC UA servers have it, made at the first start:

own/certs/server.der  own/private/server.pem    the server's; they stay the same from then on
trusted/certs                                   clients that a strict server lets in
rejected                                        clients that a strict server turned away
users/certs                                     certificates of users
"""

import hashlib
import hmac
import ipaddress
import os
import socket
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from asyncua import Server, ua
from asyncua.common.utils import ServiceError
from asyncua.crypto.permission_rules import User, UserRole
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

POLICIES = [
    ua.SecurityPolicyType.Basic256Sha256_Sign,
    ua.SecurityPolicyType.Basic256Sha256_SignAndEncrypt,
    ua.SecurityPolicyType.Aes128Sha256RsaOaep_Sign,
    ua.SecurityPolicyType.Aes128Sha256RsaOaep_SignAndEncrypt,
    ua.SecurityPolicyType.Aes256Sha256RsaPss_Sign,
    ua.SecurityPolicyType.Aes256Sha256RsaPss_SignAndEncrypt,
]
_MOST_REJECTED = 32


@dataclass(frozen=True, slots=True)
class Papers:
    """How a line is secured. `user` and `password` shut anonymous clients out; `strict` those without trust."""

    folder: Path
    strict: bool = False
    user: str = ""
    password: str = ""

    @property
    def certificate(self) -> Path:
        """The server's certificate."""
        return self.folder / "own" / "certs" / "server.der"

    @property
    def key(self) -> Path:
        """The server's key."""
        return self.folder / "own" / "private" / "server.pem"

    async def apply(self, server: Server, uri: str, host: str) -> None:
        """Secure a server before it starts: every policy of today, no plain text."""
        for room in ("trusted/certs", "rejected", "users/certs", "own/certs", "own/private"):
            (self.folder / room).mkdir(parents=True, exist_ok=True)
        if not self.certificate.exists():
            self._make(uri, host)
        await server.load_certificate(self.certificate)
        await server.load_private_key(self.key)
        server.set_security_policy(POLICIES)
        server.set_certificate_validator(self._admit)
        tokens: list[type] = [ua.X509IdentityToken, ua.UserNameIdentityToken]
        server.set_identity_tokens(tokens if self.user else [ua.AnonymousIdentityToken, *tokens])
        server.iserver.user_manager = self

    def get_user(
        self,
        _: object,
        username: str | None = None,
        password: str | None = None,
        certificate: bytes | None = None,
    ) -> User | None:
        """Say who a client is; None lets it not in."""
        if username is not None:
            known = bool(self.user) and username == self.user and _same(password or "", self.password)
        else:
            known = not self.user or _lies_in(self.folder / "users" / "certs", certificate or b"")
        return User(role=UserRole.User) if known else None

    async def _admit(self, certificate: x509.Certificate, _: ua.ApplicationDescription) -> None:
        content = certificate.public_bytes(serialization.Encoding.DER)
        if not self.strict or _lies_in(self.folder / "trusted" / "certs", content):
            return
        rejected = self.folder / "rejected"
        if len(list(rejected.iterdir())) < _MOST_REJECTED:
            (rejected / f"{hashlib.sha256(content).hexdigest()[:16]}.der").write_bytes(content)
        raise ServiceError(ua.StatusCodes.BadCertificateUntrusted)

    def _make(self, uri: str, host: str) -> None:
        key = rsa.generate_private_key(65537, 2048)
        now = datetime.now(UTC)
        who = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Andon line simulator")])
        names = dict.fromkeys(["127.0.0.1", "localhost", socket.gethostname(), host])
        made = (
            x509.CertificateBuilder()
            .subject_name(who)
            .issuer_name(who)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=3650))
            .add_extension(
                x509.SubjectAlternativeName([x509.UniformResourceIdentifier(uri), *map(_named, names)]), critical=False
            )
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .sign(key, hashes.SHA256())
        )
        plain = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        with os.fdopen(os.open(self.key, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as file:
            file.write(plain)
        self.certificate.write_bytes(made.public_bytes(serialization.Encoding.DER))


def _usage() -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=True,
        key_encipherment=True,
        data_encipherment=True,
        key_agreement=False,
        key_cert_sign=True,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )


def _named(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _lies_in(folder: Path, content: bytes) -> bool:
    return any(path.read_bytes() == content for path in folder.glob("*.der"))


def _same(given: str, kept: str) -> bool:
    return hmac.compare_digest(given.encode(), kept.encode())
