"""The secured channel: our certificate, the server's certificate against a trust folder, the user."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path

from asyncua import Client, ua
from asyncua.common.utils import ServiceError
from asyncua.crypto import security_policies
from asyncua.crypto.truststore import TrustStore
from cryptography import x509
from cryptography.hazmat.primitives import hashes

from connectors.line.opcua.settings import Settings
from gateway.core.errors import Misconfigured

Validator = Callable[[x509.Certificate, object], Awaitable[None]]


def hush() -> None:
    """Keep the library's log at WARNING: at DEBUG it writes passwords, at INFO every publish."""
    for name in ("asyncua", "asyncuagds"):
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.getLogger("asyncua.client").setLevel(logging.CRITICAL)  # every fault of a link is raised and named by us


async def make_client(settings: Settings) -> Client:
    """Make a client for one connection; it is never used again. Raises `Misconfigured`."""
    hush()
    client = Client(settings.endpoint, timeout=settings.timeout, watchdog_intervall=max(5.0, settings.timeout))
    client.name = client.description = "Andon gateway"
    client.application_uri = settings.application_uri
    client.session_timeout = int(max(60.0, settings.survive) * 1000)
    if settings.security != "None":
        await _secure(client, settings)
    if settings.user is not None:
        client.set_user(settings.user.name)
        client.set_password(settings.user.password.reveal())
    return client


async def _secure(client: Client, settings: Settings) -> None:
    if settings.certificate is None or settings.key is None or settings.trust is None:
        raise Misconfigured(f"{settings.name}: policy {settings.security} needs certificate, key and trust")
    for path in (settings.certificate, settings.key):
        if not await asyncio.to_thread(Path(path).is_file):
            raise Misconfigured(f"{settings.name}: {path} is not there")
    policy = getattr(security_policies, f"SecurityPolicy{settings.security}")
    client.certificate_validator = await trusting(Path(settings.trust))
    await client.set_security(
        policy,
        settings.certificate,
        settings.key,
        mode=getattr(ua.MessageSecurityMode, settings.mode),
    )


async def trusting(folder: Path) -> Validator:
    """Give a validator that takes a certificate of the folder, or one that a CA of the folder signed.

    Raises `Misconfigured` when the folder holds no certificate: nobody would be trusted.
    """
    pins = await asyncio.to_thread(_pins_of, folder)
    if not pins:
        raise Misconfigured(f"trust folder {folder} holds no certificate (*.der, *.pem): put the server's there")
    revoked = folder / "crl"
    store = TrustStore([folder], [revoked] if await asyncio.to_thread(revoked.is_dir) else [])
    await store.load()

    async def validate(certificate: x509.Certificate, _: object) -> None:
        await asyncio.sleep(0)
        now = datetime.now(UTC)
        if not certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc:
            raise ServiceError(ua.StatusCodes.BadCertificateTimeInvalid)
        if store.is_revoked(certificate):
            raise ServiceError(ua.StatusCodes.BadCertificateRevoked)
        if certificate.fingerprint(hashes.SHA256()) not in pins and not store.is_trusted(certificate):
            raise ServiceError(ua.StatusCodes.BadCertificateUntrusted)

    return validate


def _pins_of(folder: Path) -> frozenset[bytes]:
    pins: set[bytes] = set()
    for path in sorted((*folder.glob("*.der"), *folder.glob("*.pem"))):
        try:
            content = path.read_bytes()
            if path.suffix == ".pem":
                certificate = x509.load_pem_x509_certificate(content)
            else:
                certificate = x509.load_der_x509_certificate(content)
        except (OSError, ValueError) as fault:
            raise Misconfigured(f"{path} is not a certificate") from fault
        pins.add(certificate.fingerprint(hashes.SHA256()))
    return frozenset(pins)


_ADVICE = {
    "BadCertificateUntrusted": "the server's certificate is not in the trust folder",
    "BadCertificateUriInvalid": "application_uri differs from the URI in our certificate",
    "BadCertificateTimeInvalid": "a certificate is not valid today (expired, or a clock is wrong)",
    "BadCertificateRevoked": "the server's certificate was revoked",
    "BadSecurityChecksFailed": "the server rejected our certificate: trust it there (look in its rejected folder)",
    "BadUserAccessDenied": "user name or password is wrong, or the user may not connect",
    "BadIdentityTokenRejected": "user name or password is wrong",
    "BadIdentityTokenInvalid": "the server does not take this kind of user",
    "BadTooManySessions": "the server has no session left; close old ones",
}


def advice(lost: BaseException) -> str:
    """Say in the operator's words why a connection did not come about."""
    if isinstance(lost, ua.UaStatusCodeError):
        name = ua.StatusCode(lost.code).name
        return f"{name}: {_ADVICE[name]}" if name in _ADVICE else name
    if isinstance(lost, AssertionError):
        return _ADVICE["BadSecurityChecksFailed"]
    if isinstance(lost, TimeoutError):
        return "no answer in time"
    return str(lost) or type(lost).__name__
