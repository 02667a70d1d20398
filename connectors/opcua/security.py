"""The secured road to a server: its offers, its certificate judged before anything is said, our papers, the user."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path

import structlog
from asyncua import Client, ua
from asyncua.crypto import security_policies, uacrypto
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa

from connectors.opcua.offers import PATIENT, SPACE, UNNAMED, chosen, hush, meet, peer_of
from connectors.opcua.pki import Pki, check_time, check_uri, papers_of, read_own
from connectors.opcua.refusals import LOST, OUR_CERTIFICATE, USER, advice, broke_off, named
from connectors.opcua.secured import PLAIN, POLICIES, Reached, User
from connectors.opcua.trust import Peer, Trusted, grave, judge
from gateway.core.errors import Barred, Misconfigured, Unreachable

__all__ = ["LOST", "Andon", "advice", "make_client"]

log: structlog.stdlib.BoundLogger = structlog.get_logger()

_STRANGER = frozenset({"BadCertificateUntrusted", "BadCertificateChainIncomplete"})
_KINDS = {
    ua.UserTokenType.Anonymous: "anonymous",
    ua.UserTokenType.UserName: "user name and password",
    ua.UserTokenType.Certificate: "user certificate",
    ua.UserTokenType.IssuedToken: "issued token",
}


class Andon(Client):  # type: ignore[misc]  # asyncua ships no types
    """asyncua's client, with every refusal on the way in told in the operator's words.

    `expiries` has when the certificates end, by whose they are (`own`, `server`, `user`).
    """

    insecure_password = False
    own_uri = ""
    expiries: dict[str, datetime]

    @property
    def _secured(self) -> bool:
        return bool(self.security_policy.Mode != ua.MessageSecurityMode.None_)

    async def open_secure_channel(self, renew: bool = False) -> None:  # noqa: FBT001, FBT002 (the library's signature)
        """Open the channel; a server that hangs up here does not know us."""
        try:
            await super().open_secure_channel(renew)
        except (AssertionError, ConnectionError, ua.UaError, TimeoutError) as lost:
            if not self._secured or renew:
                raise
            if isinstance(lost, TimeoutError):
                raise Unreachable(broke_off(lost, self.own_uri)) from lost
            raise Barred(broke_off(lost, self.own_uri)) from lost

    async def create_session(self) -> ua.CreateSessionResult:
        """Open the session. The server proves here that its certificate is its own."""
        try:
            return await super().create_session()
        except uacrypto.InvalidSignature as forged:
            raise Unreachable(
                "the server did not prove that its certificate is its own: somebody in between?"
            ) from forged
        except ua.UaStatusCodeError as no:
            if named(no) not in OUR_CERTIFICATE:
                raise
            raise Barred(f"{OUR_CERTIFICATE[named(no)].format(uri=self.own_uri)} ({named(no)})") from no

    async def activate_session(
        self, username: str | None = None, password: str | None = None, certificate: x509.Certificate | None = None
    ) -> ua.ActivateSessionResult:
        """Say who we are. A password never leaves in clear, unless a person wrote that it may."""
        kind = _kind_of(username, certificate)
        offered = sorted({_KINDS.get(one.TokenType, "another") for one in self._policy_ids or ()})
        if offered and _KINDS[kind] not in offered:
            told = f"the server takes {', '.join(offered)}, not {_KINDS[kind]}: see user = … in the settings"
            raise Barred(f"{told} (BadIdentityTokenInvalid)", after=PATIENT)
        if kind is ua.UserTokenType.UserName:
            self._keep_the_password()
        try:
            return await super().activate_session(username, password, certificate)
        except ua.UaStatusCodeError as no:
            if named(no) not in USER:
                raise
            raise Barred(f"{USER[named(no)].format(kind=_KINDS[kind])} ({named(no)})", after=PATIENT) from no

    def _keep_the_password(self) -> None:
        """Refuse to send the password where somebody could read it."""
        sealed_by = self.server_policy(ua.UserTokenType.UserName).SecurityPolicyUri
        plain = not sealed_by or str(sealed_by).endswith("#None")
        if not plain and not self.security_policy.peer_certificate:
            told = "the server wants the password sealed with its certificate, and shows none: take a policy"
            raise Unreachable(told, after=PATIENT)
        if self.insecure_password or self.security_policy.Mode == ua.MessageSecurityMode.SignAndEncrypt:
            return
        if sealed_by not in {f"{SPACE}{name}" for name in POLICIES}:
            raise Unreachable(
                'the server wants the password in clear: mode = "SignAndEncrypt" hides it (insecure_password = true '
                "sends it all the same)",
                after=PATIENT,
            )


async def make_client(settings: Reached, endpoint: str | None = None) -> Andon:
    """Make a client for one connection; it is never used again.

    `endpoint` is another server of a redundant set. Secured, the server's certificate is judged before a
    channel is opened to it, and again by what it says of itself inside the channel. Raises `Unreachable`
    with the missing step in its words; there is no way back to plain text.
    """
    hush()
    url = endpoint or settings.endpoint
    client = Andon(url, timeout=settings.timeout, watchdog_intervall=max(5.0, settings.timeout))
    client.name = client.description = "Andon gateway"
    client.application_uri = settings.application_uri or UNNAMED
    client.session_timeout = int(settings.session_s * 1000)
    client.insecure_password = settings.insecure_password
    client.expiries = {}
    try:
        if settings.security != PLAIN:
            await _secure(client, settings, url)
        if settings.user is not None:
            await _introduce(client, settings.user)
    except Misconfigured as wrong:  # a file that changed since the start: it may change back
        raise Unreachable(f"{settings.name}: {wrong}") from wrong
    return client


async def _secure(client: Andon, settings: Reached, url: str) -> None:
    pki = Pki(settings.trust_folder)
    papers = await asyncio.to_thread(papers_of, settings)
    trust = await asyncio.to_thread(pki.trust)
    check_uri(papers, settings.application_uri)
    check_time(papers, datetime.now(UTC))
    async with asyncio.timeout(settings.timeout * 2):
        meeting = await meet(url, settings.timeout)
    endpoint = chosen(meeting.endpoints, settings.security, settings.mode)
    peer = peer_of(endpoint, url)
    await _admit(peer, trust, pki, settings)

    async def again(_: x509.Certificate, told: ua.ApplicationDescription) -> None:
        inside = Peer(
            certificate=peer.certificate, sent=peer.sent, application_uri=told.ApplicationUri or "", host=peer.host
        )
        await _admit(inside, trust, pki, settings)

    client.certificate_validator = again
    client.own_uri = client.application_uri = settings.application_uri or papers.uri
    client.expiries = {
        "own": papers.chain[0].not_valid_after_utc,
        "server": peer.certificate.not_valid_after_utc,
    }
    policy = getattr(security_policies, f"SecurityPolicy{settings.security.replace('_', '')}")
    mode = getattr(ua.MessageSecurityMode, settings.mode)
    made = policy(peer.certificate, papers.chain[0], papers.key, mode, host_cert_chain=papers.chain[1:])
    client.security_policy = made
    client.uaclient.set_security(made)


async def _admit(peer: Peer, trust: Trusted, pki: Pki, settings: Reached) -> None:
    """Let a server pass, or raise `Barred` with all that is wrong; a stranger's certificate is kept."""
    found = judge(peer, trust, datetime.now(UTC))
    wrong = grave(found, settings.tolerate)
    if any(fault.code in _STRANGER for fault in wrong):
        kept = await asyncio.to_thread(pki.reject, peer.certificate)
        if kept is not None:
            log.warning("line.certificate.rejected", source=settings.name, kept=str(kept))
    if wrong:
        raise Barred("; ".join(str(fault) for fault in wrong))
    for fault, word in found:
        log.info("line.certificate.tolerated", source=settings.name, what=word, code=fault.code)


async def _introduce(client: Andon, user: User) -> None:
    if user.name is not None and user.password is not None:
        client.set_user(user.name)
        client.set_password(user.password.reveal())
        return
    certificate, key = await asyncio.to_thread(_user_papers, user)
    client.user_certificate, client.user_private_key = certificate, key
    client.expiries = {**client.expiries, "user": certificate.not_valid_after_utc}


def _user_papers(user: User) -> tuple[x509.Certificate, rsa.RSAPrivateKey]:
    password = user.key_password.reveal() if user.key_password else None
    papers = read_own(Path(str(user.certificate)), Path(str(user.key)), password)
    return papers.chain[0], papers.key


def _kind_of(username: str | None, certificate: x509.Certificate | None) -> ua.UserTokenType:
    if certificate is not None:
        return ua.UserTokenType.Certificate
    return ua.UserTokenType.UserName if username else ua.UserTokenType.Anonymous
