"""A signed link that is cut while the gateway lives, and an asyncua server that is restarted."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from asyncua import Server, ua
from asyncua.server.history import HistoryDict

from connectors.opcua.pki import Pki, read_chain
from tests import opcua_papers
from tests.faulty_link import FaultyLink
from tests.integration.test_opcua_security import certify
from tests.line_rigs import Process, free_port, until
from tests.node_opcua import NSU, PASSWORD, USER, NodeOpcua
from tests.opcua_gateway import gaps_of, holes, running, twice

pytestmark = pytest.mark.timeout(180)
CUT_S = float(os.environ.get("ANDON_LINK_CUT_S", "1"))
"""How long the link is cut in a test; the accepted figure is for 5 s."""
QUICK = {"publish": "50ms", "keep_alive": "500ms", "queue": 500, "timeout": "3s", "retry": "300ms"}
URI = "urn:test:restarted"
HISTORIZED = ua.NodeId("h", 2)

Peer = Callable[[Path, Pki], AbstractAsyncContextManager[tuple[int, list[str]]]]


@asynccontextmanager
async def node_opcua(_: Path, pki: Pki) -> AsyncIterator[tuple[int, list[str]]]:
    """A strict peer; gives its port and the addresses of its counters."""
    server = NodeOpcua("--secure", "--strict", "--user", tags=4, period_ms=50)
    server.trust(pki.certificate)
    try:
        await server.start()
        pki.put(read_chain(server.certificate)[0])
        yield server.port, [f"{NSU}t{number}" for number in range(4)]
    finally:
        await asyncio.to_thread(server.clean)


@asynccontextmanager
async def asyncua(folder: Path, pki: Pki) -> AsyncIterator[tuple[int, list[str]]]:
    """A stock server; gives its port and the address of its counter."""
    certify(folder, "server", "urn:test:server")
    server = Process("opcua", str(folder))
    try:
        await server.start()
        pki.put(read_chain(folder / "server.der")[0])
        yield server.port, ["nsu=urn:test:line;s=counter"]
    finally:
        await server.kill()


@pytest.mark.pain(1, 2, 3)
@pytest.mark.parametrize("peer", [pytest.param(node_opcua, marks=pytest.mark.peer), asyncua])
async def test_a_signed_link_that_is_cut_leaves_no_gap_and_no_duplicate(
    peer: Peer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANDON_TEST_PASSWORD", PASSWORD)
    pki = opcua_papers.gateway(tmp_path / "pki")
    async with peer(tmp_path, pki) as (port, addresses), FaultyLink("127.0.0.1", port).open() as proxy:
        fields = {
            **QUICK,
            "endpoint": f"opc.tcp://127.0.0.1:{proxy.port}",
            "pki": str(pki.folder),
            "policy": "Basic256Sha256",
            "user": {"name": USER, "password": {"env": "ANDON_TEST_PASSWORD"}},
            "tag": [{"asset": "M", "tag": address[-2:], "address": address} for address in addresses],
        }
        async with running(tmp_path, **fields) as line:
            await line.live()
            await line.more(20)
            proxy.faults.refuse = True
            proxy.cut()
            await asyncio.sleep(CUT_S)
            proxy.faults.refuse = False
            await until(lambda: len(line.sources) > 1, 30)
            await line.live()
            await line.more(40)
            assert line.whole() and not gaps_of(line.batches), (holes(line.ticks()), gaps_of(line.batches))


def said(value: float) -> ua.DataValue:
    now = datetime.now(UTC)
    return ua.DataValue(ua.Variant(value, ua.VariantType.Double), SourceTimestamp=now, ServerTimestamp=now)


@asynccontextmanager
async def historian(port: int, storage: HistoryDict, first: int) -> AsyncIterator[None]:
    """A server that counts up from `first` on two tags; one of them has a history, which outlives the server."""
    server = Server()
    await server.init()
    server.set_endpoint(f"opc.tcp://127.0.0.1:{port}")
    server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
    index = await server.register_namespace(URI)
    add = server.nodes.objects.add_variable
    nodes = [await add(ua.NodeId(name, index), name, 0.0) for name in ("h", "t")]
    level = ua.AccessLevel.CurrentRead.mask | ua.AccessLevel.HistoryRead.mask
    await nodes[0].write_attribute(ua.AttributeIds.AccessLevel, ua.DataValue(ua.Variant(level, ua.VariantType.Byte)))
    server.iserver.history_manager.set_storage(storage)

    async def tell(number: int) -> None:
        value = said(float(number))
        await storage.save_node_value(HISTORIZED, value)
        for node in nodes:
            await server.write_attribute_value(node.nodeid, value)

    async def count() -> None:
        number = first
        while True:
            await asyncio.sleep(0.05)
            number += 1
            await tell(number)

    await tell(first)
    async with server:
        counting = asyncio.create_task(count())
        try:
            yield
        finally:
            counting.cancel()
            await asyncio.wait({counting})


@pytest.mark.pain(4)
async def test_a_restarted_asyncua_leaves_a_gap_that_its_history_fills_where_there_is_one(tmp_path: Path) -> None:
    port, storage = free_port(), HistoryDict()
    await storage.new_historized_node(HISTORIZED, period=None)
    tag = [{"asset": "M", "tag": name, "address": f"nsu={URI};s={name}"} for name in ("h", "t")]
    url = f"opc.tcp://127.0.0.1:{port}"
    async with running(tmp_path, endpoint=url, insecure=True, tag=tag, **QUICK) as line:
        async with historian(port, storage, 1):
            await line.live()
            await line.more(10)
        [newest, *_], _ = await storage.read_node_history(HISTORIZED, None, None, 0)
        last = int(newest.Value.Value)
        for number in range(last + 1, last + 6):  # what the machine did while its server was away
            await storage.save_node_value(HISTORIZED, said(float(number)))
        async with historian(port, storage, last + 6):
            await until(lambda: len(gaps_of(line.batches)) >= 2, 60)
            await line.more(10)
    ticks = line.ticks()
    assert "h" not in holes(ticks) and not twice(ticks)
    lost, filled = sorted(gaps_of(line.batches), key=lambda gap: gap.filled)
    assert (lost.tags, lost.filled, filled.tags, filled.filled) == ((("M", "t"),), "", (("M", "h"),), "history")
    assert lost.cause == filled.cause == "the server was restarted" and lost.start < lost.end
