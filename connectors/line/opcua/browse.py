"""Browse: walk a server's address space, bounded and safe from cycles, and read what each variable is."""

import time
from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase
from typing import Any, Literal
from urllib.parse import quote

import msgspec
from asyncua import ua

from connectors.line.opcua.about import About, read_attributes, value_of, why_of
from connectors.line.opcua.facts import PROPERTIES, Facts, browse, facts_of, local
from connectors.line.opcua.variant import plain
from connectors.line.opcua.wishes import WHOLE

_OBJECTS, _SERVER = ua.NodeId(85), ua.NodeId(2253)
_HAS_PROPERTY, _VARIABLE = ua.NodeId(46), ua.NodeClass.Variable
_READABLE, _WRITABLE = 1, 2
_WAVE = 16  # numbers in an array from which it looks like a block of samples
_IMAGES = (b"\x89PNG", b"II*\0", b"MM\0*", b"\xff\xd8\xff")
_SHOWN = 60


class Bounds(msgspec.Struct, frozen=True, kw_only=True):
    """Where a walk ends: nodes seen, levels below Objects, seconds."""

    nodes: int = 200_000
    depth: int = 32
    seconds: float = 120.0


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """One variable. `path` is its browse names below Objects; `kind` is "" when no tag can be made of it.

    `low`..`high` is the instrument's range, or else the EURange. `value` is a sample as text, shortened;
    `why` says why there is none.
    """

    path: str
    address: str
    type: str
    rank: int
    kind: Literal["value", "waveform", "frame", ""]
    unit: str
    low: float | None
    high: float | None
    rate_hz: float | None
    readable: bool
    writable: bool
    value: str
    why: str = ""

    @property
    def asset(self) -> str:
        """The browse name of what the variable belongs to."""
        return self.path.split("/")[-2] if "/" in self.path else "Objects"

    @property
    def tag(self) -> str:
        """The variable's own browse name."""
        return self.path.rpartition("/")[2]


class Walk(msgspec.Struct, frozen=True, kw_only=True):
    """What a walk found. `nodes` counts all that was looked at; `ended` says why it stopped early ("": it did not).

    `blocked` names the nodes below which the server let nobody look, and why.
    """

    variables: tuple[Seen, ...]
    nodes: int
    seconds: float
    ended: str = ""
    blocked: tuple[str, ...] = ()


class _Found(msgspec.Struct):
    path: str
    node: Any
    properties: list[tuple[str, Any]]


_Place = tuple[str, Any, _Found | None]
"""A path, its node, and the variable that it is, if it is one."""


async def walk(
    client: Any,
    about: About,
    match: str = "**",
    bounds: Bounds = Bounds(),  # noqa: B008 (frozen)
    clock: Callable[[], float] = time.monotonic,
) -> Walk:
    """Walk below the Objects folder, the Server object left out, and describe the variables that match.

    `match` is a path of globs (`Line*/*/Temp*`), `**` stands for any number of levels. A node is visited
    once, whatever leads to it. Raises the library's errors when the link is lost.
    """
    walking = _Walking(client, about, match.strip("/").split("/"), bounds, clock)
    await walking.run()
    described = await _described(client, about, walking.matching())
    return Walk(
        variables=tuple(sorted(described, key=lambda one: one.path)),
        nodes=len(walking.seen),
        seconds=walking.seconds(),
        ended=walking.ended,
        blocked=tuple(walking.blocked),
    )


class _Walking:
    """One walk, level by level: what it has seen, what it found, where it was not let in and why it ended early."""

    def __init__(
        self, client: Any, about: About, pattern: Sequence[str], bounds: Bounds, clock: Callable[[], float]
    ) -> None:
        self._client, self._about, self._pattern, self._bounds, self._clock = client, about, pattern, bounds, clock
        self._started = clock()
        self._found: list[_Found] = []
        self.seen: set[Any] = {_OBJECTS, _SERVER}
        self.blocked: list[str] = []
        self.ended = ""

    async def run(self) -> None:
        """Walk until nothing is left to follow, or a bound is met."""
        level: list[_Place] = [("", _OBJECTS, None)]
        for _ in range(self._bounds.depth):
            level = await self._below(level)
            if self.ended or not level:
                return
        self.ended = f"stopped {self._bounds.depth} levels down: narrow it with --match"

    def matching(self) -> list[_Found]:
        """Give the variables whose paths match."""
        return [one for one in self._found if _matches(one.path.split("/"), self._pattern)]

    def seconds(self) -> float:
        """Give how long it has taken."""
        return self._clock() - self._started

    async def _below(self, level: Sequence[_Place]) -> list[_Place]:
        following: list[_Place] = []
        size = self._about.limits.nodes_per_browse
        for start in range(0, len(level), size):
            if len(self.seen) >= self._bounds.nodes or self.seconds() > self._bounds.seconds:
                self.ended = f"stopped after {len(self.seen)} nodes and {self.seconds():.0f} s: narrow it with --match"
                break
            part = level[start : start + size]
            nodes = [node for _, node, _ in part]
            kind = ua.ObjectIds.HierarchicalReferences
            listed = await browse(self._client, nodes, self._about.limits, kind, kinds=3)
            for (path, _, owner), (references, why) in zip(part, listed, strict=True):
                if why:
                    self.blocked.append(f"{path or 'Objects'}: {why}")
                for reference in references:
                    following += self._step(reference, path, owner)
        return following

    def _step(self, reference: Any, path: str, owner: _Found | None) -> list[_Place]:
        """Take one reference: a property goes to its variable, anything new is to be followed."""
        name = str(reference.BrowseName.Name or "")
        if getattr(reference.NodeId, "ServerIndex", 0) or getattr(reference.NodeId, "NamespaceUri", None):
            return []  # it lives on another server
        node = local(reference.NodeId)
        if reference.ReferenceTypeId == _HAS_PROPERTY:
            if owner is not None and name.casefold() in PROPERTIES:
                owner.properties.append((name.casefold(), node))
            return []
        if node in self.seen:
            return []
        below = f"{path}/{name.replace('/', '_')}" if path else name.replace("/", "_")
        if not _may_lead_to(below.split("/"), self._pattern):
            return []
        self.seen.add(node)
        one = None
        if reference.NodeClass == _VARIABLE:
            one = _Found(below, node, [])
            self._found.append(one)
        return [(below, node, one)]


def _may_lead_to(path: Sequence[str], pattern: Sequence[str]) -> bool:
    """Whether a match may lie at or below a path."""
    if not path or (pattern and pattern[0] == "**"):
        return True
    return bool(pattern) and fnmatchcase(path[0], pattern[0]) and _may_lead_to(path[1:], pattern[1:])


def _matches(path: Sequence[str], pattern: Sequence[str]) -> bool:
    if not pattern:
        return not path
    if pattern[0] == "**":
        return len(pattern) == 1 or any(_matches(path[start:], pattern[1:]) for start in range(len(path) + 1))
    return bool(path) and fnmatchcase(path[0], pattern[0]) and _matches(path[1:], pattern[1:])


_ATTRIBUTES = (
    ua.AttributeIds.DataType,
    ua.AttributeIds.ValueRank,
    ua.AttributeIds.UserAccessLevel,
    ua.AttributeIds.Value,
)


async def _described(client: Any, about: About, found: Sequence[_Found]) -> list[Seen]:
    wanted = [(one.node, attribute) for one in found for attribute in _ATTRIBUTES]
    answers = await read_attributes(client, wanted, about.limits.nodes_per_read)
    more = [(place, name, node) for place, one in enumerate(found) for name, node in one.properties]
    told = await read_attributes(
        client, [(node, ua.AttributeIds.Value) for _, _, node in more], about.limits.nodes_per_read
    )
    said: list[dict[str, Any]] = [{} for _ in found]
    for (place, name, _), answer in zip(more, told, strict=True):
        if (value := value_of(answer)) is not None:
            said[place][name] = value
    size = len(_ATTRIBUTES)
    return [
        _seen(one, answers[place * size : (place + 1) * size], facts_of(said[place]), about.namespaces)
        for place, one in enumerate(found)
    ]


def _seen(one: _Found, answers: Sequence[Any], facts: Facts, namespaces: Sequence[str]) -> Seen:
    data_type, rank, access, value = answers
    level = value_of(access)
    sample = plain(value_of(value))
    ranged = (facts.least, facts.most) if facts.least is not None else (facts.low, facts.high)
    wire = type_of(value_of(data_type), value)
    shape = int(rank_of) if isinstance(rank_of := value_of(rank), int) else -1
    return Seen(
        path=one.path,
        address=address_of(one.node, namespaces),
        type=wire,
        rank=shape,
        kind=_kind(sample, wire, shape, facts),
        unit=facts.unit,
        low=ranged[0],
        high=ranged[1],
        rate_hz=facts.rate_hz,
        readable=not isinstance(level, int) or bool(level & _READABLE),
        writable=isinstance(level, int) and bool(level & _WRITABLE),
        value=_shown(sample),
        why=why_of(value),
    )


def address_of(node: Any, namespaces: Sequence[str]) -> str:
    """Write a node id as people keep it: by namespace URI."""
    text = str(node.to_string())
    if not node.NamespaceIndex:
        return text
    index = int(node.NamespaceIndex)
    uri = namespaces[index] if index < len(namespaces) else f"unknown-{index}"
    return f"nsu={quote(uri, safe=':/?#[]@!$&()*+,=-._~')};{text.partition(';')[2]}"


def type_of(data_type: Any, answer: object) -> str:
    """Name a variable's type: of the standard's own by name, else what its value is on the wire."""
    if isinstance(data_type, ua.NodeId) and data_type.NamespaceIndex == 0:
        name = ua.ObjectIdNames.get(data_type.Identifier)
        if name is not None:
            return str(name)
    variant = getattr(answer, "Value", None)
    return str(variant.VariantType.name) if variant is not None else str(data_type or "")


def _kind(sample: object, wire: str, rank: int, facts: Facts) -> Literal["value", "waveform", "frame", ""]:
    if isinstance(sample, bytes):
        return "frame" if sample[:4] in _IMAGES or sample[:3] in _IMAGES else ""
    if isinstance(sample, list):
        if sample and isinstance(sample[0], list):
            return "frame"
        numbers = bool(sample) and all(isinstance(one, int | float) for one in sample[:_WAVE])
        return "waveform" if numbers and (len(sample) >= _WAVE or facts.rate_hz is not None) else ""
    if isinstance(sample, bool | int | float | str):
        return "value"
    return "value" if sample is None and rank < 0 and wire in _SIMPLE else ""


_SIMPLE = frozenset({"Boolean", "String", "Float", "Double", "Number", "Integer", "UInteger", *WHOLE})


def _shown(sample: object) -> str:
    if sample is None:
        return ""
    if isinstance(sample, bytes):
        return f"{len(sample)} bytes"
    if isinstance(sample, list):
        inner = f" x {len(sample[0])}" if sample and isinstance(sample[0], list) else ""
        return f"{len(sample)}{inner} values"
    text = "".join(letter if letter.isprintable() else " " for letter in str(sample)[: _SHOWN + 1])
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"
