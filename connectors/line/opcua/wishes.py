"""What an OPC UA line is told beside its tags: tag groups, events, write targets."""

from collections.abc import Sequence
from typing import Annotated, Literal

import msgspec

from connectors.opcua.address import parse
from gateway.core.reading import Name
from gateway.core.units import Duration

Percent = Annotated[str, msgspec.Meta(pattern=r"^\d{1,3}(\.\d+)?%$")]
TargetName = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]
NodeText = Annotated[str, msgspec.Meta(min_length=1, max_length=512)]
DataType = Literal[
    "Boolean", "SByte", "Byte", "Int16", "UInt16", "Int32", "UInt32", "Int64", "UInt64", "Float", "Double", "String"
]
WHOLE: dict[str, tuple[int, int]] = {
    "SByte": (-(2**7), 2**7 - 1),
    "Byte": (0, 2**8 - 1),
    "Int16": (-(2**15), 2**15 - 1),
    "UInt16": (0, 2**16 - 1),
    "Int32": (-(2**31), 2**31 - 1),
    "UInt32": (0, 2**32 - 1),
    "Int64": (-(2**63), 2**63 - 1),
    "UInt64": (0, 2**64 - 1),
}
"""The whole-number types and their ends."""
ACKNOWLEDGE = "acknowledge."
"""The target of an event source that may be acknowledged is this and the event source's name."""


class Group(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Tags that are asked for in the same way; what is left out is the line's.

    A tag joins with `group = "<name>"`. Groups with one `publish` and `priority` share a subscription.
    `deadband` is kept by the server: a number in the tag's unit, or `"2%"` of the node's EURange; where
    the server cannot, the gateway keeps it. `trigger` says what counts as a change: `status`, `value`
    (with status) or `timestamp` (with both). `discard` says which value a full queue loses.
    """

    name: Name
    publish: Duration | None = None
    sampling: Duration | None = None
    queue: Annotated[int, msgspec.Meta(ge=1, le=100_000)] | None = None
    deadband: float | Percent = 0.0
    trigger: Literal["status", "value", "timestamp"] = "value"
    discard: Literal["oldest", "newest"] = "oldest"
    priority: Annotated[int, msgspec.Meta(ge=0, le=255)] = 0

    def __post_init__(self) -> None:
        if self.publish is not None and not 0.01 <= self.publish <= 60:  # noqa: PLR2004 (10 ms to a minute)
            raise ValueError("publish must be between 10ms and 1min")
        if self.amount < 0 or (self.of_range and self.amount > 100):  # noqa: PLR2004 (per cent)
            raise ValueError("deadband must be a number from 0, or 0% to 100%")

    @property
    def of_range(self) -> bool:
        """Whether the deadband is a percentage of the node's EURange."""
        return isinstance(self.deadband, str)

    @property
    def amount(self) -> float:
        """The deadband: in the tag's unit, or in per cent."""
        return float(self.deadband.rstrip("%")) if isinstance(self.deadband, str) else self.deadband


class EventWish(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Events, alarms and conditions of one object of the server; they become log lines of `asset`.

    `source` is the object that notifies (the Server object hears all). `types` are event types with
    their subtypes; none means every type. Events below `severity_from` (1 to 1000) are left out. With
    `acknowledge` the write target `acknowledge.<name>` is declared.
    """

    asset: Name
    name: TargetName = "events"
    source: NodeText = "i=2253"
    types: tuple[NodeText, ...] = ()
    severity_from: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 1
    acknowledge: bool = False

    def __post_init__(self) -> None:
        for address in (self.source, *self.types):
            parse(address)


class Argument(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One value that is written: its type, and between which ends a number must lie (both are mandatory)."""

    name: Name
    type: DataType
    low: float | None = None
    high: float | None = None
    longest: Annotated[int, msgspec.Meta(ge=0, le=65_536)] = 1024

    def __post_init__(self) -> None:
        if fault := unbounded(self.type, self.low, self.high):
            raise ValueError(f"{self.name}: {fault}")


class TargetWish(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The one thing that may be written: the value of `node`, or a call of `method` on `object`.

    A value has `type`, and a number `low` and `high`, in the node's own unit; a method has `arguments`.
    """

    name: TargetName
    node: NodeText | None = None
    object: NodeText | None = None
    method: NodeText | None = None
    type: DataType | None = None
    low: float | None = None
    high: float | None = None
    longest: Annotated[int, msgspec.Meta(ge=0, le=65_536)] = 1024
    arguments: tuple[Argument, ...] = ()

    def __post_init__(self) -> None:
        for address in (self.node, self.object, self.method):
            if address is not None:
                parse(address)
        is_value = self.node is not None and self.object is None and self.method is None
        is_call = self.node is None and self.object is not None and self.method is not None
        if not (is_value or is_call):
            raise ValueError(f"target {self.name}: give node, or object and method")
        if is_call and (self.type is not None or self.low is not None or self.high is not None):
            raise ValueError(f"target {self.name}: a method has arguments; each has its own type, low and high")
        if is_value and self.arguments:
            raise ValueError(f"target {self.name}: a value has no arguments")
        if is_value and self.type is None:
            raise ValueError(f"target {self.name}: type is missing")
        if self.type is not None and (fault := unbounded(self.type, self.low, self.high)):
            raise ValueError(f"target {self.name}: {fault}")

    def values(self) -> tuple[Argument, ...]:
        """What is to be given when it is written, in order."""
        if self.type is None:
            return self.arguments
        return (Argument(name=self.name, type=self.type, low=self.low, high=self.high, longest=self.longest),)


def unbounded(kind: str, low: float | None, high: float | None) -> str:
    """Say what is wrong with the ends of a type; "" when all is well."""
    if kind in {"Boolean", "String"}:
        return "" if low is None and high is None else f"a {kind} has no low and high"
    if low is None or high is None:
        return f"a {kind} needs low and high: nothing is written without limits"
    if low > high:
        return f"low {low} is above high {high}"
    first, last = WHOLE.get(kind, (low, high))
    return "" if first <= low and high <= last else f"low and high must lie in {first} to {last}"


def wish_faults(
    groups: Sequence[Group], wanted: Sequence[str], events: Sequence[EventWish], targets: Sequence[TargetWish]
) -> list[str]:
    """Name groups that stand twice or are not there, and targets that stand twice. `wanted` are the tags' groups."""
    names = [group.name for group in groups]
    faults = [f"group {name} stands twice" for name in sorted({name for name in names if names.count(name) > 1})]
    faults += [f"no group {name!r}; there are: {', '.join(names) or 'none'}" for name in sorted({*wanted} - {*names})]
    calls = [target.name for target in targets]
    calls += [ACKNOWLEDGE + event.name for event in events if event.acknowledge]
    faults += [f"target {name} stands twice" for name in sorted({name for name in calls if calls.count(name) > 1})]
    said = [event.name for event in events]
    faults += [
        f"event {name} stands twice: give each a name" for name in sorted({one for one in said if said.count(one) > 1})
    ]
    return faults
