"""Monitored items: the list of what is wanted, and the road from there to what the server gives."""

from collections.abc import Sequence
from typing import Any

import structlog
from asyncua import ua

from connectors.line.board import Board
from connectors.line.opcua.address import parse
from connectors.line.opcua.settings import Node, Settings

log: structlog.stdlib.BoundLogger = structlog.get_logger()
_MOST_AT_ONCE = 1000
_LIMIT = "i=11714"  # Server_ServerCapabilities_OperationLimits_MaxMonitoredItemsPerCall
_RATES = frozenset({"samplerate", "samplingrate", "samplingfrequency", "ratehz", "rate_hz"})


class Monitor:
    """Keeps one subscription's items: creates what is missing, names what the server refuses.

    A node's client handle is its place in the list. What the server does not know stays wanted.
    """

    def __init__(self, settings: Settings, nodes: Sequence[Node], board: Board) -> None:
        self._settings, self.nodes, self._board = settings, nodes, board
        self._wanted = set(range(len(nodes)))
        self._plain: set[int] = set()
        self._items: dict[int, int] = {}
        self.rates: dict[int, float] = {place: node.rate_hz for place, node in enumerate(nodes) if node.rate_hz}
        self._at_once = _MOST_AT_ONCE

    @property
    def complete(self) -> bool:
        """Whether the server monitors every node."""
        return not self._wanted

    def forget(self, gone: set[int]) -> None:
        """Nodes are gone on the server: they are wanted again. Empties the set."""
        self._wanted |= gone
        gone.clear()

    async def read_limits(self, client: Any) -> None:
        """Read how many items the server takes in one call."""
        try:
            most = await client.get_node(_LIMIT).read_value()
        except ua.UaStatusCodeError:
            return
        if isinstance(most, int) and most > 0:
            self._at_once = min(most, _MOST_AT_ONCE)

    async def mend(self, client: Any, subscription: int) -> None:
        """Create the items that are wanted and not there; namespaces are resolved anew."""
        await self._drop(client, subscription)
        namespaces = await client.get_namespace_array()
        found: list[tuple[int, Any]] = []
        for place in sorted(self._wanted):
            address = parse(self.nodes[place].address)
            node_id = address.node_id(namespaces)
            if node_id is None:
                self._board.fail(place, f"the server has no namespace {address.uri}")
            elif await self._has_rate(client, place, node_id):
                found.append((place, ua.NodeId.from_string(node_id)))
        for start in range(0, len(found), self._at_once):
            await self._create(client, subscription, found[start : start + self._at_once])

    async def _drop(self, client: Any, subscription: int) -> None:
        """Delete the items of nodes that were gone: a second item would give every value twice."""
        stale = [self._items.pop(place) for place in sorted(self._wanted) if place in self._items]
        if stale:
            params = ua.DeleteMonitoredItemsParameters(SubscriptionId=subscription, MonitoredItemIds=stale)
            await client.uaclient.session.delete_monitored_items(params)

    async def _has_rate(self, client: Any, place: int, node_id: str) -> bool:
        """Find a waveform's rate in the node's properties when the settings do not give it."""
        if self.nodes[place].kind != "waveform" or place in self.rates:
            return True
        try:
            for prop in await client.get_node(node_id).get_properties():
                name = (await prop.read_browse_name()).Name or ""
                if name.lower() in _RATES and (rate := float(await prop.read_value())) > 0:
                    self.rates[place] = rate
                    return True
        except ua.UaStatusCodeError as fault:
            self._board.fail(place, ua.StatusCode(fault.code).name)
            return False
        except (TypeError, ValueError):
            pass
        self._board.fail(place, "no sampling rate: give rate_hz")
        return False

    async def _create(self, client: Any, subscription: int, items: list[tuple[int, Any]]) -> None:
        params = ua.CreateMonitoredItemsParameters()
        params.SubscriptionId = subscription
        params.TimestampsToReturn = ua.TimestampsToReturn.Both
        params.ItemsToCreate = [self._request(place, node_id) for place, node_id in items]
        try:
            results = await client.uaclient.session.create_monitored_items(params)
        except ua.UaStatusCodeError as fault:
            await self._halve(client, subscription, items, fault)
            return
        for (place, _), result in zip(items, results, strict=True):
            self._note(place, result)

    async def _halve(self, client: Any, subscription: int, items: list[tuple[int, Any]], fault: Any) -> None:
        """A whole call was refused: try halves, until the one node that the server cannot take is named."""
        if fault.code in {ua.StatusCodes.BadSubscriptionIdInvalid, ua.StatusCodes.BadSessionIdInvalid}:
            raise fault
        if len(items) == 1:
            self._board.fail(items[0][0], ua.StatusCode(fault.code).name)
            return
        self._at_once = max(1, min(self._at_once, len(items) // 2))
        middle = len(items) // 2
        await self._create(client, subscription, items[:middle])
        await self._create(client, subscription, items[middle:])

    def _request(self, place: int, node_id: Any) -> Any:
        node = self.nodes[place]
        request = ua.MonitoredItemCreateRequest()
        request.ItemToMonitor.NodeId = node_id
        request.ItemToMonitor.AttributeId = ua.AttributeIds.Value
        request.MonitoringMode = ua.MonitoringMode.Reporting
        wish = request.RequestedParameters
        wish.ClientHandle = place
        wish.SamplingInterval = float(node.every if node.every is not None else self._settings.sampling) * 1000
        wish.QueueSize = self._queue(node)
        wish.DiscardOldest = True
        if node.kind != "value" and place not in self._plain:  # a block equal to the last one is a new measurement
            wish.Filter = ua.DataChangeFilter(Trigger=ua.DataChangeTrigger.StatusValueTimestamp)
        return request

    def _queue(self, node: Node) -> int:
        return self._settings.queue if node.kind == "value" else self._settings.waveform_queue

    def _note(self, place: int, result: Any) -> None:
        if not result.StatusCode.is_good():
            name = result.StatusCode.name
            if "Filter" in name and place not in self._plain:
                self._plain.add(place)  # asked for without the filter next time
            self._board.fail(place, name)
            return
        self._wanted.discard(place)
        self._items[place] = int(result.MonitoredItemId)
        kept, wanted = int(result.RevisedQueueSize), self._queue(self.nodes[place])
        short = f"the server keeps {kept} of {wanted} values" if kept < wanted else ""
        self._board.mend(place, short)
