"""The link to a server that is not ours is cut, frozen, delayed, robbed of its subscription and its session."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest
from asyncua import ua

from connectors.line.opcua import Settings
from connectors.line.opcua.link import Stage
from gateway.core.batch import Batch, TagState
from gateway.core.errors import Unreachable
from tests.faulty_link import FaultyLink
from tests.line_rigs import settings_of, until
from tests.node_opcua import NSU, NodeOpcua
from tests.opcua_gateway import Line, gaps_of, holes, running, series_of, twice

pytestmark = [pytest.mark.timeout(180), pytest.mark.peer]
QUICK = {"insecure": True, "publish": "50ms", "keep_alive": "500ms", "queue": 500, "timeout": "2s", "retry": "300ms"}


def tags(*names: str) -> list[dict[str, str]]:
    return [{"asset": "M", "tag": name, "address": NSU + name} for name in names]


@asynccontextmanager
async def node_opcua(*options: str, count: int = 10, period_ms: int = 50) -> AsyncIterator[NodeOpcua]:
    server = NodeOpcua(*options, tags=count, period_ms=period_ms)
    try:
        await server.start()
        yield server
    finally:
        await asyncio.to_thread(server.clean)


@pytest.fixture(scope="module")
def server() -> Iterator[NodeOpcua]:
    """One server for all that do not end theirs; what one test leaves on it does not matter to the next."""
    made = NodeOpcua("--token=2000", tags=10, period_ms=50)
    asyncio.run(made.start())
    yield made
    made.clean()


@asynccontextmanager
async def through(
    server: NodeOpcua, folder: Path, *names: str, **more: object
) -> AsyncIterator[tuple[FaultyLink, Line]]:
    """Run a line through a proxy."""
    async with FaultyLink("127.0.0.1", server.port).open() as proxy:
        url = f"opc.tcp://127.0.0.1:{proxy.port}"
        async with running(folder, endpoint=url, tag=tags(*names), **{**QUICK, **more}) as line:
            await line.live()
            yield proxy, line


def opened(line: Line, before: int) -> bool:
    return len(line.sources) > before


def state(line: Line, name: str) -> TagState:
    [found] = [it for it in line.source.tags() if it.name == f"M/{name}"]
    return found


@pytest.mark.pain(1, 2, 3)
async def test_cut_links_cost_no_value_and_no_session(server: NodeOpcua, tmp_path: Path) -> None:
    before = await server.tell("count")
    async with through(server, tmp_path, "t0", "t1", "h0") as (proxy, line):
        for outage_s in (2.0, 0.0, 0.0):
            await line.more(20)
            proxy.faults.refuse = bool(outage_s)
            proxy.cut()
            await until(partial(opened, line, len(line.sources)), 20)
            await asyncio.sleep(outage_s)
            proxy.faults.refuse = False
            await line.live()
        await line.more(60)
        told = await server.tell("count")
        assert line.whole(), (holes(line.ticks()), twice(line.ticks()))
        assert told["created"] - before["created"] == 1, "one session for every link"
        assert told["subscribed"] - before["subscribed"] == 1, "and one subscription"
        assert len(line.sources) > 3, "and every link has a client of its own"


@pytest.mark.pain(1)
async def test_a_link_that_carries_nothing_any_more_is_noticed_and_nothing_is_lost(
    server: NodeOpcua, tmp_path: Path
) -> None:
    async with through(server, tmp_path, "t0", "t1") as (proxy, line):
        await line.more(20)
        proxy.faults.frozen = True
        first = line.source
        await until(lambda: line.source is not first, 20)
        proxy.faults.frozen = False
        proxy.cut()
        await until(lambda: line.source.stage is Stage.LIVE, 60)
        await line.more(40)
        assert line.whole(), (holes(line.ticks()), twice(line.ticks()))


@pytest.mark.pain(1, 12)
async def test_a_frozen_server_makes_its_tags_unhealthy_and_loses_nothing(server: NodeOpcua, tmp_path: Path) -> None:
    async with through(server, tmp_path, "t0", "t1") as (_, line):
        await line.more(20)
        assert state(line, "t0").healthy
        server.freeze()
        first = line.source
        await until(lambda: line.source is not first, 20)
        assert not state(line, "t0").healthy
        server.thaw()
        await line.live()
        await line.more(40)
        assert state(line, "t0").healthy
        assert line.whole(), (holes(line.ticks()), twice(line.ticks()))


@pytest.mark.pain(1)
async def test_a_subscription_deleted_on_the_server_is_made_anew_in_the_same_session(
    server: NodeOpcua, tmp_path: Path
) -> None:
    before = await server.tell("count")
    async with through(server, tmp_path, "t0", "h0", "h1") as (_, line):
        await line.more(20)
        await server.tell("unsubscribe")
        await until(lambda: len(gaps_of(line.batches)) == 2, 30)
        await line.live()
        told = await server.tell("count")
        assert (told["created"] - before["created"], told["subscribed"] - before["subscribed"]) == (1, 2)
        assert len(line.sources) == 1
        ticks = line.ticks()
        assert holes(ticks).keys() <= {"t0"} and not twice(ticks)
        assert {(gap.tags[0][1], gap.filled) for gap in gaps_of(line.batches)} == {("t0", ""), ("h0", "history")}


@pytest.mark.pain(1)
@pytest.mark.parametrize("subscriptions", ["gone", "keep"])
async def test_a_session_dropped_by_the_server_is_followed_by_another(
    server: NodeOpcua, tmp_path: Path, subscriptions: str
) -> None:
    before = await server.tell("count")
    async with through(server, tmp_path, "t0", "h0") as (_, line):
        await line.more(20)
        await server.tell("drop", subscriptions)
        await until(lambda: len(line.sources) > 1, 20)
        await line.live()
        await line.more(40)
        if subscriptions == "gone":
            await until(lambda: len(gaps_of(line.batches)) == 2, 30)
        told = await server.tell("count")
        assert told["created"] - before["created"] == 2
        assert told["subscribed"] - before["subscribed"] == (1 if subscriptions == "keep" else 2)
        ticks = line.ticks()
        assert not twice(ticks) and "h0" not in holes(ticks)
        assert subscriptions == "gone" or not holes(ticks), "the subscription was taken over from the session before"


@pytest.mark.pain(1, 13)
async def test_a_node_that_goes_and_comes_back_is_listened_to_again(server: NodeOpcua, tmp_path: Path) -> None:
    async with through(server, tmp_path, "t0", "t1") as (_, line):
        await line.more(10)
        await server.tell("remove", 1)
        await until(lambda: not state(line, "t1").healthy, 20)
        before = len(line.ticks()["t1"])
        await line.more(20)
        await server.tell("restore", 1)
        await until(lambda: len(line.ticks()["t1"]) > before + 3, 30)
        ticks = line.ticks()
        assert not holes({"t0": ticks["t0"]}) and not twice(ticks), "its neighbour never stopped"


async def test_a_thousand_tags_at_ten_hertz_over_a_slow_link_lose_nothing(tmp_path: Path) -> None:
    names = [f"t{number}" for number in range(1000)]
    async with (
        node_opcua(count=1000, period_ms=100) as server,
        through(server, tmp_path, *names, publish="100ms", in_flight=10, timeout="10s", keep_alive="2s") as (
            proxy,
            line,
        ),
    ):
        proxy.faults.delay = 0.025
        await line.more(25_000)
        assert line.whole()
        assert len(line.sources) == 1 and not gaps_of(line.batches)


async def test_a_channel_renewed_under_load_loses_nothing(server: NodeOpcua, tmp_path: Path) -> None:
    async with through(server, tmp_path, "t0", "t1", "h0") as (_, line):
        await asyncio.sleep(5)  # three renewals
        await line.more(10)
        assert line.whole() and len(line.sources) == 1


@pytest.mark.pain(4)
async def test_a_restarted_server_leaves_a_gap_that_its_history_fills(server: NodeOpcua, tmp_path: Path) -> None:
    async with through(server, tmp_path, "t0", "t1", "h0", "h1") as (_, line):
        await line.more(20)
        await server.kill()
        await server.start()
        await until(lambda: len(gaps_of(line.batches)) == 2, 60)
        await line.more(40)
        ticks = line.ticks()
        assert holes(ticks).keys() == {"t0", "t1"} and not twice(ticks)
        lost, filled = sorted(gaps_of(line.batches), key=lambda gap: gap.filled)
        assert {tag for _, tag in lost.tags} == {"t0", "t1"} and {tag for _, tag in filled.tags} == {"h0", "h1"}
        assert lost.cause == filled.cause == "the server was restarted" and lost.start < lost.end


async def test_a_gap_is_only_marked_when_it_is_asked_to_be(server: NodeOpcua, tmp_path: Path) -> None:
    async with through(server, tmp_path, "h0", on_gap="mark") as (_, line):
        await line.more(10)
        await server.tell("unsubscribe")
        await until(lambda: gaps_of(line.batches), 30)
        [gap] = gaps_of(line.batches)
        assert not gap.filled and holes(line.ticks()).keys() <= {"h0"}


@pytest.mark.pain(1, 4)
async def test_of_a_set_of_servers_one_that_is_well_is_listened_to(server: NodeOpcua, tmp_path: Path) -> None:
    async with node_opcua(period_ms=50) as second:
        fields = {**QUICK, "endpoint": server.url, "endpoints": [second.url], "tag": tags("t0", "h0")}
        async with running(tmp_path, **fields) as line:
            await line.live()
            await line.more(20)
            assert (await second.tell("count"))["subscriptions"] == 0, "one of the set is listened to"
            await server.tell("level", 100)
            await until(lambda: len(gaps_of(line.batches)) == 2, 60)
            await line.live()
            assert (await second.tell("count"))["subscriptions"] == 1, "the better one"
            await second.kill()
            await until(lambda: len(gaps_of(line.batches)) == 4, 60)
            await line.live()
            assert {gap.cause for gap in gaps_of(line.batches)} == {"another server of the set"}
            ticks = line.ticks()
            assert holes(ticks).keys() <= {"t0"} and not twice(ticks), "history closes what it can"
    await server.tell("level", 255)


@pytest.mark.pain(4)
async def test_the_preferred_server_is_gone_back_to_when_it_has_been_well_for_a_while(
    server: NodeOpcua, tmp_path: Path
) -> None:
    await server.tell("level", 100)
    try:
        async with node_opcua(period_ms=50) as second:
            fields = {**QUICK, "endpoint": server.url, "endpoints": [second.url], "tag": tags("h0")}
            async with running(tmp_path, **fields, go_back="1s") as line:
                await line.live()
                await line.more(20)
                assert (await second.tell("count"))["subscriptions"] == 1, "the better one is listened to"
                assert len(line.sources) == 1, "an ailing server is not gone back to"
                await server.tell("level", 255)
                await until(lambda: gaps_of(line.batches), 60)
                await line.live()
                await line.more(10)
                ticks = line.ticks()
                assert not holes(ticks) and not twice(ticks), "its history has what was missed on the way"
                assert {gap.cause for gap in gaps_of(line.batches)} == {"another server of the set"}
                assert (len(line.sources), line.source.endpoint) == (2, server.url)
    finally:
        await server.tell("level", 255)


@pytest.mark.pain(3)
async def test_a_server_of_a_set_that_does_not_tell_how_it_is_keeps_no_session_of_ours(
    server: NodeOpcua, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def mute(_: object) -> int:
        raise ua.UaStatusCodeError(ua.StatusCodes.BadTimeout)

    before = (await server.tell("count"))["sessions"]
    settings = settings_of(
        Settings, name="cell", endpoint=server.url, endpoints=[server.url + "/"], tag=tags("t0"), **QUICK
    )
    monkeypatch.setattr("connectors.line.opcua.redundancy.level_of", mute)
    with pytest.raises(Unreachable, match="no server of the set"):
        await heard(settings, {}, bool)
    assert (await server.tell("count"))["sessions"] == before


@pytest.mark.pain(2)
async def test_a_server_that_takes_the_call_and_never_speaks_ends_the_try(server: NodeOpcua, tmp_path: Path) -> None:
    async with FaultyLink("127.0.0.1", server.port).open() as proxy:
        proxy.faults.frozen = True
        url = f"opc.tcp://127.0.0.1:{proxy.port}"
        async with running(tmp_path, endpoint=url, tag=tags("t0"), **{**QUICK, "timeout": "500ms"}) as line:
            await until(lambda: len(line.sources) > 2, 30)
            proxy.faults.frozen = False
            await line.live()


async def heard(settings: Settings, memory: dict[str, bytes], enough: Callable[[list[Batch]], object]) -> list[Batch]:
    """Listen until it is enough, and be gone in that moment: what was not taken is not committed."""
    source = settings.open()
    taken: list[Batch] = []
    try:
        async with asyncio.timeout(60):
            async for batch in source.batches(dict(memory)):
                memory.update(batch.memory)
                taken.append(batch)
                if enough(taken):
                    break
    finally:
        await source.close()
    return taken


@pytest.mark.pain(4, 5)
async def test_a_gateway_that_ends_while_it_reads_history_goes_on_where_it_was(
    server: NodeOpcua, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("connectors.line.opcua.history._PAGE", 10)
    settings = settings_of(Settings, name="cell", endpoint=server.url, tag=tags("h0", "h1"), **QUICK)
    memory: dict[str, bytes] = {}

    def some(taken: list[Batch]) -> bool:
        return "h0" in series_of(taken) or bool(gaps_of(taken))

    batches = await heard(settings, memory, lambda taken: len(series_of(taken).get("h0", [])) > 20)
    await server.tell("unsubscribe")
    await asyncio.sleep(2.5)  # the outage: fifty values of each tag
    for _ in range(100):
        batches += await heard(settings, memory, some)
        if gaps_of(batches):
            break
    ticks = series_of(batches)
    assert not holes(ticks) and not twice(ticks)
    assert {gap.filled for gap in gaps_of(batches)} == {"history"}
