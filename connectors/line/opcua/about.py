"""What a server says of itself: who made it, its namespaces, how much it takes in one call."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

import msgspec
from asyncua import ua

from connectors.line.opcua.profiles import Limits, Profile, limits_of, named, profile_of

Item = TypeVar("Item")
Result = TypeVar("Result")
_CAPABILITIES = "Server_ServerCapabilities_"
_LIMITS = (
    "MaxMonitoredItemsPerSubscription",
    "OperationLimits_MaxMonitoredItemsPerCall",
    "OperationLimits_MaxNodesPerRead",
    "OperationLimits_MaxNodesPerBrowse",
)
LINK_FAULTS = frozenset(
    {
        ua.StatusCodes.BadSubscriptionIdInvalid,
        ua.StatusCodes.BadSessionIdInvalid,
        ua.StatusCodes.BadSessionClosed,
        ua.StatusCodes.BadSessionNotActivated,
        ua.StatusCodes.BadSecureChannelIdInvalid,
        ua.StatusCodes.BadSecureChannelClosed,
        ua.StatusCodes.BadConnectionClosed,
        ua.StatusCodes.BadServerHalted,
        ua.StatusCodes.BadTimeout,
        ua.StatusCodes.BadRequestTimeout,
    }
)
"""Faults of the link or the session: asking for less does not help."""


class About(msgspec.Struct, frozen=True, kw_only=True):
    """A server in its own words, and the limits that hold for it. `server` are its own limits by name."""

    manufacturer: str = ""
    product: str = ""
    product_uri: str = ""
    version: str = ""
    namespaces: tuple[str, ...] = ()
    server: dict[str, int] = {}
    profile: Profile
    limits: Limits


async def about(client: Any, profile: str = "") -> About:
    """Ask a server who it is, in three reads; what it does not say stays empty.

    `profile` names the profile to use whatever the server says. Raises the library's errors when the
    link is lost, `Misconfigured` for a profile that nobody knows.
    """
    names = tuple(str(uri) for uri in await client.get_namespace_array())
    nodes = [_number(_CAPABILITIES + name) for name in _LIMITS]
    build = await _values(client, [_number("Server_ServerStatus_BuildInfo")])
    found = await _values(client, nodes)
    said = build[0]
    words = (
        str(getattr(said, "ManufacturerName", "") or ""),
        str(getattr(said, "ProductName", "") or ""),
        str(getattr(said, "ProductUri", "") or ""),
    )
    chosen = named(profile) if profile else profile_of(words)
    server = {
        name.rpartition("_")[2]: value
        for name, value in zip(_LIMITS, found, strict=True)
        if isinstance(value, int) and not isinstance(value, bool) and value > 0
    }
    return About(
        manufacturer=words[0],
        product=words[1],
        product_uri=words[2],
        version=str(getattr(said, "SoftwareVersion", "") or ""),
        namespaces=names,
        server=server,
        profile=chosen,
        limits=limits_of(chosen, server),
    )


async def in_batches(
    ask: Callable[[list[Item]], Awaitable[Sequence[Result]]], items: Sequence[Item], most: int
) -> list[Result | ua.UaStatusCodeError]:
    """Ask for many things, `most` at a time, with an answer per item in order.

    A call that the server refuses as a whole is halved until the one item is left that it cannot take:
    that item's answer is the fault. Faults of the link are raised.
    """
    answers: list[Result | ua.UaStatusCodeError] = []
    for start in range(0, len(items), most):
        answers += await _halved(ask, list(items[start : start + most]))
    return answers


async def _halved(
    ask: Callable[[list[Item]], Awaitable[Sequence[Result]]], items: list[Item]
) -> list[Result | ua.UaStatusCodeError]:
    try:
        answers = await ask(items)
    except ua.UaStatusCodeError as fault:
        if fault.code in LINK_FAULTS:
            raise
        if len(items) == 1:
            return [fault]
        middle = len(items) // 2
        return [*await _halved(ask, items[:middle]), *await _halved(ask, items[middle:])]
    if len(answers) != len(items):
        raise ua.UaError(f"{len(answers)} answers to {len(items)} questions")
    return list(answers)


async def read_attributes(
    client: Any, wanted: Sequence[tuple[Any, int]], most: int
) -> list[ua.DataValue | ua.UaStatusCodeError]:
    """Read (node id, attribute) pairs in batches; an answer or a fault per pair."""

    async def ask(part: list[tuple[Any, int]]) -> Sequence[ua.DataValue]:
        nodes = [ua.ReadValueId(NodeId=node, AttributeId=ua.AttributeIds(attribute)) for node, attribute in part]
        params = ua.ReadParameters(NodesToRead=nodes, TimestampsToReturn=ua.TimestampsToReturn.Both)
        answers: Sequence[ua.DataValue] = await client.uaclient.session.read(params)
        return answers

    return await in_batches(ask, wanted, most)


def value_of(answer: object) -> Any:
    """Give the value of an answer; None when it is a fault or not good."""
    if not isinstance(answer, ua.DataValue) or answer.Value is None:
        return None
    if answer.StatusCode is not None and not answer.StatusCode.is_good():
        return None
    return answer.Value.Value


def why_of(answer: object) -> str:
    """Name what is wrong with an answer; "" when it is good."""
    if isinstance(answer, ua.UaStatusCodeError):
        return str(ua.StatusCode(answer.code).name)
    status = getattr(answer, "StatusCode", None)
    return "" if status is None or status.is_good() else str(status.name)


async def _values(client: Any, nodes: list[Any]) -> list[Any]:
    answers = await read_attributes(client, [(node, ua.AttributeIds.Value) for node in nodes], len(nodes))
    return [value_of(answer) for answer in answers]


def _number(name: str) -> Any:
    return ua.NodeId(getattr(ua.ObjectIds, name))
