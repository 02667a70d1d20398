"""Sparkplug B: births, data by name and alias, deaths, and what is missing between them. Pure.

Facts from the Sparkplug 3.0 specification: topics spBv1.0/group/type/node/device, sequence numbers 0 to
255 per node, bdSeq ties a death to its birth.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta

import msgspec
import structlog
from msgspec.structs import replace

from connectors.line.mqtt.address import fewest, fill, matches
from connectors.line.mqtt.link import Message
from connectors.line.mqtt.metric import DOUBT, atom_of, quality_of
from connectors.line.mqtt.node import Born, Heard, Hole, Node, NodeKept, Pulse
from connectors.line.mqtt.settings import Broker, Topic
from connectors.line.mqtt.wire import Metric, Unreadable, decode, moment_of, rebirth
from connectors.line.roll import Roll
from connectors.line.sieve import Sieve
from connectors.line.tags import Times, bad
from gateway.core.batch import SourceGap, TagState
from gateway.core.reading import Quality, Reading, ThermalFrame, Waveform

log: structlog.stdlib.BoundLogger = structlog.get_logger()
_SPACE = "spBv1.0"
_MOST_GARBLED = 100
_KINDS = {"NBIRTH", "NDEATH", "NDATA", "DBIRTH", "DDEATH", "DDATA"}
_ASK_EVERY = timedelta(seconds=10)
_MOST_NODES = 1000
_MOST_FITS = 100_000
_MOST_NOTES = 8
_PULSES = "pulses"
_BIRTH = "birth."
DEAD_NODE = "the node is dead (NDEATH)"
DEAD_DEVICE = "the device is dead (DDEATH)"


class State(msgspec.Struct, frozen=True):
    """What a primary host says of itself; the broker says `offline` when we are gone."""

    host: str
    at: datetime

    @property
    def topic(self) -> str:
        """Where it is said."""
        return f"{_SPACE}/STATE/{self.host}"

    @property
    def online(self) -> bytes:
        """The birth."""
        return self._say(online=True)

    @property
    def offline(self) -> bytes:
        """The death, with the birth's stamp."""
        return self._say(online=False)

    def _say(self, *, online: bool) -> bytes:
        return msgspec.json.encode({"online": online, "timestamp": int(self.at.timestamp() * 1000)})


class Told(msgspec.Struct):
    """What the messages since the last time amount to."""

    readings: list[Reading | Waveform | ThermalFrame]
    gaps: list[SourceGap]
    notes: list[str]
    memory: dict[str, bytes]


class Sparkplug:
    """All edge nodes that the tags name. A message or a metric that is wrong fails alone and is counted."""

    def __init__(self, settings: Broker, tags: Sequence[Topic], roll: Roll) -> None:
        self._settings, self._roll = settings, roll
        self._tags = [(tag, tag.place) for tag in tags]
        self._nodes: dict[str, Node] = {}
        self._fits: dict[tuple[str, str, str], tuple[tuple[Topic, Topic, str], ...]] = {}
        self._said: dict[str, tuple[object, datetime | None]] = {}
        self._sieve = Sieve(self._roll.count)
        self._told = Told([], [], [], {})
        self._moved: set[str] = set()
        self._wanted: dict[str, str] = {}
        self.unreadable = 0
        self._last_unreadable = ""
        self._garbled: dict[str, None] = {}

    @property
    def filters(self) -> list[str]:
        """The topics to ask for: everything that these nodes and their devices say."""
        every = []
        for _, place in self._tags:
            group, node = place.filter.split("/")[:2]
            every += [f"{_SPACE}/{group}/{kind}/{node}" for kind in ("NBIRTH", "NDEATH", "NDATA")]
            every += [f"{_SPACE}/{group}/{kind}/{node}/+" for kind in ("DBIRTH", "DDEATH", "DDATA")]
        return fewest(every)

    def wants(self, topic: str) -> bool:
        """Say whether the topic is of Sparkplug."""
        return bool(self._tags) and topic.startswith(_SPACE + "/")

    def states(self) -> list[TagState]:
        """Every node that was heard, and what could not be read."""
        detail = {True: "", False: DEAD_NODE, None: "no birth heard yet"}
        source = self._settings.name
        states = [
            TagState(
                source,
                f"node {node.place}",
                node.alive is True and not node.doubtful,
                DOUBT if node.doubtful else detail[node.alive],
                node.last_at,
            )
            for node in self._nodes.values()
        ]
        if self.unreadable:
            said = f"{self.unreadable} could not be read, the last on {self._last_unreadable}"
            states.append(TagState(source, "payloads", healthy=not self._garbled, detail=said))
        return states

    def remember(self, memory: Mapping[str, bytes]) -> None:
        """Go on with the births that an earlier run knew; what is damaged is as good as none."""
        try:
            pulses = msgspec.msgpack.decode(memory.get(_PULSES, b"\x80"), type=dict[str, Pulse])
        except msgspec.MsgspecError:
            pulses = {}
        for name, value in memory.items():
            if not name.startswith(_BIRTH):
                continue
            try:
                kept = msgspec.msgpack.decode(value, type=NodeKept)
            except msgspec.MsgspecError:
                continue
            if self._is_ours(kept.place):
                node = self._nodes[kept.place] = Node(kept.place)
                node.remember(kept, pulses.get(kept.place))

    def take(self, message: Message) -> None:
        """Take a message in; what it amounts to is given by `tell`."""
        parts = message.topic.split("/")
        if len(parts) not in {4, 5} or parts[2] not in _KINDS or (parts[2][0] == "D") != (len(parts) == 5):  # noqa: PLR2004 (levels of a topic)
            return
        if message.retained:  # a birth or a value of nobody knows when
            self._note(f"{message.topic}: retained, not taken")
            return
        place, device = f"{parts[1]}/{parts[3]}", parts[4] if len(parts) == 5 else ""  # noqa: PLR2004
        node = self._node(place)
        if node is None:
            return
        try:
            payload = decode(message.payload)
        except Unreadable as no:
            self.unreadable += 1
            self._last_unreadable = f"{message.topic}: {no}"
            self._note(self._last_unreadable)
            if len(self._garbled) < _MOST_GARBLED:
                self._garbled[message.topic] = None
            return
        self._garbled.pop(message.topic, None)  # who is understood again is well again
        heard = Heard(parts[2], device, payload, message.received_at, message.again)
        self._moved.add(place)
        if heard.kind == "NBIRTH":
            node.born("", payload, whole=True)
            node.seq = payload.seq
            self._apply(node, heard)
        elif heard.kind == "NDEATH":
            self._apply(node, heard)
        else:
            for ready in node.order(heard):
                self._apply(node, ready)

    def tell(self, now: datetime) -> Told:
        """Give what was taken since the last time, after giving up what did not come."""
        for node in self._nodes.values():
            found = node.give_up(now, timedelta(seconds=self._settings.reorder))
            if found is not None:
                hole, ready = found
                self._moved.add(node.place)
                self._gap(node, hole)
                self._want(node, hole.cause, now)
                for heard in ready:
                    self._apply(node, heard)
        self._told.readings += self._sieve.passed(now)
        told, self._told = self._told, Told([], [], [], {})
        if self._moved:
            pulses = {node.place: node.pulse(now) for node in self._nodes.values()}
            told.memory[_PULSES] = msgspec.msgpack.encode(pulses)
            self._moved.clear()
        return told

    def wanted(self) -> Iterator[tuple[str, bytes]]:
        """Give the rebirth commands to send: topic and payload."""
        wanted, self._wanted = self._wanted, {}
        for place, why in wanted.items():
            node = self._nodes[place]
            log.info("sparkplug.rebirth", source=self._settings.name, node=place, why=why)
            group, name = place.split("/")
            if node.asked_at is not None:
                yield f"{_SPACE}/{group}/NCMD/{name}", rebirth(node.asked_at)

    def _node(self, place: str) -> Node | None:
        node = self._nodes.get(place)
        if node is None and self._is_ours(place) and len(self._nodes) < _MOST_NODES:
            node = self._nodes[place] = Node(place)
        return node

    def _is_ours(self, place: str) -> bool:
        return any(matches("/".join(wanted.filter.split("/")[:2]), place) for _, wanted in self._tags)

    def _apply(self, node: Node, heard: Heard) -> None:
        match heard.kind:
            case "NBIRTH":
                before, node.bd_seq = node.bd_seq, _bd_seq(heard.payload)
                if before is not None and node.bd_seq == before and node.alive is False:
                    self._note(f"{node.place}: born again with the bdSeq of its death")
                node.alive, node.asked_at = True, None
                self._keep(node)
                self._values(node, heard, birth=True)
            case "DBIRTH":
                node.born(heard.device, heard.payload, whole=False)
                self._keep(node)
                self._values(node, heard, birth=True)
            case "NDEATH":
                number = _bd_seq(heard.payload)
                if node.bd_seq is not None and number is not None and number != node.bd_seq:
                    self._note(f"{node.place}: the death of an earlier session, not taken")
                    return
                node.alive = False
                self._end(node, None, DEAD_NODE, heard.received_at)
            case "DDEATH":
                self._end(node, heard.device, DEAD_DEVICE, heard.received_at)
            case _:
                self._data(node, heard)
        node.last_at = heard.received_at

    def _data(self, node: Node, heard: Heard) -> None:
        if not node.known:
            start = node.last_at or heard.received_at
            if node.asked_at is None:
                self._gap(node, Hole(start, heard.received_at, f"no birth of {node.place}: its values have no names"))
            self._want(node, "no birth", heard.received_at)
            return
        if node.alive is False:  # it lives: the death was someone else's, or its birth is still to come
            self._want(node, "data after a death", heard.received_at)
        self._values(node, heard, birth=False)

    def _values(self, node: Node, heard: Heard, *, birth: bool) -> None:
        for metric in heard.payload.metrics:
            born = node.of(heard.device, metric)
            if born is None:
                if not birth:
                    self._note(f"{node.place}: no birth names metric {metric.name or metric.alias}")
                    self._want(node, "an unknown metric", heard.received_at)
                continue
            for tag, pattern, column in self._fit(node.place, born):
                self._value(node, heard, metric, born, (tag, pattern, column), birth=birth)

    def _value(
        self,
        node: Node,
        heard: Heard,
        metric: Metric,
        born: Born,
        fit: tuple[Topic, Topic, str],
        *,
        birth: bool,
    ) -> None:
        tag, pattern, column = fit
        stamp = metric.at if metric.at is not None else heard.payload.at
        at = moment_of(stamp) if stamp is not None else None
        times = Times(at, None, heard.received_at)
        quality, why = quality_of(metric, doubtful=node.doubtful)
        if metric.historical and at is None:
            quality, why = Quality.BAD, "a value of the past without its time"
        atom = atom_of(tag, metric, born, column, times, quality, why)
        sends = True
        if isinstance(atom, Reading):
            seen = (atom.value, at)
            repeated = birth and at is not None and self._said.get(tag.name) == seen
            self._said[tag.name] = seen
            atom = replace(atom, sequence=heard.payload.seq or 0, repeated=repeated)
            if not metric.historical:
                atom, sends = self._sieve.sift(tag, atom)
        wrong = atom.why if isinstance(atom, Reading) and atom.quality is Quality.BAD else ""
        if not metric.historical:
            self._roll.heard(tag, pattern.name, heard.received_at, wrong)
        if sends:
            self._told.readings.append(atom)

    def _fit(self, place: str, born: Born) -> tuple[tuple[Topic, Topic, str], ...]:
        key = (place, born.device, born.name)
        found = self._fits.get(key)
        if found is None:
            found = tuple(self._fits_of(place, born))
            if len(self._fits) < _MOST_FITS:
                self._fits[key] = found
        return found

    def _fits_of(self, place: str, born: Born) -> Iterator[tuple[Topic, Topic, str]]:
        whole = f"{place}/{born.device}" if born.device else place
        group, node = place.split("/")
        named = {"group": group, "node": node, "device": born.device, "metric": born.name}
        for tag, wanted in self._tags:
            metric, _, column = wanted.metric.partition("::")
            if wanted.metric == born.name:
                column = ""
            elif metric not in {born.name, "*"}:
                continue
            if not matches(wanted.filter, whole):
                continue
            try:
                asset, name = fill(tag.asset, (), named), fill(tag.tag, (), named)
                if "{" in tag.asset and self._settings.assets:
                    asset = self._settings.assets[asset]
            except (ValueError, KeyError):
                continue
            filled = replace(tag, asset=asset, tag=name, unit=tag.unit or born.unit)
            if self._roll.knows(filled.name):
                yield filled, tag, column

    def _end(self, node: Node, device: str | None, why: str, at: datetime) -> None:
        """Every tag of a dead node, or device, is BAD by name from now on."""
        for born in node.known.values():
            if device is not None and born.device != device:
                continue
            for tag, _, _ in self._fit(node.place, born):
                self._roll.fail(tag, why)
                if tag.kind == "value":
                    self._told.readings.append(self._sieve.sift(tag, bad(tag, why, at))[0])

    def _gap(self, node: Node, hole: Hole) -> None:
        names = {
            (tag.asset, tag.tag): None for born in node.known.values() for tag, _, _ in self._fit(node.place, born)
        }
        if not names:
            names = {(tag.asset, tag.tag): None for tag, place in self._tags if _may_be(place.filter, node.place)}
        if names and hole.start < hole.end:
            self._told.gaps.append(SourceGap(tuple(names), hole.start, hole.end, hole.cause))
        else:
            self._note(hole.cause)

    def _want(self, node: Node, why: str, now: datetime) -> None:
        """Ask for a birth, when the settings allow it; not more often than every ten seconds."""
        if node.asked_at is not None and now - node.asked_at < _ASK_EVERY:
            return
        node.asked_at = now
        if self._settings.rebirth:
            self._wanted[node.place] = why
            self._note(f"{node.place}: asked for a rebirth, {why}")
        else:
            self._note(f"{node.place}: {why}; a rebirth would help, but rebirth = true is not set")

    def _keep(self, node: Node) -> None:
        name = _BIRTH + hashlib.sha256(node.place.encode()).hexdigest()[:16]
        self._told.memory[name] = msgspec.msgpack.encode(node.kept())

    def _note(self, note: str) -> None:
        if len(self._told.notes) < _MOST_NOTES and note not in self._told.notes:
            self._told.notes.append(note)


def _may_be(wanted: str, place: str) -> bool:
    return matches("/".join(wanted.split("/")[:2]), place)


def _bd_seq(payload: object) -> int | None:
    metrics = getattr(payload, "metrics", ())
    found = [metric.raw for metric in metrics if metric.name == "bdSeq" and isinstance(metric.raw, int)]
    return found[0] if found else None
