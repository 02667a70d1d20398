"""OPC UA items against node-opcua: groups, limits, deadbands, metadata; a bad node is named and kills no other."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from asyncua import Server, ua
from asyncua.common.utils import ServiceError

from connectors.line.board import Board
from connectors.line.opcua.about import about
from connectors.line.opcua.groups import plans
from connectors.line.opcua.monitor import Monitor
from connectors.line.opcua.profiles import limits_of, named, profile_of, profiles
from connectors.line.opcua.settings import Settings
from connectors.opcua.security import make_client
from tests.line_rigs import settings_of
from tests.node_opcua import NodeOpcua
from tests.opcua_listening import listening, settings, tag


@pytest.fixture(scope="module")
def server() -> Iterator[NodeOpcua]:
    server = NodeOpcua("--per-call=7", "--per-read=5", tags=40, period_ms=100)
    yield server
    server.clean()


@pytest.fixture
async def peer(server: NodeOpcua) -> NodeOpcua:
    await server.start()
    await server.tell("set", "press.Temperature", 20)
    return server


@pytest.mark.peer
@pytest.mark.pain(13, 19)
async def test_a_server_that_takes_seven_items_a_call_gets_seven_and_one_bad_node_is_named_alone(
    peer: NodeOpcua,
) -> None:
    tags = [tag(f"t{place}") for place in range(40)]
    async with listening(settings(peer.url, *tags, tag("gone"))) as heard:
        await heard.until(lambda: all(heard.values(f"t{place}") for place in range(40)))
        await heard.until(lambda: heard.state("gone").detail)
        assert heard.state("gone").detail == "BadNodeIdUnknown"
        assert not heard.state("gone").healthy
        assert all(heard.state(f"t{place}").healthy for place in range(40))


@pytest.mark.peer
async def test_each_publishing_interval_has_a_subscription_of_its_own(peer: NodeOpcua) -> None:
    group = [{"name": "slow", "publish": "1s", "priority": 3}, {"name": "also", "publish": "50ms", "queue": 5}]
    tags = [tag("t0"), tag("t1", group="slow"), tag("t2", group="also")]
    made = (await peer.tell("count"))["subscribed"]
    async with listening(settings(peer.url, *tags, group=group)) as heard:
        await heard.until(lambda: len(heard.values("t0")) > 12 and len(heard.values("t1")) > 12)
        assert (await peer.tell("count"))["subscribed"] == made + 2
        for name in ("t0", "t1", "t2"):
            ticks = heard.values(name)
            assert ticks == [ticks[0] + n for n in range(len(ticks))], f"{name} lost a tick"


@pytest.mark.peer
async def test_unit_and_range_come_from_the_server_where_the_settings_are_silent(peer: NodeOpcua) -> None:
    tags = [tag("press.Temperature"), tag("press.Pressure", unit="kPa", scale=100), tag("t0", unit="mm")]
    async with listening(settings(peer.url, *tags)) as heard:
        await heard.until(lambda: heard.values("press.Temperature") and heard.values("press.Pressure"))
        units = {it.tag: it.unit for batch in heard.batches for it in batch.values()}
        assert (units["press.Temperature"], units["press.Pressure"], units["t0"]) == ("°C", "kPa", "mm")
        await peer.tell("set", "press.Temperature", 251)  # beyond what the instrument can give
        await heard.until(lambda: heard.readings("press.Temperature")[-1].value is None)
        assert heard.readings("press.Temperature")[-1].why == "out of range"


@pytest.mark.peer
@pytest.mark.parametrize("deadband", [10, "5%"])
@pytest.mark.parametrize("profile", ["node-opcua", "asyncua"])
async def test_a_deadband_holds_whoever_keeps_it(peer: NodeOpcua, deadband: object, profile: str) -> None:
    group = [{"name": "calm", "deadband": deadband}]
    wanted = settings(peer.url, tag("press.Temperature", group="calm"), group=group, profile=profile)
    async with listening(wanted) as heard:
        await heard.until(lambda: heard.values("press.Temperature"))
        for value in (22, 25, 29, 31, 33, 36, 40.5, 42):  # a slow ramp: 20 -> 31 -> 42
            await peer.tell("set", "press.Temperature", value)
            await asyncio.sleep(0.12)
        await heard.until(lambda: len(heard.values("press.Temperature")) >= 3)
        assert heard.values("press.Temperature") == [20, 31, 42]
        told = heard.state("press.Temperature").detail
        assert ("the gateway keeps the deadband" in told) is (profile == "asyncua")


@pytest.mark.peer
async def test_a_deadband_in_per_cent_of_no_range_is_said_not_to_be_kept(peer: NodeOpcua) -> None:
    async with listening(
        settings(peer.url, tag("t0", group="calm"), group=[{"name": "calm", "deadband": "5%"}])
    ) as heard:
        await heard.until(lambda: len(heard.values("t0")) > 2)
        assert "no EURange" in heard.state("t0").detail


@pytest.mark.peer
async def test_what_the_server_revises_is_said_by_name() -> None:
    server = NodeOpcua("--min-sampling=500", tags=2)
    await server.start()
    try:
        async with listening(settings(server.url, tag("t0", every="50ms"), tag("press.Temperature"))) as heard:
            await heard.until(lambda: heard.values("t0"))
            assert heard.state("t0").detail == "the server samples every 500 ms, not every 50 ms"
            assert heard.state("press.Temperature").detail == ""
    finally:
        server.clean()


@pytest.mark.peer
@pytest.mark.pain(17)
async def test_a_node_that_goes_and_comes_back_is_tried_alone_with_growing_pauses(peer: NodeOpcua) -> None:
    async with listening(settings(peer.url, tag("t0"), tag("t1"))) as heard:
        await heard.until(lambda: heard.values("t0") and heard.values("t1"))
        await peer.tell("remove", 1)
        await heard.until(lambda: not heard.state("t1").healthy)
        before = len(heard.values("t0"))
        await heard.until(lambda: len(heard.values("t0")) > before + 3)
        await peer.tell("restore", 1)
        count = len(heard.values("t1"))
        await heard.until(lambda: len(heard.values("t1")) > count + 2)
        assert heard.state("t1").healthy


@asynccontextmanager
async def asyncua_server(names: int) -> AsyncIterator[Server]:
    server = Server()
    await server.init()
    server.set_endpoint("opc.tcp://127.0.0.1:0")
    server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
    index = await server.register_namespace("urn:peer:line")
    for place in range(names):
        await server.nodes.objects.add_variable(ua.NodeId(f"t{place}", index), f"t{place}", float(place))
    async with server:
        yield server


@pytest.mark.pain(13)
async def test_a_node_that_fails_every_call_that_holds_it_is_found_by_halving() -> None:
    async with asyncua_server(50) as server:
        service = server.iserver.subscription_service
        calls: list[int] = []
        honest = service.create_monitored_items

        async def brittle(params: Any, *rest: Any) -> Any:
            names = [item.ItemToMonitor.NodeId.Identifier for item in params.ItemsToCreate]
            calls.append(len(names))
            if "t33" in names:
                raise ServiceError(ua.StatusCodes.BadEncodingLimitsExceeded)
            return await honest(params, *rest)

        service.create_monitored_items = brittle
        url = f"opc.tcp://127.0.0.1:{server.bserver.port}"
        async with listening(settings(url, *(tag(f"t{place}", unit="x") for place in range(50)))) as heard:
            await heard.until(lambda: all(heard.values(f"t{place}") for place in range(50) if place != 33))
            await heard.until(lambda: heard.state("t33").detail.startswith("BadEncodingLimitsExceeded"))
            assert calls[0] == 50
            await heard.until(lambda: calls[-1] == 1 and sum(calls[-3:]) == 3)  # from then on it is asked for alone


async def test_missing_nodes_rest_longer_after_each_try() -> None:
    async with asyncua_server(1) as server:
        wanted = settings(f"opc.tcp://127.0.0.1:{server.bserver.port}", tag("late", unit="x"))
        clock = [0.0]
        board = Board("cell", wanted.tag)
        monitor = Monitor(wanted, wanted.tag, board, clock=lambda: clock[0])
        client = await make_client(wanted)
        async with client:
            monitor.about = await about(client)
            made = await client.create_subscription(100, None)
            asked = []
            session = client.uaclient.session
            honest = session.create_monitored_items

            async def counting(params: Any) -> Any:
                asked.append(clock[0])
                return await honest(params)

            session.create_monitored_items = counting
            for _ in range(40):
                await monitor.mend(client, made.subscription_id)
                clock[0] += 0.2
        pauses = [later - earlier for earlier, later in itertools.pairwise(asked)]
        assert len(asked) in {5, 6} and all(b > a for a, b in itertools.pairwise(pauses)), asked


def test_plans_are_the_same_for_the_same_settings_and_no_larger_than_the_server_allows() -> None:
    group = [{"name": "slow", "publish": "1s"}, {"name": "urgent", "priority": 9}]
    tags = [tag(f"t{place}", group=("", "slow", "urgent")[place % 3]) for place in range(30)]
    wanted = settings("opc.tcp://h:1", *tags, group=group)
    made = plans(wanted, wanted.tag, 4)
    assert made == plans(wanted, wanted.tag, 4)
    assert max(len(plan.places) for plan in made) == 4
    assert sorted(place for plan in made for place in plan.places) == list(range(30))
    assert [(plan.publish, plan.priority) for plan in made][:1] == [(0.05, 9)]
    assert len({plan.name for plan in made}) == len(made) == 9
    assert len(plans(wanted, wanted.tag)) == 3


@pytest.mark.pain(19)
def test_profiles_are_data_chosen_by_what_the_server_says_and_the_smaller_limit_holds() -> None:
    assert profile_of(["Siemens AG", "SIMATIC S7-1200 OPC UA Server", ""]).name == "s7-1200"
    assert profile_of(["PTC", "KEPServerEX/V6", ""]).name == "kepware"
    assert profile_of(["somebody", "something", ""]).name == "standard"
    small = limits_of(named("s7-1200"), {"MaxMonitoredItemsPerCall": 1000, "MaxNodesPerRead": 50})
    assert (small.items_per_call, small.nodes_per_read, small.items_per_subscription) == (100, 50, 1000)
    free = limits_of(named("standard"), {})
    assert min(free.items_per_call, free.nodes_per_read, free.nodes_per_browse) >= 1
    assert {"s7-1200", "s7-1500", "b-and-r", "beckhoff", "kepware"} <= {profile.name for profile in profiles()}


@pytest.mark.pain(21)
@pytest.mark.parametrize(
    ("more", "fault"),
    [
        ({"tag": [tag("a", group="fats")], "group": [{"name": "fast"}]}, "no group 'fats'; there are: fast"),
        ({"group": [{"name": "x"}, {"name": "x"}]}, "group x stands twice"),
        ({"group": [{"name": "x", "deadband": "120%"}]}, "0% to 100%"),
        ({"group": [{"name": "x", "deadband": -1}]}, "number from 0"),
        ({"profile": "s7"}, "no profile 's7'; known: asyncua"),
        ({"target": [{"name": "x", "node": "i=1", "type": "Int16"}]}, "needs low and high"),
        ({"target": [{"name": "x", "node": "i=1", "type": "Int16", "low": 0, "high": 70000}]}, "-32768 to 32767"),
        ({"target": [{"name": "x", "type": "Boolean"}]}, "give node, or object and method"),
        ({"target": [{"name": "x", "node": "ns=2;s=a", "type": "Boolean"}]}, "nsu="),
        ({"event": [{"asset": "M"}, {"asset": "N"}]}, "event events stands twice"),
        ({"event": [{"asset": "M", "types": ["AlarmType"]}]}, "not a node address"),
    ],
)
def test_what_is_wrong_with_groups_events_and_targets_is_said_at_once(more: dict[str, Any], fault: str) -> None:
    fields: dict[str, Any] = {"tag": [tag("a")], **more}
    with pytest.raises(Exception, match=fault):
        settings_of(Settings, name="x", endpoint="opc.tcp://h:1", insecure=True, **fields)


@pytest.mark.peer
async def test_a_subscription_that_is_taken_over_knows_units_and_deadbands_again(peer: NodeOpcua) -> None:
    group = [{"name": "calm", "deadband": 10}]
    wanted = settings(peer.url, tag("press.Temperature", group="calm"), tag("t0"), group=group, profile="asyncua")
    async with listening(wanted) as heard:
        await heard.until(lambda: heard.values("press.Temperature") and heard.values("t0"))
        memory = heard.memory
    made = (await peer.tell("count"))["subscribed"]
    async with listening(wanted, memory) as again:  # the peer greets the session with every value once more
        await again.until(lambda: len(again.values("t0")) > 2)
        for value in (60, 65, 72):
            await peer.tell("set", "press.Temperature", value)
            await asyncio.sleep(0.12)
        await again.until(lambda: 72 in again.values("press.Temperature"))
        assert again.values("press.Temperature") == [60, 72]
        assert again.readings("press.Temperature")[0].unit == "°C"
    assert (await peer.tell("count"))["subscribed"] == made, "a new subscription was made"
