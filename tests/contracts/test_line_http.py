"""What is handed in over HTTP keeps what every line source keeps."""

import asyncio
import contextlib
from contextlib import aclosing
from datetime import UTC, datetime

import numpy as np
import pytest

from connectors.line.http import Door, Settings
from gateway.core.batch import Batch
from gateway.core.errors import Conflict, Refused, Unreachable
from gateway.core.ports import LineSource, Pushable
from gateway.core.push import Push, PushFacts
from tests.contracts.line_source import LineSourceContract
from tests.line_rigs import settings_of, until

TAGS = [
    {"asset": "M-07", "tag": "vibration", "unit": "g", "rate_hz": 1000, "encoding": "int16", "scale": 0.5},
    {"asset": "M-07", "tag": "speed", "kind": "value", "unit": "rpm", "low": 0, "high": 4000},
    {"asset": "M-07", "tag": "log", "kind": "line"},
]
NOW = datetime(2026, 3, 18, 6, 30, tzinfo=UTC)


def push(
    content: bytes = b'{"value": 20}', tag: str = "speed", media: str = "application/json", **more: object
) -> Push:
    key = str(more.pop("key", ""))
    return Push(asset="M-07", tag=tag, content=content, media_type=media, facts=PushFacts(**more), key=key)  # type: ignore[arg-type]  # facts by name


class HttpRig:
    has_clock = False
    bad_tag = ""

    def open(self, **more: object) -> Door:
        found = settings_of(Settings, name="daq", tag=TAGS, **more).open()
        assert isinstance(found, Door)
        return found

    async def start(self) -> None: ...

    async def kill(self) -> None: ...

    async def speak(self, source: LineSource) -> None:
        assert isinstance(source, Pushable)
        while True:
            with contextlib.suppress(Unreachable):
                await source.push(push())
            await asyncio.sleep(0.01)


class Consumer:
    """Takes batches until it is stopped; each counts as committed when the next is asked for."""

    def __init__(self, source: Door, memory: dict[str, bytes] | None = None) -> None:
        self.source, self.memory, self.batches = source, dict(memory or {}), list[Batch]()
        self.gate = asyncio.Event()
        self.gate.set()
        self._job = asyncio.create_task(self._run())

    async def _run(self) -> None:
        async with aclosing(self.source.batches(self.memory)) as batches:
            async for batch in batches:
                self.batches.append(batch)
                await self.gate.wait()
                for name, value in batch.memory.items():
                    self.memory.pop(name, None)
                    if value:
                        self.memory[name] = value

    async def stop(self) -> None:
        await self.source.close()
        self._job.cancel()
        await asyncio.wait({self._job})


class TestHttp(LineSourceContract):
    @pytest.fixture
    def rig(self) -> HttpRig:
        return HttpRig()

    async def test_a_push_is_answered_after_its_commit_and_not_before(self, rig: HttpRig) -> None:
        consumer = Consumer(rig.open())
        consumer.gate.clear()
        await until(lambda: consumer.source.tags()[0].healthy)
        pushing = asyncio.create_task(consumer.source.push(push(key="first-key")))
        again = asyncio.create_task(consumer.source.push(push(key="first-key")))
        await until(lambda: consumer.batches)
        assert not pushing.done() and not again.done()
        consumer.gate.set()
        assert not (await pushing).repeated and (await again).repeated
        assert sum(batch.count for batch in consumer.batches) == 1
        await consumer.stop()

    @pytest.mark.pain(5)
    async def test_a_key_outlives_a_restart_and_stands_for_one_content(self, rig: HttpRig) -> None:
        first = Consumer(rig.open(keys=2))
        await until(lambda: first.source.tags()[0].healthy)
        for number in range(3):
            await first.source.push(push(key=f"key-number-{number}"))
        await first.stop()
        assert len(first.memory) == 2
        second = Consumer(rig.open(keys=2), first.memory)
        await until(lambda: second.source.tags()[0].healthy)
        assert (await second.source.push(push(key="key-number-2"))).repeated
        with pytest.raises(Conflict):
            await second.source.push(push(b'{"value": 21}', key="key-number-2"))
        assert not (await second.source.push(push(key="key-number-0"))).repeated  # the oldest was forgotten
        await second.stop()

    async def test_what_does_not_fit_is_refused_by_reason_and_the_rest_goes_on(self, rig: HttpRig) -> None:
        consumer = Consumer(rig.open())
        await until(lambda: consumer.source.tags()[0].healthy)
        for bad, why in (
            (push(b"[]"), "expected"),
            (push(b"abc", "vibration", "application/octet-stream"), "whole int16"),
            (push(bytes(4), "vibration", "application/octet-stream", unit="mm/s"), "declare 'g'"),
            (push(b"\xff\xd8\xff", "vibration", "image/png"), "JPEG"),
            (push(b"\n", "log", "text/plain"), "no lines"),
        ):
            with pytest.raises(Refused, match=why):
                await consumer.source.push(bad)
        samples = np.array([2, -4], "<i2").tobytes()
        await consumer.source.push(push(samples, "vibration", "application/octet-stream", t0=NOW, rate_hz=500.0))
        await consumer.source.push(push(b"ERROR hot\nfine\n", "log", "text/plain"))
        await consumer.source.push(push(b'{"value": 9000}'))
        speed = next(state for state in consumer.source.tags() if state.name == "M-07/speed")
        assert (speed.healthy, speed.detail, speed.found) == (False, "out of range", {"out of range": 1})
        await consumer.stop()
        [wave] = [one for batch in consumer.batches for one in batch.waveforms]
        assert (wave.rate_hz, wave.sourced_at) == (500.0, NOW)
        assert np.frombuffer(wave.samples, "<f4").tolist() == [1, -2]
        assert [line.severity for batch in consumer.batches for line in batch.lines] == [3, 6]
        assert [it.why for batch in consumer.batches for it in batch.values()] == ["out of range"]

    @pytest.mark.pain(7)
    async def test_there_are_only_so_many_places(self, rig: HttpRig) -> None:
        consumer = Consumer(rig.open(queue=2))
        await until(lambda: consumer.source.tags()[0].healthy)
        with consumer.source.admit(), consumer.source.admit():
            with pytest.raises(Unreachable) as full, consumer.source.admit():
                pass
            assert full.value.after is not None
        with consumer.source.admit():
            pass
        await consumer.stop()
        with pytest.raises(Unreachable), consumer.source.admit():
            pass

    async def test_who_waits_when_the_store_is_lost_is_told_to_come_again(self, rig: HttpRig) -> None:
        consumer = Consumer(rig.open())
        consumer.gate.clear()
        await until(lambda: consumer.source.tags()[0].healthy)
        pushing = asyncio.create_task(consumer.source.push(push()))
        await until(lambda: consumer.batches)
        await consumer.stop()
        with pytest.raises(Unreachable, match="ask again"):
            await pushing
