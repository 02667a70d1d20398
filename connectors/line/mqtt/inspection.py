"""Inspection: one look at a broker before the gateway runs, under a name of its own. Leaves no session behind."""

import asyncio
import secrets
from collections.abc import Sequence
from datetime import timedelta
from zoneinfo import ZoneInfo

from msgspec.structs import replace

from connectors.line.mqtt.address import PLAIN
from connectors.line.mqtt.link import Link
from connectors.line.mqtt.payload import Atom
from connectors.line.mqtt.plain import Plain
from connectors.line.mqtt.settings import Broker, Topic
from connectors.line.mqtt.sparkplug import Sparkplug
from connectors.line.roll import WAITING, Roll
from gateway.core.batch import TagCheck
from gateway.core.errors import Unreachable
from gateway.core.ports import Clock
from gateway.core.reading import Quality, Reading

_LISTEN_S = 5.0
_MOST = 5000


async def inspect(settings: Broker, tags: Sequence[Topic], now: Clock) -> Sequence[TagCheck]:
    """Subscribe, listen for some seconds, and say what came for each tag. Writes nothing. Raises `Unreachable`."""
    visitor = replace(settings, client_id=f"{settings.client}-check-{secrets.token_hex(4)}", rebirth=False, host_id="")
    look = _Look(visitor, tags, now)
    try:
        return await look.run()
    finally:
        await look.link.close()


class _Look:
    def __init__(self, settings: Broker, tags: Sequence[Topic], now: Clock) -> None:
        self._settings, self._tags, self._now = settings, tags, now
        self._roll = Roll(settings.name, tags, settings.most_names)
        plain = [tag for tag in tags if tag.place.form == PLAIN]
        others = [tag for tag in tags if tag.place.form != PLAIN]
        self._plain = Plain(plain, settings.assets, self._roll, ZoneInfo(settings.timezone))
        self._sparkplug = Sparkplug(settings, others, self._roll)
        self._said: dict[str, str] = {}
        self.link = Link(settings, now)

    async def run(self) -> Sequence[TagCheck]:
        await self.link.open(fresh=True)
        filters = [*self._plain.filters, *self._sparkplug.filters]
        refused = await self.link.subscribe(filters)
        loop = asyncio.get_running_loop()
        end = loop.time() + _LISTEN_S
        while (left := end - loop.time()) > 0 and not self._all_heard():
            try:
                await self.link.wait(left)
            except Unreachable as lost:
                return [TagCheck("broker", ok=False, said=str(lost))]
            self._take()
        broker = TagCheck("broker", ok=not refused, said=f"connected to {self._settings.endpoint}")
        topics = [
            TagCheck(topic, ok=False, said=f"the broker refuses the topic: {why}") for topic, why in refused.items()
        ]
        return [broker, *topics, *self._tag_checks()]

    def _all_heard(self) -> bool:
        """Whether every tag at one plain topic was heard; of a wildcard nobody knows how many there are."""
        return all("{" not in tag.name and tag.place.form == PLAIN and tag.name in self._said for tag in self._tags)

    def _take(self) -> None:
        for message in self.link.take(_MOST):
            if self._sparkplug.wants(message.topic):
                self._sparkplug.take(message)
            else:
                for atom in self._plain.take(message):
                    self._note(atom)
        for atom in self._sparkplug.tell(self._now() + timedelta(seconds=self._settings.reorder)).readings:
            self._note(atom)

    def _note(self, atom: Atom) -> None:
        if isinstance(atom, Reading):
            if atom.quality is not Quality.BAD:
                remark = f" ({atom.why})" if atom.why else ""
                self._said[f"{atom.asset}/{atom.tag}"] = f"{atom.value} {atom.unit}".rstrip() + remark
        else:
            name = getattr(atom, "tag", "log")
            self._said[f"{atom.asset}/{name}"] = type(atom).__name__

    def _tag_checks(self) -> list[TagCheck]:
        checks = []
        for state in self._roll.states():
            if state.name in self._said and state.healthy:
                checks.append(TagCheck(state.name, ok=True, said=self._said[state.name]))
            elif state.detail == WAITING:
                checks.append(
                    TagCheck(state.name, ok=True, said=f"no message in {_LISTEN_S:g}s: nothing to compare yet")
                )
            else:
                checks.append(TagCheck(state.name, ok=state.healthy, said=state.detail or "heard"))
        return checks
