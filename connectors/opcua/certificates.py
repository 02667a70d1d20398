"""Certificates as OPC UA Part 6 wants them: made, read, described. No network; files are read elsewhere."""

import ipaddress
import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Annotated, Literal

import msgspec
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

LEAST_BITS = 2048
SOON = timedelta(days=30)
"""How long before its end a certificate is worth a warning."""
_BEGINS_BEFORE = timedelta(days=1)
_PEM = b"-----BEGIN "
_SEQUENCE = 0x30
_LONG_FORM = 0x80
_MOST_IN_CHAIN = 8
_PEM_BLOCK = re.compile(rb"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """What an application certificate is to say. `days` is its validity from now on."""

    application_uri: Annotated[str, msgspec.Meta(min_length=5, max_length=255)]
    name: str = "Andon gateway"
    organization: str = ""
    hosts: tuple[str, ...] = ()
    bits: Literal[2048, 3072, 4096] = 2048
    days: Annotated[int, msgspec.Meta(ge=1, le=36_500)] = 1825


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """What a certificate says, as people compare it. The fingerprint is SHA-256, in upper-case hex pairs."""

    subject: str
    issuer: str
    uri: str
    hosts: tuple[str, ...]
    fingerprint: str
    thumbprint_sha1: str
    bits: int
    signature: str
    not_before: datetime
    not_after: datetime
    self_signed: bool
    ca: bool

    def days_left(self, now: datetime) -> float:
        """Days until the certificate ends; negative when it has ended."""
        return (self.not_after - now).total_seconds() / 86_400


def make_key(bits: int) -> rsa.RSAPrivateKey:
    """Make an RSA key."""
    return rsa.generate_private_key(65537, bits)


def self_signed(wish: Wish, key: rsa.RSAPrivateKey, now: datetime) -> x509.Certificate:
    """Make an application instance certificate that signs itself; it is no CA.

    It begins a day before `now`: clocks of controllers are often behind.
    """
    who = _subject(wish)
    skid = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    builder = (
        x509.CertificateBuilder()
        .subject_name(who)
        .issuer_name(who)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _BEGINS_BEFORE)
        .not_valid_after(now + timedelta(days=wish.days))
        .add_extension(skid, critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(skid), critical=False)
    )
    for extension, critical in _extensions(wish, signs_itself=True):
        builder = builder.add_extension(extension, critical=critical)
    return builder.sign(key, hashes.SHA256())


def request(wish: Wish, key: rsa.RSAPrivateKey) -> x509.CertificateSigningRequest:
    """Make the request that a plant's CA signs; validity and identifiers are the CA's to set."""
    builder = x509.CertificateSigningRequestBuilder().subject_name(_subject(wish))
    for extension, critical in _extensions(wish, signs_itself=False):
        builder = builder.add_extension(extension, critical=critical)
    return builder.sign(key, hashes.SHA256())


def _subject(wish: Wish) -> x509.Name:
    parts = [x509.NameAttribute(NameOID.COMMON_NAME, wish.name[:64])]
    if wish.organization:
        parts.append(x509.NameAttribute(NameOID.ORGANIZATION_NAME, wish.organization[:64]))
    return x509.Name(parts)


def _extensions(wish: Wish, *, signs_itself: bool) -> list[tuple[x509.ExtensionType, bool]]:
    names: list[x509.GeneralName] = [x509.UniformResourceIdentifier(wish.application_uri)]
    names += [_general_name(host) for host in wish.hosts]
    usage = x509.KeyUsage(
        digital_signature=True,
        content_commitment=True,
        key_encipherment=True,
        data_encipherment=True,
        key_agreement=False,
        key_cert_sign=signs_itself,  # Part 6 asks it of certificates that sign themselves, CA or not
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )
    # serverAuth too: some servers ask it of every application certificate
    purposes = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH])
    return [
        (x509.SubjectAlternativeName(names), False),
        (x509.BasicConstraints(ca=False, path_length=None), True),
        (usage, True),
        (purposes, False),
    ]


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def key_bytes(key: rsa.RSAPrivateKey, password: str | None) -> bytes:
    """Give a key as PEM (PKCS #8), encrypted when there is a password."""
    sealed: serialization.KeySerializationEncryption = serialization.NoEncryption()
    if password:
        sealed = serialization.BestAvailableEncryption(password.encode())
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, sealed)


def read_key(content: bytes, password: str | None) -> rsa.RSAPrivateKey:
    """Read a private key, PEM or DER. Raises ValueError that says what is missing, never what is in the file."""
    load = serialization.load_pem_private_key if _PEM in content else serialization.load_der_private_key
    try:
        key = load(content, password.encode() if password else None)
    except TypeError as fault:
        told = "has a password: name it with key_password" if not password else "has no password: drop key_password"
        raise ValueError(told) from fault
    except ValueError as fault:
        raise ValueError("is no private key, or its password is wrong") from fault
    if not isinstance(key, rsa.RSAPrivateKey):
        raise ValueError("is not an RSA key; these policies want RSA 2048 to 4096")  # noqa: TRY004 (a fault of the file)
    return key


def read_certificates(content: bytes) -> list[x509.Certificate]:
    """Read one certificate or a chain, PEM or DER, leaf first. Raises ValueError when there is none.

    A chain in DER, as servers send it, is certificates one after the other.
    """
    if _PEM in content:
        blocks = _PEM_BLOCK.findall(content)[:_MOST_IN_CHAIN]
        found = [x509.load_pem_x509_certificate(block) for block in blocks]
    else:
        found = [x509.load_der_x509_certificate(part) for part in _split(content)]
    if not found:
        raise ValueError("no certificate in it")
    for one in found:
        _sound(one)
    return found


def _sound(certificate: x509.Certificate) -> None:
    """Raise ValueError for what only looks like a certificate: a server may send anything."""
    try:
        _ = (certificate.public_key(), certificate.not_valid_after_utc, certificate.signature_hash_algorithm)
        _ = (list(certificate.extensions), certificate.subject.rfc4514_string(), certificate.issuer.rfc4514_string())
    except (UnsupportedAlgorithm, x509.DuplicateExtension, x509.UnsupportedGeneralNameType, TypeError) as odd:
        raise ValueError(f"a certificate that nobody can read: {odd}") from odd


def _split(content: bytes) -> list[bytes]:
    """Cut certificates that stand one after the other, by the length that each of them says."""
    parts: list[bytes] = []
    rest = content
    while len(rest) > 1 and rest[0] == _SEQUENCE and len(parts) < _MOST_IN_CHAIN:
        head, length = 2, rest[1]
        if length >= _LONG_FORM:
            head += length - _LONG_FORM
            length = int.from_bytes(rest[2:head], "big")
        parts.append(rest[: head + length])
        rest = rest[head + length :]
    return parts


def read_crls(content: bytes) -> list[x509.CertificateRevocationList]:
    """Read a revocation list, PEM or DER. Raises ValueError."""
    if _PEM in content:
        return [x509.load_pem_x509_crl(content)]
    return [x509.load_der_x509_crl(content)]


def signed_list(crl: x509.CertificateRevocationList, issuer: x509.Certificate) -> bool:
    """Say whether a revocation list is an issuer's own."""
    key = issuer.public_key()
    if crl.issuer != issuer.subject or not isinstance(key, rsa.RSAPublicKey | ec.EllipticCurvePublicKey):
        return False
    return crl.is_signature_valid(key)


def der(certificate: x509.Certificate) -> bytes:
    """Give a certificate as DER."""
    return certificate.public_bytes(serialization.Encoding.DER)


def fingerprint(certificate: x509.Certificate) -> str:
    """Give the SHA-256 fingerprint as upper-case hex pairs."""
    return certificate.fingerprint(hashes.SHA256()).hex(":").upper()


def same_fingerprint(given: str, certificate: x509.Certificate) -> bool:
    """Say whether what a person typed is the SHA-256 fingerprint; colons, blanks and case do not matter."""
    bare = re.sub(r"[^0-9a-f]", "", given.lower())
    return bare == certificate.fingerprint(hashes.SHA256()).hex()


def facts_of(certificate: x509.Certificate) -> Facts:
    """Say what a certificate says."""
    key = certificate.public_key()
    algorithm = certificate.signature_hash_algorithm
    return Facts(
        subject=certificate.subject.rfc4514_string(),
        issuer=certificate.issuer.rfc4514_string(),
        uri=next(iter(uris_of(certificate)), ""),
        hosts=hosts_of(certificate),
        fingerprint=fingerprint(certificate),
        thumbprint_sha1=certificate.fingerprint(hashes.SHA1()).hex().upper(),  # noqa: S303 (what other tools show)
        bits=key.key_size if isinstance(key, rsa.RSAPublicKey) else 0,
        signature=algorithm.name if algorithm is not None else "unknown",
        not_before=certificate.not_valid_before_utc,
        not_after=certificate.not_valid_after_utc,
        self_signed=certificate.subject == certificate.issuer,
        ca=is_ca(certificate),
    )


def is_ca(certificate: x509.Certificate) -> bool:
    """Say whether it may sign others: a CA whose key may sign certificates."""
    extensions = certificate.extensions
    try:
        if not extensions.get_extension_for_class(x509.BasicConstraints).value.ca:
            return False
        return extensions.get_extension_for_class(x509.KeyUsage).value.key_cert_sign
    except x509.ExtensionNotFound as absent:
        return absent.oid == x509.KeyUsage.oid


def _names(certificate: x509.Certificate) -> Sequence[x509.GeneralName]:
    try:
        return list(certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value)
    except (x509.ExtensionNotFound, ValueError):  # ValueError: names that nobody can read are no names
        return []


def uris_of(certificate: x509.Certificate) -> tuple[str, ...]:
    """The URIs of the subject alternative name; the first is the ApplicationUri."""
    return tuple(name.value for name in _names(certificate) if isinstance(name, x509.UniformResourceIdentifier))


def hosts_of(certificate: x509.Certificate) -> tuple[str, ...]:
    """The DNS names and addresses of the subject alternative name."""
    names = _names(certificate)
    return tuple(str(name.value) for name in names if isinstance(name, x509.DNSName | x509.IPAddress))


def covers_host(certificate: x509.Certificate, host: str) -> bool:
    """Say whether a certificate names a host: a DNS name in any case, or an address in any spelling."""
    wanted = _general_name(host)
    return any(
        name.value.lower() == host.lower() if isinstance(name, x509.DNSName) else name == wanted
        for name in _names(certificate)
    )


def match(certificate: x509.Certificate, key: rsa.RSAPrivateKey) -> bool:
    """Say whether a key is the certificate's."""
    return certificate.public_key() == key.public_key()
