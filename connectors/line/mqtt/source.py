"""An MQTT broker as a line source: messages are acknowledged after their commit."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import msgspec
import structlog

from connectors.line.mqtt.address import PLAIN
from connectors.line.mqtt.inspection import inspect
from connectors.line.mqtt.link import Link, Message, Will
from connectors.line.mqtt.marks import Marks
from connectors.line.mqtt.payload import Atom
from connectors.line.mqtt.plain import Plain
from connectors.line.mqtt.settings import Broker, Topic
from connectors.line.mqtt.sparkplug import Sparkplug, State
from connectors.line.roll import Roll
from gateway.core.batch import Batch, SourceGap, TagCheck, TagState
from gateway.core.errors import Unreachable
from gateway.core.ports import NOTHING, Clock
from gateway.core.reading import LogLine, Reading, ThermalFrame, Waveform

log: structlog.stdlib.BoundLogger = structlog.get_logger()
_MOST = 5000
_TICK_S = 1.0
_ASK_AGAIN_S = 30.0
_SESSION = "session"


class Kept(msgspec.Struct, frozen=True, array_like=True):
    """What we know of our session: whose it is, and when the last message was committed."""

    client: str
    qos: int
    at: datetime


class Mqtt:
    """One broker; a `LineSource`. Nothing that came with QoS 1 is lost by our death, nor taken twice."""

    def __init__(self, settings: Broker, tags: Sequence[Topic], now: Clock = lambda: datetime.now(UTC)) -> None:
        self._settings, self._tags, self._now = settings, tags, now
        plain = [tag for tag in tags if tag.place.form == PLAIN]
        others = [tag for tag in tags if tag.place.form != PLAIN]
        self._roll = Roll(settings.name, tags, settings.most_names)
        self._plain = Plain(plain, settings.assets, self._roll, ZoneInfo(settings.timezone))
        self._sparkplug = Sparkplug(settings, others, self._roll)
        self._link = Link(settings, now)
        self._marks = Marks()
        self._refused: dict[str, str] = {}
        self._asked_at = 0.0
        self._used = self._asked = False
        self._sequence = self._messages = self._strangers = self._repeats = 0

    @property
    def name(self) -> str:
        """The line's name in andon.toml."""
        return self._settings.name

    def tags(self) -> Sequence[TagState]:
        """The broker, then every tag by name."""
        well = self._asked and self._link.is_up
        detail = f"{self._messages} messages" if well else f"not connected to {self._settings.endpoint}"
        if self._strangers:
            detail += f", {self._strangers} of topics that no tag has"
        if self._repeats:
            detail += f", {self._repeats} sent again and left out"
        if self._roll.turned_away:
            detail += f", {self._roll.turned_away} turned away: more than {self._settings.most_names} names"
        broker = TagState(self.name, "broker", well and not self._refused, detail)
        return [broker, *self._sparkplug.states(), *self._roll.states()]

    async def inspect(self) -> Sequence[TagCheck]:
        """Listen for some seconds and say what came for each tag; see `Inspectable`."""
        return await inspect(self._settings, self._tags, self._now)

    async def batches(self, memory: Mapping[str, bytes] = NOTHING) -> AsyncIterator[Batch]:
        """Give the messages; see `LineSource`. Raises `Unreachable` when the broker is lost or refuses us."""
        if self._used:
            raise Unreachable(f"{self.name}: this source was used; open a new one")
        self._used = True
        kept = self._remember(memory)
        try:
            state = State(self._settings.host_id, self._now())
            resumed = await self._link.open(Will(state.topic, state.offline) if self._settings.host_id else None)
            gaps = self._gaps(kept, resumed=resumed)
            await self._ask()
            if self._settings.host_id:
                self._link.publish(state.topic, state.online, retain=True)
            while True:
                messages = await self._next(first=bool(gaps))
                batch = self._batch(messages, gaps)
                if batch is not None:
                    yield batch
                gaps = []
                self._link.acknowledge(messages)
                self._rebirths()
        finally:
            await self.close()

    async def close(self) -> None:
        """Leave the broker; it keeps our session. May be called at any time, twice too."""
        self._used = True
        await self._link.close()

    async def _next(self, *, first: bool) -> list[Message]:
        """Wait for messages, a little longer for those that come together, or for the clock."""
        if self._refused and asyncio.get_running_loop().time() > self._asked_at + _ASK_AGAIN_S:
            await self._ask()
        await self._link.wait(0 if first else _TICK_S)
        messages = self._link.take(_MOST)
        if messages and len(messages) < _MOST and self._settings.gather:
            await asyncio.sleep(self._settings.gather)
            messages += self._link.take(_MOST - len(messages))
        return messages

    async def _ask(self) -> None:
        """Subscribe; a topic that the broker refuses fails alone, and is asked for again later."""
        filters = [*self._plain.filters, *self._sparkplug.filters]
        self._asked_at = asyncio.get_running_loop().time()
        self._refused = await self._link.subscribe(filters)
        self._asked = True
        for topic, why in self._refused.items():
            log.warning("mqtt.topic.refused", source=self.name, topic=topic, why=why)
            for tag in self._plain.tags_of(topic):
                self._roll.fail(tag, f"the broker refuses the topic: {why}")

    def _remember(self, memory: Mapping[str, bytes]) -> Kept | None:
        self._sparkplug.remember(memory)
        self._marks.remember(memory)
        try:
            kept = msgspec.msgpack.decode(memory.get(_SESSION, b""), type=Kept)
        except msgspec.MsgspecError:
            return None
        return kept if kept.client == self._settings.client else None

    def _gaps(self, kept: Kept | None, *, resumed: bool) -> list[SourceGap]:
        """Say what was lost while we were away; with our session still there only what came with QoS 0."""
        if kept is None:
            return []
        now = self._now()
        if (resumed and kept.qos) or not kept.at < now:
            return []
        cause = "the broker kept no session for us" if not resumed else "QoS 0: the broker keeps nothing"
        names = tuple((tag.asset, tag.tag) for tag in self._tags if tag.place.form == PLAIN)
        return [SourceGap(names, kept.at, now, cause)] if names else []

    def _batch(self, messages: Sequence[Message], gaps: list[SourceGap]) -> Batch | None:
        at = self._now()
        atoms: list[Atom] = []
        for message in messages:
            if self._marks.met(message):
                self._repeats += 1
                continue
            self._messages += 1
            if self._sparkplug.wants(message.topic):
                self._sparkplug.take(message)
            else:
                atoms += self._plain.take(message)
        told = self._sparkplug.tell(at)
        self._strangers = self._plain.strangers
        atoms += [*told.readings, *self._plain.passed(at)]
        gaps = [*gaps, *told.gaps]
        if not messages and not atoms and not gaps and not told.memory:
            return None
        kept = Kept(self._settings.client, self._settings.qos, at)
        self._sequence += 1
        return Batch(
            self.name,
            self._sequence,
            at,
            readings=_of(atoms, Reading),
            waveforms=_of(atoms, Waveform),
            frames=_of(atoms, ThermalFrame),
            lines=_of(atoms, LogLine),
            note="; ".join(told.notes),
            gaps=tuple(gaps),
            memory={_SESSION: msgspec.msgpack.encode(kept), **self._marks.kept(), **told.memory},
        )

    def _rebirths(self) -> None:
        for topic, payload in self._sparkplug.wanted():
            self._link.publish(topic, payload)


def _of(atoms: Iterable[Atom], kind: type) -> tuple:  # type: ignore[type-arg]  # of that kind, as isinstance says
    return tuple(atom for atom in atoms if isinstance(atom, kind))
