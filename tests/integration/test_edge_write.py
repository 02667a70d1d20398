"""Writing to the line through the API: declared targets, a token with the scope, an audit line before and after."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner

from gateway.cli.line import cli, value_of
from gateway.core.batch import Batch, Condition, TagState
from gateway.core.errors import Doubtful, Full, Refused, Unreachable
from gateway.core.ports import NOTHING
from gateway.core.reading import Value
from tests.integration.edge_rig import Edge, FullStore, bearer, serving, token

PATH = "/api/v1/line/cell/write/valve"
SCOPE = bearer("line:write")
HOT = Condition(
    asset="M-07",
    condition="ns=2;s=hot",
    name="Hot",
    source="Device",
    message="too hot",
    severity=800,
    active=True,
    acknowledged=False,
    confirmed=None,
    event_id="ab12",
    at=datetime(2026, 3, 1, tzinfo=UTC),
)


class Valve:
    """A line with one valve that can be written; `fault` is raised instead."""

    def __init__(self) -> None:
        self.position: Value = None
        self.fault: Exception | None = None

    name = "cell"

    async def batches(self, memory: Mapping[str, bytes] = NOTHING) -> AsyncIterator[Batch]:
        return
        yield

    def tags(self) -> Sequence[TagState]:
        return ()

    async def close(self) -> None:
        return None

    def targets(self) -> Sequence[str]:
        return ("valve",)

    def conditions(self) -> Sequence[Condition]:
        return (HOT,)

    async def write(self, target: str, values: Sequence[Value]) -> list[Value]:
        if self.fault is not None:
            raise self.fault
        [self.position] = values
        return ["moved"]


def valve_of(edge: Edge) -> Valve:
    valve = Valve()
    edge.gateway.equipment.sources["cell"] = valve
    return valve


async def trail(edge: Edge) -> list[tuple[str, str, str]]:
    lines = await edge.gateway.store.read(lambda tx: list(tx.audit()))
    return [(line.event, line.subject, line.detail) for line in lines if line.event.startswith("line.")]


async def test_a_write_is_noted_before_and_after(tmp_path: Path) -> None:
    async with serving(tmp_path) as edge:
        valve = valve_of(edge)
        answer = await edge.client.post(PATH, json={"values": [42.5]}, headers=SCOPE)
        assert (answer.status_code, answer.json()["answer"]) == (200, ["moved"])
        assert valve.position == 42.5
        assert await trail(edge) == [
            ("line.write.asked", "cell/valve", "erp-1: [42.5]"),
            ("line.write.done", "cell/valve", '["moved"]'),
        ]


async def test_nobody_writes_without_a_token_of_that_scope(tmp_path: Path) -> None:
    async with serving(tmp_path) as edge:
        valve = valve_of(edge)
        anonymous = await edge.client.post(PATH, json={"values": [1]})
        other = await edge.client.post(PATH, json={"values": [1]}, headers=bearer("read production:write"))
        assert (anonymous.status_code, other.status_code) == (401, 403)
        assert valve.position is None
        assert await trail(edge) == []


async def test_what_is_not_declared_is_not_there(tmp_path: Path) -> None:
    async with serving(tmp_path) as edge:
        valve_of(edge)
        for path in (PATH.replace("valve", "door"), PATH.replace("cell", "mill")):
            assert (await edge.client.post(path, json={"values": [1]}, headers=SCOPE)).status_code == 404
        listed = (await edge.client.get("/api/v1/line/targets")).json()
        assert listed == {"items": [{"line": "cell", "target": "valve"}]}


@pytest.mark.parametrize(
    ("fault", "status", "event", "retry"),
    [
        (Refused("12 is not in 0 to 10"), 422, "line.write.refused", 0),
        (Unreachable("not connected; nothing was written"), 503, "line.write.failed", 1),
        (Doubtful("no answer in time"), 504, "line.write.doubtful", 0),
    ],
)
async def test_what_went_wrong_is_said_and_noted(
    tmp_path: Path, fault: Exception, status: int, event: str, retry: int
) -> None:
    async with serving(tmp_path) as edge:
        valve_of(edge).fault = fault
        answer = await edge.client.post(PATH, json={"values": [12]}, headers=SCOPE)
        assert answer.status_code == status
        assert answer.json()["detail"] == str(fault)
        assert len(answer.headers.get_list("retry-after")) == retry, "a machine would write twice"
        assert [line[0] for line in await trail(edge)] == ["line.write.asked", event]


async def test_without_room_for_the_audit_line_nothing_is_written(tmp_path: Path) -> None:
    async with serving(tmp_path, stores=lambda store: FullStore(store, [Full("no room")])) as edge:
        valve = valve_of(edge)
        answer = await edge.client.post(PATH, json={"values": [1]}, headers=SCOPE)
        assert (answer.status_code, valve.position) == (507, None)


async def test_a_body_that_is_none_is_refused(tmp_path: Path) -> None:
    async with serving(tmp_path) as edge:
        valve = valve_of(edge)
        for body in ({}, {"values": 3}, {"values": [[1]]}, {"values": [1], "node": "i=85"}):
            answer = await edge.client.post(PATH, json=body, headers=SCOPE)
            assert answer.status_code == 400, body
        assert valve.position is None


async def test_the_conditions_of_the_line_are_listed(tmp_path: Path) -> None:
    async with serving(tmp_path) as edge:
        valve_of(edge)
        [row] = (await edge.client.get("/api/v1/line/conditions")).json()["items"]
        assert (row["line"], row["condition"]["name"], row["condition"]["acknowledged"]) == ("cell", "Hot", False)


async def test_the_command_line_goes_through_the_gateway(tmp_path: Path) -> None:
    async with serving(tmp_path) as edge:
        valve = valve_of(edge)

        async def run(*words: str, **environment: str) -> tuple[int, str]:
            made = CliRunner().invoke
            done = await asyncio.to_thread(made, cli, [*words, "--url", edge.url, "-o", "json"], env=environment)
            return done.exit_code, done.output

        assert (await run("write", "cell", "valve", "7"))[0] == 4
        code, said = await run("write", "cell", "valve", "7", ANDON_TOKEN=token("line:write"))
        assert (code, valve.position, json.loads(said)[0]["answer"]) == (0, 7, ["moved"])
        assert json.loads((await run("targets"))[1]) == [{"line": "cell", "target": "valve"}]
        assert json.loads((await run("conditions"))[1])[0]["condition"]["event_id"] == "ab12"
        valve.fault = Doubtful("no answer in time")
        assert (await run("write", "cell", "valve", "8", ANDON_TOKEN=token("line:write")))[0] == 75
        assert (await run("write", "cell", "door", "8", ANDON_TOKEN=token("line:write")))[0] == 1


@pytest.mark.parametrize(
    ("word", "value"),
    [("7", 7), ("7.0", 7.0), ("true", True), ("fast", "fast"), ('"7"', "7"), ("1e3", 1000.0), ("[1]", "[1]"), ("", "")],
)
def test_a_word_of_the_command_line_becomes_the_value_that_it_is(word: str, value: Value) -> None:
    found = value_of(word)
    assert (found, type(found)) == (value, type(value))
