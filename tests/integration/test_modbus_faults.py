"""Modbus devices that misbehave: nothing odd becomes a value, and the healthy neighbours keep their rate."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, aclosing, asynccontextmanager

import pytest

from connectors.line.modbus import Settings
from connectors.line.modbus.source import Modbus
from gateway.core.batch import Batch
from gateway.core.errors import Unreachable
from gateway.core.ports import LineSource
from gateway.core.reading import Quality, Reading
from tests.line_rigs import gather, settings_of
from tests.modbus_devices import Answer, Device, denial, frame, healthy

FIVE = 5


@asynccontextmanager
async def device(answer: Answer) -> AsyncIterator[tuple[Device, Callable[..., LineSource]]]:
    made = Device(answer)
    port = await made.start()

    def source(*tags: dict[str, object], **more: object) -> LineSource:
        fields = {"every": "30ms", "timeout": "150ms", "probe": "300ms", **more}
        return settings_of(Settings, name="m", endpoint=f"tcp://127.0.0.1:{port}", tag=list(tags), **fields).open()

    async with AsyncExitStack() as stack:
        stack.push_async_callback(made.stop)
        yield made, source


def tag(name: str, address: str, **more: object) -> dict[str, object]:
    return {"asset": "A", "tag": name, "address": address, **more}


def readings(batches: list[Batch], name: str) -> list[Reading]:
    return [it for batch in batches for it in batch.values() if it.tag == name]


def reply(transaction: int, unit: int, function: int, count: int) -> bytes:
    return frame(transaction, unit, bytes((function, 2 * count)) + bytes(2 * count))


def odd(make: Callable[[int, int, int], bytes | None]) -> Answer:
    """A unit 1 that answers oddly beside a healthy unit 2."""

    def answer(made: Device, transaction: int, unit: int, function: int, start: int, count: int) -> bytes | None:
        if unit == 1:
            return make(transaction, function, count)
        return healthy(made, transaction, unit, function, start, count)

    return answer


ODD: dict[str, Callable[[int, int, int], bytes | None]] = {
    "dead": lambda *_: None,
    "short reply": lambda at, function, count: reply(at, 1, function, count - 1),
    "long reply": lambda at, function, count: reply(at, 1, function, count + 1),
    "wrong unit": lambda at, function, count: reply(at, 77, function, count),
    "wrong transaction": lambda at, function, count: reply((at + 9) % 65536, 1, function, count),
    "wrong function": lambda at, _, count: reply(at, 1, 4, count),
    "garbage": lambda *_: b"\xde\xad\xbe\xef" * 40,
    "flood": lambda at, function, count: reply(at, 1, function, count) + b"\x2a" * 2_000_000,
    "two answers": lambda at, function, count: reply(at, 1, function, count) * 2,
    "half an answer": lambda at, function, count: reply(at, 1, function, count)[:-1],
    "gateway says no": lambda at, function, _: denial(at, 1, function, 11),
}


@pytest.mark.pain(10, 11)
@pytest.mark.parametrize("way", ODD)
async def test_an_odd_unit_is_bad_by_name_and_its_neighbour_goes_on(way: str) -> None:
    async with device(odd(ODD[way])) as (_, source):
        line = source(
            tag("ill", "holding:5", device=1), tag("ill2", "holding:6", device=1), tag("well", "holding:9", device=2)
        )
        batches = await gather(line, lambda taken: len(readings(taken, "well")) >= 12 and bool(readings(taken, "ill")))
        assert {reading.value for reading in readings(batches, "well")} == {9}
        assert {(reading.value, reading.quality) for reading in readings(batches, "ill")} == {(None, Quality.BAD)}
        assert all(reading.why.startswith("unit 1: ") for reading in readings(batches, "ill"))
        states = {state.name: state.healthy for state in line.tags()}
        assert states == {"A/ill": False, "A/ill2": False, "A/well": True}


@pytest.mark.pain(10)
async def test_a_dead_unit_costs_its_neighbours_little() -> None:
    async with device(odd(ODD["dead"])) as (_, source):
        line = source(tag("ill", "holding:5", device=1), tag("well", "holding:9", device=2))
        began = time.monotonic()
        batches = await gather(line, lambda taken: len(readings(taken, "well")) >= 80)
        took = time.monotonic() - began
    # 80 polls at 30 ms take 2.4 s; two time-outs of 150 ms before the demotion, none afterwards (else 12 s).
    assert took < 2.4 + 0.3 + 5
    assert len(readings(batches, "ill")) >= 2


@pytest.mark.pain(10)
async def test_a_dead_unit_comes_back_by_its_probe() -> None:
    async with device(odd(ODD["dead"])) as (made, source):
        line = source(tag("ill", "holding:5", device=1), tag("well", "holding:9", device=2))

        def enough(taken: list[Batch]) -> bool:
            if len(readings(taken, "ill")) >= 2:
                made.answer = healthy
            return any(reading.value == FIVE for reading in readings(taken, "ill"))

        batches = await gather(line, enough)
        assert readings(batches, "ill")[-1].value == FIVE
        assert all(state.healthy for state in line.tags())


async def test_no_unit_at_all_is_unreachable() -> None:
    async with device(odd(ODD["dead"])) as (_, source):
        with pytest.raises(Unreachable, match="no unit answers"):
            await gather(source(tag("ill", "holding:5")), lambda _: False)


@pytest.mark.pain(11)
async def test_a_late_answer_never_meets_the_next_question() -> None:
    async with device(healthy) as (made, source):
        made.delay = 0.2  # later than the time-out: the connection is dropped and the answer with it
        line = source(tag("a", "holding:5"), tag("b", "holding:900"))

        def enough(taken: list[Batch]) -> bool:
            made.delay = 0.0
            return len(readings(taken, "b")) >= 6

        batches = await gather(line, enough)
        assert {reading.value for reading in readings(batches, "a")} <= {5, None}
        assert {reading.value for reading in readings(batches, "b")} <= {900, None}
        assert readings(batches, "b")[-1].value == 900
        assert made.connections >= 2


@pytest.mark.pain(9)
async def test_a_hole_is_split_and_remembered() -> None:
    refused: list[tuple[int, int]] = []

    def holey(made: Device, transaction: int, unit: int, function: int, start: int, count: int) -> bytes:
        if any(20 <= address < 30 for address in range(start, start + count)):
            refused.append((start, count))
            return denial(transaction, unit, function, 2)
        return healthy(made, transaction, unit, function, start, count)

    async with device(holey) as (made, source):
        line = source(*(tag(f"t{n}", f"holding:{n}") for n in (0, 1, 10, 19, 30, 31, 50)))
        batches = await gather(line, lambda taken: len(readings(taken, "t50")) >= 4)
        assert len(refused) <= 3
        assert not any(reading.why for batch in batches for reading in batch.values())
        assert [(start, count) for _, start, count in made.reads[-2:]] in ([(0, 20), (30, 21)], [(30, 21), (0, 20)])


async def test_a_tag_inside_a_hole_is_named_alone() -> None:
    def holey(made: Device, transaction: int, unit: int, function: int, start: int, count: int) -> bytes:
        if start <= 11 < start + count:
            return denial(transaction, unit, function, 2)
        return healthy(made, transaction, unit, function, start, count)

    async with device(holey) as (_, source):
        line = source(*(tag(f"t{n}", f"holding:{n}") for n in range(10, 14)))
        batches = await gather(line, lambda taken: len(readings(taken, "t13")) >= 3)
        assert {reading.why for reading in readings(batches, "t11")} == {"IllegalDataAddress"}
        for n in (10, 12, 13):
            assert {reading.value for reading in readings(batches, f"t{n}")} == {n}


async def test_a_busy_device_is_bad_for_a_while_and_not_demoted() -> None:
    def busy(made: Device, transaction: int, unit: int, function: int, start: int, count: int) -> bytes:
        if len(made.reads) < 5:
            return denial(transaction, unit, function, 6)
        return healthy(made, transaction, unit, function, start, count)

    async with device(busy) as (made, source):
        batches = await gather(source(tag("a", "holding:5")), lambda taken: any(r.value for r in readings(taken, "a")))
        assert readings(batches, "a")[0].why == "DeviceBusy"
        assert made.connections == 1


async def test_a_connection_that_closes_fails_now() -> None:
    async with device(healthy) as (made, source):
        line = source(tag("a", "holding:5"), timeout="5s")
        loop = asyncio.get_running_loop()
        stopped: list[float] = []

        def stop(_: list[Batch]) -> bool:
            if not stopped:
                stopped.append(loop.time())
                loop.create_task(made.stop()).add_done_callback(lambda _: None)
            return False

        with pytest.raises(Unreachable):
            await gather(line, stop)
        assert loop.time() - stopped[0] < 3


async def test_a_device_that_hangs_up_on_one_unit_is_asked_again_once_and_the_neighbour_goes_on() -> None:
    def moody(made: Device, transaction: int, unit: int, function: int, start: int, count: int) -> bytes | None:
        if unit == 1:
            made.hang_up()
            return None
        return healthy(made, transaction, unit, function, start, count)

    async with device(moody) as (_, source):
        line = source(tag("ill", "holding:5", device=1), tag("well", "holding:9", device=2))
        batches = await gather(line, lambda taken: len(readings(taken, "well")) >= 12 and bool(readings(taken, "ill")))
        assert {reading.value for reading in readings(batches, "well")} <= {9, None}
        assert readings(batches, "well")[-1].value == 9
        assert readings(batches, "ill")[0].why == "unit 1: connection closed"


async def test_what_a_device_refused_is_remembered_over_a_restart_until_the_tags_change() -> None:
    asked: list[tuple[int, int]] = []

    def holey(made: Device, transaction: int, unit: int, function: int, start: int, count: int) -> bytes:
        asked.append((start, count))
        if start < 30 and start + count > 20:
            return denial(transaction, unit, function, 2)
        return healthy(made, transaction, unit, function, start, count)

    async with device(holey) as (_, source):
        tags = [tag(f"t{n}", f"holding:{n}") for n in (0, 1, 19, 30, 31)]
        memory: dict[str, bytes] = {}

        async def run(more: list[dict[str, object]]) -> list[tuple[int, int]]:
            asked.clear()
            async with asyncio.timeout(15), aclosing(source(*tags, *more).batches(memory)) as stream:
                async for batch in stream:
                    memory.update(batch.memory)
                    if batch.count:
                        break
            return list(asked)

        assert (0, 32) in await run([])
        assert sorted(set(await run([]))) == [(0, 20), (30, 2)]
        assert (0, 42) in await run([tag("t41", "holding:41")])
        memory["refused.77.coil.1"] = b"of a unit that nobody reads any more"
        await run([])
        assert memory["refused.77.coil.1"] == b""


async def test_a_device_that_gives_fewer_registers_at_once_is_asked_for_fewer() -> None:
    def small(made: Device, transaction: int, unit: int, function: int, start: int, count: int) -> bytes:
        if count > 20:
            return denial(transaction, unit, function, 3)
        return healthy(made, transaction, unit, function, start, count)

    async with device(small) as (made, source):
        batches = await gather(
            source(*(tag(f"t{n}", f"holding:{n}") for n in range(0, 100, 2))),
            lambda taken: len(readings(taken, "t98")) >= 4,
        )
        assert not any(reading.why for batch in batches for reading in batch.values())
        last = made.reads[-6:]
        assert all(count <= 20 for _, _, count in last)


async def test_polling_that_stops_for_whatever_reason_ends_the_source() -> None:
    async with device(healthy) as (_, source):
        line = source(tag("a", "holding:5"))

        def stop(taken: list[Batch]) -> bool:
            if len(readings(taken, "a")) == 2:
                for task in asyncio.all_tasks():
                    if task.get_name() == "modbus lane 0 m":
                        task.cancel()
            return False

        with pytest.raises(Unreachable, match="polling was stopped"):
            await gather(line, stop)


@pytest.mark.pain(12)
async def test_every_tag_says_from_which_age_on_it_is_stale_and_whether_its_group_keeps_its_time() -> None:
    async with device(healthy) as (made, source):
        made.delay = 0.05
        line = source(tag("a", "holding:5"), tag("slow", "holding:9", every="10s"), timeout="1s")
        await gather(line, lambda taken: len(readings(taken, "a")) >= 4)
        states = {state.name: state for state in line.tags()}
        assert states["A/a"].stale_after == pytest.approx(3 * 0.03 + 1)
        assert states["A/slow"].stale_after == pytest.approx(31)
        assert "of 30 ms" in states["A/a"].detail and "turns missed" in states["A/a"].detail
        assert states["A/a"].healthy
        assert states["A/slow"].detail == ""


@pytest.mark.pain(10)
async def test_registers_on_which_a_device_is_silent_do_not_take_the_others_along() -> None:
    def deaf(made: Device, transaction: int, unit: int, function: int, start: int, count: int) -> bytes | None:
        return None if start >= 500 else healthy(made, transaction, unit, function, start, count)

    async with device(deaf) as (_, source):
        line = source(tag("well", "holding:5"), tag("well2", "holding:300"), tag("mute", "holding:500"))
        batches = await gather(line, lambda taken: len(readings(taken, "well")) >= 30)
        assert {reading.value for reading in readings(batches, "well2")} == {300}
        assert {reading.why for reading in readings(batches, "mute")} == {"unit 1: no answer in time"}
        assert len(readings(batches, "mute")) <= 4  # asked for twice, then it waits
        assert {state.name: state.healthy for state in line.tags()} == {
            "A/well": True, "A/well2": True, "A/mute": False,
        }  # fmt: skip


async def test_a_value_that_its_deadband_holds_back_is_said_again_as_a_repetition() -> None:
    async with device(healthy) as (_, source):
        line = source(tag("still", "holding:5", deadband=1.0), tag("plain", "holding:6"), heartbeat="150ms")
        batches = await gather(line, lambda taken: len(readings(taken, "still")) >= 3)
        [first, *again] = readings(batches, "still")
        assert (first.value, first.repeated) == (5, False)
        assert {(reading.value, reading.repeated) for reading in again} == {(5, True)}
        assert not any(reading.repeated for reading in readings(batches, "plain"))


async def test_rules_over_time_hold_for_registers() -> None:
    async with device(healthy) as (_, source):
        line = source(tag("stuck", "holding:5", stuck="200ms"), tag("plain", "holding:6"))
        batches = await gather(line, lambda taken: any(reading.why for reading in readings(taken, "stuck")))
        assert next(reading.why for reading in readings(batches, "stuck") if reading.why) == "stuck"


async def test_a_scan_loop_that_gives_nothing_is_noticed() -> None:
    async with device(healthy) as (made, source):
        made.delay = 5.0
        line = source(tag("a", "holding:5"), timeout="9s")
        assert isinstance(line, Modbus)
        poller = line._poller
        try:
            await poller.start()
            assert await poller.take(30.0, pulse_s=0.02) == []
            with pytest.raises(Unreachable, match="polling stopped: no question came to an end"):
                await poller.take(0.05)
        finally:
            await line.close()


@pytest.mark.parametrize("one", [True, False])
async def test_one_question_per_unit_at_a_time_where_the_device_wants_it(*, one: bool) -> None:
    async with device(healthy) as (made, source):
        made.delay = 0.02
        tags = [tag(f"u{unit}_{n}", f"holding:{n * 200}", device=unit) for unit in (1, 2) for n in range(6)]
        line = source(*tags, connections=4, one_at_a_time=one, timeout="5s", span=100)
        batches = await gather(line, lambda taken: len(readings(taken, "u2_5")) >= 4)
        assert {reading.value for reading in readings(batches, "u1_5")} == {1000}
        assert made.connections in (2, 4) if one else made.connections >= 4
        assert (max(made.most_at_once.values()) == 1) is one


@pytest.mark.pain(10, 13)
async def test_a_unit_whose_first_tag_is_ignored_comes_back_all_the_same() -> None:
    def deaf(made: Device, transaction: int, unit: int, function: int, start: int, count: int) -> bytes | None:
        return None if unit == 1 and start < 10 else healthy(made, transaction, unit, function, start, count)

    async with device(deaf) as (made, source):
        line = source(
            tag("mute", "holding:5", device=1), tag("ill", "holding:900", device=1), tag("well", "holding:9", device=2)
        )

        def enough(taken: list[Batch]) -> bool:
            ill = [reading.quality for reading in readings(taken, "ill")]
            if len(ill) >= 5 and Quality.BAD not in ill:
                made.answer = odd(ODD["dead"])
            elif Quality.BAD in ill and ill[-1] is Quality.BAD:
                made.answer = deaf
            return Quality.BAD in ill and ill[-1] is Quality.GOOD

        async with asyncio.timeout(40):
            batches = await gather(line, enough)
        assert readings(batches, "ill")[-1].value == 900
