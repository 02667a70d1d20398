"""Equipment: what the edges may ask of the sources that run, beside their values."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from gateway.core.batch import Condition
from gateway.core.errors import Missing, Unreachable
from gateway.core.ports import Alarming, LineSource, Pushable, Readable, Writable
from gateway.core.reading import Value


@dataclass(frozen=True, slots=True)
class Equipment:
    """The open sources by the line's name. They come and go while the gateway runs."""

    sources: Mapping[str, LineSource] = field(default_factory=dict)

    def targets(self) -> list[tuple[str, str]]:
        """Name every declared write target, each with its line."""
        return [
            (line, target)
            for line, source in self.sources.items()
            if isinstance(source, Writable)
            for target in source.targets()
        ]

    def conditions(self) -> list[tuple[str, Condition]]:
        """Give the alarms and conditions that the equipment wants looked at, each with its line."""
        return [
            (line, condition)
            for line, source in self.sources.items()
            if isinstance(source, Alarming)
            for condition in source.conditions()
        ]

    async def write(self, line: str, target: str, values: Sequence[Value]) -> list[Value]:
        """Write to a target of a line; see `Writable`. Raises `Missing` when there is no such line or target."""
        source = self.sources.get(line)
        if source is None:
            raise Missing(f"no line {line!r}")
        if not isinstance(source, Writable) or target not in source.targets():
            raise Missing(f"line {line!r} declares no write target {target!r}")
        return await source.write(target, values)

    async def held_by(self, line: str, target: str) -> Value:
        """Read what a write target holds; see `Readable`. Raises `Missing` when it cannot be."""
        source = self.sources.get(line)
        if source is None:
            raise Unreachable(f"the line {line} is not open")
        if not isinstance(source, Readable):
            raise Missing(f"what the targets of line {line!r} hold cannot be read")
        return await source.held_by(target)

    def door(self, asset: str, tag: str) -> Pushable:
        """Find the source that takes this tag's values over HTTP. Raises `Missing` when no line declares it."""
        for source in self.sources.values():
            if isinstance(source, Pushable) and source.media(asset, tag):
                return source
        raise Missing(f"no line takes {asset}/{tag} over HTTP")
