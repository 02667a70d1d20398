"""The part of an OPC UA line's settings that is about security: policy, certificates, whom we trust, the user."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from connectors.files import FileName
from gateway.core.errors import Misconfigured
from gateway.core.reading import Name
from gateway.core.secret import SecretRef
from gateway.core.units import Duration

PLAIN = "None"
POLICIES = ("Basic256Sha256", "Aes128_Sha256_RsaOaep", "Aes256_Sha256_RsaPss")
"""The policies that are taken, as the standard spells them."""
_REFUSED = {
    "Basic128Rsa15": "its padding can be broken from afar (RSA PKCS #1 v1.5, SHA-1)",
    "Basic256": "it signs with SHA-1, which can be forged",
}
_FOLD = {name.replace("_", "").lower(): name for name in (*POLICIES, PLAIN, *_REFUSED)}

Endpoint = Annotated[
    str, msgspec.Meta(pattern=r"^opc\.tcp://[^@\s]+$", max_length=512, examples=["opc.tcp://10.2.0.11:4840"])
]

Overlooked = Literal["host", "uri", "crl", "expired"]


class User(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who we are to the server: a name with its password, or a certificate with its key.

    The password (of the user, or of the key) is named, not held.
    """

    name: Name | None = None
    password: SecretRef | None = None
    certificate: FileName | None = None
    key: FileName | None = None
    key_password: SecretRef | None = None

    def __post_init__(self) -> None:
        by_name = self.name is not None and self.password is not None
        by_certificate = self.certificate is not None and self.key is not None
        halves = (self.name is None) != (self.password is None) or (self.certificate is None) != (self.key is None)
        if halves or by_name == by_certificate:
            raise ValueError('user is { name = "…", password = { env = "…" } } or { certificate = "…", key = "…" }')


class Secured(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Secured by default.

    `pki` is a folder that `andon cert new` makes (own, trusted, issuers, rejected); `certificate`, `key` and
    `trust` name its parts one by one instead. `policy = "None"` is taken only with `insecure = true`, a user's
    password that would travel in clear only with `insecure_password = true`. `tolerate` lists what is
    overlooked in a server's certificate: `host`, `uri`, `crl`, `expired`. `application_uri` is our
    certificate's own unless it is given.
    """

    policy: Annotated[str, msgspec.Meta(max_length=64)] | None = None
    mode: Literal["Sign", "SignAndEncrypt"] = "SignAndEncrypt"
    insecure: bool = False
    insecure_password: bool = False
    pki: FileName | None = None
    certificate: FileName | None = None
    key: FileName | None = None
    key_password: SecretRef | None = None
    trust: FileName | None = None
    tolerate: tuple[Overlooked, ...] = ()
    application_uri: Annotated[str, msgspec.Meta(min_length=5, max_length=255)] | None = None
    user: User | None = None

    @property
    def security(self) -> str:
        """The security policy in force, as the standard spells it."""
        if self.policy is None:
            return PLAIN if self.insecure else POLICIES[0]
        return _FOLD.get(self.policy.replace("_", "").lower(), self.policy)

    @property
    def certificate_file(self) -> Path:
        """Our certificate."""
        return self._part(self.certificate, "own/certs/andon.der")

    @property
    def key_file(self) -> Path:
        """Our key."""
        return self._part(self.key, "own/private/andon.pem")

    @property
    def trust_folder(self) -> Path:
        """Whom we trust."""
        return self._part(self.trust, "")

    def _part(self, given: str | None, within: str) -> Path:
        if given is not None:
            return Path(given)
        if self.pki is None:
            raise Misconfigured(f"policy {self.security} needs pki, or certificate, key and trust")
        return Path(self.pki) / within

    def secrets(self) -> Iterator[SecretRef]:
        """Give the secrets that are needed to connect."""
        user = self.user
        named = (self.key_password, user.password if user else None, user.key_password if user else None)
        yield from (secret for secret in named if secret is not None)

    def unsafe(self) -> Iterator[str]:
        """Give what is not safe, or not complete."""
        if self.security in _REFUSED:
            yield f"policy {self.security} is refused, {_REFUSED[self.security]}; take one of {', '.join(POLICIES)}"
        elif self.security not in (*POLICIES, PLAIN):
            yield f"policy {self.policy!r} is not known; take one of {', '.join(POLICIES)}"
        elif self.security == PLAIN:
            yield from self._unsafe_plain()
        elif self.pki is None:
            absent = [name for name in ("certificate", "key", "trust") if getattr(self, name) is None]
            if absent:
                yield f"policy {self.security} needs pki (andon cert new makes one), or {', '.join(absent)}"

    def _unsafe_plain(self) -> Iterator[str]:
        if not self.insecure:
            yield 'policy "None" is plain text: give policy and pki (andon cert new), or write insecure = true'
        if self.user is None:
            return
        if self.user.certificate is not None:
            yield 'policy "None" cannot prove a user certificate: take a signed policy'
        elif not self.insecure_password:
            yield (
                'policy "None" sends the password in clear: take a policy, '
                "or write insecure_password = true and change the password often"
            )


class Reached(Secured, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One server, and the road to it. `timeout` bounds one request."""

    name: Name
    endpoint: Endpoint
    timeout: Duration = Duration(5)

    @property
    def session_s(self) -> float:
        """For how many seconds the server is asked to keep a session whose link was lost."""
        return max(20.0, self.timeout * 4)
