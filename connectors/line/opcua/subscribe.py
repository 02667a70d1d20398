"""Subscriptions on the server: made, taken over, deleted; and the road from a client handle to a tag."""

import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence

import msgspec
import numpy as np
import structlog
from asyncua import ua
from numpy.typing import NDArray

from connectors.line.opcua.groups import Plan, wish_of
from connectors.line.opcua.resume import Subscription
from connectors.line.opcua.settings import Node, Settings
from connectors.opcua.security import Andon

log: structlog.stdlib.BoundLogger = structlog.get_logger()
KEY = 8
"""Bytes of a tag's key."""
_MOST_NOTIFICATIONS = 10_000


def key_of(settings: Settings, node: Node) -> bytes:
    """Name what is monitored for a tag and how: a tag with the same key may keep its item."""
    return digest((node.asset, node.tag, node.address, wish_of(settings, node)))


def digest(facts: object) -> bytes:
    """Give the key of what msgspec can encode."""
    return hashlib.blake2b(msgspec.json.encode(facts, enc_hook=float), digest_size=KEY).digest()


async def create(client: Andon, settings: Settings, plan: Plan) -> Subscription:
    """Make a subscription without items. It outlives silence of ours for `survive`."""
    beats = max(1, math.ceil(settings.keep_alive / plan.publish))
    params = ua.CreateSubscriptionParameters(
        RequestedPublishingInterval=plan.publish * 1000,
        RequestedMaxKeepAliveCount=beats,
        RequestedLifetimeCount=max(3 * beats, math.ceil(settings.survive / plan.publish)),
        MaxNotificationsPerPublish=_MOST_NOTIFICATIONS,
        PublishingEnabled=True,
        Priority=plan.priority,
    )
    made = await client.uaclient.session.create_subscription(params, callback=lambda _: None)
    interval = float(made.RevisedPublishingInterval) / 1000
    lifetime = int(made.RevisedLifetimeCount)
    if interval * lifetime < settings.survive:
        log.warning("opcua.lifetime.short", source=settings.name, seconds=interval * lifetime, wanted=settings.survive)
    return Subscription(
        plan.name, int(made.SubscriptionId), interval, int(made.RevisedMaxKeepAliveCount), lifetime, b"", (), ()
    )


async def transfer(client: Andon, ids: Sequence[int]) -> dict[int, tuple[int, ...] | None]:
    """Take subscriptions over from an older session. Gives, per id that is ours now, the messages that it holds.

    None: it never left this session, and the server does not say what it holds.
    """
    if not ids:
        return {}
    params = ua.TransferSubscriptionsParameters(SubscriptionIds=list(ids), SendInitialValues=False)
    try:
        results = await client.uaclient.session.transfer_subscriptions(params)
    except ua.UaStatusCodeError as fault:
        log.info("opcua.transfer.refused", why=ua.StatusCode(fault.code).name)
        return {}
    ours: dict[int, tuple[int, ...] | None] = {}
    for number, result in zip(ids, results, strict=True):
        if result.StatusCode.value == ua.StatusCodes.BadNothingToDo:
            ours[number] = None
        elif result.StatusCode.is_good():
            ours[number] = tuple(int(held) for held in result.AvailableSequenceNumbers or ())
        else:
            log.info("opcua.transfer.refused", subscription=number, why=result.StatusCode.name)
    return ours


async def delete(client: Andon, ids: Sequence[int]) -> None:
    """Delete subscriptions; one that is gone already is no fault."""
    if ids:
        try:
            await client.uaclient.session.delete_subscriptions(list(ids))
        except ua.UaStatusCodeError as fault:
            log.info("opcua.delete.refused", why=ua.StatusCode(fault.code).name)


class Fit(msgspec.Struct, frozen=True):
    """How the items of a kept subscription fit the tags of today.

    `items` is the item of each place that has one; `obsolete` are items that nobody wants. A new item of
    place p takes the handle `base` + p. `places` leads from a handle to its place (-1: none); None when
    they are the same.
    """

    items: dict[int, int]
    obsolete: tuple[int, ...]
    base: int
    places: NDArray[np.int64] | None


def fit(kept: Subscription, keys: Mapping[bytes, int], count: int) -> Fit:
    """Match a kept subscription's items with the tags of its plan (place by key), of `count` in all."""
    items: dict[int, int] = {}
    handles: dict[int, int] = {}
    obsolete: list[int] = []
    for number, (item, handle) in enumerate(zip(kept.items, kept.handles, strict=True)):
        place = keys.get(kept.keys[number * KEY : (number + 1) * KEY])
        if place is None or place in items:
            obsolete.append(item)
        else:
            items[place] = item
            handles[handle] = place
    fresh = set(keys.values()) - items.keys()
    taken = set(kept.handles)
    base = 0 if fresh.isdisjoint(taken) else max(taken, default=0) + 1
    if not base and all(handle == place for handle, place in handles.items()) and not obsolete:
        return Fit(items, (), 0, None)
    places = np.full(max(base + count, max(taken, default=0) + 1), -1, np.int64)
    if base or fresh:
        places[base : base + count] = np.arange(count)
        places[[handle for handle in taken if handle < len(places) and handle not in handles]] = -1
    for handle, place in handles.items():
        places[handle] = place
    return Fit(items, tuple(obsolete), base, places)


async def drop_items(client: Andon, subscription: int, items: Sequence[int], most: int) -> None:
    """Delete items of a subscription, `most` at a time."""
    for start in range(0, len(items), most):
        params = ua.DeleteMonitoredItemsParameters(
            SubscriptionId=subscription, MonitoredItemIds=list(items[start : start + most])
        )
        await client.uaclient.session.delete_monitored_items(params)


def noted(
    kept: Subscription, items: Mapping[int, int], handles: Mapping[int, int], keys: Sequence[bytes]
) -> Subscription:
    """Give the subscription with its items as they are now: item and handle by place."""
    places: Iterable[int] = sorted(items)
    return msgspec.structs.replace(
        kept,
        keys=b"".join(keys[place] for place in places),
        items=tuple(items[place] for place in sorted(items)),
        handles=tuple(handles[place] for place in sorted(items)),
    )
