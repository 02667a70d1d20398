"""What can be wrong between us and a secured server, looked at step by step; each step names what is missing."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

import msgspec
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from connectors.line.opcua.settings import Settings
from connectors.opcua.certificates import SOON, facts_of, uris_of
from connectors.opcua.offers import Meeting, chosen, meet, offers, peer_of
from connectors.opcua.pki import Papers, Pki, check_time, check_uri, papers_of
from connectors.opcua.secured import PLAIN
from connectors.opcua.security import LOST, advice, make_client
from connectors.opcua.trust import grave, judge
from gateway.core.errors import AndonError, Misconfigured, Unreachable

_SKEW = timedelta(minutes=2)
_OTHERS = 0o077


class Step(msgspec.Struct, frozen=True):
    """One thing that was looked at. `told` says how it is, and what to do when it is `BAD`."""

    what: str
    how: Literal["ok", "warn", "BAD"]
    told: str


async def examine(settings: Settings) -> AsyncIterator[Step]:
    """Look at everything on the road to one server, in order. Connects, and sends what a connection sends."""
    papers = None
    if settings.security == PLAIN:
        yield Step("policy", "warn", "None: everything can be read and changed on the way; anyone can be the server")
    else:
        for step in await asyncio.to_thread(_key_file, settings):
            yield step
        try:
            papers = await asyncio.to_thread(papers_of, settings)
        except Misconfigured as wrong:
            yield Step("our certificate", "BAD", str(wrong))
        else:
            yield _our_own(papers, settings, datetime.now(UTC))
    try:
        meeting = await meet(settings.endpoint, settings.timeout)
    except LOST as lost:
        yield Step("server", "BAD", f"{settings.endpoint} does not answer: {advice(lost)}. Address, port, firewall?")
        return
    offered = "; ".join(offers(meeting.endpoints)) or "nothing"
    yield Step("server", "ok", f"{settings.endpoint} answers, and offers {offered}")
    yield _clock(meeting.ahead)
    fine = True
    if settings.security != PLAIN:
        for step in await _the_server(settings, meeting):
            fine = fine and step.how != "BAD"
            yield step
    if fine and (settings.security == PLAIN or papers is not None):
        yield await _the_session(settings)


def _key_file(settings: Settings) -> list[Step]:
    key: Path = settings.key_file
    with suppress(OSError):
        mode = key.stat().st_mode & 0o777
        if mode & _OTHERS:
            return [Step("our key", "BAD", f"{key} can be read by others (mode {mode:o}): chmod 600 {key}")]
        return [Step("our key", "ok", f"{key}, for its owner alone")]
    return []  # a key that is absent is told with the certificate


def _our_own(papers: Papers, settings: Settings, now: datetime) -> Step:
    mine = facts_of(papers.chain[0])
    try:
        check_time(papers, now)
        check_uri(papers, settings.application_uri)
    except Misconfigured as wrong:
        return Step("our certificate", "BAD", str(wrong))
    lacking = [word for word, there in _uses(papers.chain[0]).items() if not there]
    told = f"{mine.uri}, RSA {mine.bits}, ends {mine.not_after:%Y-%m-%d}, fingerprint {mine.fingerprint}"
    if lacking:
        return Step("our certificate", "warn", f"{told}; it lacks {', '.join(lacking)}: strict servers refuse it")
    if mine.not_after - now < SOON:
        days = mine.days_left(now)
        return Step("our certificate", "warn", f"{told}: {days:.0f} days left; make the next one now (andon cert new)")
    return Step("our certificate", "ok", told)


def _uses(mine: x509.Certificate) -> dict[str, bool]:
    """Say which of the uses that Part 6 wants a certificate has."""
    try:
        usage = mine.extensions.get_extension_for_class(x509.KeyUsage).value
        purposes = mine.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return {"keyUsage and extendedKeyUsage": False}
    return {
        "digitalSignature": usage.digital_signature,
        "nonRepudiation": usage.content_commitment,
        "keyEncipherment": usage.key_encipherment,
        "dataEncipherment": usage.data_encipherment,
        "clientAuth": ExtendedKeyUsageOID.CLIENT_AUTH in purposes,
    }


def _clock(ahead: timedelta) -> Step:
    seconds = ahead.total_seconds()
    if abs(ahead) < _SKEW:
        return Step("clocks", "ok", f"the server's is {abs(seconds):.1f} s {'ahead' if seconds > 0 else 'behind'}")
    told = f"the server's clock is {abs(ahead)} {'ahead of' if seconds > 0 else 'behind'} ours: set both by NTP"
    return Step("clocks", "BAD", f"{told}, or certificates seem not to be valid")


async def _the_server(settings: Settings, meeting: Meeting) -> list[Step]:
    """Look at what we were offered and at who offers it."""
    try:
        endpoint = chosen(meeting.endpoints, settings.security, settings.mode)
    except AndonError as wrong:
        return [Step("policy", "BAD", str(wrong))]
    steps = [Step("policy", "ok", f"{settings.security} with {settings.mode} is offered")]
    pki = Pki(settings.trust_folder)
    try:
        peer = peer_of(endpoint, settings.endpoint)
        trust = await asyncio.to_thread(pki.trust)
    except AndonError as wrong:
        return [*steps, Step("server's certificate", "BAD", str(wrong))]
    now = datetime.now(UTC)
    found = judge(peer, trust, now)
    wrong_with_it = grave(found, settings.tolerate)
    steps += [Step("server's certificate", "BAD", str(fault)) for fault in wrong_with_it]
    if any(fault.code == "BadCertificateUntrusted" for fault in wrong_with_it):
        kept = await asyncio.to_thread(pki.reject, peer.certificate)
        if kept is not None:
            steps.append(
                Step("trust", "warn", f"the server's certificate lies in {kept} now: andon cert trust takes it")
            )
    overlooked = [str(fault) for fault, _ in found if fault not in wrong_with_it]
    steps += [Step("server's certificate", "warn", f"tolerated: {told}") for told in overlooked]
    if not wrong_with_it:
        theirs = facts_of(peer.certificate)
        soon = theirs.not_after - now < SOON
        told = f"trusted: {', '.join(uris_of(peer.certificate)) or theirs.subject}, ends {theirs.not_after:%Y-%m-%d}"
        more = f": {theirs.days_left(now):.0f} days left, renew it on the server" if soon else ""
        steps.append(Step("server's certificate", "warn" if soon else "ok", told + more))
    return steps


async def _the_session(settings: Settings) -> Step:
    """Go all the way in, and out again."""
    who = "anonymous" if settings.user is None else settings.user.name or "the user certificate"
    try:
        found = await namespaces(settings)
    except AndonError as wrong:
        return Step("session", "BAD", str(wrong))
    return Step("session", "ok", f"open, as {who}; {len(found)} namespaces")


async def namespaces(settings: Settings) -> list[str]:
    """Go in, read the server's namespace URIs in its order, and leave. Raises `Unreachable`."""
    client = None
    try:
        async with asyncio.timeout(settings.timeout * 6):
            client = await make_client(settings)
            await client.connect()
            return list(await client.get_namespace_array())
    except LOST as lost:
        raise Unreachable(f"{settings.endpoint}: {advice(lost)}") from lost
    finally:
        if client is not None:
            with suppress(*LOST):
                async with asyncio.timeout(3):
                    await client.disconnect()
            client.disconnect_socket()
            await asyncio.sleep(0)
