"""The secured road to a server: its offers, its certificate judged before anything is said, our papers, the user."""

import asyncio
import logging
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import structlog
from asyncua import Client, ua
from asyncua.crypto import security_policies, uacrypto
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa

from connectors.line.opcua.certificates import read_certificates
from connectors.line.opcua.pki import Pki, check_time, check_uri, papers_of, read_own
from connectors.line.opcua.secured import PLAIN, POLICIES, User
from connectors.line.opcua.settings import Settings
from connectors.line.opcua.trust import Peer, Trusted, grave, judge
from gateway.core.errors import Misconfigured, Unreachable

log: structlog.stdlib.BoundLogger = structlog.get_logger()

LOST = (ua.UaError, OSError, AssertionError, TimeoutError)
"""What the library raises when a connection does not come about."""
_SPACE = "http://opcfoundation.org/UA/SecurityPolicy#"
_UNNAMED = "urn:andon:gateway"
_PATIENT = timedelta(minutes=1)
"""How long a refusal is left alone: a wrong password, tried quickly, locks the account."""
_STRANGER = frozenset({"BadCertificateUntrusted", "BadCertificateChainIncomplete"})
_REJECTS_US = (
    "the server rejects our certificate: trust it there "
    "(look in its rejected folder, or in its list of clients; ours is {uri})"
)
_MODES = {
    ua.MessageSecurityMode.None_: PLAIN,
    ua.MessageSecurityMode.Sign: "Sign",
    ua.MessageSecurityMode.SignAndEncrypt: "SignAndEncrypt",
}
_KINDS = {
    ua.UserTokenType.Anonymous: "anonymous",
    ua.UserTokenType.UserName: "user name and password",
    ua.UserTokenType.Certificate: "user certificate",
    ua.UserTokenType.IssuedToken: "issued token",
}


def hush() -> None:
    """Keep the library's log at WARNING: at DEBUG it writes passwords, at INFO every publish."""
    for name in ("asyncua", "asyncuagds"):
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.getLogger("asyncua.client").setLevel(logging.CRITICAL)  # every fault of a link is raised and named by us


class Meeting(NamedTuple):
    """What a server says to anybody, unproven: its endpoints, and its clock less ours."""

    endpoints: list[ua.EndpointDescription]
    ahead: timedelta


class Andon(Client):  # type: ignore[misc]  # asyncua ships no types
    """asyncua's client, with every refusal on the way in told in the operator's words.

    `expiries` has when our certificate and the server's end, by whose it is (`own`, `server`).
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
            why = f" ({_named(lost)})" if _named(lost) else ""
            told = _OUR_CERTIFICATE.get(_named(lost), _REJECTS_US).format(uri=self.own_uri)
            raise Unreachable(f"{told}{why}") from lost

    async def create_session(self) -> ua.CreateSessionResult:
        """Open the session. The server proves here that its certificate is its own."""
        try:
            return await super().create_session()
        except uacrypto.InvalidSignature as forged:
            raise Unreachable(
                "the server did not prove that its certificate is its own: somebody in between?"
            ) from forged
        except ua.UaStatusCodeError as no:
            if _named(no) not in _OUR_CERTIFICATE:
                raise
            raise Unreachable(f"{_OUR_CERTIFICATE[_named(no)].format(uri=self.own_uri)} ({_named(no)})") from no

    async def activate_session(
        self, username: str | None = None, password: str | None = None, certificate: x509.Certificate | None = None
    ) -> ua.ActivateSessionResult:
        """Say who we are. A password never leaves in clear, unless a person wrote that it may."""
        kind = _kind_of(username, certificate)
        offered = sorted({_KINDS.get(one.TokenType, "another") for one in self._policy_ids or ()})
        if offered and _KINDS[kind] not in offered:
            told = f"the server takes {', '.join(offered)}, not {_KINDS[kind]}: see user = … in the settings"
            raise Unreachable(f"{told} (BadIdentityTokenInvalid)", after=_PATIENT)
        if kind is ua.UserTokenType.UserName:
            self._keep_the_password()
        try:
            return await super().activate_session(username, password, certificate)
        except ua.UaStatusCodeError as no:
            if _named(no) not in _USER:
                raise
            raise Unreachable(f"{_USER[_named(no)].format(kind=_KINDS[kind])} ({_named(no)})", after=_PATIENT) from no

    def _keep_the_password(self) -> None:
        """Refuse to send the password where somebody could read it."""
        if self.insecure_password or self.security_policy.Mode == ua.MessageSecurityMode.SignAndEncrypt:
            return
        sealed_by = self.server_policy(ua.UserTokenType.UserName).SecurityPolicyUri
        if sealed_by not in {f"{_SPACE}{name}" for name in POLICIES}:
            raise Unreachable(
                'the server wants the password in clear: mode = "SignAndEncrypt" hides it (insecure_password = true '
                "sends it all the same)",
                after=_PATIENT,
            )


async def make_client(settings: Settings, endpoint: str | None = None) -> Andon:
    """Make a client for one connection; it is never used again.

    `endpoint` is another server of a redundant set. Secured, the server's certificate is judged before a
    channel is opened to it, and again by what it says of itself inside the channel. Raises `Unreachable`
    with the missing step in its words; there is no way back to plain text.
    """
    hush()
    url = endpoint or settings.endpoint
    client = Andon(url, timeout=settings.timeout, watchdog_intervall=max(5.0, settings.timeout))
    client.name = client.description = "Andon gateway"
    client.application_uri = settings.application_uri or _UNNAMED
    client.session_timeout = int(max(60.0, settings.survive) * 1000)
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


async def _secure(client: Andon, settings: Settings, url: str) -> None:
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


async def meet(url: str, timeout_s: float) -> Meeting:
    """Ask a server for its endpoints: no identity, nothing of ours is said. Nothing of the answer is proven.

    Raises `ua.UaError`, `OSError` or `TimeoutError` (each request within `timeout_s`).
    """
    hush()
    client = Client(url, timeout=timeout_s)
    client.name = client.description = "Andon gateway"
    client.application_uri = _UNNAMED
    await client.connect_socket()
    try:
        await client.send_hello()
        asked = ua.OpenSecureChannelParameters()
        asked.RequestType = ua.SecurityTokenRequestType.Issue
        asked.SecurityMode = ua.MessageSecurityMode.None_
        asked.RequestedLifetime = 60_000
        asked.ClientNonce = b""
        before = datetime.now(UTC)
        opened = await client.uaclient.open_secure_channel(asked)
        middle = before + (datetime.now(UTC) - before) / 2
        made_at = opened.SecurityToken.CreatedAt
        ahead = made_at.replace(tzinfo=UTC) - middle if isinstance(made_at, datetime) else timedelta(0)
        try:
            return Meeting(await client.get_endpoints(), ahead)
        finally:
            await client.close_secure_channel()
    finally:
        client.disconnect_socket()
        await asyncio.sleep(0)  # the transport closes in the next turn of the loop


def offers(endpoints: Sequence[ua.EndpointDescription]) -> list[str]:
    """Say what a server offers, as `Basic256Sha256 (Sign, SignAndEncrypt)`."""
    modes: dict[str, list[str]] = {}
    for one in endpoints:
        name = str(one.SecurityPolicyUri).rpartition("#")[2] or PLAIN
        mode = _MODES.get(one.SecurityMode, "another mode")
        if mode not in modes.setdefault(name, []):
            modes[name].append(mode)
    return [name if name == PLAIN else f"{name} ({', '.join(sorted(kinds))})" for name, kinds in modes.items()]


def chosen(endpoints: Sequence[ua.EndpointDescription], policy: str, mode: str) -> ua.EndpointDescription:
    """Give the endpoint with a policy and a mode. Raises `Unreachable` with what is offered; never another."""
    wanted = getattr(ua.MessageSecurityMode, mode)
    for one in endpoints:
        tcp = str(one.EndpointUrl).startswith("opc.tcp:")
        if tcp and one.SecurityMode == wanted and one.SecurityPolicyUri == f"{_SPACE}{policy}":
            return one
    offered = "; ".join(offers(endpoints)) or "nothing"
    raise Unreachable(
        f"the server does not offer {policy} with {mode}; it offers {offered}. "
        "Switch it on there, or choose of these (nothing is ever chosen for you)",
        after=_PATIENT,
    )


def peer_of(endpoint: ua.EndpointDescription, url: str) -> Peer:
    """Give whom an endpoint claims to be. Raises `Unreachable` when it shows no certificate."""
    try:
        leaf, *sent = read_certificates(endpoint.ServerCertificate or b"")
    except ValueError as fault:
        raise Unreachable("the server shows no certificate that can be read: give it one", after=_PATIENT) from fault
    told = endpoint.Server.ApplicationUri or ""
    return Peer(certificate=leaf, sent=tuple(sent), application_uri=told, host=urlsplit(url).hostname or "")


async def _admit(peer: Peer, trust: Trusted, pki: Pki, settings: Settings) -> None:
    """Let a server pass, or raise `Unreachable` with all that is wrong; a stranger's certificate is kept."""
    found = judge(peer, trust, datetime.now(UTC))
    wrong = grave(found, settings.tolerate)
    if any(fault.code in _STRANGER for fault in wrong):
        kept = await asyncio.to_thread(pki.reject, peer.certificate)
        if kept is not None:
            log.warning("line.certificate.rejected", source=settings.name, kept=str(kept))
    if wrong:
        raise Unreachable("; ".join(str(fault) for fault in wrong))
    for fault, word in found:
        log.info("line.certificate.tolerated", source=settings.name, what=word, code=fault.code)


async def _introduce(client: Andon, user: User) -> None:
    if user.name is not None and user.password is not None:
        client.set_user(user.name)
        client.set_password(user.password.reveal())
        return
    certificate, key = await asyncio.to_thread(_user_papers, user)
    client.user_certificate, client.user_private_key = certificate, key


def _user_papers(user: User) -> tuple[x509.Certificate, rsa.RSAPrivateKey]:
    password = user.key_password.reveal() if user.key_password else None
    papers = read_own(Path(str(user.certificate)), Path(str(user.key)), password)
    return papers.chain[0], papers.key


def _kind_of(username: str | None, certificate: x509.Certificate | None) -> ua.UserTokenType:
    if certificate is not None:
        return ua.UserTokenType.Certificate
    return ua.UserTokenType.UserName if username else ua.UserTokenType.Anonymous


def _named(lost: BaseException) -> str:
    return ua.StatusCode(lost.code).name if isinstance(lost, ua.UaStatusCodeError) else ""


_OUR_CERTIFICATE = {
    "BadCertificateUriInvalid": "the server says that our application URI is not that of our certificate ({uri})",
    "BadCertificateTimeInvalid": (
        "the server says that our certificate is not valid today: is the server's clock right? (andon cert doctor)"
    ),
    "BadCertificateRevoked": "the server says that our certificate was revoked: ask its CA for a new one",
    "BadCertificateUntrusted": _REJECTS_US,
    "BadCertificateInvalid": _REJECTS_US,
    "BadCertificateChainIncomplete": "the server does not know the CA of our certificate: give it the CA's certificate",
    "BadCertificateRevocationUnknown": "the server lacks the revocation list of our CA: give it the list",
    "BadCertificateUseNotAllowed": (
        "the server does not take our certificate's key usage: andon cert new makes one as OPC UA wants it"
    ),
    "BadSecurityChecksFailed": _REJECTS_US,
    "BadCertificatePolicyCheckFailed": (
        "our certificate is too weak or too strong for the server: andon cert new --bits 2048, 3072 or 4096"
    ),
}
_USER = {
    "BadUserAccessDenied": "the server does not let this {kind} in: a wrong password, or no right to connect",
    "BadIdentityTokenRejected": "the server does not take this {kind}: wrong, or (a certificate) not trusted there",
    "BadIdentityTokenInvalid": "the server does not take this kind of user: {kind}",
    "BadCertificateUntrusted": "the server does not trust the user certificate: look in its rejected user certificates",
    "BadUserSignatureInvalid": "the server does not accept the proof of the user certificate: wrong key or policy",
}
_ADVICE = {
    "BadTooManySessions": "the server has no session left; close old ones",
    "BadTcpInternalError": "the server broke off: is this the certificate that it really has?",
}


def advice(lost: BaseException) -> str:
    """Say in the operator's words why a connection did not come about."""
    if isinstance(lost, ua.UaStatusCodeError):
        name = ua.StatusCode(lost.code).name
        told = {**_USER, **_OUR_CERTIFICATE, **_ADVICE}.get(name)
        return f"{name}: {told.format(uri='', kind='user')}" if told else name
    if isinstance(lost, TimeoutError):
        return "no answer in time"
    return str(lost) or type(lost).__name__
