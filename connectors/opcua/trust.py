"""Is this server the one that we trust? The chain, the revocation lists, the names; each fault by its name. Pure."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from itertools import pairwise

import msgspec
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import rsa

from connectors.opcua.certificates import (
    LEAST_BITS,
    covers_host,
    fingerprint,
    hosts_of,
    is_ca,
    signed_list,
    uris_of,
)
from connectors.opcua.secured import Overlooked

_DEEPEST = 6


class Fault(msgspec.Struct, frozen=True):
    """What is wrong with a certificate: the name that OPC UA gives it, and what the operator can do."""

    code: str
    told: str

    def __str__(self) -> str:
        return f"{self.code}: {self.told}"


class Trusted(msgspec.Struct, frozen=True, kw_only=True):
    """Whom we trust: certificates and CAs (`trusted`), CAs that only complete chains (`issuers`), their CRLs."""

    trusted: tuple[x509.Certificate, ...] = ()
    issuers: tuple[x509.Certificate, ...] = ()
    crls: tuple[x509.CertificateRevocationList, ...] = ()


class Peer(msgspec.Struct, frozen=True, kw_only=True):
    """The other side: its certificate, the chain that it sent, what it calls itself, the host that we asked for."""

    certificate: x509.Certificate
    sent: tuple[x509.Certificate, ...] = ()
    application_uri: str = ""
    host: str = ""


def judge(peer: Peer, trust: Trusted, now: datetime) -> list[tuple[Fault, Overlooked | None]]:
    """Give every fault of a peer's certificate, the gravest first, each with the word that tolerates it.

    A certificate that lies in `trusted` itself is a pin: no chain is needed, and the host need not match,
    for the key alone proves who it is. Any other must lead over CAs to one in `trusted`, each of which has
    a CRL that is signed, current and does not name it: a CA without one is `BadCertificateRevocationUnknown`.
    """
    pinned = any(fingerprint(peer.certificate) == fingerprint(one) for one in trust.trusted)
    faults: list[tuple[Fault, Overlooked | None]] = []
    if pinned:
        issuer = next(_issuers_of(peer.certificate, (*trust.trusted, *trust.issuers)), None)
        faults += [fault for fault in _revoked(peer.certificate, issuer, trust, now) if fault[1] is None]
    else:
        faults += _chain_faults(peer, trust, now)
    faults += [*_weak(peer.certificate), *_time_faults(peer.certificate, now, "the server's certificate")]
    by_chain = not pinned and all(fault.code != "BadCertificateUntrusted" for fault, _ in faults)
    faults += _name_faults(peer, by_chain=by_chain)
    return faults


def grave(faults: Sequence[tuple[Fault, Overlooked | None]], tolerate: Iterable[str]) -> list[Fault]:
    """Give the faults that nobody decided to overlook."""
    overlooked = set(tolerate)
    return [fault for fault, word in faults if word not in overlooked]


def _chain_faults(peer: Peer, trust: Trusted, now: datetime) -> list[tuple[Fault, Overlooked | None]]:
    chain, whole = _chain_of(peer, trust)
    anchors = {fingerprint(one) for one in trust.trusted}
    if not any(fingerprint(one) in anchors for one in chain[1:]):
        return [(_untrusted(peer.certificate, chain, whole=whole), None)]
    faults: list[tuple[Fault, Overlooked | None]] = []
    if not whole:
        told = f"the CA {_name(chain[-1].issuer)} is not known: andon cert trust --issuer ITS-CERTIFICATE"
        faults.append((Fault("BadCertificateChainIncomplete", told), None))
    for signed, issuer in pairwise(chain):
        faults += _revoked(signed, issuer, trust, now)
        if signed is not peer.certificate:
            faults += _time_faults(signed, now, f"the CA {_name(signed.subject)}")
    faults += _time_faults(chain[-1], now, f"the CA {_name(chain[-1].subject)}")
    return faults


def _untrusted(leaf: x509.Certificate, chain: Sequence[x509.Certificate], *, whole: bool) -> Fault:
    signer = "it signs itself" if leaf.subject == leaf.issuer else f"signed by {_name(leaf.issuer)}"
    known = "" if whole or len(chain) > 1 or leaf.subject == leaf.issuer else ", which is not known here either"
    told = (
        f"the server's certificate is not in the trust folder ({_name(leaf.subject)}, {signer}{known}); "
        f"fingerprint {fingerprint(leaf)}. Compare it with the server's own, then: andon cert trust"
    )
    return Fault("BadCertificateUntrusted", told)


def _chain_of(peer: Peer, trust: Trusted) -> tuple[list[x509.Certificate], bool]:
    """Climb from the leaf to a root; gives what was climbed, and whether a root was reached."""
    pool = (*trust.trusted, *trust.issuers, *peer.sent)
    chain = [peer.certificate]
    while chain[-1].subject != chain[-1].issuer and len(chain) < _DEEPEST:
        above = next(_issuers_of(chain[-1], pool), None)
        if above is None:
            return chain, False
        chain.append(above)
    return chain, chain[-1].subject == chain[-1].issuer


def _issuers_of(certificate: x509.Certificate, pool: Iterable[x509.Certificate]) -> Iterator[x509.Certificate]:
    for candidate in pool:
        if candidate.subject != certificate.issuer or not is_ca(candidate):
            continue
        try:
            certificate.verify_directly_issued_by(candidate)
        except (ValueError, TypeError, InvalidSignature):
            continue
        yield candidate


def _revoked(
    certificate: x509.Certificate, issuer: x509.Certificate | None, trust: Trusted, now: datetime
) -> list[tuple[Fault, Overlooked | None]]:
    if issuer is None:
        return []
    ours = [crl for crl in trust.crls if signed_list(crl, issuer)]
    for crl in ours:  # an old list still tells whom it named
        if crl.get_revoked_certificate_by_serial_number(certificate.serial_number) is not None:
            told = f"{_name(issuer.subject)} has revoked {_name(certificate.subject)}: it needs a new certificate"
            return [(Fault("BadCertificateRevoked", told), None)]
    if any(crl.next_update_utc is None or crl.next_update_utc >= now for crl in ours):
        return []
    state = "is out of date" if ours else "is missing"
    told = (
        f"the revocation list (CRL) of {_name(issuer.subject)} {state}: andon cert trust --crl FILE, "
        'or decide to do without: tolerate = ["crl"]'
    )
    return [(Fault("BadCertificateRevocationUnknown", told), "crl")]


def _weak(certificate: x509.Certificate) -> Iterator[tuple[Fault, Overlooked | None]]:
    key = certificate.public_key()
    if not isinstance(key, rsa.RSAPublicKey) or key.key_size < LEAST_BITS:
        told = f"the server's certificate has no RSA key of {LEAST_BITS} bits or more: make it a new one"
        yield Fault("BadCertificatePolicyCheckFailed", told), None
    algorithm = certificate.signature_hash_algorithm
    if algorithm is None or algorithm.name in {"md5", "sha1"}:
        told = "the server's certificate is signed with SHA-1 or worse: make it a new one, with SHA-256"
        yield Fault("BadCertificatePolicyCheckFailed", told), None


def _time_faults(certificate: x509.Certificate, now: datetime, whose: str) -> list[tuple[Fault, Overlooked | None]]:
    begins, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if now > ends:
        told = (
            f"{whose} ended on {ends:%Y-%m-%d}: renew it (or the clock here is wrong: it says {now:%Y-%m-%d %H:%M} UTC)"
        )
        return [(Fault("BadCertificateTimeInvalid", told), "expired")]
    if now < begins:
        told = (
            f"{whose} begins on {begins:%Y-%m-%d %H:%M} UTC: "
            f"the clock here ({now:%Y-%m-%d %H:%M} UTC) or the one that made it is wrong"
        )
        return [(Fault("BadCertificateTimeInvalid", told), None)]
    return []


def _name_faults(peer: Peer, *, by_chain: bool) -> Iterator[tuple[Fault, Overlooked | None]]:
    uris = uris_of(peer.certificate)
    if peer.application_uri and peer.application_uri not in uris:
        told = (
            f"the server calls itself {peer.application_uri!r}, its certificate says "
            f'{uris[0] if uris else "no URI"!r}: make it a new one, or tolerate = ["uri"]'
        )
        yield Fault("BadCertificateUriInvalid", told), "uri"
    if by_chain and peer.host and not covers_host(peer.certificate, peer.host):
        told = (
            f"the server's certificate is for {', '.join(hosts_of(peer.certificate)) or 'no host'}, "
            f'not for {peer.host}: use a name of these as endpoint, pin the certificate, or tolerate = ["host"]'
        )
        yield Fault("BadCertificateHostNameInvalid", told), "host"


def _name(name: x509.Name) -> str:
    return name.rfc4514_string() or "without a name"
