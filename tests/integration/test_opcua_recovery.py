"""OPC UA beyond the contract: acknowledged after the commit, nodes that come later, subscriptions that vanish."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, suppress

import pytest
from asyncua import Server, ua

from connectors.line.opcua import Settings
from connectors.line.opcua.source import OpcUa
from gateway.core.batch import Batch
from gateway.core.errors import Unreachable
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


def subscription_of(server: Server) -> object:
    [made] = [sub for sub in server.iserver.subscription_service.subscriptions.values() if sub.pub_request_callback]
    return made


async def test_a_message_is_acknowledged_only_after_its_commit(server: Server) -> None:
    node = await add(server, "a", 1.0)
    line = source(server, "a", in_flight=1)
    async with asyncio.timeout(15), aclosing(line.batches()) as batches:
        assert [*(await anext(batches)).values()][0].value == 1.0
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


async def test_a_subscription_deleted_on_the_server_is_a_lost_link(server: Server) -> None:
    await add(server, "a", 1.0)
    line = source(server, "a")
    seen = asyncio.Event()

    async def consume() -> None:
        async for _ in line.batches():
            seen.set()

    consumer = asyncio.create_task(consume())
    async with asyncio.timeout(10):
        await seen.wait()
    made = subscription_of(server)
    await server.iserver.subscription_service.delete_subscriptions([made.data.SubscriptionId])
    await asyncio.wait({consumer}, timeout=10)
    assert consumer.done() and isinstance(consumer.exception(), Unreachable)


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
