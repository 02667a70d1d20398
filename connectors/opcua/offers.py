"""What a server says to anybody: its endpoints, its certificate, its clock. Nothing of it is proven."""

import asyncio
import logging
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple
from urllib.parse import urlsplit

from asyncua import Client, ua

from connectors.opcua.certificates import read_certificates
from connectors.opcua.secured import PLAIN
from connectors.opcua.trust import Peer
from gateway.core.errors import Unreachable

SPACE = "http://opcfoundation.org/UA/SecurityPolicy#"
"""What the URI of a security policy begins with."""
UNNAMED = "urn:andon:gateway"
"""What we call ourselves where we show no certificate."""
PATIENT = timedelta(minutes=1)
"""How long a refusal is left alone: a wrong password, tried quickly, locks the account."""
_MODES = {
    ua.MessageSecurityMode.None_: PLAIN,
    ua.MessageSecurityMode.Sign: "Sign",
    ua.MessageSecurityMode.SignAndEncrypt: "SignAndEncrypt",
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


async def meet(url: str, timeout_s: float) -> Meeting:
    """Ask a server for its endpoints: no identity, nothing of ours is said. Nothing of the answer is proven.

    Raises `ua.UaError`, `OSError` or `TimeoutError` (each request within `timeout_s`).
    """
    hush()
    client = Client(url, timeout=timeout_s)
    client.name = client.description = "Andon gateway"
    client.application_uri = UNNAMED
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
        if tcp and one.SecurityMode == wanted and one.SecurityPolicyUri == f"{SPACE}{policy}":
            return one
    offered = "; ".join(offers(endpoints)) or "nothing"
    raise Unreachable(
        f"the server does not offer {policy} with {mode}; it offers {offered}. "
        "Switch it on there, or choose of these (nothing is ever chosen for you)",
        after=PATIENT,
    )


def peer_of(endpoint: ua.EndpointDescription, url: str) -> Peer:
    """Give whom an endpoint claims to be. Raises `Unreachable` when it shows no certificate."""
    try:
        leaf, *sent = read_certificates(endpoint.ServerCertificate or b"")
    except ValueError as fault:
        raise Unreachable("the server shows no certificate that can be read: give it one", after=PATIENT) from fault
    told = endpoint.Server.ApplicationUri or ""
    return Peer(certificate=leaf, sent=tuple(sent), application_uri=told, host=urlsplit(url).hostname or "")
