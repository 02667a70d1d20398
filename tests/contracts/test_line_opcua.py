"""OPC UA keeps what every line source keeps, and what its own protocol asks for. Against asyncua's server."""

import asyncio
import logging
from collections.abc import Iterator
from contextlib import aclosing
from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from connectors.line.opcua import Settings
from gateway.core.batch import Batch
from gateway.core.ports import LineSource
from gateway.core.reading import Quality
from tests.contracts.line_source import LinkContract
from tests.line_rigs import Process, gather, listening, settings_of, until

NSU = "nsu=urn:test:line;s="


class OpcUaRig:
    """An asyncua server, and sources with a short keep-alive."""

    has_clock = True
    bad_tag = "M/missing"

    def __init__(self, server: Process) -> None:
        self.server = server

    def settings(self, *extra: dict[str, object], **more: object) -> Settings:
        tags = [
            {"asset": "M", "tag": "counter", "address": NSU + "counter"},
            {"asset": "M", "tag": "constant", "address": NSU + "constant", "scale": 0.1},
            {"asset": "M", "tag": "missing", "address": NSU + "missing"},
            *extra,
        ]
        fields = {"publish": "100ms", "keep_alive": "500ms", "retry": "300ms", "timeout": "2s", **more}
        url = f"opc.tcp://127.0.0.1:{self.server.port}"
        return settings_of(Settings, name="cell", endpoint=url, insecure=True, tag=tags, **fields)

    def open(self) -> LineSource:
        return self.settings().open()

    async def start(self) -> None:
        await self.server.start()

    async def kill(self) -> None:
        await self.server.kill()

    async def speak(self, source: LineSource) -> None:
        await asyncio.Event().wait()


@pytest.fixture(scope="module")
def server() -> Iterator[Process]:
    server = Process("opcua")
    yield server
    server.end()


@pytest.fixture
async def rig(server: Process) -> OpcUaRig:
    rig = OpcUaRig(server)
    await rig.start()
    return rig


def values(batches: list[Batch], tag: str) -> list[object]:
    return [it.value for batch in batches for it in batch.values() if it.tag == tag]


class TestOpcUa(LinkContract):
    async def test_no_tick_is_lost_and_the_order_is_kept(self, rig: OpcUaRig) -> None:
        batches = await gather(rig.open(), lambda taken: len(values(taken, "counter")) > 40)
        ticks = values(batches, "counter")
        assert ticks == [ticks[0] + n for n in range(len(ticks))]
        assert values(batches, "constant") == [pytest.approx(-1.2)]
        assert not any(batch.note for batch in batches)

    async def test_a_slow_commit_loses_nothing(self, rig: OpcUaRig) -> None:
        source = rig.settings(in_flight=2).open()
        taken: list[Batch] = []
        async with asyncio.timeout(20), aclosing(source.batches()) as batches:
            async for batch in batches:
                taken.append(batch)
                await asyncio.sleep(0.4)  # a disk that is slower than the keep-alive is not a lost link
                if len(taken) == 6:
                    break
        ticks = values(taken, "counter")
        assert ticks == [ticks[0] + n for n in range(len(ticks))]

    async def test_waveforms_and_frames_arrive_typed(self, rig: OpcUaRig) -> None:
        wave = {"asset": "M", "tag": "wave", "kind": "waveform", "address": NSU + "wave", "rate_hz": 1280, "unit": "g"}
        frame = {"asset": "M", "tag": "hot", "kind": "frame", "address": NSU + "frame", "encoding": "centikelvin"}
        source = rig.settings(wave, frame).open()
        batches = await gather(source, lambda taken: sum(len(batch.waveforms) for batch in taken) > 3)
        first = [it for batch in batches for it in batch.waveforms][-1]
        assert (first.rate_hz, first.seconds, first.unit, first.quality) == (1280, 0.05, "g", Quality.GOOD)
        assert abs(first.sourced_at - datetime.now(UTC)) < timedelta(seconds=20)
        [picture] = [it for batch in batches for it in batch.frames]
        assert (picture.height, picture.width) == (2, 2)
        assert picture.celsius()[1, 1] == pytest.approx(25.0, abs=0.001)

    async def test_a_bad_status_is_no_number_and_says_its_name(self, rig: OpcUaRig) -> None:
        source = rig.settings({"asset": "M", "tag": "bad", "address": NSU + "bad"}).open()
        batches = await gather(source, lambda taken: bool(values(taken, "bad")))
        [reading] = [it for batch in batches for it in batch.values() if it.tag == "bad"]
        assert (reading.value, reading.quality, reading.why) == (None, Quality.BAD, "BadSensorFailure")

    async def test_a_waveform_without_a_rate_is_named(self, rig: OpcUaRig) -> None:
        wave = {"asset": "M", "tag": "wave", "kind": "waveform", "address": NSU + "wave"}
        source = rig.settings(wave).open()
        await gather(source, lambda taken: len(values(taken, "counter")) > 3)
        [state] = [it for it in source.tags() if it.name == "M/wave"]
        assert not state.healthy and "rate_hz" in state.detail

    async def test_a_frozen_server_is_unreachable_though_its_socket_is_open(self, rig: OpcUaRig) -> None:
        source = rig.open()
        consumer = await listening(source)
        rig.server.freeze()
        await asyncio.wait({consumer}, timeout=12)
        await rig.kill()
        assert "keep-alive" in str(consumer.exception())

    async def test_the_librarys_log_stays_at_warning(self, rig: OpcUaRig) -> None:
        logging.getLogger("asyncua").setLevel(logging.DEBUG)
        await gather(rig.open(), bool)
        assert logging.getLogger("asyncua.client.ua_client").getEffectiveLevel() >= logging.WARNING

    async def test_a_missing_namespace_is_named(self, rig: OpcUaRig) -> None:
        source = rig.settings({"asset": "M", "tag": "odd", "address": "nsu=urn:nowhere;s=x"}).open()
        await gather(source, lambda taken: len(taken) > 1)
        [state] = [it for it in source.tags() if it.name == "M/odd"]
        assert state.detail == "the server has no namespace urn:nowhere"


def test_an_index_in_an_address_is_refused() -> None:
    with pytest.raises(msgspec.ValidationError, match="nsu="):
        settings_of(
            Settings,
            name="x",
            endpoint="opc.tcp://h:1",
            insecure=True,
            tag=[{"asset": "M", "tag": "t", "address": "ns=2;s=x"}],
        )


def test_plain_text_needs_to_be_written_down() -> None:
    tag = {"asset": "M", "tag": "t", "address": "i=2258"}
    with pytest.raises(msgspec.ValidationError, match="certificate"):
        settings_of(Settings, name="x", endpoint="opc.tcp://h:1", tag=[tag])
    with pytest.raises(msgspec.ValidationError, match="insecure = true"):
        settings_of(Settings, name="x", endpoint="opc.tcp://h:1", policy="None", tag=[tag])


async def test_nobody_there_is_unreachable_at_once() -> None:
    tag = {"asset": "M", "tag": "t", "address": "i=2258"}
    rig = OpcUaRig(Process("opcua"))
    source = rig.settings(tag).open()
    loop = asyncio.get_running_loop()
    began = loop.time()
    with pytest.raises(Exception, match=r"opc\.tcp"):
        await gather(source, lambda _: False)
    assert loop.time() - began < 5
    await until(lambda: len(asyncio.all_tasks()) == 1)
