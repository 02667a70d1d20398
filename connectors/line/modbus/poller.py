"""Poller: asks what is due, the most urgent first, over one or more connections; silent units are left to a probe."""

import asyncio
import time
from collections.abc import Callable, Coroutine, Sequence

import structlog

from connectors.line.modbus.breaker import Breaker, Probes
from connectors.line.modbus.cost import Cost
from connectors.line.modbus.frames import NOT_THERE, Denied
from connectors.line.modbus.lanes import Lanes
from connectors.line.modbus.prober import Prober
from connectors.line.modbus.scan import Group, Job, Scan
from connectors.line.modbus.timetable import Timetable
from connectors.line.modbus.waiting import Waiting
from connectors.line.modbus.wire import Closed, Silent, Wire
from gateway.core.errors import Unreachable
from gateway.core.ports import Clock

log: structlog.stdlib.BoundLogger = structlog.get_logger()


class Poller:
    """Reads groups of tags; finished scans are fetched with `take`.

    A group is not read again before its last scan was taken, so that nothing piles up when storing is slow.
    """

    def __init__(
        self, source: str, groups: Sequence[Group], lanes: Lanes, probes: Probes, wire: Callable[[], Wire], now: Clock
    ) -> None:
        self._source, self.groups, self.lanes, self._probes = source, list(groups), lanes, probes
        self._wire, self._now = wire, now
        self.cost = Cost()
        self.one_at_a_time = False
        self.requests = 0
        self.table: Timetable | None = None
        self.failure: Exception | None = None
        self._waiting = Waiting()
        self._busy: set[int] = set()
        self._idle: set[asyncio.Future[None]] = set()
        self._done: list[Scan] = []
        self._last = 0.0
        self._arrived = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self.first = wire()
        self._wires = {self.first}

    @property
    def connected(self) -> bool:
        """Whether there is a live connection."""
        return self.first.connected

    @property
    def breakers(self) -> list[Breaker]:
        """One per unit."""
        return list({group.breaker.unit: group.breaker for group in self.groups}.values())

    @property
    def rate(self) -> float:
        """Requests per second that the groups ask for."""
        return sum(group.requests / group.every for group in self.groups if not group.breaker.demoted)

    async def start(self) -> None:
        """Connect and begin. Raises `Unreachable`."""
        first = self.first
        await first.connect()
        everies, costs = [group.every for group in self.groups], [group.requests for group in self.groups]
        self._last = time.monotonic()
        self.table = Timetable(everies, costs, self._last)
        self._spawn(self._work(first, 0), "modbus lane 0")
        for number in range(1, self.lanes.count):
            self._spawn(self._more(number), f"modbus lane {number}")
        self._spawn(Prober(self, self._probes, self.first, self._wire()).run(), "modbus probe")

    def _spawn(self, job: Coroutine[None, None, None], name: str) -> None:
        task = asyncio.create_task(job, name=f"{name} {self._source}")
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if task.cancelled():
            self._fail(Unreachable(f"{self._source}: polling was stopped"))
        elif (error := task.exception()) is not None:
            self._fail(error if isinstance(error, Exception) else RuntimeError(str(error)))

    def _fail(self, error: Exception) -> None:
        if self.failure is None:
            self.failure = error
        self._arrived.set()

    async def close(self) -> None:
        """End all tasks and connections. May be called twice."""
        self._fail(Unreachable(f"{self._source}: closed"))
        tasks = set(self._tasks)
        for task in tasks:
            task.cancel()
        for wire in self._wires:
            wire.drop()
        if tasks:
            await asyncio.wait(tasks, timeout=2)
        await asyncio.sleep(0)  # the sockets close in the next turn of the loop

    def check(self, endpoint: str) -> None:
        """Raise `Unreachable` when no unit answers any more."""
        if all(breaker.demoted for breaker in self.breakers):
            raise Unreachable(f"{self._source}: no unit answers at {endpoint}")

    async def take(self, patience_s: float, pulse_s: float | None = None) -> list[Scan]:
        """Wait for finished scans and take all of them; none after a pulse without any.

        Raises what ended the polling, when nothing is left, and `Unreachable` when no question came to an end for
        so long: a scan may take longer than that.
        """
        began = time.monotonic()
        while not self._done and self.failure is None:
            self._arrived.clear()
            try:
                async with asyncio.timeout(patience_s if pulse_s is None else min(pulse_s, patience_s)):
                    await self._arrived.wait()
            except TimeoutError:
                if time.monotonic() - max(began, self._last) >= patience_s:
                    why = f"polling stopped: no question came to an end in {patience_s:.0f} s"
                    raise Unreachable(f"{self._source}: {why}") from None
                if pulse_s is not None:
                    return []
        scans, self._done = self._done, []
        if not scans and self.failure is not None:
            raise self.failure
        now = time.monotonic()
        for scan in scans:
            self._table.free(scan.group.place, now)
        if self._table.next() <= now:
            self._wake()
        return scans

    @property
    def _table(self) -> Timetable:
        if self.table is None:
            raise Unreachable(f"{self._source}: not started")
        return self.table

    def back(self, breaker: Breaker) -> None:
        """A silent unit answered a probe: read all of it now."""
        if breaker.answer():
            log.info("modbus.unit.back", source=self._source, unit=breaker.unit)
        now = time.monotonic()
        for group in self.groups:
            if group.breaker is breaker:
                self._table.hurry(group.place, now)
        self._wake()

    async def _more(self, number: int) -> None:
        """Open one more connection and work with it; a device that does not allow it is left alone."""
        wire = self._wire()
        self._wires.add(wire)
        try:
            await wire.connect()
        except Unreachable as no:
            self._too_many(number, str(no))
            return
        self.lanes.opened(time.monotonic())
        await self._work(wire, number)

    def _too_many(self, number: int, why: str, *, remember: bool = True) -> None:
        self.lanes.refused(self._now(), remember=remember)
        log.info("modbus.connections", source=self._source, allowed=self.lanes.count, refused=number + 1, why=why)
        self._wake()

    async def _work(self, wire: Wire, number: int) -> None:
        """Ask one question after the other until this lane is one too many."""
        try:
            while number < self.lanes.count:
                job = await self._next(number)
                if job is None:
                    continue
                unit = job.scan.group.breaker.unit
                self._busy.add(unit)
                try:
                    await self._ask(job, wire, number)
                finally:
                    self._busy.discard(unit)
                    if self.one_at_a_time:
                        self._wake()
        finally:
            wire.drop()
            self._wires.discard(wire)

    async def _next(self, number: int) -> Job | None:
        """The most urgent question; None when this lane is not needed any more."""
        while number < self.lanes.count:
            self._release()
            job = self._waiting.pop(self._busy if self.one_at_a_time else ())
            if job is not None:
                return job
            await self._rest()
        return None

    def _release(self) -> None:
        """Put the questions of what is due into the queue."""
        table, now = self._table, time.monotonic()
        if table.next() > now:
            return
        for place, deadline in table.due(now):
            group = self.groups[place]
            if group.breaker.demoted and group.told_silent:
                table.free(place, now)
                continue
            scan = Scan(group, deadline, now)
            if not scan.jobs:
                table.free(place, now)
                continue
            for job in scan.jobs:
                self._waiting.push(job)
        if len(self._waiting) > 1:
            self._wake()
        before = self.lanes.count
        for number in range(before, before + self.lanes.grow(self.rate, now)):
            log.info("modbus.connections", source=self._source, opened=number + 1)
            self._spawn(self._more(number), f"modbus lane {number}")

    async def _rest(self) -> None:
        """Wait until something is due or somebody calls."""
        loop = asyncio.get_running_loop()
        call = loop.create_future()
        self._idle.add(call)
        alarm = loop.call_later(max(0.0, self._table.next() - time.monotonic()), _ring, call)
        try:
            await call
        finally:
            alarm.cancel()
            self._idle.discard(call)

    def _wake(self) -> None:
        for call in self._idle:
            _ring(call)

    async def _ask(self, job: Job, wire: Wire, number: int) -> None:
        """Ask one question and pass on what came of it."""
        scan = job.scan
        if scan.silent or scan.group.breaker.demoted:
            scan.skipped(job, scan.silent or f"unit {scan.group.breaker.unit}: silent", self._now())
            self._finish(scan)
            return
        began, used = time.monotonic(), wire.answers
        try:
            values = await wire.read(job.question, self._timeout(scan))
        except Denied as denied:
            self._denied(job, denied)
        except Closed as closed:
            self._closed(job, number, used, str(closed))
        except Silent as silence:
            self._silent(job, str(silence))
        except Unreachable as lost:
            await self._unconnected(job, wire, number, str(lost))
        else:
            self._heard(job, time.monotonic() - began)
            scan.answered(job, values, self._now())
        self._last = time.monotonic()
        self._finish(scan)

    def _timeout(self, scan: Scan) -> float:
        return self._probes.timeout(scan.group.breaker, doubted=bool(scan.unheard))

    def _heard(self, job: Job, seconds: float) -> None:
        self.requests += 1
        bits = job.scan.group.areas[job.area].table in {"coil", "discrete"}
        self.cost.learn(job.block.count / 16 if bits else job.block.count, seconds)
        self.lanes.heard(seconds)
        self._probes.heard(seconds)

    def _denied(self, job: Job, denied: Denied) -> None:
        if denied.code in NOT_THERE:
            self._silent(job, str(denied))
            return
        for part in job.scan.refused(job, denied.code, str(denied), self._now()):
            self._waiting.push(part)
        self._wake()

    async def _unconnected(self, job: Job, wire: Wire, number: int, why: str) -> None:
        """The first connection decides whether there is a line; another one may be one too many."""
        shaky = self.lanes.shaky(time.monotonic())
        if number == 0 and not shaky:
            raise Unreachable(f"{self._source}: {why}")
        self._waiting.push(job)
        if number == 0 or self.first.connected:
            self._too_many(number, why, remember=shaky)
        await asyncio.sleep(min(0.5, wire.timeout_s))

    def _closed(self, job: Job, number: int, used: int, why: str) -> None:
        """A connection that had worked is made anew and the question asked once more: a read changes nothing."""
        if self.lanes.shaky(time.monotonic()) and (number == 0 or self.first.connected):
            self._too_many(number, why)
            self._waiting.push(job)
        elif used and not job.again:
            self._waiting.push(job._replace(again=True))
        else:
            self._silent(job, why)

    def _silent(self, job: Job, why: str) -> None:
        scan, breaker = job.scan, job.scan.group.breaker
        first = not scan.silent
        silent = scan.unanswered(job, f"unit {breaker.unit}: {why}", self._now(), patient=breaker.proven)
        if first and silent and breaker.fail(time.monotonic()):
            log.warning("modbus.unit.demoted", source=self._source, unit=breaker.unit, why=why)
            self._wake()

    def _finish(self, scan: Scan) -> None:
        if not scan.is_done:
            return
        group, now = scan.group, time.monotonic()
        group.told_silent = group.breaker.demoted
        if not scan.silent:
            if group.breaker.answer():
                log.info("modbus.unit.back", source=self._source, unit=group.breaker.unit)
            for job in scan.unheard:
                group.areas[job.area].unheard(job.block, self._now(), now, self._probes.wait())
        self._table.done(group.place, now)
        self._done.append(scan)
        self._arrived.set()


def _ring(call: "asyncio.Future[None]") -> None:
    if not call.done():
        call.set_result(None)
