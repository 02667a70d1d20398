"""From an address to a tag table, and a tag table against the server: `andon discover opcua`, `andon check --live`."""

import asyncio
import csv
from collections.abc import Iterator
from pathlib import Path

import pytest
from asyncua import ua
from click.testing import CliRunner, Result

from connectors.line.opcua.about import about
from connectors.line.opcua.browse import Bounds, Seen, Walk, address_of, walk
from connectors.line.opcua.discover import ask, rows, visiting
from connectors.line.opcua.facts import same_unit
from connectors.line.opcua.settings import Node
from connectors.line.table import read_table
from connectors.opcua.address import parse
from gateway.cli.check import cli as check
from gateway.cli.discover import cli as discover
from gateway.core.errors import Unreachable
from tests.node_opcua import NSU, NodeOpcua
from tests.opcua_listening import settings, tag


@pytest.fixture(scope="module")
def server() -> Iterator[NodeOpcua]:
    server = NodeOpcua("--still", "--wave", "--per-read=99", tags=1100)
    yield server
    server.clean()


@pytest.fixture
async def peer(server: NodeOpcua) -> NodeOpcua:
    await server.start()
    return server


async def walked(url: str, match: str = "**", **bounds: float) -> Walk:
    wanted = settings(url, tag("t0"))
    async with visiting(wanted) as client:
        return await walk(client, await about(client), match, Bounds(**bounds))  # type: ignore[arg-type]


@pytest.mark.peer
async def test_a_walk_goes_round_no_cycle_and_knows_unit_range_and_access(peer: NodeOpcua) -> None:
    found = await walked(peer.url, "Plant/**")
    by_path = {one.path: one for one in found.variables}
    assert set(by_path) == {f"Plant/Line1/Press/{name}" for name in ("Temperature", "Pressure", "Speed", "Name")}
    hot = by_path["Plant/Line1/Press/Temperature"]
    assert (hot.unit, hot.low, hot.high, hot.type, hot.writable) == ("°C", -50, 250, "Double", True)
    assert hot.address == NSU + "press.Temperature"
    assert not by_path["Plant/Line1/Press/Pressure"].writable
    assert by_path["Plant/Line1/Press/Name"].value == "冲压机"
    assert found.ended == ""


@pytest.mark.peer
@pytest.mark.parametrize(
    ("match", "tags"),
    [
        ("Plant/*/*/Temp*", {"Temperature"}),
        ("**/Press/[PS]*", {"Pressure", "Speed"}),
        ("Device/t1", {"t1"}),
        ("Device", set()),
        ("Nobody/**", set()),
    ],
)
async def test_globs_choose_by_path(peer: NodeOpcua, match: str, tags: set[str]) -> None:
    assert {one.tag for one in (await walked(peer.url, match)).variables} == tags


@pytest.mark.peer
async def test_a_walk_ends_at_its_bounds_and_says_so(peer: NodeOpcua) -> None:
    assert "stopped after" in (await walked(peer.url, nodes=3)).ended
    assert "levels down" in (await walked(peer.url, depth=1)).ended


@pytest.mark.peer
async def test_a_list_longer_than_the_server_gives_at_once_is_followed_to_its_end(peer: NodeOpcua) -> None:
    found = await walked(peer.url, "Device/t*")
    assert len(found.variables) == 1100


@pytest.mark.peer
async def test_what_is_offered_is_seen_before_anybody_is_trusted(peer: NodeOpcua) -> None:
    offer = await ask(peer.url)
    assert any("Basic256Sha256" in one for one in offer.offers)
    assert offer.uri == "urn:peer:node-opcua" and len(offer.fingerprint) == 95
    with pytest.raises(Unreachable, match=r"opc\.tcp"):
        await ask("opc.tcp://127.0.0.1:9", 2)


def run(*words: str) -> Result:
    return CliRunner().invoke(check if words[0] == "check" else discover, list(words[1:]))


@pytest.mark.peer
@pytest.mark.pain(17, 21)
async def test_from_an_address_to_a_table_that_is_checked_live(peer: NodeOpcua, tmp_path: Path) -> None:
    table, file = tmp_path / "tags.csv", tmp_path / "andon.toml"
    options = ("discover", "opcua", peer.url, "--insecure", "--match", "Plant/**", "--save", str(table))
    done = await asyncio.to_thread(run, *options)
    assert done.exit_code == 0, done.output
    assert "4 tags of 4 variables" in done.stderr
    tags = {one.tag: one for one in read_table(table, Node)}
    assert (tags["Temperature"].unit, tags["Temperature"].low, tags["Temperature"].asset) == ("°C", -50, "Press")
    again = await asyncio.to_thread(run, *options)
    assert again.exit_code != 0, "a table that is there was written over"

    text = f'[[asset]]\nid = "Press"\n[line.press]\nprotocol = "opcua"\nendpoint = "{peer.url}"\ninsecure = true\n'
    file.write_text(text + f'tags = "{table}"\n')
    fine = await asyncio.to_thread(run, "check", str(file), "--live", "-o", "jsonl")
    assert fine.exit_code == 0, fine.output
    assert '"part":"line.press.Press/Temperature","ok":true' in fine.stdout

    wrong = """
    [[line.press.tag]]
    asset = "Press"
    tag = "in-bar"
    address = "nsu=urn:peer:line;s=press.Temperature"
    unit = "bar"
    [[line.press.tag]]
    asset = "Press"
    tag = "too-high"
    address = "nsu=urn:peer:line;s=press.Temperature"
    low = 500
    high = 900
    [[line.press.tag]]
    asset = "Press"
    tag = "nowhere"
    address = "nsu=urn:peer:line;s=nowhere"
    [[line.press.tag]]
    asset = "Press"
    tag = "moved"
    address = "nsu=urn:old:line;s=t0"
    [[line.press.tag]]
    asset = "Press"
    tag = "no-wave"
    kind = "waveform"
    address = "nsu=urn:peer:line;s=t0"
    rate_hz = 100
    [[line.press.tag]]
    asset = "Press"
    tag = "no-value"
    address = "nsu=urn:peer:line;s=wave"
    [[line.press.event]]
    asset = "Press"
    source = "nsu=urn:peer:line;s=t0"
    [[line.press.target]]
    name = "read-only"
    node = "nsu=urn:peer:line;s=press.Pressure"
    type = "Double"
    low = 0
    high = 1
    [[line.press.target]]
    name = "text"
    node = "nsu=urn:peer:line;s=note"
    type = "Int16"
    low = 0
    high = 1
    [[line.press.target]]
    name = "call"
    object = "nsu=urn:peer:line;s=device"
    method = "nsu=urn:peer:line;s=recipe"
    arguments = [{ name = "speed", type = "Double", low = 0, high = 1 }]
    """
    file.write_text(text + wrong)
    found = await asyncio.to_thread(run, "check", str(file), "--live", "-o", "jsonl")
    assert found.exit_code == 6, found.output
    for said in (
        'in-bar","ok":false,"detail":"its unit is °C, the settings say bar',
        "its range is 0 to 200, the settings say 500 to 900",
        "BadNodeIdUnknown: nsu=urn:peer:line;s=nowhere",
        "the server has no namespace urn:old:line; it has",
        "the settings say a waveform",
        "it is an array of 8192, but the settings say a single value",
        "sends no events",
        "this user may not write it",
        "s=note is a String, the settings say Int16",
        "takes (Double, String), the settings say (Double)",
    ):
        assert said in found.stdout, said


@pytest.mark.peer
async def test_without_a_way_in_only_the_offer_is_shown(peer: NodeOpcua) -> None:
    done = await asyncio.to_thread(run, "discover", "opcua", peer.url)
    assert done.exit_code == 0 and done.stdout == ""
    assert "--insecure" in done.stderr and "fingerprint" in done.stderr


def test_a_line_that_does_not_answer_is_one_finding_with_its_name(tmp_path: Path) -> None:
    file = tmp_path / "andon.toml"
    head = '[[asset]]\nid = "M"\n[line.far]\nprotocol = "opcua"\nendpoint = "opc.tcp://127.0.0.1:9"\ninsecure = true\n'
    file.write_text(head + 'timeout = "1s"\n[[line.far.tag]]\nasset = "M"\ntag = "t"\naddress = "i=2258"\n')
    done = run("check", str(file), "--live", "-o", "jsonl")
    assert done.exit_code == 6
    assert "does not answer" in done.stdout and '"part":"line.far' in done.stdout


@pytest.mark.peer
async def test_every_server_of_a_redundant_set_is_looked_at(peer: NodeOpcua) -> None:
    dead = "opc.tcp://127.0.0.1:9"
    checks = await settings(peer.url, tag("t0"), endpoints=[dead, peer.url], timeout="2s").open().inspect()  # type: ignore[attr-defined]
    by_name = {check.name: check for check in checks}
    assert not by_name[dead].ok and "does not answer" in by_name[dead].said
    assert by_name["M/t0"].ok, "the other one is looked at all the same"


def seen(path: str, **more: object) -> Seen:
    fields: dict[str, object] = {"type": "Double", "rank": -1, "kind": "value", "unit": "", "low": None, "high": None}
    fields |= {"rate_hz": None, "readable": True, "writable": False, "value": "1", "address": f"nsu=urn:x;s={path}"}
    return Seen(path=path, **{**fields, **more})  # type: ignore[arg-type]


def test_tags_of_one_name_get_more_of_their_path() -> None:
    found = [seen("A/Press/T"), seen("B/Press/T"), seen("C/D"), seen("C/blob", kind=""), seen("C/shut", readable=False)]
    assert [(row["asset"], row["tag"]) for row in rows(found)] == [("Press", "T"), ("B/Press", "T"), ("C", "D")]
    assert [(row["asset"], row["tag"]) for row in rows(found, "M-07")] == [
        ("M-07", "T"),
        ("M-07", "Press/T"),
        ("M-07", "D"),
    ]


def test_a_saved_row_reads_back_as_the_tag_that_it_is(tmp_path: Path) -> None:
    wave = seen("A/wave", kind="waveform", rate_hz=12_800.0, unit="g", low=-1.0, high=1.0)
    odd = seen("A/x,y", unit='"', low=0.0, high=0.5)
    file = tmp_path / "tags.csv"
    with file.open("w", newline="") as out:
        listed = rows([wave, odd])
        writer = csv.DictWriter(out, listed[0])
        writer.writeheader()
        writer.writerows(listed)
    first, second = read_table(file, Node)
    assert (first.kind, first.rate_hz, first.low, first.unit) == ("waveform", 12_800, None, "g")
    assert (second.tag, second.unit, second.high) == ("x,y", '"', 0.5)


@pytest.mark.parametrize(
    ("node", "text"),
    [
        (ua.NodeId("a;b=c", 2), "nsu=urn:x%3By%25;s=a;b=c"),
        (ua.NodeId(7, 0), "i=7"),
        (ua.NodeId(b"\x01\x02", 2), "nsu=urn:x%3By%25;b=AQI="),
    ],
)
def test_an_address_that_was_written_leads_back_to_its_node(node: ua.NodeId, text: str) -> None:
    names = ("http://opcfoundation.org/UA/", "urn:other", "urn:x;y%")
    assert address_of(node, names) == text
    back = parse(text).node_id(names)
    assert back is not None and ua.NodeId.from_string(back) == node


@pytest.mark.parametrize(
    ("ours", "theirs", "same"),
    [
        ("degC", "°C", True),
        ("rpm", "1/min", True),
        ("rpm", "r/min", True),
        ("mm/s", "mm / s", True),
        ("bar", "psi", False),
        ("K", "°C", False),
        ("%", "%", True),
        ("m/s2", "m/s²", True),
    ],
)
def test_a_unit_is_the_same_however_it_is_written(ours: str, theirs: str, same: bool) -> None:  # noqa: FBT001 (a table)
    assert same_unit(ours, theirs) is same
