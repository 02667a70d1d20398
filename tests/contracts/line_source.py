"""What every line source must keep.

A test class inherits `LineSourceContract` and gives the fixture `rig`; a protocol with a server behind
it inherits `LinkContract`.
"""

import asyncio
from contextlib import suppress
from typing import Protocol

import pytest

from gateway.core.batch import Batch, TagState
from gateway.core.errors import Unreachable
from gateway.core.ports import LineSource
from gateway.core.reading import Quality
from tests.line_rigs import gather, listening, lost, until


class Rig(Protocol):
    """A running line, and how its sources are made."""

    has_clock: bool
    bad_tag: str

    def open(self) -> LineSource: ...

    async def start(self) -> None: ...

    async def kill(self) -> None: ...

    async def speak(self, source: LineSource) -> None:
        """Make the line say something; a line that always speaks does nothing."""


async def first(rig: Rig, source: LineSource, count: int = 3) -> list[Batch]:
    talk = asyncio.create_task(rig.speak(source))
    try:
        return await gather(source, lambda batches: sum(batch.count for batch in batches) >= count)
    finally:
        talk.cancel()
        await asyncio.wait({talk})


class LineSourceContract:
    async def test_values_arrive_with_quality_and_timestamps(self, rig: Rig) -> None:
        source = rig.open()
        batches = await first(rig, source)
        assert [batch.sequence for batch in batches] == list(range(1, len(batches) + 1))
        assert {batch.source for batch in batches} == {source.name}
        atoms = [atom for batch in batches for atom in (*batch.values(), *batch.waveforms, *batch.lines)]
        assert all(atom.received_at.utcoffset() is not None for atom in atoms)
        for reading in (reading for batch in batches for reading in batch.values()):
            assert (reading.value is None) == (reading.quality is Quality.BAD)
            assert bool(reading.why) == (reading.quality is not Quality.GOOD)
            if rig.has_clock:
                assert reading.sourced_at is not None and reading.sourced_at.utcoffset() is not None

    async def test_closing_twice_and_before_the_start_is_fine(self, rig: Rig) -> None:
        source = rig.open()
        await source.close()
        await source.close()
        used = rig.open()
        await first(rig, used, 1)
        await used.close()
        await used.close()

    async def test_closing_ends_a_consumer_that_waits(self, rig: Rig) -> None:
        source = rig.open()

        async def consume() -> int:
            return len([batch async for batch in source.batches()])

        consumer = asyncio.create_task(consume())
        await asyncio.sleep(0)
        await source.close()
        async with asyncio.timeout(8):
            with suppress(Unreachable):  # closed before it began: used up
                await consumer

    async def test_a_source_is_used_once(self, rig: Rig) -> None:
        source = rig.open()
        await first(rig, source, 1)
        with pytest.raises(Unreachable):
            await anext(aiter(source.batches()))

    async def test_cancelling_in_the_middle_leaves_no_task_behind(self, rig: Rig) -> None:
        before = asyncio.all_tasks()
        source = rig.open()
        seen = asyncio.Event()

        async def consume() -> None:
            async for _ in source.batches():
                seen.set()

        consumer = asyncio.create_task(consume())
        talk = asyncio.create_task(rig.speak(source))
        async with asyncio.timeout(15):
            await seen.wait()
        consumer.cancel()
        talk.cancel()
        await asyncio.wait({consumer, talk}, timeout=8)
        assert consumer.cancelled()
        await source.close()
        await until(lambda: asyncio.all_tasks() <= before)


class LinkContract(LineSourceContract):
    async def test_a_killed_server_is_unreachable_and_a_new_source_works_when_it_is_back(self, rig: Rig) -> None:
        source = rig.open()
        consumer = await listening(source)
        await rig.kill()
        await asyncio.wait({consumer}, timeout=10)
        assert consumer.done() and isinstance(consumer.exception(), Unreachable)
        await source.close()
        assert await lost(rig.open(), 10) is not None
        await rig.start()
        assert await first(rig, rig.open())

    async def test_one_bad_tag_fails_alone_and_by_name(self, rig: Rig) -> None:
        source = rig.open()
        states: list[TagState] = []

        def enough(batches: list[Batch]) -> bool:
            states[:] = source.tags()
            return sum(batch.count for batch in batches) >= 5 and any(
                s.name == rig.bad_tag and s.detail for s in states
            )

        batches = await gather(source, enough)
        well = {state.name for state in states if state.healthy}
        [ill] = [state for state in states if state.name == rig.bad_tag]
        assert not ill.healthy and ill.detail
        assert well
        heard = {f"{it.asset}/{it.tag}" for batch in batches for it in batch.values() if it.quality is Quality.GOOD}
        assert heard and rig.bad_tag not in heard
