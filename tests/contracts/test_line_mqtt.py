"""MQTT keeps what every line source keeps, against a broker that is not ours."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from connectors.line.mqtt import Settings
from gateway.core.batch import Batch
from gateway.core.ports import LineSource
from gateway.core.reading import Quality, Reading
from tests.contracts.line_source import LinkContract
from tests.line_rigs import gather, settings_of
from tests.mosquitto import Mosquitto, needed

pytestmark = [pytest.mark.peer, needed]
TAGS = [
    {"asset": "{2}", "tag": "temperature", "address": "plant/cell-a/+/temp#value", "unit": "degC",
     "low": -40, "high": 200, "time": "ts", "time_unit": "ms"},
    {"asset": "M-07", "tag": "state", "address": "plant/cell-a/M-07/state"},
    {"asset": "M-07", "tag": "broken", "address": "plant/cell-a/M-07/broken#value", "type": "number"},
]  # fmt: skip


class MqttRig:
    has_clock = False
    bad_tag = "M-07/broken"

    def __init__(self, broker: Mosquitto) -> None:
        self.broker = broker

    def open(self, **more: object) -> LineSource:
        fields: dict[str, object] = {"tag": TAGS, "gather": "10ms", "timeout": "3s", "keep_alive": "1s", **more}
        return settings_of(Settings, name="cell", endpoint=self.broker.endpoint, **fields).open()

    async def start(self) -> None:
        await self.broker.start()

    async def kill(self) -> None:
        await self.broker.kill()

    async def speak(self, source: LineSource) -> None: ...

    async def chatter(self) -> None:
        count = 0
        while True:
            count += 1
            stamp = int(datetime.now(UTC).timestamp() * 1000)
            rows = [
                ("plant/cell-a/M-07/temp", f'{{"value": {20 + count % 5}, "ts": {stamp}}}'),
                ("plant/cell-a/M-07/state", "running"),
                ("plant/cell-a/M-07/broken", '{"value": "many"}'),
            ]
            try:
                await self.broker.say(*rows)
            except OSError:  # it is being killed: it speaks again when it is back
                await asyncio.sleep(0.05)
            await asyncio.sleep(0.02)


def readings_of(batches: list[Batch]) -> list[Reading]:
    return [reading for batch in batches for reading in batch.values()]


class TestMqtt(LinkContract):
    @pytest.fixture
    async def rig(self, tmp_path: Path) -> AsyncIterator[MqttRig]:
        rig = MqttRig(Mosquitto(tmp_path))
        await rig.start()
        talk = asyncio.create_task(rig.chatter())
        yield rig
        talk.cancel()
        await asyncio.wait({talk})
        await rig.kill()

    async def test_asset_time_and_range_come_from_the_message(self, rig: MqttRig) -> None:
        batches = await gather(rig.open(), lambda taken: len(readings_of(taken)) > 5)
        warm = [it for it in readings_of(batches) if it.tag == "temperature" and not it.repeated]
        assert warm and {(it.asset, it.unit, it.quality) for it in warm} == {("M-07", "degC", Quality.GOOD)}
        assert all(it.sourced_at is not None and it.sourced_at <= it.received_at for it in warm)
