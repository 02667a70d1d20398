"""Tag groups: how each tag is asked for, and which tags share a subscription. Pure."""

from collections.abc import Sequence
from typing import Literal

import msgspec

from connectors.line.opcua.settings import Node, Settings


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """How one tag is asked for. `sampling` is in seconds; `deadband` in the tag's unit, or in per cent `of_range`."""

    sampling: float
    queue: int
    deadband: float = 0.0
    of_range: bool = False
    trigger: Literal["status", "value", "timestamp"] = "value"
    discard: Literal["oldest", "newest"] = "oldest"


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """One subscription: its publishing interval in seconds, its priority, and the places of its tags.

    `name` is the same whenever the settings and the limits are the same.
    """

    name: str
    publish: float
    priority: int
    places: tuple[int, ...]


def wish_of(settings: Settings, node: Node) -> Wish:
    """Say how a tag is asked for: by itself, by its group, by the line, in this order."""
    group = next((one for one in settings.group if one.name == node.group), None)
    sampling: float = settings.sampling
    if group is not None and group.sampling is not None:
        sampling = float(group.sampling)
    if node.every is not None:
        sampling = float(node.every)
    queue = settings.queue if node.kind == "value" else settings.waveform_queue
    if group is not None and group.queue is not None:
        queue = group.queue
    if node.kind != "value":  # a block equal to the last one is a new measurement, and a block has no deadband
        return Wish(sampling=sampling, queue=queue, trigger="timestamp")
    sampled = node.stuck is not None or node.missing is not None  # these rules count samples, equal ones too
    if group is None:
        return Wish(sampling=sampling, queue=queue, trigger="timestamp" if sampled else "value")
    return Wish(
        sampling=sampling,
        queue=queue,
        deadband=group.amount,
        of_range=group.of_range and group.amount > 0,
        trigger="timestamp" if sampled else group.trigger,
        discard=group.discard,
    )


def plans(settings: Settings, nodes: Sequence[Node], most: int = 0) -> list[Plan]:
    """Sort the tags into subscriptions: one per publishing interval and priority, of at most `most` items each.

    The fastest comes first. `most` 0 is no limit. Without tags there is no plan.
    """
    sorts: dict[tuple[float, int], list[int]] = {}
    groups = {group.name: group for group in settings.group}
    for place, node in enumerate(nodes):
        group = groups.get(node.group)
        publish = settings.publish if group is None or group.publish is None else group.publish
        sorts.setdefault((float(publish), group.priority if group is not None else 0), []).append(place)
    made: list[Plan] = []
    for (interval, priority), places in sorted(sorts.items(), key=lambda it: (it[0][0], -it[0][1])):
        size = most or len(places)
        for start in range(0, len(places), size):
            name = f"{interval * 1000:g}ms/{priority}/{start // size}"
            made.append(
                Plan(name=name, publish=interval, priority=priority, places=tuple(places[start : start + size]))
            )
    return made


def whole(settings: Settings, nodes: Sequence[Node]) -> Plan:
    """Put every tag into one subscription of the line's publishing interval."""
    return Plan(name="all", publish=float(settings.publish), priority=0, places=tuple(range(len(nodes))))
