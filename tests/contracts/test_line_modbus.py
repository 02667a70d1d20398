"""Modbus keeps what every line source keeps. Against pymodbus' server; misbehaving devices: test_modbus_faults."""

import asyncio
from collections.abc import Iterator
from itertools import pairwise

import pytest

from connectors.line.modbus import Settings
from gateway.core.batch import Batch
from gateway.core.ports import LineSource
from tests.contracts.line_source import LinkContract
from tests.line_rigs import Process, gather, settings_of


class ModbusRig:
    """A pymodbus server with two units of 200 registers."""

    has_clock = False
    bad_tag = "O/missing"

    def __init__(self, server: Process) -> None:
        self.server = server

    def settings(self, *extra: dict[str, object], **more: object) -> Settings:
        tags = [
            {"asset": "O", "tag": "reads", "address": "holding:0"},
            {"asset": "O", "tag": "tenth", "address": "holding:40011:int16", "scale": 0.1, "unit": "degC"},
            {"asset": "O", "tag": "missing", "address": "holding:900"},
            {"asset": "O", "tag": "second", "address": "holding:7", "device": 2},
            *extra,
        ]
        fields = {"every": "50ms", "timeout": "500ms", **more}
        return settings_of(Settings, name="oven", endpoint=f"tcp://127.0.0.1:{self.server.port}", tag=tags, **fields)

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
    server = Process("modbus")
    yield server
    server.end()


@pytest.fixture
async def rig(server: Process) -> ModbusRig:
    rig = ModbusRig(server)
    await rig.start()
    return rig


def values(batches: list[Batch], tag: str) -> list[object]:
    return [it.value for batch in batches for it in batch.values() if it.tag == tag]


class TestModbus(LinkContract):
    async def test_registers_are_packed_into_one_read(self, rig: ModbusRig) -> None:
        spread = [{"asset": "O", "tag": f"t{n}", "address": f"holding:{n * 2}"} for n in range(1, 60)]
        source = settings_of(
            Settings,
            name="oven",
            endpoint=f"tcp://127.0.0.1:{rig.server.port}",
            every="50ms",
            tag=[{"asset": "O", "tag": "reads", "address": "holding:0"}, *spread],
        ).open()
        batches = await gather(source, lambda taken: len(values(taken, "reads")) >= 4)
        reads = [int(str(value)) for value in values(batches, "reads")]
        assert [later - earlier for earlier, later in pairwise(reads)] == [1, 1, 1]
        assert values(batches, "t59")[0] == 118

    async def test_scale_unit_and_modicon_numbers_hold(self, rig: ModbusRig) -> None:
        batches = await gather(rig.open(), lambda taken: bool(values(taken, "tenth")))
        [reading, *_] = [it for batch in batches for it in batch.values() if it.tag == "tenth"]
        assert (reading.value, reading.unit) == (pytest.approx(1.0), "degC")

    async def test_a_value_out_of_range_is_bad(self, rig: ModbusRig) -> None:
        hot = {"asset": "O", "tag": "hot", "address": "holding:150", "high": 100}
        batches = await gather(rig.settings(hot).open(), lambda taken: bool(values(taken, "hot")))
        [reading, *_] = [it for batch in batches for it in batch.values() if it.tag == "hot"]
        assert (reading.value, reading.why) == (None, "out of range")
