"""A gateway that is killed with -9 and comes back: every tick once, on servers that are not ours."""

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from connectors.opcua.pki import Pki, read_chain
from tests import opcua_papers
from tests.integration.test_opcua_security import certify
from tests.line_rigs import Process
from tests.node_opcua import NSU, PASSWORD, USER, NodeOpcua
from tests.opcua_gateway import Gateway, gaps_of, holes, series_of, twice

pytestmark = pytest.mark.timeout(180)
KILLS = int(os.environ.get("ANDON_LINK_KILLS", "1"))
QUICK = {"publish": "100ms", "keep_alive": "1s", "queue": 300, "timeout": "3s"}


@pytest.fixture(autouse=True)
def password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANDON_TEST_PASSWORD", PASSWORD)


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    return opcua_papers.gateway(tmp_path_factory.mktemp("papers") / "pki")


@asynccontextmanager
async def node_opcua(*options: str, trusted: Path | None = None) -> AsyncIterator[NodeOpcua]:
    server = NodeOpcua(*options)
    if trusted is not None:
        server.trust(trusted)
    try:
        await server.start()
        yield server
    finally:
        await asyncio.to_thread(server.clean)


@asynccontextmanager
async def gateway(folder: Path, **fields: object) -> AsyncIterator[Gateway]:
    made = Gateway(folder, **{**QUICK, **fields})
    try:
        yield made
    finally:
        await made.kill()


def tags(*names: str) -> list[dict[str, str]]:
    return [{"asset": "M", "tag": name, "address": NSU + name} for name in names]


def signed(pki: Pki) -> dict[str, object]:
    return {
        "pki": str(pki.folder),
        "policy": "Basic256Sha256",
        "user": {"name": USER, "password": {"env": "ANDON_TEST_PASSWORD"}},
    }


@pytest.fixture(scope="module")
def server() -> Iterator[NodeOpcua]:
    """One server in plain text for all that do not end theirs."""
    made = NodeOpcua()
    asyncio.run(made.start())
    yield made
    made.clean()


async def killed(killed: Gateway, *, times: int, away_s: float, values: int) -> dict[str, list[float]]:
    """Kill it under load; give what is in the journal at the end. No tick may be missing or twice there."""
    await killed.start(values=values)
    for _ in range(times):
        await killed.kill()
        await asyncio.sleep(away_s)
        await killed.start(values=values)
    await killed.kill()
    journal = await killed.journal()
    ticks = series_of(journal)
    assert (holes(ticks), twice(ticks), gaps_of(journal)) == ({}, {}, []), killed.log()
    return ticks


@pytest.mark.peer
@pytest.mark.pain(5)
async def test_a_killed_gateway_takes_up_its_signed_session_at_node_opcua(pki: Pki, tmp_path: Path) -> None:
    async with node_opcua("--secure", "--strict", "--user", trusted=pki.certificate) as server:
        pki.put(read_chain(server.certificate)[0])
        names = [f"t{number}" for number in range(10)]
        async with gateway(tmp_path, endpoint=server.url, tag=tags(*names), **signed(pki)) as gone:
            ticks = await killed(gone, times=KILLS, away_s=3, values=100)
            assert ticks.keys() == set(names)
            assert (await server.tell("count"))["created"] == 1, "the session was given back, no second one made"


@pytest.mark.peer
@pytest.mark.pain(5)
async def test_an_anonymous_gateway_in_plain_text_gets_its_session_back_too(server: NodeOpcua, tmp_path: Path) -> None:
    async with gateway(tmp_path, endpoint=server.url, insecure=True, tag=tags("t0", "t1", "h0")) as gone:
        await killed(gone, times=KILLS, away_s=1, values=20)


@pytest.fixture(scope="module")
def asyncua_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Process, Path]]:
    folder = tmp_path_factory.mktemp("asyncua")
    certify(folder, "server", "urn:test:server")
    server = Process("opcua", str(folder))
    yield server, folder
    server.end()


@pytest.mark.pain(5)
async def test_a_killed_gateway_takes_up_its_signed_session_at_asyncua(
    asyncua_server: tuple[Process, Path], pki: Pki, tmp_path: Path
) -> None:
    server, folder = asyncua_server
    await server.start()
    pki.put(read_chain(folder / "server.der")[0])
    tag = [{"asset": "M", "tag": "counter", "address": "nsu=urn:test:line;s=counter"}]
    url = f"opc.tcp://127.0.0.1:{server.port}"
    async with gateway(tmp_path, endpoint=url, tag=tag, **signed(pki)) as gone:
        ticks = await killed(gone, times=KILLS, away_s=2, values=20)
        assert len(ticks["counter"]) >= 40


@pytest.mark.peer
async def test_a_changed_tag_list_keeps_the_items_that_stay(server: NodeOpcua, tmp_path: Path) -> None:
    before = await server.tell("count")
    async with gateway(tmp_path, endpoint=server.url, insecure=True, tag=tags("t0", "t1", "t2")) as changed:
        await changed.start(values=20)
        await changed.kill()
        changed.configure(**QUICK, endpoint=server.url, insecure=True, tag=tags("t4", "t2", "t3", "t1"))
        await changed.start(values=40)
        told = await server.tell("count")
        await changed.kill()
        ticks = series_of(await changed.journal())
        assert (holes(ticks), twice(ticks)) == ({}, {}), changed.log()
        assert told["subscribed"] - before["subscribed"] == 1 and told["items"] - before["items"] == 4
        spans = {tag: (values[0], values[-1]) for tag, values in ticks.items()}
        assert spans["t0"][1] < spans["t3"][0], "t0 ended where t3 and t4 began"
        assert spans["t1"][0] == spans["t2"][0] == spans["t0"][0] and spans["t1"][1] == spans["t4"][1]


async def emptied(server: NodeOpcua) -> None:
    """Wait until the server has deleted every subscription."""
    async with asyncio.timeout(60):
        left = 1
        while left:
            await asyncio.sleep(0.1)
            left = (await server.tell("count"))["subscriptions"]


@pytest.mark.peer
@pytest.mark.pain(4, 5)
async def test_away_for_longer_than_the_subscription_lives_is_filled_from_history_or_marked(
    server: NodeOpcua, tmp_path: Path
) -> None:
    short = {**QUICK, "survive": "1s", "keep_alive": "200ms"}
    async with gateway(tmp_path, endpoint=server.url, insecure=True, tag=tags("t0", "h0", "h1"), **short) as gone:
        await server.tell("unsubscribe")
        await gone.start(values=10)
        await gone.kill()
        subscribed = (await server.tell("count"))["subscribed"]
        await emptied(server)
        await gone.start(values=100)
        assert (await server.tell("count"))["subscribed"] == subscribed + 1
        await gone.kill()
        journal = await gone.journal()
    ticks = series_of(journal)
    assert twice(ticks) == {}
    assert holes(ticks).keys() == {"t0"}, gone.log()
    [lost] = [gap for gap in gaps_of(journal) if not gap.filled]
    [filled] = [gap for gap in gaps_of(journal) if gap.filled]
    assert (lost.tags, filled.tags) == ((("M", "t0"),), (("M", "h0"), ("M", "h1")))
    assert lost.cause == filled.cause and lost.start < lost.end
