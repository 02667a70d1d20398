"""The machine server as a process, read by a plain OPC UA client."""

import itertools
import json
import re
import socket
import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from asyncua import Client

from tests.integration.sim_listener import URI, listening
from tests.integration.sim_process import Simulator, running

TAGS = ("vibration", "speed", "load", "temperature", "state", "thermal", "thermal_bytes")


@pytest.fixture(scope="module")
def line() -> Iterator[Simulator]:
    options = ["--asset", "M-01", "--asset", "M-02", "--bearing", "6205", "--bearing", "NU206"]
    with running("opcua", *options, "--rate", "10000", "--block", "0.2", "--seed", "5", "--warming", "2") as simulator:
        yield simulator


@pytest.fixture
def endpoint(line: Simulator) -> str:
    return str(line.ready["endpoint"])


async def test_blocks_follow_each_other_in_source_time_without_a_gap(endpoint: str) -> None:
    async with listening(endpoint, ["M-01.vibration"]) as heard:
        await heard.until(lambda: len(heard.good("M-01.vibration")) >= 6)
        blocks = heard.good("M-01.vibration")
    assert {len(block.Value.Value) for block in blocks} == {2000}
    begins = [block.SourceTimestamp for block in blocks]
    steps = [(later - earlier).total_seconds() for earlier, later in itertools.pairwise(begins)]
    assert steps == pytest.approx([0.2] * len(steps), abs=1e-5)


async def test_every_tag_of_every_machine_is_there_with_unit_and_rate(endpoint: str) -> None:
    async with Client(endpoint) as client:
        index = await client.get_namespace_index(URI)
        for asset in ("M-01", "M-02"):
            machine = client.get_node(f"ns={index};s={asset}")
            names = {(await child.read_browse_name()).Name for child in await machine.get_children()}
            assert names == set(TAGS)
        vibration = client.get_node(f"ns={index};s=M-02.vibration")
        properties = {
            (await child.read_browse_name()).Name: await child.read_value()
            for child in await vibration.get_properties()
        }
    assert properties == {"SampleRate": 10_000.0, "Unit": "g"}


async def test_the_endpoint_description_names_the_real_port(endpoint: str) -> None:
    client = Client(endpoint)
    descriptions = await client.connect_and_get_server_endpoints()
    assert {description.EndpointUrl for description in descriptions} == {endpoint}
    assert not endpoint.endswith(":0")


async def test_the_picture_comes_as_an_array_and_as_bytes(endpoint: str) -> None:
    async with listening(endpoint, ["M-01.thermal", "M-01.thermal_bytes"]) as heard:
        await heard.until(lambda: all(heard.good(f"M-01.{tag}") for tag in ("thermal", "thermal_bytes")))
        arrays, strings = heard.good("M-01.thermal"), heard.good("M-01.thermal_bytes")
    by_time = {change.SourceTimestamp: change.Value.Value for change in strings}
    array = next(change for change in arrays if change.SourceTimestamp in by_time)
    raw = by_time[array.SourceTimestamp]
    height, width = struct.unpack_from("<HH", raw)
    pixels = np.frombuffer(raw, "<u2", offset=4).reshape(height, width)
    assert (height, width) == (48, 64)
    assert np.array_equal(np.array(array.Value.Value), pixels)
    assert 0 < pixels.mean() / 100 - 273.15 < 90


async def test_an_injected_fault_is_felt_and_heals_again(line: Simulator, endpoint: str) -> None:
    def loudness(blocks: list[object]) -> float:
        return float(np.std(np.concatenate([block.Value.Value for block in blocks])))

    node = "M-01.vibration"
    async with listening(endpoint, [node]) as heard:
        await heard.until(lambda: len(heard.good(node)) >= 3)
        healthy = loudness(heard.good(node))
        answer = line.tell(inject="bearing_outer_race", asset="M-01", severity=1.0)
        assert answer.startswith("OK") and json.loads(answer[3:])["fault"] == "bearing_outer_race"
        await heard.until(lambda: loudness(heard.good(node)[-2:]) > 2 * healthy)
        assert line.tell(clear="M-01").startswith("OK")
        await heard.until(lambda: loudness(heard.good(node)[-2:]) < 1.5 * healthy)


async def test_a_bad_quality_comes_without_a_number(line: Simulator, endpoint: str) -> None:
    async with listening(endpoint, ["M-02.speed"]) as heard:
        await heard.until(lambda: bool(heard.good("M-02.speed")))
        assert line.tell(quality="bad", asset="M-02", tag="speed").startswith("OK")
        await heard.until(lambda: not heard.changes["M-02.speed"][-1].StatusCode.is_good())
        assert heard.changes["M-02.speed"][-1].Value.Value is None
        assert line.tell(quality="good", asset="M-02", tag="speed").startswith("OK")
        count = len(heard.good("M-02.speed"))
        await heard.until(lambda: len(heard.good("M-02.speed")) > count)


async def test_a_silent_tag_stops_alone(line: Simulator, endpoint: str) -> None:
    async with listening(endpoint, ["M-02.speed", "M-02.vibration"]) as heard:
        await heard.until(lambda: bool(heard.good("M-02.speed")))
        assert line.tell(silence=True, asset="M-02", tag="speed").startswith("OK")
        blocks, speeds = len(heard.good("M-02.vibration")), len(heard.good("M-02.speed"))
        await heard.until(lambda: len(heard.good("M-02.vibration")) > blocks + 4)
        assert len(heard.good("M-02.speed")) <= speeds + 2
        assert line.tell(silence=False, asset="M-02", tag="speed").startswith("OK")


@pytest.mark.parametrize(
    ("command", "why"),
    [
        ({"inject": "rust", "asset": "M-01"}, "unknown fault 'rust'; known: bearing_outer_race"),
        ({"inject": "imbalance", "asset": "M-99"}, "no machine 'M-99' here; there are M-01, M-02"),
        ({"inject": "imbalance", "asset": "M-01", "severity": 3}, "<= 1.0"),
        ({"inject": "imbalance", "asset": "M-01", "ramp": "soon"}, "not a duration"),
        ({"quality": "bad", "asset": "M-01", "tag": "noise"}, "no tag 'noise'"),
        ({"explode": True}, "unknown field `explode`"),
        ({}, "give one of"),
    ],
)
def test_a_wrong_command_is_answered_with_what_is_wrong(line: Simulator, command: dict[str, object], why: str) -> None:
    answer = line.tell(**command)
    assert answer.startswith("ERROR") and why in answer


def test_a_script_runs_and_the_log_goes_to_syslog_and_file(tmp_path: Path) -> None:
    script, logfile = tmp_path / "now.toml", tmp_path / "machine-{asset}.log"
    script.write_text('seed = 9\n[[step]]\nat = "0s"\nfault = "overheating"\nseverity = 1.0\n')
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.0.0.1", 0))
        receiver.settimeout(60)
        address = f"127.0.0.1:{receiver.getsockname()[1]}"
        options = (
            "--script",
            str(script),
            "--syslog",
            address,
            "--logfile",
            str(logfile),
            "--until-eof",
            "--talk",
            "30",
        )
        with running("opcua", *options) as simulator:
            assert simulator.ready["seed"] == 9
            assert json.loads(simulator.line()[5:]) == {"asset": "M-01", "fault": "overheating", "severity": 1.0}
            message = receiver.recv(4096).decode()
            simulator.end_of_input()
            assert simulator.process.wait(20) == 0
    assert re.fullmatch(r"<1(31|32|33|34)>1 20\S+Z M-01 machine - - - .+", message)
    text = message.rpartition(" - ")[2]
    written = (tmp_path / "machine-M-01.log").read_text(encoding="utf-8").splitlines()
    assert any(re.fullmatch(rf"20\S+Z [A-Z]+ {re.escape(text)}", line) for line in written)
