"""Events, alarms and conditions of node-opcua as log lines and a table; acknowledged only where that is declared."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from connectors.line.opcua.conditions import Conditions, Happening, severity_of, text_of
from connectors.line.opcua.wishes import EventWish
from gateway.core.errors import Doubtful, Refused, Unreachable
from gateway.runtime.line import Line
from tests.integration.edge_rig import bearer, serving
from tests.line_rigs import until
from tests.node_opcua import NSU, NodeOpcua
from tests.opcua_listening import listening, settings

ALL = {"asset": "M-07"}
NOW = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def server() -> Iterator[NodeOpcua]:
    server = NodeOpcua("--alarm", "--still", tags=2)
    yield server
    server.clean()


@pytest.fixture
async def peer(server: NodeOpcua) -> NodeOpcua:
    await server.start()
    return server


@pytest.mark.peer
async def test_an_alarm_comes_as_log_lines_with_its_state_and_lives_in_the_table(peer: NodeOpcua) -> None:
    await peer.tell("sine", 0)
    async with listening(settings(peer.url, event=[{**ALL, "acknowledge": True}])) as heard:
        await heard.until(lambda: all(state.healthy for state in heard.source.tags()))
        await peer.tell("sine", 99)
        await heard.until(lambda: any("active HighHigh" in line.text for line in heard.lines))
        line = next(line for line in heard.lines if "active HighHigh" in line.text)
        assert line.asset == "M-07" and "Hot" in line.text and "unacknowledged" in line.text
        assert line.severity <= 5 and line.sourced_at is not None
        await heard.until(heard.source.conditions)
        [row] = heard.source.conditions()
        assert (row.name, row.active, row.acknowledged) == ("Hot", True, False)

        assert heard.source.targets() == ["acknowledge.events"]
        assert await heard.source.write("acknowledge.events", [row.event_id, "seen, mechanic called"]) == []
        await heard.until(lambda: [it.acknowledged for it in heard.source.conditions()] == [True])
        with pytest.raises(Refused):
            await heard.source.write("acknowledge.events", [row.event_id, "again"])

        await peer.tell("sine", 0)
        await heard.until(lambda: any("inactive" in line.text for line in heard.lines))
        over = [line for line in heard.lines if "inactive" in line.text]
        assert min(line.severity for line in over) >= 5, "what is over is no alarm"


@pytest.mark.peer
async def test_a_condition_that_is_active_already_is_told_at_the_start_and_only_once(peer: NodeOpcua) -> None:
    await peer.tell("sine", 90)
    async with listening(settings(peer.url, event=[ALL])) as heard:
        await heard.until(heard.source.conditions)
        await heard.until(lambda: "events" in heard.memory)
        told = len(heard.lines)
        memory = {name: value for name, value in heard.memory.items() if name == "events"}
    assert told >= 1
    async with listening(settings(peer.url, event=[ALL]), memory) as again:
        await again.until(again.source.conditions)
        await peer.tell("event", 700, "marker")
        await again.until(lambda: any("marker" in line.text for line in again.lines))
        assert [line.text for line in again.lines if "Hot" in line.text] == [], "a refresh is no new alarm"
    await peer.tell("sine", 0)


@pytest.mark.peer
async def test_plain_events_are_sifted_by_severity_type_and_source(peer: NodeOpcua) -> None:
    events = [
        {"asset": "A", "name": "loud", "severity_from": 600},
        {"asset": "B", "name": "alarms", "types": ["i=2915"]},
        {"asset": "C", "name": "device", "source": NSU + "device"},
    ]
    async with listening(settings(peer.url, event=events)) as heard:
        await heard.until(lambda: all(state.healthy for state in heard.source.tags()))
        await peer.tell("event", 300, "quiet", "听不见")
        await peer.tell("event", 800, "loud", "压力过高")
        await peer.tell("sine", 99)
        await heard.until(lambda: any(line.asset == "B" for line in heard.lines))
        await heard.until(lambda: any("loud" in line.text for line in heard.lines if line.asset == "C"))
        said = {asset: " | ".join(line.text for line in heard.lines if line.asset == asset) for asset in "ABC"}
        assert "loud 压力过高" in said["A"] and "quiet" not in said["A"]
        assert "Hot" in said["B"] and "loud" not in said["B"]
        assert "quiet 听不见" in said["C"] and "loud 压力过高" in said["C"]
    await peer.tell("sine", 0)


@pytest.mark.peer
async def test_a_source_of_events_that_is_not_there_is_named_and_the_others_come(peer: NodeOpcua) -> None:
    events = [{"asset": "A", "name": "gone", "source": "nsu=urn:nowhere;s=x"}, {"asset": "A", "name": "there"}]
    async with listening(settings(peer.url, event=events)) as heard:
        await heard.until(lambda: any(state.healthy for state in heard.source.tags()))
        states = {state.name: state for state in heard.source.tags()}
        assert states["A/gone"].detail == "the server has no namespace urn:nowhere"
        assert not states["A/gone"].healthy and states["A/there"].healthy


@pytest.mark.peer
async def test_values_and_methods_are_written_to_declared_targets_alone(peer: NodeOpcua) -> None:
    targets = [
        {"name": "setpoint", "node": NSU + "setpoint", "type": "Double", "low": 0, "high": 100},
        {"name": "note", "node": NSU + "note", "type": "String", "longest": 5},
        {"name": "wrong-type", "node": NSU + "note", "type": "Int32", "low": 0, "high": 1},
        {"name": "read-only", "node": NSU + "press.Pressure", "type": "Double", "low": 0, "high": 10},
        {"name": "gone", "node": NSU + "nowhere", "type": "Boolean"},
        {
            "name": "recipe",
            "object": NSU + "device",
            "method": NSU + "recipe",
            "arguments": [
                {"name": "speed", "type": "Double", "low": -1, "high": 3000},
                {"name": "name", "type": "String"},
            ],
        },
    ]
    async with listening(
        settings(peer.url, {"asset": "M", "tag": "t0", "address": NSU + "t0"}, target=targets)
    ) as heard:
        source = heard.source
        await heard.until(lambda: heard.values("t0"))
        assert await source.write("setpoint", [42]) == []
        assert await source.write("note", ["料已换"]) == []
        assert await peer.tell("values") == {"setpoint": 42, "note": "料已换"}
        assert await source.write("recipe", [1500.0, "bolt"]) == ["bolt@1500"]
        refused = [
            ("setpoint", [100.5], "100.5 is not in 0 to 100"),
            ("setpoint", ["42"], "'42' is not a Double"),
            ("setpoint", [True], "True is not a Double"),
            ("setpoint", [1, 2], "2 values given, 1 wanted"),
            ("note", ["too long"], "8 characters are more than 5"),
            ("wrong-type", [1], "BadTypeMismatch"),
            ("read-only", [1], "BadNotWritable"),
            ("gone", [True], "BadNodeIdUnknown"),
            ("recipe", [-1.0, "x"], "BadOutOfRange"),
            ("sine", [1.0], "no target 'sine'; declared: setpoint, note"),
        ]
        for name, values, why in refused:
            with pytest.raises(Refused, match=why):
                await source.write(name, values)
        assert await peer.tell("values") == {"setpoint": 42, "note": "料已换"}
    with pytest.raises(Unreachable, match="nothing was written"):
        await source.write("setpoint", [1.0])


def event(**more: object) -> Happening:
    fields: dict[str, object] = {"event_id": b"1", "type": "i=2041", "source": "Press", "at": NOW, "message": "hot"}
    return Happening(**{**fields, "severity": 500, **more})  # type: ignore[arg-type]


@pytest.mark.parametrize(("severity", "level"), [(1000, 2), (801, 2), (800, 3), (401, 4), (400, 5), (200, 6), (1, 6)])
def test_severities_become_those_of_syslog(severity: int, level: int) -> None:
    assert severity_of(event(severity=severity)) == level
    assert severity_of(event(severity=severity, active=False)) == max(level, 5), "what is over is no alarm"
    assert severity_of(event(severity=severity, active=True)) == min(level, 5), "an alarm is more than information"


def test_a_line_says_condition_place_message_and_state() -> None:
    alarm = event(name="Hot", condition="ns=2;s=hot", active=True, level="High", acknowledged=False, message="过热\n!")
    assert text_of(alarm) == "Press Hot: 过热 ! [active High, unacknowledged]"
    assert text_of(event()) == "Press: hot"


def test_the_table_forgets_what_is_over_and_never_tells_an_event_twice() -> None:
    table, wish = Conditions(), EventWish(asset="M", severity_from=100)
    hot = event(condition="ns=2;s=hot", name="Hot", retain=True, active=True)
    assert table.take(wish, hot, NOW) is not None
    assert table.take(wish, hot, NOW) is None
    assert [row.name for row in table.rows()] == ["Hot"]
    later = Conditions()
    later.recall(table.remember())
    assert later.take(wish, hot, NOW) is None
    assert [row.name for row in later.rows()] == ["Hot"], "the table is filled by the refresh"
    assert table.take(wish, event(condition="ns=2;s=hot", event_id=b"2", retain=False), NOW) is not None
    assert table.rows() == []
    assert table.take(wish, event(severity=99), NOW) is None
    for damaged in (b"", b"\xff", b"\x93\x01"):
        table.recall(damaged)


def test_what_a_refresh_does_not_tell_any_more_is_over_and_two_listeners_are_told_both() -> None:
    table, one, other = Conditions(), EventWish(asset="M", name="one"), EventWish(asset="N", name="other")
    hot, cold = (event(condition=f"ns=2;s={name}", name=name, event_id=name.encode(), retain=True) for name in "hc")
    for wish in (one, other):
        assert table.take(wish, hot, NOW) is not None
        assert table.take(wish, cold, NOW) is not None
    table.take(one, event(type="i=2787"), NOW)
    assert table.take(one, hot, NOW) is None
    table.take(one, event(type="i=2788"), NOW)
    assert [(row.asset, row.name) for row in table.rows()] == [("N", "h"), ("N", "c"), ("M", "h")]
    assert table.of_event("one", cold.event_id.hex()) is None
    assert table.of_event("other", cold.event_id.hex()) is not None


def test_the_table_is_bounded() -> None:
    table, wish = Conditions(), EventWish(asset="M")
    for number in range(10_050):
        table.take(wish, event(condition=f"ns=2;i={number}", event_id=b"%d" % number, retain=True), NOW)
    assert len(table.rows()) == 10_000
    assert table.rows()[-1].condition == "ns=2;i=10049"


@pytest.mark.peer
async def test_from_the_api_to_the_equipment_and_from_an_alarm_into_the_journal(
    peer: NodeOpcua, tmp_path: Path
) -> None:
    await peer.tell("sine", 0)
    target = {"name": "setpoint", "node": NSU + "setpoint", "type": "Double", "low": 0, "high": 100}
    wanted = settings(peer.url, event=[ALL], target=[target])
    async with serving(tmp_path) as edge:
        line = Line([wanted], edge.gateway.store, lambda _: None)
        job = asyncio.create_task(line.jobs()["line.cell"]())
        try:
            await until(lambda: any(state.healthy for state in line.tags()), 30)
            edge.gateway.equipment.sources.update(line.equipment.sources)
            path = "/api/v1/line/cell/write/setpoint"
            done = await edge.client.post(path, json={"values": [77.5]}, headers=bearer("line:write"))
            over = await edge.client.post(path, json={"values": [101]}, headers=bearer("line:write"))
            assert (done.status_code, over.status_code) == (200, 422), done.text
            assert (await peer.tell("values"))["setpoint"] == 77.5
            await peer.tell("sine", 99)
            await until(lambda: any(one.active for _, one in line.equipment.conditions()), 30)
            [row] = (await edge.client.get("/api/v1/line/conditions")).json()["items"]
            assert (row["condition"]["asset"], row["condition"]["active"]) == ("M-07", True)
            stored = await edge.gateway.store.read(lambda tx: [batch for _, batch in tx.batches_after(0)])
            assert any("Hot" in one.text and one.asset == "M-07" for batch in stored for one in batch.lines)
        finally:
            job.cancel()
            await asyncio.wait({job}, timeout=15)
    await peer.tell("sine", 0)


@pytest.mark.peer
async def test_no_answer_to_a_write_is_a_doubt_and_never_a_second_write(peer: NodeOpcua) -> None:
    target = {"name": "setpoint", "node": NSU + "setpoint", "type": "Double", "low": 0, "high": 100}
    async with listening(settings(peer.url, event=[ALL], target=[target], timeout="1s", keep_alive="10s")) as heard:
        await heard.until(lambda: all(state.healthy for state in heard.source.tags()))
        peer.freeze()
        try:
            with pytest.raises(Doubtful, match="look at the equipment before you write again"):
                await heard.source.write("setpoint", [11.0])
        finally:
            peer.thaw()
        await peer.tell("values")
