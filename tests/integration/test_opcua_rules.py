"""Rules, heartbeats, types and ages on a live OPC UA link, against asyncua's server."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest
from asyncua import Server, ua

from connectors.line.opcua import Settings
from gateway.core.batch import Batch
from gateway.core.ports import LineSource
from gateway.core.reading import Quality, Reading
from tests.line_rigs import gather, settings_of, until

URI = "urn:test:rules"
MADE = datetime(2026, 3, 18, 6, 30, 0, 123456, tzinfo=UTC)
TYPES = ua.VariantType
VALUES = {
    "serial": (2**63 - 1, TYPES.Int64),
    "unsigned": (2**64 - 1, TYPES.UInt64),
    "small": (-12, TYPES.Int32),
    "word": (65535, TYPES.UInt16),
    "single": (0.5, TYPES.Float),
    "double": (-1e300, TYPES.Double),
    "switch": (True, TYPES.Boolean),
    "text": ("läuft", TYPES.String),
    "moment": (MADE.replace(tzinfo=None), TYPES.DateTime),
}


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    server = Server()
    await server.init()
    server.set_endpoint("opc.tcp://127.0.0.1:0")
    server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
    index = await server.register_namespace(URI)
    for name, (value, kind) in VALUES.items():
        node = await server.nodes.objects.add_variable(ua.NodeId(name, index), name, ua.Variant(value, kind))
        await node.write_value(ua.DataValue(ua.Variant(value, kind), SourceTimestamp=MADE))
    async with server:
        yield server


def source(server: Server, *tags: dict[str, object], **more: object) -> LineSource:
    named = [{"asset": "M", "address": f"nsu={URI};s={tag['tag']}", **tag} for tag in tags]
    fields = {"publish": "50ms", "keep_alive": "300ms", "retry": "200ms", "timeout": "2s", **more}
    url = f"opc.tcp://127.0.0.1:{server.bserver.port}"
    return settings_of(Settings, name="cell", endpoint=url, insecure=True, tag=named, **fields).open()


def readings(batches: list[Batch]) -> list[Reading]:
    return [reading for batch in batches for reading in batch.values()]


@pytest.mark.pain(14, 15, 20, 23)
async def test_every_type_arrives_as_it_is_and_numbers_in_columns(server: Server) -> None:
    batches = await gather(
        source(server, *({"tag": name} for name in VALUES)), lambda taken: len(readings(taken)) >= len(VALUES)
    )
    found = {reading.tag: reading for reading in readings(batches)}
    plain = {name: value for name, (value, _) in VALUES.items()} | {"moment": MADE.isoformat()}
    assert {name: reading.value for name, reading in found.items()} == plain
    assert {name: type(reading.value) for name, reading in found.items()} == {
        name: type(value) for name, value in plain.items()
    }
    assert {reading.sourced_at for reading in found.values()} == {MADE}
    assert all(reading.served_at is not None and reading.received_at > reading.at for reading in found.values())
    assert {reading.tag for batch in batches for reading in batch.readings} == {"text", "moment"}
    assert all(reading.sequence for reading in found.values())


@pytest.mark.pain(15)
async def test_a_constant_is_said_again_with_its_own_stamp(server: Server) -> None:
    line = source(server, {"tag": "small", "heartbeat": "300ms"}, {"tag": "text", "heartbeat": "300ms"})
    batches = await gather(line, lambda taken: sum(reading.repeated for reading in readings(taken)) >= 4)
    for name, value in (("small", -12), ("text", "läuft")):
        first, *again = [reading for reading in readings(batches) if reading.tag == name]
        assert again
        assert (first.value, first.repeated) == (value, False)
        assert all((it.value, it.repeated, it.sourced_at) == (value, True, MADE) for it in again)
        assert again[0].received_at > first.received_at


async def test_a_signal_that_lives_and_stands_still_is_stuck(server: Server) -> None:
    line = source(server, {"tag": "double", "stuck": "400ms"})
    batches = await gather(line, lambda taken: len(readings(taken)) >= 2)
    first, then = readings(batches)[:2]
    assert (first.quality, then.quality, then.why) == (Quality.GOOD, Quality.UNCERTAIN, "stuck")
    assert (then.value, then.sourced_at, then.repeated) == (-1e300, MADE, False)


async def test_a_keep_alive_keeps_a_constant_fresh(server: Server) -> None:
    line = source(server, {"tag": "small"}, {"tag": "word", "stale_after": "2s"}, stale_after="5s", heartbeat="1s")

    def confirmed() -> bool:
        small, word = line.tags()
        return bool(small.last_at and word.last_at and small.last_at > word.last_at)

    batches = line.batches()
    try:
        await anext(batches)
        await until(confirmed)
    finally:
        await line.close()
    assert [state.stale_after for state in line.tags()] == [5.0, 2.0]
