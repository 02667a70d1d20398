"""Declared write targets: the only way in which anything is written to a server, typed and range-checked first."""

import asyncio
import math
import struct
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import structlog
from asyncua import ua

from connectors.line.opcua.about import LINK_FAULTS, read_attributes, value_of, why_of
from connectors.line.opcua.events import Events
from connectors.line.opcua.settings import Settings
from connectors.line.opcua.wishes import ACKNOWLEDGE, WHOLE, Argument, TargetWish
from connectors.opcua.address import parse
from gateway.core.errors import Doubtful, Refused, Unreachable
from gateway.core.reading import Value

log: structlog.stdlib.BoundLogger = structlog.get_logger()
_MOST_COMMENT = 1024
_MOST_EXACT = 2**53
_EVENT = Argument(name="event_id", type="String", longest=512)
_COMMENT = Argument(name="comment", type="String", longest=_MOST_COMMENT)
_UNKNOWN = "whether it was written is not known: look at the equipment before you write again"


class Targets:
    """The targets of one line; see `Writable`."""

    def __init__(self, settings: Settings, events: Events) -> None:
        self._settings, self._events = settings, events
        self._declared = {target.name: target for target in settings.target}
        self._acknowledged = {ACKNOWLEDGE + event.name: event.name for event in settings.event if event.acknowledge}

    def names(self) -> list[str]:
        """Name every target."""
        return [*self._declared, *self._acknowledged]

    async def write(self, client: Any | None, name: str, values: Sequence[Value]) -> list[Value]:
        """Check the values, then write them. `client` is None when there is no live link. See `Writable`."""
        wanted = self._wanted(name)
        if faults := misfits(wanted, values):
            raise Refused(f"{self._settings.name}/{name}: {'; '.join(faults)}")
        where = f"{self._settings.name}/{name}"
        if client is None:
            raise Unreachable(f"{where}: the line is not connected; nothing was written")
        try:
            async with asyncio.timeout(self._settings.timeout):
                if name in self._acknowledged:
                    event_id, comment = values
                    await self._events.acknowledge(client, self._acknowledged[name], str(event_id), str(comment))
                    return []
                return await self._do(client, self._declared[name], wanted, values)
        except TimeoutError as late:
            raise Doubtful(f"{where}: no answer in time; {_UNKNOWN}") from late
        except (ua.UaError, OSError) as lost:
            raise Doubtful(f"{where}: {why_of(lost) or type(lost).__name__}; {_UNKNOWN}") from lost

    async def held_by(self, client: Any | None, name: str) -> Value:
        """Read what a target holds. See `Readable`."""
        where = f"{self._settings.name}/{name}"
        target = self._declared.get(name)
        if target is None or target.node is None:
            raise Refused(f"{where}: holds no value")
        if client is None:
            raise Unreachable(f"{where}: the line is not connected")
        try:
            async with asyncio.timeout(self._settings.timeout):
                node = self._node(target.node, await client.get_namespace_array())
                [answer] = await read_attributes(client, [(node, ua.AttributeIds.Value)], 1)
        except (TimeoutError, ua.UaError, OSError) as lost:
            raise Unreachable(f"{where}: {why_of(lost) or type(lost).__name__}") from lost
        if why := why_of(answer):
            raise Unreachable(f"{where}: the server says {why}")
        return _plain(value_of(answer))

    def _wanted(self, name: str) -> tuple[Argument, ...]:
        if name in self._acknowledged:
            return (_EVENT, _COMMENT)
        if name not in self._declared:
            known = ", ".join(self.names()) or "none"
            raise Refused(f"{self._settings.name} has no target {name!r}; declared: {known}")
        return self._declared[name].values()

    async def _do(
        self, client: Any, target: TargetWish, wanted: Sequence[Argument], values: Sequence[Value]
    ) -> list[Value]:
        namespaces = await client.get_namespace_array()
        variants = [_variant(one, value) for one, value in zip(wanted, values, strict=True)]
        if target.node is not None:
            why = await self._set(client, self._node(target.node, namespaces), variants[0])
            outputs: list[Value] = []
        else:
            request = ua.CallMethodRequest(
                ObjectId=self._node(str(target.object), namespaces),
                MethodId=self._node(str(target.method), namespaces),
                InputArguments=variants,
            )
            why, outputs = await self._call(client, request)
        if why:
            raise Refused(f"{self._settings.name}/{target.name}: the server says {why}")
        log.info("opcua.written", source=self._settings.name, target=target.name)
        return outputs

    async def _set(self, client: Any, node: Any, variant: Any) -> str:
        """Write a value, and nothing but the value: many servers refuse a status or a time."""
        write = ua.WriteValue(
            NodeId=node,
            AttributeId=ua.AttributeIds.Value,
            Value=ua.DataValue(variant, StatusCode=None, SourceTimestamp=None, ServerTimestamp=None),
        )
        try:
            [status] = await client.uaclient.session.write(ua.WriteParameters(NodesToWrite=[write]))
        except ua.UaStatusCodeError as fault:
            if fault.code in LINK_FAULTS:
                raise
            return why_of(fault)
        return "" if status.is_good() else str(status.name)

    async def _call(self, client: Any, request: Any) -> tuple[str, list[Value]]:
        try:
            [result] = await client.uaclient.session.call([request])
        except ua.UaStatusCodeError as fault:
            if fault.code in LINK_FAULTS:
                raise
            return why_of(fault), []
        if why := why_of(result):
            bad = [place for place, one in enumerate(result.InputArgumentResults or (), 1) if not one.is_good()]
            return f"{why} (argument {', '.join(map(str, bad))})" if bad else why, []
        return "", [_plain(one.Value) for one in result.OutputArguments or ()]

    def _node(self, text: str, namespaces: Sequence[str]) -> Any:
        address = parse(text)
        node = address.node_id(namespaces)
        if node is None:
            raise Refused(f"{self._settings.name}: the server has no namespace {address.uri}")
        return ua.NodeId.from_string(node)


def misfits(wanted: Sequence[Argument], values: Sequence[Value]) -> list[str]:
    """Name every value that does not fit its argument. Nothing is ever coerced."""
    if len(values) != len(wanted):
        names = ", ".join(one.name for one in wanted) or "none"
        return [f"{len(values)} values given, {len(wanted)} wanted ({names})"]
    found = ((one.name, misfit(one, value)) for one, value in zip(wanted, values, strict=True))
    return [f"{name}: {fault}" for name, fault in found if fault]


def misfit(wanted: Argument, value: Value) -> str:
    """Say why a value does not fit; "" when it does. An exact whole number is also a Float or a Double."""
    if wanted.type == "Boolean":
        return "" if isinstance(value, bool) else f"{value!r} is not a Boolean (true or false)"
    if wanted.type == "String":
        if not isinstance(value, str):
            return f"{value!r} is not a String"
        return "" if len(value) <= wanted.longest else f"{len(value)} characters are more than {wanted.longest}"
    if isinstance(value, bool) or not isinstance(value, int | float):
        return f"{value!r} is not a {wanted.type}"
    if wanted.type in WHOLE:
        first, last = WHOLE[wanted.type]
        if not isinstance(value, int):
            return f"{value!r} is not a {wanted.type}: it has to be a whole number"
        if not first <= value <= last:
            return f"{value} is not a {wanted.type} ({first} to {last})"
    elif not math.isfinite(value) or (isinstance(value, int) and abs(value) > _MOST_EXACT):
        return f"{value} is not a {wanted.type}"
    elif wanted.type == "Float" and not _fits_float(value):
        return f"{value} is beyond a Float"
    if wanted.low is not None and wanted.high is not None and not wanted.low <= value <= wanted.high:
        return f"{value} is not in {wanted.low:g} to {wanted.high:g}"
    return ""


def _fits_float(value: float) -> bool:
    try:
        struct.pack("<f", value)
    except OverflowError:
        return False
    return True


def _variant(wanted: Argument, value: Value) -> Any:
    kind = getattr(ua.VariantType, wanted.type)
    return ua.Variant(float(value) if wanted.type in {"Float", "Double"} and value is not None else value, kind)


def _plain(value: Any) -> Value:
    """Give an output of a method as a value; what has no plain form as text."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, bytes):
        return value.hex()
    return str(getattr(value, "Text", value))
