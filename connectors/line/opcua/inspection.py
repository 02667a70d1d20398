"""Inspection: every tag, event source and write target of a line read once and compared with the settings."""

import math
from collections.abc import Sequence
from typing import Any

from asyncua import ua

from connectors.line.opcua.about import About, about, read_attributes, value_of, why_of
from connectors.line.opcua.browse import type_of
from connectors.line.opcua.checkup import examine
from connectors.line.opcua.discover import visiting
from connectors.line.opcua.facts import Facts, browse, local, read_facts, same_unit
from connectors.line.opcua.settings import Node, Settings
from connectors.line.opcua.variant import plain
from connectors.line.opcua.wishes import EventWish, TargetWish
from connectors.line.tags import judge
from connectors.opcua.address import parse
from connectors.opcua.offers import chosen, meet
from connectors.opcua.refusals import LOST, advice
from connectors.opcua.secured import PLAIN
from gateway.core.batch import TagCheck
from gateway.core.errors import AndonError

_ATTRIBUTES = (ua.AttributeIds.Value, ua.AttributeIds.DataType, ua.AttributeIds.UserAccessLevel)
_READABLE, _WRITABLE = 1, 2
_NOTIFIES = 1
_NOT_YET = frozenset({"BadWaitingForInitialData"})


async def inspect(settings: Settings, nodes: Sequence[Node]) -> list[TagCheck]:
    """Look at the road to the server, then at every tag, event source and target. Nothing is written.

    What is wrong with the road (certificates, clocks, policy) comes first; behind a closed road there is
    nothing more to see. Raises `Unreachable` when the link is lost on the way.
    """
    checks = [TagCheck(step.what, step.how != "BAD", step.told) async for step in examine(settings)]
    checks += [await _other(endpoint, settings) for endpoint in settings.endpoints if endpoint != settings.endpoint]
    if any(not check.ok and check.name not in {"clocks", *settings.endpoints} for check in checks):
        return checks
    async with visiting(settings) as client:
        told = await about(client, settings.profile)
        checks.append(_server(settings, nodes, told))
        checks += await _tags(client, told, nodes)
        checks += await _events(client, told, settings.event)
        checks += await _targets(client, told, settings.target)
    return checks


async def _other(endpoint: str, settings: Settings) -> TagCheck:
    """Look whether another server of the redundant set answers, and offers what the settings want."""
    try:
        meeting = await meet(endpoint, settings.timeout)
        if settings.security != PLAIN:
            chosen(meeting.endpoints, settings.security, settings.mode)
    except AndonError as wrong:
        return TagCheck(endpoint, ok=False, said=str(wrong))
    except LOST as lost:
        return TagCheck(endpoint, ok=False, said=f"does not answer: {advice(lost)}")
    return TagCheck(endpoint, ok=True, said=f"answers, and offers {settings.security}")


def _server(settings: Settings, nodes: Sequence[Node], told: About) -> TagCheck:
    most = told.limits.items_per_subscription
    parts = [f"{told.manufacturer} {told.product} {told.version}".strip(), f"profile {told.profile.name}"]
    if most and len(nodes) > most:
        parts.append(f"{len(nodes)} tags go into subscriptions of {most}")
    parts.append(f"{told.limits.items_per_call} items a call")
    return TagCheck(f"{settings.name} server", ok=True, said="; ".join(parts))


async def _tags(client: Any, told: About, nodes: Sequence[Node]) -> list[TagCheck]:
    found = {place: _node(node.address, told) for place, node in enumerate(nodes)}
    there = {place: node for place, node in found.items() if node is not None}
    answers = await read_attributes(
        client, [(node, attribute) for node in there.values() for attribute in _ATTRIBUTES], told.limits.nodes_per_read
    )
    facts = await read_facts(client, list(there.values()), told.limits)
    said = {
        place: (answers[number * len(_ATTRIBUTES) : (number + 1) * len(_ATTRIBUTES)], facts[number])
        for number, place in enumerate(there)
    }
    return [
        compare(node, *said[place]) if place in said else TagCheck(node.name, ok=False, said=_no_namespace(node, told))
        for place, node in enumerate(nodes)
    ]


def compare(node: Node, answers: Sequence[Any], facts: Facts) -> TagCheck:
    """Compare one tag with what its node says: its value, type and access, its properties."""
    answer, data_type, access = answers
    why = why_of(answer)
    if why and value_of(data_type) is None:
        return TagCheck(node.name, ok=False, said=f"{why}: {node.address}")
    wire = type_of(value_of(data_type), answer)
    level = value_of(access)
    if isinstance(level, int) and not level & _READABLE:
        return TagCheck(node.name, ok=False, said=f"{wire}; this user may not read it (user access level {level})")
    raw = plain(value_of(answer))
    wrong = [*_of_value(node, raw, why), *_of_unit(node, facts), *_of_range(node, facts), *_of_rate(node, facts)]
    shown = why or _short(raw, node)
    notes = [f"{wire} {shown}", *_notes(node, facts)]
    return TagCheck(node.name, ok=not wrong, said="; ".join([*wrong, *notes]))


def _of_value(node: Node, raw: object, why: str) -> list[str]:
    if why:
        return [] if why in _NOT_YET or why.startswith("Uncertain") else [f"its value is bad: {why}"]
    if node.kind == "value":
        if isinstance(raw, list | bytes):
            return [f"{type_word(raw)}, but the settings say a single value (kind)"]
        value, unfit = judge(node, raw)
        return [] if value is not None or raw is None else [f"{unfit} ({_bounds(node)}): {raw}"]
    if node.kind == "waveform" and not (isinstance(raw, bytes) or (isinstance(raw, list) and not _is_deep(raw))):
        return [f"{type_word(raw)}, but the settings say a waveform"]
    if node.kind == "frame" and not isinstance(raw, list | bytes):
        return [f"{type_word(raw)}, but the settings say a frame"]
    return []


def _of_unit(node: Node, facts: Facts) -> list[str]:
    scaled = node.scale != 1 or node.offset != 0
    if scaled or node.kind == "frame" or not node.unit or not facts.unit or same_unit(node.unit, facts.unit):
        return []
    return [f"its unit is {facts.unit}, the settings say {node.unit}"]


def _of_range(node: Node, facts: Facts) -> list[str]:
    """A range of the settings that the server's range has nothing in common with is a fault."""
    if node.low is None or node.high is None or facts.low is None or facts.high is None or node.kind != "value":
        return []
    ends = sorted(end * node.scale + node.offset for end in (facts.low, facts.high))
    if node.high < ends[0] or node.low > ends[1]:
        return [f"its range is {ends[0]:g} to {ends[1]:g}, the settings say {_bounds(node)}"]
    return []


def _of_rate(node: Node, facts: Facts) -> list[str]:
    if node.kind != "waveform":
        return []
    if node.rate_hz is None and facts.rate_hz is None:
        return ["no sampling rate: give rate_hz"]
    known = node.rate_hz is not None and facts.rate_hz is not None
    if known and not math.isclose(node.rate_hz or 0, facts.rate_hz or 0, rel_tol=1e-3):
        return [f"its sampling rate is {facts.rate_hz:g} Hz, the settings say {node.rate_hz:g} Hz"]
    return []


def _notes(node: Node, facts: Facts) -> list[str]:
    """What is worth knowing and no fault."""
    notes = []
    if facts.unit and not node.unit and node.scale == 1 and node.offset == 0:
        notes.append(f"unit {facts.unit} is taken from the server")
    if (
        facts.low is not None
        and facts.high is not None
        and node.kind == "value"
        and (node.low is None or node.high is None)
    ):
        notes.append(f"the server's range is {facts.low:g} to {facts.high:g}: give low and high")
    return notes


def type_word(raw: object) -> str:
    """Name the shape of a value for a person."""
    if isinstance(raw, list):
        return f"it is a table of {len(raw)} rows" if _is_deep(raw) else f"it is an array of {len(raw)}"
    if isinstance(raw, bytes):
        return f"it is a byte string of {len(raw)}"
    return "it is a single value"


def _is_deep(raw: list[Any]) -> bool:
    return bool(raw) and isinstance(raw[0], list)


def _short(raw: object, node: Node) -> str:
    if isinstance(raw, list | bytes):
        return type_word(raw).removeprefix("it is ")
    text = str(raw)
    text = text if len(text) <= 60 else text[:59] + "…"  # noqa: PLR2004 (a line of a table)
    return " ".join(filter(None, (text, "" if node.scale != 1 or node.offset != 0 else node.unit)))


def _bounds(node: Node) -> str:
    low = "" if node.low is None else f"{node.low:g}"
    high = "" if node.high is None else f"{node.high:g}"
    return f"{low} to {high}" if low and high else f"from {low}" if low else f"up to {high}" if high else "no range"


def _node(text: str, told: About) -> Any | None:
    node = parse(text).node_id(told.namespaces)
    return None if node is None else ua.NodeId.from_string(node)


def _no_namespace(node: Node, told: About) -> str:
    others = ", ".join(told.namespaces[1:]) or "none"
    return f"the server has no namespace {parse(node.address).uri}; it has {others}"


async def _events(client: Any, told: About, wishes: Sequence[EventWish]) -> list[TagCheck]:
    checks = []
    for wish in wishes:
        name = f"{wish.asset}/{wish.name}"
        nodes = [_node(text, told) for text in (wish.source, *wish.types)]
        if None in nodes:
            checks.append(TagCheck(name, ok=False, said="the server lacks a namespace of its source or types"))
            continue
        wanted = [(nodes[0], ua.AttributeIds.EventNotifier)]
        wanted += [(node, ua.AttributeIds.NodeClass) for node in nodes[1:]]
        answers = await read_attributes(client, wanted, told.limits.nodes_per_read)
        missing = [text for text, answer in zip(wish.types, answers[1:], strict=True) if why_of(answer)]
        notifier = value_of(answers[0])
        why = why_of(answers[0])
        if why and why != "BadAttributeIdInvalid":  # that is how something that is no object says that it sends none
            checks.append(TagCheck(name, ok=False, said=f"{wish.source}: {why}"))
        elif not (isinstance(notifier, int) and notifier & _NOTIFIES):
            checks.append(TagCheck(name, ok=False, said=f"{wish.source} sends no events (EventNotifier {notifier})"))
        elif missing:
            checks.append(TagCheck(name, ok=False, said=f"no such event types: {', '.join(missing)}"))
        else:
            checks.append(TagCheck(name, ok=True, said=f"{wish.source} sends events"))
    return checks


async def _targets(client: Any, told: About, targets: Sequence[TargetWish]) -> list[TagCheck]:
    return [TagCheck(f"target {target.name}", *await _target(client, told, target)) for target in targets]


async def _target(client: Any, told: About, target: TargetWish) -> tuple[bool, str]:
    text = target.node or target.method or ""
    node = _node(text, told)
    if node is None:
        return False, f"the server has no namespace {parse(text).uri}"
    if target.node is None:
        return await _method(client, told, target, node)
    wanted = [(node, attribute) for attribute in (ua.AttributeIds.DataType, ua.AttributeIds.UserAccessLevel)]
    kind, access = await read_attributes(client, wanted, told.limits.nodes_per_read)
    if why := why_of(kind):
        return False, f"{text}: {why}"
    wire, level = type_of(value_of(kind), None), value_of(access)
    if isinstance(level, int) and not level & _WRITABLE:
        return False, f"{text}: this user may not write it (user access level {level})"
    if wire != target.type and wire not in {"Number", "Integer", "UInteger", "BaseDataType"}:
        return False, f"{text} is a {wire}, the settings say {target.type}"
    return True, f"{text}: {wire}, may be written"


async def _method(client: Any, told: About, target: TargetWish, method: Any) -> tuple[bool, str]:
    wanted = [(method, ua.AttributeIds.UserExecutable)]
    [answer] = await read_attributes(client, wanted, told.limits.nodes_per_read)
    if why := why_of(answer):
        return False, f"{target.method}: {why}"
    if value_of(answer) is False:
        return False, f"{target.method}: this user may not call it"
    [(properties, _)] = await browse(client, [method], told.limits, ua.ObjectIds.HasProperty)
    found = [local(one.NodeId) for one in properties if one.BrowseName.Name == "InputArguments"]
    read = await read_attributes(client, [(node, ua.AttributeIds.Value) for node in found], told.limits.nodes_per_read)
    given: Sequence[Any] = [argument for answer in read for argument in value_of(answer) or ()]
    theirs = [type_of(one.DataType, None) for one in given]
    ours = [one.type for one in target.arguments]
    if theirs != ours:
        return False, f"{target.method} takes ({', '.join(theirs)}), the settings say ({', '.join(ours)})"
    return True, f"{target.method}: may be called with ({', '.join(theirs)})"
