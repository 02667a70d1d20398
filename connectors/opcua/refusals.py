"""Refusals: what OPC UA calls them, in the operator's words, with the step that is missing."""

from asyncua import ua

LOST = (ua.UaError, OSError, AssertionError, TimeoutError)
"""What the library raises when a connection does not come about."""
REJECTS_US = (
    "the server rejects our certificate: trust it there "
    "(look in its rejected folder, or in its list of clients; ours is {uri})"
)

OUR_CERTIFICATE = {
    "BadCertificateUriInvalid": "the server says that our application URI is not that of our certificate ({uri})",
    "BadCertificateTimeInvalid": (
        "the server says that our certificate is not valid today: is the server's clock right? (andon cert doctor)"
    ),
    "BadCertificateRevoked": "the server says that our certificate was revoked: ask its CA for a new one",
    "BadCertificateUntrusted": REJECTS_US,
    "BadCertificateInvalid": REJECTS_US,
    "BadCertificateChainIncomplete": "the server does not know the CA of our certificate: give it the CA's certificate",
    "BadCertificateRevocationUnknown": "the server lacks the revocation list of our CA: give it the list",
    "BadCertificateUseNotAllowed": (
        "the server does not take our certificate's key usage: andon cert new makes one as OPC UA wants it"
    ),
    "BadSecurityChecksFailed": REJECTS_US,
    "BadCertificatePolicyCheckFailed": (
        "our certificate is too weak or too strong for the server: andon cert new --bits 2048, 3072 or 4096"
    ),
}
USER = {
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
        told = {**USER, **OUR_CERTIFICATE, **_ADVICE}.get(name)
        return f"{name}: {told.format(uri='', kind='user')}" if told else name
    if isinstance(lost, TimeoutError):
        return "no answer in time"
    if isinstance(lost, ConnectionRefusedError):
        return "nothing listens there (does the server run, is it this port?)"
    return str(lost) or type(lost).__name__


def broke_off(lost: BaseException, own_uri: str) -> str:
    """Say why the secured channel did not open: with a name, or by hanging up, which says less."""
    name = named(lost)
    if name:
        return f"{OUR_CERTIFICATE.get(name, REJECTS_US).format(uri=own_uri)} ({name})"
    if isinstance(lost, TimeoutError):
        return "no answer when the secured channel was to be opened: the network, or a server that ignores strangers"
    rejects = REJECTS_US.format(uri=own_uri).removeprefix("the server ")
    return f"the server broke off as the secured channel was opened, as one does that {rejects}"


def named(lost: BaseException) -> str:
    """Give the name of a status code; "" for what is none."""
    return ua.StatusCode(lost.code).name if isinstance(lost, ua.UaStatusCodeError) else ""
