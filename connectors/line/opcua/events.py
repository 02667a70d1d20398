"""Events, alarms and conditions of a server: monitored with a filter of our own, refreshed, acknowledged."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import structlog
from asyncua import ua

from connectors.line.opcua.about import LINK_FAULTS, why_of
from connectors.line.opcua.conditions import FIELDS, REFRESH_REQUIRED, Conditions, happening
from connectors.line.opcua.decode import Event
from connectors.line.opcua.facts import browse
from connectors.line.opcua.groups import Plan
from connectors.line.opcua.profiles import Limits
from connectors.line.opcua.settings import Settings
from connectors.opcua.address import parse
from gateway.core.batch import Condition, TagState
from gateway.core.errors import Refused
from gateway.core.reading import LogLine

log: structlog.stdlib.BoundLogger = structlog.get_logger()
FIRST_HANDLE = 0x4000_0000
"""Client handles of event items start here; below are the tags' places."""
_QUEUE = 1000
_MOST_TYPES = 500
_NOT_READY = frozenset({"BadRefreshInProgress", "BadTooManyOperations", "BadOutOfService"})


class Events:
    """Keeps the event items of one subscription, as `Monitor` keeps those of the tags; gives log lines.

    The condition table holds what the server wants looked at. After the items are made, or taken over from
    an older subscription, the server is asked to tell every condition again (ConditionRefresh).
    """

    def __init__(self, settings: Settings) -> None:
        self._settings, self._wishes = settings, settings.event
        self.plan = Plan(name="events", publish=float(settings.publish), priority=0, places=())
        self.items: dict[int, int] = {}
        self.base, self.limits = 0, Limits()
        self.table = Conditions()
        self._wanted = set(range(len(self._wishes)))
        self._unsifted: set[int] = set()
        self._said = ["waiting to be subscribed"] * len(self._wishes)
        self._last: list[datetime | None] = [None] * len(self._wishes)
        self._stale = True

    @property
    def complete(self) -> bool:
        """Whether the server monitors every source of events, and told its conditions."""
        return not self._wanted and not self._stale

    def adopt(self, items: Mapping[int, int]) -> None:
        """Take over the items (place to the server's id) of a subscription that is older than this object."""
        self.items.update({place: item for place, item in items.items() if 0 <= place < len(self._wishes)})
        for place in self.items:
            self._wanted.discard(place)
            self._said[place] = ""

    def restart(self) -> None:
        """Their subscription is no more: every item is wanted again."""
        self.items.clear()
        self._wanted, self._stale = set(range(len(self._wishes))), True

    def states(self) -> list[TagState]:
        """Say how each source of events is doing."""
        return [
            TagState(self._settings.name, f"{wish.asset}/{wish.name}", place not in self._wanted, said, last)
            for place, (wish, said, last) in enumerate(zip(self._wishes, self._said, self._last, strict=True))
        ]

    def conditions(self) -> list[Condition]:
        """Give the conditions that the server wants looked at."""
        return self.table.rows()

    def lines(self, events: Sequence[Event], received_at: datetime) -> list[LogLine]:
        """Turn events into log lines; conditions go into the table on the way."""
        lines: list[LogLine] = []
        for event in events:
            place = event.handle - FIRST_HANDLE
            one = happening(event.fields) if 0 <= place < len(self._wishes) else None
            if one is None:
                continue
            self._stale |= one.type == REFRESH_REQUIRED
            self._last[place] = received_at
            if (line := self.table.take(self._wishes[place], one, received_at)) is not None:
                lines.append(line)
        return lines

    async def mend(self, client: Any, subscription: int) -> None:
        """Create the event items that are wanted and not there; then have the conditions told again."""
        if self._wanted:
            namespaces = await client.get_namespace_array()
            for place in sorted(self._wanted):
                await self._subscribe(client, subscription, place, namespaces)
        if self._stale and self.items:
            self._stale = not await self._refresh(client, subscription)

    async def _subscribe(self, client: Any, subscription: int, place: int, namespaces: Sequence[str]) -> None:
        wish = self._wishes[place]
        try:
            source, types = (self._nodes(group, namespaces) for group in ((wish.source,), wish.types))
        except LookupError as missing:
            self._fail(place, str(missing))
            return
        for unsifted in (place in self._unsifted, True):
            kinds = await _subtypes(client, types) if types and not unsifted else []
            request = _item(place, source[0], None if unsifted else _where(kinds, wish.severity_from))
            params = ua.CreateMonitoredItemsParameters(
                SubscriptionId=subscription,
                TimestampsToReturn=ua.TimestampsToReturn.Neither,
                ItemsToCreate=[request],
            )
            try:
                [result] = await client.uaclient.session.create_monitored_items(params)
            except ua.UaStatusCodeError as fault:
                if fault.code in LINK_FAULTS:
                    raise
                result = fault
            if not (why := why_of(result)):
                self._made(place, result, unsifted=unsifted and bool(wish.types))
                return
            if "Filter" not in why or unsifted:
                self._fail(place, why)
                return
            self._unsifted.add(place)

    async def filter_of(self, client: Any, place: int, namespaces: Sequence[str]) -> Any:
        """Give the filter with which a source of events is asked. Raises LookupError for an unknown namespace."""
        wish = self._wishes[place]
        kinds = await _subtypes(client, self._nodes(wish.types, namespaces)) if wish.types else []
        return _filter(_where(kinds, wish.severity_from))

    def _made(self, place: int, result: Any, *, unsifted: bool) -> None:
        self._wanted.discard(place)
        self.items[place] = int(result.MonitoredItemId)
        self._stale = True
        said = ["the server cannot filter by type: every event comes"] if unsifted else []
        if (kept := int(result.RevisedQueueSize)) not in {0, _QUEUE} and kept < _QUEUE:
            said.append(f"the server keeps {kept} of {_QUEUE} events")
        self._said[place] = "; ".join(said)

    def _fail(self, place: int, why: str) -> None:
        if self._said[place] != why:
            name = self._wishes[place].name
            log.warning("opcua.events.failed", source=self._settings.name, events=name, why=why)
        self._said[place] = why

    async def _refresh(self, client: Any, subscription: int) -> bool:
        """Ask for every condition again. Gives False when it is to be asked for once more later."""
        why = await _call(client, ua.NodeId(2782), ua.NodeId(3875), [ua.Variant(subscription, ua.VariantType.UInt32)])
        if why:
            log.info("opcua.events.no_refresh", source=self._settings.name, why=why)
        return why not in _NOT_READY

    async def acknowledge(self, client: Any, name: str, event_id: str, comment: str) -> None:
        """Acknowledge a condition by the id of its last event (hex). Raises `Refused` when the server says no.

        `name` is the source of events that declares it.
        """
        wish = next(one for one in self._wishes if one.name == name)
        row = self.table.of_event(name, event_id)
        if row is None:
            raise Refused(f"no condition of {wish.asset} has the event {event_id}: it was followed by another")
        arguments = [
            ua.Variant(bytes.fromhex(event_id), ua.VariantType.ByteString),
            ua.Variant(ua.LocalizedText(comment), ua.VariantType.LocalizedText),
        ]
        if why := await _call(client, ua.NodeId.from_string(row.condition), ua.NodeId(9111), arguments):
            raise Refused(f"{row.name or row.condition}: the server says {why}")

    @staticmethod
    def _nodes(addresses: Sequence[str], namespaces: Sequence[str]) -> list[Any]:
        nodes = []
        for text in addresses:
            address = parse(text)
            node = address.node_id(namespaces)
            if node is None:
                raise LookupError(f"the server has no namespace {address.uri}")
            nodes.append(ua.NodeId.from_string(node))
        return nodes


async def _call(client: Any, target: Any, method: Any, arguments: list[Any]) -> str:
    """Call a method; gives the name of what went wrong, "" when it was done."""
    request = ua.CallMethodRequest(ObjectId=target, MethodId=method, InputArguments=arguments)
    try:
        [result] = await client.uaclient.session.call([request])
    except ua.UaStatusCodeError as fault:
        if fault.code in LINK_FAULTS:
            raise
        return why_of(fault)
    return why_of(result)


async def _subtypes(client: Any, types: Sequence[Any]) -> list[Any]:
    """Give event types with all their subtypes."""
    known, fresh = list(types), list(types)
    while fresh and len(known) < _MOST_TYPES:
        listed = await browse(client, fresh, Limits(), ua.ObjectIds.HasSubtype)
        found = [one.NodeId for references, _ in listed for one in references]
        fresh = [node for node in (ua.NodeId(it.Identifier, it.NamespaceIndex) for it in found) if node not in known]
        known += fresh
    return known[:_MOST_TYPES]


def _item(place: int, source: Any, where: Any) -> Any:
    request = ua.MonitoredItemCreateRequest()
    request.ItemToMonitor.NodeId = source
    request.ItemToMonitor.AttributeId = ua.AttributeIds.EventNotifier
    request.MonitoringMode = ua.MonitoringMode.Reporting
    request.RequestedParameters.ClientHandle = FIRST_HANDLE + place
    request.RequestedParameters.SamplingInterval = 0.0
    request.RequestedParameters.QueueSize = _QUEUE
    request.RequestedParameters.DiscardOldest = True
    request.RequestedParameters.Filter = _filter(where)
    return request


def _filter(where: Any) -> Any:
    return ua.EventFilter(
        SelectClauses=[_field(defined, path) for defined, path in FIELDS], WhereClause=where or ua.ContentFilter()
    )


def _field(defined: int, path: Sequence[str]) -> Any:
    return ua.SimpleAttributeOperand(
        TypeDefinitionId=ua.NodeId(defined),
        BrowsePath=[ua.QualifiedName(name, 0) for name in path],
        AttributeId=ua.AttributeIds.Value if path else ua.AttributeIds.NodeId,
    )


def _where(types: Sequence[Any], severity_from: int) -> Any:
    """Filter on the server: one of the types, and severe enough. None when nothing is to be filtered."""
    elements = []
    if types:
        listed = [ua.LiteralOperand(Value=ua.Variant(kind, ua.VariantType.NodeId)) for kind in types]
        elements.append(_element(ua.FilterOperator.InList, _field(2041, ("EventType",)), *listed))
    if severity_from > 1:
        least = ua.LiteralOperand(Value=ua.Variant(severity_from, ua.VariantType.UInt16))
        elements.append(_element(ua.FilterOperator.GreaterThanOrEqual, _field(2041, ("Severity",)), least))
    if not elements:
        return None
    if len(elements) == 2:  # noqa: PLR2004 (both)
        both = _element(ua.FilterOperator.And, ua.ElementOperand(Index=1), ua.ElementOperand(Index=2))
        elements.insert(0, both)
    return ua.ContentFilter(Elements=elements)


def _element(operator: Any, *operands: Any) -> Any:
    return ua.ContentFilterElement(FilterOperator=operator, FilterOperands=list(operands))
