"""The ports to the line: a source of values, and what some sources can do beyond."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractContextManager
from types import MappingProxyType
from typing import Protocol, runtime_checkable

from gateway.core.batch import Batch, Condition, TagCheck, TagState
from gateway.core.push import Push, Receipt
from gateway.core.reading import Value

NOTHING: Mapping[str, bytes] = MappingProxyType({})
"""The memory of a source that runs for the first time."""


class LineSource(Protocol):
    """Values from one part of the line, at least once.

    Asking for the next batch says that the last one is committed, its `memory` in the same transaction.
    `memory` of the last run is given back to the next (of a new source object, perhaps in a new process);
    what it holds may be of another configuration, or damaged: then it is as good as none. Raises `Unreachable`
    when the link is lost; the supervisor then opens a NEW source (a source object is used once). One bad node,
    register or unit never ends the stream: it is named in `tags()` and tried again alone. The
    consumer closes with `close()`, which may be called at any time, twice too.
    """

    @property
    def name(self) -> str: ...

    def batches(self, memory: Mapping[str, bytes] = NOTHING) -> AsyncIterator[Batch]: ...

    def tags(self) -> Sequence[TagState]: ...

    async def close(self) -> None: ...


@runtime_checkable
class Writable(Protocol):
    """A source that can also write, to targets that the settings declare and to nothing else.

    `write` gives what the equipment answered (the outputs of a method; nothing for a value). Raises
    `Refused` for an unknown target, for values that do not fit it and when the equipment says no,
    `Unreachable` when there is no live link and nothing was written, `Doubtful` when nobody knows whether it was.
    """

    def targets(self) -> Sequence[str]: ...

    async def write(self, target: str, values: Sequence[Value]) -> list[Value]: ...


@runtime_checkable
class Readable(Protocol):
    """A source that can say what a declared write target holds now.

    Raises `Refused` for an unknown target and for one that holds nothing (a method), `Unreachable` without an answer.
    """

    async def held_by(self, target: str) -> Value: ...


@runtime_checkable
class Inspectable(Protocol):
    """A source that can be looked at before it runs: `andon check --live`.

    `inspect` connects by itself, reads each tag once, compares what the equipment says with the settings,
    leaves, and writes nothing. Every tag is named, and every part of the source that is wrong. Raises
    `Unreachable`, `Refused` or `Misconfigured` when it does not get that far. The source stays unused.
    """

    async def inspect(self) -> Sequence[TagCheck]: ...


@runtime_checkable
class Alarming(Protocol):
    """A source that knows alarms and conditions: the live table, as the equipment told them last."""

    def conditions(self) -> Sequence[Condition]: ...


@runtime_checkable
class Pushable(Protocol):
    """A source whose values are handed in, over HTTP.

    `media(asset, tag)` gives the media types that a declared tag takes, () for a tag that is not declared.
    `admit` is entered before the bytes are read and left when they are answered: it bounds how many are held
    at once and raises `Unreachable` (with a wait) when there is no room. `largest` bounds each, in bytes.
    `push` returns after the commit. Raises `Refused` when the bytes are not what the tag is, `Conflict` when the
    key stands for other bytes, `Unreachable` when the source is not open.
    """

    @property
    def largest(self) -> int: ...

    def media(self, asset: str, tag: str) -> Sequence[str]: ...

    def admit(self) -> AbstractContextManager[None]: ...

    async def push(self, push: Push) -> Receipt: ...
