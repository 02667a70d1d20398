"""Profiles: what is known of a vendor's server, as data, and the limits that hold with it."""

import tomllib
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import Literal

import msgspec

from gateway.core.errors import Misconfigured

MOST_AT_ONCE = 1000


class Profile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is known of one kind of server; see profiles.toml. A limit of 0 is none."""

    name: str
    words: tuple[str, ...]
    items_per_call: int = 0
    items_per_subscription: int = 0
    nodes_per_read: int = 0
    nodes_per_browse: int = 0
    deadband: Literal["server", "gateway"] = "server"
    sampling: float = 0.0
    note: str = ""


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """How much is asked of a server in one call, all at least 1; `items_per_subscription` 0 is no limit."""

    items_per_call: int = MOST_AT_ONCE
    items_per_subscription: int = 0
    nodes_per_read: int = MOST_AT_ONCE
    nodes_per_browse: int = MOST_AT_ONCE // 2


class _File(msgspec.Struct, forbid_unknown_fields=True):
    profile: tuple[Profile, ...]


@cache
def profiles() -> tuple[Profile, ...]:
    """Give every profile that ships, in the order in which they are tried."""
    text = files("connectors.line.opcua").joinpath("profiles.toml").read_text("utf-8")
    return msgspec.convert(tomllib.loads(text), _File).profile


def named(name: str) -> Profile:
    """Give the profile of a name. Raises `Misconfigured` when there is none."""
    for profile in profiles():
        if profile.name == name:
            return profile
    raise Misconfigured(f"no profile {name!r}; known: {', '.join(sorted({one.name for one in profiles()}))}")


def profile_of(said: Sequence[str]) -> Profile:
    """Choose the profile by what the server says of itself: manufacturer, product, product URI."""
    whole = " | ".join(said).casefold()
    found = (one for one in profiles() if any(word in whole for word in one.words))
    return next(found, named("standard"))


def limits_of(profile: Profile, server: Mapping[str, int]) -> Limits:
    """Give the limits that hold: the smaller of the server's own (by the standard's names) and the profile's."""
    return Limits(
        items_per_call=_least(server.get("MaxMonitoredItemsPerCall", 0), profile.items_per_call),
        items_per_subscription=_least(
            server.get("MaxMonitoredItemsPerSubscription", 0), profile.items_per_subscription, most=0
        ),
        nodes_per_read=_least(server.get("MaxNodesPerRead", 0), profile.nodes_per_read),
        nodes_per_browse=_least(server.get("MaxNodesPerBrowse", 0), profile.nodes_per_browse, most=MOST_AT_ONCE // 2),
    )


def _least(*limits: int, most: int = MOST_AT_ONCE) -> int:
    return min((limit for limit in (*limits, most) if limit > 0), default=0)
