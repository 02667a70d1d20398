"""Discover: what a server offers before anybody trusts it, and with a session, which tags can be made of it."""

import asyncio
import csv
import io
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

import msgspec

from connectors.line.opcua.about import About, about
from connectors.line.opcua.browse import Bounds, Seen, Walk, walk
from connectors.line.opcua.settings import Settings
from connectors.opcua.certificates import facts_of
from connectors.opcua.offers import meet, offers, peer_of
from connectors.opcua.security import LOST, advice
from connectors.opcua.session import enter, leave
from gateway.core.errors import AndonError, Unreachable

COLUMNS = ("asset", "tag", "address", "unit", "low", "high", "kind", "rate_hz")
"""The columns of a tag table that `tags = "table.csv"` takes."""


class Offer(msgspec.Struct, frozen=True, kw_only=True):
    """What a server says to anybody: its policies, and whose certificate it shows. Nothing of it is proven.

    `ahead` is how far its clock is ahead of ours, in seconds. The certificate's words are "" without one.
    """

    endpoint: str
    offers: tuple[str, ...]
    ahead: float
    subject: str = ""
    uri: str = ""
    fingerprint: str = ""
    not_after: datetime | None = None


class Discovery(msgspec.Struct, frozen=True, kw_only=True):
    """What a look at a server showed. Without a session there is the offer alone."""

    offer: Offer
    about: About | None = None
    walk: Walk | None = None


async def ask(endpoint: str, timeout_s: float = 5.0) -> Offer:
    """Ask what is offered, over a plain channel that carries nothing else. Raises `Unreachable`."""
    try:
        meeting = await meet(endpoint, timeout_s)
    except LOST as lost:
        hint = ": is this an OPC UA server's port? a firewall?" if isinstance(lost, TimeoutError) else ""
        raise Unreachable(f"{endpoint}: {advice(lost)}{hint}") from lost
    said: dict[str, Any] = {}
    for one in meeting.endpoints:
        try:
            theirs = facts_of(peer_of(one, endpoint).certificate)
        except (AndonError, ValueError):
            continue
        said = {
            "subject": theirs.subject,
            "uri": theirs.uri,
            "fingerprint": theirs.fingerprint,
            "not_after": theirs.not_after,
        }
        break
    return Offer(
        endpoint=endpoint, offers=tuple(offers(meeting.endpoints)), ahead=meeting.ahead.total_seconds(), **said
    )


async def discover(settings: Settings, match: str = "**", bounds: Bounds = Bounds()) -> Discovery:  # noqa: B008 (frozen)
    """Open a session as the settings say, walk the address space, leave. Raises `Unreachable`, `Misconfigured`."""
    offer = await ask(settings.endpoint, settings.timeout)
    async with visiting(settings) as client:
        told = await about(client, settings.profile)
        async with asyncio.timeout(bounds.seconds * 2 + 60):
            found = await walk(client, told, match, bounds)
    return Discovery(offer=offer, about=told, walk=found)


@asynccontextmanager
async def visiting(settings: Settings) -> AsyncIterator[Any]:
    """Hold a session for a while. Raises `Unreachable` when it does not come about, or when the link is lost."""
    client = None
    try:
        async with asyncio.timeout(settings.timeout * 6):
            client, _ = await enter(settings, settings.endpoint, None)
        yield client
    except AndonError:
        raise
    except LOST as lost:
        raise Unreachable(f"{settings.name}: {settings.endpoint}: {advice(lost)}") from lost
    finally:
        if client is not None:
            await leave(client, stay=False)


def rows(variables: Sequence[Seen], asset: str = "") -> list[dict[str, str]]:
    """Give a row of the tag table per variable that can be a tag and that we may read.

    `asset` is put down for all of them; otherwise the parent's browse name is. What would stand twice gets
    more of its path.
    """
    made: list[dict[str, str]] = []
    taken: set[tuple[str, str]] = set()
    for one in variables:
        if not one.kind or not one.readable:
            continue
        parts = one.path.split("/")
        name = (asset or one.asset, one.tag)
        for length in range(2, len(parts) + 1):
            if name not in taken:
                break
            tail = parts[-length:]
            name = (asset, "/".join(tail)) if asset else ("/".join(tail[:-1]), one.tag)
        taken.add(name)
        made.append(_row(one, *name))
    return made


def _row(one: Seen, asset: str, tag: str) -> dict[str, str]:
    ranged = one.kind == "value" and one.low is not None and one.high is not None
    return {
        "asset": asset[-128:],
        "tag": tag[-128:],
        "address": one.address,
        "unit": one.unit,
        "low": f"{one.low:g}" if ranged else "",
        "high": f"{one.high:g}" if ranged else "",
        "kind": one.kind,
        "rate_hz": f"{one.rate_hz:g}" if one.rate_hz is not None and one.kind == "waveform" else "",
    }


def table(listed: Sequence[dict[str, str]]) -> str:
    """Write the rows as the CSV that `tags = "table.csv"` takes."""
    out = io.StringIO()
    writer = csv.DictWriter(out, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(listed)
    return out.getvalue()
