"""OPC UA beyond the contract: acknowledged after the commit, nodes that come later, subscriptions that vanish."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from asyncua import Server, ua

from connectors.line.opcua import Settings
from connectors.line.opcua.link import Stage
from connectors.line.opcua.source import OpcUa
from gateway.core.batch import Batch, SourceGap
from gateway.core.series import moment
from tests.line_rigs import gather, settings_of, until

URI = "urn:test:inside"


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    server = Server()
    await server.init()
    server.set_endpoint("opc.tcp://127.0.0.1:0")
    server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
    await server.register_namespace(URI)
    async with server:
        yield server


async def add(server: Server, name: str, value: float) -> ua.NodeId:
    index = await server.get_namespace_index(URI)
    node = await server.nodes.objects.add_variable(ua.NodeId(name, index), name, value)
    return node.nodeid


def source(server: Server, *names: str, **more: object) -> OpcUa:
    tags = [{"asset": "M", "tag": name, "address": f"nsu={URI};s={name}"} for name in names]
    fields = {"publish": "50ms", "keep_alive": "300ms", "retry": "200ms", "timeout": "2s", **more}
    url = f"opc.tcp://127.0.0.1:{server.bserver.port}"
    made = settings_of(Settings, name="cell", endpoint=url, insecure=True, tag=tags, **fields).open()
    assert isinstance(made, OpcUa)
    return made


def subscription_of(server: Server) -> Any:
    [made] = [sub for sub in server.iserver.subscription_service.subscriptions.values() if sub.pub_request_callback]
    return made


async def test_a_message_is_acknowledged_only_after_its_commit(server: Server) -> None:
    node = await add(server, "a", 1.0)
    line = source(server, "a", in_flight=1)
    async with asyncio.timeout(15), aclosing(line.batches()) as batches:
        assert next((await anext(batches)).values()).value == 1.0
        kept = subscription_of(server)._not_acknowledged_results
        await asyncio.sleep(0.2)  # nobody asks for the next batch: nothing may be acknowledged meanwhile
        assert len(kept) == 1
        await server.write_attribute_value(node, ua.DataValue(ua.Variant(2.0)))
        assert [*(await anext(batches)).values()][-1].value == 2.0
        [sequence] = kept
        assert sequence == 2
    await line.close()


async def test_a_node_that_comes_later_joins_and_the_others_never_stop(server: Server) -> None:
    await add(server, "early", 1.0)
    line = source(server, "early", "late")

    async def appear() -> None:
        await until(lambda: any(state.detail == "BadNodeIdUnknown" for state in line.tags()))
        await add(server, "late", 7.0)

    coming = asyncio.create_task(appear())
    batches = await gather(line, lambda taken: any(it.tag == "late" for batch in taken for it in batch.values()))
    await coming
    assert [it.value for batch in batches for it in batch.values() if it.tag == "late"] == [7.0]
    assert all(state.healthy for state in line.tags())


class Heard:
    """A line that is listened to in the background; `memory` is what the next one is given."""

    def __init__(self, line: OpcUa, memory: dict[str, bytes]) -> None:
        self.line, self.memory = line, memory
        self.values: list[float] = []
        self.lines: list[str] = []
        self.gaps: list[SourceGap] = []

    async def listen(self) -> None:
        async for batch in self.line.batches(dict(self.memory)):
            self.memory.update(batch.memory)
            self.values += [float(it.value) for it in batch.values() if isinstance(it.value, float)]
            self.lines += [it.text for it in batch.lines]
            self.gaps += batch.gaps

    def says(self, word: str) -> bool:
        return any(word in text for text in self.lines)


@asynccontextmanager
async def listening(line: OpcUa, memory: dict[str, bytes] | None = None) -> AsyncIterator[Heard]:
    heard = Heard(line, {} if memory is None else memory)
    listener = asyncio.create_task(heard.listen())
    try:
        yield heard
    finally:
        await line.close()
        await listener


async def write(server: Server, node: ua.NodeId, value: float) -> None:
    await server.write_attribute_value(node, ua.DataValue(ua.Variant(value), SourceTimestamp=datetime.now(UTC)))


async def unsubscribe(server: Server) -> None:
    """Delete the subscriptions of every client, and tell nobody."""
    service = server.iserver.subscription_service
    await service.delete_subscriptions([key for key, sub in service.subscriptions.items() if sub.pub_request_callback])


@pytest.mark.pain(1)
async def test_a_subscription_deleted_on_the_server_is_made_anew_while_the_session_lives(server: Server) -> None:
    node = await add(server, "a", 1.0)
    async with listening(source(server, "a")) as heard:
        await until(lambda: heard.values == [1.0])
        made = subscription_of(server)
        await unsubscribe(server)
        await until(lambda: made not in server.iserver.subscription_service.subscriptions.values())
        await write(server, node, 2.0)
        await until(lambda: heard.values[-1] == 2.0 and heard.line.stage is Stage.LIVE)


async def test_fewer_publish_requests_are_in_flight_when_the_server_wants_it(server: Server) -> None:
    node = await add(server, "a", 0.0)
    async with listening(source(server, "a", in_flight=32)) as heard:  # asyncua takes eleven
        await until(lambda: heard.values == [0.0])
        for number in range(1, 60):
            await write(server, node, float(number))
            await asyncio.sleep(0.01)
        await until(lambda: len(heard.values) == 60)
        assert heard.values == [float(number) for number in range(60)] and heard.line.stage is Stage.LIVE


@pytest.mark.pain(4)
async def test_events_of_the_time_away_are_read_from_the_servers_history(server: Server) -> None:
    kind = await server.create_custom_event_type(2, "Trouble", ua.ObjectIds.BaseEventType)
    emitter = await server.get_event_generator(kind, server.nodes.server)
    await server.historize_node_event(server.nodes.server, period=None, count=1000)
    await add(server, "a", 1.0)
    memory: dict[str, bytes] = {}
    event = [{"asset": "M", "name": "all"}]
    async with listening(source(server, "a", event=event), memory) as before:
        await until(lambda: before.line.stage is Stage.LIVE)
        await emitter.trigger(message="before")
        await until(lambda: before.says("before"))
    await unsubscribe(server)
    await emitter.trigger(message="meanwhile")
    async with listening(source(server, "a", event=event), memory) as now:
        await until(lambda: now.says("meanwhile") and now.gaps)
        await emitter.trigger(message="again")
        await until(lambda: now.says("again"))
    assert len(now.lines) == 2, "what was told before is not told again"
    assert [(gap.tags, gap.filled) for gap in now.gaps] == [((("M", "all"),), "history")]


@pytest.mark.pain(4)
async def test_on_an_idle_line_a_gap_starts_with_the_last_keep_alive(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("connectors.line.opcua.pump._NOTED_S", 0.2)
    node = await add(server, "a", 1.0)
    long_ago = datetime.now(UTC) - timedelta(hours=3)
    await server.write_attribute_value(node, ua.DataValue(ua.Variant(1.0), SourceTimestamp=long_ago))
    memory: dict[str, bytes] = {}
    async with listening(source(server, "a"), memory) as before:
        await until(lambda: before.values == [1.0] and "reached" in memory)
        first = memory["reached"]
        await until(lambda: memory["reached"] != first)
        known = moment(int.from_bytes(memory["reached"], "little"))
    assert known is not None and long_ago < known < datetime.now(UTC)
    await unsubscribe(server)
    await write(server, node, 2.0)
    async with listening(source(server, "a"), memory) as now:
        await until(lambda: now.gaps)
    [gap] = now.gaps
    assert (gap.start, now.values) == (known, [2.0])


async def test_a_namespace_that_moved_is_found_again(server: Server) -> None:
    await add(server, "a", 1.0)
    first = await gather(source(server, "a"), bool)
    other = Server()
    await other.init()
    other.set_endpoint("opc.tcp://127.0.0.1:0")
    other.set_security_policy([ua.SecurityPolicyType.NoSecurity])
    for uri in ("urn:before:1", "urn:before:2", URI):
        await other.register_namespace(uri)
    await add(other, "a", 2.0)
    async with other:
        second = await gather(source(other, "a"), bool)
    assert [next(first[0].values()).value, next(second[0].values()).value] == [1.0, 2.0]


async def test_values_survive_a_queue_of_thousands_in_one_publish(server: Server) -> None:
    node = await add(server, "a", 0.0)
    line = source(server, "a", queue=5000, publish="1s")
    taken: list[Batch] = []
    writer: asyncio.Task[None] | None = None

    async def write() -> None:
        for number in range(1, 3001):
            await server.write_attribute_value(node, ua.DataValue(ua.Variant(float(number))))

    with suppress(StopAsyncIteration):
        async with asyncio.timeout(20), aclosing(line.batches()) as batches:
            async for batch in batches:
                taken.append(batch)
                writer = writer or asyncio.create_task(write())
                if sum(batch.count for batch in taken) >= 3001:
                    break
    assert writer is not None
    await writer
    assert [it.value for batch in taken for it in batch.values()] == [float(n) for n in range(3001)]
