"""Monitored items: the list of what is wanted, and the road from there to what the server gives."""

import time
from collections.abc import Callable, Mapping, MutableSequence, Sequence
from typing import Any

import msgspec
import structlog
from asyncua import ua

from connectors.line.board import Board
from connectors.line.opcua.about import About, in_batches, why_of
from connectors.line.opcua.facts import NONE, Facts, read_facts
from connectors.line.opcua.groups import Plan, Wish, whole, wish_of
from connectors.line.opcua.profiles import Limits, Profile, limits_of, named
from connectors.line.opcua.settings import Node, Settings
from connectors.opcua.address import parse

log: structlog.stdlib.BoundLogger = structlog.get_logger()
_LONGEST_PAUSE = 60.0
_MOST_ALONE = 8  # nodes that fail a whole call are tried one by one, so many at a time
_PLAIN, _OWN, _SERVER = range(3)  # how much of a filter is asked for: none, the trigger alone, the deadband too
_TRIGGERS = {
    "status": ua.DataChangeTrigger.Status,
    "value": ua.DataChangeTrigger.StatusValue,
    "timestamp": ua.DataChangeTrigger.StatusValueTimestamp,
}


class Monitor:
    """Keeps one subscription's items: creates what is missing, names what the server refuses.

    A node's client handle is `base` + its place in the list `nodes`, whatever subscription it is in. What the server
    does not know stays wanted and is tried again with growing pauses. What the server says of a node and
    the settings do not (unit, range of the instrument, rate), and a deadband that the server cannot keep,
    are put into `nodes`; `learned` is then called with the nodes that changed, by place.
    """

    def __init__(
        self,
        settings: Settings,
        nodes: Sequence[Node],
        board: Board,
        plan: Plan | None = None,
        learned: Callable[[Mapping[int, Node]], None] = lambda _: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings, self._board, self._learned, self._clock = settings, board, learned, clock
        self.nodes: MutableSequence[Node] = nodes if isinstance(nodes, list) else list(nodes)
        self.plan = plan or whole(settings, self.nodes)
        self.items: dict[int, int] = {}
        self.base = 0
        self.rates: dict[int, float] = {place: node.rate_hz for place, node in enumerate(nodes) if node.rate_hz}
        self.about: About | None = None
        self._wishes: dict[int, Wish] = {place: wish_of(settings, self.nodes[place]) for place in self.plan.places}
        self._wanted = set(self.plan.places)
        self._described: dict[int, Facts] = {}
        self._filters: dict[int, int] = {}
        self._tries: dict[int, int] = {}
        self._due: dict[int, float] = {}
        self._alone: set[int] = set()
        self._adopted: set[int] = set()
        self.slowest = max((wish.sampling for wish in self._wishes.values()), default=0.0)

    @property
    def complete(self) -> bool:
        """Whether the server monitors every node."""
        return not self._wanted

    @property
    def limits(self) -> Limits:
        """How much is asked in one call."""
        return self.about.limits if self.about is not None else limits_of(self._profile, {})

    @property
    def _profile(self) -> Profile:
        return self.about.profile if self.about is not None else named(self._settings.profile or "standard")

    def adopt(self, items: Mapping[int, int]) -> None:
        """Take over the items (place to the server's id) of a subscription that is older than this object."""
        self.items.update({place: item for place, item in items.items() if place in self._wishes})
        self._wanted -= self.items.keys()
        self._adopted |= self.items.keys()
        for place in self.items:
            self._board.mend(place)

    def restart(self) -> None:
        """Their subscription is no more: every item is wanted again."""
        self.items.clear()
        self._due.clear()
        self._wanted = set(self.plan.places)

    def forget(self, gone: set[int]) -> None:
        """Nodes are gone on the server: they are wanted again. Takes this subscription's out of the set."""
        mine = gone & self._wishes.keys()
        self._wanted |= mine
        gone -= mine

    async def mend(self, client: Any, subscription: int) -> None:
        """Create the items that are wanted and due; namespaces are resolved anew."""
        await self._drop(client, subscription)
        if self._adopted:
            await self._settle(client)
        now = self._clock()
        due = [place for place in sorted(self._wanted) if self._due.get(place, now) <= now]
        if not due:
            return
        found = self._resolved(due, await client.get_namespace_array())
        await self._describe(client, found)
        found = {place: node for place, node in found.items() if self._has_rate(place)}
        for _ in range(_SERVER + 1):  # with the deadband, without it, without a filter
            asked = {place: node for place, node in found.items() if place in self._wanted}
            levels = {place: self._level(place) for place in asked}
            await self._ask(client, subscription, asked)
            found = {place: node for place, node in asked.items() if self._level(place) != levels[place]}
            if not found:
                break
        for place in due:
            self._postpone(place, now)

    async def _settle(self, client: Any) -> None:
        """Find out again about adopted items what the settings leave open; nobody remembers who keeps a deadband."""
        adopted, self._adopted = sorted(self._adopted), set()
        open_ended = [place for place in adopted if self._lacks(place)]
        if open_ended:
            await self._describe(client, self._resolved(open_ended, await client.get_namespace_array()))
        for place in adopted:
            if self._wishes[place].deadband:
                self._keep(place)

    def _resolved(self, places: Sequence[int], namespaces: Sequence[str]) -> dict[int, Any]:
        found: dict[int, Any] = {}
        for place in places:
            address = parse(self.nodes[place].address)
            node_id = address.node_id(namespaces)
            if node_id is None:
                self._board.fail(place, f"the server has no namespace {address.uri}")
            else:
                found[place] = ua.NodeId.from_string(node_id)
        return found

    def _postpone(self, place: int, now: float) -> None:
        """Let a node that is still missing rest for a while, each time twice as long."""
        if place not in self._wanted:
            self._tries.pop(place, None)
            self._due.pop(place, None)
            return
        tries = self._tries[place] = self._tries.get(place, -1) + 1
        self._due[place] = now + min(_LONGEST_PAUSE, self._settings.retry * 0.9 * 2 ** min(tries, 16))

    async def _drop(self, client: Any, subscription: int) -> None:
        """Delete the items of nodes that were gone: a second item would give every value twice."""
        stale = [self.items.pop(place) for place in sorted(self._wanted) if place in self.items]
        most = self.limits.items_per_call
        for start in range(0, len(stale), most):
            params = ua.DeleteMonitoredItemsParameters(
                SubscriptionId=subscription, MonitoredItemIds=stale[start : start + most]
            )
            await client.uaclient.session.delete_monitored_items(params)

    async def _describe(self, client: Any, found: Mapping[int, Any]) -> None:
        """Read what the settings leave open, once per node that the server knows."""
        lacking = [place for place in found if place not in self._described and self._lacks(place)]
        if not lacking:
            return
        facts = await read_facts(client, [found[place] for place in lacking], self.limits)
        for place, said in zip(lacking, facts, strict=True):
            if said != NONE:
                self._fill(place, said)
            self._described[place] = said
        self._learned({place: self.nodes[place] for place in lacking})

    def _lacks(self, place: int) -> bool:
        node, wish = self.nodes[place], self._wishes[place]
        if node.kind == "waveform":
            return place not in self.rates or not node.unit
        return node.kind == "value" and (not node.unit or wish.of_range)

    def _fill(self, place: int, said: Facts) -> None:
        node = self.nodes[place]
        if said.rate_hz is not None and node.kind == "waveform":
            self.rates.setdefault(place, said.rate_hz)
        if node.scale != 1 or node.offset != 0:
            return  # the server's unit is not that of the scaled value
        open_ended = node.low is None and node.high is None and node.kind == "value"
        self.nodes[place] = msgspec.structs.replace(
            node,
            unit=node.unit or said.unit,
            low=said.least if open_ended else node.low,
            high=said.most if open_ended else node.high,
        )

    def _has_rate(self, place: int) -> bool:
        if self.nodes[place].kind != "waveform" or place in self.rates:
            return True
        self._board.fail(place, "no sampling rate: give rate_hz")
        return False

    def _level(self, place: int) -> int:
        wish = self._wishes[place]
        most = _SERVER if wish.deadband else _OWN if wish.trigger != "value" else _PLAIN
        if most == _SERVER and (self._profile.deadband == "gateway" or (wish.of_range and not self._span(place))):
            most = _OWN
        return min(most, self._filters.get(place, _SERVER))

    def _span(self, place: int) -> float:
        """The width of a node's EURange; 0 when there is none."""
        said = self._described.get(place, NONE)
        return said.high - said.low if said.low is not None and said.high is not None else 0.0

    async def _ask(self, client: Any, subscription: int, found: Mapping[int, Any]) -> None:
        """Create items: the ones that once failed a whole call alone, the others in batches."""

        async def create(items: list[tuple[int, Any]]) -> Sequence[Any]:
            params = ua.CreateMonitoredItemsParameters(
                SubscriptionId=subscription,
                TimestampsToReturn=ua.TimestampsToReturn.Both,
                ItemsToCreate=[self._request(place, node_id) for place, node_id in items],
            )
            made: Sequence[Any] = await client.uaclient.session.create_monitored_items(params)
            return made

        together = [(place, node) for place, node in found.items() if place not in self._alone]
        alone = [(place, node) for place, node in found.items() if place in self._alone][:_MOST_ALONE]
        results = await in_batches(create, together, self.limits.items_per_call)
        results += await in_batches(create, alone, 1)
        noted: dict[str, list[str]] = {}
        for (place, _), result in zip([*together, *alone], results, strict=True):
            self._note(place, result, noted)
        for said, names in noted.items():
            log.warning("opcua.revised", source=self._settings.name, said=said, tags=len(names), first=names[:5])

    def _request(self, place: int, node_id: Any) -> Any:
        wish, level = self._wishes[place], self._level(place)
        request = ua.MonitoredItemCreateRequest()
        request.ItemToMonitor.NodeId = node_id
        request.ItemToMonitor.AttributeId = ua.AttributeIds.Value
        request.MonitoringMode = ua.MonitoringMode.Reporting
        asked = request.RequestedParameters
        asked.ClientHandle = self.base + place
        asked.SamplingInterval = self._sampling(wish)
        asked.QueueSize = wish.queue
        asked.DiscardOldest = wish.discard == "oldest"
        if level != _PLAIN:
            asked.Filter = ua.DataChangeFilter(Trigger=_TRIGGERS[wish.trigger])
        if level == _SERVER:
            asked.Filter.DeadbandType = ua.DeadbandType.Percent if wish.of_range else ua.DeadbandType.Absolute
            asked.Filter.DeadbandValue = wish.deadband / (1 if wish.of_range else abs(self.nodes[place].scale))
        return request

    def _sampling(self, wish: Wish) -> float:
        """The sampling interval to ask for, in milliseconds; 0 is as the value changes, as fast as it can."""
        return max(wish.sampling * 1000, self._profile.sampling) if wish.sampling > 0 else 0.0

    def _note(self, place: int, result: Any, noted: dict[str, list[str]]) -> None:
        if why := why_of(result):
            if ("Filter" in why or "Deadband" in why) and self._level(place) != _PLAIN:
                self._filters[place] = self._level(place) - 1  # asked for again with less, at once
            elif isinstance(result, ua.UaStatusCodeError):
                self._alone.add(place)
                self._board.fail(place, f"{why}: the server refuses any call with it")
            else:
                self._board.fail(place, why)
            return
        self._wanted.discard(place)
        self._alone.discard(place)
        self.items[place] = int(result.MonitoredItemId)
        said = "; ".join([*self._revised(place, result), *self._kept_here(place)])
        self._board.mend(place, said)
        if said:
            noted.setdefault(said, []).append(self.nodes[place].name)

    def _revised(self, place: int, result: Any) -> list[str]:
        """Say where the server keeps fewer values, or looks at the value less often, than it was asked to."""
        wish = self._wishes[place]
        said = []
        if (kept := int(result.RevisedQueueSize)) < wish.queue:
            said.append(f"the server keeps {kept} of {wish.queue} values")
        asked, given = self._sampling(wish), float(result.RevisedSamplingInterval)
        self.slowest = max(self.slowest, given / 1000)
        if given > max(asked * 1.01, self.plan.publish * 1000 if asked == 0 else 0):
            said.append(f"the server samples every {given:g} ms" + (f", not every {asked:g} ms" if asked else ""))
        return said

    def _kept_here(self, place: int) -> list[str]:
        """Keep a deadband in the gateway that the server does not keep, and say so."""
        wish = self._wishes[place]
        if not wish.deadband or self._level(place) == _SERVER:
            return []
        if not self._keep(place):
            return ["no EURange: the deadband in per cent is not kept"]
        return ["the gateway keeps the deadband"]

    def _keep(self, place: int) -> bool:
        """Have the gateway keep a tag's deadband; False when its width is not known."""
        wish, node = self._wishes[place], self.nodes[place]
        width = self._span(place) * wish.deadband / 100 if wish.of_range else wish.deadband
        if node.deadband < width:
            self.nodes[place] = msgspec.structs.replace(node, deadband=width)
            self._learned({place: self.nodes[place]})
        return width > 0
