"""Plain topics: which tags a message belongs to, and what it says about each."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from zoneinfo import ZoneInfo

import msgspec
from msgspec.structs import replace

from connectors.line.mqtt.address import Path, fewest, fill, matches
from connectors.line.mqtt.link import Message
from connectors.line.mqtt.payload import Atom, Content, Skip, read
from connectors.line.mqtt.settings import Topic
from connectors.line.roll import Roll
from connectors.line.sieve import Sieve
from gateway.core.reading import Quality, Reading

_MOST_TOPICS = 20_000


class _Fit(msgspec.Struct, frozen=True):
    """A tag that a topic belongs to, its names filled in; `pattern` is how it was declared."""

    tag: Topic
    path: Path
    pattern: str


class Plain:
    """Turns messages of plain topics into values. A message or a tag that is wrong fails alone and is counted."""

    def __init__(self, tags: Sequence[Topic], assets: Mapping[str, str], roll: Roll, zone: ZoneInfo) -> None:
        self._tags = [(tag, tag.place) for tag in tags]
        self._assets, self._roll, self._zone = assets, roll, zone
        self._fits: dict[str, tuple[_Fit, ...]] = {}
        self._sieve = Sieve(self._roll.count)
        self.strangers = 0
        """Messages of topics that no tag has, or whose names cannot be taken."""

    @property
    def filters(self) -> list[str]:
        """The topics to ask for."""
        return fewest(place.filter for _, place in self._tags)

    def tags_of(self, refused: str) -> Iterator[Topic]:
        """Give the tags that a topic filter would have brought."""
        for tag, place in self._tags:
            if place.filter == refused or matches(refused, place.filter):
                yield tag

    def take(self, message: Message) -> Iterator[Atom]:
        """Give what a message says."""
        fits = self._fits_of(message.topic)
        if not fits:
            self.strangers += 1
        content = Content(message.payload)
        for fit in fits:
            try:
                atom = read(fit.tag, fit.path, content, message.received_at, retained=message.retained, zone=self._zone)
            except Skip as why:
                self._roll.remark(fit.tag, str(why))
                continue
            sends, wrong = True, ""
            if isinstance(atom, Reading):
                atom, sends = self._sieve.sift(fit.tag, atom)
                wrong = atom.why if atom.quality is Quality.BAD else ""
            self._roll.heard(fit.tag, fit.pattern, message.received_at, wrong)
            if sends:
                yield atom

    def passed(self, now: datetime) -> Iterator[Reading]:
        """Give what time alone says: silence that breaks a rule, and heartbeats."""
        return self._sieve.passed(now)

    def _fits_of(self, topic: str) -> tuple[_Fit, ...]:
        found = self._fits.get(topic)
        if found is None:
            found = tuple(self._fit(topic))
            if len(self._fits) < _MOST_TOPICS:
                self._fits[topic] = found
        return found

    def _fit(self, topic: str) -> Iterator[_Fit]:
        levels = topic.split("/")
        for tag, place in self._tags:
            if not matches(place.filter, topic):
                continue
            try:
                asset = fill(tag.asset, levels)
                if "{" in tag.asset and self._assets:
                    asset = self._assets[asset]
                named = replace(tag, asset=asset, tag=fill(tag.tag, levels))
            except (ValueError, KeyError):
                continue
            if self._roll.knows(named.name):
                yield _Fit(named, place.path, tag.name)
