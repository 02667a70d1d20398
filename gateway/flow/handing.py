"""Handing a production order to the line: written to declared targets, or given to a receiver of jobs."""

import math
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Protocol

import msgspec

from gateway.core.delivery import Delivered, ErpRef, Outcome, ProductionOrder, Rejected, Throttled, Uncertain, Unsent
from gateway.core.errors import Doubtful, Refused, Unreachable
from gateway.core.ports import Clock, Store
from gateway.core.production import JobReceiver, JobState
from gateway.core.reading import Value
from gateway.flow.write import write_target

PARAMETER = "parameter."
FIELDS = (
    "order_id",
    "material_code",
    "quantity",
    "due_date",
    "unit",
    "start_date",
    "priority",
    "work_master",
)
"""What a target may be given; beside them `parameter.<id>`."""
MARK = "production.trigger/"
"""Under this name and the order's id the store remembers that the trigger may have been pulled."""
_ALIKE = 1e-6
_WHOLE = 2.0**53


class Seen(msgspec.Struct, frozen=True):
    """What the line showed about an order in doubt. `taken` None: it cannot be told, and `why` says so."""

    taken: bool | None
    why: str = ""
    job: JobState = ""


class Hand(Protocol):
    """The way to one receiver of the line.

    `give` hands an order over, at most once, and never raises for what the line does; `Unsent` says that nothing of
    it took effect. `look` finds out about an order in doubt, `job` how its job stands ("" when the line does not
    say); both raise `Unreachable` or `Refused`. Each ends within `deadline`.
    """

    @property
    def name(self) -> str: ...  # noqa: D102

    @property
    def deadline(self) -> timedelta: ...  # noqa: D102

    @property
    def follows(self) -> bool: ...  # noqa: D102

    async def give(self, order: ProductionOrder) -> Outcome: ...  # noqa: D102

    async def look(self, order: ProductionOrder) -> Seen: ...  # noqa: D102

    async def job(self, order_id: str) -> JobState: ...  # noqa: D102


class Line(Protocol):
    """What is asked of the lines that run. Raises as `Writable` and `Readable` do."""

    def targets(self) -> Sequence[tuple[str, str]]: ...  # noqa: D102

    async def write(self, line: str, target: str, values: Sequence[Value]) -> list[Value]: ...  # noqa: D102

    async def held_by(self, line: str, target: str) -> Value: ...  # noqa: D102


class Write(msgspec.Struct, frozen=True):
    """One write: each value is a constant, or `$` and the name of a field of the order."""

    target: str
    values: tuple[Value, ...]


class Plan(msgspec.Struct, frozen=True):
    """What is written, in this order. With a `trigger`, which comes last, what stands before it has no effect alone.

    `before` takes the trigger back, first of all.
    """

    line: str
    writes: tuple[Write, ...]
    trigger: Write | None = None
    before: Write | None = None

    @property
    def all(self) -> tuple[Write, ...]:
        """Every write."""
        return tuple(one for one in (self.before, *self.writes, self.trigger) if one is not None)


class ToTargets:
    """Writes orders to declared targets of one line, each with its lines in the audit trail.

    While the trigger of the last order still stands the next one waits. In doubt the targets are read back. A trigger
    that may have been pulled and does not read as it was written cannot be judged, for the equipment may have taken
    it back: then a person must look.
    """

    follows = False

    def __init__(self, store: Store, line: Line, plan: Plan, now: Clock, timeout: timedelta) -> None:
        self._store, self._line, self._plan, self._now = store, line, plan, now
        self._timeout = timeout

    @property
    def name(self) -> str:
        """Who gets the orders."""
        return f"line.{self._plan.line}"

    @property
    def deadline(self) -> timedelta:
        """The longest time of one call."""
        return self._timeout * (len(self._plan.all) + 1)

    async def give(self, order: ProductionOrder) -> Outcome:
        """Write every target in order; see `Hand`."""
        plan, there = self._plan, set(self._line.targets())
        absent = [one.target for one in plan.all if (plan.line, one.target) not in there]
        if absent:
            return Unsent(f"the line {plan.line} is not open, or has no target {absent[0]}")
        try:
            prepared = [(one, valued(one, order)) for one in plan.all]
        except ValueError as unfit:
            return Rejected(str(unfit))
        stands = await self._stands()
        if stands is not None:
            return stands
        for number, (one, values) in enumerate(prepared):
            if one is plan.trigger:
                name, at = MARK + order.order_id, self._now()
                await self._store.write(lambda tx: tx.put(name, at.isoformat().encode()))  # noqa: B023  awaited here
            told = await self._write(one, values, order.order_id, first=number == 0)
            if told is not None:
                return told
        return Delivered(ErpRef(order.order_id, order.order_id))

    async def _stands(self) -> Outcome | None:
        """Look whether the trigger of the last order still stands: the line has not taken that one yet.

        One that is taken back by us before, and a method, cannot stand.
        """
        trigger = self._plan.trigger
        if trigger is None or self._plan.before is not None or len(trigger.values) != 1:
            return None
        try:
            held = await self._line.held_by(self._plan.line, trigger.target)
        except Refused:
            return None
        except Unreachable as lost:
            return Unsent(str(lost))
        if not alike(held, trigger.values[0]):
            return None
        return Throttled(None, f"{trigger.target} still holds {held!r}: the line has not taken the last order back")

    async def _write(self, one: Write, values: Sequence[Value], order_id: str, *, first: bool) -> Outcome | None:
        """Write one target; None when it is done. What comes before a trigger has no effect alone."""
        plan = self._plan
        try:
            await write_target(
                self._store, self._line.write, plan.line, one.target, values, f"production {order_id}", self._now
            )
        except Refused as no:
            return Rejected(str(no)[:500])
        except Doubtful as doubt:
            if plan.trigger is not None and one is not plan.trigger:
                return Unsent(f"not triggered: {doubt}")
            return Uncertain(str(doubt))
        except Unreachable as lost:
            return Unsent(str(lost)) if plan.trigger is not None or first else Uncertain(f"written in part: {lost}")
        return None

    async def look(self, order: ProductionOrder) -> Seen:
        """Read the targets back; see `Hand`."""
        plan = self._plan
        name = MARK + order.order_id
        if plan.trigger is not None and await self._store.read(lambda tx: tx.get(name)) is None:
            return Seen(taken=False, why="the trigger was not pulled")
        try:
            wrong = [one.target for one in plan.all if one is not plan.before and not await self._holds(one, order)]
        except Refused as no:
            return Seen(taken=None, why=f"it cannot be read back: {no}")
        if not wrong:
            return Seen(taken=True)
        if plan.trigger is None:
            return Seen(taken=False, why=f"{wrong[0]} holds something else")
        return Seen(taken=None, why=f"the trigger may have been pulled, but {', '.join(wrong)} holds something else")

    async def job(self, order_id: str) -> JobState:
        """Know nothing: targets say nothing about jobs."""
        del order_id
        return ""

    async def _holds(self, one: Write, order: ProductionOrder) -> bool:
        values = valued(one, order)
        if len(values) != 1:
            raise Refused(f"{one.target} takes {len(values)} values")
        return alike(await self._line.held_by(self._plan.line, one.target), values[0])


class ToReceiver:
    """Gives orders to a machine or MES that takes jobs by our ids, and hears from it what becomes of them."""

    follows = True

    def __init__(self, receiver: JobReceiver, name: str) -> None:
        self._receiver, self._name = receiver, name

    @property
    def name(self) -> str:
        """Who gets the orders."""
        return self._name

    @property
    def deadline(self) -> timedelta:
        """The longest time of one call."""
        return self._receiver.deadline

    async def give(self, order: ProductionOrder) -> Outcome:
        """Hand it over; see `Hand`."""
        return await self._receiver.produce(order)

    async def look(self, order: ProductionOrder) -> Seen:
        """Ask for the job; see `Hand`."""
        found = await self._receiver.job(order.order_id)
        return Seen(taken=False) if found is None else Seen(taken=True, job=job_of(found))

    async def job(self, order_id: str) -> JobState:
        """Ask how the job stands; see `Hand`."""
        found = await self._receiver.job(order_id)
        return "" if found is None else job_of(found)


def job_of(ref: ErpRef) -> JobState:
    """Give what a receiver's word of a job means."""
    if ref.state in {"done", "cancelled"}:
        return "COMPLETED" if ref.state == "done" else "ABORTED"
    words: Mapping[str, JobState] = {"running": "RUNNING", "interrupted": "INTERRUPTED"}
    return words.get(ref.status.casefold(), "WAITING" if ref.state == "open" else "")


def valued(one: Write, order: ProductionOrder) -> list[Value]:
    """Give the values of a write. Raises ValueError for what the order does not say."""
    return [_value(value, order) for value in one.values]


def _value(value: Value, order: ProductionOrder) -> Value:
    if not isinstance(value, str) or not value.startswith("$"):
        return value
    name = value[1:]
    if name.startswith(PARAMETER):
        wanted = name.removeprefix(PARAMETER)
        for one in order.parameters:
            if one.id == wanted:
                return one.value
        raise ValueError(f"the order says no parameter {wanted!r}")
    found: Value = getattr(order, name)
    if found is None or found == "":
        raise ValueError(f"the order says no {name}")
    if isinstance(found, float) and found.is_integer() and abs(found) < _WHOLE:
        return int(found)  # a whole number fits every type of number, a float only some
    return found


def unknown(value: Value) -> str:
    """Name the field that a `$` value wants and no order has; "" when all is well."""
    if not isinstance(value, str) or not value.startswith("$"):
        return ""
    name = value[1:]
    return "" if name in FIELDS or name.startswith(PARAMETER) else name


def alike(held: Value, written: Value) -> bool:
    """Say whether a target holds what was written; a 32-bit float holds a number a little rounded."""
    if isinstance(held, bool) or isinstance(written, bool):
        return held is written
    if isinstance(held, int | float) and isinstance(written, int | float):
        return held == written or math.isclose(held, written, rel_tol=_ALIKE)
    return held == written
